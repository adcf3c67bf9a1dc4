//! Reads a request's body: bounded in size, in the time between its pieces, and in the bytes that all bodies
//! of the process hold together.
//!
//! Called by [`crate::arrival`]. Always true: counted bytes are released with [`Held`].

use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use hale_core::settings::Bounds;
use http::HeaderMap;
use http_body::Body;
use hyper::body::{Frame, Incoming};

use super::connection::ClientConn;
use super::refusal::{self, Refusal};
use crate::limits::Held;

/// Refuses a body that is compressed.
///
/// # Errors
/// The refusal to send.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let encoding = headers.get(http::header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(refusal::encoded_body());
    }
    Ok(())
}

/// Reads the whole body.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn read(
    connection: &ClientConn,
    bounds: &Bounds,
    mut incoming: Incoming,
    held: &mut Held,
) -> Result<Bytes, Refusal> {
    let declared = incoming.size_hint().exact();
    if declared.is_some_and(|length| length > bounds.body_bytes as u64) {
        return Err(refusal::body_too_large(bounds.body_bytes));
    }
    let mut first: Option<Bytes> = None;
    let mut joined: Option<BytesMut> = None;
    loop {
        let frame = match frame(&mut incoming, connection).await? {
            None => break,
            Some(frame) => frame,
        };
        let Ok(piece) = frame.into_data() else { continue };
        let so_far = joined.as_ref().map_or(first.as_ref().map_or(0, Bytes::len), BytesMut::len);
        if so_far + piece.len() > bounds.body_bytes {
            return Err(refusal::body_too_large(bounds.body_bytes));
        }
        if !held.add(piece.len(), bounds.buffered_bytes) {
            return Err(refusal::too_much_held());
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

/// The next piece of a body, or an error when it is overdue.
async fn frame(
    incoming: &mut Incoming,
    connection: &ClientConn,
) -> Result<Option<Frame<Bytes>>, Refusal> {
    connection.reading_body();
    std::future::poll_fn(|cx| match Pin::new(&mut *incoming).poll_frame(cx) {
        Poll::Ready(None) => Poll::Ready(Ok(None)),
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
        Poll::Ready(Some(Err(_cut))) => Poll::Ready(Err(refusal::broken_body())),
        Poll::Pending if connection.body_is_late() => Poll::Ready(Err(refusal::slow_body())),
        Poll::Pending => Poll::Pending,
    })
    .await
    .inspect(|_| connection.serving())
}
