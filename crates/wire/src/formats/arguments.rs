//! The arguments of a call, which the formats with texts in their place do not promise to be an object.
//!
//! Called by the readers of answers and requests. Always true: what comes out is one JSON object; no word of the model's
//! gets lost.

use std::borrow::Cow;

use super::neutral::{Stop, Text};
use crate::bytes::json::{JsonText, is_object};

/// The name of the one input of a tool that takes a text.
pub(crate) const INPUT: &str = "input";
/// The schema of that input.
pub(crate) const INPUT_SCHEMA: &str =
    r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
/// The member that holds what was no object.
pub(crate) const INVALID: &str = "invalid_arguments";

/// The input of a call as an object. Arguments that the client's token limit cut off make no call. Any other text
/// reaches the client as `invalid_arguments`: the model's mistake is not the provider's fault.
pub(crate) fn input<'a>(given: Text<'a>, stop: Option<&Stop>) -> Option<Text<'a>> {
    match given.trim() {
        "" | "null" => Some(Cow::Borrowed("{}")),
        _ if is_object(&given) => Some(given),
        _ if matches!(stop, Some(Stop::Length | Stop::ContextWindow)) => None,
        _ => Some(as_object(given)),
    }
}

/// The arguments of a call as an object.
pub(crate) fn as_object(given: Text<'_>) -> Text<'_> {
    match given.trim() {
        "" | "null" => Cow::Borrowed("{}"),
        _ if is_object(&given) => given,
        _ => Cow::Owned(wrapped(INVALID, &given)),
    }
}

/// An object with that text as its one member.
pub(crate) fn wrapped(name: &str, text: &str) -> String {
    let mut json = JsonText::new();
    json.open(b'{').member(name, text).close(b'}');
    // The input was UTF-8, so the output is.
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}
