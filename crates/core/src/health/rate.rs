//! What happened within the last minute, or the last seconds: counters without a lock.
//!
//! Used by [`super::DeploymentState`] for `rpm` and `tpm`, and by [`crate::route`] for the retry budget.
//! Always true: a counter is one word per slot; a moment's race may count one event into the next
//! window, never lose a limit.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Millis;

/// Length of the window of `rpm` and `tpm`, seconds.
const MINUTE_S: u64 = 60;
/// Seconds over which a retry budget looks.
const BUDGET_WINDOW_S: u64 = 10;
/// A slot more than the window has seconds, as it begins and ends within one.
const SLOTS: usize = BUDGET_WINDOW_S as usize + 1;

/// Counts events in a window of a minute that begins with its first event.
#[derive(Debug, Default)]
pub(super) struct MinuteCounter(AtomicU64);

const fn pack(start_s: u64, count: u64) -> u64 {
    let count = if count > u32::MAX as u64 { u32::MAX as u64 } else { count };
    (start_s << 32) | count
}

const fn parts(word: u64) -> (u64, u64) {
    (word >> 32, word & u32::MAX as u64)
}

impl MinuteCounter {
    /// The count of the window in force.
    #[must_use]
    pub(super) fn count(&self, now: Millis) -> u64 {
        let (start, count) = parts(self.0.load(Ordering::Relaxed));
        if (now.0 / 1000).saturating_sub(start) < MINUTE_S { count } else { 0 }
    }

    /// Milliseconds until the window ends.
    #[must_use]
    pub(super) fn ends_in_ms(&self, now: Millis) -> u64 {
        let (start, _) = parts(self.0.load(Ordering::Relaxed));
        Millis((start + MINUTE_S) * 1000).since(now)
    }

    /// Adds `more` unless the count would exceed `limit`.
    pub(super) fn add_within(&self, now: Millis, more: u64, limit: u64) -> bool {
        let second = now.0 / 1000;
        let step = |word: u64| {
            let (start, count) = parts(word);
            let (start, count) = if second.saturating_sub(start) < MINUTE_S && count > 0 {
                (start, count)
            } else {
                (second, 0)
            };
            let sum = count.saturating_add(more);
            (sum <= limit).then(|| pack(start, sum))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }

    /// Adds `more`.
    pub(super) fn add(&self, now: Millis, more: u64) {
        self.add_within(now, more, u64::MAX);
    }
}

/// Counts events by second.
#[derive(Debug, Default)]
struct Recent([AtomicU64; SLOTS]);

impl Recent {
    fn add(&self, now: Millis) {
        let second = now.0 / 1000;
        let slot = &self.0[usize::try_from(second).unwrap_or(0) % SLOTS];
        let word = slot.load(Ordering::Relaxed);
        if parts(word).0 == second && word != 0 {
            slot.fetch_add(1, Ordering::Relaxed);
        } else {
            slot.store(pack(second, 1), Ordering::Relaxed);
        }
    }

    /// Events of so many seconds, the one that has begun included.
    fn sum(&self, now: Millis, seconds: u64) -> u64 {
        let second = now.0 / 1000;
        let recent = self.0.iter().map(|slot| parts(slot.load(Ordering::Relaxed)));
        recent.filter(|(at, _)| second.saturating_sub(*at) < seconds).map(|(_, n)| n).sum()
    }
}

/// How many attempts of a group may repeat earlier ones: a share of its requests, and a floor.
///
/// Source of the numbers: the contract, section 4 (20 % of requests + 3 a second).
#[derive(Debug, Default)]
pub struct RetryBudget {
    requests: Recent,
    retries: Recent,
}

impl RetryBudget {
    /// A request reached the group.
    pub fn request(&self, now: Millis) {
        self.requests.add(now);
    }

    /// Whether one more attempt may repeat another; it is counted when it may.
    #[must_use]
    pub fn withdraw(&self, now: Millis) -> bool {
        let allowed = self.requests.sum(now, BUDGET_WINDOW_S) / 5 + 3 * BUDGET_WINDOW_S;
        let may = self.retries.sum(now, BUDGET_WINDOW_S + 1) < allowed;
        if may {
            self.spend(now);
        }
        may
    }

    /// Counts an attempt that repeats another whether or not the budget would allow it.
    pub fn spend(&self, now: Millis) {
        self.retries.add(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_begins_with_its_first_event() {
        let counter = MinuteCounter::default();
        let at = |s: u64| Millis(s * 1000);
        for _ in 0..10 {
            assert!(counter.add_within(at(30), 1, 10));
        }
        assert!(!counter.add_within(at(89), 1, 10), "the eleventh");
        assert_eq!((counter.count(at(89)), counter.ends_in_ms(at(89))), (10, 1_000));
        assert!(counter.add_within(at(90), 1, 10));
        assert_eq!(counter.count(at(90)), 1);
        counter.add(at(90), u64::MAX);
        assert_eq!(counter.count(at(91)), u64::from(u32::MAX), "saturates");
    }

    #[test]
    fn a_budget_is_a_fifth_of_the_requests_and_three_a_second() {
        let budget = RetryBudget::default();
        let now = Millis(100_000);
        let granted = (0..1_000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(granted, 30);
        (0..500).for_each(|_| budget.request(now));
        let more = (0..1_000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(more, 100);
        assert!(!budget.withdraw(now.plus(8_000)));
        assert!(budget.withdraw(now.plus(11_000)), "the window moved on");
        (0..50).for_each(|_| budget.spend(now.plus(22_000)));
        assert!(!budget.withdraw(now.plus(22_000)), "what is free leaves less for the rest");
    }
}
