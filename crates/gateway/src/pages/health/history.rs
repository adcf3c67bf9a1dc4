//! Results of probes, as LiteLLM's pages show them: the last ones of all, and the last one of each deployment.
//!
//! Called by the router, and by what writes results to the store. Always true: the last result is what this process knows and is
//! never read from the history; a result has the same id on both pages.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use hale_core::health::probe::{Finding, ProbeResult};
use hale_core::time::UnixMs;
use hale_store::{ProbeFilter, ProbeResult as Row};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::known::{Sees, on_demand};
use super::words::error_text;
use crate::clock;
use crate::http::reply::{self, Reply};
use crate::pages::{PageRequest, Waiting};
use crate::state::Serving;
use crate::state::health::Answer;

/// How many results a page has, unless the query says so, and at most.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;
/// The pages are for the master key.
const SEES: Sees = Sees { details: true, addresses: true };
/// What LiteLLM calls its own loop.
const CHECKED_BY: &str = "background_health_check";

/// The row of a probe's result at the deployment with that id; `None` when the config has it no longer, or the probe proved
/// nothing.
pub(crate) fn row(serving: &Serving, id: &str, result: &Arc<ProbeResult>) -> Option<Row> {
    let is_healthy = match result.finding {
        Finding::Healthy | Finding::RateLimited(_) => true,
        Finding::Failing(_) => false,
        Finding::Unknown(_) | Finding::ProbeError => return None,
    };
    let index = *serving.snapshot.by_id.get(id)?;
    let deployment = serving.snapshot.deployment(index);
    let known = on_demand(serving, index, Some(&Answer::Probed(result.clone())), result.ended);
    let checked_at = clock::wall().unix_ms(result.ended);
    #[allow(clippy::cast_precision_loss, reason = "a probe takes minutes at most")]
    let response_time_ms = result.ended.since(result.started) as f64;
    Some(Row {
        id: id_of(id, checked_at),
        model_name: Some((&*serving.snapshot.group(deployment.group).name).into()),
        model_id: Some(id.into()),
        status: if is_healthy { "healthy" } else { "unhealthy" }.into(),
        healthy_count: is_healthy.into(),
        unhealthy_count: (!is_healthy).into(),
        error_message: (!is_healthy).then(|| error_text(deployment, &known, SEES).into()),
        response_time_ms: Some(response_time_ms),
        details: result.cause.map(|cause| json!({"cause": cause.name()}).to_string().into()),
        checked_by: CHECKED_BY.into(),
        checked_at: checked_at.0,
    })
}

/// A UUID of the form 7: the time, then what tells deployments apart.
fn id_of(deployment: &str, at: UnixMs) -> Box<str> {
    let digest = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, deployment).hash(&mut hasher);
        hasher.finish()
    };
    let (first, second) = (digest(1), digest(2));
    let id = format!(
        "{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}",
        at.0 >> 16 & 0xffff_ffff,
        at.0 & 0xffff,
        first & 0xfff,
        0x8000 | (first >> 12 & 0x3fff),
        second & 0xffff_ffff_ffff,
    );
    id.into()
}

fn shown(row: &Row) -> Value {
    let at = rfc3339(row.checked_at);
    let details = row.details.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "health_check_id": row.id,
        "model_name": row.model_name,
        "model_id": row.model_id,
        "status": row.status,
        "healthy_count": row.healthy_count,
        "unhealthy_count": row.unhealthy_count,
        "error_message": row.error_message,
        "response_time_ms": row.response_time_ms,
        "details": details,
        "checked_by": row.checked_by,
        "checked_at": at,
        "created_at": at,
    })
}

/// The time as LiteLLM writes it.
pub(super) fn rfc3339(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or(String::new(), |at| format!("{}+00:00", at.to_string().trim_end_matches('Z')))
}

