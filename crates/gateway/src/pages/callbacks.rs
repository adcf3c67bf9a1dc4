//! The callbacks in force, and what became of the records that were sent to them. The shapes are LiteLLM's.
//!
//! Called by the router, for operators. Always true: no credential is on these pages, only whether it is set.

use hale_core::incident::AlertSettings;
use hale_core::settings::SinkSettings;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::PageRequest;
use crate::http::reply::{self, Reply};
use crate::pages::router_settings;
use crate::service;

/// What is shown of a variable that is set.
const HIDDEN: &str = "********";

/// `GET /active/callbacks` and `GET /settings`.
pub(crate) fn active(request: &PageRequest<'_>) -> Response<Reply> {
    let snapshot = &request.arrival.serving.snapshot;
    let settings = &snapshot.gateway.sinks;
    let of = |key: &str| -> Vec<&str> {
        settings.listed.iter().filter(|(list, _)| *list == key).map(|(_, name)| &**name).collect()
    };
    let (both, successes, failures) =
        (of("callbacks"), of("success_callback"), of("failure_callback"));
    let all: Vec<&str> = [&both[..], &failures, &successes].concat();
    let alerting = alerting(&snapshot.gateway.alerts);
    let page = json!({
        "alerting": if alerting.is_empty() { "None".to_owned() } else { format!("['{}']", alerting.join("', '")) },
        "litellm.callbacks": both,
        "litellm.input_callback": [],
        "litellm.failure_callback": failures,
        "litellm.success_callback": successes,
        "litellm._async_success_callback": [],
        "litellm._async_failure_callback": [],
        "litellm._async_input_callback": [],
        "all_litellm_callbacks": all,
        "num_callbacks": all.len(),
        "num_alerting": alerting.len(),
        "litellm.request_timeout": snapshot.router.request_timeout_ms.map(|ms| ms / 1000),
        "sinks": sinks(request),
    });
    reply::json(StatusCode::OK, page.to_string())
}

/// The kinds of channels that people are told by.
fn alerting(settings: &AlertSettings) -> Vec<&str> {
    let mut kinds: Vec<&str> =
        settings.channels.iter().map(|channel| channel.place.name()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// What became of records, by sink.
fn sinks(request: &PageRequest<'_>) -> Vec<Value> {
    let settings = &request.arrival.serving.snapshot.gateway.sinks;
    let messages =
        |name: &str| settings.sinks.iter().any(|sink| *sink.name == *name && sink.messages);
    let figures = request.arrival.worker.process.sinks.exports.figures().into_iter();
    let shown = figures.map(|(name, figures)| {
        json!({
            "name": name,
            "gets_messages": messages(&name),
            "sent": figures.sent,
            "lost": figures.lost,
            "failures": figures.failures,
            "queued_bytes": figures.queued_bytes,
            "spooled_bytes": figures.spooled_bytes,
            "error": figures.error,
        })
    });
    shown.collect()
}

/// `GET /get/config/callbacks`.
pub(crate) fn config(request: &PageRequest<'_>) -> Response<Reply> {
    let settings = &request.arrival.serving.snapshot.gateway.sinks;
    let callbacks: Vec<Value> = settings
        .listed
        .iter()
        .map(|(key, name)| {
            let kind = match *key {
                "success_callback" => "success",
                "failure_callback" => "failure",
                _ => "success_and_failure",
            };
            json!({"name": name, "variables": variables(settings, name), "type": kind})
        })
        .collect();
    let alerts = &request.arrival.serving.snapshot.gateway.alerts;
    let alerts: Vec<Value> = alerting(alerts)
        .into_iter()
        .map(|kind| {
            json!({"name": kind, "variables": variables(settings, kind), "active_alerts": [], "alerts_to_webhook": null})
        })
        .collect();
    let available: Map<String, Value> = service::SERVICES
        .iter()
        .filter(|service| service.is_callback())
        .map(|service| {
            let shown = json!({
                "litellm_callback_name": service.name,
                "litellm_callback_params": service.variables,
                "ui_callback_name": service.name,
            });
            (service.name.to_owned(), shown)
        })
        .collect();
    let page = json!({
        "status": "success",
        "callbacks": callbacks,
        "alerts": alerts,
        "router_settings": router_settings::values(&request.arrival.serving.snapshot.router),
        "available_callbacks": available,
    });
    reply::json(StatusCode::OK, page.to_string())
}

/// The variables of a callback or a kind of channel: whether each is set, never what it holds.
fn variables(settings: &SinkSettings, name: &str) -> Map<String, Value> {
    let named = service::named(name).map_or(&[][..], |service| service.variables);
    let shown = |variable: &str| match settings.set.contains(&variable) {
        true => json!(HIDDEN),
        false => Value::Null,
    };
    named.iter().map(|variable| ((*variable).to_owned(), shown(variable))).collect()
}
