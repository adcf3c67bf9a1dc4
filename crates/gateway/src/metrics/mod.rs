//! The counters of the process.
//!
//! Written by [`crate::proxy`] through handles that are resolved when a config is applied; read by
//! `GET /metrics`. Always true: no label value comes from a client, and counting takes no lock.

mod histogram;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hale_core::record::{Ending, RequestRecord, ResendReason};
use hale_core::time::Millis;
use hale_core::usage::CountedBy;
pub(crate) use histogram::Histogram;
use parking_lot::Mutex;

/// How long the counters of a group are shown that no config has any more: long enough for a last scrape.
const GONE_MS: u64 = 10 * 60 * 1000;
/// Most of them.
const GONE_MAX: usize = 1_000;

/// All counters.
pub(crate) struct Metrics {
    groups: Mutex<BTreeMap<Box<str>, Group>>,
    /// Open client connections.
    pub(crate) connections: AtomicU64,
    /// Client requests in flight.
    pub(crate) in_flight: AtomicU64,
    /// Requests without the right key.
    pub(crate) refused_keys: AtomicU64,
    /// Records dropped because a sink was full.
    pub(crate) records_dropped: AtomicU64,
    /// Reloads that were applied.
    pub(crate) reloads_applied: AtomicU64,
    /// Reloads that were refused.
    pub(crate) reloads_refused: AtomicU64,
    /// Panics that were caught.
    pub(crate) panics: AtomicU64,
    /// Processor time of a worker between two looks at its connections, where that is long.
    pub(crate) worker_stall: Histogram,
}

impl Default for Metrics {
    fn default() -> Metrics {
        const STALLS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
        Metrics {
            groups: Mutex::default(),
            connections: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            refused_keys: AtomicU64::new(0),
            records_dropped: AtomicU64::new(0),
            reloads_applied: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            worker_stall: Histogram::new(STALLS),
        }
    }
}

struct Group {
    counters: Arc<GroupMetrics>,
    /// Since when no config and no request has it.
    gone_since: Option<Millis>,
}

/// The counters of one model group.
pub(crate) struct GroupMetrics {
    pub(crate) endings: [AtomicU64; Ending::ALL.len()],
    pub(crate) statuses: [AtomicU64; 5],
    pub(crate) duration: Histogram,
    pub(crate) overhead: Histogram,
    pub(crate) first_content: Histogram,
    /// Of requests that waited for their turn.
    pub(crate) waited: Histogram,
    pub(crate) retries: AtomicU64,
    pub(crate) fallbacks: AtomicU64,
    pub(crate) resends: [AtomicU64; ResendReason::ALL.len()],
    pub(crate) input_tokens: AtomicU64,
    pub(crate) output_tokens: AtomicU64,
    /// Requests whose tokens are estimated.
    pub(crate) estimated: AtomicU64,
    /// USD in units of 10^-9, so that sums stay exact.
    pub(crate) spend_nano_usd: AtomicU64,
}

impl Metrics {
    /// The counters of a group: the same for the same name, as long as a config has it.
    ///
    /// The names come from configs, so that operators bound their number.
    pub(crate) fn group(&self, name: &str) -> Arc<GroupMetrics> {
        let mut groups = self.groups.lock();
        if let Some(known) = groups.get(name) {
            return known.counters.clone();
        }
        let counters = Arc::new(GroupMetrics::default());
        let fresh = Group { counters: counters.clone(), gone_since: None };
        groups.insert(Box::from(name), fresh);
        counters
    }

    /// Drops the counters of groups that are gone: after ten minutes, or earlier if there are too many.
    pub(crate) fn drop_gone(&self, now: Millis) {
        let mut groups = self.groups.lock();
        for group in groups.values_mut() {
            // A config or a request that knows the group holds its counters, too.
            group.gone_since = match Arc::strong_count(&group.counters) {
                1 => group.gone_since.or(Some(now)),
                _ => None,
            };
        }
        groups.retain(|_, group| group.gone_since.is_none_or(|since| now.since(since) < GONE_MS));
        let gone =
            groups.iter().filter_map(|(name, group)| Some((group.gone_since?, name.clone())));
        let mut gone: Vec<(Millis, Box<str>)> = gone.collect();
        gone.sort_unstable();
        for (_, name) in gone.iter().take(gone.len().saturating_sub(GONE_MAX)) {
            groups.remove(name);
        }
    }

