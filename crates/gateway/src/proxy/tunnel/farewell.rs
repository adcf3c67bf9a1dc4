//! The end of a session: sends the last bytes to both sides and waits for both to hang up.
//!
//! Polled by [`super::Session`]. Always true: a side that has received everything is read until it hangs up,
//! because closing a socket with unread bytes resets it and may destroy the bytes in flight.

use std::pin::Pin;
use std::task::{Context, Poll};

use hale_core::time::Millis;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The last bytes for both sides.
pub(super) struct Farewell {
    until: Millis,
    to_client: Side,
    to_upstream: Side,
}

/// The last bytes for one side.
struct Side {
    bytes: Vec<u8>,
    sent: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Writing,
    Ending,
    Waiting,
    Over,
}

impl Farewell {
    /// Sends these bytes to each side; `None` for a side that is gone. It waits `until` then.
    pub(super) fn new(
        until: Millis,
        to_client: Option<Vec<u8>>,
        to_upstream: Option<Vec<u8>>,
    ) -> Farewell {
        Farewell { until, to_client: Side::new(to_client), to_upstream: Side::new(to_upstream) }
    }

    /// When it stops waiting.
    pub(super) fn until(&self) -> Millis {
        self.until
    }

    /// Ready when both have hung up.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut (impl AsyncRead + AsyncWrite + Unpin),
        upstream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Poll<()> {
        let client = self.to_client.poll(cx, client);
        let upstream = self.to_upstream.poll(cx, upstream);
        if client.is_ready() && upstream.is_ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Side {
    fn new(bytes: Option<Vec<u8>>) -> Side {
        let stage = if bytes.is_some() { Stage::Writing } else { Stage::Over };
        Side { bytes: bytes.unwrap_or_default(), sent: 0, stage }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Poll<()> {
        loop {
            let mut io = Pin::new(&mut *io);
            let next = match self.stage {
                Stage::Writing if self.sent < self.bytes.len() => {
                    match io.poll_write(cx, &self.bytes[self.sent..]) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(count)) if count > 0 => {
                            self.sent += count;
                            Stage::Writing
                        }
                        Poll::Ready(_) => Stage::Over,
                    }
                }
                Stage::Writing => match io.poll_flush(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => Stage::Ending,
                    Poll::Ready(Err(_)) => Stage::Over,
                },
                Stage::Ending => match io.poll_shutdown(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => Stage::Waiting,
                    Poll::Ready(Err(_)) => Stage::Over,
                },
                Stage::Waiting => {
                    let mut unread = [0; 1024];
                    let mut room = ReadBuf::new(&mut unread);
                    match io.as_mut().poll_read(cx, &mut room) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Ok(())) if !room.filled().is_empty() => Stage::Waiting,
                        Poll::Ready(_) => Stage::Over,
                    }
                }
                Stage::Over => return Poll::Ready(()),
            };
            self.stage = next;
        }
    }
}
