//! Builds the call of one attempt: the request in the provider's format, and the expected answer.
//!
//! Used by [`super::exchange`] for each attempt. Always true: a call carries nothing over from an earlier
//! attempt.

use std::borrow::Cow;

use hale_core::operation::Operation;
use hale_core::route::RoutePlan;
use hale_wire::controls;
use hale_wire::edit::json_string;
use hale_wire::id::Issuer;
use hale_wire::neutral::Unfit;
use hale_wire::order::Order;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::stream::View;

use super::attempt::{Destination, Expect, OperationCall, PolicyStop};
use super::model_request::ModelRequest;
use crate::clock;
use crate::state::Serving;

/// What a call is built from, besides its destination.
#[derive(Clone, Copy)]
pub(super) struct CallBuilder<'a> {
    /// The config that the request began with.
    pub(super) serving: &'a Serving,
    /// The client's request.
    pub(super) request: &'a ModelRequest,
    /// The route through deployments and groups.
    pub(super) plan: &'a RoutePlan,
}

impl<'a> CallBuilder<'a> {
    /// The call to `destination`.
    pub(super) fn call(self, destination: &Destination<'_>) -> OperationCall<'a> {
        let request = self.request;
        let order = Order {
            deployment: destination.deployment,
            operation: request.operation,
            upstream_model: &destination.model,
            kept: request.stored.as_ref().map(|stored| &*stored.id),
            ask_usage: request.controls.stream,
            drop_params: self.serving.snapshot.gateway.drop_params,
        };
        let conversion = Conversion { operation: request.operation, wire: order.wire() };
        let shown_model = self.shown_model();
        let moves_on = self.plan.has_policy_fallback(&self.serving.snapshot);
        OperationCall {
            conversion,
            prepared: self.prepare(&order),
            dialect: &request.dialect,
            object: request.object.as_ref(),
            expect: Expect {
                form: request.form,
                view: self.view(conversion, &shown_model, destination),
                shown_model,
                units: request.units,
                policy_stop: if moves_on { PolicyStop::MovesOn } else { PolicyStop::IsAnswer },
            },
        }
    }

    fn prepare(self, order: &Order<'_>) -> Result<Prepared, Unfit> {
        let Some(peek) = self.request.peek() else {
            let message = "the request's body is no longer held".to_owned();
            return Err(Unfit { field: "request_body".to_owned(), message });
        };
        let overridden = self.plan.overrides().and_then(|at| controls::overridden(peek, at));
        prepare(overridden.as_ref().unwrap_or(peek), order)
    }

    /// How the answer is shown to the client.
    fn view(
        self,
        conversion: Conversion,
        shown_model: &str,
        destination: &Destination<'_>,
    ) -> View {
        let operation = self.request.operation;
        View {
            // In a group with many models an answer keeps its own model name.
            model_json: if shown_model.is_empty() {
                "".into()
            } else {
                json_string(shown_model).into()
            },
            show_usage: self.request.shows.usage,
            created: if conversion.translates() { clock::unix_ms() / 1000 } else { 0 },
            upstream_model: (operation == Operation::CountPrompt)
                .then(|| Box::from(&*destination.model)),
            issuer: operation.kind().and(self.serving.ids.key()).map(|key| Issuer {
                key: key.clone(),
                deployment: destination.deployment.id.clone(),
            }),
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
