//! `GET /health/drain`: takes the process out of service and waits until its requests are done.
//!
//! Called by the router, where the config serves it. Always true: without the token nothing happens; it
//! cannot be undone; it waits no longer than a shutdown does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::arrival::Arrival;
use crate::clock;
use crate::http::reply::{self, Reply};
use crate::pages::{PageRequest, Waiting};

/// How often to look whether requests are done.
const LOOK: Duration = Duration::from_millis(100);

/// The page.
pub(crate) fn page(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move { Ok(run(request.arrival, &request.head.headers).await) })
}

/// Drains.
async fn run(arrival: &Arrival, headers: &HeaderMap) -> Response<Reply> {
    let settings = &arrival.serving.snapshot.gateway;
    if !settings.drain_endpoint {
        return answer(StatusCode::NOT_FOUND, &json!({"detail": "Not Found"}));
    }
    if let Some(token) = &settings.drain_token {
        let given = headers.get("x-drain-token").map_or(&[][..], |value| value.as_bytes());
        if verify_slices_are_equal(given, token.expose().as_bytes()).is_err() {
            let detail = json!({"detail": "Invalid or missing X-Drain-Token"});
            return answer(StatusCode::UNAUTHORIZED, &detail);
        }
    }
    let process = &arrival.worker.process;
    // This request itself is one of them.
    let others = || process.metrics.in_flight.load(Ordering::Relaxed).saturating_sub(1);
    if process.is_draining() {
        return answer(StatusCode::OK, &json!({"status": "drained", "drained_requests": 0}));
    }
    process.drain();
    let before = others();
    tracing::info!("graceful_shutdown_started in_flight_requests={before}");
    let ends = clock::now().millis().plus(settings.shutdown_timeout_ms);
    while others() > 0 && clock::now().millis() < ends {
        tokio::time::sleep(LOOK).await;
    }
    let drained = before.saturating_sub(others());
    tracing::info!("graceful_shutdown_complete drained_requests={drained}");
    answer(StatusCode::OK, &json!({"status": "drained", "drained_requests": drained}))
}

fn answer(status: StatusCode, body: &Value) -> Response<Reply> {
    reply::json(status, body.to_string())
}
