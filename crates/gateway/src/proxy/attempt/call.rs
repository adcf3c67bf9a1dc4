//! The parts of one attempt: its scope, its destination, its call and the expected answer.
//!
//! Made by [`crate::proxy::exchange`] for clients and by the prober for its own probes; read by [`super`]
//! and the files beside this one. Always true: each fact is in one field, and the attempt uses every field.

use std::borrow::Cow;
use std::sync::Arc;

use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::rescue::Echo;
use hale_core::route::SetBy;
use hale_core::settings::Bounds;
use hale_core::time::Millis;
use hale_core::usage::Units;
use hale_wire::neutral::Unfit;
use hale_wire::notes::Notes;
use hale_wire::prepare::{Conversion, Prepared};
use hale_wire::rescue::Broken;
use hale_wire::stream::View;

use crate::limits::Buffered;
use crate::proxy::dialect::Dialect;
use crate::proxy::pass_through::PassThrough;
use crate::proxy::simulated::Simulated;
use crate::proxy::traced::Traced;
use crate::state::{Process, Serving};
use crate::upstream::{ObjectPath, SendProgress, Target};

/// One attempt to make.
pub(crate) struct Attempt<'a> {
    /// The request that it is made for.
    pub(crate) scope: Scope<'a>,
    /// Where it goes.
    pub(crate) destination: Destination<'a>,
    /// What it asks for.
    pub(crate) call: Call<'a>,
    /// How long it may take.
    pub(crate) limit: TimeLimit,
    /// How far it has come, seen from outside.
    pub(crate) progress: &'a SendProgress,
}

/// How long an attempt may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeLimit {
    /// When it must have answered; a stream, with its first content.
    pub(crate) ends: Millis,
    /// Whose limit that is.
    pub(crate) set_by: SetBy,
    /// The limit as messages name it, milliseconds.
    pub(crate) timeout_ms: u64,
}

/// The request that an attempt is made for.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The process, whose memory for bodies is bounded.
    pub(crate) process: &'a Arc<Process>,
    /// The config that the request started with.
    pub(crate) serving: &'a Serving,
    /// The request's id.
    pub(crate) call_id: &'a str,
    /// Who reads its error.
    pub(crate) audience: Audience,
}

impl<'a> Scope<'a> {
    /// The memory for bodies, and its bounds.
    pub(super) fn memory(&self) -> (&'a Arc<Buffered>, &'a Bounds) {
        (&self.process.buffered, &self.serving.snapshot.gateway.bounds)
    }
}

/// Who reads an error: it decides what the error may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// A holder of the master key. Upstream addresses may be named.
    Operator,
    /// Any other client. Upstream addresses may not be named.
    Client,
}

/// Where an attempt goes.
pub(crate) struct Destination<'a> {
    /// The deployment.
    pub(crate) deployment: &'a Arc<Deployment>,
    /// Its upstream with headers, paths and credential.
    pub(crate) target: &'a Target,
    /// The model's name at the provider.
    pub(crate) model: Cow<'a, str>,
}

/// What an attempt asks for.
pub(crate) enum Call<'a> {
    /// An operation, for a client or to probe it.
    Operation(Box<OperationCall<'a>>),
    /// The provider's list of models. It is free, because no model runs.
    ModelList,
}

/// Why no request was made.
pub(crate) enum Unprepared {
    /// It cannot be said in the provider's format.
    Unfit(Unfit),
    /// There is no memory for it.
    NoRoom,
}

/// The call of an operation.
pub(crate) struct OperationCall<'a> {
    /// The client's operation and format, and the provider's wire.
    pub(crate) conversion: Conversion,
    /// The request in the provider's format, or why there is none.
    pub(crate) prepared: Result<Prepared, Unprepared>,
    /// The client's headers that are passed on.
    pub(crate) dialect: &'a Dialect,
    /// The id of the stored object that the request addresses, and the query.
    pub(crate) object: Option<&'a ObjectPath>,
    /// What is passed through, if it is not read.
    pub(crate) passed: Option<&'a PassThrough>,
    /// What is simulated in place of an upstream's answer.
    pub(crate) simulated: Option<&'a Simulated>,
    /// What the upstream is told of the trace that the request belongs to.
    pub(crate) traced: Option<Traced>,
    /// The answer that broke off, behind which this one goes on.
    pub(crate) behind: Option<Behind<'a>>,
    /// Whether what a stream says is gathered.
    pub(crate) is_tapped: bool,
    /// The expected answer.
    pub(crate) expect: Expect<'a>,
}

/// An answer that broke off.
#[derive(Clone, Copy)]
pub(crate) struct Behind<'a> {
    /// What the client has of it.
    pub(crate) broken: &'a Broken,
    /// Whether the deployment repeats what it is told that it said.
    pub(crate) echo: Echo,
}

/// The expected answer, and how the client sees it.
pub(crate) struct Expect<'a> {
    /// Its form.
    pub(crate) form: AnswerForm,
    /// The model's name that the client sees.
    pub(crate) shown_model: Cow<'a, str>,
    /// How the answer is rewritten for the client.
    pub(crate) view: View,
    /// Billing units besides tokens, as far as the request states them.
    pub(crate) units: Units,
    /// What happens when the provider's content policy stops the answer.
    pub(crate) policy_stop: PolicyStop,
}

/// The form of an answer. Bytes and WebSockets are not listed: they follow from the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerForm {
    /// One JSON document.
    Json,
    /// One text.
    Text,
    /// A stream of events.
    Events,
    /// The same stream as one JSON list of what its events carry.
    List,
}

impl AnswerForm {
    /// Whether the upstream is asked for a stream of events.
    pub(crate) fn is_stream(self) -> bool {
        match self {
            AnswerForm::Events | AnswerForm::List => true,
            AnswerForm::Json | AnswerForm::Text => false,
        }
    }
}

/// What happens when the provider's content policy stops an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyStop {
    /// The client gets the stopped answer.
    IsAnswer,
    /// The attempt fails, because a fallback for this case is configured.
    MovesOn,
}

impl Call<'_> {
    /// What was noted when the request was made.
    pub(super) fn notes(&self) -> Option<&Arc<Notes>> {
        match self {
            Call::Operation(call) => call.notes(),
            Call::ModelList => None,
        }
    }
}

impl OperationCall<'_> {
    /// Whether it is not made again if the provider may have carried it out; `called` is the provider's operation.
    pub(super) fn runs_once(&self, called: Operation) -> bool {
        match self.passed {
            Some(passed) => !passed.method.is_idempotent(),
            None => called.runs_once(),
        }
    }

    fn notes(&self) -> Option<&Arc<Notes>> {
        match &self.prepared {
            Ok(Prepared::Body(_, _, notes) | Prepared::Several(_, _, notes)) => notes.as_ref(),
            Ok(Prepared::Estimate(_) | Prepared::Count(_) | Prepared::Fetch(_)) | Err(_) => None,
        }
    }

    /// Whether a stream of events is expected.
    pub(crate) fn wants_events(&self) -> bool {
        self.expect.form.is_stream()
    }
}
