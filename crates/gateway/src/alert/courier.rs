//! Brings letters to their channels: one at a time to each, again and again until it is taken.
//!
//! Used by [`super::desk`]. Always true: a channel that hangs or fails delays no other; the pause between two tries grows,
//! and is never shorter than what the receiver asks for.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use hale_core::incident::{Channel, Letter};
use tokio::task::JoinSet;

use super::channel;
use super::post::Refused;
use crate::state::alerts::Alerts;

/// The pause after a failure, milliseconds: the first and the longest.
const PAUSE_MS: (u64, u64) = (1_000, 300_000);
/// The longest pause that a receiver may ask for, milliseconds.
const ASKED_MAX_MS: u64 = 3_600_000;
/// How often a failing channel is told in the log, in failures.
const TOLD_EVERY: u64 = 50;

/// A letter that was sent, and what came of it.
pub(super) struct Returned {
    letter: Letter,
    result: Result<(), Refused>,
}

/// What follows for the book.
pub(super) enum Verdict {
    /// The letter with that number was taken.
    Taken(u64),
    /// It is sent again after so many milliseconds.
    Again(u64, u64),
}

/// The letters under way.
#[derive(Default)]
pub(super) struct Courier {
    flights: JoinSet<Returned>,
    busy: HashSet<Box<str>>,
}

impl Courier {
    /// Whether a letter to that channel is under way.
    pub(super) fn is_busy(&self, channel: &str) -> bool {
        self.busy.contains(channel)
    }

    /// Sends a letter.
    pub(super) fn send(&mut self, letter: Letter, to: Channel) {
        self.busy.insert(letter.to.clone());
        self.flights.spawn_local(async move {
            let result = channel::send(&to, &letter.message).await;
            Returned { letter, result }
        });
    }

    /// The next letter that comes back. Never without one under way.
    pub(super) async fn next(&mut self) -> Returned {
        loop {
            match self.flights.join_next().await {
                Some(Ok(returned)) => {
                    self.busy.remove(&returned.letter.to);
                    return returned;
                }
                // What panicked is sent again, once nothing is under way.
                Some(Err(_)) if self.flights.is_empty() => self.busy.clear(),
                Some(Err(_)) => {}
                None => std::future::pending::<()>().await,
            }
        }
    }
}

impl Returned {
    /// Counts and tells what came of it.
    pub(super) fn judge(self, alerts: &Alerts) -> Verdict {
        let Returned { letter, result } = self;
        let mut channels = alerts.channels.lock();
        let state = channels.entry(letter.to.clone()).or_default();
        let (channel, event) = (&*letter.to, letter.message.event.name());
        let incident = &*letter.message.incident_id;
        match result {
            Ok(()) => {
                alerts.sent.fetch_add(1, Ordering::Relaxed);
                state.sent += 1;
                state.failures_in_a_row = 0;
                state.problem = None;
                tracing::info!(channel, event, incident, "told: {}", letter.message.title);
                Verdict::Taken(letter.number)
            }
            Err(refused) => {
                alerts.failed.fetch_add(1, Ordering::Relaxed);
                state.failed += 1;
                state.failures_in_a_row += 1;
                let is_news = state.problem.as_deref() != Some(&*refused.why);
                let pause_ms = pause_ms(letter.tries, refused.again_ms);
                if is_news || state.failures_in_a_row.is_multiple_of(TOLD_EVERY) {
                    let again_s = pause_ms / 1_000;
                    tracing::warn!(
                        channel,
                        event,
                        incident,
                        again_s,
                        "a message was not taken and is sent again: {}",
                        refused.why
                    );
                }
                state.problem = Some(refused.why);
                Verdict::Again(letter.number, pause_ms)
            }
        }
    }
}

fn pause_ms(tries: u32, asked_ms: Option<u64>) -> u64 {
    let (first, longest) = PAUSE_MS;
    let pause = first.saturating_mul(1 << tries.min(20)).min(longest);
    // Replicas and channels that failed together are not tried together.
    let own = pause / 2 + fastrand::u64(..=pause / 2);
    own.max(asked_ms.unwrap_or(0).min(ASKED_MAX_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_minutes_and_never_undercut_what_the_receiver_asks_for() {
        assert!((500..=1_000).contains(&pause_ms(0, None)));
        assert!((8_000..=16_000).contains(&pause_ms(4, None)));
        assert!((150_000..=300_000).contains(&pause_ms(40, None)));
        assert_eq!(pause_ms(0, Some(30_000)), 30_000);
        assert_eq!(pause_ms(0, Some(u64::MAX)), ASKED_MAX_MS, "no receiver silences it for long");
    }
}
