//! `GET /health`: every deployment exactly once, with what is known about it.
//!
//! Always true: with background probes no upstream is called; else one round is sent and its result shown,
//! whole or in part; errors are one line, and no secret, header or trace is in them.

use std::collections::HashMap;

use hale_core::deployment::DeploymentIndex;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use super::known::{Sees, in_background, left_out, on_demand};
use super::listing::Listing;
use super::targets::targets;
use crate::clock;
use crate::http::reply::{self, Reply};
use crate::pages::{PageRequest, Waiting};

/// Says that addresses are left out. The header is LiteLLM's.
const NOTICE: (HeaderName, HeaderValue) = (
    HeaderName::from_static("litellm-health-field-notice"),
    HeaderValue::from_static("api_base,api_version are admin-only on this endpoint"),
);

/// The page.
pub(crate) fn page(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move { Ok(report(request).await) })
}

async fn report(request: PageRequest<'_>) -> Response<Reply> {
    let arrival = request.arrival;
    let serving = &arrival.serving;
    let sees = Sees {
        details: serving.snapshot.gateway.health_details,
        addresses: arrival.principal.is_operator(),
    };
    let wish = (request.parameter("model_id"), request.parameter("model"));
    let targets = match targets(&serving.snapshot, &wish) {
        Ok(targets) => targets,
        Err(error) => {
            let mut page = Listing::new(serving, sees, std::iter::empty());
            page.error = Some(error);
            return respond(StatusCode::NOT_FOUND, &page);
        }
    };
    let targeted = wish.0.is_some() || wish.1.is_some();
    let checks = &serving.snapshot.probing;
    let page = if checks.background {
        let now = clock::now().millis();
        let known = |one| (one, in_background(serving, one, now));
        Listing::new(serving, sees, targets.into_iter().map(known))
    } else {
        let due = |index: &&DeploymentIndex| left_out(serving, **index).is_none();
        let due: Vec<_> = targets.iter().filter(due).copied().collect();
        let round = arrival.worker.process.health.round(serving, due).await;
        let now = clock::now().millis();
        let answers: HashMap<_, _> =
            round.iter().flat_map(|round| round.iter()).map(|(one, it)| (*one, it)).collect();
        let answer = |one: &DeploymentIndex| answers.get(one).copied();
        let known = |one| (one, on_demand(serving, one, answer(&one), now));
        Listing::new(serving, sees, targets.into_iter().map(known))
    };
    let none_healthy = targeted && page.has_no_healthy();
    respond(if none_healthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, &page)
}

fn respond(status: StatusCode, page: &Listing<'_>) -> Response<Reply> {
    let mut response = reply::json(status, serde_json::to_vec(page).unwrap_or_default());
    if page.sees.details && !page.sees.addresses {
        response.headers_mut().insert(NOTICE.0, NOTICE.1);
    }
    response
}
