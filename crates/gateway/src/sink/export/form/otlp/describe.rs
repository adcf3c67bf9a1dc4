//! The spans and the log record of a request, as values.
//!
//! Called by [`super`]. Always true: names of attributes are those of OpenTelemetry's conventions for generative AI, HTTP and
//! servers, or begin with `hale.`; what was said is there only if the sink shows it.
//!
//! Source: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>.

use std::borrow::Cow;

use hale_core::cause::Cause;
use hale_core::operation::Operation;
use hale_core::record::{AttemptStep, Step, StepKind};
use hale_core::trace::{SpanId, TraceId};
use serde_json::{Value as Json, json};

use crate::sink::export::told::Told;

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    Decimal(f64),
    Flag(bool),
}

impl<'a> Value<'a> {
    /// A text.
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        Value::Text(text.into())
    }
}

/// Attributes, each name once.
pub(super) type Attributes<'a> = Vec<(&'static str, Value<'a>)>;

/// The kind of a span, as OTLP numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// One span.
pub(super) struct Span<'a> {
    pub(super) trace_id: &'a TraceId,
    pub(super) span_id: &'a SpanId,
    pub(super) parent: Option<&'a SpanId>,
    pub(super) state: Option<&'a str>,
    pub(super) name: String,
    pub(super) kind: SpanKind,
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) attributes: Attributes<'a>,
    /// Whether it failed, and why in words.
    pub(super) error: Option<&'a str>,
}

/// One log record.
pub(super) struct Log<'a> {
    pub(super) trace_id: &'a TraceId,
    pub(super) span_id: &'a SpanId,
    pub(super) time_ns: u64,
    /// The number and the name of its severity.
    pub(super) severity: (u8, &'static str),
    pub(super) body: String,
    pub(super) attributes: Attributes<'a>,
}

/// The root and its children, in the order of their beginnings.
pub(super) fn spans<'a>(told: &'a Told<'_>) -> Vec<Span<'a>> {
    let detail = told.detail;
    let root = Span {
        trace_id: &detail.trace_id,
        span_id: &detail.span_id,
        parent: detail.parent.as_ref(),
        state: detail.state.as_deref(),
        name: name(
            told.record.operation,
            told.record.requested_model.as_deref().unwrap_or_default(),
        ),
        kind: SpanKind::Server,
        began_ns: told.began_us().saturating_mul(1000),
        ended_ns: told.ended_us().saturating_mul(1000),
        attributes: of_request(told),
        error: told.error(),
    };
    let children = detail.steps.iter().map(|step| child(told, step));
    std::iter::once(root).chain(children).collect()
}

fn child<'a>(told: &'a Told<'_>, step: &'a Step) -> Span<'a> {
    let detail = told.detail;
    let (name, kind, attributes, error) = match &step.kind {
        StepKind::Attempt(attempt) => {
            let error =
                attempt.cause.map(|cause| attempt.message.as_deref().unwrap_or(cause.name()));
            let name = name(told.record.operation, &attempt.model);
            (name, SpanKind::Client, of_attempt(told.record.operation, attempt), error)
        }
        StepKind::InLine => ("wait in line".to_owned(), SpanKind::Internal, Vec::new(), None),
        StepKind::Pause => {
            ("pause before a retry".to_owned(), SpanKind::Internal, Vec::new(), None)
        }
    };
    let at = |us: u64| told.began_us().saturating_add(us).saturating_mul(1000);
    Span {
        trace_id: &detail.trace_id,
        span_id: &step.span_id,
        parent: Some(&detail.span_id),
        state: detail.state.as_deref(),
        name,
        kind,
        began_ns: at(step.began_us),
        ended_ns: at(step.ended_us),
        attributes,
        error,
    }
}

/// The log record.
pub(super) fn log<'a>(told: &'a Told<'_>) -> Log<'a> {
    let record = told.record;
    let model = record.requested_model.as_deref().unwrap_or("-");
    let body =
        format!("{} {model} {} {}", record.operation.name(), record.status, record.ending.name());
    Log {
        trace_id: &told.detail.trace_id,
        span_id: &told.detail.span_id,
        time_ns: told.ended_us().saturating_mul(1000),
        severity: if told.is_success() { (9, "INFO") } else { (17, "ERROR") },
        body,
        attributes: of_request(told),
    }
}

fn name(operation: Operation, model: &str) -> String {
    format!("{} {model}", kind_of(operation)).trim_end().to_owned()
}

/// The operation as the conventions name it.
fn kind_of(operation: Operation) -> &'static str {
    match operation.mode() {
        "chat" | "responses" | "anthropic_messages" => "chat",
        "completion" => "text_completion",
        "embedding" => "embeddings",
        _ => operation.name(),
    }
}

fn of_attempt(operation: Operation, attempt: &AttemptStep) -> Attributes<'_> {
    let mut all: Attributes<'_> = vec![
        ("gen_ai.operation.name", Value::text(kind_of(operation))),
        ("gen_ai.provider.name", Value::text(&*attempt.provider)),
        ("gen_ai.system", Value::text(&*attempt.provider)),
        ("gen_ai.request.model", Value::text(&*attempt.model)),
        ("hale.deployment", Value::text(&*attempt.deployment)),
        ("hale.model_group", Value::text(&*attempt.model_group)),
    ];
    let (host, port) = attempt.address.rsplit_once(':').unwrap_or((&attempt.address, ""));
    let port = port.parse::<u16>().ok();
    let host = if port.is_some() { host } else { &attempt.address };
    if !host.is_empty() {
        all.push(("server.address", Value::text(host)));
    }
    all.extend(port.map(|port| ("server.port", Value::Number(port.into()))));
    all.extend(
        attempt.status.map(|status| ("http.response.status_code", Value::Number(status.into()))),
    );
    all.extend(attempt.cause.map(|cause| ("error.type", Value::text(cause.name()))));
    all
}

