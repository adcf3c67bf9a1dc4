//! The first phases of a request for a model: read, authorize, resolve. Then there is a route.
//!
//! Called by [`super::exchange`]. Always true: no upstream is called here, and a refusal names what to
//! change in the request.

use std::sync::Arc;

use hale_core::operation::{self, Carries, Operation};
use hale_core::route::{Controls, Resolved, Walk, resolve};
use hale_wire::modes;
use hale_wire::peek::{FORBIDDEN, Peek};
use http::request::Parts;
use hyper::body::Incoming;

use super::attempt::AnswerForm;
use super::content;
use super::controls::{all_controls, wants_explanation};
use super::delivery::Delivery;
use super::dialect::Dialect;
use super::handshake::{self, Handshake};
use super::kept::{self, Kept};
use super::model_request::{Body, ModelRequest, Shows};
use crate::arrival::Arrival;
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::limits::Held;

/// A request whose route is not known yet.
pub(super) struct Opening {
    /// Connection, config and client.
    pub(super) arrival: Arrival,
    /// How it will end.
    pub(super) delivery: Delivery,
    operation: Operation,
    head: Parts,
    /// The name in the path: of a model, which wins over the body's, or the id of a stored object.
    path_name: Option<Box<str>>,
}

/// Where the model's name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NamedBy {
    /// In the request.
    Client,
    /// Nowhere: it is the group of the stored object.
    StoredObject,
}

/// What the request addresses.
struct Addressed {
    model: Box<str>,
    named_by: NamedBy,
    kept: Option<Kept>,
}

impl Opening {
    /// A request whose head is there.
    pub(super) fn new(
        arrival: Arrival,
        operation: Operation,
        path_name: Option<Box<str>>,
        head: Parts,
    ) -> Opening {
        let delivery = Delivery::begin(&arrival, operation);
        Opening { arrival, delivery, operation, head, path_name }
    }

    /// All three phases.
    pub(super) async fn run(
        &mut self,
        incoming: Incoming,
    ) -> Result<(ModelRequest, Walk), Refusal> {
        let (dialect, body) = self.read(incoming).await?;
        let addressed = self.authorize(&body.peek)?;
        self.resolve(dialect, body, addressed)
    }

    /// Reads the body, as far as the type that the head names allows.
    async fn read(&mut self, incoming: Incoming) -> Result<(Dialect, Body), Refusal> {
        let mut dialect = Dialect::of(self.operation.format(), &self.head.headers);
        if self.operation.switches() {
            dialect.handshake = Handshake::of(&self.head, self.arrival.access)?;
            self.path_name = handshake::model(self.query())?;
        }
        content::check_type(self.operation, self.head.uri.path(), &self.head.headers)?;
        let mut held = Held::none(&self.arrival.worker.process.buffered);
        let reading = self.arrival.read_body(&self.head.headers, incoming, &mut held);
        let body = self.delivery.waiting(reading).await?;
        self.delivery.note(|record| record.request_bytes = body.len() as u64);
        let peek = content::read(self.operation, &self.head.headers, body)?;
        Ok((dialect, Body { peek, held }))
    }

    /// What the request addresses, and whether it may: stored objects of this gateway only, and no
    /// credential or address of the client's.
    fn authorize(&mut self, peek: &Peek) -> Result<Addressed, Refusal> {
        let addressed = self.addressed(peek)?;
        if addressed.named_by == NamedBy::Client {
            let name = self.recorded_name(&addressed.model);
            self.delivery.note(|record| record.requested_model = Some(name));
        }
        match peek.holds(&FORBIDDEN).next() {
            Some(field) => Err(refusal::forbidden_parameter(field)),
            None => Ok(addressed),
        }
    }

    fn addressed(&mut self, peek: &Peek) -> Result<Addressed, Refusal> {
        let (operation, route) = (self.operation, self.head.uri.path());
        let snapshot = &self.arrival.serving.snapshot;
        let query = self.head.uri.query().unwrap_or_default();
        let kept = Kept::of(&self.arrival, operation, self.path_name.as_deref(), peek, query)?;
        let named = match operation.addressed() {
            operation::Addressed::ById => None,
            operation::Addressed::ByAccount => {
                content::account_model(snapshot, operation, peek, &self.head)?
            }
            operation::Addressed::ByModel => {
                Some(content::model(operation, route, self.path_name.take(), peek)?)
            }
        };
        let (model, named_by) = match (named, &kept) {
            (Some(model), _) => (model, NamedBy::Client),
            (None, Some(kept)) => (kept.shown_model(snapshot), NamedBy::StoredObject),
            (None, None) => return Err(content::no_account(operation, route, peek)),
        };
        Ok(Addressed { model, named_by, kept })
    }

