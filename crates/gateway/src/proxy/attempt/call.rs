//! What one attempt is made of: for whom, where to, what is asked, what must come back.
//!
//! Made by [`crate::proxy::exchange`] for clients and by the prober for its own probes; read by
//! [`super`] and the files beside this one. Always true: each fact stands in one place, and every
//! field holds what the attempt really uses.

use std::borrow::Cow;
use std::sync::Arc;

use hale_core::deployment::Deployment;
use hale_core::route::AttemptPlan;
use hale_core::usage::Units;
use hale_wire::neutral::Unfit;
use hale_wire::prepare::{Conversion, Prepared};
use hale_wire::stream::View;

use crate::proxy::dialect::Dialect;
use crate::state::{Process, Serving};
use crate::upstream::{ObjectPath, SendProgress, Target};

/// One attempt to make.
pub(crate) struct Attempt<'a> {
    /// For whom it is made.
    pub(crate) scope: Scope<'a>,
    /// Where it goes.
    pub(crate) destination: Destination<'a>,
    /// What is asked.
    pub(crate) call: Call<'a>,
    /// Its limits in time.
    pub(crate) plan: &'a AttemptPlan,
    /// How far it has come, seen from outside.
    pub(crate) progress: &'a SendProgress,
}

/// For whom an attempt is made.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// The process, whose memory for bodies is bounded.
    pub(crate) process: &'a Arc<Process>,
    /// The config that the request began with.
    pub(crate) serving: &'a Serving,
    /// The request's id.
    pub(crate) call_id: &'a str,
    /// Who reads what went wrong.
    pub(crate) audience: Audience,
}

/// Who reads an error, and so what it may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Holds the master key: addresses of upstreams may be named.
    Operator,
    /// Anyone else: they may not.
    Client,
}

/// Where an attempt goes.
pub(crate) struct Destination<'a> {
    /// The deployment.
    pub(crate) deployment: &'a Arc<Deployment>,
    /// Its upstream, with headers, paths and credential.
    pub(crate) target: &'a Target,
    /// The model's name at the provider.
    pub(crate) model: Cow<'a, str>,
}

/// What is asked of a deployment.
pub(crate) enum Call<'a> {
    /// An operation, for a client or to probe it.
    Operation(Box<OperationCall<'a>>),
    /// The provider's list of models. It costs nothing: no model runs.
    ModelList,
}

/// An operation that is asked for.
pub(crate) struct OperationCall<'a> {
    /// The client's operation and format, and the provider's wire.
    pub(crate) conversion: Conversion,
    /// The request in the provider's format, or why it cannot be said there.
    pub(crate) prepared: Result<Prepared, Unfit>,
    /// Headers of the client that go along.
    pub(crate) dialect: &'a Dialect,
    /// The stored object that the request addresses, and its query.
    pub(crate) object: Option<&'a ObjectPath>,
    /// What must come back.
    pub(crate) expect: Expect<'a>,
}

/// What must come back, and what the client sees of it.
pub(crate) struct Expect<'a> {
    /// Its form.
    pub(crate) form: AnswerForm,
    /// The model's name that the client sees.
    pub(crate) shown_model: Cow<'a, str>,
    /// How it is shown to the client.
    pub(crate) view: View,
    /// What the request says it is charged for besides tokens.
    pub(crate) units: Units,
    /// What an answer means that the provider's content policy stopped.
    pub(crate) policy_stop: PolicyStop,
}

/// The form of an answer that is not bytes and no WebSocket: those follow from the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerForm {
    /// One JSON document.
    Json,
    /// One text.
    Text,
    /// A stream of events.
    Events,
}

/// What an answer means that the provider's content policy stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PolicyStop {
    /// It is the answer.
    IsAnswer,
    /// It is a failure: a fallback for it is configured.
    MovesOn,
}

impl OperationCall<'_> {
    /// Whether a stream of events was asked for.
    pub(crate) fn wants_events(&self) -> bool {
        self.expect.form == AnswerForm::Events
    }
}
