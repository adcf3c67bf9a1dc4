//! What a request body tells the router: fallbacks, tags, and what it needs from a model.
//!
//! Called once per request by the gateway, but only for bodies with such fields or if the config makes them matter.
//! Always true: a fallback cannot bring a credential or an address.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use hale_core::provider::WireFormat;
use hale_core::route::{ClientFallback, Needs, TagWish};
use hale_core::usage::BYTES_PER_TOKEN;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::bytes::edit::Edit;
use crate::bytes::elements::{after_space, elements};
use crate::bytes::fields::objection;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::object::{self, Member};
use crate::bytes::peek::{Peek, PeekError, READ_MAX};
use crate::bytes::scan;
use crate::formats::images;

/// Maximum number of fallbacks in a list.
const FALLBACKS_MAX: usize = 32;
/// The field of settings for one request.
const OVERRIDE: &str = "router_settings_override";
/// Maximum number of tags of a request.
const TAGS_MAX: usize = 64;
/// What guardrails are, for an error.
pub const GUARDRAILS: &str = "guardrails: the request would pass unchecked";

/// The field that asks for guardrails, if one does: its own or metadata.
#[must_use]
pub fn guardrails(peek: &Peek) -> Option<&'static str> {
    let own = peek.raw("guardrails").and_then(|raw| objection("guardrails", raw));
    own.map(|_| "guardrails").or_else(|| guardrails_in_metadata(peek))
}

/// The metadata that name guardrails, as LiteLLM's clients may. A text of that name is a client's own.
#[must_use]
pub fn guardrails_in_metadata(peek: &Peek) -> Option<&'static str> {
    ["metadata", "litellm_metadata"].into_iter().find(|field| {
        let raw = peek.raw(field).filter(|raw| raw.contains("guardrails"));
        let Some(Ok([Some(named)])) = raw.map(|raw| texts(raw, ["guardrails"])) else {
            return false;
        };
        let is_plain = named.starts_with('"');
        !is_plain && objection("guardrails", named).is_some()
    })
}

/// The settings in `router_settings_override`, which a field of the request itself overrules.
///
/// # Errors
/// If it is no object.
pub fn overriding(peek: &Peek) -> Result<Option<Peek>, PeekError> {
    let Some(raw) = peek.raw(OVERRIDE) else { return Ok(None) };
    let wrong = |_| PeekError::Type { field: OVERRIDE, expected: "an object of router_settings" };
    Peek::parse(Bytes::copy_from_slice(raw.as_bytes())).map(Some).map_err(wrong)
}

/// A setting in the request, else in its `router_settings_override`.
fn setting<'p>(peek: &'p Peek, field: &str) -> Option<&'p str> {
    peek.raw(field).or_else(|| {
        let [found] = texts(peek.raw(OVERRIDE)?, [field]).ok()?;
        found.filter(|raw| *raw != "null")
    })
}

/// The fallbacks in `field`: names, objects with `model` and the fields that they change in the request, or
/// `{group: [names]}` as in the config.
///
/// # Errors
/// If the list holds anything else.
pub fn fallbacks(
    peek: &Peek,
    field: &'static str,
) -> Result<Option<Vec<ClientFallback>>, PeekError> {
    let wrong = PeekError::Type {
        field,
        expected: "a list of model names, of objects with `model`, or of `{group: [names]}`",
    };
    let Some(raw) = setting(peek, field) else { return Ok(None) };
    let mut found = Vec::new();
    for (place, item) in elements(raw).ok_or_else(|| wrong.clone())?.enumerate() {
        if place >= FALLBACKS_MAX {
            return Err(PeekError::Type { field, expected: "at most 32 fallbacks" });
        }
        if item.starts_with('"') {
            found.push(ClientFallback::from(&*text(item).ok_or_else(|| wrong.clone())?));
            continue;
        }
        let members = object::members(item.as_bytes()).map_err(|_| wrong.clone())?;
        let named = members.iter().find(|member| object::key_is(item.as_bytes(), member, "model"));
        let Some(named) = named else {
            by_group(item, &members, &mut found).ok_or_else(|| wrong.clone())?;
            continue;
        };
        let name = text(&item[named.value()]).ok_or_else(|| wrong.clone())?;
        if members.iter().any(|member| is_refused(item, member)) {
            return Err(PeekError::Type {
                field,
                expected: "without credentials, addresses, and what is not served",
            });
        }
        // Only objects in `fallbacks` change the request, and only if they have more than `model`.
        let overrides = (members.len() > 1 && field == "fallbacks").then_some(place);
        found.push(ClientFallback { overrides, ..ClientFallback::from(&*name) });
    }
    Ok(Some(found))
}

