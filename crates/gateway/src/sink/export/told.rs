//! One record as the sinks read it: its times, its model, its user, and what was said, as JSON.
//!
//! Made by [`super::exporter`] for each record and sink, read by the forms. Always true: what was said is there only for a sink that
//! shows it; every text is JSON of its own.

use std::sync::Arc;

use hale_core::cause::Cause;
use hale_core::operation::Operation;
use hale_core::parameters::{InBody, names_a_credential, parameter};
use hale_core::record::{
    AttemptStep, Detail, Ending, Gathered, Messages, RequestRecord, Said, StepKind,
};
use hale_wire::peek::Peek;
use hale_wire::prepare::Conversion;
use hale_wire::{gather, tap};

use super::json;

/// Longest answer without a neutral form that is shown, bytes.
const RAW_MAX: usize = 64 << 10;
/// Fields of a body that are a part of what was said.
const SAID: [&str; 6] = ["messages", "input", "prompt", "system", "instructions", "query"];
/// Fields that belong to it.
const WITH_SAID: [&str; 5] = ["tools", "functions", "documents", "response_format", "text"];

/// One record, for one sink.
pub(crate) struct Told<'r> {
    /// The record.
    pub(crate) record: &'r RequestRecord,
    /// What only some sinks want to know.
    pub(crate) detail: &'r Detail,
    /// The fields of the request's body, if the sink shows what was said.
    body: Option<Peek>,
    /// The fields of its `metadata`.
    metadata: Option<Peek>,
    /// What was said, if the sink shows it.
    messages: Option<&'r Messages>,
}

/// Whether a sink shows what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// It does.
    Messages,
    /// It gets facts only.
    Facts,
}

impl<'r> Told<'r> {
    /// `record` as a sink reads it; `None` if no sink is to have it.
    pub(crate) fn of(record: &'r RequestRecord, shows: Shows) -> Option<Told<'r>> {
        let detail = record.detail.as_deref().filter(|detail| !detail.is_silent)?;
        let messages = detail.messages.as_ref().filter(|_| shows == Shows::Messages);
        let body = messages.and_then(|messages| messages.request.clone());
        Some(Told {
            record,
            detail,
            body: body.and_then(|body| Peek::parse(body).ok()),
            metadata: detail.metadata.clone().and_then(|text| Peek::parse(text).ok()),
            messages,
        })
    }

    /// When it arrived, microseconds since 1970.
    pub(crate) fn began_us(&self) -> u64 {
        self.record.arrived_unix_ms.saturating_mul(1000)
    }

    /// When it ended, the same.
    pub(crate) fn ended_us(&self) -> u64 {
        self.began_us().saturating_add(self.record.duration_us)
    }

    /// When its first content came, the same; of a full answer its end.
    pub(crate) fn first_content_us(&self) -> u64 {
        self.began_us()
            .saturating_add(self.record.first_content_us.unwrap_or(self.record.duration_us))
    }

    /// Whether it succeeded.
    pub(crate) fn is_success(&self) -> bool {
        self.record.ending == Ending::Success
    }

    /// The attempt that answered, or failed last.
    pub(crate) fn attempt(&self) -> Option<&AttemptStep> {
        self.detail.steps.iter().rev().find_map(|step| match &step.kind {
            StepKind::Attempt(attempt) => Some(&**attempt),
            StepKind::InLine | StepKind::Pause => None,
        })
    }

    /// The model's name at the provider, else as the client wrote it.
    pub(crate) fn model(&self) -> &str {
        let requested = self.record.requested_model.as_deref();
        self.attempt().map(|attempt| &*attempt.model).or(requested).unwrap_or_default()
    }

    /// Why it failed, in words.
    pub(crate) fn error(&self) -> Option<&str> {
        let cause = self.record.cause.map(Cause::name);
        self.detail.error.as_deref().or(cause).filter(|_| !self.is_success())
    }

    /// A text of the request's `metadata`.
    pub(crate) fn meta(&self, name: &str) -> Option<String> {
        let raw = self.metadata.as_ref()?.raw(name)?;
        serde_json::from_str::<String>(raw).ok().filter(|text| !text.is_empty())
    }

    /// JSON of the request's `metadata`.
    pub(crate) fn raw_meta(&self, name: &str) -> Option<&str> {
        self.metadata.as_ref()?.raw(name)
    }

    /// The whole `metadata`, JSON.
    pub(crate) fn metadata(&self) -> Option<&str> {
        std::str::from_utf8(self.metadata.as_ref()?.body()).ok()
    }

    /// Its tags, a JSON list of texts. What else is in the list is left out: no server takes it.
    pub(crate) fn tags(&self) -> Option<String> {
        let all: Vec<serde_json::Value> = serde_json::from_str(self.raw_meta("tags")?).ok()?;
        let texts: Vec<&str> = all.iter().filter_map(serde_json::Value::as_str).collect();
        serde_json::to_string(&texts).ok()
    }

    /// The user: one that a header named, else the request.
    pub(crate) fn user(&self) -> Option<String> {
        let named = self.record.user.as_deref().map(str::to_owned);
        let of_body = || self.detail.user.as_deref().map(str::to_owned);
        named.or_else(|| self.meta("user_id")).or_else(of_body)
    }

    /// The session that it belongs to.
    pub(crate) fn session(&self) -> Option<String> {
        let of_body = || self.detail.session.as_deref().map(str::to_owned);
        self.meta("session_id").or_else(of_body)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.body.as_ref()?.raw(name)
    }

    /// Whether what was said is shown.
    pub(crate) fn shows(&self) -> bool {
        self.messages.is_some()
    }

    /// Why something is left out of what was said.
    pub(crate) fn left_out(&self) -> Option<&'static str> {
        self.messages?.left_out
    }

