//! How requests ended: counts by operation, ending, cause, status, and what the cache did.
//!
//! Written when a request ends, read by the page of metrics. Always true: the endings that a deployment meets first are
//! counted without a lock; the number of different ones is bounded by closed lists and the statuses of HTTP.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::cache::CacheAnswer;
use hale_core::cause::Cause;
use hale_core::operation::Operation;
use hale_core::record::Ending;
use parking_lot::Mutex;

/// Endings that need no lock.
const FAST: usize = 4;
/// From so many different endings on, only classes of statuses are told apart.
const EXACT_MAX: usize = 256;
/// In each key, so that none is 0.
const USED: u64 = 1 << 63;

/// What the cache of answers did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cached {
    /// It was not asked.
    Unused,
    /// It had the answer.
    Hit,
    /// The answer to an equal request was under way.
    Joined,
    /// It had none.
    Missed,
}

impl Cached {
    const ALL: [Cached; 4] = [Cached::Unused, Cached::Hit, Cached::Joined, Cached::Missed];

    /// What it means that the cache answered so.
    pub(crate) fn of(answer: CacheAnswer) -> Cached {
        match answer {
            CacheAnswer::Hit => Cached::Hit,
            CacheAnswer::Joined => Cached::Joined,
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// What was asked.
    pub(crate) operation: Operation,
    /// How it ended.
    pub(crate) ending: Ending,
    /// Why it failed, if it did.
    pub(crate) cause: Option<Cause>,
    /// What the cache did.
    pub(crate) cached: Cached,
    /// The HTTP status that the client got, or its class times 100.
    pub(crate) status: u16,
}

impl Outcome {
    fn key(self) -> u64 {
        let cause = self.cause.map_or(0, |cause| cause as u64 + 1);
        USED | (self.operation as u64) << 40
            | (self.ending as u64) << 32
            | cause << 24
            | (self.cached as u64) << 16
            | u64::from(self.status)
    }

    fn of(key: u64) -> Option<Outcome> {
        let byte = |shift: u32| usize::from((key >> shift) as u8);
        Some(Outcome {
            operation: *Operation::ALL.get(byte(40))?,
            ending: *Ending::ALL.get(byte(32))?,
            cause: byte(24).checked_sub(1).and_then(|cause| Cause::ALL.get(cause).copied()),
            cached: *Cached::ALL.get(byte(16))?,
            status: (key & 0xffff) as u16,
        })
    }
}

#[derive(Default)]
struct Slot {
    /// 0 is free.
    key: AtomicU64,
    count: AtomicU64,
}

/// Counts of endings.
#[derive(Default)]
pub(crate) struct Tally {
    fast: [Slot; FAST],
    others: Mutex<BTreeMap<u64, u64>>,
}

impl Tally {
    /// Counts one more request.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.add(outcome.key(), 1);
    }

    fn add(&self, key: u64, times: u64) {
        for slot in &self.fast {
            let mut found = slot.key.load(Ordering::Relaxed);
            if found == 0 {
                let taken = slot.key.compare_exchange(0, key, Ordering::Relaxed, Ordering::Relaxed);
                found = taken.map_or_else(|other| other, |_| key);
            }
            if found == key {
                slot.count.fetch_add(times, Ordering::Relaxed);
                return;
            }
        }
        let mut others = self.others.lock();
        let key = match others.len() < EXACT_MAX || others.contains_key(&key) {
            true => key,
            false => (key & !0xffff) | ((key & 0xffff) / 100 * 100),
        };
        *others.entry(key).or_default() += times;
    }

    /// Adds all that another one counted.
    pub(crate) fn absorb(&self, other: &Tally) {
        other.each_key(|key, count| self.add(key, count));
    }

    /// Each ending and how often it came.
    pub(crate) fn each(&self, mut each: impl FnMut(Outcome, u64)) {
        self.each_key(|key, count| {
            if let Some(outcome) = Outcome::of(key) {
                each(outcome, count);
            }
        });
    }

    fn each_key(&self, mut each: impl FnMut(u64, u64)) {
        for slot in &self.fast {
            let count = slot.count.load(Ordering::Relaxed);
            if count > 0 {
                each(slot.key.load(Ordering::Relaxed), count);
            }
        }
        for (key, count) in &*self.others.lock() {
            each(*key, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, cause: Option<Cause>) -> Outcome {
        let operation = *Operation::ALL.last().unwrap();
        Outcome { operation, ending: Ending::Error, cause, cached: Cached::Missed, status }
    }

    fn all(tally: &Tally) -> Vec<(Outcome, u64)> {
        let mut all = Vec::new();
        tally.each(|outcome, count| all.push((outcome, count)));
        all
    }

    #[test]
    fn every_ending_is_found_again_as_it_was_counted() {
        for operation in Operation::ALL {
            for ending in Ending::ALL {
                for cached in Cached::ALL {
                    for cause in Cause::ALL.into_iter().map(Some).chain([None]) {
                        let one = Outcome { operation, ending, cause, cached, status: 529 };
                        assert_eq!(Outcome::of(one.key()), Some(one));
                    }
                }
            }
        }
    }

    #[test]
    fn endings_are_told_apart_and_their_number_is_bounded() {
        let tally = Tally::default();
        for status in 0..=u16::MAX {
            for _ in 0..2 {
                tally.count(outcome(status, Some(Cause::ServerError)));
            }
        }
        tally.count(outcome(200, None));
        let counted = all(&tally);
        assert!(counted.len() <= FAST + EXACT_MAX + 660, "{}", counted.len());
        assert_eq!(counted.iter().map(|(_, count)| count).sum::<u64>(), 2 * 65_536 + 1);
        assert!(counted.contains(&(outcome(3, Some(Cause::ServerError)), 2)));
        let sum = Tally::default();
        sum.absorb(&tally);
        sum.absorb(&tally);
        assert_eq!(all(&sum).iter().map(|(_, count)| count).sum::<u64>(), 2 * (2 * 65_536 + 1));
    }

    #[test]
    fn two_threads_that_meet_the_same_ending_first_count_it_once_each() {
        for _ in 0..200 {
            let tally = Tally::default();
            std::thread::scope(|scope| {
                for status in [200, 500, 429] {
                    let tally = &tally;
                    scope.spawn(move || (0..10).for_each(|_| tally.count(outcome(status, None))));
                    scope.spawn(move || (0..10).for_each(|_| tally.count(outcome(status, None))));
                }
            });
            let mut counts: Vec<u64> = all(&tally).into_iter().map(|(_, count)| count).collect();
            counts.sort_unstable();
            assert_eq!(counts, [20, 20, 20]);
        }
    }
}
