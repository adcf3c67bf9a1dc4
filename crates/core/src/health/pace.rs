//! How fast requests are let in at a subject whose provider limits the rate.
//!
//! Kept by [`super::half_open::Reopening`]. Always true: the rate is learned from answers between
//! two refusals; it grows by 1 % a second without a refusal and is forgotten after a minute without
//! one; without a rate nothing is paced.

use crate::time::Millis;

/// How long a refusal is remembered, milliseconds.
pub(super) const REMEMBERED_MS: u64 = 60_000;
/// The part of the measured rate that is used: a provider's clock and ours differ.
const SHARE: f64 = 0.97;
/// What the rate is multiplied with for each second without a refusal.
const GROWTH: f64 = 1.01;
/// Weight of the newest refusal in the moving average of their times.
const NEWEST: f64 = 0.3;

/// The time between two refusals.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// When the first of them came.
    from: Millis,
    to: Millis,
    /// Attempts that began between them and were answered, some of them later.
    answers: u32,
}

impl Measure {
    /// Requests a second at its end; `None` if none was answered.
    fn rate(self) -> Option<f64> {
        let elapsed_s = float(self.to.since(self.from)) / 1_000.0;
        let is_one = elapsed_s > 0.0 && self.answers > 0;
        is_one.then(|| SHARE * f64::from(self.answers) / elapsed_s)
    }
}

/// The rate of one subject.
#[derive(Debug, Default)]
pub(super) struct Pace {
    refused_at: Option<Millis>,
    /// Answers since then.
    answers: u32,
    /// The time before the last refusal, back to the one before it, if there was one.
    measured: Option<Measure>,
    /// When the next one may go, milliseconds.
    next_ms: f64,
    /// How long a refusal takes, milliseconds; 0 is unknown.
    refusal_ms: f64,
}

#[allow(clippy::cast_precision_loss, reason = "times of a process are far below 2^52")]
fn float(ms: u64) -> f64 {
    ms as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and times are not negative"
)]
fn whole(ms: f64) -> u64 {
    ms.ceil() as u64
}

impl Pace {
    /// The last refusal is remembered until then.
    pub(super) fn remembered_until(&self) -> Option<Millis> {
        self.refused_at.map(|at| at.plus(REMEMBERED_MS))
    }

    /// Forgets a refusal that is too old; whether there was one.
    pub(super) fn forget(&mut self, now: Millis) -> bool {
        let is_over = self.remembered_until().is_some_and(|until| until <= now);
        if is_over {
            *self = Pace { refusal_ms: self.refusal_ms, ..Pace::default() };
        }
        is_over
    }

    /// Requests a second, if that was learned.
    pub(super) fn rate(&self, now: Millis) -> Option<f64> {
        let at = self.refused_at.filter(|at| now.since(*at) < REMEMBERED_MS)?;
        let rate = self.measured.and_then(Measure::rate)?;
        Some(rate * GROWTH.powf(float(now.since(at)) / 1_000.0))
    }

    /// How long a refusal takes, milliseconds; 0 if unknown.
    pub(super) fn refusal_ms(&self) -> u64 {
        whole(self.refusal_ms)
    }

    /// When the next request may go: `now` if at once.
    pub(super) fn opens_at(&self, now: Millis) -> Millis {
        match (self.rate(now), self.remembered_until()) {
            (Some(_), Some(forgotten)) => Millis(whole(self.next_ms)).min(forgotten).max(now),
            (Some(_), None) | (None, _) => now,
        }
    }

    /// A request was let in.
    pub(super) fn released(&mut self, now: Millis) {
        if let Some(rate) = self.rate(now) {
            let gap_ms = 1_000.0 / rate;
            // One that went late does not delay the next ones.
            self.next_ms = self.next_ms.max(float(now.0) - gap_ms) + gap_ms;
        }
    }

    /// The request that was let in last was never sent: the next one may go at once.
    pub(super) fn give_back(&mut self) {
        self.next_ms = 0.0;
    }

