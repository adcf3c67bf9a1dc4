//! The pages about health: of the deployments, and of the process.
//!
//! Called by the router, after the key was checked. Always true: no page waits for the prober but those that
//! ask for checks.

mod drain;
mod listing;
pub(super) mod readiness;
mod report;
mod targets;
mod test_connection;
mod words;

use hale_core::endpoint::HealthAction;
use http::Response;
use http::request::Parts;
use hyper::body::Incoming;

pub(crate) use self::report::{Standing, standing};
use crate::arrival::Arrival;
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;

/// The page, or what else was asked for.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn answer(
    action: HealthAction,
    arrival: &Arrival,
    head: &Parts,
    incoming: Incoming,
) -> Result<Response<Reply>, Refusal> {
    match action {
        HealthAction::Report => Ok(report::page(arrival, head.uri.query()).await),
        HealthAction::TestConnection => test_connection::run(arrival, head, incoming).await,
        HealthAction::Drain => Ok(drain::run(arrival, &head.headers).await),
    }
}
