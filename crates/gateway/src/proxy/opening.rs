//! The first phases of a request for a model: read, authorize, resolve. They end with a route plan.
//!
//! Called by [`super::exchange`]. Always true: no upstream is called here, and a refusal says what to change
//! in the request.

mod addressed;
mod client;

use std::sync::Arc;

use bytes::Bytes;
use hale_core::operation::{Carries, Operation, Streaming};
use hale_core::route::{Controls, MayUse, Resolved, RoutePlan, resolve};
use hale_core::tenancy::Owner;
use hale_core::tenancy::access::More;
use hale_core::tenancy::end_user::EndUser;
use hale_core::usage::Units;
use hale_wire::peek::Peek;
use http::request::Parts;
use hyper::body::Incoming;

use self::addressed::{Addressed, NamedBy};
use super::admit;
use super::attempt::AnswerForm;
use super::billed_to::Names;
use super::cache_wish::{CacheWish, Source};
use super::content;
use super::controls::{header_controls, wants_explanation};
use super::customer;
use super::delivery::Delivery;
use super::dialect::Dialect;
use super::facts::{Facts, ReadApart};
use super::handshake::{self, Handshake};
use super::history::History;
use super::model_request::{Body, ModelRequest, Shows};
use super::pass_through::{self, PassThrough};
use super::recalled::Recalled;
use super::simulated::Simulated;
use super::stored_object;
use crate::arrival::Arrival;
use crate::clock;
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::limits::Held;
use crate::offload;

/// A request that has no route yet.
pub(super) struct Opening {
    /// Its connection, config and client.
    pub(super) arrival: Arrival,
    /// Decides and records how it ends.
    pub(super) delivery: Delivery,
    operation: Operation,
    head: Parts,
    /// The name in the path: a model, which wins over the body's, or the id of a stored object.
    path_name: Option<Box<str>>,
    /// The client's own customer that it is for, if that has a row.
    end_user: Option<Arc<EndUser>>,
    /// The name of the client's own customer.
    customer: Option<Box<str>>,
    /// Who else it is billed to, if that was read apart from the worker.
    names: Option<Names>,
    /// The session that it is part of, if sessions have a ceiling.
    session: Option<Box<str>>,
}

impl Opening {
    /// A request whose head has arrived.
    pub(super) fn new(
        arrival: Arrival,
        operation: Operation,
        path_name: Option<Box<str>>,
        head: Parts,
    ) -> Opening {
        let delivery = Delivery::begin(&arrival, operation, &head);
        Opening {
            arrival,
            delivery,
            operation,
            head,
            path_name,
            customer: None,
            names: None,
            session: None,
            end_user: None,
        }
    }

    /// Runs all three phases.
    pub(super) async fn run(
        &mut self,
        incoming: Incoming,
    ) -> Result<(ModelRequest, RoutePlan), Refusal> {
        self.note_user();
        if self.operation.kind().is_some() || self.operation.refers_to().is_some() {
            let ids = self.arrival.serving.ids.clone();
            self.delivery.waiting(ids.ready()).await;
        }
        if self.operation.is_passed_through() {
            return Box::pin(self.pass_through(incoming)).await;
        }
        let (dialect, mut body, apart) = self.read(incoming).await?;
        let (first_model, facts) = match apart {
            Some(ReadApart { first_model, facts, customer, names }) => {
                self.customer = self.customer_of(|| customer);
                self.names = Some(names);
                (Some(first_model), Some(facts))
            }
            None => {
                self.customer = self.customer_of(|| customer::of_body(&body.peek));
                (None, None)
            }
        };
        self.note_client(&body.peek);
        self.bill(&body.peek)?;
        self.check_end_user().await?;
        let recalled = Recalled::of(&self.arrival, self.operation, &body.peek)?;
        let goes_on = recalled.as_ref().is_some_and(Recalled::goes_on);
        let mut addressed = self.authorize(&body.peek, (first_model, goes_on))?;
        self.arrival.check_model(&mut addressed.model)?;
        let history = match recalled {
            Some(recalled) => Box::pin(self.join(recalled, &mut body)).await?,
            None => None,
        };
        let facts = match facts {
            // Those of a body that has grown are others.
            Some(facts) if !goes_on => facts?,
            Some(_) | None => self.facts(&body.peek).await?,
        };
        let (mut request, plan) = self.resolve((dialect, facts), body, addressed).await?;
        request.history = history;
        Ok((request, plan))
    }