    /// What the client said: an object of the fields that are a part of it.
    pub(crate) fn input(&self) -> Option<String> {
        let body = self.body.as_ref()?;
        let fields =
            SAID.iter().chain(&WITH_SAID).filter_map(|name| Some((*name, body.raw(name)?)));
        Some(json::text_of(|object| fields.for_each(|(name, raw)| object.raw(name, raw))))
    }

    /// The field of the body that says most: the messages, else the input or the prompt.
    pub(crate) fn messages(&self) -> Option<&str> {
        SAID.iter().find_map(|name| self.field(name))
    }

    /// What the client told the model apart from the messages, as Anthropic's and OpenAI's newer format have it.
    pub(crate) fn system(&self) -> Option<&str> {
        let given = |name: &&str| self.field(name).filter(|raw| *raw != "null");
        ["system", "instructions"].iter().find_map(given)
    }

    /// The parameters of the request that are numbers, words or flags. What steers the gateway alone is not one, and some of it
    /// is a credential.
    pub(crate) fn parameters(&self) -> Vec<(String, &str)> {
        let Some(body) = &self.body else { return Vec::new() };
        let is_said = |name: &str| SAID.contains(&name) || WITH_SAID.contains(&name);
        let is_own = |name: &str| {
            matches!(name, "model" | "metadata" | "user")
                || parameter(name).is_some_and(|row| row.in_body != InBody::Request)
                || names_a_credential(name)
        };
        let fields = body.fields();
        let shown = fields.filter(|(name, raw)| {
            !is_said(name) && !is_own(name) && !raw.starts_with(['{', '[']) && *raw != "null"
        });
        shown.map(|(name, raw)| (name.into_owned(), raw)).collect()
    }

    /// What the model said: one message of OpenAI's form, or the answer itself if it has none.
    pub(crate) fn output(&self) -> Option<String> {
        match &self.messages?.answer {
            Said::Nothing => None,
            Said::Streamed(said) => Some(message(said)),
            Said::Full(body) => {
                let operation = self.record.operation;
                let conversion = Conversion { operation, wire: operation.format() };
                let deltas = tap::answer(conversion, body).unwrap_or_default();
                if deltas.is_empty() {
                    let is_shown = operation != Operation::Embedding && body.len() <= RAW_MAX;
                    let text = std::str::from_utf8(body).ok().filter(|_| is_shown)?;
                    let is_json = Peek::parse(body.clone()).is_ok();
                    return Some(if is_json {
                        text.to_owned()
                    } else {
                        serde_json::to_string(text).ok()?
                    });
                }
                let mut said = Gathered::default();
                gather::add(&mut said, &deltas);
                Some(message(&said))
            }
        }
    }

