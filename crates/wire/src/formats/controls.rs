//! What a request body tells the router: fallbacks, tags, and what it needs from a model.
//!
//! Called once per request by the gateway, but only for bodies with such fields or if the config makes them matter.
//! Always true: a fallback cannot bring a credential or an address.

use hale_core::provider::WireFormat;
use hale_core::route::{ClientFallback, Needs, TagWish};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bytes::edit::Edit;
use crate::bytes::object;
use crate::bytes::peek::{FORBIDDEN, Peek, PeekError};

/// Maximum number of fallbacks in a list.
const FALLBACKS_MAX: usize = 32;
/// Maximum number of tags of a request.
const TAGS_MAX: usize = 64;
/// Bytes of text per token. A cautious estimate, so that no request that fits is refused.
const BYTES_PER_TOKEN: u64 = 4;

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
    let Some(raw) = peek.raw(field) else { return Ok(None) };
    let items: Vec<Value> = serde_json::from_str(raw).map_err(|_| wrong.clone())?;
    if items.len() > FALLBACKS_MAX {
        return Err(PeekError::Type { field, expected: "at most 32 fallbacks" });
    }
    let mut found = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        match item {
            Value::String(name) => found.push(ClientFallback::from(name.as_str())),
            Value::Object(object) => match object.get("model") {
                Some(Value::String(name)) => {
                    if object.keys().any(|key| FORBIDDEN.has(key)) {
                        return Err(PeekError::Type {
                            field,
                            expected: "without credentials and addresses",
                        });
                    }
                    // Only objects in `fallbacks` change the request, and only if they have more than `model`.
                    let overrides = (object.len() > 1 && field == "fallbacks").then_some(place);
                    found.push(ClientFallback { overrides, ..ClientFallback::from(name.as_str()) });
                }
                Some(_) => return Err(wrong),
                None => {
                    for (group, names) in object {
                        let Value::Array(names) = names else { return Err(wrong) };
                        for name in names {
                            let Value::String(name) = name else { return Err(wrong) };
                            let group = Some(group.as_str().into());
                            found.push(ClientFallback { group, ..name.as_str().into() });
                        }
                    }
                }
            },
            _ => return Err(wrong),
        }
    }
    found.truncate(FALLBACKS_MAX * 4);
    Ok(Some(found))
}

/// The body with the changes of the fallback object at index `place`; `None` if there is no such object.
#[must_use]
pub fn overridden(peek: &Peek, place: usize) -> Option<Peek> {
    let items: Vec<&RawValue> = serde_json::from_str(peek.raw("fallbacks")?).ok()?;
    let text = items.get(place)?.get();
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
    #[derive(Default, serde::Deserialize)]
    struct Metadata {
        tags: Option<Vec<String>>,
    }
    const WRONG: PeekError =
        PeekError::Type { field: "tags", expected: "a list of at most 64 texts" };
    let own: Option<Vec<String>> = match peek.raw("tags") {
        Some(raw) => serde_json::from_str(raw).map_err(|_| WRONG)?,
        None => None,
    };
    let of_metadata = ["metadata", "litellm_metadata"].into_iter().filter_map(|field| {
        peek.raw(field).and_then(|raw| serde_json::from_str::<Metadata>(raw).ok()?.tags)
    });
    let all = own.into_iter().chain(of_metadata);
    for (count, tag) in all.flatten().enumerate() {
        if count >= TAGS_MAX {
            return Err(WRONG);
        }
        wish.add(&tag, prefix);
    }
    Ok(())
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
        WireFormat::OpenAi => (
            holds("messages", "\"image_url\"") || holds("messages", "\"input_image\""),
            holds("response_format", "\"json_schema\""),
        ),
        WireFormat::Anthropic => (
            peek.raw("messages").is_some_and(holds_image),
            holds("output_config", "\"json_schema\"") || holds("output_format", "\"json_schema\""),
        ),
    };
    Needs {
        tools: is_filled("tools") || is_filled("functions"),
        vision,
        schema,
        input_tokens: match length {
            Length::Measured => text_bytes(peek) / BYTES_PER_TOKEN,
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

fn text_bytes(peek: &Peek) -> u64 {
    let fields = ["messages", "system", "prompt", "input", "tools"];
    let values = fields.iter().filter_map(|field| serde_json::from_str(peek.raw(field)?).ok());
    values.map(|value: Value| text_of(&value)).sum()
}

/// Bytes of text, without images and other encoded data.
fn text_of(value: &Value) -> u64 {
    match value {
        Value::String(text) if text.starts_with("data:") => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(text_of).sum(),
        Value::Object(map) => {
            map.iter().filter(|(key, _)| *key != "data").map(|(_, value)| text_of(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
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
