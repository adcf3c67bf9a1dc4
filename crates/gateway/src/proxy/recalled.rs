//! Conversations that the gateway keeps for clients of responses whose providers keep none.
//!
//! Called by [`super::opening`] once a request may use its model, and by [`super::start`] for what is asked by the id of a response.
//! Always true: an id opens only for its owner ([`Principal::may_use`](crate::http::auth::Principal::may_use)); what is sent to a provider
//! is the whole conversation; a long one is joined apart from the worker, and counted before it is read; without
//! `responses_history: store` a request costs a look at a setting.

use hale_core::operation::{Kind, Operation};
use hale_core::provider::WireFormat;
use hale_core::settings::ResponsesHistory;
use hale_store::KeptResponse;
use hale_wire::history::{self, Exchanged};
use hale_wire::peek::Peek;
use http::{Response, StatusCode};

use super::delivery::Delivery;
use super::explain;
use super::history::History;
use super::model_request::Body;
use crate::arrival::Arrival;
use crate::clock;
use crate::http::query;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::{self, Reply};
use crate::limits::Held;
use crate::offload;
use crate::state::Serving;
use crate::state::kept_responses::{Missing, ROW_MAX, Room};

/// The field that names the response from which a request goes on.
const PREVIOUS: &str = "previous_response_id";

fn is_on(serving: &Serving) -> bool {
    serving.snapshot.gateway.store.responses == ResponsesHistory::Store
}

/// What the gateway calls the response `shown`, if that is one that it keeps and the client may use it.
fn opened(arrival: &Arrival, shown: &str) -> Option<Box<str>> {
    let issued = arrival.serving.ids.key()?.open(Kind::Response, shown)?;
    let is_own = issued.is_translated() && arrival.principal.may_use(&issued.owner);
    is_own.then(|| issued.id.into())
}

/// What a request of responses has to do with the conversations that the gateway keeps.
pub(super) struct Recalled {
    /// The response that it goes on from, as the gateway and as the client knows it.
    previous: Option<(Box<str>, Box<str>)>,
    /// What it adds, if that is kept.
    input: Option<Box<str>>,
}

impl Recalled {
    /// What that is; `None` if nothing is kept for such a request, or its provider keeps it.
    ///
    /// # Errors
    /// The id in the body cannot be read.
    pub(super) fn of(
        arrival: &Arrival,
        operation: Operation,
        peek: &Peek,
    ) -> Result<Option<Recalled>, Refusal> {
        let takes_input = operation.format() == WireFormat::Responses && !operation.is_by_id();
        if !takes_input || !is_on(&arrival.serving) {
            return Ok(None);
        }
        let shown = peek.string(PREVIOUS).map_err(|error| refusal::bad_body(&error))?;
        let previous = match shown {
            None => None,
            Some(shown) => match opened(arrival, &shown) {
                Some(id) => Some((id, Box::from(&*shown))),
                // Its provider has it, or it is none: that is said where ids are opened.
                None => return Ok(None),
            },
        };
        let keeps = operation == Operation::Responses
            && peek.raw("store") != Some("false")
            && arrival.worker.process.store().is_some_and(|store| store.is_wanted());
        let input = peek.raw("input").unwrap_or("[]");
        let input = (keeps && input.len() <= ROW_MAX).then(|| input.into());
        Ok(Some(Recalled { previous, input }))
    }

    /// Whether the request goes on from a response that is kept.
    pub(super) fn goes_on(&self) -> bool {
        self.previous.is_some()
    }

    /// Puts the conversation so far into `body`. Returns what the request adds to it, if that is kept.
    ///
    /// # Errors
    /// The conversation is not kept, cannot be read, or has no room.
    pub(super) async fn join(
        self,
        arrival: &Arrival,
        body: &mut Body,
    ) -> Result<Option<Box<History>>, Refusal> {
        let limit = arrival.serving.snapshot.gateway.bounds.buffered_bytes;
        let mut held = Held::none(&arrival.worker.process.buffered);
        // Without room for it the request goes on, and its response is not kept.
        let input = self.input.filter(|input| held.add(input.len(), limit));
        if let Some(previous) = &self.previous {
            put_before(arrival, previous, body).await?;
        }
        let previous = self.previous;
        Ok(input.map(|input| Box::new(History { previous, input, held })))
    }
}

