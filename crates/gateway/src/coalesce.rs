//! Small pieces leave in one plain write.
//!
//! Called by both kinds of sockets, for clients and for upstreams. Always true: what is written is what
//! was given, in order; only small writes are copied together, because for them the kernel's way with
//! a list of buffers costs more than the copy (`docs/performance.md`).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Largest write that is copied together, bytes.
const SMALL: usize = 16 << 10;

thread_local! {
    static TOGETHER: RefCell<Vec<u8>> = RefCell::default();
}

/// Writes `buffers` to `stream`.
pub(crate) fn poll_write_vectored<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    buffers: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    if total > SMALL || buffers.len() < 2 {
        return Pin::new(stream).poll_write_vectored(cx, buffers);
    }
    TOGETHER.with_borrow_mut(|together| {
        together.clear();
        for buffer in buffers {
            together.extend_from_slice(buffer);
        }
        Pin::new(stream).poll_write(cx, together)
    })
}
