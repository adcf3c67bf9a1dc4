//! The body of an answer to a client: full, or a relayed stream.
//!
//! Made by the proxy and the pages, polled by hyper. Always true: it knows no upstream; dropping it ends the
//! stream behind it and stops counting the request as in flight; a silent stream gets comments, if it wants them.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hale_core::provider::WireFormat;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use super::connection::InFlight;
use super::keepalive::Keepalive;
use crate::limits::Held;
use crate::panics::contained;

/// The body of an answer.
pub(crate) struct Reply {
    kind: Kind,
    in_flight: Option<InFlight>,
    /// Its share of the memory for bodies.
    held: Option<Held>,
    /// The comments of a stream while it is silent.
    keepalive: Option<Box<Keepalive>>,
}

/// Up to so many bytes a full body is counted until it is handed to hyper only.
const SMALL_BODY: usize = 16 << 10;

/// Bytes with their share of the memory for bodies.
struct HeldBytes {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

enum Kind {
    Full(Option<Bytes>),
    Stream(Box<dyn StreamedBody>),
}

/// The error that makes hyper break the connection: the gateway's own code failed, or an upstream in the
/// middle of a body of bytes. Other failures of an upstream are events in the stream.
#[derive(Debug, thiserror::Error)]
#[error("the stream broke")]
pub(crate) struct Broken;

/// A body that comes piece by piece.
pub(crate) trait StreamedBody {
    /// The next bytes for the client.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>;

    /// The total number of bytes, if known.
    fn length(&self) -> Option<u64>;

    /// After how much silence the client gets a comment, milliseconds. What it has ends between two events then.
    fn keepalive_ms(&self) -> Option<u64> {
        None
    }

    /// Ends it after a panic in the gateway's own code.
    fn give_up(&mut self);
}

impl Reply {
    /// No body.
    pub(crate) fn empty() -> Reply {
        Reply::of(Kind::Full(None))
    }

    /// A full body.
    pub(crate) fn full(bytes: Bytes) -> Reply {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Reply::of(Kind::Full(bytes))
    }

    /// A stream.
    pub(crate) fn stream(body: impl StreamedBody + 'static) -> Reply {
        Reply::of(Kind::Stream(Box::new(body)))
    }

    fn of(kind: Kind) -> Reply {
        Reply { kind, in_flight: None, held: None, keepalive: None }
    }

    /// The same stream, with comments for a client of `format` while it is silent and wants them.
    pub(crate) fn kept_alive(mut self, format: WireFormat) -> Reply {
        self.keepalive = Some(Box::new(Keepalive::of(format)));
        self
    }

    /// Ends a stream after a panic in the gateway's own code.
    pub(crate) fn give_up(&mut self) {
        match &mut self.kind {
            Kind::Full(_) => {}
            Kind::Stream(stream) => stream.give_up(),
        }
    }

    /// Bytes of a full body that has not been handed out.
    pub(crate) fn bytes(&self) -> usize {
        match &self.kind {
            Kind::Full(bytes) => bytes.as_ref().map_or(0, Bytes::len),
            Kind::Stream(_) => 0,
        }
    }

    /// Holds memory until the body is dropped; that of a large full body until its last byte has left.
    pub(crate) fn holding(mut self, held: Held) -> Reply {
        match &mut self.kind {
            // hyper takes the bytes at once, and keeps them while its client does not read.
            Kind::Full(Some(bytes)) if bytes.len() > SMALL_BODY => {
                let with_share = HeldBytes { bytes: std::mem::take(bytes), _held: held };
                *bytes = Bytes::from_owner(with_share);
            }
            Kind::Full(_) | Kind::Stream(_) => self.held = Some(held),
        }
        self
    }

    /// Counts as in flight until the body is dropped.
    pub(crate) fn with(mut self, in_flight: InFlight) -> Reply {
        self.in_flight = Some(in_flight);
        self
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = self.get_mut();
        match &mut this.kind {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Stream(stream) => {
                let keepalive = &mut this.keepalive;
                let mut poll = || polled(&mut **stream, keepalive, cx);
                let Some(in_flight) = &this.in_flight else { return poll() };
                let polled = contained(in_flight.metrics(), "a stream", poll);
                polled.unwrap_or_else(|| {
                    // The state of the stream is unknown: the client sees a cut connection.
                    stream.give_up();
                    Poll::Ready(Some(Err(Broken)))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Stream(stream) => {
                stream.length().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

/// The next bytes of a stream, or a comment if it is silent and wants one.
fn polled(
    stream: &mut dyn StreamedBody,
    keepalive: &mut Option<Box<Keepalive>>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
    let polled = stream.poll_frame(cx);
    let Some(keepalive) = keepalive else { return polled };
    if polled.is_ready() {
        keepalive.spoke();
        return polled;
    }
    let Some(every_ms) = stream.keepalive_ms() else { return polled };
    keepalive.poll(cx, every_ms).map(|comment| Some(Ok(Frame::data(Bytes::from_static(comment)))))
}

/// An answer with JSON text.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Reply> {
    text(status, HeaderValue::from_static("application/json"), body)
}

/// An answer with that content type.
pub(crate) fn text(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Reply> {
    let mut response = Response::new(Reply::full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
