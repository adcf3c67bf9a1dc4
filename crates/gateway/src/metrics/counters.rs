//! What finished requests add up to.
//!
//! Written when a request ends, read by the page of metrics. Always true: counting takes a fixed number of additions,
//! no memory and (but for rare endings, see [`Tally`]) no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::record::{RequestRecord, ResendReason};
use hale_core::rescue::Outcome as Rescue;
use hale_core::usage::{CountedBy, Usage};

use super::histogram::{Bounds, Histogram};
use super::tally::{Cached, Outcome, Tally};

/// The bounds of Hale's own families of times, seconds.
pub(crate) const SECONDS: &[f64] =
    &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// The bounds of Hale's own family of overheads, seconds.
pub(crate) const OVERHEAD: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];
/// The bounds of the time for one token, seconds.
pub(crate) const PER_TOKEN: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// The bounds at which times are counted: those of all families that show them.
pub(crate) struct Scales {
    time: Arc<Bounds>,
    overhead: Arc<Bounds>,
    per_token: Arc<Bounds>,
}

impl Scales {
    /// The scales for families of `LiteLLM`'s names with these bounds, seconds.
    pub(crate) fn of(latency: &[f64]) -> Scales {
        Scales {
            time: Bounds::of(&[SECONDS, latency]),
            overhead: Bounds::of(&[OVERHEAD, latency]),
            per_token: Bounds::of(&[PER_TOKEN]),
        }
    }
}

/// What is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// Attempts within a group after the first.
    Retries,
    /// Fallback groups entered.
    Fallbacks,
    /// Attempts that were sent again after their connection was closed.
    ResentClosed,
    /// The same after it was reset.
    ResentReset,
    /// Tokens of prompts.
    Input,
    /// Tokens of answers.
    Output,
    /// Tokens of prompts that the provider's cache had.
    CachedInput,
    /// Tokens of prompts that were written to the provider's cache.
    CacheCreation,
    /// Tokens of answers that were spent on reasoning.
    Reasoning,
    /// Audio tokens of prompts.
    AudioInput,
    /// Audio tokens of answers.
    AudioOutput,
    /// Images that were made.
    Images,
    /// Requests whose tokens are estimated.
    Estimated,
    /// USD in units of 10^-9, so that sums stay exact.
    NanoUsd,
}

const SUMS: usize = Sum::NanoUsd as usize + 1;

/// What is known of a finished request besides its record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    /// From the start of the last attempt to the end of its answer, microseconds.
    pub(crate) upstream_us: Option<u64>,
    /// From the start of the last attempt to the first content of a stream, microseconds.
    pub(crate) first_token_us: Option<u64>,
    /// Whether the cache was asked in vain.
    pub(crate) missed_cache: bool,
}

/// What finished requests add up to.
pub(crate) struct Counters {
    /// How they ended.
    pub(crate) outcomes: Tally,
    /// From arrival to the end of the answer.
    pub(crate) duration: Histogram,
    /// From the start of the last attempt to the end of its answer.
    pub(crate) upstream: Histogram,
    /// From arrival to the first content of a stream.
    pub(crate) first_content: Histogram,
    /// From the start of the last attempt to the first content of a stream.
    pub(crate) first_token: Histogram,
    /// The gateway's own share of the time.
    pub(crate) overhead: Histogram,
    /// How long those waited for their turn that did.
    pub(crate) waited: Histogram,
    /// The upstream's time by the tokens of the answer.
    pub(crate) per_token: Histogram,
    sums: [AtomicU64; SUMS],
    /// What became of broken streams.
    rescues: [AtomicU64; Rescue::COUNT],
}

