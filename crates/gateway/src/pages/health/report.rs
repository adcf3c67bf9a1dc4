//! `GET /health`: every deployment exactly once, with what is known about it.
//!
//! Always true: with background probes no upstream is called; else one round is sent for the operator and its result shown,
//! whole or in part; a key calls none, since a probe costs the operator's money, and sees what is known of the models that it may use; errors are one line, and no secret, header or trace is in them.

use std::collections::HashMap;

use hale_core::deployment::DeploymentIndex;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;

use super::known::{Sees, in_background, left_out, on_demand};
use super::listing::Listing;
use super::targets::targets;
use crate::clock;
use crate::http::reply::{self, Reply};
use crate::pages::seen::{Seen, may_use};
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
    let targeted = wish.0.is_some() || wish.1.is_some();
    let seen = Seen::by(&request);
    let is_seen = |index: &DeploymentIndex| {
        let group = serving.snapshot.deployment(*index).group;
        seen == Seen::All || may_use(&request, &serving.snapshot.group(group).name)
    };
    let found = targets(&serving.snapshot, &wish).map(|mut found| {
        found.retain(is_seen);
        found
    });
    // What a key may not use is as if it were not there.
    let found = match found {
        Ok(found) if seen == Seen::Own && found.is_empty() => Err(String::new()),
        found => found,
    };
    let hidden = || "the model was not found among those that this key may use".to_owned();
    let targets = match found.map_err(|error| if seen == Seen::Own { hidden() } else { error }) {
        Ok(targets) => targets,
        Err(_) if !targeted => Vec::new(),
        Err(error) => {
            let mut page = Listing::new(serving, sees, std::iter::empty());
            page.error = Some(error);
            return respond(StatusCode::NOT_FOUND, &page);
        }
    };
    let checks = &serving.snapshot.probing;
    let page = if checks.background || seen == Seen::Own {
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