/// Whether a request may not have this member.
fn is_refused(object: &str, member: &Member) -> bool {
    let name = object.get(member.key()).and_then(text);
    name.is_none_or(|name| objection(&name, &object[member.value()]).is_some())
}

/// Adds the fallbacks in an object `{group: [names]}` to `found`, as long as there are few; `None` if it holds anything
/// else.
fn by_group(item: &str, members: &[Member], found: &mut Vec<ClientFallback>) -> Option<()> {
    for member in members {
        let group = text(&item[member.key()])?;
        for name in elements(&item[member.value()])? {
            let name = text(name)?;
            if found.len() < FALLBACKS_MAX * 4 {
                let group = Some(Box::from(&*group));
                found.push(ClientFallback { group, ..ClientFallback::from(&*name) });
            }
        }
    }
    Some(())
}

/// The text of a JSON string; `None` for any other value.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    let Str(text) = serde_json::from_str(raw).ok()?;
    Some(text)
}

/// The body with the changes of the fallback object at index `place`; `None` if there is no such object.
#[must_use]
pub fn overridden(peek: &Peek, place: usize) -> Option<Peek> {
    changed(peek, elements(setting(peek, "fallbacks")?)?.nth(place)?)
}

/// The body with the changes of the JSON object `text`; `None` if it is none.
#[must_use]
pub fn changed(peek: &Peek, text: &str) -> Option<Peek> {
    let members = object::members(text.as_bytes()).ok()?;
    let mut edits = Vec::with_capacity(members.len());
    let names: Vec<String> = members
        .iter()
        .map(|member| serde_json::from_str(text.get(member.key())?).ok())
        .collect::<Option<_>>()?;
    for (name, member) in names.iter().zip(&members) {
        // The router sets the model, and the client waits for the kind of answer that it asked for.
        if name != "model" && name != "stream" {
            edits.push(Edit::Set(name, text.get(member.value())?.into()));
        }
    }
    match peek.form() {
        None => Peek::parse(peek.edited(&edits)).ok(),
        Some(form) => {
            let changed = form.edited(&edits, None);
            Peek::of_form(changed.joined(), changed.content_type.as_ref()?.to_str().ok()?).ok()
        }
    }
}

/// Adds the tags in `tags`, `metadata.tags` and `litellm_metadata.tags` to `wish`. If there is a `prefix`, it marks
/// the tags that are meant for routing.
///
/// # Errors
/// If they are not a list of strings.
pub fn tags(peek: &Peek, wish: &mut TagWish, prefix: &str) -> Result<(), PeekError> {
    const WRONG: PeekError =
        PeekError::Type { field: "tags", expected: "a list of at most 64 texts" };
    let mut count = 0;
    let mut add = |raw: &str| {
        for tag in elements(raw)? {
            count += 1;
            if count > TAGS_MAX || raw.len() > READ_MAX {
                return None;
            }
            wish.add(&text(tag)?, prefix);
        }
        Some(())
    };
    if let Some(own) = peek.raw("tags") {
        add(own).ok_or(WRONG)?;
    }
    for field in ["metadata", "litellm_metadata"] {
        let Some(metadata) = peek.raw(field) else { continue };
        // Metadata of another shape are the provider's.
        let Ok([Some(tags)]) = texts(metadata, ["tags"]) else { continue };
        if elements(tags).is_some_and(|mut tags| tags.all(|tag| tag.starts_with('"'))) {
            add(tags).ok_or(WRONG)?;
        }
    }
    Ok(())
}

