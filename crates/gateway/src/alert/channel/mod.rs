//! The channels: one file each, which words a message as its receiver shows it.
//!
//! Called by [`super::courier`] and by the pages that test a channel. Always true: texts of providers are escaped as the
//! receiver needs it, and cut to what it takes.

mod discord;
mod email;
mod pagerduty;
mod slack;
mod teams;
mod webhook;

use hale_core::incident::{AlertSettings, Channel, Event, Message, Place, Severity};

use super::post::{Post, Refused, post};
use crate::clock;

/// Sends a message to a channel.
///
/// # Errors
/// Why it was not taken.
pub(crate) async fn send(channel: &Channel, message: &Message) -> Result<(), Refused> {
    let (url, secret, body) = match &channel.place {
        Place::Slack(url) => (url, None, slack::body(message)),
        Place::Teams(url) => (url, None, teams::body(message)),
        Place::Discord(url) => (url, None, discord::body(message)),
        Place::PagerDuty { key, url } => (url, Some(key), pagerduty::body(message, key)),
        Place::Webhook { url, secret } => {
            let body = webhook::body(message).to_string().into_bytes();
            let headers = secret.iter().map(|secret| webhook::signature(secret, &body)).collect();
            return post(Post { url, secret: secret.as_ref(), headers, body }).await;
        }
        Place::Email(smtp) => return email::send(smtp, message).await,
    };
    let body = body.to_string().into_bytes();
    post(Post { url, secret, headers: Vec::new(), body }).await
}

/// Sends a test message to the channels of that sort of place, or with that name, or to all: what became of each.
pub(crate) async fn test<'s>(
    settings: &'s AlertSettings,
    name: Option<&str>,
) -> Vec<(&'s str, Result<(), Refused>)> {
    let title = "a test of Hale's alerts: this channel is told of incidents";
    let message = Message::apart(Event::Test, title, clock::unix_ms());
    let is_meant =
        |one: &&Channel| name.is_none_or(|name| one.place.name() == name || *one.name == *name);
    let mut results = Vec::new();
    for channel in settings.channels.iter().filter(is_meant) {
        results.push((&*channel.name, send(channel, &message).await));
    }
    results
}

/// `text` cut to so many characters.
fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max.saturating_sub(1)) {
        Some((end, _)) if text[end..].chars().nth(1).is_some() => format!("{}…", &text[..end]),
        Some(_) | None => text.to_owned(),
    }
}

/// The colour of a message, as a number of six hexadecimal digits.
fn colour(message: &Message) -> u32 {
    match (message.event, message.severity) {
        (Event::Resolved, _) => 0x2e_b6_7d,
        (Event::Test | Event::Report, _) | (_, Severity::Info) => 0x43_9f_e0,
        (Event::Opened | Event::Reopened, Severity::Warning) => 0xec_b2_2e,
        (Event::Opened | Event::Reopened, Severity::Critical) => 0xe0_1e_5a,
    }
}