/// Puts the conversation up to the response `id` into the body.
async fn put_before(
    arrival: &Arrival,
    (id, shown): &(Box<str>, Box<str>),
    body: &mut Body,
) -> Result<(), Refusal> {
    let process = &arrival.worker.process;
    let bounds = &arrival.serving.snapshot.gateway.bounds;
    let mut room = Room::new(&process.buffered, (bounds.body_bytes, bounds.buffered_bytes));
    let now = clock::unix_ms();
    let found = match process.store() {
        Some(store) => process.responses.conversation(store, (id, now), &mut room).await,
        None => Err(Missing::Gone),
    };
    let rows = found.map_err(|why| explain::not_kept(Some(PREVIOUS), shown, why))?;
    // For a moment the rows, the client's body and the body that is made of them are held.
    let (own, most) = (body.held.bytes(), room.bytes() + body.peek.size());
    if !body.held.add_in_time(most, bounds.buffered_bytes).await {
        return Err(refusal::too_much_held());
    }
    let is_large = most > offload::LARGE;
    let peek = body.peek.clone();
    let join = move || {
        let past: Vec<Exchanged<'_>> = rows
            .iter()
            .map(|row| Exchanged { input: &row.input, response: &row.response })
            .collect();
        history::with_past(&peek, &past)
    };
    let whole = if is_large { offload::run(join).await } else { join() };
    body.peek = whole.ok_or_else(|| {
        refusal::bad_parameter("input", "`input` must be a text or a list of items")
    })?;
    body.held.shrink_to(own.max(body.peek.size()));
    Ok(())
}

/// The response that a request is about, if the gateway keeps such: its id here, and as the client knows it.
pub(super) async fn named(
    arrival: &Arrival,
    operation: Operation,
    path_name: Option<&str>,
) -> Option<(Box<str>, Box<str>)> {
    let is_about_one = operation.is_by_id() && operation.kind() == Some(Kind::Response);
    let shown = path_name.filter(|_| is_about_one && is_on(&arrival.serving))?;
    arrival.serving.ids.ready().await;
    Some((opened(arrival, shown)?, shown.into()))
}

/// What a request about a response that is kept gets.
pub(super) async fn answer(
    arrival: &Arrival,
    (operation, query): (Operation, &str),
    (id, shown): (&str, &str),
    mut delivery: Delivery,
) -> Response<Reply> {
    let wanted = (operation, query);
    match delivery.waiting(Box::pin(found(arrival, wanted, (id, shown)))).await {
        Ok(body) => {
            delivery.answered_here(body.len() as u64);
            delivery.named(reply::json(StatusCode::OK, body))
        }
        Err(refusal) => delivery.refuse(refusal),
    }
}

async fn found(
    arrival: &Arrival,
    (operation, query): (Operation, &str),
    (id, shown): (&str, &str),
) -> Result<Vec<u8>, Refusal> {
    let process = &arrival.worker.process;
    let now = clock::unix_ms();
    let missing = |why| explain::not_kept(None, shown, why);
    let Some(store) = process.store() else { return Err(missing(Missing::Gone)) };
    let bounds = &arrival.serving.snapshot.gateway.bounds;
    let mut room = Room::new(&process.buffered, (bounds.body_bytes, bounds.buffered_bytes));
    let row = process.responses.one(store, (id, now), &mut room).await.map_err(missing)?;
    match operation {
        Operation::GetResponse
            if query::value(query, "stream").is_some_and(|it| &*it != "false") =>
        {
            Err(refusal::bad_parameter(
                "stream",
                "a response that is kept here is not streamed again",
            ))
        }
        Operation::GetResponse => Ok(row.response.as_bytes().to_vec()),
        Operation::ListInputItems => {
            history::listed(&row.input).ok_or_else(|| missing(Missing::Gone))
        }
        Operation::DeleteResponse => {
            // What goes on from it is told from what never was.
            let gone = KeptResponse {
                input: "".into(),
                response: "".into(),
                updated_at: now,
                ..(*row).clone()
            };
            process.responses.keep(store, gone);
            let id = hale_wire::edit::json_string(shown);
            Ok(format!(r#"{{"id":{id},"object":"response","deleted":true}}"#).into_bytes())
        }
        _ => Err(explain::not_in_background(shown)),
    }
}
