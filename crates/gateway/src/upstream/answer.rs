//! An answer of an upstream: its head, and its body piece by piece.
//!
//! Made by [`super::send`], read by attempts and relays. Always true: only a connection whose body was read to
//! its end, and which owes nothing to either side, goes back to the pool; any other is closed.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::framing::{BodyError, Framing, Step};
use super::head::Head;
use super::link::Link;
use super::pool;
use super::switched::Switched;

/// The head of an answer, and its body to come.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: AnswerBody,
}

/// The body of an answer, with the connection that it comes from.
pub(crate) struct AnswerBody {
    framing: Framing,
    keep_alive: bool,
    link: Option<Box<Link>>,
}

impl Answer {
    /// The answer that begins with `head` and goes on on `link`.
    pub(super) fn new(head: Head, link: Box<Link>) -> Answer {
        let Head { status, headers, framing, keep_alive } = head;
        let keep_alive = keep_alive && status != StatusCode::SWITCHING_PROTOCOLS;
        Answer { status, headers, body: AnswerBody { framing, keep_alive, link: Some(link) } }
    }
}

impl AnswerBody {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(link) = &mut self.link else { return Poll::Ready(None) };
            match link.take(&mut self.framing) {
                Ok(Step::Piece(piece)) => {
                    if self.framing.is_over() {
                        self.keep();
                    }
                    return Poll::Ready(Some(Ok(piece)));
                }
                Ok(Step::End) => {
                    self.keep();
                    return Poll::Ready(None);
                }
                Ok(Step::More) => {}
                Err(error) => {
                    self.link = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            link.go_on_sending(cx);
            let count = ready!(link.poll_fill(cx));
            if count.as_ref().is_ok_and(|count| *count > 0) {
                continue;
            }
            // A failed write consumed the reset, so this end may be a cut body.
            let ended = count.is_ok() && !link.is_broken();
            self.link = None;
            if ended && self.framing == Framing::UntilClose {
                return Poll::Ready(None);
            }
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
    }

    /// The next piece.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, BodyError>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The connection itself, after the head of an answer that switches to another protocol.
    pub(crate) fn switched(self) -> Option<Switched> {
        self.link.map(|link| link.into_switched())
    }

    /// The length of the body, if the head says it.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.framing.declared()
    }

    /// The body was read to its end: the connection may serve again.
    fn keep(&mut self) {
        if let Some(mut link) = self.link.take()
            && self.keep_alive
            && link.recycle()
        {
            pool::put(link);
        }
    }
}