    /// Why the model stopped.
    pub(crate) fn stop(&self) -> Option<Box<str>> {
        match &self.messages?.answer {
            Said::Streamed(said) => said.stop.clone(),
            Said::Nothing | Said::Full(_) => None,
        }
    }
}

/// What was said as a message of OpenAI's form.
fn message(said: &Gathered) -> String {
    json::text_of(|message| {
        message.text("role", "assistant");
        match said.text.is_empty() && !said.calls.is_empty() {
            true => message.raw("content", "null"),
            false => message.text("content", &said.text),
        }
        if !said.reasoning.is_empty() {
            message.text("reasoning_content", &said.reasoning);
        }
        if !said.refusal.is_empty() {
            message.text("refusal", &said.refusal);
        }
        if !said.calls.is_empty() {
            message.list("tool_calls", &said.calls, |object, call| {
                object.text("id", &call.id);
                object.text("type", "function");
                object.object("function", |function| {
                    function.text("name", &call.name);
                    function.text("arguments", &call.input);
                });
            });
        }
    })
}

/// A record that no request made, which tests a sink. `call_id` names it.
pub(crate) fn of_test(call_id: &str, arrived_unix_ms: u64) -> RequestRecord {
    use hale_core::record::{Resends, Step};
    use hale_core::usage::{CountedBy, Usage};
    const REQUEST: &[u8] = br#"{"model":"hale-test","messages":[{"role":"user","content":"This is a test of Hale."}]}"#;
    let mut ids = [0; 32];
    fastrand::fill(&mut ids);
    let mut detail =
        Detail { is_sampled: true, path: "/health/services".into(), ..Detail::default() };
    detail.trace_id.copy_from_slice(&ids[..16]);
    detail.span_id.copy_from_slice(&ids[16..24]);
    let mut span_id = [0; 8];
    span_id.copy_from_slice(&ids[24..]);
    let attempt = AttemptStep {
        deployment: "hale-test".into(),
        model_group: "hale-test".into(),
        provider: "hale".into(),
        model: "hale-test".into(),
        address: "".into(),
        status: Some(200),
        cause: None,
        message: None,
    };
    let kind = StepKind::Attempt(Box::new(attempt));
    detail.steps.push(Step { span_id, began_us: 0, ended_us: 1_000, kind });
    let said =
        Gathered { text: "It works.".to_owned(), stop: Some("stop".into()), ..Gathered::default() };
    detail.messages = Some(Messages {
        request: Some(REQUEST.into()),
        answer: Said::Streamed(Box::new(said)),
        left_out: None,
    });
    let name: Arc<str> = "hale-test".into();
    RequestRecord {
        call_id: call_id.into(),
        arrived_unix_ms,
        operation: Operation::Chat,
        requested_model: Some(name.clone()),
        user: Some("litellm:/health/services".into()),
        identity: None,
        model_group: Some(name.clone()),
        model_pattern: None,
        deployment: Some(name.clone()),
        deployment_name: Some(name),
        status: 200,
        ending: Ending::Success,
        cause: None,
        stream: false,
        retries: 0,
        fallbacks: 0,
        resends: Resends::default(),
        rescue: None,
        duration_us: 1_000,
        first_content_us: None,
        overhead_us: 0,
        waited_us: 0,
        usage: Some(Usage { input: 6, output: 3, ..Usage::default() }),
        counted_by: CountedBy::Provider,
        cost_usd: Some(0.0),
        cache: None,
        calls: Vec::new(),
        billed_to: None,
        request_bytes: REQUEST.len() as u64,
        response_bytes: 9,
        detail: Some(Box::new(detail)),
    }
}
