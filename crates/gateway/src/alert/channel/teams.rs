//! Messages for workflows of Microsoft Teams: an Adaptive Card.
//!
//! Source: <https://learn.microsoft.com/connectors/teams/#microsoft-teams-webhook>.

use hale_core::incident::{Event, Message, Severity};
use serde_json::{Value, json};

use super::cut;

/// Longest value of a fact, characters.
const VALUE_MAX: usize = 1_000;

pub(super) fn body(message: &Message) -> Value {
    let facts: Vec<Value> = message
        .facts()
        .into_iter()
        .map(|(name, value)| json!({"title": name, "value": plain(&cut(&value, VALUE_MAX))}))
        .collect();
    let colour = match (message.event, message.severity) {
        (Event::Resolved, _) => "good",
        (_, Severity::Critical) => "attention",
        (_, Severity::Warning) => "warning",
        (_, Severity::Info) => "accent",
    };
    let mut card = vec![json!({
        "type": "TextBlock", "text": plain(&message.title), "weight": "bolder", "size": "medium",
        "wrap": true, "color": colour,
    })];
    if !facts.is_empty() {
        card.push(json!({"type": "FactSet", "facts": facts}));
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": card,
            },
        }],
    })
}

/// Without what cards read as Markdown.
fn plain(text: &str) -> String {
    text.replace(['*', '_', '[', ']', '`'], " ")
}
