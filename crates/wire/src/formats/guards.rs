//! What the operator's config says to guard a model's answers: guardrails, safety settings, safety modes.
//!
//! Called for each request of a deployment that has defaults: by the conversion for translated ones, by the edits of a wire for
//! bodies that pass. Always true: what the config says is sent, whatever the client says of the same in whatever spelling; a
//! client's own setting that differs is named in the notes.

use std::borrow::Cow;

use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

use super::neutral::Request;
use super::notes::Notes;
use super::order::Order;
use crate::bytes::edit::{self, Edit};
use crate::bytes::members::texts;
use crate::bytes::object;
use crate::bytes::peek::Peek;

/// A setting: the wire that has it, and its names in any spelling. The first one is what notes call it.
struct Guard {
    wire: WireFormat,
    names: &'static [&'static str],
}

const GUARDRAIL: &str = "guardrailConfig";
const SAFETY: &str = "safety_settings";
const GUARDS: [Guard; 6] = [
    Guard { wire: WireFormat::Converse, names: &[GUARDRAIL, "guardrail_config"] },
    Guard { wire: WireFormat::Gemini, names: &[SAFETY, "safetySettings"] },
    Guard { wire: WireFormat::Cohere, names: &["safety_mode"] },
    Guard { wire: WireFormat::Anthropic, names: &["safeguards"] },
    Guard { wire: WireFormat::OpenAi, names: &["safe_prompt"] },
    Guard { wire: WireFormat::Responses, names: &["moderation"] },
];
/// Clients of Google's OpenAI-compatible address say in there what it has beside OpenAI's format.
const GOOGLE: &str = "google";

/// The guards of the deployment's config: each with the name and the value that the config has.
fn of_config<'o>(order: &Order<'o>) -> impl Iterator<Item = (&'static Guard, &'o str, &'o str)> {
    let deployment = order.deployment;
    let defaults = deployment.endpoint.default_params.iter();
    let kept = move |name: &str| !deployment.endpoint.dropped_params.iter().any(|it| **it == *name);
    defaults.filter(move |(name, value)| &**value != "null" && kept(name)).filter_map(
        |(name, value)| {
            if &**name == GOOGLE {
                let guard = GUARDS.iter().find(|guard| guard.names.contains(&SAFETY))?;
                return Some((guard, SAFETY, safety_within(value)?));
            }
            let guard = GUARDS.iter().find(|guard| guard.names.contains(&&**name))?;
            Some((guard, &**name, &**value))
        },
    )
}

/// The safety settings in an object `google`.
fn safety_within(google: &str) -> Option<&str> {
    let [snake, camel] = texts(google, [SAFETY, "safetySettings"]).ok()?;
    snake.or(camel)
}

/// Whether it is the config's guardrail of a deployment at Bedrock whose model is called in its own format.
fn is_invoked(guard: &Guard, order: &Order<'_>) -> bool {
    let is_at_bedrock = order.deployment.endpoint.aws.is_some();
    guard.names[0] == GUARDRAIL && is_at_bedrock && order.wire() == WireFormat::Anthropic
}

/// Whether a guardrail can be named in headers. One that cannot stays in the body, for which the request is refused.
fn names_guardrail(raw: &str) -> bool {
    let is_word = |word: &str| word.len() > 2 && word.bytes().all(|b| (b' '..=b'~').contains(&b));
    let found = texts(raw, ["guardrailIdentifier", "guardrailVersion"]);
    matches!(found, Ok([Some(id), Some(version)]) if is_word(id) && (is_word(version) || version.parse::<u32>().is_ok()))
}

