//! What the dashboard reads besides the pages that other clients use: the overview, and the past from the store.
//!
//! Called by the router. Always true: nothing is changed and no upstream is called; a list has a bound; what the store does not
//! answer within its time is an error that says so.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hale_store::{Endings, PastChange, PastRequest, RequestFilter, Store, TrafficRow, Width};
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::assets;
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::offload;
use crate::pages::health::overview as document;
use crate::pages::{PageRequest, Waiting};
use crate::proxy::explain::unix_s;
use crate::state::Serving;

const HOUR_MS: u64 = 3_600_000;
/// The longest past that is shown, hours.
const HOURS_MAX: u64 = 31 * 24;
/// Above that traffic is shown by days.
const MINUTES_MAX_H: u64 = 24;
/// Requests of a page, unless the query says so, and at most.
const REQUESTS: u64 = 100;
const REQUESTS_MAX: u64 = 500;
/// A page of so many bytes is compressed.
const LONG: usize = 32 << 10;
/// A worker makes the overview of so many deployments by itself.
const FEW: usize = 200;

/// `GET /ui/overview`.
pub(crate) fn overview(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let arrival = request.arrival;
        let (process, serving) = (arrival.worker.process.clone(), arrival.serving.clone());
        let addresses = arrival.principal.is_operator();
        let is_small = serving.snapshot.deployments.len() <= FEW;
        let make = move || document::document(&process, &serving, addresses);
        let page = if is_small { make() } else { offload::run(make).await };
        Ok(sent(&request, page).await)
    })
}

/// `GET /ui/history?hours=24`: changes of state, the newest first, from the store, or the few that the process remembers.
pub(crate) fn history(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let since = since(&request)?;
        let changes = match store(&request) {
            Some(store) => {
                store.health_changes(since).await.map_err(unread)?.iter().map(change).collect()
            }
            None => remembered(&request.arrival.serving, since),
        };
        let is_stored = store(&request).is_some();
        let page = json!({
            "since_ms": since,
            "known_since_ms": if is_stored { since } else { clock::started_unix_ms() },
            "changes": changes,
        });
        Ok(sent(&request, page.to_string().into()).await)
    })
}

fn change(change: &PastChange) -> Value {
    json!({
        "at_ms": change.at,
        "replica": change.replica,
        "deployment": change.deployment,
        "credential": change.credential,
        "part": change.part,
        "from": change.from,
        "to": change.to,
        "cause": change.cause,
    })
}

fn remembered(serving: &Serving, since: u64) -> Vec<Value> {
    let now = clock::now().millis();
    let mut all = Vec::new();
    for deployment in &serving.snapshot.deployments {
        for event in deployment.events() {
            let at = unix_s(event.at, now) * 1000;
            // Those of one model say nothing about the whole, and one of a credential is known at each of its deployments.
            if at < since || matches!(event.part, hale_core::health::HealthPart::Model { .. }) {
                continue;
            }
            all.push((
                at,
                json!({
                    "at_ms": at,
                    "deployment": &*deployment.id,
                    "part": event.part.name(),
                    "from": event.from.name(),
                    "to": event.to.name(),
                    "cause": event.cause,
                }),
            ));
        }
    }
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.into_iter().map(|(_, change)| change).collect()
}

/// `GET /ui/requests?...`: finished requests from the store, the newest first.
pub(crate) fn requests(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let text = |name: &str| request.parameter(name).filter(|text| !text.is_empty());
        let (call_id, model) = (text("call_id"), text("model"));
        let (deployment, cause) = (text("deployment"), text("cause"));
        let limit = number(&request, "limit", REQUESTS)?.clamp(1, REQUESTS_MAX);
        let filter = RequestFilter {
            call_id: call_id.as_deref(),
            model: model.as_deref(),
            deployment: deployment.as_deref(),
            cause: cause.as_deref(),
            endings: if text("all").is_some() { Endings::All } else { Endings::Failed },
            since: since(&request)?,
            before: number(&request, "before_ms", 0)?,
            limit,
        };
        let Some(store) = store(&request) else {
            return Ok(page(&json!({"has_store": false, "requests": []})));
        };
        let rows = store.requests(&filter).await.map_err(unread)?;
        let shown: Vec<Value> =
            rows.iter().map(|row| finished(row, &request.arrival.serving)).collect();
        let page = json!({"has_store": true, "limit": limit, "requests": shown});
        Ok(sent(&request, page.to_string().into()).await)
    })
}

