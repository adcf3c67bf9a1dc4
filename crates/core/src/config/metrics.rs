//! What `/metrics` shows: the keys of `litellm_settings` about it.
//!
//! Called by [`super::settings`]. Always true: a name that is not that of a family is said with the nearest ones; labels whose
//! values come from clients exist only where a key here names them.

use crate::settings::{ClientLabel, ClientSource, MetricsSettings, ShownMetrics};

use super::field::Field;
use super::problem::{Path, Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};
use super::tree::Node;
use super::value;

/// Most bounds of buckets.
const BUCKETS_MAX: usize = 100;
/// Most labels whose values come from clients.
const LABELS_MAX: usize = 16;
/// The longest time that a bound may be, seconds.
const BOUND_MAX: f64 = 1e6;

/// The families of LiteLLM's names that are served and can be chosen.
#[rustfmt::skip]
pub(super) const SERVED: &[&str] = &[
    "litellm_api_key_budget_remaining_hours_metric", "litellm_api_key_max_budget_metric", "litellm_cache_hits_metric",
    "litellm_cache_misses_metric", "litellm_callback_logging_failures_metric",
    "litellm_customer_budget_remaining_hours_metric", "litellm_customer_max_budget_metric",
    "litellm_deployment_cooled_down", "litellm_deployment_failed_fallbacks", "litellm_deployment_failure_responses",
    "litellm_deployment_latency_per_output_token", "litellm_deployment_rpm_limit", "litellm_deployment_state",
    "litellm_deployment_success_responses", "litellm_deployment_successful_fallbacks",
    "litellm_deployment_total_requests", "litellm_deployment_tpm_limit", "litellm_images_generated_metric",
    "litellm_in_flight_requests", "litellm_input_audio_tokens_metric", "litellm_input_cache_creation_tokens_metric",
    "litellm_input_cached_tokens_metric", "litellm_input_tokens_metric", "litellm_llm_api_failed_requests_metric",
    "litellm_llm_api_latency_metric", "litellm_llm_api_time_to_first_token_metric",
    "litellm_org_budget_remaining_hours_metric", "litellm_org_max_budget_metric",
    "litellm_output_audio_tokens_metric", "litellm_output_reasoning_tokens_metric", "litellm_output_tokens_metric",
    "litellm_overhead_latency_metric", "litellm_overhead_with_guardrails_latency_metric",
    "litellm_provider_cache_creation_input_tokens_metric", "litellm_provider_cache_read_input_tokens_metric",
    "litellm_provider_remaining_budget_metric", "litellm_proxy_failed_requests_metric",
    "litellm_proxy_total_requests_metric", "litellm_remaining_api_key_budget_metric",
    "litellm_remaining_customer_budget_metric", "litellm_remaining_org_budget_metric",
    "litellm_remaining_requests_metric", "litellm_remaining_team_budget_metric", "litellm_remaining_tokens_metric",
    "litellm_remaining_user_budget_metric", "litellm_request_queue_time_seconds",
    "litellm_request_total_latency_metric", "litellm_requests_metric", "litellm_spend_metric",
    "litellm_team_budget_remaining_hours_metric", "litellm_team_max_budget_metric", "litellm_total_tokens_metric",
    "litellm_user_budget_remaining_hours_metric", "litellm_user_max_budget_metric",
];

/// The names of families that a config can choose, of those that are served.
#[must_use]
pub const fn served() -> &'static [&'static str] {
    SERVED
}

