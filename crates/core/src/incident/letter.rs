//! What is told: a message, and its way to one channel.
//!
//! Made by [`super::Book`], worded and sent by the gateway's channels. Always true: a message has everything that its
//! receiver is shown, so that it is the same whenever it is sent.

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::kind::{Kind, Severity};
use crate::time::rfc3339;

/// Deployments that a message names.
pub const PARTS_MAX: usize = 20;

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// An incident began.
    #[serde(rename = "incident_opened")]
    Opened,
    /// It had ended and is back.
    #[serde(rename = "incident_reopened")]
    Reopened,
    /// It has ended.
    #[serde(rename = "incident_resolved")]
    Resolved,
    /// An operator tests the channel.
    #[serde(rename = "test")]
    Test,
    /// An operator asked for the report of a day.
    #[serde(rename = "report")]
    Report,
}

impl Event {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Event::Opened => "incident_opened",
            Event::Reopened => "incident_reopened",
            Event::Resolved => "incident_resolved",
            Event::Test => "test",
            Event::Report => "report",
        }
    }
}

/// A deployment, or whatever else is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub name: Box<str>,
    /// Why.
    pub cause: Box<str>,
    /// Since when, milliseconds since 1970.
    pub since: u64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Why it is sent.
    pub event: Event,
    /// The incident; the same in all its messages. Empty if it is about none.
    pub incident_id: Box<str>,
    /// What it is, if it is about an incident.
    pub kind: Option<Kind>,
    /// How bad it is.
    pub severity: Severity,
    /// A line that says it all.
    pub title: Box<str>,
    /// When the incident began, milliseconds since 1970.
    pub since: u64,
    /// When it ended, if it did.
    pub ended: Option<u64>,
    /// The provider, if one has to do with it.
    pub provider: Option<Box<str>>,
    /// The cause, as in errors and metrics.
    pub cause: Box<str>,
    /// The provider's words.
    pub words: Box<str>,
    /// What to do.
    pub fix: Box<str>,
    /// What it did to requests so far.
    pub effect: Effect,
    /// The groups whose requests it touches.
    pub groups: Vec<Box<str>>,
    /// Those of them in which nothing can serve.
    pub groups_down: Vec<Box<str>>,
    /// What is wrong, at most [`PARTS_MAX`].
    pub parts: Vec<Part>,
    /// How many more there are.
    pub more_parts: usize,
    /// The page about it.
    pub link: Option<Box<str>>,
}

impl Message {
    /// A message that is about no incident.
    #[must_use]
    pub fn apart(event: Event, title: &str, now: u64) -> Message {
        Message {
            event,
            incident_id: Box::default(),
            kind: None,
            severity: Severity::Info,
            title: title.into(),
            since: now,
            ended: None,
            provider: None,
            cause: Box::default(),
            words: Box::default(),
            fix: Box::default(),
            effect: Effect::default(),
            groups: Vec::new(),
            groups_down: Vec::new(),
            parts: Vec::new(),
            more_parts: 0,
            link: None,
        }
    }

    /// How long it lasted, milliseconds, if it has ended.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        self.ended.map(|ended| ended.saturating_sub(self.since))
    }

    /// Names and values, for receivers that show a list of them.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let mut put = |name, value: String| {
            if !value.is_empty() {
                facts.push((name, value));
            }
        };
        let of_incident = self.kind.is_some();
        if let (true, Some(kind)) = (of_incident, self.kind) {
            put("Kind", kind.name().to_owned());
            put("Since", rfc3339(self.since));
        }
        if let Some(ms) = self.duration_ms() {
            put("Lasted", lasted(ms));
        }
        if of_incident {
            put("Requests", self.effect.words());
        }
        put("Models", listed(&self.groups, 0));
        put("Nothing serves", listed(&self.groups_down, 0));
        if self.parts.len() + self.more_parts > 1 {
            let names: Vec<Box<str>> = self.parts.iter().map(|part| part.name.clone()).collect();
            put("Deployments", listed(&names, self.more_parts));
        }
        put("Provider", self.provider.as_deref().unwrap_or_default().to_owned());
        put("Cause", self.cause.to_string());
        let words = if of_incident { "It said" } else { "Report" };
        put(words, self.words.to_string());
        if self.event != Event::Resolved {
            put("Fix", self.fix.to_string());
        }
        put("Page", self.link.as_deref().unwrap_or_default().to_owned());
        facts
    }

    /// The whole as plain text, a line for each fact.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.facts().into_iter().map(|(name, value)| format!("{name}: {value}"));
        std::iter::once(self.title.to_string()).chain(lines).collect::<Vec<_>>().join("\n")
    }
}

/// Names, and how many more there are.
fn listed(names: &[Box<str>], more: usize) -> String {
    let shown = names.iter().take(PARTS_MAX).map(|name| name.to_string());
    let hidden = names.len().saturating_sub(PARTS_MAX) + more;
    let more = (hidden > 0).then(|| format!("{hidden} more"));
    shown.chain(more).collect::<Vec<_>>().join(", ")
}

/// A time as people say it: `45 s`, `12 min`, `3 h 5 min`.
#[must_use]
pub fn lasted(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A message on its way to a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its number in the book.
    pub number: u64,
    /// The name of the channel.
    pub to: Box<str>,
    /// What is told.
    pub message: Message,
    /// When it was written, milliseconds since 1970.
    pub written: u64,
    /// How often it was sent in vain.
    pub tries: u32,
    /// When it is sent, at the earliest.
    pub due: u64,
}
