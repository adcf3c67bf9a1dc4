//! The edits of a request body in the Anthropic format, for an upstream that speaks it.
//!
//! Called once per attempt, for bodies of clients and for those that [`super::write_request`] wrote. Always true:
//! only top-level members change, and what [`super::passed`] says.

use std::borrow::Cow;

use hale_core::parameters::NOT_IN_MESSAGES;
use hale_core::takes::Efforts;

use super::cloud;
use super::invoke;
use super::metadata::user_id;
use super::passed;
use crate::bytes::edit::{Edit, json_string};
use crate::bytes::json::Str;
use crate::bytes::payload::Payload;
use crate::bytes::peek::Peek;
use crate::bytes::scan;
use crate::formats::bedrock;
use crate::formats::cache_points;
use crate::formats::extras::{Objects, without_extras};
use crate::formats::guards;
use crate::formats::left_out;
use crate::formats::notes::Notes;
use crate::formats::order::Order;

/// The limit of an answer.
const LIMIT: &str = "max_tokens";

/// The body for the upstream. What it leaves out is noted.
pub(crate) fn request_body(peek: &Peek, order: &Order<'_>, notes: &mut Notes) -> Payload {
    // The first edit that names a member wins.
    let mut edits = edits(peek, order);
    let passed = passed::edits(peek, order, notes);
    invoke::note(peek, order, notes);
    let messages = passed.iter().find_map(|edit| match edit {
        Edit::Set("messages", raw) => Some(&**raw),
        Edit::Set(..) | Edit::Default(..) | Edit::Remove(_) | Edit::Rename(..) => None,
    });
    edits.extend(cache_points::edits(peek, order, messages));
    edits.extend(passed);
    let defaults = order.deployment.endpoint.default_params.iter();
    // An effort was made thinking.
    let has_place = |name: &str| name != passed::EFFORT && !NOT_IN_MESSAGES.contains(&name);
    let defaults = defaults.filter(|(name, _)| has_place(name));
    edits.extend(defaults.map(|(name, value)| Edit::Default(name, value)));
    plain_marks(peek, order, &mut edits);
    peek.payload(&edits)
}

/// Makes marks of the cache and tools say only what they said at first, in what is sent, for a provider that refused more.
fn plain_marks<'e>(peek: &'e Peek, order: &Order<'_>, edits: &mut Vec<Edit<'e>>) {
    // Bedrock refuses what is newer of both, but for how long a mark lasts where the model can.
    let is_at_bedrock = order.deployment.endpoint.aws.is_some();
    let objects = match (order.known.has_plain_marks(), is_at_bedrock) {
        (false, false) => return,
        (false, true) if bedrock::Model(order.upstream_model).caches_for_an_hour() => {
            Objects::Scoped
        }
        (true, _) | (false, true) => Objects::Marked,
    };
    for name in ["system", "messages", "tools"] {
        let of_name = |edit: &&mut Edit<'e>| edit.name() == name;
        match edits.iter_mut().find(of_name) {
            Some(Edit::Set(_, raw)) => {
                if let Some(plain) = without_extras(raw, objects) {
                    *raw = Cow::Owned(plain);
                }
            }
            Some(Edit::Default(..) | Edit::Rename(..) | Edit::Remove(_)) => {}
            None => {
                let plain = peek.raw(name).and_then(|raw| without_extras(raw, objects));
                edits.extend(plain.map(|plain| Edit::Set(name, Cow::Owned(plain))));
            }
        }
    }
}

/// The same for a translated body, which has the deployment's defaults already.
pub(crate) fn written_body(peek: &Peek, order: &Order<'_>) -> Payload {
    let mut edits = edits(peek, order);
    plain_marks(peek, order, &mut edits);
    peek.payload(&edits)
}

/// The same for a translated body whose tokens shall be counted, without the members `not_counted`.
pub(crate) fn counted_body(
    peek: &Peek,
    order: &Order<'_>,
    not_counted: &[&'static str],
) -> Payload {
    // The first edit that names a member wins.
    let mut all: Vec<Edit<'_>> = not_counted.iter().map(|name| Edit::Remove(name)).collect();
    all.extend(edits(peek, order));
    plain_marks(peek, order, &mut all);
    peek.payload(&all)
}

fn edits<'e>(peek: &'e Peek, order: &Order<'e>) -> Vec<Edit<'e>> {
    let deployment = order.deployment;
    let mut edits = guards::edits(peek, order);
    // The first edit that names a member wins.
    edits.extend(invoke::edits(peek, order));
    edits.extend(cloud::edits(peek, order));
    edits.extend(deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    for name in peek.removed() {
        edits.push(Edit::Remove(name));
    }
    if peek.has("thinking") && order.takes().efforts == Some(Efforts::NOTHING) {
        edits.push(Edit::Remove("thinking"));
    }
    edits.extend(left_out::refused(peek, order));
    let less = order.known.most().and_then(|_| order.bounded(peek.raw(LIMIT)?));
    edits.extend(less.map(|less| Edit::Set(LIMIT, Cow::Owned(less))));
    if let Some(raw) = peek.raw("metadata") {
        edits.extend(metadata(raw));
    }
    for (from, to) in &deployment.endpoint.provider.rename_params {
        edits.push(Edit::Rename(from, to));
    }
    edits
}

/// `metadata` with the one field that the provider accepts; clients of LiteLLM put more into it.
fn metadata(raw: &str) -> Option<Edit<'static>> {
    let mut is_plain = true;
    let scanned = scan::members(raw.as_bytes(), |key, _| is_plain &= &raw[key] == "\"user_id\"");
    if is_plain || scanned.is_err() {
        return None;
    }
    Some(match user_id(raw).ok()? {
        Some(Str(id)) => {
            Edit::Set("metadata", Cow::Owned(format!("{{\"user_id\":{}}}", json_string(&id))))
        }
        None => Edit::Remove("metadata"),
    })
}
