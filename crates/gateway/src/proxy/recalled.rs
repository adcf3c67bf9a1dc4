//! Conversations that the gateway keeps for clients of responses whose providers keep none.
//!
//! Called by [`super::opening`] before a request gets its route, and by [`super::start`] for what is asked by the id of a response. Always true:
//! an id opens only for its owner ([`Principal::may_use`](crate::http::auth::Principal::may_use)); what is sent to a provider is the whole
//! conversation; without `responses_history: store` a request costs a look at a setting.

use hale_core::operation::{Kind, Operation};
use hale_core::provider::WireFormat;
use hale_core::settings::ResponsesHistory;
use hale_store::KeptResponse;
use hale_wire::history::{self, Exchanged};
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
use crate::state::Serving;
use crate::state::kept_responses::{Missing, ROW_MAX};

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

/// What the request adds, if it is kept; puts the conversation that it goes on from into its body.
///
/// # Errors
/// That is not kept, or cannot be read.
pub(super) async fn of(
    arrival: &Arrival,
    operation: Operation,
    body: &mut Body,
) -> Result<Option<Box<History>>, Refusal> {
    let takes_input = operation.format() == WireFormat::Responses && !operation.is_by_id();
    if !is_on(&arrival.serving) || !takes_input {
        return Ok(None);
    }
    let shown: Option<Box<str>> = match body.peek.string(PREVIOUS) {
        Ok(shown) => shown.map(|shown| Box::from(&*shown)),
        Err(error) => return Err(refusal::bad_body(&error)),
    };
    let previous = match shown {
        None => None,
        Some(shown) => match opened(arrival, &shown) {
            Some(id) => Some((id, shown)),
            // Its provider has it, or it is none: that is said where ids are opened.
            None => return Ok(None),
        },
    };
    let input: Box<str> = body.peek.raw("input").unwrap_or("[]").into();
    if let Some((id, shown)) = &previous {
        Box::pin(put_before(arrival, (id, shown), body)).await?;
    }
    let wants = body.peek.raw("store") != Some("false");
    let keeps = operation == Operation::Responses
        && wants
        && arrival.worker.process.store().is_some_and(|store| store.is_wanted());
    let mut held = Held::none(&arrival.worker.process.buffered);
    let limit = arrival.serving.snapshot.gateway.bounds.buffered_bytes;
    if !keeps || input.len() > ROW_MAX || !held.add(input.len(), limit) {
        return Ok(None);
    }
    Ok(Some(Box::new(History { previous, input, held })))
}

/// Puts the conversation up to the response `id` into the body.
async fn put_before(
    arrival: &Arrival,
    (id, shown): (&str, &str),
    body: &mut Body,
) -> Result<(), Refusal> {
    let process = &arrival.worker.process;
    let bounds = &arrival.serving.snapshot.gateway.bounds;
    let now = clock::unix_ms();
    let found = match process.store() {
        Some(store) => process.responses.conversation(store, (id, now), bounds.body_bytes).await,
        None => Err(Missing::Gone),
    };
    let missing = |why| explain::not_kept(Some(PREVIOUS), shown, why);
    let rows = found.map_err(missing)?;
    let past: Vec<Exchanged<'_>> =
        rows.iter().map(|row| Exchanged { input: &row.input, response: &row.response }).collect();
    let whole = history::with_past(&body.peek, &past).ok_or_else(|| {
        refusal::bad_parameter("input", "`input` must be a text or a list of items")
    })?;
    let more = whole.size().saturating_sub(body.held.bytes());
    if !body.held.add(more, bounds.buffered_bytes) {
        return Err(refusal::too_much_held());
    }
    body.peek = whole;
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
    let row = process.responses.one(store, (id, now)).await.map_err(missing)?;
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
