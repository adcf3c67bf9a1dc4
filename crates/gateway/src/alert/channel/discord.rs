//! Messages for webhooks of Discord: an embed, which mentions no person.
//!
//! Source: <https://discord.com/developers/docs/resources/webhook#execute-webhook>.

use hale_core::incident::Message;
use hale_core::time::rfc3339;
use serde_json::{Value, json};

use super::{colour, cut};

/// Longest title, value of a field and description, characters. An embed has at most 6,000 in all.
const TITLE_MAX: usize = 256;
const VALUE_MAX: usize = 400;

pub(super) fn body(message: &Message) -> Value {
    let fields: Vec<Value> = message
        .facts()
        .into_iter()
        .map(|(name, value)| {
            let is_short = value.len() < 40;
            json!({"name": name, "value": cut(&value, VALUE_MAX), "inline": is_short})
        })
        .collect();
    json!({
        "username": "Hale",
        "allowed_mentions": {"parse": []},
        "embeds": [{
            "title": cut(&message.title, TITLE_MAX),
            "color": colour(message),
            "fields": fields,
            "timestamp": rfc3339(message.ended.unwrap_or(message.since)),
        }],
    })
}