/// Those that Hale has no numbers for.
#[rustfmt::skip]
const OTHERS: &[&str] = &[
    "litellm_api_key_rate_limit_allowed_metric", "litellm_api_key_rate_limit_used_metric",
    "litellm_cached_tokens_metric", "litellm_check_batch_cost_errors_total", "litellm_check_batch_cost_jobs_polled",
    "litellm_check_batch_cost_jobs_processed_total", "litellm_check_batch_cost_last_run_timestamp",
    "litellm_guardrail_errors_total", "litellm_guardrail_latency_seconds", "litellm_guardrail_requests_total",
    "litellm_in_memory_daily_spend_update_queue_size", "litellm_in_memory_spend_update_queue_size",
    "litellm_managed_batch_created_total", "litellm_managed_batch_duration_seconds",
    "litellm_managed_file_created_total", "litellm_managed_file_deleted_total", "litellm_managed_file_size_bytes",
    "litellm_mcp_tool_call_spend_metric", "litellm_mcp_tool_calls_total", "litellm_pod_lock_manager_size",
    "litellm_project_model_rate_limit_allowed_metric", "litellm_project_model_rate_limit_used_metric",
    "litellm_redis_daily_spend_update_queue_size", "litellm_redis_spend_update_queue_size",
    "litellm_remaining_api_key_requests_for_model", "litellm_remaining_api_key_tokens_for_model",
    "litellm_spend_capture_rate", "litellm_team_members_metric", "litellm_team_rate_limit_allowed_metric",
    "litellm_team_rate_limit_used_metric", "litellm_video_duration_seconds_metric",
    "litellm_zero_cost_requests_total",
];

/// Labels of clients, which are empty unless a group names them.
const OF_CLIENTS: [(&str, ClientSource); 3] = [
    ("end_user", ClientSource::EndUser),
    ("client_ip", ClientSource::Ip),
    ("user_agent", ClientSource::Agent),
];

/// Reads a key; false if it is about something else.
pub(super) fn setting(
    metrics: &mut MetricsSettings,
    field: &Field<'_>,
    problems: &mut Problems,
) -> bool {
    match field.row.name {
        "prometheus_latency_buckets" => {
            if let Some(bounds) = buckets(field, problems) {
                metrics.latency_buckets = bounds;
            }
        }
        "prometheus_metrics_config" => metrics.shown = groups(field, metrics, problems),
        "custom_prometheus_metadata_labels" => {
            for text in texts(field, problems) {
                let path = text.strip_prefix("metadata.").unwrap_or(&text);
                let names = path.split('.').map(Box::from).collect();
                add(metrics, field, (&text, ClientSource::Metadata(names)), problems);
            }
        }
        "custom_prometheus_tags" => {
            for text in texts(field, problems) {
                add(
                    metrics,
                    field,
                    (&format!("tag_{text}"), ClientSource::Tag(text.clone())),
                    problems,
                );
            }
        }
        _ => return false,
    }
    true
}

/// Bounds of buckets, ascending; `None` if one is wrong.
fn buckets(field: &Field<'_>, problems: &mut Problems) -> Option<Vec<f64>> {
    let items = field.list(problems)?;
    let mut bounds = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let is_infinite = item.text().is_some_and(|text| {
            matches!(
                text.trim().trim_start_matches('+').to_ascii_lowercase().as_str(),
                "inf" | ".inf"
            )
        });
        // The last one is always there.
        if is_infinite {
            continue;
        }
        match value::number(item, 0.0, BOUND_MAX) {
            Ok(bound) if bound > 0.0 => bounds.push(bound),
            Ok(_) => {
                let wrong = Wrong::new("0 is no bound of a bucket", "write seconds above 0");
                field.wrong_in(item.at, &field.path.item(place), wrong, problems);
                return None;
            }
            Err(wrong) => {
                field.wrong_in(item.at, &field.path.item(place), wrong, problems);
                return None;
            }
        }
    }
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    if bounds.is_empty() || bounds.len() > BUCKETS_MAX {
        let problem = format!("{} bounds of buckets", bounds.len());
        field.wrong(Wrong::new(problem, format!("write 1 to {BUCKETS_MAX} of them")), problems);
        return None;
    }
    Some(bounds)
}

