//! Copies small buffers together, so that they are sent by one plain write.
//!
//! Called by the sockets of clients and of upstreams. Always true: the bytes and their order do not change. Only
//! small writes are copied: for them a system call with a list of buffers costs more than the copy
//! (`docs/performance.md`).

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// The largest write that is copied together, bytes.
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