    /// Reads the body, after its declared type has been accepted.
    async fn read(
        &mut self,
        incoming: Incoming,
    ) -> Result<(Dialect, Body, Option<ReadApart>), Refusal> {
        let mut dialect = Dialect::of(self.operation.format(), &self.head.headers);
        if self.operation.switches() {
            dialect.handshake = Handshake::of(&self.head)?;
            self.path_name = handshake::model(self.query())?;
        }
        content::check_type(self.operation, self.head.uri.path(), &self.head.headers)?;
        let mut held = Held::none(&self.arrival.worker.process.buffered);
        self.delivery.wait_begins();
        let body = self.arrival.read_body(&self.head.headers, incoming, &mut held).await;
        self.delivery.wait_ends();
        let body = body?;
        self.delivery.note(|record| record.request_bytes = body.len() as u64);
        self.delivery.mirror(&self.head, &body);
        if body.len() > offload::LARGE {
            let (peek, apart) = Box::pin(self.read_apart(body)).await?;
            return Ok((dialect, Body::new(peek, held), Some(apart)));
        }
        let peek = content::read(self.operation, &self.head.headers, body)?;
        Ok((dialect, Body::new(peek, held), None))
    }

    /// Reads a large body, and finds what it says, apart from the worker.
    async fn read_apart(&self, body: Bytes) -> Result<(Peek, ReadApart), Refusal> {
        let (operation, head) = (self.operation, self.head.clone());
        let serving = self.arrival.serving.clone();
        let read = offload::run(move || {
            let peek = content::read(operation, &head.headers, body)?;
            let first_model = content::batch_model(operation, &peek);
            let facts = Facts::of(operation, &serving, &head, &peek);
            let customer = customer::of_body(&peek);
            let names = Names::of(&head.headers, &peek);
            Ok((peek, ReadApart { first_model, facts, customer, names }))
        })
        .await;
        // Time has passed.
        clock::now();
        read
    }

    /// Puts the conversation that the gateway keeps before what the client sent.
    async fn join(
        &mut self,
        recalled: Recalled,
        body: &mut Body,
    ) -> Result<Option<Box<History>>, Refusal> {
        self.delivery.wait_begins();
        let joined = recalled.join(&self.arrival, body).await;
        self.delivery.wait_ends();
        joined
    }

    /// What the body says, found apart from the worker if it is large.
    async fn facts(&self, peek: &Peek) -> Result<Facts, Refusal> {
        let (operation, serving) = (self.operation, &self.arrival.serving);
        if peek.size() <= offload::LARGE {
            return Facts::of(operation, serving, &self.head, peek);
        }
        let (serving, head, peek) = (serving.clone(), self.head.clone(), peek.clone());
        Box::pin(offload::run(move || Facts::of(operation, &serving, &head, &peek))).await
    }

