//! What a config may say of `/metrics`.

use super::*;
use crate::settings::{ClientSource, LATENCY_BUCKETS, Shown};

#[test]
fn which_metrics_are_shown_and_with_which_labels() {
    let groups = "litellm_settings:\n  prometheus_metrics_config:\n  - group: cost\n    metrics: \
                  [litellm_spend_metric]\n    include_labels: [model, end_user, client_ip]\n  - metrics: \
                  [litellm_deployment_state]\n  custom_prometheus_tags: [prod]\n  \
                  custom_prometheus_metadata_labels: [metadata.a.b]\n  prometheus_latency_buckets: [5, 0.5, .inf, '1']\n";
    let metrics = with(groups).clean().gateway.metrics.clone();
    assert_eq!(metrics.latency_buckets, [0.5, 1.0, 5.0]);
    let Shown::With(labels) = metrics.shows("litellm_spend_metric") else { panic!("with labels") };
    assert_eq!(labels.len(), 3);
    assert_eq!(metrics.shows("litellm_deployment_state"), Shown::Whole);
    assert_eq!(metrics.shows("litellm_total_tokens_metric"), Shown::Not);
    let labels: Vec<_> =
        metrics.client_labels.iter().map(|label| (&*label.name, &label.source)).collect();
    let path = ClientSource::Metadata(vec!["a".into(), "b".into()]);
    for (name, source) in [
        ("end_user", &ClientSource::EndUser),
        ("client_ip", &ClientSource::Ip),
        ("tag_prod", &ClientSource::Tag("prod".into())),
        ("metadata_a_b", &path),
    ] {
        assert!(labels.contains(&(name, source)), "{name}: {labels:?}");
    }
    assert_eq!(labels.len(), 4, "user_agent is not listed");
    let unset = with("").clean().gateway.metrics.clone();
    assert_eq!(unset.shows("litellm_total_tokens_metric"), Shown::Whole);
    assert_eq!((&unset.latency_buckets[..], unset.client_labels.len()), (LATENCY_BUCKETS, 0));
}

#[test]
fn names_that_are_no_metrics_or_not_served_are_told() {
    for (name, says) in [
        (
            "litellm_spend_metrics",
            "`litellm_spend_metrics` is no metric. did you mean `litellm_spend_metric`?",
        ),
        (
            "litellm_mcp_tool_calls_total",
            "`litellm_mcp_tool_calls_total` is not served. docs/metrics.md has what is",
        ),
        ("hale_requests", "`hale_requests` is no metric. docs/metrics.md has the names"),
    ] {
        let text =
            format!("litellm_settings: {{prometheus_metrics_config: [{{metrics: [{name}]}}]}}\n");
        let (_, warnings) = with(&text).warned();
        one(&warnings, says);
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
    }
    for (text, says) in [
        ("prometheus_metrics_config: [{group: a}]", "a group without `metrics`"),
        ("prometheus_latency_buckets: [0]", "0 is no bound of a bucket"),
        ("prometheus_latency_buckets: []", "0 bounds of buckets"),
    ] {
        let (snapshot, warnings) = with(&format!("litellm_settings: {{{text}}}\n")).warned();
        one(&warnings, says);
        assert_eq!(snapshot.gateway.metrics.latency_buckets, LATENCY_BUCKETS, "{text}");
    }
}
