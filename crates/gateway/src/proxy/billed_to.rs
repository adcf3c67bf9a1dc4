//! Who a request is billed to, besides its key: the client's own customer, tags, a session.
//!
//! Called by [`super::opening`] where a store keeps it. Always true: what cannot be read is none, and refuses no request; each text
//! is bounded.

use hale_core::record::BilledTo;
use hale_core::route::TagWish;
use hale_wire::affinity;
use hale_wire::controls;
use hale_wire::peek::Peek;
use http::{HeaderMap, header};
use serde_json::Value;

use super::controls::{TAGS, session};
use crate::arrival::Arrival;

/// Longest name that is kept, characters.
const NAME_MAX: usize = 200;
/// Most tags that are kept.
const TAGS_MAX: usize = 50;
/// Longest `metadata` that is read, bytes.
const METADATA_MAX: usize = 64 << 10;
/// Headers that name the client's customer.
const CUSTOMERS: [&str; 2] = ["x-litellm-customer-id", "x-litellm-end-user-id"];

/// Who it is; `user` is the one that a header of the config named.
pub(super) fn billed_to(
    arrival: &Arrival,
    headers: &HeaderMap,
    (user, peek): (Option<&str>, &Peek),
) -> BilledTo {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let agent = header(header::USER_AGENT.as_str()).filter(|agent| !agent.is_empty());
    let named = CUSTOMERS.iter().find_map(|name| header(name));
    let end_user = named.or(user).map(str::to_owned).or_else(|| of_body(peek));
    let mut tags = tags(arrival, headers, peek);
    if let Some(agent) = agent {
        // As in LiteLLM: the program, and the program with its version.
        let program = agent.split('/').next().unwrap_or_default();
        tags.extend([program, agent].map(|name| short(&format!("User-Agent: {name}"))));
        tags.dedup();
    }
    BilledTo {
        by_master_key: arrival.principal.is_operator() && arrival.principal.access().is_none(),
        end_user: end_user.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(short),
        session: affinity::session(peek, session(headers)).map(|id| short(&id)),
        tags,
        address: arrival.connection.peer(),
        agent: agent.map(short),
    }
}

fn short(text: &str) -> Box<str> {
    match text.char_indices().nth(NAME_MAX) {
        Some((end, _)) => text[..end].into(),
        None => text.into(),
    }
}

/// The customer that a body names.
fn of_body(peek: &Peek) -> Option<String> {
    let word = |name| peek.word(name).map(std::borrow::Cow::into_owned);
    let within = |field: &str, name: &str| -> Option<String> {
        let text = peek.raw(field).filter(|text| text.len() <= METADATA_MAX)?;
        let Value::Object(members) = serde_json::from_str(text).ok()? else { return None };
        members.get(name)?.as_str().map(str::to_owned)
    };
    word("user")
        .or_else(|| within("litellm_metadata", "user"))
        .or_else(|| within("metadata", "user_id"))
        .or_else(|| word("safety_identifier"))
}

/// The tags of the key and of the request, each once.
fn tags(arrival: &Arrival, headers: &HeaderMap, peek: &Peek) -> Vec<Box<str>> {
    let mut wish = TagWish::default();
    for text in headers.get_all(&TAGS).iter().filter_map(|value| value.to_str().ok()) {
        text.split(',').for_each(|tag| wish.add(tag, ""));
    }
    // A body that is wrong is refused elsewhere.
    let _read: Result<(), _> = controls::tags(peek, &mut wish, "");
    let of_key = arrival.principal.access().into_iter().flat_map(|access| &access.tags);
    let mut tags: Vec<Box<str>> = Vec::new();
    for tag in of_key.chain(&wish.any).map(|tag| short(tag)) {
        if tags.len() < TAGS_MAX && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}