    /// The counters of all groups, by name.
    pub(crate) fn groups(&self) -> Vec<(Box<str>, Arc<GroupMetrics>)> {
        let groups = self.groups.lock();
        groups.iter().map(|(name, group)| (name.clone(), group.counters.clone())).collect()
    }
}

impl Default for GroupMetrics {
    fn default() -> GroupMetrics {
        const SECONDS: &[f64] =
            &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
        const OVERHEAD: &[f64] =
            &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];
        GroupMetrics {
            endings: [const { AtomicU64::new(0) }; Ending::ALL.len()],
            statuses: [const { AtomicU64::new(0) }; 5],
            duration: Histogram::new(SECONDS),
            overhead: Histogram::new(OVERHEAD),
            first_content: Histogram::new(SECONDS),
            waited: Histogram::new(SECONDS),
            retries: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            resends: [const { AtomicU64::new(0) }; ResendReason::ALL.len()],
            input_tokens: AtomicU64::new(0),
            output_tokens: AtomicU64::new(0),
            estimated: AtomicU64::new(0),
            spend_nano_usd: AtomicU64::new(0),
        }
    }
}

impl GroupMetrics {
    /// Whether any request has ended.
    pub(crate) fn has_counted(&self) -> bool {
        self.endings.iter().any(|count| count.load(Ordering::Relaxed) > 0)
    }

    /// Counts one finished request.
    pub(crate) fn count(&self, record: &RequestRecord) {
        let add = |counter: &AtomicU64, by: u64| {
            if by > 0 {
                counter.fetch_add(by, Ordering::Relaxed);
            }
        };
        add(&self.endings[record.ending as usize], 1);
        let class = usize::from(record.status / 100).clamp(1, 5) - 1;
        add(&self.statuses[class], 1);
        self.duration.observe_us(record.duration_us);
        self.overhead.observe_us(record.overhead_us);
        if let Some(us) = record.first_content_us {
            self.first_content.observe_us(us);
        }
        if record.waited_us > 0 {
            self.waited.observe_us(record.waited_us);
        }
        add(&self.retries, record.retries.into());
        add(&self.fallbacks, record.fallbacks.into());
        for reason in ResendReason::ALL {
            add(&self.resends[reason as usize], record.resends.of(reason).into());
        }
        if let Some(usage) = record.usage {
            add(&self.input_tokens, usage.input);
            add(&self.output_tokens, usage.output);
            add(&self.estimated, u64::from(record.counted_by == CountedBy::Estimate));
        }
        if let Some(cost) = record.cost_usd {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a cost is never negative, and the cast saturates"
            )]
            let nano = (cost * 1e9).round() as u64;
            add(&self.spend_nano_usd, nano);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(metrics: &Metrics) -> Vec<Box<str>> {
        metrics.groups().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_group_that_no_config_has_is_dropped_after_ten_minutes() {
        let metrics = Metrics::default();
        let kept = metrics.group("kept");
        drop(metrics.group("gone"));
        metrics.drop_gone(Millis(0));
        metrics.drop_gone(Millis(GONE_MS - 1));
        assert_eq!(names(&metrics), [Box::<str>::from("gone"), Box::from("kept")]);
        metrics.drop_gone(Millis(GONE_MS));
        assert_eq!(names(&metrics), [Box::<str>::from("kept")]);
        assert!(Arc::ptr_eq(&kept, &metrics.group("kept")), "its counters go on");
    }

    #[test]
    fn a_group_that_comes_back_in_time_goes_on_counting() {
        let metrics = Metrics::default();
        metrics.group("a").retries.store(7, Ordering::Relaxed);
        metrics.drop_gone(Millis(0));
        let back = metrics.group("a");
        metrics.drop_gone(Millis(GONE_MS));
        drop(back);
        metrics.drop_gone(Millis(GONE_MS + 1));
        assert_eq!(metrics.group("a").retries.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn the_groups_that_are_gone_are_bounded() {
        let metrics = Metrics::default();
        for round in 0..4 {
            for number in 0..2 * GONE_MAX {
                let _group = metrics.group(&format!("{round} {number}"));
            }
            metrics.drop_gone(Millis(round));
        }
        let names = names(&metrics);
        assert_eq!(names.len(), GONE_MAX);
        assert!(names.iter().all(|name| name.starts_with("3 ")), "the oldest went first");
    }
}
