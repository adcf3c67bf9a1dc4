//! The edits of a request body of Google's format, for an upstream that speaks it.
//!
//! Called once per attempt. Always true: what no edit names stays as it came: fields that this version does not know, too. The
//! model is in the path; signatures of other providers do not leave.

use std::borrow::Cow;

use super::fields::{Fields, camel};
use super::generation;
use super::signed;
use crate::bytes::edit::{self, Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::json::JsonText;
use crate::bytes::object;
use crate::bytes::payload::Payload;
use crate::bytes::peek::Peek;
use crate::formats::codec::OfContents;
use crate::formats::guards;
use crate::formats::neutral::Request;
use crate::formats::order::Order;
use crate::formats::signed_call;

/// Fields of gateways that other formats have, too, so that the table of those that are removed does not name them.
const OF_GATEWAYS: [&str; 3] = ["metadata", "user", "stream"];
/// What `generationConfig` calls a parameter of a deployment's config.
const IN_CONFIG: [(&str, &[&str]); 14] = [
    ("temperature", &["temperature"]),
    ("top_p", &["topP"]),
    ("top_k", &["topK"]),
    ("max_tokens", &["maxOutputTokens"]),
    ("max_completion_tokens", &["maxOutputTokens"]),
    ("stop", &["stopSequences"]),
    ("seed", &["seed"]),
    ("n", &["candidateCount"]),
    ("presence_penalty", &["presencePenalty"]),
    ("frequency_penalty", &["frequencyPenalty"]),
    ("logprobs", &["responseLogprobs", "logprobs"]),
    ("response_format", &["responseMimeType", "responseSchema", "responseJsonSchema"]),
    ("reasoning_effort", &["thinkingConfig"]),
    ("thinking", &["thinkingConfig"]),
];
/// Where the settings of an answer are.
const CONFIG: &str = "generationConfig";

/// The body for the upstream; `defaults` has those of the deployment's parameters that Google has, each alone.
pub(crate) fn request_body(
    peek: &Peek,
    order: &Order<'_>,
    (what, defaults): (OfContents, &[Request<'_>]),
) -> Payload {
    let mut edits: Vec<Edit<'_>> = Vec::new();
    for name in peek.removed().chain(OF_GATEWAYS) {
        edits.push(Edit::Remove(name));
    }
    // A parameter may be named as Google names it.
    edits.extend(order.deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    match what {
        OfContents::Generated => generated(peek, order, defaults, &mut edits),
        OfContents::Counted => counted(peek, order, &mut edits),
        OfContents::Embedded => embedded(peek, order, &mut edits),
        OfContents::Predicted => {}
    }
    peek.payload(&edits)
}

/// The member of `peek` with that name in either spelling, and the spelling.
fn given<'p>(
    peek: &'p Peek,
    name: &'static str,
    other: &'static str,
) -> Option<(&'static str, &'p str)> {
    let of = |name| peek.raw(name).map(|raw| (name, raw));
    of(name).or_else(|| of(other))
}

fn generated<'e>(
    peek: &'e Peek,
    order: &Order<'e>,
    defaults: &[Request<'_>],
    edits: &mut Vec<Edit<'e>>,
) {
    edits.push(Edit::Remove("model"));
    // The config's goes before the client's, in either spelling.
    if let Some(safety) = guards::safety(order) {
        edits.push(Edit::Remove("safety_settings"));
        edits.push(Edit::Set("safetySettings", Cow::Borrowed(safety)));
    }
    let config = given(peek, CONFIG, "generation_config");
    let (beside, within) = written(defaults, order);
    for (name, raw) in beside {
        let is_given = peek.fields().any(|(given, _)| camel(given) == name);
        if !is_given && let Some(name) = known(&name) {
            edits.push(Edit::Set(name, Cow::Owned(raw)));
        }
    }
    let (place, raw) = config.unwrap_or((CONFIG, "{}"));
    if let Some(config) = completed(raw, &within, order) {
        edits.push(Edit::Set(place, Cow::Owned(config)));
    }
    if let Some(raw) = peek.raw("contents")
        && let Some(contents) = signatures(raw, order)
    {
        edits.push(Edit::Set("contents", Cow::Owned(contents)));
    }
}

/// What may stand beside `generationConfig` by the config of a deployment.
fn known(name: &str) -> Option<&'static str> {
    const BESIDE: [&str; 4] = ["safetySettings", "cachedContent", "labels", "serviceTier"];
    BESIDE.into_iter().find(|known| *known == name)
}

/// Members of an object, by their names.
type Members = Vec<(String, String)>;

/// What `defaults` are in Google's words: what stands beside `generationConfig`, and what stands in it.
fn written(defaults: &[Request<'_>], order: &Order<'_>) -> (Members, Members) {
    let (mut beside, mut within) = (Members::new(), Members::new());
    for default in defaults {
        let mut json = JsonText::new();
        json.open(b'{');
        if generation::write(&mut json, default, order).is_err() {
            // The client did not send it.
            continue;
        }
        json.close(b'}');
        let Ok(text) = String::from_utf8(json.into_bytes()) else { continue };
        for (name, raw) in members(&text) {
            match name == CONFIG {
                true => {
                    within.extend(members(raw).map(|(name, raw)| (name.to_owned(), raw.to_owned())))
                }
                false => beside.push((name.to_owned(), raw.to_owned())),
            }
        }
    }
    (beside, within)
}

/// The members of an object that was written here.
fn members(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let members = object::members(text.as_bytes()).unwrap_or_default();
    members.into_iter().map(|member| {
        let key = &text[member.key()];
        (&key[1..key.len() - 1], &text[member.value()])
    })
}

/// `generationConfig` with the deployment's defaults and without what the deployment drops; `None` if nothing changes.
fn completed(raw: &str, defaults: &Members, order: &Order<'_>) -> Option<String> {
    let given = Fields::of(CONFIG, raw).ok()?;
    let dropped: Vec<&str> = order
        .deployment
        .endpoint
        .dropped_params
        .iter()
        .flat_map(|name| {
            let known = IN_CONFIG.iter().find(|(own, _)| *own == &**name);
            known.map_or(&[][..], |(_, names)| *names)
        })
        .copied()
        .collect();
    let limit = given.get("maxOutputTokens").and_then(|raw| order.bounded(raw));
    let is_new = |name: &str| given.get(name).is_none() && !dropped.contains(&name);
    let has_new = defaults.iter().any(|(name, _)| is_new(name));
    let has_dropped = dropped.iter().any(|name| given.get(name).is_some());
    if !has_new && !has_dropped && limit.is_none() {
        return None;
    }
    let mut json = JsonText::with_room(raw.len());
    json.open(b'{');
    for (name, raw) in given.iter().filter(|(name, _)| !dropped.contains(name)) {
        match (name, &limit) {
            ("maxOutputTokens", Some(limit)) => json.raw_member(name, limit),
            _ => json.raw_member(name, raw),
        };
    }
    let mut added: Vec<&str> = Vec::new();
    for (name, raw) in defaults.iter().filter(|(name, _)| is_new(name)) {
        if !added.contains(&&**name) {
            added.push(name);
            json.raw_member(name, raw);
        }
    }
    json.close(b'}');
    String::from_utf8(json.into_bytes()).ok()
}

/// The model of a request within a request for a count.
fn counted<'e>(peek: &'e Peek, order: &Order<'e>, edits: &mut Vec<Edit<'e>>) {
    edits.push(Edit::Remove("model"));
    let names = ("generateContentRequest", "generate_content_request");
    let Some((place, raw)) = given(peek, names.0, names.1) else { return };
    if order.deployment.endpoint.vertex.is_some() {
        // There the request is not within another one.
        edits.push(Edit::Remove(place));
        let within = members(raw).filter(|(name, _)| *name != "model");
        edits.extend(within.map(|(name, raw)| Edit::Set(name, Cow::Borrowed(raw))));
    } else if let Some(request) = of_model(raw, order) {
        edits.push(Edit::Set(place, Cow::Owned(request)));
    }
}

/// The model of requests for embeddings.
fn embedded<'e>(peek: &'e Peek, order: &Order<'e>, edits: &mut Vec<Edit<'e>>) {
    if peek.has("model") {
        edits.push(Edit::Set("model", Cow::Owned(json_string(&resource(order)))));
    }
    let Some(requests) = peek.raw("requests").and_then(elements) else { return };
    let mut list = String::from("[");
    for raw in requests {
        if list.len() > 1 {
            list.push(',');
        }
        match of_model(raw, order) {
            Some(request) => list.push_str(&request),
            None => list.push_str(raw),
        }
    }
    list.push(']');
    edits.push(Edit::Set("requests", Cow::Owned(list)));
}

/// The model's name as bodies have it.
fn resource(order: &Order<'_>) -> String {
    format!("models/{}", order.upstream_model.trim_start_matches("models/"))
}

/// The object `raw` with the provider's name for the model.
fn of_model(raw: &str, order: &Order<'_>) -> Option<String> {
    let members = object::members(raw.as_bytes()).ok()?;
    let edits = [Edit::Set("model", Cow::Owned(json_string(&resource(order))))];
    String::from_utf8(edit::apply(raw.as_bytes(), &members, &edits).into()).ok()
}

/// The contents without signatures that Google did not make, and with what Google's newer models take in place of those that the
/// first call of each step of the current turn lacks; `None` if nothing changes.
fn signatures(raw: &str, order: &Order<'_>) -> Option<String> {
    let holds = |part: &str| memchr::memmem::find(raw.as_bytes(), part.as_bytes()).is_some();
    let has_signatures = holds("\"thoughtSignature\"") || holds("\"thought_signature\"");
    let has_calls = holds("\"functionCall\"") || holds("\"function_call\"");
    let demands = has_calls && signed_call::is_demanded(order.upstream_model);
    if !has_signatures && !demands {
        return None;
    }
    let contents: Vec<&str> = elements(raw)?.collect();
    let last_said = contents.iter().rposition(|content| is_said(content)).unwrap_or(0);
    let mut is_changed = false;
    let mut list = String::with_capacity(raw.len() + 64);
    list.push('[');
    for (i, content) in contents.iter().enumerate() {
        if i > 0 {
            list.push(',');
        }
        match of_content(content, demands && i > last_said) {
            Some(changed) => {
                is_changed = true;
                list.push_str(&changed);
            }
            None => list.push_str(content),
        }
    }
    list.push(']');
    is_changed.then_some(list)
}

/// Whether a content has words of the user.
fn is_said(content: &str) -> bool {
    let Ok(content) = Fields::of("contents", content) else { return false };
    let is_users = content.get("role").is_none_or(|role| role == "\"user\"");
    let mut parts = content.get("parts").and_then(elements).into_iter().flatten();
    let is_result = |part: &str| {
        Fields::of("parts", part).is_ok_and(|part| part.get("functionResponse").is_some())
    };
    is_users && parts.any(|part| !is_result(part))
}

/// A content with the signatures that its parts may have; `None` if nothing changes.
fn of_content(content: &str, demands: bool) -> Option<String> {
    let members = object::members(content.as_bytes()).ok()?;
    let place = members.iter().find(|one| object::key_is(content.as_bytes(), one, "parts"))?;
    let (mut is_changed, mut is_first) = (false, demands);
    let mut list = String::from("[");
    for raw in elements(&content[place.value()])? {
        if list.len() > 1 {
            list.push(',');
        }
        let part = Fields::of("parts", raw).ok()?;
        let is_call = part.get("functionCall").is_some();
        let needs = is_call && std::mem::take(&mut is_first);
        match of_part(raw, &part, needs) {
            Some(changed) => {
                is_changed = true;
                list.push_str(&changed);
            }
            None => list.push_str(raw),
        }
        is_first &= !is_call;
    }
    list.push(']');
    let edits = [Edit::Set("parts", Cow::Owned(list))];
    let changed = || edit::apply(content.as_bytes(), &members, &edits);
    if is_changed { String::from_utf8(changed().into()).ok() } else { None }
}

fn of_part(raw: &str, part: &Fields<'_>, needs: bool) -> Option<String> {
    const NAMES: [&str; 2] = ["thoughtSignature", "thought_signature"];
    let given = part.text("parts", "thoughtSignature").ok()?;
    let is_foreign = given.as_deref().is_some_and(|given| signed::foreign(given).is_some());
    let mut edits: Vec<Edit<'_>> = Vec::new();
    if needs && (is_foreign || given.is_none()) {
        edits.push(Edit::Set(NAMES[0], Cow::Owned(json_string(signed_call::PLACEHOLDER))));
    }
    if is_foreign {
        edits.extend(NAMES.map(Edit::Remove));
    }
    if edits.is_empty() {
        return None;
    }
    let members = object::members(raw.as_bytes()).ok()?;
    String::from_utf8(edit::apply(raw.as_bytes(), &members, &edits).into()).ok()
}
