//! `/status`: how the groups are, for any client, where the operator says so.
//!
//! Called by the router. Always true: it names groups only; no deployment, address, provider, key or message of a provider is in
//! it; without `status_page: public` it is not there.

use hale_core::incident::{AlertSettings, Event, Incident};
use hale_core::provider::WireFormat;
use hale_core::settings::StatusPage;
use hale_core::time::rfc3339;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::assets;
use crate::clock;
use crate::http::refusal;
use crate::http::reply::{self, Reply};
use crate::pages::health::overview;
use crate::pages::{PageRequest, Waiting};

/// Incidents that are shown.
const INCIDENTS: usize = 20;
/// How many of the store are looked through.
const LOOKED: u64 = 100;

/// `GET /status`.
pub(crate) fn page(request: &PageRequest<'_>) -> Response<Reply> {
    if !is_public(request) {
        return not_there(request);
    }
    if request.head.uri.path().ends_with('/') {
        // The page names its files by relative paths.
        return assets::redirect("../status");
    }
    assets::send("status.html", &request.head.headers)
}

/// `GET /status/data`.
pub(crate) fn data(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        if !is_public(&request) {
            return Ok(not_there(&request));
        }
        let (process, serving) = (&request.arrival.worker.process, &request.arrival.serving);
        let groups = serving.snapshot.listed_groups();
        let groups: Vec<Value> = groups
            .map(|group| json!({"name": &*group.name, "state": overview::state_of_group(serving, group)}))
            .collect();
        let settings = &serving.snapshot.gateway.alerts;
        let open = process.alerts.incidents.load_full();
        let kept = match process.store() {
            Some(store) => store.latest_incidents(LOOKED).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let is_kept = |id: &str| !open.iter().any(|one| *one.id == *id);
        let kept = kept.iter().filter(|row| is_kept(&row.id));
        let kept = kept.filter_map(|row| serde_json::from_str::<Incident>(&row.state).ok());
        let known = |name: &str| serving.snapshot.listed_groups().any(|group| *group.name == *name);
        let incidents: Vec<Value> = (open.iter().rev().cloned())
            .chain(kept)
            .filter_map(|incident| shown(&incident, settings, known))
            .take(INCIDENTS)
            .collect();
        let page = json!({"unix_ms": clock::unix_ms(), "groups": groups, "incidents": incidents});
        let mut answer = reply::json(StatusCode::OK, page.to_string());
        let fresh = HeaderValue::from_static("no-store");
        answer.headers_mut().insert(header::CACHE_CONTROL, fresh);
        Ok(answer)
    })
}

fn is_public(request: &PageRequest<'_>) -> bool {
    match request.arrival.serving.snapshot.gateway.status_page {
        StatusPage::Public => true,
        StatusPage::Off => false,
    }
}

fn not_there(request: &PageRequest<'_>) -> Response<Reply> {
    refusal::unknown_route(&Method::GET, request.head.uri.path(), None)
        .into_response(WireFormat::OpenAi)
}

/// An incident that left clients of a group without an answer; of others no client needs to know.
fn shown(
    incident: &Incident,
    settings: &AlertSettings,
    known: impl Fn(&str) -> bool,
) -> Option<Value> {
    let event = if incident.is_down() { Event::Opened } else { Event::Resolved };
    let mut groups = incident.message(event, settings).groups_down;
    groups.retain(|name| known(name));
    if groups.is_empty() {
        return None;
    }
    Some(json!({
        "groups": groups,
        "since": rfc3339(incident.since),
        "ended": incident.ended.map(rfc3339),
    }))
}
