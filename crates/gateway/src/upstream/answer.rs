//! An answer of an upstream: its head, and its body piece by piece.
//!
//! Made by [`super::send`], read by attempts and relays. Always true: only a connection whose body was read to
//! its end, and which owes nothing to either side, goes back to the pool; any other is closed.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};

use super::framing::{BodyError, Framing, Step};
use super::head::Head;
use super::link::Link;
use super::pool;
use super::switched::Switched;
use crate::unpack::{Coding, Unpacker};

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
    /// What unpacks it, if it came compressed although that was not asked for.
    packed: Option<Box<Packed>>,
    /// A piece that was read to look at it.
    ahead: Option<Bytes>,
}

/// A compressed body on its way.
struct Packed {
    coding: Coding,
    unpacker: Unpacker,
    /// What came and is not unpacked.
    waiting: Bytes,
}

/// Bytes that are unpacked at a time.
const STEP: usize = 32 << 10;

impl Packed {
    fn step(&mut self) -> Result<Bytes, BodyError> {
        let mut room = BytesMut::zeroed(STEP);
        let made = self.unpacker.step(&mut self.waiting, &mut room);
        let made = made.map_err(|fault| BodyError::Packed(self.coding, fault))?;
        room.truncate(made);
        Ok(room.freeze())
    }
}

impl Answer {
    /// The answer that begins with `head` and goes on on `link`.
    pub(super) fn new(head: Head, mut link: Box<Link>) -> Answer {
        let Head { status, mut headers, framing, keep_alive, granted_s, is_encoded } = head;
        if let Some(seconds) = granted_s {
            link.grant(seconds);
        }
        let keep_alive = keep_alive && status != StatusCode::SWITCHING_PROTOCOLS;
        let packed = if is_encoded && status != StatusCode::SWITCHING_PROTOCOLS {
            packed(&mut headers)
        } else {
            None
        };
        let body = AnswerBody { framing, keep_alive, link: Some(link), packed, ahead: None };
        Answer { status, headers, body }
    }
}

/// What unpacks a body with these headers. They describe the unpacked body then.
#[cold]
fn packed(headers: &mut HeaderMap) -> Option<Box<Packed>> {
    // An unknown coding stays in the headers: the reader of the body refuses it.
    let coding = Coding::of(headers).ok().flatten()?;
    headers.remove(header::CONTENT_ENCODING);
    headers.remove(header::CONTENT_LENGTH);
    let unpacker = Unpacker::of(coding);
    Some(Box::new(Packed { coding, unpacker, waiting: Bytes::new() }))
}

impl AnswerBody {
    /// The next piece; `None` at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(ahead)));
        }
        match self.packed {
            None => self.poll_plain(cx),
            Some(_) => self.poll_unpacked(cx),
        }
    }

    /// Gives back a piece, which is the next one again.
    pub(crate) fn put_back(&mut self, piece: Bytes) {
        self.ahead = Some(piece).filter(|piece| !piece.is_empty());
    }

    /// The next piece of a compressed body.
    #[cold]
    fn poll_unpacked(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(packed) = &mut self.packed else { return Poll::Ready(None) };
            match packed.step() {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Poll::Ready(Some(Ok(piece))),
                Err(error) => {
                    self.link = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            match ready!(self.poll_plain(cx)) {
                Some(Ok(piece)) => {
                    if let Some(packed) = &mut self.packed {
                        packed.waiting = piece;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let ended = self.packed.take().map(|one| (one.coding, one.unpacker.finish()));
                    return Poll::Ready(match ended {
                        Some((coding, Err(fault))) => Some(Err(BodyError::Packed(coding, fault))),
                        Some((_, Ok(()))) | None => None,
                    });
                }
            }
        }
    }

    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
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
        let ahead = self.ahead.as_ref().map_or(0, Bytes::len) as u64;
        let left = self.framing.declared().filter(|_| self.packed.is_none());
        left.map(|left| left.saturating_add(ahead))
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
