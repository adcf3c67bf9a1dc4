//! Limits that hold for all probes: what a day may cost, and rate limits of providers.
//!
//! Owned by the process, so that a reload or a restart of the health thread does not forget them;
//! lent to [`super::Schedule`] and to probes on demand. Always true: a rate limit that one probe
//! met holds for every probe with that credential; no hold lasts longer than [`HOLD_CAP_MS`].

use std::collections::HashMap;
use std::sync::Arc;

use super::Ledger;
use crate::time::Millis;

/// Longest hold, whatever the provider says, milliseconds.
const HOLD_CAP_MS: u64 = 300_000;

/// What bounds all probes together.
#[derive(Debug, Default)]
pub struct ProbeLimits {
    /// What was spent today.
    pub ledger: Ledger,
    /// Which credentials are on hold.
    pub holds: RateLimitHolds,
    /// Which probes this process may send, if replicas share them.
    pub leases: ProbeLeases,
}

impl ProbeLimits {
    /// Those of a process for whose clock zero was at that moment, milliseconds since 1970.
    #[must_use]
    pub fn with_zero_at(zero_unix_ms: u64) -> ProbeLimits {
        ProbeLimits { ledger: Ledger::with_zero_at(zero_unix_ms), ..ProbeLimits::default() }
    }
}

/// Which background probes this process may send.
#[derive(Debug, Default)]
pub struct ProbeLeases {
    /// The ids of all subjects.
    subjects: Vec<Arc<str>>,
    /// The subjects of which it holds the lease, and until when; `None` if it sends all probes.
    held: Option<HashMap<Arc<str>, Millis>>,
}

impl ProbeLeases {
    /// The subjects for which there are leases.
    #[must_use]
    pub fn subjects(&self) -> &[Arc<str>] {
        &self.subjects
    }

    pub(super) fn plan(&mut self, subjects: Vec<Arc<str>>) {
        self.subjects = subjects;
    }

    /// Sets which leases this process holds; with `None` it sends all probes.
    pub fn hold(&mut self, held: Option<HashMap<Arc<str>, Millis>>) {
        self.held = held;
    }

    /// Whether this process may probe `subject` at `now`.
    #[must_use]
    pub fn allow(&self, now: Millis, subject: &str) -> bool {
        let holds =
            |held: &HashMap<Arc<str>, Millis>| held.get(subject).is_some_and(|until| *until > now);
        self.held.as_ref().is_none_or(holds)
    }
}

/// Until when each credential is not probed.
#[derive(Debug, Default)]
pub struct RateLimitHolds(HashMap<u64, Millis>);

impl RateLimitHolds {
    /// Puts `credential` on hold for `ms`.
    pub fn hold(&mut self, now: Millis, credential: u64, ms: u64) {
        self.0.retain(|_, until| *until > now);
        let until = now.plus(ms.min(HOLD_CAP_MS));
        let known = self.0.entry(credential).or_insert(until);
        *known = (*known).max(until);
    }

    /// Until when `credential` is on hold, if that is later than `now`.
    #[must_use]
    pub fn until(&self, now: Millis, credential: u64) -> Option<Millis> {
        self.0.get(&credential).copied().filter(|until| *until > now)
    }
}