    /// Finds the route.
    async fn resolve(
        &mut self,
        (dialect, facts): (Dialect, Facts),
        body: Body,
        addressed: Addressed,
    ) -> Result<(ModelRequest, RoutePlan), Refusal> {
        let (operation, peek) = (self.operation, &body.peek);
        self.delivery.capture.body(peek);
        let Facts { mut controls, units, wants_text } = facts;
        let streams = self.wants_stream(peek)?;
        // Audio and files are relayed as they come, too.
        let passes = streams || operation.answers_bytes() || operation.switches();
        self.delivery.note(|record| record.stream = passes);
        controls.stream = passes;
        controls.operation = Some(operation);
        // No other deployment has the object, and only its own model can use a file.
        controls.disable_fallbacks |= addressed.stored.is_some() || operation.is_of_files();
        let form = match (streams, wants_text) {
            (true, _) if self.wants_list() => AnswerForm::List,
            (true, _) => AnswerForm::Events,
            (false, true) => AnswerForm::Text,
            (false, false) => AnswerForm::Json,
        };
        let shows = self.shows(peek, form)?;
        let object = if operation.switches() {
            handshake::object(self.query())
        } else {
            stored_object::object(operation, addressed.stored.as_ref(), self.query())
        };
        if let Some(access) = self.arrival.principal.access() {
            let of_key = (access, self.end_user.as_ref());
            admit::restrict(&self.arrival, of_key, &mut controls)?;
        }
        let owner = stored_object::owner(&self.arrival, operation, addressed.stored.as_ref())?;
        let plan = self.route(&addressed, controls.clone())?;
        self.admit(&plan, (peek, &addressed.model), units).await?;
        let simulated = match self.arrival.serving.snapshot.gateway.allows_mocks {
            true => Simulated::of(peek)?.map(Box::new),
            false => None,
        };
        let cache_wish = match simulated {
            Some(_) => None,
            // A list is whole only at its end, so that none is kept, and no other request joins it.
            None if form == AnswerForm::List => None,
            None => self.cache_wish(&plan, peek, &controls),
        };
        let request = ModelRequest {
            operation,
            units,
            form,
            body: Some(body),
            model: addressed.model,
            stored: addressed.stored,
            owner,
            object,
            controls,
            dialect,
            shows,
            passed: None,
            simulated,
            cache_wish,
            history: None,
        };
        Ok((request, plan))
    }

    /// Reads a request that is passed through, and finds a deployment of its provider.
    async fn pass_through(
        &mut self,
        incoming: Incoming,
    ) -> Result<(ModelRequest, RoutePlan), Refusal> {
        let passed = PassThrough::of(&self.head)?;
        if let Some(access) = self.arrival.principal.access() {
            passed.check_owner(access, self.head.uri.path())?;
        }
        let mut held = Held::none(&self.arrival.worker.process.buffered);
        self.delivery.wait_begins();
        let body = self.arrival.read_body(&self.head.headers, incoming, &mut held).await;
        self.delivery.wait_ends();
        let body = body?;
        self.delivery.note(|record| {
            record.request_bytes = body.len() as u64;
            record.stream = true;
        });
        content::check_guardrails(&body).await?;
        self.customer = self.customer_of(|| None);
        self.bill(&Peek::opaque(body.clone()))?;
        self.check_end_user().await?;
        let snapshot = &self.arrival.serving.snapshot;
        let mut may_use = MayUse::default();
        let session = self.limited_session().await;
        if let Some(access) = self.arrival.principal.access() {
            let end_user = self.end_user.as_ref();
            let tags = &self.limited_tags()[..];
            let more = More { end_user, tags, session: session.as_ref(), default: None };
            passed.check_measured((access, &more), self.head.uri.path())?;
            passed.check_models((access, snapshot), &self.head, &body).await?;
            may_use = MayUse::of(access);
        }
        let mut model = passed.model(&self.head.headers, &body);
        if let Some(model) = model.as_mut().filter(|_| pass_through::is_chosen(&self.head.headers))
        {
            self.arrival.check_model(model)?;
        }
        let target = passed.target(snapshot, (model.as_deref(), &may_use))?;
        let peek = Peek::opaque(body);
        let shows = Shows { route: wants_explanation(&self.head.headers)?, ..Shows::default() };
        let controls = Controls {
            operation: Some(self.operation),
            provider: Some(passed.provider),
            stream: true,
            disable_fallbacks: true,
            may_use,
            ..header_controls(&self.head.headers)?
        };
        let plan = RoutePlan::new(snapshot, target, controls.clone(), clock::recent().millis());
        self.admit(&plan, (&peek, model.as_deref().unwrap_or_default()), Units::default()).await?;
        if let Some(model) = &model {
            let name = self.recorded_name(model);
            self.delivery.note(|record| record.requested_model = Some(name));
        }
        let request = ModelRequest {
            operation: self.operation,
            units: Units::default(),
            form: AnswerForm::Json,
            body: Some(Body::new(peek, held)),
            model: model.unwrap_or_default(),
            stored: None,
            owner: Owner::NONE,
            object: None,
            controls,
            dialect: Dialect::default(),
            shows,
            passed: Some(Box::new(passed)),
            simulated: None,
            cache_wish: None,
            history: None,
        };
        Ok((request, plan))
    }

