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

/// With a backslash before what cards read as Markdown, so that they show it as it is.
fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for one in text.chars() {
        if matches!(one, '\\' | '*' | '_' | '[' | ']' | '`') {
            shown.push('\\');
        }
        shown.push(one);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_with_marks_of_markdown_are_shown_whole() {
        assert_eq!(plain("set LLM_API_KEY"), r"set LLM\_API\_KEY");
        assert_eq!(plain(r"a*[b]`c\d"), r"a\*\[b\]\`c\\d");
        assert_eq!(plain("nothing to do"), "nothing to do");
    }
}
