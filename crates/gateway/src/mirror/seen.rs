//! What is kept of an answer to compare it: its status, code, names of headers, shape, tokens and cost.
//!
//! Made of our own answers and of those of the second gateway. Always true: it has names and numbers, and no text of an answer.

use std::collections::{BTreeMap, BTreeSet};

use hale_wire::usage::of_openai;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Places of a shape, and how deep they may be.
const PLACES_MAX: usize = 300;
const DEPTH_MAX: usize = 8;
/// Longest name of a place.
const NAME_MAX: usize = 200;

/// An answer, as far as it is compared.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Seen {
    /// The HTTP status; 0 if there is no answer.
    pub(crate) status: u16,
    /// Why there is no answer.
    pub(crate) failed: Option<Box<str>>,
    /// `type/code` of an error.
    pub(crate) code: Option<Box<str>>,
    /// The names of the headers.
    pub(crate) headers: BTreeSet<Box<str>>,
    /// Places and types of a JSON answer.
    pub(crate) shape: BTreeMap<Box<str>, Box<str>>,
    /// Tokens of the prompt and of the answer.
    pub(crate) usage: Option<(u64, u64)>,
    /// What it says that it costs, USD.
    pub(crate) cost: Option<f64>,
}

impl Seen {
    /// A whole answer, or the beginning of one.
    pub(crate) fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Seen {
        let mut seen = Seen { status, headers: names(headers), ..Seen::default() };
        let cost = headers.get("x-litellm-response-cost").and_then(|value| value.to_str().ok());
        seen.cost = cost.and_then(|cost| cost.parse().ok()).filter(|cost: &f64| cost.is_finite());
        seen.body(body);
        seen
    }

    /// The body of it.
    pub(crate) fn body(&mut self, body: &[u8]) {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => {
                self.code = code(&value);
                self.usage = usage(&value);
                self.shape = shape(&value);
            }
            // Events: the last that counts.
            Err(_) => self.usage = events(body).filter_map(|value| usage(&value)).last(),
        }
    }
}

/// The names of headers.
pub(crate) fn names(headers: &HeaderMap) -> BTreeSet<Box<str>> {
    headers.keys().map(|name| name.as_str().into()).collect()
}

fn events(body: &[u8]) -> impl Iterator<Item = Value> {
    let lines = body.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line.strip_prefix(b"data:")?.trim_ascii()).ok())
}

/// The type and the code of an error.
fn code(value: &Value) -> Option<Box<str>> {
    let error = value.get("error").filter(|error| error.is_object())?;
    let text = |name: &str| match &error[name] {
        Value::String(text) => text.chars().take(60).collect(),
        Value::Null => String::new(),
        other => other.to_string().chars().take(60).collect(),
    };
    Some(format!("{}/{}", text("type"), text("code")).into())
}

fn usage(value: &Value) -> Option<(u64, u64)> {
    let usage = of_openai(&value.get("usage").filter(|usage| usage.is_object())?.to_string())?;
    Some((usage.input, usage.output))
}

/// The places of a value with their types; items of a list have one place. What is null is no place: some write it and some leave it out.
pub(crate) fn shape(value: &Value) -> BTreeMap<Box<str>, Box<str>> {
    let mut places = BTreeMap::new();
    add(value, String::new(), 0, &mut places);
    places
}

fn add(value: &Value, at: String, depth: usize, places: &mut BTreeMap<Box<str>, Box<str>>) {
    if places.len() >= PLACES_MAX || depth > DEPTH_MAX || at.len() > NAME_MAX {
        return;
    }
    let kind = match value {
        Value::Null => return,
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    if !at.is_empty() {
        places.insert(at.as_str().into(), kind.into());
    }
    match value {
        Value::Array(items) => {
            items.iter().take(20).for_each(|item| add(item, format!("{at}[]"), depth + 1, places));
        }
        Value::Object(members) => {
            for (name, member) in members {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                add(member, at, depth + 1, places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_is_kept_as_names_and_numbers_and_no_text_of_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert("x-litellm-response-cost", HeaderValue::from_static("1e-05"));
        let body = br#"{"id":"secret","choices":[{"message":{"content":"secret","tool_calls":null}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
        let seen = Seen::of(200, &headers, body);
        assert_eq!((seen.usage, seen.cost, &seen.code), (Some((3, 4)), Some(1e-5), &None));
        let places: Vec<&str> = seen.shape.keys().map(|place| &**place).collect();
        assert!(
            places.contains(&"choices[].message.content")
                && !places.contains(&"choices[].message.tool_calls")
        );
        assert!(!serde_json::to_string(&seen).unwrap().contains("secret"));
        let failed =
            Seen::of(400, &headers, br#"{"error":{"message":"secret","type":"x","code":"400"}}"#);
        assert_eq!(failed.code.as_deref(), Some("x/400"));
        let events = b"data: {\"usage\":null}\n\ndata: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
        assert_eq!(Seen::of(200, &headers, events).usage, Some((1, 2)));
        assert_eq!(Seen::of(200, &headers, b"\xff").usage, None);
    }

    #[test]
    fn a_deep_or_wide_answer_takes_a_bounded_place() {
        let mut deep = serde_json::json!(1);
        for _ in 0..100 {
            deep = serde_json::json!({"a": deep});
        }
        assert!(shape(&deep).len() <= DEPTH_MAX + 1);
        let wide: Value = (0..10_000)
            .map(|n| (n.to_string(), Value::from(n)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(shape(&wide).len(), PLACES_MAX);
    }
}
