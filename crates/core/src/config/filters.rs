//! What would look at requests and answers in LiteLLM: guardrails, and callbacks, among which are filters, own Python code and
//! sinks of logs.
//!
//! Called by the readers of the top and of `litellm_settings`. Always true: a filter that is always on refuses the config,
//! because requests that it should stop would pass; of every other one it is said what is lost.

use super::field::Field;
use super::problem::{Path, Problems, Wrong, shown};
use super::sinks;
use super::suggest::{did_you_mean, nearest};
use super::tree::{Map, Node, Style, Value};
use super::value::{describe_kind, flag};

/// Callbacks that stop or change requests because of what is in them.
#[rustfmt::skip]
const FILTERS: &[&str] = &[
    "aporia_prompt_injection", "azure_content_safety", "banned_keywords", "blocked_user_check", "detect_prompt_injection",
    "google_text_moderation", "hide_secrets", "lakera_prompt_injection", "llamaguard_moderations", "llmguard_moderations",
    "openai_moderations", "presidio",
];

/// Callbacks that add something to requests, or order them.
#[rustfmt::skip]
const HELPERS: &[&str] = &[
    "anthropic_cache_control_hook", "batch_redis_requests", "bitbucket", "code_interpreter_interception",
    "compression_interception", "dotprompt", "dynamic_rate_limiter", "dynamic_rate_limiter_v3", "gitlab", "litellm_agent",
    "vector_store_pre_call_hook", "websearch_interception",
];

/// Callbacks to which LiteLLM sends logs, metrics, costs or messages. Those that are served are in [`super::sinks`].
#[rustfmt::skip]
const SINKS: &[&str] = &[
    "agentops", "argilla", "arize", "arize_phoenix", "athina", "aws_sqs", "azure_sentinel", "azure_storage", "braintrust",
    "clickhouse", "cloudzero", "custom_callback_api", "datadog", "datadog_cost_management", "datadog_llm_observability",
    "datadog_metrics", "deepeval", "dynamodb", "email", "focus", "galileo", "gcs_bucket", "gcs_pubsub", "generic",
    "generic_api", "greenscale", "helicone", "humanloop", "lago", "langfuse", "langfuse_otel", "langsmith", "langtrace",
    "levo", "literalai", "logfire", "lunary", "mavvrik", "mlflow", "newrelic", "openmeter", "opik", "otel", "pagerduty",
    "pointfive", "posthog", "promptlayer", "resend_email", "s3", "s3_v2", "sendgrid_email", "sentry", "signoz", "slack",
    "smtp_email", "sqs", "supabase", "ternary", "traceloop", "vantage", "wandb", "weave_otel", "webhook", "zerobus",
];

/// The one that is served by `/metrics`.
const METRICS: &str = "prometheus";
/// The lists whose sinks get records of requests.
const FED: [&str; 3] = ["callbacks", "success_callback", "failure_callback"];
/// The lists whose sinks would get records of Redis and the database.
const OF_SERVICES: [&str; 2] = ["service_callback", "service_callbacks"];

/// `callbacks`, `success_callback` and their kin.
pub(super) fn callbacks(field: &Field<'_>, served: &mut sinks::Written, problems: &mut Problems) {
    let (path, node) = (&field.path, field.node);
    let mut sinks: Vec<&str> = Vec::new();
    let mut listed = |item: &Node, path: &Path<'_>, problems: &mut Problems| {
        let Some(name) = item.text().map(str::trim).filter(|name| !name.is_empty()) else {
            return callback(item, path, problems);
        };
        let is_fed = FED.contains(&field.row.name);
        if (is_fed && served.serves(name)) || name == METRICS {
            served.lists(field.row.name, name, item.at);
            return None;
        }
        let sink = callback(item, path, problems);
        if is_fed && sink.is_some() {
            served.lists(field.row.name, name, item.at);
        }
        sink
    };
    match &node.value {
        Value::List(items) => {
            for (i, item) in items.iter().enumerate() {
                sinks.extend(listed(item, &path.item(i), problems));
            }
        }
        Value::Scalar(..) => sinks.extend(listed(node, path, problems)),
        Value::Map(_) | Value::Missing(_) => {
            let problem = format!("expected a list of names, got {}", describe_kind(node));
            field.warn(Wrong::new(problem, "write `[langfuse]`"), problems);
        }
    }
    if !sinks.is_empty() {
        let names: Vec<String> = sinks.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        let (problem, hint) = if OF_SERVICES.contains(&field.row.name) {
            (
                format!("nothing about Redis and the database is sent to {names}"),
                "`/metrics` has it",
            )
        } else {
            let hint = "`otel`, `generic_api` and `s3` are served, and `/metrics` has the counters";
            (format!("not served yet: nothing is sent to {names}"), hint)
        };
        field.warn(Wrong::new(problem, hint), problems);
    }
}

