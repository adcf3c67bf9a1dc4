//! Events for PagerDuty, version 2: an incident there is one here.
//!
//! Source: <https://developer.pagerduty.com/docs/send-alert-event>. Always true: the resolved message has the key of the
//! opened one; a test is resolved at once.

use hale_core::incident::{Event, Message};
use hale_core::secret::Secret;
use hale_core::time::rfc3339;
use serde_json::{Map, Value, json};

use super::cut;

/// Longest summary, characters.
const SUMMARY_MAX: usize = 1_024;

pub(super) fn body(message: &Message, key: &Secret) -> Value {
    let action = match message.event {
        Event::Opened | Event::Reopened | Event::Report => "trigger",
        // A test must wake no person, and still show that the key is right.
        Event::Resolved | Event::Test => "resolve",
    };
    let id = match &*message.incident_id {
        "" => format!("hale-{}-{}", message.event.name(), message.since),
        id => format!("hale-{id}"),
    };
    let details: Map<String, Value> = message
        .facts()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::String(value)))
        .collect();
    let links: Vec<Value> =
        message.link.iter().map(|link| json!({"href": link, "text": "the incident"})).collect();
    json!({
        "routing_key": key.expose(),
        "event_action": action,
        "dedup_key": id,
        "client": "Hale",
        "links": links,
        "payload": {
            "summary": cut(&message.title, SUMMARY_MAX),
            "source": message.provider.as_deref().unwrap_or("hale"),
            "severity": message.severity.name(),
            "timestamp": rfc3339(message.since),
            "component": message.groups.first(),
            "group": message.groups.join(", "),
            "class": message.kind.map(hale_core::incident::Kind::name),
            "custom_details": details,
        },
    })
}
