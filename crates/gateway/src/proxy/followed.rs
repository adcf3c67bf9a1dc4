//! A stream that another request leads, as a request that joined it sends it.
//!
//! Made by [`super::reuse`], polled by hyper as the answer's body. Always true: it costs nothing, and it has one record; when it
//! breaks off, an event says so.

use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::operation::Operation;
use hale_core::route::early_keepalive_ms;
use hale_wire::errors::ErrorReply;
use http_body::Frame;

use super::attempt::Failed;
use super::exchange::Exchange;
use super::overheard::Overheard;
use crate::cache::{End, Follower};
use crate::http::reply::{Broken, StreamedBody};

/// A followed stream.
pub(super) struct Followed {
    follower: Follower,
    exchange: Box<Exchange>,
    /// Gathers what it says, if a sink shows it.
    overheard: Option<Box<Overheard>>,
    is_over: bool,
}

impl Followed {
    /// The stream of `follower` for the client of `exchange`.
    pub(super) fn new(follower: Follower, exchange: Box<Exchange>) -> Followed {
        let overheard = Overheard::of(&exchange.delivery.capture, exchange.request.operation);
        Followed { follower, exchange, overheard, is_over: false }
    }

    fn fail(&mut self, failed: &Failed) -> Bytes {
        self.is_over = true;
        self.exchange.delivery.cache_ended(Some(failed));
        break_event(self.exchange.request.operation, failed)
    }
}

/// What tells the client of a stream that joined another one that it breaks off.
pub(super) fn break_event(operation: Operation, failed: &Failed) -> Bytes {
    let error = ErrorReply {
        message: format!("the stream broke off and is not complete: {}", failed.error.message),
        kind: "server_error".to_owned(),
        code: failed.status.unwrap_or(500).to_string(),
        reason: "upstream_stream_interrupted",
        ..ErrorReply::default()
    };
    error.event(operation.format()).into()
}

impl StreamedBody for Followed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.exchange.delivery.is_cut() {
            return Poll::Ready(Some(Ok(Frame::data(self.fail(&Failed::stopping())))));
        }
        let piece = match self.follower.poll_piece(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(piece)) => piece,
            Poll::Ready(Err(End::Whole)) => {
                self.is_over = true;
                self.exchange.delivery.cache_ended(None);
                return Poll::Ready(None);
            }
            Poll::Ready(Err(End::Failed)) => {
                // Its last piece said so.
                self.is_over = true;
                let failed = Failed::cut("the stream that it joined broke off");
                self.exchange.delivery.cache_ended(Some(&failed));
                return Poll::Ready(None);
            }
            Poll::Ready(Err(End::Left)) => {
                let message =
                    "the request that it joined was given up, or this client reads too slowly";
                self.fail(&Failed::of(Cause::Gateway, None, message.to_owned()))
            }
        };
        if let Some(overheard) = &mut self.overheard {
            overheard.push(&piece);
        }
        self.exchange.delivery.note(|record| record.response_bytes += piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn length(&self) -> Option<u64> {
        None
    }

    fn keepalive_ms(&self) -> Option<u64> {
        early_keepalive_ms(&self.exchange.arrival.serving.snapshot)
    }

    fn give_up(&mut self) {
        let _event: Bytes = self.fail(&Failed::cut("the gateway's own code failed"));
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some(overheard) = self.overheard.take() {
            overheard.tell(&mut self.exchange.delivery.capture);
        }
    }
}
