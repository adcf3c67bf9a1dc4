//! What probes of a day cost, and whether another one may be paid for.
//!
//! Part of [`super::ProbeLimits`]; read by [`super::Schedule`] and by probes on demand. Always
//! true: nothing is booked that exceeds a limit; each day starts at zero.

use std::collections::HashMap;
use std::sync::Arc;

use crate::time::Millis;

const DAY_MS: u64 = 86_400_000;

/// What probes of today cost, in units of 10^-9 USD.
#[derive(Debug, Default)]
pub struct Ledger {
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
        let day = now.0 / DAY_MS;
        if day != self.day {
            *self = Ledger { day, ..Ledger::default() };
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
}