    /// Whether an attempt that began at `started` is older than the last refusal.
    pub(super) fn is_older(&self, started: Millis) -> bool {
        self.refused_at.is_some_and(|refused| started < refused)
    }

    /// An attempt that began at `started` was let in. It counts for the time in which it began: at a
    /// refusal others are on their way, and some of them are answered.
    pub(super) fn answered(&mut self, started: Millis) {
        if !self.is_older(started) {
            self.answers = self.answers.saturating_add(1);
        } else if let Some(measure) = self.measured.as_mut().filter(|one| started >= one.from) {
            measure.answers = measure.answers.saturating_add(1);
        }
    }

    /// An attempt that began at `started` was refused; false if it is older than the last refusal.
    pub(super) fn refused(&mut self, now: Millis, started: Millis) -> bool {
        self.forget(now);
        let took = float(now.since(started));
        let known = self.refusal_ms > 0.0;
        self.refusal_ms =
            if known { self.refusal_ms + (took - self.refusal_ms) * NEWEST } else { took };
        let before = self.refused_at;
        if self.is_older(started) {
            return false;
        }
        let answers = self.answers;
        self.measured = before.map(|from| Measure { from, to: now, answers });
        self.refused_at = Some(now);
        self.answers = 0;
        self.next_ms = float(now.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(pace: &Pace, now: u64) -> f64 {
        pace.rate(Millis(now)).unwrap_or(0.0)
    }

    #[test]
    fn the_rate_is_that_of_answers_between_two_refusals() {
        let mut pace = Pace::default();
        assert!(pace.refused(Millis(1_000), Millis(950)));
        assert_eq!(pace.rate(Millis(1_000)), None, "one refusal is no measure");
        (0..18).for_each(|_| pace.answered(Millis(2_000)));
        assert!(pace.refused(Millis(3_000), Millis(2_950)));
        (0..2).for_each(|_| pace.answered(Millis(2_990)));
        pace.answered(Millis(900));
        assert!((rate(&pace, 3_000) - 9.7).abs() < 1e-9);
        assert!((rate(&pace, 4_000) - 9.7 * 1.01).abs() < 1e-9, "it grows");
        assert!(!pace.refused(Millis(3_010), Millis(2_960)), "an older attempt says nothing new");
        assert!((rate(&pace, 3_010) - 9.7).abs() < 0.01);
        assert!(pace.rate(Millis(62_999)).is_some());
        assert_eq!(pace.rate(Millis(63_000)), None, "forgotten");
        assert!(pace.refused(Millis(5_000), Millis(4_950)));
        assert_eq!(pace.rate(Millis(5_000)), None, "no answer since then: no rate");
    }

    #[test]
    fn releases_are_apart_by_the_rate_and_a_late_one_delays_no_other() {
        let mut pace = Pace::default();
        pace.refused(Millis(0), Millis(0));
        (0..10).for_each(|_| pace.answered(Millis(500)));
        pace.refused(Millis(970), Millis(960));
        // Ten a second.
        let mut now = 970;
        let mut times = Vec::new();
        for _ in 0..100 {
            now = pace.opens_at(Millis(now)).0.max(now) + 3;
            pace.released(Millis(now));
            times.push(now);
        }
        let took = times[99] - times[0];
        // 99 gaps of 100 ms, less the growth of about half a percent a second over ten seconds.
        assert!((9_300..9_900).contains(&took), "{took}");
        pace.give_back();
        assert_eq!(pace.opens_at(Millis(now)), Millis(now));
    }

    #[test]
    fn times_that_jump_hold_no_request_back_for_long() {
        let mut pace = Pace::default();
        for now in [u64::MAX, 0, 5, u64::MAX - 1] {
            pace.refused(Millis(now), Millis(0));
            pace.answered(Millis(now));
            pace.released(Millis(now));
            let opens = pace.opens_at(Millis(now));
            assert!(
                opens >= Millis(now) && opens <= Millis(now).plus(REMEMBERED_MS),
                "{now}: {opens:?}"
            );
        }
    }
}
