//! The start of a request for a model: it is read, and answered by the cache or by its attempts.
//!
//! Called by the router for every endpoint that goes to an upstream. Always true: what is refused here has called no upstream.

use hale_core::operation::Operation;
use http::{Request, Response};
use hyper::body::Incoming;

use super::delivery::Delivery;
use super::early::{self, Opened, Started};
use super::exchange::{Exchange, Stage};
use super::opening::Opening;
use super::recalled;
use super::resumable;
use super::resumed;
use crate::arrival::Arrival;
use crate::http::reply::Reply;

/// Serves a request for a model until it is answered or has to wait. `path_name` is the name in the path: a model, which wins over the
/// body's, or the id of a stored object.
pub(crate) async fn run(
    arrival: Arrival,
    operation: Operation,
    path_name: Option<Box<str>>,
    request: Request<Incoming>,
) -> Started {
    if let Some(asked) = resumed::asked(&arrival, operation, path_name.as_deref(), &request) {
        let answer = Box::pin(resumed::answer(arrival, operation, asked, request)).await;
        return Started::At(Stage::Answered(answer));
    }
    match open(arrival, operation, path_name, request).await {
        Ok(exchange) => match Opened::of(exchange) {
            Ok(opened) => Started::Opened(opened),
            Err(exchange) => Started::At(early::serve(exchange).await),
        },
        Err(refused) => Started::At(Stage::Answered(refused)),
    }
}

/// Reads, authorizes and resolves the request. A function of its own, so that the future of [`run`] holds
/// either this or the attempts.
async fn open(
    arrival: Arrival,
    operation: Operation,
    path_name: Option<Box<str>>,
    request: Request<Incoming>,
) -> Result<Box<Exchange>, Response<Reply>> {
    let (head, incoming) = request.into_parts();
    if let Some((id, shown)) = recalled::named(&arrival, operation, path_name.as_deref()).await {
        let delivery = Delivery::begin(&arrival, operation, &head);
        let wanted = (operation, head.uri.query().unwrap_or_default());
        return Err(recalled::answer(&arrival, wanted, (&id, &shown), delivery).await);
    }
    resumable::ready(&arrival, operation).await;
    let mut opening = Opening::new(arrival, operation, path_name, head);
    let opened = opening.run(incoming).await;
    let Opening { arrival, delivery, .. } = opening;
    match opened {
        Ok((request, plan)) => Ok(Box::new(Exchange::new(arrival, request, plan, delivery))),
        Err(refusal) => Err(delivery.refuse(refusal)),
    }
}