fn finished(row: &PastRequest, serving: &Serving) -> Value {
    let snapshot = &serving.snapshot;
    let known = row.deployment.as_deref().and_then(|id| snapshot.by_id.get(id));
    json!({
        "arrived_at_ms": row.arrived_at,
        "replica": row.replica,
        "call_id": row.call_id,
        "operation": row.operation,
        "model": row.requested_model,
        "model_group": row.model_group,
        "deployment": row.deployment,
        "deployment_name": known.map(|index| &*snapshot.deployment(*index).display.name),
        "status": row.status,
        "ending": row.ending,
        "cause": row.cause,
        "stream": row.stream,
        "retries": row.retries,
        "fallbacks": row.fallbacks,
        "duration_us": row.duration_us,
        "first_content_us": row.first_content_us,
        "waited_us": row.waited_us,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cost_usd": row.cost_usd,
    })
}

/// `GET /ui/traffic?hours=1`: what requests met, by minutes, or by days where more than a day is wanted.
pub(crate) fn traffic(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let since = since(&request)?;
        let hours = number(&request, "hours", 24)?;
        let (width, width_s) =
            if hours > MINUTES_MAX_H { (Width::Day, 86_400) } else { (Width::Minute, 60) };
        let Some(store) = store(&request) else {
            return Ok(page(&json!({"has_store": false, "rows": []})));
        };
        // The period that has begun counts.
        let rows = store.traffic(since.saturating_sub(width_s * 1000), width).await;
        let rows: Vec<Value> = rows.map_err(unread)?.iter().map(period).collect();
        let page = json!({"has_store": true, "since_ms": since, "width_s": width_s, "rows": rows});
        Ok(sent(&request, page.to_string().into()).await)
    })
}

/// As a list, because there are many.
fn period(row: &TrafficRow) -> Value {
    json!([
        row.start,
        row.model_group,
        row.deployment,
        row.cause,
        row.requests,
        row.input_tokens,
        row.output_tokens,
        row.cost_usd,
        row.duration_us,
    ])
}

fn store<'r>(request: &PageRequest<'r>) -> Option<&'r std::sync::Arc<Store>> {
    request.arrival.worker.process.store().filter(|store| store.is_wanted())
}

/// The time from which on something is wanted.
fn since(request: &PageRequest<'_>) -> Result<u64, Refusal> {
    let hours = number(request, "hours", 24)?.clamp(1, HOURS_MAX);
    Ok(clock::unix_ms().saturating_sub(hours * HOUR_MS))
}

fn number(request: &PageRequest<'_>, name: &str, default: u64) -> Result<u64, Refusal> {
    match request.parameter(name).filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| refusal::bad_parameter(name, &format!("{name} must be a whole number"))),
    }
}

fn unread(error: hale_store::Error) -> Refusal {
    tracing::debug!(%error, "the dashboard cannot read the store");
    let message = "the store does not answer; see `db` on /health/readiness";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message.to_owned())
}

/// JSON; a long one is compressed for those that take it: with thousands of deployments it is megabytes.
async fn sent(request: &PageRequest<'_>, text: Vec<u8>) -> Response<Reply> {
    if text.len() < LONG || !assets::unpacks(&request.head.headers) {
        return fresh(reply::json(StatusCode::OK, text));
    }
    let mut response =
        fresh(reply::json(StatusCode::OK, offload::run(move || packed(&text)).await));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packing = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::new(4));
    // Writing into memory does not fail.
    let written = packing.write_all(text).and_then(|()| packing.finish());
    written.unwrap_or_default()
}

fn page(content: &Value) -> Response<Reply> {
    fresh(reply::json(StatusCode::OK, content.to_string()))
}

/// Data is never kept by a browser.
fn fresh(mut page: Response<Reply>) -> Response<Reply> {
    page.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}
