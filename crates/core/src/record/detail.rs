//! What only some sinks want to know of a request: its trace, its steps, and what was said.
//!
//! Made by the gateway where a sink of the config wants it, read by the sinks. Always true: without such a sink it does not
//! exist; every step has an end; what was said is there only where a sink of the config shows it, and is bounded.

use std::sync::Arc;

use bytes::Bytes;

use crate::cause::Cause;
use crate::trace::{SpanId, TraceId};

/// Most steps of one request that are kept.
pub const STEPS_MAX: usize = 64;
/// Longest request or answer whose content is kept, bytes.
pub const MESSAGES_MAX: usize = 1 << 20;

/// What only some sinks want to know of a request.
#[derive(Clone, Debug, Default)]
pub struct Detail {
    /// The trace that it belongs to.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// The client's span, if the client named one.
    pub parent: Option<SpanId>,
    /// What the client sent as `tracestate`.
    pub state: Option<Box<str>>,
    /// Whether its spans are recorded.
    pub is_sampled: bool,
    /// Whether its client asked that it is not logged.
    pub is_silent: bool,
    /// The path that it came by.
    pub path: Box<str>,
    /// What was done for it, in order.
    pub steps: Vec<Step>,
    /// Why it failed, in words.
    pub error: Option<Box<str>>,
    /// The user that its body names, if the name is short.
    pub user: Option<Box<str>>,
    /// The session that its body names, if the name is short.
    pub session: Option<Box<str>>,
    /// The field `metadata` of its body, JSON, if it is short.
    pub metadata: Option<Bytes>,
    /// What was said, if a sink shows it.
    pub messages: Option<Messages>,
}

/// Something that was done for a request, and took time.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its span.
    pub span_id: SpanId,
    /// When it began, microseconds after the request arrived.
    pub began_us: u64,
    /// When it ended, the same.
    pub ended_us: u64,
    /// What it was.
    pub kind: StepKind,
}

/// What was done.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// A call of an upstream.
    Attempt(Box<AttemptStep>),
    /// It waited for its turn.
    InLine,
    /// It paused before the next attempt.
    Pause,
}

/// A call of an upstream.
#[derive(Clone, Debug)]
pub struct AttemptStep {
    /// The id of the deployment.
    pub deployment: Arc<str>,
    /// The model group.
    pub model_group: Arc<str>,
    /// The provider.
    pub provider: Box<str>,
    /// The model's name at the provider.
    pub model: Box<str>,
    /// Host and port of the upstream.
    pub address: Box<str>,
    /// The HTTP status of its answer, if it gave one.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub cause: Option<Cause>,
    /// The same in words; no credential is among them.
    pub message: Option<Box<str>>,
}

/// What was said.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// The body of the request, one JSON object; `None` if it is not JSON or not kept.
    pub request: Option<Bytes>,
    /// The answer.
    pub answer: Said,
    /// Why something is left out, if anything is.
    pub left_out: Option<&'static str>,
}

/// The answer to a request, as its client got it.
#[derive(Clone, Debug, Default)]
pub enum Said {
    /// None, or one without a text.
    #[default]
    Nothing,
    /// A full answer: its body.
    Full(Bytes),
    /// What a stream added up to.
    Streamed(Box<Gathered>),
}

/// What the events of a stream add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// The text.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// A refusal in the model's words.
    pub refusal: String,
    /// The calls of tools, by number.
    pub calls: Vec<GatheredCall>,
    /// Why it ended, as the client's format calls it.
    pub stop: Option<Box<str>>,
    /// Whether it was longer than is kept.
    pub is_cut: bool,
}

/// A call of a tool in a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatheredCall {
    /// Its id.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The input: JSON text.
    pub input: String,
}

impl Gathered {
    /// Bytes of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let calls =
            self.calls.iter().map(|call| call.id.len() + call.name.len() + call.input.len());
        self.text.len() + self.reasoning.len() + self.refusal.len() + calls.sum::<usize>()
    }
}

impl Detail {
    /// Bytes of memory that it keeps, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let said = self.messages.as_ref().map_or(0, |messages| {
            let answer = match &messages.answer {
                Said::Nothing => 0,
                Said::Full(body) => body.len(),
                Said::Streamed(gathered) => gathered.bytes(),
            };
            messages.request.as_ref().map_or(0, Bytes::len) + answer
        });
        let metadata = self.metadata.as_ref().map_or(0, Bytes::len);
        said + metadata + size_of::<Detail>() + self.steps.len() * 256
    }
}