fn of_request<'a>(told: &'a Told<'_>) -> Attributes<'a> {
    let record = told.record;
    let mut all: Attributes<'a> = vec![
        ("hale.call_id", Value::text(&*record.call_id)),
        ("gen_ai.operation.name", Value::text(kind_of(record.operation))),
        ("hale.operation", Value::text(record.operation.name())),
        ("http.request.method", Value::text(record.operation.method().name())),
        ("url.path", Value::text(&*told.detail.path)),
        ("http.response.status_code", Value::Number(record.status.into())),
        ("hale.ending", Value::text(record.ending.name())),
        ("hale.stream", Value::Flag(record.stream)),
        ("hale.retries", Value::Number(record.retries.into())),
        ("hale.fallbacks", Value::Number(record.fallbacks.into())),
        ("hale.overhead_us", Value::Number(record.overhead_us)),
        ("hale.waited_us", Value::Number(record.waited_us)),
    ];
    let texts = [
        ("gen_ai.request.model", record.requested_model.as_deref()),
        ("hale.model_group", record.model_group.as_deref()),
        ("hale.deployment", record.deployment.as_deref()),
        ("hale.deployment_name", record.deployment_name.as_deref()),
        ("error.type", record.cause.map(Cause::name)),
        ("hale.rescue", record.rescue.map(hale_core::rescue::Outcome::name)),
        ("hale.cache", record.cache.map(hale_core::cache::CacheAnswer::name)),
    ];
    all.extend(texts.into_iter().filter_map(|(name, text)| Some((name, Value::text(text?)))));
    if let Some(attempt) = told.attempt() {
        all.push(("gen_ai.provider.name", Value::text(&*attempt.provider)));
        all.push(("gen_ai.system", Value::text(&*attempt.provider)));
        all.push(("gen_ai.response.model", Value::text(&*attempt.model)));
    }
    all.extend(told.user().map(|user| ("user.id", Value::text(user))));
    if let Some(session) = told.session() {
        all.push(("session.id", Value::text(session.clone())));
        all.push(("gen_ai.conversation.id", Value::text(session)));
    }
    if let Some(usage) = &record.usage {
        all.push(("gen_ai.usage.input_tokens", Value::Number(usage.input)));
        all.push(("gen_ai.usage.output_tokens", Value::Number(usage.output)));
        all.push(("hale.cache_read_tokens", Value::Number(usage.cached_input)));
    }
    all.extend(record.cost_usd.map(|usd| ("gen_ai.usage.cost", Value::Decimal(usd))));
    if let Some(us) = record.first_content_us {
        all.push(("hale.first_content_us", Value::Number(us)));
    }
    said(told, &mut all);
    all
}

/// What was said.
fn said<'a>(told: &'a Told<'_>, all: &mut Attributes<'a>) {
    if let Some(messages) = told.messages() {
        all.push(("openinference.span.kind", Value::text("LLM")));
        all.push(("input.value", Value::text(messages)));
        all.push(("gen_ai.input.messages", Value::text(in_parts(messages, "user"))));
    }
    if let Some(system) = told.system() {
        let given: Json = serde_json::from_str(system).unwrap_or_default();
        let all_parts = Json::Array(parts(given));
        all.push(("gen_ai.system_instructions", Value::text(all_parts.to_string())));
    }
    if let Some(output) = told.output() {
        all.push(("gen_ai.output.messages", Value::text(in_parts(&output, "assistant"))));
        all.push(("output.value", Value::text(output)));
    }
    if let Some(stop) = told.stop() {
        all.push(("gen_ai.response.finish_reasons", Value::text(format!("[\"{stop}\"]"))));
    }
}

/// Messages as the conventions have them: a role, and parts.
fn in_parts(raw: &str, role: &str) -> String {
    let given: Json = serde_json::from_str(raw).unwrap_or_default();
    let list = match given {
        Json::Array(list) => list,
        one => vec![one],
    };
    let messages = list.into_iter().map(|message| {
        let named = message.get("role").and_then(Json::as_str).unwrap_or(role).to_owned();
        let content = match message.get("content") {
            Some(content) => content.clone(),
            None if message.is_object() => Json::Null,
            None => message.clone(),
        };
        let mut parts = parts(content);
        for call in message.get("tool_calls").and_then(Json::as_array).into_iter().flatten() {
            let function = call.get("function").cloned().unwrap_or_default();
            parts.push(json!({
                "type": "tool_call", "id": call.get("id"), "name": function.get("name"),
                "arguments": function.get("arguments"),
            }));
        }
        json!({"role": named, "parts": parts})
    });
    Json::Array(messages.collect()).to_string()
}

/// The parts of a content: a text, or a list of blocks.
fn parts(content: Json) -> Vec<Json> {
    match content {
        Json::Array(blocks) => blocks.into_iter().map(part).collect(),
        Json::Null => Vec::new(),
        text => vec![part(text)],
    }
}

fn part(content: Json) -> Json {
    let text = content.get("text").and_then(Json::as_str).map(str::to_owned);
    match (text, content) {
        (Some(text), _) | (None, Json::String(text)) => json!({"type": "text", "content": text}),
        (None, other) => other,
    }
}
