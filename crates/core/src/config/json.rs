//! Values of the config as JSON text: request defaults as they are sent, and what may be shown.
//!
//! Called by [`super::deployments`]. Always true: [`public`] leaves out every value whose key names
//! a secret, and every text that looks like a key, at any depth.

use serde_json::{Map as Object, Number, Value as Json};

use super::redact::{is_count_name, is_secret_name};
use super::scalar::{Typed, for_json};
use super::tree::{Map, Node, Value};

/// The value as it is sent to a provider; `None` for a variable that is not set.
pub(super) fn value(node: &Node) -> Json {
    convert(node, Keep::All)
}

/// The mapping without anything that may be secret.
pub(super) fn public(map: &Map) -> Object<String, Json> {
    object(map, Keep::Public)
}

/// A number as JSON, as an integer if possible; null if JSON has no such number.
pub(super) fn number(value: f64) -> Json {
    /// Above this, not every integer is a float.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < WHOLE {
        #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
        return Json::from(value as i64);
    }
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    All,
    Public,
}

fn object(map: &Map, keep: Keep) -> Object<String, Json> {
    let mut object = Object::new();
    for entry in &map.entries {
        if keep == Keep::Public && is_hidden(&entry.key, &entry.value) {
            continue;
        }
        object.insert(entry.key.to_string(), convert(&entry.value, keep));
    }
    object
}

fn is_hidden(key: &str, value: &Node) -> bool {
    // Names like `max_tokens` are numbers; anything else under them is suspicious.
    is_secret_name(key)
        || (is_count_name(key) && !is_number(value))
        || is_address_with_more(value)
        || is_key(value)
}

/// Whether it begins as keys of providers and of gateways do, whatever it stands under.
fn is_key(value: &Node) -> bool {
    /// The length of the longest that is a word of documents: `sk-1234`.
    const SHORT: usize = 8;
    value.text().is_some_and(|text| text.starts_with("sk-") && text.len() > SHORT)
}

/// Whether it is an address with a user, a password or a query, each of which may be a secret.
fn is_address_with_more(value: &Node) -> bool {
    let tail = value.text().and_then(|text| text.split_once("://")).map(|(_, tail)| tail);
    tail.is_some_and(|tail| tail.contains(['@', '?']))
}

fn is_number(node: &Node) -> bool {
    match &node.value {
        Value::Scalar(text, style) => {
            matches!(for_json(text, *style), Typed::Int(_) | Typed::Float(_) | Typed::Null)
                || text.parse::<f64>().is_ok()
        }
        Value::Missing(_) => true,
        Value::List(_) | Value::Map(_) => false,
    }
}

fn convert(node: &Node, keep: Keep) -> Json {
    match &node.value {
        Value::Missing(_) => Json::Null,
        Value::List(items) => {
            let shown = items.iter().filter(|item| keep == Keep::All || !is_key(item));
            shown.map(|item| convert(item, keep)).collect()
        }
        Value::Map(map) => Json::Object(object(map, keep)),
        Value::Scalar(text, style) => match for_json(text, *style) {
            Typed::Null => Json::Null,
            Typed::Bool(value) => Json::Bool(value),
            Typed::Int(digits) => match digits.parse::<i64>() {
                Ok(value) => Json::from(value),
                Err(_) => digits.parse::<f64>().map_or(Json::Null, number_as_written),
            },
            Typed::Float(value) => number_as_written(value),
            Typed::Text(text) => Json::from(text),
        },
    }
}

fn number_as_written(value: f64) -> Json {
    Number::from_f64(value).map_or(Json::Null, Json::Number)
}
