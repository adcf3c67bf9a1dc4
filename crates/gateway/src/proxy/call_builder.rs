//! Builds the call of one attempt: the request in the provider's format, and the expected answer.
//!
//! Used by [`super::exchange`] for each attempt. Always true: a call carries nothing over from an earlier
//! attempt.

use std::borrow::Cow;
use std::sync::Arc;

use hale_core::health::Known;
use hale_core::operation::Operation;
use hale_core::provider::{ClientFormat, WireFormat};
use hale_core::rescue::Echo;
use hale_core::route::{Overrides, RoutePlan};
use hale_core::settings::RouterSettings;
use hale_wire::controls;
use hale_wire::edit::json_string;
use hale_wire::fetched::Fetched;
use hale_wire::id::Issuer;
use hale_wire::neutral::Unfit;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::stream::View;

use super::attempt::{
    AnswerForm, Behind, Destination, Expect, OperationCall, PolicyStop, Unprepared,
};
use super::broken_off::Rescue;
use super::fetched_body::{self, FetchedBody};
use super::model_request::ModelRequest;
use super::simulated::Outcome;
use super::stored_object::StoredObject;
use crate::clock;
use crate::limits::Held;
use crate::offload;
use crate::state::Serving;

/// What changes the request for the group that is tried.
#[derive(Clone)]
enum Changes<'c> {
    Nothing,
    /// The object at that place of the client's list.
    OfClient(usize),
    /// This object of the config.
    OfConfig(Cow<'c, str>),
}

impl<'c> Changes<'c> {
    fn of(overrides: Option<Overrides>, router: &'c RouterSettings) -> Changes<'c> {
        match overrides {
            None => Changes::Nothing,
            Some(Overrides::OfClient(place)) => Changes::OfClient(place),
            Some(Overrides::OfConfig(place)) => match router.changes.get(place) {
                Some(object) => Changes::OfConfig(Cow::Borrowed(object)),
                None => Changes::Nothing,
            },
        }
    }

    fn owned(self) -> Changes<'static> {
        match self {
            Changes::Nothing => Changes::Nothing,
            Changes::OfClient(place) => Changes::OfClient(place),
            Changes::OfConfig(object) => Changes::OfConfig(Cow::Owned(object.into_owned())),
        }
    }
}

/// The request `peek` with these changes, in the provider's format.
fn overridden(peek: &Peek, changes: &Changes<'_>, order: &Order<'_>) -> Result<Prepared, Unfit> {
    let changed = match changes {
        Changes::Nothing => None,
        Changes::OfClient(place) => controls::overridden(peek, *place),
        Changes::OfConfig(object) => controls::changed(peek, object),
    };
    prepare(changed.as_ref().unwrap_or(peek), order)
}

/// The same, apart from the worker.
async fn apart(
    peek: &Peek,
    changes: Changes<'_>,
    order: &Order<'_>,
    (destination, fetched): (&Destination<'_>, Option<Arc<Fetched>>),
) -> Result<Prepared, Unfit> {
    let Order { operation, ask_usage, drop_params, known, .. } = *order;
    let seals = order.seals.cloned();
    let deployment = destination.deployment.clone();
    let upstream_model: Box<str> = order.upstream_model.into();
    let kept: Option<Box<str>> = order.kept.map(Box::from);
    let client_version: Option<Box<str>> = order.client_version.map(Box::from);
    let prefix: Option<Box<str>> = order.prefix.map(Box::from);
    let client_betas: Option<Box<str>> = order.client_betas.map(Box::from);
    let (peek, changes) = (peek.clone(), changes.owned());
    offload::run(move || {
        let order = Order {
            deployment: &deployment,
            operation,
            upstream_model: &upstream_model,
            kept: kept.as_deref(),
            client_version: client_version.as_deref(),
            client_betas: client_betas.as_deref(),
            ask_usage,
            drop_params,
            known,
            prefix: prefix.as_deref(),
            seals: seals.as_ref(),
            fetched: fetched.as_deref(),
        };
        overridden(&peek, &changes, &order)
    })
    .await
}

/// What a call is built from, besides its destination.
#[derive(Clone, Copy)]
pub(super) struct CallBuilder<'a> {
    /// The config that the request began with.
    pub(super) serving: &'a Serving,
    /// The client's request.
    pub(super) request: &'a ModelRequest,
    /// The route through deployments and groups.
    pub(super) plan: &'a RoutePlan,
    /// What the provider refused to be told.
    pub(super) known: Known,
    /// The answer that broke off, if this attempt goes on behind it.
    pub(super) rescue: Option<&'a Rescue>,
    /// The id of the client's request.
    pub(super) call_id: &'a str,
}

