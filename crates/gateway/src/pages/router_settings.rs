//! `GET /router/settings`: the settings of routing in force, and the keys that there are. The shape is LiteLLM's.
//!
//! Called by the router's table. Always true: a value is what routing obeys, whichever section of the config set it.

use std::collections::BTreeMap;

use hale_core::config;
use hale_core::policy::{ByKind, FailureKind};
use hale_core::route::STRATEGIES;
use hale_core::settings::{Fallback, RouterSettings};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::PageRequest;
use crate::http::reply::{self, Reply};

#[derive(Serialize)]
struct Page {
    fields: Vec<Field>,
    current_values: Map<String, Value>,
    routing_strategy_descriptions: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct Field {
    field_name: &'static str,
    field_type: &'static str,
    field_value: Value,
    field_description: &'static str,
    field_default: Option<&'static str>,
    options: Option<Vec<&'static str>>,
    ui_field_name: &'static str,
    link: Option<&'static str>,
}

/// The page.
pub(crate) fn page(request: &PageRequest<'_>) -> Response<Reply> {
    let current_values = values(&request.arrival.serving.snapshot.router);
    let field = |key: config::RouterKey| Field {
        field_name: key.name,
        field_type: key.kind,
        field_value: current_values.get(key.name).cloned().unwrap_or_default(),
        field_description: key.doc,
        field_default: Some(key.default).filter(|default| !default.is_empty()),
        options: (key.name == "routing_strategy")
            .then(|| STRATEGIES.iter().map(|row| row.name).collect()),
        ui_field_name: key.name,
        link: None,
    };
    let fields = config::router_keys().map(field).collect();
    let routing_strategy_descriptions = STRATEGIES.iter().map(|row| (row.name, row.doc)).collect();
    let page = Page { fields, current_values, routing_strategy_descriptions };
    reply::json(StatusCode::OK, serde_json::to_vec(&page).unwrap_or_default())
}

/// The settings in force, by their keys.
pub(super) fn values(router: &RouterSettings) -> Map<String, Value> {
    let seconds = |ms: u64| json!(std::time::Duration::from_millis(ms).as_secs_f64());
    let optional = |ms: Option<u64>| ms.map_or(Value::Null, seconds);
    let aliases = router.aliases.iter().map(|(name, alias)| {
        (name.to_string(), json!({"model": alias.target, "hidden": alias.hidden}))
    });
    let all = json!({
        "routing_strategy": router.strategy.name(),
        "num_retries": router.num_retries,
        "timeout": seconds(router.timeout_ms),
        "stream_timeout": optional(router.stream_timeout_ms),
        "request_timeout": optional(router.request_timeout_ms),
        "max_stream_duration": optional(router.max_stream_ms),
        "max_fallbacks": router.max_fallbacks,
        "max_wait_s": seconds(router.max_wait_ms),
        "max_waiting": router.max_waiting,
        "affinity": router.affinity.name(),
        "rescue": router.rescue.name(),
        "resume_window_s": seconds(router.resume_window_ms),
        "accept_empty_answers": router.accept_empty_answers,
        "allowed_fails": router.tolerance.others,
        "allowed_fails_policy": by_kind(&router.tolerance, "AllowedFails"),
        "retry_policy": by_kind(&router.retry_policy, "Retries"),
        "retry_after": seconds(router.retry_after_ms),
        "cooldown_time": seconds(router.cooldown_ms),
        "disable_cooldowns": router.disable_cooldowns,
        "enable_pre_call_checks": router.pre_call_checks,
        "enable_tag_filtering": router.tags.enabled,
        "tag_filtering_match_any": router.tags.match_any,
        "tag_routing_prefix": Some(&router.tags.prefix).filter(|prefix| !prefix.is_empty()),
        "default_max_parallel_requests": router.default_max_parallel,
        "fallbacks": lists(&router.fallbacks, router),
        "context_window_fallbacks": lists(&router.context_window_fallbacks, router),
        "content_policy_fallbacks": lists(&router.content_policy_fallbacks, router),
        "content_policy_use_general_fallbacks": router.policy_uses_general,
        "default_fallbacks": shown(&router.default_fallbacks, router),
        "model_group_alias": aliases.collect::<Map<_, _>>(),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn by_kind(numbers: &ByKind, ending: &str) -> Value {
    let kinds = FailureKind::ALL.into_iter();
    let set = kinds.filter_map(|kind| {
        let number = numbers.named[kind as usize]?;
        Some((format!("{}{ending}", kind.name()), json!(number)))
    });
    Value::Object(set.collect())
}

fn lists(lists: &BTreeMap<Box<str>, Vec<Fallback>>, router: &RouterSettings) -> Value {
    let list = lists.iter().map(|(group, all)| json!({&**group: shown(all, router)}));
    Value::Array(list.collect())
}

/// Fallbacks as a config writes them: names, and objects where the request changes.
fn shown(all: &[Fallback], router: &RouterSettings) -> Value {
    let one = |one: &Fallback| {
        let changes = one.changes.and_then(|place| router.changes.get(place));
        match changes.map(|text| serde_json::from_str(text)) {
            Some(Ok(Value::Object(mut object))) => {
                object.insert("model".to_owned(), Value::from(&*one.name));
                Value::Object(object)
            }
            Some(_) | None => Value::from(&*one.name),
        }
    };
    all.iter().map(one).collect()
}
