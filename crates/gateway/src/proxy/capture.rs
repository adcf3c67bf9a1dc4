//! What sinks want to know of a request besides its record: where it is in a trace, its steps, and what was said.
//!
//! Begun with the request by its [`super::delivery::Delivery`], told by the phases, given to the record at the end. Always true:
//! without a sink that wants it nothing is kept, parsed or copied; every step has an end, however the request ends; what was said
//! is counted in the memory for bodies, and is left out where there is no room.

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::record::{
    AttemptStep, Detail, MESSAGES_MAX, Messages, RequestRecord, STEPS_MAX, Said, Step, StepKind,
};
use hale_core::trace::{self, Parent, SpanId};
use hale_wire::peek::Peek;
use http::HeaderValue;
use http::request::Parts;

use super::attempt::{Failed, StreamRoom};
use super::traced::Traced;
use crate::arrival::Arrival;
use crate::clock::{self, Micros};
use crate::limits::Held;
use crate::panics;

/// Longest name of a user or a session that is kept, bytes of JSON.
const NAME_MAX: usize = 512;
/// Longest field `metadata` that is kept, bytes.
const METADATA_MAX: usize = 16 << 10;
/// Longest path that is kept, bytes.
const PATH_MAX: usize = 200;
/// What was said may fill this fraction of the memory for bodies: one byte in so many.
const SAID_SHARE: usize = 4;
/// The headers by which a client keeps what was said from sinks.
const REDACTIONS: [&str; 2] =
    ["x-litellm-enable-message-redaction", "litellm-enable-message-redaction"];

/// What sinks want to know of a request; nothing if there is no such sink.
pub(super) struct Capture(Option<Box<Captured>>);

struct Captured {
    detail: Detail,
    arrived: Micros,
    /// Whether the last step has not ended.
    is_open: bool,
    /// Whether steps are kept: a span shows them, or a record.
    keeps_steps: bool,
    /// Whether spans of attempts are passed on.
    passes_trace: bool,
    /// The memory of what was said.
    held: Held,
    /// Bytes that all bodies and all that was said may have.
    limit: usize,
}

impl Capture {
    /// Begins with the head of the request.
    pub(super) fn of(arrival: &Arrival, head: &Parts) -> Capture {
        let settings = &arrival.serving.snapshot.gateway.sinks;
        if !settings.wants.any() {
            return Capture(None);
        }
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let parent = header("traceparent").filter(|_| settings.wants.trace);
        let parent = parent.and_then(|text| Parent::read(text, header("tracestate")));
        let trace_id = parent.as_ref().map_or_else(random, |parent| parent.trace_id);
        let is_sampled = settings.sampler.samples(&trace_id, parent.as_ref());
        let is_redacted =
            |name: &str| header(name).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let shows = settings.wants.messages && !REDACTIONS.iter().any(|name| is_redacted(name));
        let path = head.uri.path();
        let detail = Detail {
            trace_id,
            span_id: random(),
            parent: parent.as_ref().map(|parent| parent.span_id),
            state: parent.and_then(|parent| parent.state),
            is_sampled,
            path: path.get(..PATH_MAX).unwrap_or(path).into(),
            messages: shows.then(Messages::default),
            ..Detail::default()
        };
        Capture(Some(Box::new(Captured {
            detail,
            arrived: arrival.at,
            is_open: false,
            keeps_steps: is_sampled || settings.wants.steps,
            passes_trace: settings.wants.trace && settings.passes_trace,
            held: Held::none(&arrival.worker.process.buffered),
            limit: arrival.serving.snapshot.gateway.bounds.buffered_bytes / SAID_SHARE,
        })))
    }

    /// The body of the request was read.
    pub(super) fn body(&mut self, peek: &Peek) {
        let Some(captured) = &mut self.0 else { return };
        let Captured { detail, held, limit, .. } = &mut **captured;
        let is_true = |name: &str| peek.raw(name) == Some("true");
        detail.is_silent = is_true("no-log") || is_true("no_log");
        let named = |name: &str| {
            let raw = peek.raw(name).filter(|raw| raw.len() <= NAME_MAX)?;
            serde_json::from_str::<Box<str>>(raw).ok().filter(|text| !text.is_empty())
        };
        (detail.user, detail.session) = (named("user"), named("litellm_session_id"));
        let metadata = peek.raw("metadata").filter(|text| text.len() <= METADATA_MAX);
        detail.metadata = metadata.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        if is_true("turn_off_message_logging") {
            detail.messages = None;
        }
        let Some(messages) = &mut detail.messages else { return };
        let body = peek.body();
        if peek.form().is_some() || peek.members().is_empty() {
            return;
        }
        if body.len() > MESSAGES_MAX {
            messages.left_out = Some("the request is longer than 1 MiB");
        } else if !held.add(body.len(), *limit) {
            messages.left_out = Some("there was no memory for the request");
        } else {
            messages.request = Some(body.clone());
        }
    }

    /// Whether what was said is shown.
    pub(super) fn shows_messages(&self) -> bool {
        self.0.as_ref().is_some_and(|captured| captured.detail.messages.is_some())
    }

