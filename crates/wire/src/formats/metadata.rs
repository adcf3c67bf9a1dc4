//! `metadata`: clients of LiteLLM put more into it than the OpenAI wire accepts.
//!
//! Called by the edits of that wire's formats.

use serde_json::{Map, Value};

/// Whether `raw` is a map of strings, which is all that a provider accepts.
pub(crate) fn is_map_of_strings(raw: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(raw)
        .is_ok_and(|map| map.values().all(Value::is_string))
}
