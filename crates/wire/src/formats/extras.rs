//! Members of messages and tools that say nothing to a model: what SDKs leave in a history, and marks of the cache.
//!
//! Called by the edits of chats and responses for providers that refuse them by name. Always true: what holds content stays,
//! and its order.

use std::borrow::Cow;

use super::unfit::asks_nothing;
use crate::bytes::edit::{self, Edit};
use crate::bytes::elements::elements;
use crate::bytes::object;

/// What the objects of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Objects {
    /// Messages of a chat.
    Messages,
    /// Parts of a message, items of a response's input, tools.
    Others,
    /// Anything of Anthropic's format: marks of the cache and tools are left with what they had at first.
    Marked,
    /// The same, but a mark keeps how long it lasts.
    Scoped,
}

/// Marks of the cache, which are in objects of all kinds.
const CACHE: &str = "cache_control";
/// The only member of a mark that all servers of Anthropic's format know.
const MARK: &str = r#"{"type":"ephemeral"}"#;
/// Newer members of tools that only advise.
const OF_TOOLS: [&str; 2] = ["eager_input_streaming", "defer_loading"];
/// Members of messages that only advise, or that only the provider's own answers have.
const ADVICE: [&str; 4] = ["name", "annotations", "provider_specific_fields", "reasoning_details"];
/// Members of messages that are often empty.
const EMPTY: [&str; 5] = ["refusal", "audio", "function_call", "tool_calls", "images"];

/// The list `raw` of `objects` without them; `None` if there are none.
pub(crate) fn without_extras(raw: &str, objects: Objects) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    out.push('[');
    let mut is_changed = false;
    for object in elements(raw)? {
        if out.len() > 1 {
            out.push(',');
        }
        let cleaned = without(object, objects);
        is_changed |= cleaned.is_some();
        out.push_str(cleaned.as_deref().unwrap_or(object));
    }
    out.push(']');
    is_changed.then_some(out)
}

/// The object without them; `None` if there are none.
fn without(object: &str, objects: Objects) -> Option<String> {
    let members = object::members(object.as_bytes()).ok()?;
    let edits: Vec<Edit<'_>> = members
        .iter()
        .filter_map(|member| {
            let name = object[member.key()].trim_matches('"');
            let value = &object[member.value()];
            let is_nothing = || asks_nothing(value) || matches!(value, "null" | "\"\"");
            let is_of_message = objects == Objects::Messages
                && (ADVICE.contains(&name) || (EMPTY.contains(&name) && is_nothing()));
            let is_of_anthropic = matches!(objects, Objects::Marked | Objects::Scoped);
            if objects == Objects::Scoped && name == CACHE {
                return unscoped(value).map(|mark| Edit::Set(name, Cow::Owned(mark)));
            }
            if is_of_anthropic {
                let is_of_tool = OF_TOOLS.contains(&name);
                let has_more = name == CACHE
                    && object::members(value.as_bytes()).is_ok_and(|mark| mark.len() > 1);
                if has_more {
                    return Some(Edit::Set(name, Cow::Borrowed(MARK)));
                } else if is_of_tool {
                    return Some(Edit::Remove(name));
                }
            } else if name == CACHE || is_of_message {
                return Some(Edit::Remove(name));
            }
            let inner = if is_of_anthropic { objects } else { Objects::Others };
            let parts = (name == "content").then(|| without_extras(value, inner));
            parts.flatten().map(|parts| Edit::Set(name, Cow::Owned(parts)))
        })
        .collect();
    if edits.is_empty() {
        return None;
    }
    String::from_utf8(edit::apply(object.as_bytes(), &members, &edits).into()).ok()
}

/// A mark without the scope of what it marks; `None` if it has none.
fn unscoped(mark: &str) -> Option<String> {
    const SCOPE: &str = "scope";
    let members = object::members(mark.as_bytes()).ok()?;
    members.iter().find(|member| object::key_is(mark.as_bytes(), member, SCOPE))?;
    let left = edit::apply(mark.as_bytes(), &members, &[Edit::Remove(SCOPE)]);
    String::from_utf8(left.into()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cleaned(given: &Value, objects: Objects) -> Value {
        let raw = given.to_string();
        let out = without_extras(&raw, objects).unwrap_or(raw);
        serde_json::from_str(&out).unwrap()
    }

    #[test]
    fn what_says_nothing_goes_and_content_stays() {
        let mark = json!({"type": "ephemeral"});
        let given = json!([
            {"role": "system", "cache_control": mark, "content": [{"type": "text", "text": "cache_control", "cache_control": mark}]},
            {"role": "user", "name": "ada", "content": "hi"},
            {"role": "assistant", "content": "x", "refusal": null, "annotations": [], "audio": null, "function_call": null, "tool_calls": []},
            {"role": "assistant", "content": null, "refusal": "no", "provider_specific_fields": {"a": 1}},
        ]);
        let expected = json!([
            {"role": "system", "content": [{"type": "text", "text": "cache_control"}]},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "x"},
            {"role": "assistant", "content": null, "refusal": "no"},
        ]);
        assert_eq!(cleaned(&given, Objects::Messages), expected);
        assert_eq!(without_extras(&expected.to_string(), Objects::Messages), None);
        let tools =
            json!([{"type": "function", "cache_control": mark, "name": "f", "refusal": null}]);
        let expected = json!([{"type": "function", "name": "f", "refusal": null}]);
        assert_eq!(cleaned(&tools, Objects::Others), expected);
        assert_eq!(without_extras("\"a text\"", Objects::Others), None);
    }

    #[test]
    fn newer_members_of_marks_and_tools_go_and_the_marks_stay() {
        let (newer, plain) = (
            json!({"type": "ephemeral", "ttl": "1h", "scope": "global"}),
            json!({"type": "ephemeral"}),
        );
        let of = |mark: &Value| {
            json!([{"role": "user", "content": [
                {"type": "text", "text": "defer_loading", "cache_control": mark},
                {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x", "cache_control": mark}]},
            ]}])
        };
        assert_eq!(cleaned(&of(&newer), Objects::Marked), of(&plain));
        assert_eq!(without_extras(&of(&plain).to_string(), Objects::Marked), None);
        let tool = json!([{"name": "f", "input_schema": {"properties": {"defer_loading": {"type": "string"}}},
            "defer_loading": true, "eager_input_streaming": true, "cache_control": newer}]);
        let expected = json!([{"name": "f", "input_schema": {"properties": {"defer_loading": {"type": "string"}}},
            "cache_control": plain}]);
        assert_eq!(cleaned(&tool, Objects::Marked), expected);
    }
}