/// Reports one callback, or returns its name if it is a sink.
fn callback(node: &Node, path: &Path<'_>, problems: &mut Problems) -> Option<&'static str> {
    let name = match &node.value {
        Value::Scalar(text, _) if node.text().is_some_and(|text| !text.is_empty()) => text.trim(),
        Value::Scalar(..) | Value::Missing(_) => return None,
        Value::List(_) | Value::Map(_) => {
            let problem = format!("expected a name, got {}", describe_kind(node));
            problems.warn(node.at, path, Wrong::new(problem, "write its name alone"));
            return None;
        }
    };
    if name == METRICS {
        return None;
    }
    if let Some(sink) = SINKS.iter().find(|sink| **sink == name) {
        return Some(sink);
    }
    let is_shown = !matches!(node.value, Value::Scalar(_, Style::Environment));
    let named = if is_shown { format!("`{}`", shown(name)) } else { "it".to_owned() };
    if FILTERS.contains(&name) {
        let problem = format!(
            "{named} is not served: requests that it should stop or change would pass as they are"
        );
        problems.error(node.at, path, Wrong::new(problem, "remove it to go without it"));
    } else if HELPERS.contains(&name) {
        let problem = format!("{named} is not served yet: what it adds to requests is lost");
        problems.warn(node.at, path, Wrong::new(problem, ""));
    } else if name.contains('.') {
        let problem = format!(
            "{named} is Python code, which is never run: if it rejects or changes requests, that is lost"
        );
        problems.warn(
            node.at,
            path,
            Wrong::new(problem, "remove it, or do the same in front of Hale"),
        );
    } else {
        let known = FILTERS.iter().chain(HELPERS).chain(SINKS).copied().chain([METRICS]);
        let near = if is_shown { did_you_mean(&nearest(name, known)) } else { String::new() };
        problems.warn(
            node.at,
            path,
            Wrong::new(format!("unknown callback {named}: ignored"), near),
        );
    }
    None
}

/// `guardrails`, at the top or in the older form of `litellm_settings`.
pub(super) fn guardrails(field: &Field<'_>, problems: &mut Problems) {
    let Some(items) = field.node.items() else {
        let problem = format!("expected a list, got {}", describe_kind(field.node));
        let hint = "remove it: a guardrail that cannot be read may be one that is always on";
        problems.error(field.node.at, &field.path, Wrong::new(problem, hint));
        return;
    };
    let mut is_refused = false;
    for (i, item) in items.iter().enumerate() {
        let Some((name, node)) = item.as_map().and_then(always_on) else { continue };
        is_refused = true;
        let problem = format!(
            "guardrail `{}` is always on and is not served: requests that it should stop would pass",
            shown(name)
        );
        let hint = "remove it, or its `default_on`, to go without it";
        problems.error(node.at, &field.path.item(i), Wrong::new(problem, hint));
    }
    if !is_refused && !items.is_empty() {
        let problem = "no guardrail is served, and none of these is always on: a request that names one is refused";
        field.warn(Wrong::new(problem, ""), problems);
    }
}

/// The name of a guardrail that runs for every request, and what says so.
fn always_on(item: &Map) -> Option<(&str, &Node)> {
    let switch = |node: &'_ Node| -> bool { !node.is_unset() && flag(node) != Ok(false) };
    if let Some(params) = item.get("litellm_params") {
        let node = params.as_map()?.get("default_on").filter(|node| switch(node))?;
        let name = item.get("guardrail_name").and_then(Node::text).unwrap_or("without a name");
        return Some((name, node));
    }
    // The older form: its name is the key.
    item.entries.iter().find_map(|entry| {
        let node = entry.value.as_map()?.get("default_on").filter(|node| switch(node))?;
        Some((&*entry.key, node))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_is_of_one_kind() {
        let mut names: Vec<&str> =
            FILTERS.iter().chain(HELPERS).chain(SINKS).copied().chain([METRICS]).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