/// The text called `name` in the JSON object `raw`; the last one, if there are several. Reads all of it without a tree.
#[must_use]
pub fn text_in(raw: &str, name: &str) -> Option<String> {
    let found = serde_json::Deserializer::from_str(raw).deserialize_map(Last(name)).ok()??;
    serde_json::from_str(found.get()).ok()
}

/// Whether the JSON object `raw` has a member with that name.
#[must_use]
pub fn has_member(raw: &str, name: &str) -> bool {
    matches!(serde_json::Deserializer::from_str(raw).deserialize_map(Last(name)), Ok(Some(_)))
}

/// Finds the last member with that name.
struct Last<'n>(&'n str);

impl<'de> Visitor<'de> for Last<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Str(name)) = members.next_key::<Str<'_>>()? {
            let value: &RawValue = members.next_value()?;
            if name == self.0 {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

/// Whether the length of a request is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// It is estimated from the texts in the body.
    Measured,
    /// It does not matter, and counts as 0.
    Ignored,
}

/// What the request in `format` needs from a model.
#[must_use]
pub fn needs(peek: &Peek, format: WireFormat, length: Length) -> Needs {
    let holds = |field: &str, part: &str| {
        peek.raw(field)
            .is_some_and(|raw| memchr::memmem::find(raw.as_bytes(), part.as_bytes()).is_some())
    };
    let is_filled = |field: &str| {
        peek.raw(field)
            .and_then(|raw| raw.strip_prefix('['))
            .is_some_and(|tail| !tail.trim_start().starts_with(']'))
    };
    // A quote inside a string is escaped, so these bytes are a key or a whole value.
    let (vision, schema) = match format {
        WireFormat::Responses => {
            (holds("input", "\"input_image\""), holds("text", "\"json_schema\""))
        }
        WireFormat::OpenAi => (
            holds("messages", "\"image_url\"") || holds("messages", "\"input_image\""),
            holds("response_format", "\"json_schema\""),
        ),
        WireFormat::Gemini => {
            let shapes = ["\"responseSchema\"", "\"responseJsonSchema\"", "\"response_schema\""];
            let config = ["generationConfig", "generation_config"];
            (
                holds("contents", "\"image/"),
                config.iter().any(|config| shapes.iter().any(|shape| holds(config, shape))),
            )
        }
        // What is passed through is not looked into.
        WireFormat::Cohere | WireFormat::Converse | WireFormat::Ollama => (false, false),
        WireFormat::Anthropic => (
            peek.raw("messages").is_some_and(holds_image),
            holds("output_config", "\"json_schema\"") || holds("output_format", "\"json_schema\""),
        ),
    };
    Needs {
        tools: is_filled("tools") || is_filled("functions"),
        vision,
        can_do_without_vision: vision && images::are_past(peek),
        schema,
        audio: holds("messages", "\"input_audio\""),
        prefill: false,
        input_tokens: match length {
            // A cautious estimate, so that no request that fits is refused.
            Length::Measured => estimated_input(peek),
            Length::Ignored => 0,
        },
    }
}

/// Whether a block in messages of the Anthropic format has the type `image`. The word alone could be anything.
fn holds_image(messages: &str) -> bool {
    let bytes = messages.as_bytes();
    memchr::memmem::find_iter(bytes, b"\"image\"").any(|at| {
        let before = bytes[..at].trim_ascii_end().strip_suffix(b":");
        before.is_some_and(|before| before.trim_ascii_end().ends_with(b"\"type\""))
    })
}

/// Tokens of the texts in a request's body, estimated.
#[must_use]
pub fn estimated_input(peek: &Peek) -> u64 {
    text_bytes(peek) / BYTES_PER_TOKEN
}