    /// Reserves what the request is expected to use, if it has a key with limits, or a session with a ceiling.
    async fn admit(
        &mut self,
        plan: &RoutePlan,
        (peek, model): (&Peek, &str),
        units: Units,
    ) -> Result<(), Refusal> {
        let session = self.limited_session().await;
        let access = self.arrival.principal.access();
        if access.is_none() && session.is_none() {
            return Ok(());
        }
        let end_user = self.end_user.as_ref();
        let tags = &if access.is_some() { self.limited_tags() } else { Vec::new() }[..];
        let more = More { end_user, tags, session: session.as_ref(), default: None };
        let asked = admit::Asked { operation: self.operation, model, units, peek, more };
        let admission = admit::admit(&self.arrival, plan, asked).await?;
        self.delivery.admitted(admission);
        Ok(())
    }

    fn wants_stream(&self, peek: &Peek) -> Result<bool, Refusal> {
        if !self.operation.streams() {
            return Ok(false);
        }
        if self.operation.streaming() == Streaming::ByPath {
            let path = self.operation.streamed_path().split('?').next().unwrap_or_default();
            return Ok(self.head.uri.path().trim_end_matches('/').ends_with(path));
        }
        match self.operation.carries() {
            Carries::Nothing => stored_object::wants_stream(self.query()),
            Carries::Json | Carries::Form | Carries::Anything => {
                let asked = peek.boolean("stream").map_err(|error| refusal::bad_body(&error))?;
                Ok(asked.unwrap_or(false))
            }
        }
    }

    /// Whether the client of a stream wants one list, not events: Google's do that do not ask for events.
    fn wants_list(&self) -> bool {
        self.operation.streaming() == Streaming::ByPath
            && query::value(self.query(), "alt").as_deref() != Some("sse")
    }

    fn shows(&self, peek: &Peek, form: AnswerForm) -> Result<Shows, Refusal> {
        let bad = |error| refusal::bad_body(&error);
        let always = self.arrival.serving.snapshot.gateway.always_include_stream_usage;
        Ok(Shows {
            usage: form == AnswerForm::Events && (peek.wants_usage().map_err(bad)? || always),
            route: wants_explanation(&self.head.headers)?,
            errors: peek.has_controls()
                && peek.boolean("include_fallback_errors").map_err(bad)?.unwrap_or(false),
        })
    }

    /// The route through deployments and groups. A request about a stored object goes to a deployment that
    /// has it.
    fn route(&self, addressed: &Addressed, controls: Controls) -> Result<RoutePlan, Refusal> {
        let snapshot = &self.arrival.serving.snapshot;
        // As fresh as the end of the body.
        let now = clock::recent().millis();
        let stored = match (&addressed.stored, addressed.named_by) {
            (None, _) => None,
            (Some(stored), NamedBy::StoredObject) => Some((stored, stored.target(snapshot))),
            (Some(stored), NamedBy::Client) => match resolve(snapshot, &addressed.model) {
                Resolved::Target(target) => Some((stored, target)),
                Resolved::Unknown(_) => None,
            },
        };
        if let Some((stored, target)) = stored {
            return Ok(RoutePlan::new(snapshot, stored.pin(snapshot, target)?, controls, now));
        }
        RoutePlan::named(snapshot, &addressed.model, controls, now).map_err(|nearest| {
            refusal::unknown_model(self.head.uri.path(), &addressed.model, &nearest)
        })
    }

    /// What the cache of answers does for it.
    fn cache_wish(
        &self,
        plan: &RoutePlan,
        peek: &Peek,
        controls: &Controls,
    ) -> Option<Box<CacheWish>> {
        let snapshot = &self.arrival.serving.snapshot;
        let client = self.arrival.principal.access().map(|access| &*access.identity.key);
        let source = Source { snapshot, headers: &self.head.headers, controls, plan, client };
        CacheWish::of(self.operation, peek, source)
    }

    fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// A model's name for the record: shared if it is a group's name, else cut to 200 characters.
    fn recorded_name(&self, name: &str) -> Arc<str> {
        let snapshot = &self.arrival.serving.snapshot;
        match snapshot.by_name.get(name) {
            Some(group) => snapshot.group(*group).name.clone(),
            None => name.chars().take(200).collect::<String>().into(),
        }
    }
}
