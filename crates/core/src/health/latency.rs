//! How fast one deployment answers, as strategies compare it.
//!
//! Written by [`super::DeploymentState`] when an attempt ends, read by [`crate::route`]. Always
//! true: a long answer does not count as a slow one, and a fast failure does not count as speed.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::time::Millis;

/// Weight of the newest sample in the moving average.
const NEWEST: f32 = 0.2;
/// Tokens of a typical answer, used if only the time per token is known.
const TYPICAL_TOKENS: f32 = 200.0;
/// Half-life of the memory of a failure, milliseconds.
const FORGET_MS: f64 = 5_000.0;
/// The most that a failure counts as, milliseconds. Without it one failure of a deployment with a
/// timeout of ten minutes would keep it out for minutes.
const PENALTY_CAP_MS: u64 = 30_000;

/// What one successful attempt measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// From its start to the first content of a stream, milliseconds.
    pub first_content_ms: Option<u64>,
    /// From its start to the end of an answer in one piece, milliseconds.
    pub whole_ms: Option<u64>,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Tokens of prompt and answer, without those that were counted at the start.
    pub tokens: u64,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerMode {
    /// In one piece.
    Whole,
    /// As a stream.
    Streamed,
}

/// Moving averages and the memory of the last failure.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Time to the first content, milliseconds, as bits; 0 is unknown.
    first: AtomicU32,
    /// Time per token of an answer in one piece.
    per_token: AtomicU32,
    /// Time of an answer in one piece with an unknown number of tokens.
    whole: AtomicU32,
    measured_at: AtomicU64,
    failed_at: AtomicU64,
    /// What the last failure counts as, milliseconds; 0 is none.
    penalty: AtomicU64,
}

fn blend(average: &AtomicU32, sample: f32) {
    let old = f32::from_bits(average.load(Ordering::Relaxed));
    let sample = sample.max(f32::MIN_POSITIVE);
    let new = if old > 0.0 { old + (sample - old) * NEWEST } else { sample };
    average.store(new.to_bits(), Ordering::Relaxed);
}

fn known(average: &AtomicU32) -> Option<f32> {
    Some(f32::from_bits(average.load(Ordering::Relaxed))).filter(|ms| *ms > 0.0)
}

#[allow(clippy::cast_precision_loss, reason = "an error of a millionth does not matter")]
fn float(ms: u64) -> f32 {
    ms as f32
}

impl Latency {
    /// An attempt succeeded. Writers hold the breaker's lock.
    pub(super) fn measured(&self, now: Millis, measured: &Measured) {
        if let Some(ms) = measured.first_content_ms {
            blend(&self.first, float(ms));
        }
        if let Some(ms) = measured.whole_ms {
            if measured.output_tokens > 0 {
                blend(&self.per_token, float(ms) / float(measured.output_tokens));
            } else {
                blend(&self.whole, float(ms));
            }
        }
        self.measured_at.store(now.0, Ordering::Relaxed);
        self.penalty.store(0, Ordering::Relaxed);
    }

    /// An attempt failed because of the deployment: it counts as if it had taken all its time.
    pub(super) fn failed(&self, now: Millis, attempt_timeout_ms: u64) {
        self.failed_at.store(now.0, Ordering::Relaxed);
        self.penalty.store(attempt_timeout_ms.clamp(1, PENALTY_CAP_MS), Ordering::Relaxed);
    }

    /// Forgets the last failure.
    pub(super) fn forgive(&self) {
        self.penalty.store(0, Ordering::Relaxed);
    }

    /// The expected time to the first content of a stream, or to the whole answer, milliseconds.
    /// `None` if it was not measured within `ttl_ms`.
    pub(super) fn expected_ms(&self, now: Millis, mode: AnswerMode, ttl_ms: u64) -> Option<f32> {
        if now.since(Millis(self.measured_at.load(Ordering::Relaxed))) > ttl_ms {
            return None;
        }
        match mode {
            AnswerMode::Streamed => known(&self.first),
            AnswerMode::Whole => {
                known(&self.per_token).map(|ms| ms * TYPICAL_TOKENS).or_else(|| known(&self.whole))
            }
        }
    }

    /// What the last failure still counts as, milliseconds.
    pub(super) fn penalty_ms(&self, now: Millis) -> f32 {
        let penalty = self.penalty.load(Ordering::Relaxed);
        if penalty == 0 {
            return 0.0;
        }
        let age = now.since(Millis(self.failed_at.load(Ordering::Relaxed)));
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a weight that fades needs no precision"
        )]
        let faded = (penalty as f64 * (-(age as f64) / FORGET_MS).exp2()) as f32;
        if faded < 1.0 { 0.0 } else { faded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_is_not_a_slow_one() {
        let (short, long) = (Latency::default(), Latency::default());
        let whole = |ms, output_tokens| Measured {
            whole_ms: Some(ms),
            output_tokens,
            ..Measured::default()
        };
        short.measured(Millis(0), &whole(200, 10));
        long.measured(Millis(0), &whole(20_000, 1_000));
        let expected = |latency: &Latency| latency.expected_ms(Millis(1), AnswerMode::Whole, 1_000);
        assert_eq!(expected(&short), expected(&long));
        assert_eq!(
            short.expected_ms(Millis(1), AnswerMode::Streamed, 1_000),
            None,
            "nothing about streams"
        );
        assert_eq!(short.expected_ms(Millis(2_000), AnswerMode::Whole, 1_000), None, "too old");
    }

    #[test]
    fn a_failure_counts_as_a_timeout_and_is_forgotten() {
        let latency = Latency::default();
        latency.failed(Millis(1_000), 600_000);
        assert!((latency.penalty_ms(Millis(1_000)) - 30_000.0).abs() < 1.0);
        assert!((latency.penalty_ms(Millis(6_000)) - 15_000.0).abs() < 1.0);
        assert!(latency.penalty_ms(Millis(10_000_000)) <= 0.0);
        latency.failed(Millis(1_000), 60_000);
        latency.measured(Millis(2_000), &Measured::default());
        assert!(latency.penalty_ms(Millis(2_000)) <= 0.0);
    }
}
