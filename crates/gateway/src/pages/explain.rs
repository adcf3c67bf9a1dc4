//! `POST /router/explain`: a request's body is read as usual, and nothing is sent.
//!
//! Called by the router. Always true: it takes no permit, no place and no budget, and leaves no record.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::route::Controls;
use hale_wire::peek::Peek;
use http::Response;
use http::request::Parts;
use hyper::body::Incoming;

use super::router::preview;
use super::{PageRequest, Waiting};
use crate::http::refusal::{self, Refusal};
use crate::http::reply::Reply;
use crate::limits::Held;
use crate::offload;
use crate::proxy::controls;
use crate::state::Serving;

/// The page.
pub(crate) fn page(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(run(request, incoming))
}

/// Explains the request in the body.
async fn run(request: PageRequest<'_>, incoming: Incoming) -> Result<Response<Reply>, Refusal> {
    let (arrival, head) = (request.arrival, request.head);
    let mut held = Held::none(&arrival.worker.process.buffered);
    let body = request.read_body(incoming, &mut held).await?;
    let (peek, mut controls) = if body.len() <= offload::LARGE {
        read(&arrival.serving, head, body)?
    } else {
        let (serving, head) = (arrival.serving.clone(), head.clone());
        offload::run(move || read(&serving, &head, body)).await?
    };
    let bad = |error| refusal::bad_body(&error);
    let route = head.uri.path();
    let Some(model) = peek.string("model").map_err(bad)? else {
        return Err(refusal::missing_parameter(route, "model"));
    };
    controls.stream = peek.boolean("stream").map_err(bad)?.unwrap_or(false);
    // A body with messages is a chat request; the fields of other bodies do not show their operation.
    controls.operation = peek.is_given("messages").then_some(Operation::Chat);
    let snapshot = &arrival.serving.snapshot;
    preview(snapshot, &arrival.worker.process.waiting, &model, controls)
        .map_err(|nearest| refusal::unknown_model(route, &model, &nearest))
}

/// The fields of the body, and what they ask of routing.
fn read(serving: &Serving, head: &Parts, body: Bytes) -> Result<(Peek, Controls), Refusal> {
    let peek = Peek::parse(body).map_err(|error| refusal::bad_body(&error))?;
    let format = Operation::Chat.format();
    let source = controls::Source { serving, format, peek: &peek, headers: &head.headers };
    let controls = controls::all_controls(source)?;
    Ok((peek, controls))
}
