//! `POST /router/explain`: a request's body is read as usual, and nothing is sent.
//!
//! Called by the pipeline. Always true: it takes no permit, no place and no budget, and leaves no record.

use hale_core::endpoint::Operation;
use hale_core::route::{Resolved, resolve};
use hale_wire::peek::Peek;
use http::Response;
use http::request::Parts;
use hyper::body::Incoming;

use super::body::{self, Held};
use super::explain::{self, Refusal};
use super::reply::Reply;
use super::{Arrival, exchange};
use crate::pages;

/// Explains the request in the body.
pub(super) async fn run(
    arrival: &Arrival,
    head: &Parts,
    incoming: Incoming,
) -> Result<Response<Reply>, Refusal> {
    let mut held = Held::none(&arrival.worker.process);
    let body = body::read(arrival, &head.headers, incoming, &mut held).await?;
    let bad = |error| explain::bad_body(&error);
    let peek = Peek::parse(body).map_err(bad)?;
    let route = head.uri.path();
    let Some(model) = peek.string("model").map_err(bad)? else {
        return Err(explain::missing_parameter(route, "model"));
    };
    let stream = peek.boolean("stream").map_err(bad)?.unwrap_or(false);
    // The body is that of a chat.
    let format = Operation::Chat.format();
    let controls = exchange::all_controls(arrival, &peek, &head.headers, format, stream)?;
    let snapshot = &arrival.serving.snapshot;
    let resolved = match resolve(snapshot, &model) {
        Resolved::Unknown(nearest) if !controls.disable_fallbacks => {
            let names = snapshot.router.default_fallbacks.iter();
            let mut known = names.map(|name| resolve(snapshot, name));
            let known = known.find(|found| matches!(found, Resolved::Target(_)));
            known.unwrap_or(Resolved::Unknown(nearest))
        }
        resolved => resolved,
    };
    match resolved {
        Resolved::Target(target) => Ok(pages::preview(snapshot, &model, target, controls)),
        Resolved::Unknown(nearest) => Err(explain::unknown_model(route, &model, &nearest)),
    }
}