/// The groups of families that are shown; `None`, which shows all, if there is none.
fn groups(
    field: &Field<'_>,
    settings: &mut MetricsSettings,
    problems: &mut Problems,
) -> Option<Vec<ShownMetrics>> {
    let mut groups = Vec::new();
    for (place, item) in field.list(problems)?.iter().enumerate() {
        let path = field.path.item(place);
        let Some(names) = item.as_map().and_then(|map| map.get("metrics")) else {
            let wrong = Wrong::new("a group without `metrics`", "write `metrics: [names]` in it");
            field.wrong_in(item.at, &path, wrong, problems);
            continue;
        };
        let metrics_path = path.key("metrics");
        let metrics = listed(names, field, &metrics_path, problems);
        metrics.iter().for_each(|name| check(name, names, &metrics_path, problems));
        let labels =
            item.as_map().and_then(|map| map.get("include_labels")).filter(|node| !node.is_null());
        let labels_path = path.key("include_labels");
        let labels = labels.map(|labels| listed(labels, field, &labels_path, problems));
        for (name, source) in OF_CLIENTS {
            if labels.iter().flatten().any(|label| **label == *name) {
                add(settings, field, (name, source), problems);
            }
        }
        groups.push(ShownMetrics { metrics, labels });
    }
    (!groups.is_empty()).then_some(groups)
}

/// Says what is wrong with the name of a family.
fn check(name: &str, at: &Node, path: &Path<'_>, problems: &mut Problems) {
    if SERVED.contains(&name) {
        return;
    }
    let wrong = if OTHERS.contains(&name) {
        Wrong::new(format!("`{name}` is not served"), "docs/metrics.md has what is")
    } else {
        let near = nearest(name, SERVED.iter().chain(OTHERS).copied());
        let hint = match near.is_empty() {
            true => "docs/metrics.md has the names; those that begin with `hale_` are always shown"
                .to_owned(),
            false => did_you_mean(&near),
        };
        Wrong::new(format!("`{}` is no metric", shown(name)), hint)
    };
    problems.warn(at.at, path, wrong);
}

/// The texts of a list, or of one text.
fn texts(field: &Field<'_>, problems: &mut Problems) -> Vec<Box<str>> {
    listed(field.node, field, &field.path, problems)
}

fn listed(
    node: &Node,
    field: &Field<'_>,
    path: &Path<'_>,
    problems: &mut Problems,
) -> Vec<Box<str>> {
    let alone = std::slice::from_ref(node);
    let mut found = Vec::new();
    for (place, item) in node.items().unwrap_or(alone).iter().enumerate() {
        match value::text(item) {
            Ok(text) => found.push(Box::from(text.trim())),
            Err(wrong) => field.wrong_in(item.at, &path.item(place), wrong, problems),
        }
    }
    found
}

/// Adds a label whose values come from clients.
fn add(
    metrics: &mut MetricsSettings,
    field: &Field<'_>,
    (name, source): (&str, ClientSource),
    problems: &mut Problems,
) {
    let name = label_name(name);
    if metrics.client_labels.iter().any(|label| label.name == name) {
        return;
    }
    if metrics.client_labels.len() == LABELS_MAX {
        let problem = format!("more than {LABELS_MAX} labels whose values come from clients");
        field.warn(
            Wrong::new(problem, format!("`{name}` and those after it are left out")),
            problems,
        );
        return;
    }
    metrics.client_labels.push(ClientLabel { name, source });
}

/// A name that a label can have, as LiteLLM makes it: letters, digits and underscores.
fn label_name(text: &str) -> Box<str> {
    let fit = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = text.chars().map(fit).collect();
    match name.chars().next() {
        Some(first) if !first.is_ascii_digit() => name.into(),
        _ => format!("_{name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_labels_are_made_as_litellm_makes_them() {
        for (text, name) in [
            ("metadata.team", "metadata_team"),
            ("tag_User-Agent: curl/*", "tag_User_Agent__curl__"),
            ("1st", "_1st"),
            ("", "_"),
        ] {
            assert_eq!(&*label_name(text), name);
        }
    }

    #[test]
    fn each_name_is_in_one_list_once() {
        let mut names: Vec<&str> = SERVED.iter().chain(OTHERS).copied().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
