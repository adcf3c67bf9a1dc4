//! `rpm` and `tpm`: requests and tokens within any sixty seconds.
//!
//! Used by [`super::DeploymentState`]; read by [`crate::route`] for every candidate. Always true:
//! any window of a minute, wherever it begins, holds at most the limit; a reader takes no lock
//! unless something has just left the window; memory depends on the length of the window, not on
//! the limit.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::minute::Window;
use crate::time::Millis;

/// Counts events within the last minute.
#[derive(Debug, Default)]
struct MinuteCounter {
    /// The sum, before anything more leaves.
    sum: AtomicU64,
    /// When something leaves next, milliseconds.
    leaves_at: AtomicU64,
    window: Mutex<Window>,
}

impl MinuteCounter {
    fn count(&self, now: Millis) -> u64 {
        let sum = self.sum.load(Ordering::Relaxed);
        if sum == 0 || now.0 < self.leaves_at.load(Ordering::Relaxed) {
            return sum;
        }
        let mut window = self.window.lock();
        window.forget(now);
        self.publish(&window)
    }

    /// Adds `more` unless the sum would exceed `limit`.
    fn add_within(&self, now: Millis, more: u64, limit: u64) -> bool {
        let mut window = self.window.lock();
        window.forget(now);
        let fits = window.sum().saturating_add(more) <= limit;
        if fits {
            window.push(now, more);
        }
        self.publish(&window);
        fits
    }

    fn publish(&self, window: &Window) -> u64 {
        self.leaves_at.store(window.leaves().0, Ordering::Relaxed);
        self.sum.store(window.sum(), Ordering::Relaxed);
        window.sum()
    }

    /// Milliseconds until `more` fits into `limit`. If it never fits, until the window is empty.
    fn free_in_ms(&self, now: Millis, more: u64, limit: u64) -> u64 {
        let mut window = self.window.lock();
        window.forget(now);
        window.free_in_ms(now, more, limit)
    }
}

/// What an attempt needs from a deployment before it may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Limit of attempts in flight.
    pub max_parallel: Option<u32>,
    /// Limit of attempts that begin within a minute.
    pub rpm: Option<u64>,
    /// Limit of tokens within a minute.
    pub tpm: Option<u64>,
    /// The estimated tokens of the request; 0 is unknown.
    pub tokens: u64,
    /// Whether attempts and tokens of a minute are counted at all.
    pub counts: bool,
}

impl Claim {
    /// The tokens that are counted when the attempt begins.
    #[must_use]
    pub fn reserved(&self) -> u64 {
        if self.tpm.is_some() { self.tokens } else { 0 }
    }
}

/// How fast use is forgotten: after this time a third of it counts, after a minute a twentieth.
/// Milliseconds.
const FORGET_MS: f64 = 20_000.0;

/// How much was used recently. The more it is, the faster it is forgotten: with a plain sum over a
/// minute, all traffic would go to a deployment that had none, and a minute later all of it would
/// leave again.
#[derive(Debug)]
struct Usage {
    /// The natural logarithm of the use, each part multiplied by e for every [`FORGET_MS`] that had
    /// passed at its time; as bits. So it fades without being written.
    grown: AtomicU64,
}

impl Default for Usage {
    fn default() -> Usage {
        Usage { grown: AtomicU64::new(f64::NEG_INFINITY.to_bits()) }
    }
}

#[allow(clippy::cast_precision_loss, reason = "an error of a millionth does not matter")]
fn age(now: Millis) -> f64 {
    now.0 as f64 / FORGET_MS
}

impl Usage {
    #[allow(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
    fn add(&self, now: Millis, amount: u64) {
        if amount == 0 {
            return;
        }
        let more = (amount as f64).ln() + age(now);
        let step = |bits: u64| {
            let old = f64::from_bits(bits);
            let (large, small) = if old > more { (old, more) } else { (more, old) };
            Some((large + (small - large).exp().ln_1p()).to_bits())
        };
        // The step always returns a value, so the update cannot fail.
        let _before = self.grown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
    }

    fn of_late(&self, now: Millis) -> f64 {
        (f64::from_bits(self.grown.load(Ordering::Relaxed)) - age(now)).exp()
    }
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// `rpm` or `tpm`.
    pub of: &'static str,
    /// The limit.
    pub limit: u64,
    /// When there is room again, milliseconds from now.
    pub free_in_ms: u64,
}

/// The requests and tokens of the last minute.
#[derive(Debug, Default)]
pub struct Rates {
    requests: MinuteCounter,
    tokens: MinuteCounter,
    used: Usage,
    /// What this replica may use of `rpm` and of `tpm`, plus 1; 0 is all of it.
    shares: [AtomicU64; 2],
    /// Attempts that a limit refused, and their tokens.
    refused: [AtomicU64; 2],
}