/// `GET /health/history`: results of probes, the newest first.
pub(crate) fn page(request: PageRequest<'_>, _: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let number = |name: &str, default: u64| match request.parameter(name) {
            None => Ok(default),
            Some(text) => text.parse::<u64>().map_err(|_| name.to_owned()),
        };
        let limit = number("limit", LIMIT).and_then(|limit| match limit {
            1..=LIMIT_MAX => Ok(limit),
            _ => Err("limit".to_owned()),
        });
        let (limit, offset) = match (limit, number("offset", 0)) {
            (Ok(limit), Ok(offset)) => (limit, offset),
            (Err(name), _) | (_, Err(name)) => return Ok(wrong(&name)),
        };
        let (model, status) = (request.parameter("model"), request.parameter("status_filter"));
        let given = |text: &'_ Option<Box<str>>| text.clone().filter(|text| !text.is_empty());
        let (model, status) = (given(&model), given(&status));
        let filter =
            ProbeFilter { model_name: model.as_deref(), status: status.as_deref(), limit, offset };
        let store = request.arrival.worker.process.store().filter(|store| store.is_wanted());
        let Some(store) = store else { return Ok(no_database()) };
        let rows = match store.probe_results(&filter).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "the history of probes cannot be read");
                return Ok(unread());
            }
        };
        let page = json!({
            "health_checks": rows.iter().map(shown).collect::<Vec<_>>(),
            "total_records": rows.len(),
            "limit": limit,
            "offset": offset,
        });
        Ok(reply::json(StatusCode::OK, page.to_string()))
    })
}

/// `GET /health/latest`: the last result of each deployment.
pub(crate) fn latest(request: &PageRequest<'_>) -> Response<Reply> {
    let serving = &request.arrival.serving;
    let mut found = Map::new();
    for deployment in &serving.snapshot.deployments {
        let last = deployment.state.probes().last();
        if let Some(row) = last.and_then(|last| row(serving, &deployment.id, &last)) {
            found.insert(deployment.id.to_string(), shown(&row));
        }
    }
    let page = json!({"total_models": found.len(), "latest_health_checks": found});
    reply::json(StatusCode::OK, page.to_string())
}

fn no_database() -> Response<Reply> {
    let page = json!({"detail": {"error": "Database not initialized"}});
    reply::json(StatusCode::INTERNAL_SERVER_ERROR, page.to_string())
}

/// LiteLLM answers with an empty list, which reads as if there had been no probe.
fn unread() -> Response<Reply> {
    let page =
        json!({"detail": {"error": "the database does not answer; see db in /health/readiness"}});
    reply::json(StatusCode::SERVICE_UNAVAILABLE, page.to_string())
}

fn wrong(name: &str) -> Response<Reply> {
    let range = if name == "limit" { "from 1 to 1000" } else { "from 0" };
    let entry = json!({
        "type": "value_error",
        "loc": ["query", name],
        "msg": format!("{name} must be a whole number {range}"),
    });
    reply::json(StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": [entry]}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_that_sort_by_time_and_differ_by_deployment() {
        let ids = [("a", 1_000_000), ("a", 1_000_001), ("a", 1 << 20)]
            .map(|(deployment, at)| id_of(deployment, UnixMs(at)));
        assert!(ids[0] < ids[1] && ids[1] < ids[2], "{ids:?}");
        assert_ne!(id_of("b", UnixMs(1_000_000)), ids[0]);
        let parsed: uuid::Uuid = ids[0].parse().unwrap();
        assert_eq!(parsed.get_version_num(), 7);
        assert_eq!(id_of("a", UnixMs(1_000_000)), ids[0]);
    }

    #[test]
    fn times_have_their_zone_as_the_reference_writes_it() {
        assert_eq!(rfc3339(1_767_225_600_000), "2026-01-01T00:00:00+00:00");
        assert_eq!(rfc3339(1_767_225_600_120), "2026-01-01T00:00:00.12+00:00");
    }
}
