//! What probes of a day cost, and whether another one may be paid for.
//!
//! Part of [`super::ProbeLimits`]; read by [`super::Schedule`] and by probes on demand. Always
//! true: nothing is booked that exceeds a limit; each day, which begins at midnight UTC, starts at zero.

use std::collections::HashMap;
use std::sync::Arc;

use crate::time::Millis;

const DAY_MS: u64 = 86_400_000;

/// What probes of today cost, in units of 10^-9 USD.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What the wall clock showed at the zero of the clock, milliseconds since 1970.
    zero_unix_ms: u64,
    day: u64,
    all: u64,
    each: HashMap<Arc<str>, u64>,
}

/// What probes of a day may cost, in units of 10^-9 USD; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Those of one deployment.
    pub own: Option<u64>,
    /// All together.
    pub all: Option<u64>,
}

impl Ledger {
    /// An empty one, for a clock whose zero was at that moment, milliseconds since 1970.
    #[must_use]
    pub fn with_zero_at(zero_unix_ms: u64) -> Ledger {
        Ledger { zero_unix_ms, ..Ledger::default() }
    }

    /// Books `cost` for a probe of the deployment `id`, unless that exceeds the allowance.
    #[must_use]
    pub fn book(&mut self, now: Millis, id: &Arc<str>, cost: u64, allowed: Allowance) -> bool {
        if cost == 0 {
            return true;
        }
        self.begin_day(now);
        let own = self.each.get(id).copied().unwrap_or(0);
        let fits = |spent: u64, limit: Option<u64>| {
            limit.is_none_or(|limit| spent.saturating_add(cost) <= limit)
        };
        let booked = fits(own, allowed.own) && fits(self.all, allowed.all);
        if booked {
            self.add(now, id, cost);
        }
        booked
    }

    /// Adds what a probe cost beyond what was booked for it.
    pub fn add(&mut self, now: Millis, id: &Arc<str>, more: u64) {
        if more == 0 {
            return;
        }
        self.begin_day(now);
        self.all = self.all.saturating_add(more);
        let own = self.each.entry(id.clone()).or_default();
        *own = own.saturating_add(more);
    }

    /// Forgets the costs of deployments that no longer exist.
    pub fn retain(&mut self, mut is_there: impl FnMut(&str) -> bool) {
        self.each.retain(|id, _| is_there(id));
    }

    /// What all probes of today cost.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.all
    }

    fn begin_day(&mut self, now: Millis) {
        let day = self.zero_unix_ms.saturating_add(now.0) / DAY_MS;
        if day != self.day {
            *self = Ledger { day, ..Ledger::with_zero_at(self.zero_unix_ms) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_reserved_beyond_a_limit_and_each_day_begins_anew() {
        // Invariant I13.
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let allowed = Allowance { own: Some(5), all: Some(8) };
        let mut ledger = Ledger::default();
        let mut book = |at, id, cost| ledger.book(Millis(at), id, cost, allowed);
        assert!(book(0, &a, 5));
        assert!(!book(1, &a, 1), "its own is spent");
        assert!(book(2, &b, 3));
        assert!(!book(3, &b, 1), "all is spent");
        assert!(book(3, &b, 0), "what is free is free");
        assert!(!book(4, &a, u64::MAX));
        assert!(book(DAY_MS, &a, 1));
        ledger.add(Millis(DAY_MS + 1), &a, 4);
        assert!(!ledger.book(Millis(DAY_MS + 2), &a, 1, allowed), "it cost more than was thought");
        assert_eq!(ledger.spent(), 5);
        ledger.retain(|id| id == "b");
        assert_eq!((ledger.spent(), ledger.each.len()), (5, 0));
    }

    #[test]
    fn a_day_begins_at_midnight_however_long_the_process_runs() {
        const HOUR_MS: u64 = 3_600_000;
        let a: Arc<str> = "a".into();
        let allowed = Allowance { own: None, all: Some(5) };
        // It starts at 22:00 of some day.
        let mut ledger = Ledger::with_zero_at(20_000 * DAY_MS + 22 * HOUR_MS);
        assert!(ledger.book(Millis(0), &a, 5, allowed));
        assert!(!ledger.book(Millis(2 * HOUR_MS - 1), &a, 5, allowed), "it is the same day");
        assert!(ledger.book(Millis(2 * HOUR_MS), &a, 5, allowed));
        assert!(
            !ledger.book(Millis(26 * HOUR_MS - 1), &a, 5, allowed),
            "nor does it end with 24 hours"
        );
        assert!(ledger.book(Millis(26 * HOUR_MS), &a, 5, allowed));
    }
}
