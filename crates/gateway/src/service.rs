//! The services that can be tested by name: the sinks of records, and what tells people.
//!
//! Read by `GET /health/services`. Always true: a service is one row, with every name that LiteLLM has for it and the variables that
//! it needs; a test sends what the service would get from a request, by the same code, and says what the service said.

use std::sync::Arc;

use crate::alert;
use crate::sink::export::Exporter;
use crate::state::Process;

/// One service.
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where a config turns it on.
    pub(crate) key: &'static str,
    /// The variables that it needs.
    pub(crate) variables: &'static [&'static str],
    /// What tests it.
    by: By,
    /// How the result is worded.
    pub(crate) wording: Wording,
}

/// What tests a service.
#[derive(Clone, Copy)]
enum By {
    /// The sinks of the callback with that name.
    Sink(&'static str),
    /// The channels of alerts of that kind.
    Channel(&'static str),
    /// The page of metrics.
    Metrics,
    /// Nothing: it is known and not served.
    Nothing,
}

/// How LiteLLM words the result of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    /// `success`, or an error.
    Success,
    /// `healthy` or `unhealthy`.
    Healthy,
}

/// The result of a test.
pub(crate) enum Tested {
    /// It works.
    Works,
    /// It does not, and why.
    Fails(String),
    /// The config does not turn it on, or a variable lacks.
    NotConfigured,
    /// Nothing is sent to it.
    NotServed,
}

const CALLBACKS: &str = "litellm_settings.callbacks";
const ALERTING: &str = "general_settings.alerting";
const LANGFUSE: &[&str] = &["LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGFUSE_HOST"];

const fn sink(name: &'static str, variables: &'static [&'static str]) -> Service {
    Service { name, key: CALLBACKS, variables, by: By::Sink(name), wording: Wording::Success }
}

const fn nothing(name: &'static str, variables: &'static [&'static str]) -> Service {
    Service { name, key: CALLBACKS, variables, by: By::Nothing, wording: Wording::Success }
}

/// A service by which people are told; `kind` is the kind of its channels.
const fn alert(
    name: &'static str,
    kind: &'static str,
    variables: &'static [&'static str],
) -> Service {
    Service { name, key: ALERTING, variables, by: By::Channel(kind), wording: Wording::Success }
}

impl Service {
    const fn healthy(self) -> Service {
        Service { wording: Wording::Healthy, ..self }
    }

    const fn sent_to(self, callback: &'static str) -> Service {
        Service { by: By::Sink(callback), ..self }
    }
}

/// All services.
#[rustfmt::skip] // A row a line.
pub(crate) static SERVICES: &[Service] = &[
    alert("slack", "slack", &["SLACK_WEBHOOK_URL"]),
    alert("slack_budget_alerts", "slack", &["SLACK_WEBHOOK_URL"]),
    alert("ms_teams", "ms_teams", &["MS_TEAMS_WEBHOOK_URL"]),
    alert("webhook", "webhook", &["WEBHOOK_URL"]),
    alert("email", "email", &["SMTP_HOST", "SMTP_PORT", "SMTP_USERNAME", "SMTP_PASSWORD", "SMTP_SENDER_EMAIL"]),
    sink("langfuse", LANGFUSE),
    sink("langfuse_otel", LANGFUSE),
    sink("langsmith", &["LANGSMITH_API_KEY", "LANGSMITH_PROJECT"]),
    sink("datadog", &["DD_API_KEY", "DD_SITE"]).healthy(),
    nothing("datadog_llm_observability", &["DD_API_KEY", "DD_SITE"]).healthy(),
    nothing("datadog_metrics", &["DD_API_KEY", "DD_SITE"]).healthy(),
    sink("otel", &["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"]),
    nothing("openmeter", &["OPENMETER_API_KEY", "OPENMETER_API_ENDPOINT"]),
    nothing("braintrust", &["BRAINTRUST_API_KEY"]),
    sink("generic_api", &["GENERIC_LOGGER_ENDPOINT", "GENERIC_LOGGER_HEADERS"]),
    sink("arize", &["ARIZE_SPACE_ID", "ARIZE_API_KEY"]).healthy(),
    nothing("galileo", &["GALILEO_API_KEY", "GALILEO_PROJECT_ID"]).healthy(),
    nothing("pointfive", &["POINTFIVE_API_KEY"]).healthy(),
    nothing("sqs", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).healthy(),
    Service { name: "prometheus", key: CALLBACKS, variables: &[], by: By::Metrics, wording: Wording::Healthy },
    alert("pagerduty", "pagerduty", &["PAGERDUTY_API_KEY"]),
    alert("discord", "discord", &["DISCORD_WEBHOOK_URL"]),
    sink("s3", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
    sink("s3_v2", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]).sent_to("s3"),
    sink("generic", &["GENERIC_LOGGER_ENDPOINT", "GENERIC_LOGGER_HEADERS"]).sent_to("generic_api"),
    nothing("newrelic", &["NEW_RELIC_LICENSE_KEY"]).healthy(),
    sink("signoz", &["SIGNOZ_INGESTION_ENDPOINT", "SIGNOZ_INGESTION_KEY"]),
    sink("custom_callback_api", &["GENERIC_LOGGER_ENDPOINT", "GENERIC_LOGGER_HEADERS"]).sent_to("generic_api"),
];

/// The service of that name.
pub(crate) fn named(name: &str) -> Option<&'static Service> {
    SERVICES.iter().find(|service| service.name == name)
}

impl Service {
    /// Whether a callback turns it on.
    pub(crate) fn is_callback(&self) -> bool {
        self.key == CALLBACKS
    }

    /// Whether it is Slack, of whose test the reference says more.
    pub(crate) fn tells_slack(&self) -> bool {
        matches!(self.by, By::Channel("slack"))
    }

    /// Tests it. It may take as long as the service's own limit of time.
    pub(crate) async fn test(&self, process: &Process) -> Tested {
        match self.by {
            By::Nothing => Tested::NotServed,
            By::Channel(kind) => {
                let serving = process.serving();
                let results = alert::test(&serving.snapshot.gateway.alerts, Some(kind)).await;
                if results.is_empty() {
                    return Tested::NotConfigured;
                }
                let refused =
                    results.into_iter().find_map(|(name, result)| Some((name, result.err()?)));
                match refused {
                    Some((name, refused)) => Tested::Fails(format!("{name}: {}", refused.why)),
                    None => Tested::Works,
                }
            }
            // The page that asks is served by the process that serves the metrics.
            By::Metrics => Tested::Works,
            By::Sink(callback) => test_sinks(process, callback).await,
        }
    }
}

/// Tests the sinks of a callback: of a service, or a webhook that the operator named.
pub(crate) async fn test_sinks(process: &Process, callback: &str) -> Tested {
    let names = [callback.to_owned(), format!("{callback}_logs"), format!("{callback}_metrics")];
    let exports = &process.sinks.exports;
    let sinks: Vec<Arc<Exporter>> = names.iter().filter_map(|name| exports.named(name)).collect();
    if sinks.is_empty() {
        return Tested::NotConfigured;
    }
    for sink in &sinks {
        if let Err(why) = sink.test().await {
            return Tested::Fails(why);
        }
    }
    Tested::Works
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_is_shown_on_the_page_of_callbacks() {
        let all = SERVICES.iter().flat_map(|service| service.variables);
        let known = hale_core::settings::SHOWN_VARIABLES;
        let missing: Vec<&&str> = all.filter(|name| !known.contains(name)).collect();
        assert_eq!(missing, [&""; 0]);
    }

    #[test]
    fn each_name_is_one_row() {
        let mut names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERVICES.len());
    }
}
