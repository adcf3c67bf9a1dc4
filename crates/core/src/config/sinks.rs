//! The callbacks to which records of requests are sent, and what is sent there.
//!
//! Called by [`super::settings`]. Always true: a sink whose variable is missing is told with the variable's name, and nothing is
//! sent there; two names of one sink are one sink; what was said reaches no sink if `turn_off_message_logging` is set.

mod otlp;
mod places;

use crate::settings::{Gets, SHOWN_VARIABLES, Sink, SinkForm, SinkSettings, Wants};

use super::field::Field;
use super::interpolate::Env;
use super::problem::{At, Path, Problems, Wrong};
use super::tree::{Map, Node};

use self::places::Reading;

/// The sinks that are served, by the names that callbacks have for them; the first of a row is its own.
const SERVED: &[&[&str]] = &[
    &["langfuse"],
    &["langfuse_otel"],
    &["otel"],
    &["arize"],
    &["signoz"],
    &["datadog"],
    &["langsmith"],
    &["generic_api", "generic", "custom_callback_api"],
    &["s3", "s3_v2"],
];

/// Whether records are sent to it.
pub(super) fn is_served(name: &str) -> bool {
    own_name(name).is_some()
}

fn own_name(name: &str) -> Option<&'static str> {
    SERVED.iter().find(|names| names.contains(&name)).and_then(|names| names.first().copied())
}

/// What the sections say about sinks.
#[derive(Default)]
pub(super) struct Written {
    /// The callbacks that are sinks: the key, the name, and where it stands.
    called: Vec<(&'static str, Box<str>, At)>,
    /// All callbacks.
    listed: Vec<(&'static str, Box<str>)>,
    settings: SinkSettings,
    /// The names of `callback_settings` that are webhooks.
    own: Vec<Box<str>>,
}

impl Written {
    /// What `callback_settings` says comes first: it names webhooks that callbacks may call.
    pub(super) fn of(top: &Map) -> Written {
        let own = top.get("callback_settings").and_then(Node::as_map).map(|map| {
            let webhooks = map.entries.iter().filter(|entry| places::is_webhook(&entry.value));
            webhooks.map(|entry| Box::from(&*entry.key)).collect()
        });
        Written { own: own.unwrap_or_default(), ..Written::default() }
    }

    /// Whether `name` is a sink that is served.
    pub(super) fn serves(&self, name: &str) -> bool {
        is_served(name) || self.own.iter().any(|own| **own == *name)
    }

    /// A callback of the list `key`.
    pub(super) fn lists(&mut self, key: &'static str, name: &str, at: At) {
        self.listed.push((key, name.into()));
        if self.serves(name) {
            self.called.push((key, name.into(), at));
        }
    }

    /// Reads a key of `litellm_settings` or `general_settings`; false if it is about something else.
    pub(super) fn setting(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let settings = &mut self.settings;
        match field.row.name {
            "turn_off_message_logging" => put(&mut settings.hides_messages, field.flag(problems)),
            "forward_traceparent_to_llm_provider" => {
                put(&mut settings.passes_trace, field.flag(problems));
            }
            "standard_logging_payload_excluded_fields" => {
                let items = field.list(problems).unwrap_or_default();
                settings.excluded =
                    items.iter().filter_map(|item| Some(item.text()?.into())).collect();
            }
            "request_log_messages" => put(&mut settings.file_has_messages, field.flag(problems)),
            "sink_memory_mb" => put(&mut settings.memory_bytes, field.bytes(problems)),
            "sink_spool_mb" => put(&mut settings.spool_bytes, field.bytes(problems)),
            // Read where the sinks are found.
            "s3_callback_params" | "generic_logger_headers" => {
                field.map(problems);
            }
            _ => return false,
        }
        true
    }

    /// The sinks that can be reached.
    pub(super) fn settings(
        self,
        top: &Map,
        env: &Env<'_>,
        problems: &mut Problems,
    ) -> SinkSettings {
        let Written { called, listed, mut settings, own: _ } = self;
        let root = Path::Root.key("litellm_settings");
        let mut sinks: Vec<Sink> = Vec::new();
        let mut done: Vec<(&str, Gets)> = Vec::new();
        for (key, name, at) in &called {
            let own = own_name(name).unwrap_or(name);
            let gets = gets(key);
            match done.iter_mut().find(|(known, _)| *known == own) {
                Some((_, known)) => {
                    known.successes |= gets.successes;
                    known.failures |= gets.failures;
                    continue;
                }
                None => done.push((own, gets)),
            }
            let reading = Reading::of(own, top, env);
            reading.warn_unserved(problems);
            let found = reading.sinks().and_then(|found| reading.options(found));
            match found {
                Ok(found) => sinks.extend(found),
                Err(wrong) => {
                    let problem = format!("nothing is sent to `{own}`: {}", wrong.problem);
                    problems.warn(*at, &root.key(key), Wrong::new(problem, wrong.hint));
                }
            }
        }
        for sink in &mut sinks {
            let of = |(known, _): &&(&str, Gets)| sink_is_of(&sink.name, known);
            let gets = done.iter().find(of).map_or_else(Gets::default, |(_, gets)| *gets);
            sink.gets.successes &= gets.successes;
            sink.gets.failures &= gets.failures;
            sink.messages &= !settings.hides_messages;
        }
        settings.file_has_messages &= !settings.hides_messages;
        settings.sampler = otlp::sampler(env, problems);
        settings.wants = wants(&sinks, settings.file_has_messages);
        settings.sinks = sinks;
        settings.listed = listed;
        let is_set = |name: &&&str| env.get(name).is_some_and(|text| !text.trim().is_empty());
        settings.set = SHOWN_VARIABLES.iter().filter(is_set).copied().collect();
        settings
    }
}

/// Whether the sink `name` belongs to the callback `own`: itself, or its logs and metrics.
fn sink_is_of(name: &str, own: &str) -> bool {
    name == own || name.strip_prefix(own).is_some_and(|tail| matches!(tail, "_logs" | "_metrics"))
}

fn gets(key: &str) -> Gets {
    Gets { successes: key != "failure_callback", failures: key != "success_callback" }
}

fn wants(sinks: &[Sink], file_has_messages: bool) -> Wants {
    let is_trace = |sink: &Sink| matches!(sink.form, SinkForm::Spans(_));
    let is_record = |sink: &Sink| !matches!(sink.form, SinkForm::Spans(_) | SinkForm::Metrics(_));
    Wants {
        steps: sinks.iter().any(is_record) || file_has_messages,
        trace: sinks.iter().any(is_trace),
        messages: file_has_messages || sinks.iter().any(|sink| sink.messages),
    }
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}
