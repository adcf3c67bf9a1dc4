//! One direction of a session.
//!
//! Polled by [`super::Tunnel`]. Always true: it holds one buffer, and reads nothing while that is not
//! empty.

use std::pin::Pin;
use std::task::{Context, Poll};

use hale_wire::websocket::Frames;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of the buffer, bytes.
const BUFFER: usize = 16 << 10;

/// The bytes in flight in one direction.
pub(super) struct Pipe {
    buffer: Vec<u8>,
    /// The unsent bytes of the buffer: from here to `end`.
    start: usize,
    end: usize,
    frames: Frames,
    bytes: u64,
    ended: bool,
    unflushed: bool,
}

/// The state of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// Both ends are open.
    Some,
    /// Its source has ended or failed, and everything was sent.
    Ended,
    /// Its sink takes no more bytes.
    Refused,
}

impl Pipe {
    /// An empty pipe; messages of interest contain `wanted` near their beginning.
    pub(super) fn new(wanted: Option<&'static [u8]>) -> Pipe {
        Pipe {
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            frames: Frames::new(wanted),
            bytes: 0,
            ended: false,
            unflushed: false,
        }
    }

    /// Adds bytes that its source has sent already.
    pub(super) fn preload(&mut self, early: &[u8]) {
        if early.len() > self.buffer.len() {
            self.buffer.resize(early.len(), 0);
        }
        self.buffer[..early.len()].copy_from_slice(early);
        self.end = early.len();
        self.bytes += early.len() as u64;
        self.frames.push(early, |_| {});
    }

    /// The frames that have passed.
    pub(super) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// How many bytes have passed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The unsent bytes, followed by the close frame if the last frame is complete.
    pub(super) fn last_bytes(&self, close: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let mut last = self.buffer[self.start..self.end].to_vec();
        if self.frames.at_border() && !self.frames.is_closed() {
            last.extend_from_slice(&close());
        }
        last
    }

    /// Moves the available bytes; `found` gets the messages of interest.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        mut found: impl FnMut(&[u8]),
    ) -> Moved {
        loop {
            while self.start < self.end {
                let unsent = &self.buffer[self.start..self.end];
                match Pin::new(&mut *to).poll_write(cx, unsent) {
                    Poll::Pending => return Moved::Some,
                    Poll::Ready(Ok(count)) if count > 0 => {
                        self.start += count;
                        self.unflushed = true;
                    }
                    Poll::Ready(_) => return Moved::Refused,
                }
            }
            if self.ended {
                return self.flushed(cx, to, Moved::Ended);
            }
            let mut room = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut room) {
                Poll::Pending => return self.flushed(cx, to, Moved::Some),
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    (self.start, self.end) = (0, room.filled().len());
                    self.bytes += self.end as u64;
                    self.frames.push(&self.buffer[..self.end], &mut found);
                }
                Poll::Ready(_) => self.ended = true,
            }
        }
    }

    /// Flushes the sink, then gives `moved`.
    fn flushed(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
        moved: Moved,
    ) -> Moved {
        if !self.unflushed {
            return moved;
        }
        match Pin::new(to).poll_flush(cx) {
            Poll::Pending => Moved::Some,
            Poll::Ready(Ok(())) => {
                self.unflushed = false;
                moved
            }
            Poll::Ready(Err(_)) => Moved::Refused,
        }
    }
}
