//! Limits that hold for all probes: what a day may cost, and rate limits of providers.
//!
//! Owned by the process, so that a reload or a restart of the health thread does not forget them;
//! lent to [`super::Schedule`] and to probes on demand. Always true: a rate limit that one probe
//! met holds for every probe with that credential; no hold lasts longer than [`HOLD_CAP_MS`].

use std::collections::HashMap;

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
