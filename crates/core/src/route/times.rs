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

/// The times of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Longest time to the answer, milliseconds; for a stream, to its first content.
    pub timeout_ms: u64,
    /// Whether the client made it shorter than the config does.
    pub timeout_by_client: bool,
    /// Longest silence between a stream's events, milliseconds.
    pub silence_ms: u64,
    /// Whether the client made it shorter than the config does.
    pub silence_by_client: bool,
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
        timeout_by_client: asked.is_some_and(|asked| asked < configured),
        silence_ms: asked.unwrap_or(silence),
        silence_by_client: asked.is_some_and(|asked| asked < silence),
    }
}
