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

use super::controls::{TAGS, session};
use crate::arrival::Arrival;

/// Longest name that is kept, characters.
const NAME_MAX: usize = 200;
/// Most tags that are kept.
const TAGS_MAX: usize = 50;

/// Who a request says that it is billed to, but for the customer.
pub(super) struct Names {
    session: Option<Box<str>>,
    wish: TagWish,
}

impl Names {
    /// The session.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Reads it.
    pub(super) fn of(headers: &HeaderMap, peek: &Peek) -> Names {
        let wish = wish(headers, peek);
        Names { session: affinity::session(peek, session(headers)).map(|id| short(&id)), wish }
    }
}

/// Who it is, for that customer.
pub(super) fn billed_to(
    arrival: &Arrival,
    headers: &HeaderMap,
    (customer, names): (Option<Box<str>>, Names),
) -> BilledTo {
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let hides_address = arrival.serving.snapshot.gateway.hides_addresses;
    BilledTo {
        by_master_key: arrival.principal.is_operator() && arrival.principal.access().is_none(),
        end_user: customer,
        session: names.session,
        tags: tags(arrival, &names.wish),
        charged: Vec::new(),
        address: arrival.connection.peer().filter(|_| !hides_address),
        agent: agent.filter(|agent| !agent.is_empty()).map(short),
    }
}

fn short(text: &str) -> Box<str> {
    match text.char_indices().nth(NAME_MAX) {
        Some((end, _)) => text[..end].into(),
        None => text.into(),
    }
}

/// The tags of header and body.
pub(super) fn wish(headers: &HeaderMap, peek: &Peek) -> TagWish {
    let mut wish = TagWish::default();
    for text in headers.get_all(&TAGS).iter().filter_map(|value| value.to_str().ok()) {
        text.split(',').for_each(|tag| wish.add(tag, ""));
    }
    // A body that is wrong is refused elsewhere.
    let _read: Result<(), _> = controls::tags(peek, &mut wish, "");
    wish
}

/// Where a request names tags, if it does.
pub(super) fn names_tags(headers: &HeaderMap, peek: &Peek) -> Option<&'static str> {
    if headers.contains_key(&TAGS) {
        return Some("x-litellm-tags");
    }
    if peek.raw("tags").is_some() {
        return Some("tags");
    }
    let has = |field| peek.raw(field).is_some_and(|raw| controls::has_member(raw, "tags"));
    ["metadata", "litellm_metadata"]
        .into_iter()
        .zip(["metadata.tags", "litellm_metadata.tags"])
        .find_map(|(field, param)| has(field).then_some(param))
}

/// The tags of the key and of the request, each once.
fn tags(arrival: &Arrival, wish: &TagWish) -> Vec<Box<str>> {
    let of_key = arrival.principal.access().into_iter().flat_map(|access| &access.tags);
    let mut tags: Vec<Box<str>> = Vec::new();
    for tag in of_key.chain(&wish.any).map(|tag| short(tag)) {
        if tags.len() < TAGS_MAX && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}