impl<'a> CallBuilder<'a> {
    /// The call to `destination`, for which that request was prepared.
    pub(super) fn call(
        self,
        destination: &Destination<'_>,
        prepared: Result<Prepared, Unprepared>,
    ) -> OperationCall<'a> {
        let request = self.request;
        let simulated = request.simulated.as_deref();
        let simulated = simulated.filter(|simulated| simulated.applies(self.plan.fallbacks()));
        // A canned answer uses the OpenAI wire.
        let wire = match simulated.map(|simulated| &simulated.outcome) {
            Some(Outcome::Answer(_)) => WireFormat::OpenAi,
            Some(Outcome::Failure(..) | Outcome::Silence) | None => self.order(destination).wire(),
        };
        let conversion = Conversion { operation: request.operation, wire }.answered();
        let shown_model = self.shown_model();
        let view = View {
            notes: match &prepared {
                Ok(Prepared::Body(_, _, notes) | Prepared::Several(_, _, notes)) => notes.clone(),
                Ok(Prepared::Estimate(_) | Prepared::Count(_) | Prepared::Fetch(_)) | Err(_) => {
                    None
                }
            },
            ..self.view(conversion, &shown_model, destination)
        };
        let moves_on = self.plan.has_policy_fallback(&self.serving.snapshot);
        OperationCall {
            conversion,
            prepared,
            dialect: &request.dialect,
            object: request.object.as_ref(),
            passed: request.passed.as_deref(),
            simulated,
            traced: None,
            behind: self
                .rescue
                .map(|rescue| Behind { broken: &rescue.broken, echo: echo_of(destination) }),
            is_tapped: false,
            expect: Expect {
                form: request.form,
                view,
                shown_model,
                units: request.units,
                policy_stop: if moves_on { PolicyStop::MovesOn } else { PolicyStop::IsAnswer },
            },
        }
    }

    fn order<'o>(self, destination: &'o Destination<'_>) -> Order<'o>
    where
        'a: 'o,
    {
        Order {
            deployment: destination.deployment,
            operation: self.request.operation,
            upstream_model: &destination.model,
            kept: self.request.stored.as_ref().map(|stored| &*stored.id),
            client_version: self.request.dialect.anthropic.newer_version(),
            client_betas: self.request.dialect.anthropic.wanted(),
            ask_usage: self.request.controls.stream,
            drop_params: self.serving.snapshot.gateway.drop_params
                || self.request.controls.drop_params
                || destination.deployment.endpoint.rules.drops_params,
            known: self.known,
            prefix: self
                .rescue
                .map(|rescue| rescue.broken.cut().prefix())
                .filter(|it| !it.is_empty()),
            seals: self.serving.ids.key(),
            fetched: fetched_body::found(self.serving, self.fetched()),
        }
    }

    /// What was fetched for the request.
    fn fetched(self) -> Option<&'a FetchedBody> {
        self.request.body.as_ref().and_then(|body| body.fetched.as_deref())
    }

    /// The request to `destination`. What it takes besides the client's body is counted in `held`.
    pub(super) async fn prepared(
        self,
        destination: &Destination<'_>,
        held: &mut Held,
    ) -> Result<Prepared, Unprepared> {
        let Some(peek) = self.request.peek() else {
            let message = "the request's body is no longer held".to_owned();
            let field = "request_body".to_owned();
            return Err(Unprepared::Unfit(Unfit { field, message }));
        };
        let order = self.order(destination);
        let conversion = Conversion { operation: order.operation, wire: order.wire() };
        // A translation takes the room of the texts that it reads and of what it writes.
        let copies = if conversion.translates() { 2 } else { 1 };
        let overrides = self.plan.overrides();
        let changes = Changes::of(overrides, &self.serving.snapshot.router);
        let copies = copies + usize::from(overrides.is_some());
        let copies = copies + usize::from(self.known.has_no_images());
        let fetched = self.fetched();
        if fetched.is_some_and(|fetched| fetched.is_full) {
            return Err(Unprepared::NoRoom);
        }
        let bytes = peek.size() + order.fetched.map_or(0, Fetched::bytes);
        let limit = self.serving.snapshot.gateway.bounds.buffered_bytes;
        if !held.add_copy(bytes * copies, limit).await {
            return Err(Unprepared::NoRoom);
        }
        let prepared = if bytes <= offload::LARGE {
            overridden(peek, &changes, &order)
        } else {
            let fetched = order.fetched.map(|fetched| match self.fetched() {
                Some(body) => body.found.clone(),
                None => Arc::new(fetched.clone()),
            });
            Box::pin(apart(peek, changes, &order, (destination, fetched))).await
        };
        held.shrink_to(match &prepared {
            Ok(Prepared::Body(_, payload, _)) => peek.not_shared(payload),
            Ok(Prepared::Several(_, all, _)) => all.iter().map(|one| one.body.len()).sum(),
            // Answers of the gateway's own, and errors, are short.
            Ok(Prepared::Estimate(_) | Prepared::Count(_) | Prepared::Fetch(_)) | Err(_) => 0,
        });
        prepared.map_err(Unprepared::Unfit)
    }

    /// How the answer is shown to the client.
    fn view(
        self,
        conversion: Conversion,
        shown_model: &str,
        destination: &Destination<'_>,
    ) -> View {
        let operation = self.request.operation;
        let is_translated_response =
            conversion.translates() && operation.format() == WireFormat::Responses;
        View {
            // In a group with many models an answer keeps its own model name.
            model_json: if shown_model.is_empty() {
                "".into()
            } else {
                json_string(shown_model).into()
            },
            show_usage: self.request.shows.usage,
            priced: (self.request.form == AnswerForm::Events
                && self.serving.snapshot.gateway.include_cost_in_usage)
                .then(|| destination.deployment.clone()),
            unix_ms: clock::unix_ms(),
            earlier_usd: self.rescue.map_or(0.0, |rescue| rescue.earlier_usd),
            merges_reasoning: destination.deployment.endpoint.rules.merges_reasoning
                && operation == Operation::Chat
                && self.request.form == AnswerForm::Events,
            created: if conversion.translates() { clock::unix_ms() / 1000 } else { 0 },
            notes: None,
            answer_id: (conversion.wire == WireFormat::Converse).then(|| {
                let kind = match operation.format().of_clients() {
                    ClientFormat::Gemini => "",
                    ClientFormat::OpenAi => "chatcmpl-",
                    ClientFormat::Anthropic => "msg_",
                    ClientFormat::Responses => "resp_",
                };
                format!("{kind}{}", self.call_id).into()
            }),
            upstream_model: (operation == Operation::CountPrompt)
                .then(|| Box::from(&*destination.model)),
            issuer: operation.kind().and(self.serving.ids.key()).map(|key| Issuer {
                key: key.clone(),
                deployment: destination.deployment.id.clone(),
                owner: self.request.owner,
                named: self.request.stored.as_ref().map(StoredObject::named),
            }),
            kept: self
                .request
                .history
                .as_ref()
                .filter(|_| is_translated_response)
                .map(|history| history.kept_as()),
            serial: if is_translated_response || self.rescue.is_some() { random() } else { 0 },
        }
    }

    /// The model's name in the answer: the one that the client asked for, or the fallback group's.
    fn shown_model(self) -> Cow<'a, str> {
        if self.plan.fallbacks() == 0 {
            Cow::Borrowed(&self.request.model)
        } else {
            Cow::Borrowed(self.plan.target().name(&self.serving.snapshot))
        }
    }
}

/// Whether the provider repeats the words that it goes on from. Source: <https://docs.mistral.ai/capabilities/completion/prefix>.
fn echo_of(destination: &Destination<'_>) -> Echo {
    match &*destination.deployment.endpoint.provider.name {
        "mistral" | "codestral" => Echo::Possible,
        _ => Echo::Never,
    }
}

/// A number that no other response has.
fn random() -> u128 {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    u128::from_le_bytes(random)
}
