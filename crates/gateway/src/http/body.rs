//! Reading a request's body: bounded in size, in time between its pieces, and in what all bodies of
//! the process may hold together.
//!
//! Called by the proxy and by pages. Always true: what was counted as held is released with [`Held`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;
use hyper::body::{Frame, Incoming};

use crate::arrival::Arrival;
use crate::proxy::explain::{self, Refusal};
use crate::server::connection::ConnectionState;
use crate::state::Process;

/// Bytes that count as held by the process until this is dropped.
pub(crate) struct Held {
    process: Arc<Process>,
    bytes: usize,
    /// Whether they count as kept beyond the first content of an answer.
    is_kept: bool,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn none(process: &Arc<Process>) -> Held {
        Held { process: process.clone(), bytes: 0, is_kept: false }
    }

    /// Counts `more` bytes, unless the process holds too many already.
    pub(crate) fn add(&mut self, more: usize, limit: usize) -> bool {
        let fits = self.process.hold(more, limit);
        if fits {
            self.bytes += more;
        }
        fits
    }

    /// How many bytes it counts.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts its bytes as kept beyond the first content of an answer, unless more than `limit` would be.
    pub(crate) fn keep(&mut self, limit: usize) -> bool {
        self.is_kept = self.is_kept || self.process.keep(self.bytes, limit);
        self.is_kept
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.is_kept {
            self.process.release_kept(self.bytes);
        }
        self.process.release(self.bytes);
    }
}

/// Reads the whole body.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn read(
    arrival: &Arrival,
    headers: &HeaderMap,
    mut incoming: Incoming,
    held: &mut Held,
) -> Result<Bytes, Refusal> {
    let bounds = &arrival.serving.snapshot.gateway.bounds;
    if let Some(encoding) = headers.get(http::header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        return Err(explain::encoded_body());
    }
    let declared = incoming.size_hint().exact();
    if declared.is_some_and(|length| length > bounds.body_bytes as u64) {
        return Err(explain::body_too_large(bounds.body_bytes));
    }
    let mut first: Option<Bytes> = None;
    let mut joined: Option<BytesMut> = None;
    loop {
        let frame = match frame(&mut incoming, &arrival.connection).await? {
            None => break,
            Some(frame) => frame,
        };
        let Ok(piece) = frame.into_data() else { continue };
        let so_far = joined.as_ref().map_or(first.as_ref().map_or(0, Bytes::len), BytesMut::len);
        if so_far + piece.len() > bounds.body_bytes {
            return Err(explain::body_too_large(bounds.body_bytes));
        }
        if !held.add(piece.len(), bounds.buffered_bytes) {
            return Err(explain::too_much_held());
        }
        match (&mut joined, &first) {
            (None, None) => first = Some(piece),
            (None, Some(start)) => {
                let whole = declared.and_then(|length| usize::try_from(length).ok());
                let mut buffer = BytesMut::with_capacity(whole.unwrap_or(start.len() * 4));
                buffer.extend_from_slice(start);
                buffer.extend_from_slice(&piece);
                joined = Some(buffer);
            }
            (Some(buffer), _) => buffer.extend_from_slice(&piece),
        }
    }
    Ok(match joined {
        Some(buffer) => buffer.freeze(),
        None => first.unwrap_or_default(),
    })
}

/// The next piece of a body, unless it is overdue.
async fn frame(
    incoming: &mut Incoming,
    connection: &ConnectionState,
) -> Result<Option<Frame<Bytes>>, Refusal> {
    connection.reading_body();
    std::future::poll_fn(|cx| match Pin::new(&mut *incoming).poll_frame(cx) {
        Poll::Ready(None) => Poll::Ready(Ok(None)),
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
        Poll::Ready(Some(Err(_cut))) => Poll::Ready(Err(explain::broken_body())),
        Poll::Pending if connection.body_is_late() => Poll::Ready(Err(explain::slow_body())),
        Poll::Pending => Poll::Pending,
    })
    .await
    .inspect(|_| connection.serving())
}