impl Counters {
    /// Counters at these scales.
    pub(crate) fn new(scales: &Scales) -> Counters {
        let time = || Histogram::new(&scales.time);
        Counters {
            outcomes: Tally::default(),
            duration: time(),
            upstream: time(),
            first_content: time(),
            first_token: time(),
            overhead: Histogram::new(&scales.overhead),
            waited: time(),
            per_token: Histogram::new(&scales.per_token),
            sums: [const { AtomicU64::new(0) }; SUMS],
            rescues: [const { AtomicU64::new(0) }; Rescue::COUNT],
        }
    }

    /// What that adds up to.
    pub(crate) fn sum(&self, of: Sum) -> u64 {
        self.sums[of as usize].load(Ordering::Relaxed)
    }

    /// How many broken streams had that outcome.
    pub(crate) fn rescues(&self, outcome: Rescue) -> u64 {
        self.rescues[outcome.place()].load(Ordering::Relaxed)
    }

    fn add(&self, of: Sum, by: u64) {
        if by > 0 {
            self.sums[of as usize].fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Counts one finished request.
    pub(crate) fn count(&self, record: &RequestRecord, measured: Measured) {
        self.outcomes.count(Outcome {
            operation: record.operation,
            ending: record.ending,
            cause: record.cause,
            cached: match record.cache {
                Some(answer) => Cached::of(answer),
                None if measured.missed_cache => Cached::Missed,
                None => Cached::Unused,
            },
            status: record.status,
        });
        self.duration.observe_us(record.duration_us);
        self.overhead.observe_us(record.overhead_us);
        if let Some(us) = record.first_content_us {
            self.first_content.observe_us(us);
        }
        if record.waited_us > 0 {
            self.waited.observe_us(record.waited_us);
        }
        if let Some(us) = measured.upstream_us {
            self.upstream.observe_us(us);
        }
        if let Some(us) = measured.first_token_us {
            self.first_token.observe_us(us);
        }
        self.add(Sum::Retries, record.retries.into());
        self.add(Sum::Fallbacks, record.fallbacks.into());
        self.add(Sum::ResentClosed, record.resends.of(ResendReason::Closed).into());
        self.add(Sum::ResentReset, record.resends.of(ResendReason::Reset).into());
        if let Some(outcome) = record.rescue {
            self.rescues[outcome.place()].fetch_add(1, Ordering::Relaxed);
        }
        if let Some(usage) = &record.usage {
            self.add_usage(usage);
            self.add(Sum::Estimated, u64::from(record.counted_by == CountedBy::Estimate));
            if let Some(each) = measured.upstream_us.and_then(|us| us.checked_div(usage.output)) {
                self.per_token.observe_us(each);
            }
        }
        if let Some(cost) = record.cost_usd {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cost is never negative, and the cast saturates"
            )]
            let nano = (cost * 1e9).round() as u64;
            self.add(Sum::NanoUsd, nano);
        }
    }

    fn add_usage(&self, usage: &Usage) {
        self.add(Sum::Input, usage.input);
        self.add(Sum::Output, usage.output);
        self.add(Sum::CachedInput, usage.cached_input);
        self.add(Sum::CacheCreation, usage.cache_creation);
        self.add(Sum::Reasoning, usage.reasoning);
        self.add(Sum::AudioInput, usage.sound.input);
        self.add(Sum::AudioOutput, usage.sound.output);
        self.add(Sum::Images, usage.units.images.into());
    }

    /// Adds all that others counted.
    pub(crate) fn absorb(&self, other: &Counters) {
        self.outcomes.absorb(&other.outcomes);
        let pairs = [
            (&self.duration, &other.duration),
            (&self.upstream, &other.upstream),
            (&self.first_content, &other.first_content),
            (&self.first_token, &other.first_token),
            (&self.overhead, &other.overhead),
            (&self.waited, &other.waited),
            (&self.per_token, &other.per_token),
        ];
        for (own, other) in pairs {
            own.absorb(other);
        }
        let sums = self.sums.iter().chain(&self.rescues);
        for (own, other) in sums.zip(other.sums.iter().chain(&other.rescues)) {
            own.fetch_add(other.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }
}
