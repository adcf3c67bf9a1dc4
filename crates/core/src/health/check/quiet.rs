//! Credentials that providers want to be left alone.
//!
//! Owned by the process: a rate limit of one check holds for every check with that credential, in
//! the background and on demand. Always true: nobody is left alone longer than [`QUIET_CAP_MS`].

use std::collections::HashMap;

use crate::time::Millis;

/// Longest that a provider may ask to be left alone, milliseconds.
const QUIET_CAP_MS: u64 = 300_000;

/// Until when which credential is left alone.
#[derive(Debug, Default)]
pub struct Quiet(HashMap<u64, Millis>);

impl Quiet {
    /// The provider wants no check with `credential` for `ms`.
    pub fn ask(&mut self, now: Millis, credential: u64, ms: u64) {
        self.0.retain(|_, until| *until > now);
        let until = now.plus(ms.min(QUIET_CAP_MS));
        let known = self.0.entry(credential).or_insert(until);
        *known = (*known).max(until);
    }

    /// Until when `credential` is left alone, if that is later than `now`.
    #[must_use]
    pub fn until(&self, now: Millis, credential: u64) -> Option<Millis> {
        self.0.get(&credential).copied().filter(|until| *until > now)
    }
}
