//! How many attempts of a group may repeat earlier ones.
//!
//! Asked by [`crate::route`]. Always true: a counter is one word per slot, without a lock; a race
//! may count one event into the next window.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Millis;

/// Seconds over which a retry budget looks back.
const BUDGET_WINDOW_S: u64 = 10;
/// One slot more than the window has seconds, because it begins and ends within one.
const SLOTS: usize = BUDGET_WINDOW_S as usize + 1;

const fn pack(start_s: u64, count: u64) -> u64 {
    let count = if count > u32::MAX as u64 { u32::MAX as u64 } else { count };
    (start_s << 32) | count
}

const fn parts(word: u64) -> (u64, u64) {
    (word >> 32, word & u32::MAX as u64)
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

    /// Takes one event of the current second back.
    fn remove(&self, now: Millis) {
        let second = now.0 / 1000;
        let slot = &self.0[usize::try_from(second).unwrap_or(0) % SLOTS];
        let word = slot.load(Ordering::Relaxed);
        if parts(word).0 == second && parts(word).1 > 0 {
            slot.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Events of the last `seconds`, including the current second.
    fn sum(&self, now: Millis, seconds: u64) -> u64 {
        let second = now.0 / 1000;
        let recent = self.0.iter().map(|slot| parts(slot.load(Ordering::Relaxed)));
        recent.filter(|(at, _)| second.saturating_sub(*at) < seconds).map(|(_, n)| n).sum()
    }
}

/// How many attempts of a group may repeat earlier ones: a fifth of its requests and three a
/// second. The share bounds the load that retries add during an outage; the floor lets small groups
/// retry at all.
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

    /// Whether one more attempt may repeat another. If it may, it is counted.
    #[must_use]
    pub fn withdraw(&self, now: Millis) -> bool {
        let allowed = self.requests.sum(now, BUDGET_WINDOW_S) / 5 + 3 * BUDGET_WINDOW_S;
        let may = self.retries.sum(now, BUDGET_WINDOW_S + 1) < allowed;
        if may {
            self.spend(now);
        }
        may
    }

    /// An attempt that was counted at `now` is not made after all.
    pub fn give_back(&self, now: Millis) {
        self.retries.remove(now);
    }

    /// Counts an attempt that repeats another even if the budget would refuse it.
    pub fn spend(&self, now: Millis) {
        self.retries.add(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_fifth_of_the_requests_and_three_a_second() {
        let budget = RetryBudget::default();
        let now = Millis(100_000);
        let granted = (0..1_000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(granted, 30);
        budget.give_back(now);
        assert_eq!((budget.withdraw(now), budget.withdraw(now)), (true, false), "one came back");
        (0..500).for_each(|_| budget.request(now));
        let more = (0..1_000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(more, 100);
        assert!(!budget.withdraw(now.plus(8_000)));
        assert!(budget.withdraw(now.plus(11_000)), "the window moved on");
        (0..50).for_each(|_| budget.spend(now.plus(22_000)));
        assert!(!budget.withdraw(now.plus(22_000)), "a free retry leaves less for the others");
    }
}