/// Puts the config's guards in the place of those of `request`.
pub(crate) fn put(request: &mut Request<'_>, order: &Order<'_>) {
    let wire = order.wire();
    for (guard, name, value) in of_config(order) {
        let is_invoked = is_invoked(guard, order);
        if guard.wire != wire && !is_invoked {
            continue;
        }
        let mut differs = false;
        request.others.retain(|(given, said)| {
            let is_same = guard.names.contains(&&**given);
            differs |= is_same && said != value;
            !is_same
        });
        if guard.names[0] == SAFETY {
            for (_, said) in request.others.iter_mut().filter(|(given, _)| given == GOOGLE) {
                let own = safety_within(said).map(str::to_owned);
                differs |= own.as_deref().is_some_and(|own| own != value);
                if own.is_some() {
                    *said = Cow::Owned(without_safety(said));
                }
            }
        }
        if differs && !request.left_out.contains(&guard.names[0]) {
            request.left_out.push(guard.names[0]);
        }
        // What the provider reads in headers is in those of the deployment.
        if !is_invoked || !names_guardrail(value) {
            request.others.push((Cow::Owned(name.to_owned()), Cow::Owned(value.to_owned())));
        }
    }
}

fn without_safety(google: &str) -> String {
    let Ok(members) = object::members(google.as_bytes()) else { return "{}".to_owned() };
    let edits = [Edit::Remove(SAFETY), Edit::Remove("safetySettings")];
    let left = edit::apply(google.as_bytes(), &members, &edits);
    String::from_utf8(left.into()).unwrap_or_else(|_| "{}".to_owned())
}

/// The edits that put the config's guards in the place of those of a body that passes. They come before all others.
pub(crate) fn edits<'e>(peek: &Peek, order: &Order<'e>) -> Vec<Edit<'e>> {
    let mut edits = Vec::new();
    let wire = order.wire();
    // A count, and what makes a conversation shorter, have no place for them.
    let is_aside = matches!(
        order.operation,
        Operation::CountTokens
            | Operation::CountPrompt
            | Operation::CountResponses
            | Operation::CompactResponses
    );
    for (guard, name, value) in of_config(order).filter(|_| !is_aside) {
        // A written body has those that its wire has; servers of OpenAI's wire have others.
        let is_foreign = guard.wire != wire && wire != WireFormat::OpenAi;
        let is_invoked = is_invoked(guard, order);
        if is_foreign && order.translates() && !is_invoked {
            continue;
        }
        let others = guard.names.iter().filter(|other| **other != name && peek.has(other));
        edits.extend(others.map(|other| Edit::Remove(other)));
        if is_invoked && names_guardrail(value) {
            edits.push(Edit::Remove(name));
            continue;
        }
        let google = peek.raw(GOOGLE).filter(|_| guard.names[0] == SAFETY);
        let is_within =
            order.deployment.endpoint.default_params.iter().any(|(it, _)| &**it == name);
        match google.map(without_safety) {
            // The config says it in there, too.
            Some(google) if !is_within => {
                let members = object::members(google.as_bytes()).unwrap_or_default();
                let set = [Edit::Set(SAFETY, Cow::Borrowed(value))];
                let google = edit::apply(google.as_bytes(), &members, &set);
                let google = String::from_utf8(google.into()).unwrap_or_default();
                edits.push(Edit::Set(GOOGLE, Cow::Owned(google)));
            }
            Some(google) => {
                edits.push(Edit::Set(GOOGLE, Cow::Owned(google)));
                edits.push(Edit::Set(name, Cow::Borrowed(value)));
            }
            None if is_within => edits.push(Edit::Set(name, Cow::Borrowed(value))),
            // The default is the whole object.
            None => {}
        }
    }
    edits
}

/// Names the settings of a client whose body passes that differ from the config's.
pub(crate) fn note(peek: &Peek, order: &Order<'_>, notes: &mut Notes) {
    for (guard, _, value) in of_config(order) {
        let own = guard.names.iter().filter_map(|name| peek.raw(name));
        let within = peek.raw(GOOGLE).filter(|_| guard.names[0] == SAFETY).and_then(safety_within);
        if own.chain(within).any(|said| said != value) {
            notes.leave_out(guard.names[0]);
        }
    }
}

/// The config's value of `safety_settings`, for what is no chat.
pub(crate) fn safety<'o>(order: &Order<'o>) -> Option<&'o str> {
    of_config(order).find(|(guard, ..)| guard.names[0] == SAFETY).map(|(_, _, value)| value)
}

#[cfg(test)]
mod tests;