/// A limit that replicas share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// `rpm`.
    Requests,
    /// `tpm`.
    Tokens,
}

impl RateLimit {
    /// Its name in the config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RateLimit::Requests => "rpm",
            RateLimit::Tokens => "tpm",
        }
    }
}

impl Rates {
    /// Attempts that began within the last minute.
    #[must_use]
    pub fn requests(&self, now: Millis) -> u64 {
        self.requests.count(now)
    }

    /// Tokens of the last minute: those of ended attempts, and the estimates of those in flight.
    #[must_use]
    pub fn tokens(&self, now: Millis) -> u64 {
        self.tokens.count(now)
    }

    /// Recent use in tokens, plus one for each request; it fades within a minute.
    #[must_use]
    pub fn used(&self, now: Millis) -> f64 {
        self.used.of_late(now)
    }

    /// What this replica may use of `limit`: its share, at least 1.
    #[must_use]
    pub fn own_part(&self, of: RateLimit, limit: u64) -> u64 {
        match self.shares[of as usize].load(Ordering::Relaxed) {
            0 => limit,
            share => (share - 1).clamp(1, limit.max(1)),
        }
    }

    /// Sets what this replica may use of a limit; `None` is all of it.
    pub fn set_share(&self, of: RateLimit, share: Option<u64>) {
        let word = share.map_or(0, |share| share.saturating_add(1));
        self.shares[of as usize].store(word, Ordering::Relaxed);
    }

    /// What was used of a limit within the last minute, and what was refused since this was last
    /// called.
    pub fn use_of(&self, of: RateLimit, now: Millis) -> (u64, u64) {
        let used = match of {
            RateLimit::Requests => self.requests(now),
            RateLimit::Tokens => self.tokens(now),
        };
        (used, self.refused[of as usize].swap(0, Ordering::Relaxed))
    }

    fn refuse(&self, of: RateLimit, amount: u64) {
        self.refused[of as usize].fetch_add(amount, Ordering::Relaxed);
    }

    /// The first limit that an attempt with this claim would exceed.
    #[must_use]
    pub fn full(&self, now: Millis, claim: &Claim) -> Option<Full> {
        if let Some(limit) = claim.rpm.filter(|limit| self.requests(now) >= *limit) {
            let free_in_ms = self.requests.free_in_ms(now, 1, limit);
            self.refuse(RateLimit::Requests, 1);
            return Some(Full { of: "rpm", limit, free_in_ms });
        }
        // A request of unknown length needs room for at least one token.
        let tokens = claim.tokens.max(1);
        let limit = claim.tpm?;
        if self.tokens(now).saturating_add(tokens) <= limit {
            return None;
        }
        self.refuse(RateLimit::Tokens, tokens);
        Some(Full { of: "tpm", limit, free_in_ms: self.tokens.free_in_ms(now, tokens, limit) })
    }

    /// Counts an attempt that begins, unless it would exceed a limit: then nothing is counted. If
    /// two attempts take the last place at once, the estimate of the one that loses is counted.
    pub(super) fn begin(&self, now: Millis, claim: &Claim) -> bool {
        if !claim.counts {
            return true;
        }
        if claim.rpm.is_some_and(|limit| self.requests(now) >= limit) {
            return false;
        }
        if let Some(limit) = claim.tpm {
            let fits = match claim.tokens {
                0 => self.tokens(now) < limit,
                tokens => self.tokens.add_within(now, tokens, limit),
            };
            if !fits {
                return false;
            }
        }
        let begins = self.requests.add_within(now, 1, claim.rpm.unwrap_or(u64::MAX));
        if begins {
            self.used.add(now, claim.reserved().saturating_add(1));
        }
        begins
    }

