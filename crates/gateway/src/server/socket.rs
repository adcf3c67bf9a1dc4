//! A client's byte stream: plain TCP, or TLS over TCP.
//!
//! Made by [`super::connection`]. Always true: it adds no buffer of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::event::{self, PollFd, PollFlags, Timespec};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::coalesce;

/// A client's byte stream.
pub(super) enum Socket {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Whether a client has ended its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has.
    Ended,
    /// It has not. The task is woken when it may have.
    Open,
    /// It has not, and bytes that are not read yet hide when it does: no task is woken.
    Behind,
}

/// Whether the end or the reset of a stream stands behind bytes that are not read yet.
fn has_end_behind(stream: &TcpStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    // Errors and hang-ups are told whether or not they are named.
    let found = event::poll(&mut polled, Some(&Timespec::default()));
    let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    found.is_ok() && polled[0].revents().intersects(ends)
}

impl Socket {
    /// Whether the client has ended the stream, as far as that is seen without reading.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) -> End {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let stream = match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.get_mut().0,
        };
        match stream.poll_peek(cx, &mut buffer) {
            Poll::Pending => End::Open,
            Poll::Ready(Ok(0) | Err(_)) => End::Ended,
            Poll::Ready(Ok(_)) if has_end_behind(stream) => End::Ended,
            Poll::Ready(Ok(_)) => End::Behind,
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    pub(super) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Socket::Plain(stream) => coalesce::poll_write_vectored(stream, cx, buffers),
            Socket::Tls(stream) => coalesce::poll_write_vectored(stream, cx, buffers),
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    pub(super) fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