    /// An upstream is about to be called; what it is told of the trace.
    pub(super) fn attempt_begins(
        &mut self,
        deployment: &Deployment,
        model: &str,
        model_group: &str,
    ) -> Option<Traced> {
        let captured = self.0.as_mut()?;
        let span_id: SpanId = random();
        if captured.keeps_steps {
            let endpoint = &deployment.endpoint;
            let attempt = AttemptStep {
                deployment: deployment.id.clone(),
                model_group: model_group.into(),
                provider: endpoint.provider.name.clone(),
                model: model.into(),
                address: endpoint.host().into(),
                status: None,
                cause: None,
                message: None,
            };
            captured.begin(span_id, StepKind::Attempt(Box::new(attempt)));
        }
        if !captured.passes_trace {
            return None;
        }
        let Detail { trace_id, is_sampled, state, .. } = &captured.detail;
        let parent = trace::traceparent(trace_id, &span_id, *is_sampled);
        let state = state.as_deref().and_then(|state| HeaderValue::from_str(state).ok());
        Some(Traced { parent: HeaderValue::try_from(parent).ok()?, state })
    }

    /// The attempt has failed.
    pub(super) fn attempt_failed(&mut self, failed: &Failed) {
        let Some(captured) = &mut self.0 else { return };
        let Some(Step { kind: StepKind::Attempt(attempt), .. }) = captured.last_open() else {
            return;
        };
        attempt.status = failed.status;
        attempt.cause = Some(failed.cause);
        attempt.message = Some(failed.error.message.as_str().into());
        captured.end(clock::recent());
    }

    /// The attempt has an answer, which may go on.
    pub(super) fn attempt_answered(&mut self, status: u16) {
        let Some(captured) = &mut self.0 else { return };
        panics::fail_where_a_test_says("an answer");
        if let Some(Step { kind: StepKind::Attempt(attempt), .. }) = captured.last_open() {
            attempt.status = Some(status);
        }
    }

    /// The request waits.
    pub(super) fn waits(&mut self, kind: StepKind) {
        if let Some(captured) = self.0.as_mut().filter(|captured| captured.keeps_steps) {
            captured.begin(random(), kind);
        }
    }

    /// It has waited.
    pub(super) fn has_waited(&mut self) {
        if let Some(captured) = &mut self.0 {
            captured.end(clock::recent());
        }
    }

    /// The client gets this full answer.
    pub(super) fn answered(&mut self, body: &Bytes) {
        let Some(captured) = &mut self.0 else { return };
        let Captured { detail, held, limit, .. } = &mut **captured;
        let Some(messages) = &mut detail.messages else { return };
        if body.len() > MESSAGES_MAX {
            messages.left_out = Some("the answer is longer than 1 MiB");
        } else if !held.add(body.len(), *limit) {
            messages.left_out = Some("there was no memory for the answer");
        } else {
            messages.answer = Said::Full(body.clone());
        }
    }

    /// The client got what `room` has gathered of a stream.
    pub(super) fn streamed(&mut self, room: &mut StreamRoom) {
        let Some(messages) = self.0.as_mut().and_then(|captured| captured.detail.messages.as_mut())
        else {
            return;
        };
        if let Some(said) = room.said() {
            if said.is_cut {
                messages.left_out = Some("the answer is longer than 1 MiB");
            }
            messages.answer = Said::Streamed(said);
        }
    }

    /// The request failed, in words.
    pub(super) fn failed(&mut self, message: &str) {
        if let Some(captured) = &mut self.0 {
            captured.detail.error = Some(message.into());
        }
    }

    /// The request is over; what is known of it.
    pub(super) fn finish(&mut self, record: &RequestRecord, now: Micros) -> Option<Box<Detail>> {
        let mut captured = self.0.take()?;
        if let Some(Step { kind: StepKind::Attempt(attempt), .. }) = captured.last_open() {
            // The client left, or the answer broke.
            attempt.cause = attempt.cause.or(record.cause);
        }
        captured.end(now);
        Some(Box::new(captured.detail))
    }
}

impl Captured {
    fn since(&self, now: Micros) -> u64 {
        now.since(self.arrived)
    }

    fn begin(&mut self, span_id: SpanId, kind: StepKind) {
        let now = clock::recent();
        self.end(now);
        if self.detail.steps.len() < STEPS_MAX {
            let began_us = self.since(now);
            self.detail.steps.push(Step { span_id, began_us, ended_us: began_us, kind });
            self.is_open = true;
        }
    }

    fn last_open(&mut self) -> Option<&mut Step> {
        let is_open = self.is_open;
        self.detail.steps.last_mut().filter(|_| is_open)
    }

    fn end(&mut self, now: Micros) {
        let us = self.since(now);
        if let Some(step) = self.last_open() {
            step.ended_us = us.max(step.began_us);
        }
        self.is_open = false;
    }
}

/// An id that is not all zeros.
fn random<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    fastrand::fill(&mut id);
    if let Some(first) = id.first_mut() {
        *first |= 1;
    }
    id
}