    /// Counts the tokens of an attempt that ended.
    pub(super) fn end(&self, now: Millis, tokens: u64) {
        if tokens > 0 {
            self.tokens.add_within(now, tokens, u64::MAX);
            self.used.add(now, tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::minute::{BUCKET_MS, MOMENTS, WINDOW_MS};

    fn at(ms: u64) -> Millis {
        Millis(ms)
    }

    #[test]
    fn the_places_of_a_burst_come_back_together_after_a_minute() {
        let counter = MinuteCounter::default();
        for _ in 0..10 {
            assert!(counter.add_within(at(30_000), 1, 10));
        }
        assert!(!counter.add_within(at(89_999), 1, 10), "the eleventh");
        assert_eq!(counter.count(at(89_999)), 10);
        assert_eq!(counter.free_in_ms(at(80_000), 1, 10), 10_000);
        assert!(counter.add_within(at(90_000), 1, 10));
        assert_eq!(counter.count(at(90_000)), 1);
        counter.add_within(at(90_000), u64::MAX, u64::MAX);
        assert_eq!(counter.count(at(91_000)), u64::MAX, "saturates");
        assert_eq!(counter.count(at(151_000)), 0);
    }

    #[test]
    fn use_adds_up_and_fades() {
        let usage = Usage::default();
        assert_eq!(usage.of_late(at(0)), 0.0);
        usage.add(at(0), 100);
        usage.add(at(0), 200);
        assert!((usage.of_late(at(0)) - 300.0).abs() < 1e-6);
        assert!((usage.of_late(at(20_000)) - 300.0 / std::f64::consts::E).abs() < 1e-6);
        usage.add(at(60_000), 100);
        let left = usage.of_late(at(60_000));
        assert!((100.0..120.0).contains(&left), "{left}");
        let year = at(365 * 86_400_000);
        usage.add(year, 7);
        assert!((usage.of_late(year) - 7.0).abs() < 1e-6);
        usage.add(Millis::NEVER, u64::MAX);
        assert!(!usage.of_late(Millis::NEVER).is_nan());
    }

    #[test]
    fn places_come_back_one_by_one_as_they_were_taken() {
        let counter = MinuteCounter::default();
        for second in 0..10 {
            assert!(counter.add_within(at(second * 2_000), 1, 10));
        }
        assert_eq!(counter.free_in_ms(at(20_000), 1, 10), 40_000);
        assert_eq!(counter.free_in_ms(at(20_000), 3, 10), 44_000);
        assert!(counter.add_within(at(60_000), 1, 10) && !counter.add_within(at(61_999), 1, 10));
    }

    #[test]
    fn an_estimate_is_taken_at_the_begin_and_the_difference_at_the_end() {
        let rates = Rates::default();
        let claim = Claim { tpm: Some(100), tokens: 40, counts: true, ..Claim::default() };
        assert!(rates.begin(at(0), &claim) && rates.begin(at(1_000), &claim));
        assert!(!rates.begin(at(1_000), &claim), "120 would be more than 100");
        assert_eq!(rates.requests(at(1_000)), 2, "who does not begin is not counted");
        rates.end(at(2_000), 25);
        let full = rates.full(at(2_000), &claim).unwrap();
        // The first estimate leaves at 60 s, the second at 61 s; 25 + 40 fit after both.
        assert_eq!(full, Full { of: "tpm", limit: 100, free_in_ms: 59_000 });
        assert_eq!(rates.full(at(60_000), &claim), Some(Full { free_in_ms: 1_000, ..full }));
        assert_eq!(rates.full(at(61_000), &claim), None);
    }

    proptest! {
        #[test]
        fn any_minute_holds_at_most_the_limit_and_no_place_is_lost(
            gaps in prop::collection::vec(prop_oneof![0..50u64, 0..50u64, 0..3_000u64, 20_000..61_500u64], 1..400),
            limit in prop_oneof![1..=MOMENTS as u64, 1..300u64],
        ) {
            let late = if limit <= MOMENTS as u64 { 0 } else { BUCKET_MS };
            let counter = MinuteCounter::default();
            let mut now = 0;
            let mut taken: Vec<u64> = Vec::new();
            for gap in gaps {
                now += gap;
                let free_in = counter.free_in_ms(at(now), 1, limit);
                let fits = counter.add_within(at(now), 1, limit);
                prop_assert_eq!(fits, free_in == 0);
                let within = |ms: u64| taken.iter().filter(|t| **t + ms > now).count() as u64;
                if fits {
                    prop_assert!(within(WINDOW_MS) < limit, "{} at {}", within(WINDOW_MS), now);
                    taken.push(now);
                } else {
                    prop_assert!(within(WINDOW_MS + late) >= limit);
                    prop_assert!(free_in <= WINDOW_MS);
                    // There is a place at the announced time and none before. If events share
                    // buckets, there is none more than a second before.
                    let then = |ms: u64, early: u64| {
                        let then = now + free_in - early;
                        taken.iter().filter(|t| **t + ms > then).count() as u64
                    };
                    prop_assert!(then(WINDOW_MS, 0) < limit);
                    prop_assert!(then(WINDOW_MS + late, 1) >= limit);
                }
                let buckets = counter.window.lock().buckets.len();
                prop_assert!(buckets <= MOMENTS + 61, "{}", buckets);
            }
        }
    }
}