    /// Checks the fields, and finds the route.
    fn resolve(
        &mut self,
        dialect: Dialect,
        body: Body,
        addressed: Addressed,
    ) -> Result<(ModelRequest, Walk), Refusal> {
        let (operation, peek) = (self.operation, &body.peek);
        content::check(operation, peek, self.head.uri.path())?;
        let streams = self.wants_stream(peek)?;
        // Bytes leave as they come, too.
        let passes = streams || operation.answers_bytes() || operation.switches();
        self.delivery.note(|record| record.stream = passes);
        let mut controls =
            all_controls(&self.arrival, operation.format(), peek, &self.head.headers, passes)?;
        controls.operation = Some(operation);
        // No other deployment has the object, and a file is of use to its own model alone.
        controls.disable_fallbacks |= addressed.kept.is_some() || operation.is_of_files();
        let shows = self.shows(peek, streams)?;
        let object = if operation.switches() {
            handshake::object(self.query())
        } else {
            kept::object(operation, addressed.kept.as_ref(), self.query())
        };
        let plan = self.route(&addressed, controls.clone())?;
        let request = ModelRequest {
            operation,
            units: modes::asked::asked(operation, peek),
            form: match (streams, modes::transcripts::wants_text(operation, peek)) {
                (true, _) => AnswerForm::Events,
                (false, true) => AnswerForm::Text,
                (false, false) => AnswerForm::Json,
            },
            body: Some(body),
            model: addressed.model,
            kept: addressed.kept,
            object,
            controls,
            dialect,
            shows,
        };
        Ok((request, plan))
    }

    fn wants_stream(&self, peek: &Peek) -> Result<bool, Refusal> {
        if !self.operation.streams() {
            return Ok(false);
        }
        match self.operation.carries() {
            Carries::Nothing => Ok(kept::wants_stream(self.query())),
            Carries::Json | Carries::Form => {
                let asked = peek.boolean("stream").map_err(|error| refusal::bad_body(&error))?;
                Ok(asked.unwrap_or(false))
            }
        }
    }

    fn shows(&self, peek: &Peek, streams: bool) -> Result<Shows, Refusal> {
        let bad = |error| refusal::bad_body(&error);
        let always = self.arrival.serving.snapshot.gateway.always_include_stream_usage;
        Ok(Shows {
            usage: streams && (peek.wants_usage().map_err(bad)? || always),
            route: wants_explanation(&self.head.headers)?,
            errors: peek.has_controls()
                && peek.boolean("include_fallback_errors").map_err(bad)?.unwrap_or(false),
        })
    }

    /// The way through deployments and groups. A request about a stored object goes to a deployment that
    /// has it.
    fn route(&self, addressed: &Addressed, controls: Controls) -> Result<Walk, Refusal> {
        let snapshot = &self.arrival.serving.snapshot;
        // Reading the body may have taken its time.
        let now = clock::now().millis();
        let kept = match (&addressed.kept, addressed.named_by) {
            (None, _) => None,
            (Some(kept), NamedBy::StoredObject) => Some((kept, kept.target(snapshot))),
            (Some(kept), NamedBy::Client) => match resolve(snapshot, &addressed.model) {
                Resolved::Target(target) => Some((kept, target)),
                Resolved::Unknown(_) => None,
            },
        };
        if let Some((kept, target)) = kept {
            return Ok(Walk::new(snapshot, kept.pin(snapshot, target)?, controls, now));
        }
        Walk::named(snapshot, &addressed.model, controls, now).map_err(|nearest| {
            refusal::unknown_model(self.head.uri.path(), &addressed.model, &nearest)
        })
    }

    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// A model's name as records keep it: shared where it is a group's, else cut to 200 characters.
    fn recorded_name(&self, name: &str) -> Arc<str> {
        let snapshot = &self.arrival.serving.snapshot;
        match snapshot.by_name.get(name) {
            Some(group) => snapshot.group(*group).name.clone(),
            None => name.chars().take(200).collect::<String>().into(),
        }
    }
}
