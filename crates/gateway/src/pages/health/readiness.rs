//! Is the process alive, and does it want traffic?

use std::sync::atomic::Ordering;

use hale_store::Status;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::history::rfc3339;
use crate::clock;
use crate::http::COMPATIBLE_VERSION;
use crate::http::reply::{self, Reply};
use crate::pages::PageRequest;

/// The word for what works, the database included.
const CONNECTED: &str = "connected";

/// `GET /health/liveliness`: touches nothing.
pub(crate) fn liveness(_: &PageRequest<'_>) -> Response<Reply> {
    reply::json(StatusCode::OK, &b"\"I'm alive!\""[..])
}

/// The state of the process in one word, and its status: 503 from the moment that it is told to stop, and while no
/// deployment of the config can serve, whatever its provider does.
fn state(request: &PageRequest<'_>) -> (&'static str, StatusCode) {
    let deployments = &request.arrival.serving.snapshot.deployments;
    if request.arrival.worker.process.is_draining() {
        return ("draining", StatusCode::SERVICE_UNAVAILABLE);
    }
    if !deployments.is_empty() && deployments.iter().all(|one| one.misconfigured.is_some()) {
        return ("no_deployments", StatusCode::SERVICE_UNAVAILABLE);
    }
    if request.arrival.serving.snapshot.gateway.store.required && database(request) != CONNECTED {
        return ("disconnected", StatusCode::SERVICE_UNAVAILABLE);
    }
    (CONNECTED, StatusCode::OK)
}

/// The state of the database, in LiteLLM's words.
fn database(request: &PageRequest<'_>) -> &'static str {
    match request.arrival.worker.process.store().map(|store| store.status()) {
        Some(Status::Connected) => CONNECTED,
        Some(Status::Opening | Status::Disconnected(_)) => "disconnected",
        Some(Status::NoPlace) | None => "Not connected",
    }
}

/// `GET /health/readiness`.
pub(crate) fn readiness(request: &PageRequest<'_>) -> Response<Reply> {
    #[derive(Serialize)]
    struct Details {
        cache: Option<&'static str>,
        litellm_version: &'static str,
        hale_version: &'static str,
        success_callbacks: [&'static str; 0],
        /// What is between the replicas, and whether they share through it.
        #[serde(skip_serializing_if = "Option::is_none")]
        sharing: Option<Value>,
        /// When the database was last known to work: now.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_updated: Option<String>,
    }
    #[derive(Serialize)]
    struct Readiness {
        status: &'static str,
        db: &'static str,
        #[serde(flatten)]
        details: Option<Details>,
    }
    if request.arrival.serving.snapshot.gateway.public_readiness_details {
        return details(request);
    }
    let (word, status) = state(request);
    let page = Readiness {
        status: word,
        db: database(request),
        details: request.arrival.serving.snapshot.gateway.health_details.then_some(Details {
            cache: cache(request),
            litellm_version: COMPATIBLE_VERSION,
            hale_version: env!("CARGO_PKG_VERSION"),
            success_callbacks: [],
            sharing: sharing(request),
            last_updated: (database(request) == CONNECTED)
                .then(|| rfc3339(clock::unix_ms() / 1_000 * 1_000)),
        }),
    };
    reply::json(status, serde_json::to_vec(&page).unwrap_or_default())
}

/// The kind of cache that is on.
fn cache(request: &PageRequest<'_>) -> Option<&'static str> {
    request.arrival.serving.snapshot.gateway.cache.as_ref().map(|one| one.kind.name())
}

/// What is between the replicas, if anything is.
fn sharing(request: &PageRequest<'_>) -> Option<Value> {
    let status = request.arrival.worker.process.fleet.status.load();
    let through = status.through?.name();
    Some(json!({"through": through, "mode": status.sharing.name()}))
}

/// `GET /health/readiness/details`.
pub(crate) fn details(request: &PageRequest<'_>) -> Response<Reply> {
    let (word, status) = state(request);
    let verbose = tracing::enabled!(tracing::Level::DEBUG);
    let page = json!({
        "status": word,
        "db": database(request),
        "cache": cache(request),
        "litellm_version": COMPATIBLE_VERSION,
        "hale_version": env!("CARGO_PKG_VERSION"),
        "success_callbacks": [],
        "sharing": sharing(request),
        "use_aiohttp_transport": false,
        "log_level": if verbose { "DEBUG" } else { "INFO" },
        "is_detailed_debug": verbose,
        "show_no_redis_warning": false,
        "show_env_credential_login_warning": false,
    });
    reply::json(status, page.to_string())
}

/// `GET /health/backlog`: how much there is to do. Nothing is ever queued.
pub(crate) fn backlog(request: &PageRequest<'_>) -> Response<Reply> {
    let in_flight = request.arrival.worker.process.metrics.in_flight.load(Ordering::Relaxed);
    let page = json!({
        "in_flight_requests": in_flight,
        "admitted_requests": 0,
        "queued_requests": 0,
        "rejected_requests": 0,
    });
    reply::json(StatusCode::OK, page.to_string())
}

/// `GET /health/license`: everything is free.
pub(crate) fn license(_: &PageRequest<'_>) -> Response<Reply> {
    let page: Value = json!({
        "has_license": false,
        "license_type": "community",
        "expiration_date": null,
        "allowed_features": [],
        "limits": {"max_users": null, "max_teams": null},
    });
    reply::json(StatusCode::OK, page.to_string())
}
