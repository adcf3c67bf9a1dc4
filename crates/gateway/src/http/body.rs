//! Reads a request's body: bounded in size, in the time between its pieces, in the time of the whole, and in the bytes
//! that all bodies of the process hold together.
//!
//! Called by [`crate::arrival`]. Always true: counted bytes are released with [`Held`].

use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use hale_core::settings::Bounds;
use http::HeaderMap;
use http_body::Body;
use hyper::body::{Frame, Incoming};

use super::connection::ClientConn;
use super::refusal::{self, Refusal};
use crate::clock;
use crate::limits::{Added, Collected, Held};

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
    connection.body_begins(declared);
    let most = declared.and_then(|length| usize::try_from(length).ok());
    let mut body = Collected::none(most.unwrap_or(bounds.body_bytes));
    while let Some(frame) = frame(&mut incoming, connection, held).await? {
        let Ok(piece) = frame.into_data() else { continue };
        // A body of one piece is here already.
        if held.reading().is_none() && declared != Some(piece.len() as u64) {
            held.begin_reading(clock::recent().millis());
        }
        match body.push(piece, held, bounds.buffered_bytes).await {
            Added::Yes => {}
            Added::TooLarge => return Err(refusal::body_too_large(bounds.body_bytes)),
            Added::NoRoom => return Err(refusal::too_much_held()),
        }
        held.received(body.len());
        connection.body_has(body.len());
    }
    held.end_reading();
    Ok(body.whole())
}

/// The next piece of a body, or an error when it is overdue or others need its room.
async fn frame(
    incoming: &mut Incoming,
    connection: &ClientConn,
    held: &Held,
) -> Result<Option<Frame<Bytes>>, Refusal> {
    connection.reading_body();
    std::future::poll_fn(|cx| {
        if held.reading().is_some_and(|reading| reading.is_given_up(cx)) {
            return Poll::Ready(Err(refusal::slowest_body()));
        }
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
            Poll::Ready(Some(Err(_cut))) => Poll::Ready(Err(refusal::broken_body())),
            Poll::Pending => match connection.late_body() {
                Some(late) => Poll::Ready(Err(refusal::slow_body(late))),
                None => Poll::Pending,
            },
        }
    })
    .await
    .inspect(|_| connection.serving())
}
