//! Where records of requests are sent: the sinks that a config names, with their addresses and credentials.
//!
//! Made by the loader, read by the gateway's sinks. Always true: an address is one that the loader has checked; a sink that lacks a
//! variable is not among them.

use crate::secret::Secret;
use crate::trace::Sampler;

/// Bytes of one sink that may wait in memory.
const SINK_MEMORY: usize = 16 << 20;
/// Bytes of one sink that may wait on the disk.
const SINK_SPOOL: usize = 256 << 20;

/// Where records of requests are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkSettings {
    /// The sinks, each with a name of its own.
    pub sinks: Vec<Sink>,
    /// The callbacks as the config lists them: the key, and the name.
    pub listed: Vec<(&'static str, Box<str>)>,
    /// Of [`SHOWN_VARIABLES`] those that are set.
    pub set: Vec<&'static str>,
    /// Which parts of requests some sink wants.
    pub wants: Wants,
    /// Whether no sink gets what was said.
    pub hides_messages: bool,
    /// Whether a line of the file of records has what was said.
    pub file_has_messages: bool,
    /// Whether rows of what requests cost have what was said.
    pub spend_has_prompts: bool,
    /// Fields that no record has that is sent as JSON.
    pub excluded: Vec<Box<str>>,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// Whether upstreams get `traceparent`. They do.
    pub passes_trace: bool,
    /// Bytes of each sink that may wait in memory. 16 MiB.
    pub memory_bytes: usize,
    /// Bytes of each sink that may wait on the disk; 0: none. 256 MiB.
    pub spool_bytes: usize,
}

/// The variables of sinks and of channels of alerts of which pages say whether they are set.
#[rustfmt::skip]
pub const SHOWN_VARIABLES: &[&str] = &[
    "ARIZE_API_KEY", "ARIZE_SPACE_ID", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "BRAINTRUST_API_KEY", "DD_API_KEY", "DD_SITE",
    "DISCORD_WEBHOOK_URL", "GALILEO_API_KEY", "GALILEO_PROJECT_ID", "GENERIC_LOGGER_ENDPOINT", "GENERIC_LOGGER_HEADERS",
    "LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "LANGSMITH_API_KEY", "LANGSMITH_PROJECT", "MS_TEAMS_WEBHOOK_URL",
    "NEW_RELIC_LICENSE_KEY", "OPENMETER_API_ENDPOINT", "OPENMETER_API_KEY", "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS", "PAGERDUTY_API_KEY", "POINTFIVE_API_KEY", "SIGNOZ_INGESTION_ENDPOINT", "SIGNOZ_INGESTION_KEY",
    "SLACK_WEBHOOK_URL", "SMTP_HOST", "SMTP_PASSWORD", "SMTP_PORT", "SMTP_SENDER_EMAIL", "SMTP_USERNAME", "WEBHOOK_URL",
];

impl Default for SinkSettings {
    fn default() -> SinkSettings {
        SinkSettings {
            sinks: Vec::new(),
            listed: Vec::new(),
            set: Vec::new(),
            wants: Wants::default(),
            hides_messages: false,
            file_has_messages: false,
            spend_has_prompts: false,
            excluded: Vec::new(),
            sampler: Sampler::default(),
            passes_trace: true,
            memory_bytes: SINK_MEMORY,
            spool_bytes: SINK_SPOOL,
        }
    }
}

impl SinkSettings {
    /// Which sinks get what was said and which do not, in one line; `None` if there is no sink.
    #[must_use]
    pub fn summary(&self) -> Option<String> {
        let named = |shows: bool| -> Vec<&str> {
            let sinks = self.sinks.iter().filter(|sink| sink.messages == shows);
            let file = self.file_has_messages.then_some("request_log").filter(|_| shows);
            sinks.map(|sink| &*sink.name).chain(file).collect()
        };
        match (&named(true)[..], &named(false)[..]) {
            ([], []) => None,
            ([], facts) => {
                Some(format!("no sink gets prompts and answers; facts go to {}", facts.join(", ")))
            }
            (shows, []) => Some(format!("prompts and answers are sent to {}", shows.join(", "))),
            (shows, facts) => Some(format!(
                "prompts and answers are sent to {}; only facts to {}",
                shows.join(", "),
                facts.join(", ")
            )),
        }
    }
}