/// Tokens of the texts in a full answer of any format, estimated; 0 if it has none.
#[must_use]
pub fn estimated_output(answer: &[u8]) -> u64 {
    let mut bytes = 0;
    let _not_json: Result<(), _> = scan::members(answer, |key, value| {
        if matches!(
            &answer[key],
            b"\"choices\"" | b"\"content\"" | b"\"output\"" | b"\"candidates\""
        ) {
            bytes += std::str::from_utf8(&answer[value]).map_or(0, text_of);
        }
    });
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// The limit that the request sets for its answer, tokens: the largest of those that it names, since a provider may read any of them.
#[must_use]
pub fn answer_limit(peek: &Peek) -> Option<u64> {
    const LIMITS: [&str; 3] = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
    let asked = LIMITS.iter().filter_map(|field| peek.raw(field)?.parse::<u64>().ok()).max();
    asked.or_else(|| of_config(peek, ["maxOutputTokens", "max_output_tokens"]))
}

/// How many answers the request asks for.
#[must_use]
pub fn answers(peek: &Peek) -> u64 {
    let asked = peek.raw("n").and_then(|raw| raw.parse().ok());
    asked.or_else(|| of_config(peek, ["candidateCount", "candidate_count"])).unwrap_or(1).max(1)
}

/// A number of Google's `generationConfig`.
fn of_config(peek: &Peek, names: [&str; 2]) -> Option<u64> {
    let config = peek.raw("generationConfig").or_else(|| peek.raw("generation_config"))?;
    let [own, other] = texts(config, names).ok()?;
    own.or(other)?.trim_matches('"').trim_end_matches(".0").parse().ok()
}

fn text_bytes(peek: &Peek) -> u64 {
    // Those of Google's format stand behind those of the others.
    let fields = [
        "messages",
        "system",
        "prompt",
        "input",
        "tools",
        "contents",
        "systemInstruction",
        "system_instruction",
        "content",
        "requests",
    ];
    fields.iter().filter_map(|field| peek.raw(field)).map(text_of).sum()
}

/// Bytes of the texts in a JSON text, without keys, images and other encoded data.
fn text_of(json: &str) -> u64 {
    let bytes = json.as_bytes();
    let (mut sum, mut at) = (0, 0);
    // Outside of strings there are no quotes.
    while let Some(start) = memchr::memchr(b'"', &bytes[at..]).map(|found| at + found) {
        let Ok(end) = scan::value_end(bytes, start) else { break };
        let inner = &bytes[start + 1..end - 1];
        let next = after_space(bytes, end);
        let is_key = bytes.get(next) == Some(&b':');
        at = end;
        if is_key && inner == b"data" {
            at = scan::value_end(bytes, after_space(bytes, next + 1)).unwrap_or(bytes.len());
        } else if !is_key && !inner.starts_with(b"data:") {
            sum += decoded_length(inner);
        }
    }
    sum
}

/// The length of the text that is written so between quotes, in bytes.
fn decoded_length(inner: &[u8]) -> u64 {
    let mut length = inner.len() as u64;
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &inner[at..]) {
        at += found + 2;
        // The six bytes of a number are two or three bytes of text.
        let is_number = inner.get(at - 1) == Some(&b'u');
        length -= if is_number { 3 } else { 1 };
    }
    length
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn peek(text: &str) -> Peek {
        Peek::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn fallbacks_are_names_objects_or_lists_by_group() {
        let body = peek(
            r#"{"fallbacks":["x",{"model":"y"},{"model":"z","messages":[]},{"g":["a","b"]}]}"#,
        );
        let found = fallbacks(&body, "fallbacks").unwrap().unwrap();
        let plain = |name: &str| ClientFallback::from(name);
        let of = |name: &str| ClientFallback { group: Some("g".into()), ..plain(name) };
        let changed = ClientFallback { overrides: Some(2), ..plain("z") };
        assert_eq!(found, [plain("x"), plain("y"), changed, of("a"), of("b")]);
        assert_eq!(fallbacks(&peek("{}"), "fallbacks"), Ok(None));
        let many = format!(r#"{{"fallbacks":[{}"a"]}}"#, r#""a","#.repeat(32));
        for bad in [
            r#"{"fallbacks":[1]}"#,
            r#"{"fallbacks":"x"}"#,
            r#"{"fallbacks":[{"model":1}]}"#,
            r#"{"fallbacks":[{"g":"a"}]}"#,
            r#"{"fallbacks":[{"model":"x","api_base":"http://evil"}]}"#,
            many.as_str(),
        ] {
            assert_eq!(
                fallbacks(&peek(bad), "fallbacks").unwrap_err().param(),
                "fallbacks",
                "{bad}"
            );
        }
    }

    #[test]
    fn a_fallback_object_changes_the_request() {
        let body = peek(
            r#"{"model":"m","messages":[1],"fallbacks":["x",{"model":"y","messages":[2],"top_p":0.5}]}"#,
        );
        let changed = overridden(&body, 1).unwrap();
        assert_eq!(changed.raw("messages"), Some("[2]"));
        assert_eq!(changed.raw("top_p"), Some("0.5"));
        assert_eq!(changed.raw("model"), Some("\"m\""));
        assert!(overridden(&body, 0).is_none() && overridden(&body, 9).is_none());
    }

    #[test]
    fn the_texts_of_answers_are_estimated_in_every_format() {
        let chat = r#"{"id":"xxxxxxxxxxxx","choices":[{"message":{"content":"12345678"}}]}"#;
        let message = r#"{"id":"xxxxxxxxxxxx","content":[{"text":"12345678"}]}"#;
        let response = r#"{"id":"xxxxxxxxxxxx","output":[{"content":[{"text":"12345678"}]}]}"#;
        for answer in [chat, message, response] {
            assert_eq!(estimated_output(answer.as_bytes()), 2, "{answer}");
        }
        assert_eq!(estimated_output(br#"{"data":[{"embedding":"12345678"}]}"#), 0);
        assert_eq!(estimated_output(b"not json"), 0);
    }

    #[test]
    fn needs_are_read_from_the_body() {
        let body = peek(
            r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:xxxxxxxx"}},
               {"type":"text","text":"12345678"}]}],"tools":[{}],"response_format":{"type":"json_schema"}}"#,
        );
        let found = needs(&body, WireFormat::OpenAi, Length::Measured);
        assert!(found.tools && found.vision && found.schema);
        // `image_url` and `text` are strings too.
        assert_eq!(found.input_tokens, (8 + 9 + 4) / 4);
        let plain = peek(r#"{"messages":[{"content":"an \"image_url\" in a text"}],"tools":[ ]}"#);
        assert_eq!(needs(&plain, WireFormat::OpenAi, Length::Ignored), Needs::default());
    }

    #[test]
    fn needs_are_read_from_a_messages_body() {
        let body = peek(
            r#"{"messages":[{"role":"user","content":[{"type" : "image","source":{"type":"base64",
               "media_type":"","data":"AAAAAAAAAAAAAAAAAAAAAAAA"}}]}],"system":"1234567",
               "tools":[{}],"output_config":{"format":{"type":"json_schema","schema":{}}}}"#,
        );
        let found = needs(&body, WireFormat::Anthropic, Length::Measured);
        assert!(found.tools && found.vision && found.schema);
        assert_eq!(found.input_tokens, (4 + 5 + 6 + 7) / 4);
        let plain = peek(
            r#"{"messages":[{"role":"user","content":[{"type":"tool_use","input":{"kind":"image"}},
               {"type":"text","text":"\"type\":\"image\""}]}],"output_config":{"effort":"low"}}"#,
        );
        assert_eq!(needs(&plain, WireFormat::Anthropic, Length::Ignored), Needs::default());
    }

    #[test]
    fn tags_are_read_from_every_place() {
        let mut wish = TagWish::default();
        let body = peek(r#"{"tags":["a","!b"],"metadata":{"tags":["&c","a"],"other":1}}"#);
        tags(&body, &mut wish, "").unwrap();
        assert_eq!(wish.any, [Box::from("a")]);
        assert_eq!(wish.excluded, [Box::from("b")]);
        assert_eq!(wish.required, [Box::from("c")]);
        let other = peek(r#"{"litellm_metadata":{"tags":["r:d"]}}"#);
        tags(&other, &mut wish, "r:").unwrap();
        assert_eq!((wish.any, wish.confirmed), (vec!["a".into(), "d".into()], vec!["d".into()]));
        assert!(tags(&peek(r#"{"tags":"a"}"#), &mut TagWish::default(), "").is_err());
    }
}
