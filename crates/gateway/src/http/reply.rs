//! What goes back to a client: a body in one piece, or a stream in passing.
//!
//! Made by the pipeline and the pages, polled by hyper. Always true: dropping it ends what it stands
//! for, be it an upstream's stream or the count of requests in flight.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use super::body::Held;
use crate::metrics::Metrics;
use crate::panics::contained;
use crate::proxy::relay::{Broken, Relay};
use crate::server::connection::ConnectionState;

/// The body of an answer.
pub(crate) struct Reply {
    kind: Kind,
    in_flight: Option<InFlight>,
    /// What it holds of the process's memory.
    held: Option<Held>,
}

enum Kind {
    Full(Option<Bytes>),
    Stream(Box<Relay>),
}

impl Reply {
    /// No body.
    pub(crate) fn empty() -> Reply {
        Reply { kind: Kind::Full(None), in_flight: None, held: None }
    }

    /// A body in one piece.
    pub(crate) fn full(bytes: Bytes) -> Reply {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Reply { kind: Kind::Full(bytes), in_flight: None, held: None }
    }

    /// A stream.
    pub(crate) fn stream(relay: Relay) -> Reply {
        Reply { kind: Kind::Stream(Box::new(relay)), in_flight: None, held: None }
    }

    /// The same, holding memory until it is dropped.
    pub(crate) fn holding(mut self, held: Held) -> Reply {
        self.held = Some(held);
        self
    }

    /// The same, counted as in flight until it is dropped.
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
            Kind::Stream(relay) => {
                let Some(in_flight) = &this.in_flight else { return relay.poll_frame(cx) };
                let polled = contained(&in_flight.metrics, "a stream", || relay.poll_frame(cx));
                polled.unwrap_or_else(|| {
                    // What it was in the middle of is unknown: the client sees a cut connection.
                    relay.give_up();
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
            Kind::Stream(relay) => {
                relay.length().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

/// Counts a request as in flight, and its connection as busy, for as long as it lives.
pub(crate) struct InFlight {
    metrics: Arc<Metrics>,
    connection: Rc<ConnectionState>,
}

impl InFlight {
    /// For a request that was already counted.
    pub(crate) fn new(metrics: Arc<Metrics>, connection: Rc<ConnectionState>) -> InFlight {
        InFlight { metrics, connection }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.connection.idle();
    }
}

/// An answer of JSON text.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Reply> {
    text(status, HeaderValue::from_static("application/json"), body)
}

/// An answer of that content type.
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

/// The same answer with the call id in its headers.
pub(crate) fn with_call_id(mut response: Response<Reply>, call_id: &str) -> Response<Reply> {
    if let Ok(value) = HeaderValue::from_str(call_id) {
        response.headers_mut().insert("x-litellm-call-id", value);
    }
    response
}