/// Which parts of requests some sink wants; the others are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The steps of every request, also of one whose spans are not recorded.
    pub steps: bool,
    /// Where a request is in a trace: a client's `traceparent` is read and passed on.
    pub trace: bool,
    /// What was said.
    pub messages: bool,
}

impl Wants {
    /// Whether any.
    #[must_use]
    pub const fn any(self) -> bool {
        self.steps || self.trace || self.messages
    }
}

/// One sink.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Its name, as callbacks and `/health/services` have it.
    pub name: Box<str>,
    /// Which requests it gets.
    pub gets: Gets,
    /// Whether it gets what was said.
    pub messages: bool,
    /// The share of requests that it gets, 0 to 1.
    pub share: f64,
    /// Where it is: scheme, host and path.
    pub url: Box<str>,
    /// The headers of its requests.
    pub headers: Vec<(Box<str>, Secret)>,
    /// What is in no header and must not be shown all the same.
    pub hidden: Vec<Secret>,
    /// What is sent there.
    pub form: SinkForm,
}

/// Which requests a sink gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gets {
    /// Those that succeeded.
    pub successes: bool,
    /// The others.
    pub failures: bool,
}

/// What is sent to a sink.
#[derive(Clone, Debug, PartialEq)]
pub enum SinkForm {
    /// Events of Langfuse's ingestion.
    Langfuse(Box<Release>),
    /// OTLP spans.
    Spans(Box<Telemetry>),
    /// OTLP log records.
    Logs(Box<Telemetry>),
    /// OTLP metrics: those of `/metrics`.
    Metrics(Box<Telemetry>),
    /// Datadog's logs.
    Datadog(Box<DatadogTags>),
    /// LangSmith's runs, in a project of this name.
    Langsmith(Box<str>),
    /// JSON for a server of the operator's own.
    Webhook(WebhookForm),
    /// Objects of S3, or of what speaks its API.
    S3(Box<S3>),
}

/// What Langfuse shows of the deployment of Hale itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `LANGFUSE_TRACING_ENVIRONMENT`.
    pub environment: Option<Box<str>>,
    /// `LANGFUSE_RELEASE`.
    pub release: Option<Box<str>>,
}

/// What OTLP says of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// `service.name`.
    pub service: Box<str>,
    /// Further attributes of the resource.
    pub resource: Vec<(Box<str>, Box<str>)>,
    /// How it is written.
    pub encoding: Encoding,
    /// Whether it is compressed by gzip.
    pub is_packed: bool,
    /// How long an export may take, milliseconds.
    pub timeout_ms: u64,
    /// How often metrics are sent, milliseconds.
    pub period_ms: u64,
}

/// How OTLP is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// `http/protobuf`.
    #[default]
    Protobuf,
    /// `http/json`.
    Json,
}

/// What Datadog's logs say of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatadogTags {
    /// `ddsource`.
    pub source: Box<str>,
    /// `service`.
    pub service: Box<str>,
    /// `hostname`.
    pub hostname: Box<str>,
    /// `ddtags`.
    pub tags: Box<str>,
}

/// How a webhook gets its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookForm {
    /// A list.
    #[default]
    List,
    /// One a line.
    Lines,
    /// One a request.
    Single,
}

/// How objects are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// In front of every key; empty, or with a slash at its end.
    pub prefix: Box<str>,
    /// The region.
    pub region: Box<str>,
    /// The id of the key.
    pub access_key: Box<str>,
    /// The key.
    pub secret_key: Secret,
    /// The token of a session.
    pub token: Option<Secret>,
    /// Whether objects are filed by the hour, too.
    pub by_hour: bool,
}
