//! One connection to an upstream, driven by the request that uses it.
//!
//! Called by [`super::send`] and, for the body, by attempts and relays. Always true: no task of its
//! own; whoever waits for the answer polls the connection too, so that a request costs no wake-up of
//! a second task, and dropping it closes the connection.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::stream::Stream;
use super::{SendError, pool};

/// A request body in one piece.
pub(crate) struct SendBody(Option<Bytes>);

impl SendBody {
    /// `bytes` as a body.
    pub(crate) fn new(bytes: Bytes) -> SendBody {
        SendBody(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Body for SendBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// A connection and the handle to send on it.
pub(crate) struct Link {
    key: String,
    sender: SendRequest<SendBody>,
    connection: Connection<TokioIo<Stream>, SendBody>,
    over: bool,
    /// Whether anything was read since the request was sent.
    read: Rc<Cell<bool>>,
}

impl Link {
    pub(super) fn new(
        key: String,
        sender: SendRequest<SendBody>,
        connection: Connection<TokioIo<Stream>, SendBody>,
        read: Rc<Cell<bool>>,
    ) -> Link {
        Link { key, sender, connection, over: false, read }
    }

    /// What it is kept under.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Moves bytes; remembers when the connection has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> Option<hyper::Error> {
        if self.over {
            return None;
        }
        match Pin::new(&mut self.connection).poll(cx) {
            Poll::Pending => None,
            Poll::Ready(result) => {
                self.over = true;
                result.err()
            }
        }
    }

    /// Whether another request can go out on it, as far as can be told.
    pub(super) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        !self.over && self.sender.is_ready()
    }
}

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
    incoming: Incoming,
    link: Option<Box<Link>>,
}

/// Sends `request` on `link` and waits for the head of the answer.
pub(super) async fn exchange(
    mut link: Box<Link>,
    request: Request<SendBody>,
) -> Result<Answer, SendError> {
    link.read.set(false);
    let read = link.read.clone();
    let mut sending = std::pin::pin!(link.sender.try_send_request(request));
    let (connection, over) = (&mut link.connection, &mut link.over);
    let response = std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = sending.as_mut().poll(cx) {
            return Poll::Ready(answer.map_err(|error| send_error(error.error())));
        }
        if !*over && let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
            *over = true;
            if let Poll::Ready(answer) = sending.as_mut().poll(cx) {
                return Poll::Ready(answer.map_err(|error| send_error(error.error())));
            }
            return Poll::Ready(Err(result.err().map_or(SendError::Closed, |e| send_error(&e))));
        }
        sending.as_mut().poll(cx).map_err(|error| send_error(error.error()))
    })
    .await
    .map_err(|error| match error {
        SendError::Closed if read.get() => SendError::Cut,
        other => other,
    })?;
    let (head, incoming) = response.into_parts();
    let body = AnswerBody { incoming, link: Some(link) };
    Ok(Answer { status: head.status, headers: head.headers, body })
}

fn send_error(error: &hyper::Error) -> SendError {
    if error.is_parse() {
        return SendError::Protocol(error.to_string());
    }
    SendError::Closed
}

impl AnswerBody {
    /// The next piece; `None` at the end. An error means that the body was cut or is malformed.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
            if polled.is_pending()
                && let Some(link) = &mut self.link
            {
                link.drive(cx);
                polled = Pin::new(&mut self.incoming).poll_frame(cx);
            }
            return match polled {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => {
                    self.keep(cx);
                    Poll::Ready(None)
                }
                Poll::Ready(Some(Err(error))) => {
                    self.link = None;
                    Poll::Ready(Some(Err(error)))
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if self.incoming.is_end_stream() {
                            self.keep(cx);
                        }
                        Poll::Ready(Some(Ok(data)))
                    }
                    // Trailers say nothing that a client of ours would read.
                    Err(_) => continue,
                },
            };
        }
    }

    /// The next piece.
    pub(crate) async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// How long the body says it is.
    pub(crate) fn declared(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The body was read to its end: the connection may serve again.
    fn keep(&mut self, cx: &mut Context<'_>) {
        if let Some(mut link) = self.link.take()
            && link.is_usable(cx)
        {
            pool::put(link);
        }
    }
}
