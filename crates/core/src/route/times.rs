//! The times of one attempt: what the config allows, what the client allows, and who set the limit
//! that counts.
//!
//! Called for each attempt, for half-open permits, for explanations, and for the worst case of a
//! config. Always true: a limit counts as the client's only if the client made it shorter than the
//! config does.

use super::controls::Controls;
use crate::deployment::Deployment;
use crate::snapshot::Snapshot;

/// Silence between the events of a stream, if nothing is configured.
const SILENCE_MS: u64 = 120_000;

/// The shortest and the longest silence after which a client's stream gets a comment, milliseconds.
const KEEPALIVE_MS: (u64, u64) = (1_000, 300_000);

/// Which side set a limit in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The client, with its request.
    Client,
    /// The operator, with the config.
    Config,
}

impl SetBy {
    /// Whose limit counts: the client's, if it asked for a shorter one than is configured.
    fn of(asked_ms: Option<u64>, configured_ms: u64) -> SetBy {
        match asked_ms {
            Some(asked) if asked < configured_ms => SetBy::Client,
            Some(_) | None => SetBy::Config,
        }
    }
}

/// The times of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Longest time to the answer, milliseconds; for a stream, to its first content.
    pub timeout_ms: u64,
    /// Whose limit that is.
    pub timeout_set_by: SetBy,
    /// Longest silence between a stream's events, milliseconds.
    pub silence_ms: u64,
    /// Whose limit that is.
    pub silence_set_by: SetBy,
    /// After how much silence a client's stream gets a comment, milliseconds.
    pub keepalive_ms: Option<u64>,
}

/// The times of an attempt at `deployment`.
#[must_use]
pub fn times(snapshot: &Snapshot, deployment: &Deployment, controls: &Controls) -> Times {
    let limits = &deployment.routing.limits;
    let timeout = limits.timeout_ms.unwrap_or(snapshot.router.timeout_ms);
    let between = limits.stream_timeout_ms.or(snapshot.router.stream_timeout_ms);
    let asked = controls.stream_timeout_ms.filter(|_| controls.stream);
    let configured = if controls.stream { between.unwrap_or(timeout) } else { timeout };
    let silence = between.unwrap_or(SILENCE_MS);
    Times {
        timeout_ms: asked.unwrap_or(configured),
        timeout_set_by: SetBy::of(asked, configured),
        silence_ms: asked.unwrap_or(silence),
        silence_set_by: SetBy::of(asked, silence),
        keepalive_ms: keepalive_ms(snapshot, deployment, controls),
    }
}

/// After how much silence the stream of `deployment` gets a comment: as the client wants, where the deployment lets it, else
/// as the deployment says, else as all. A deployment that says 0 has none, whatever the client wants.
fn keepalive_ms(snapshot: &Snapshot, deployment: &Deployment, controls: &Controls) -> Option<u64> {
    let own = &deployment.routing.limits.keepalive;
    if !controls.stream || own.ms == Some(0) {
        return None;
    }
    let asked = match own.set_by {
        SetBy::Client => controls.keepalive_ms,
        SetBy::Config => None,
    };
    within_bounds(asked.or(own.ms).or(snapshot.router.keepalive_ms))
}

/// After how much silence a stream gets a comment that no deployment has begun.
#[must_use]
pub fn early_keepalive_ms(snapshot: &Snapshot) -> Option<u64> {
    within_bounds(snapshot.router.keepalive_ms)
}

fn within_bounds(ms: Option<u64>) -> Option<u64> {
    let (least, most) = KEEPALIVE_MS;
    ms.filter(|ms| *ms > 0).map(|ms| ms.clamp(least, most))
}
