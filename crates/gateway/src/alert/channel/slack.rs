//! Messages for incoming webhooks of Slack, and of what takes the same (Mattermost, Rocket.Chat, Discord's `/slack`).
//!
//! Source: <https://api.slack.com/messaging/webhooks>.

use hale_core::incident::Message;
use serde_json::{Value, json};

use super::{colour, cut};

/// Longest text that Slack shows unfolded, characters.
const TEXT_MAX: usize = 3_000;

pub(super) fn body(message: &Message) -> Value {
    let facts = message.facts().into_iter();
    let lines: Vec<String> =
        facts.map(|(name, value)| format!("*{name}:* {}", escaped(&value))).collect();
    let severity =
        message.kind.map_or(String::new(), |_| format!("[{}] ", message.severity.name()));
    let title = format!("{severity}{}", escaped(&message.title));
    let lines = cut(&lines.join("\n"), TEXT_MAX);
    let text = if lines.is_empty() { format!("*{title}*") } else { format!("*{title}*\n{lines}") };
    json!({
        "text": text,
        "attachments": [{
            "color": format!("#{:06x}", colour(message)),
            "fallback": title,
            "footer": format!("Hale {}", message.incident_id).trim(),
        }],
    })
}

/// With the three characters escaped that mean something.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
