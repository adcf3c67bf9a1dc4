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
use crate::unpack::{Coding, UnknownCoding, Unpacker};

/// Bytes that are unpacked at a time.
const UNPACKED_AT_ONCE: usize = 32 << 10;

/// A body that is to be read.
pub(crate) struct Arriving {
    incoming: Incoming,
    /// What unpacks it, if it is compressed. Boxed, as few are.
    unpacker: Option<Box<Unpacker>>,
}

impl Arriving {
    /// The body of a request with those headers.
    ///
    /// # Errors
    /// The refusal to send, if it is compressed in an unknown way.
    pub(crate) fn of(headers: &HeaderMap, incoming: Incoming) -> Result<Arriving, Refusal> {
        let coding = Coding::of(headers).map_err(|UnknownCoding| refusal::unknown_coding())?;
        let unpacker = coding.map(|coding| Box::new(Unpacker::of(coding)));
        Ok(Arriving { incoming, unpacker })
    }

    /// The length of the body as it is declared, if it is not compressed.
    fn plain_length(&self) -> Option<usize> {
        let length = self.incoming.size_hint().exact().filter(|_| self.unpacker.is_none());
        length.and_then(|length| usize::try_from(length).ok())
    }
}

/// Reads the whole body. Of a compressed one both forms are within the bounds.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn read(
    connection: &ClientConn,
    bounds: &Bounds,
    mut arriving: Arriving,
    held: &mut Held,
) -> Result<Bytes, Refusal> {
    let declared = arriving.incoming.size_hint().exact();
    if declared.is_some_and(|length| length > bounds.body_bytes as u64) {
        return Err(refusal::body_too_large(bounds.body_bytes));
    }
    connection.body_begins(declared);
    let mut body = Collected::none(arriving.plain_length().unwrap_or(bounds.body_bytes));
    let mut received = 0;
    while let Some(frame) = frame(&mut arriving.incoming, connection, held).await? {
        let Ok(piece) = frame.into_data() else { continue };
        received += piece.len();
        if received > bounds.body_bytes {
            return Err(refusal::body_too_large(bounds.body_bytes));
        }
        // A body of one piece is here already.
        if held.reading().is_none() && declared != Some(piece.len() as u64) {
            held.begin_reading(clock::recent().millis());
        }
        match &mut arriving.unpacker {
            None => add(&mut body, piece, bounds, held).await?,
            Some(unpacker) => {
                let mut unpacking = Unpacking { unpacker, bounds, held };
                Box::pin(unpacking.add(&mut body, piece)).await?;
            }
        }
        held.received(received);
        connection.body_has(received);
    }
    if let Some(unpacker) = &arriving.unpacker {
        unpacker.finish().map_err(|fault| refusal::not_unpacked(unpacker.coding(), fault))?;
    }
    held.end_reading();
    Ok(body.whole())
}

async fn add(
    body: &mut Collected,
    piece: Bytes,
    bounds: &Bounds,
    held: &mut Held,
) -> Result<(), Refusal> {
    match body.push(piece, held, bounds.buffered_bytes).await {
        Added::Yes => Ok(()),
        Added::TooLarge => Err(refusal::body_too_large(bounds.body_bytes)),
        Added::NoRoom => Err(refusal::too_much_held()),
    }
}

/// What a compressed body is unpacked with.
struct Unpacking<'a> {
    unpacker: &'a mut Unpacker,
    bounds: &'a Bounds,
    held: &'a mut Held,
}

impl Unpacking<'_> {
    /// Adds what is in a piece of a compressed body. Between large steps other requests have their turn.
    async fn add(&mut self, body: &mut Collected, mut packed: Bytes) -> Result<(), Refusal> {
        let mut room = vec![0; UNPACKED_AT_ONCE];
        loop {
            let coding = self.unpacker.coding();
            let made = self.unpacker.step(&mut packed, &mut room);
            let made = made.map_err(|fault| refusal::not_unpacked(coding, fault))?;
            if made == 0 {
                return Ok(());
            }
            add(body, Bytes::copy_from_slice(&room[..made]), self.bounds, self.held).await?;
            tokio::task::yield_now().await;
        }
    }
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
