//! The counters of the process.
//!
//! Written by [`crate::proxy`] through handles that are resolved when a config is applied; read by
//! `GET /metrics`. Always true: no label value comes from a client unless the operator asked for it, and then their number
//! is bounded; counting a request that ends as most do takes no lock.

mod clients;
mod counters;
mod fallbacks;
mod histogram;
mod series;
mod service;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hale_core::deployment::Deployment;
use hale_core::settings::{LATENCY_BUCKETS, MetricsSettings};
use hale_core::time::Millis;
use parking_lot::Mutex;

pub(crate) use self::clients::{ClientKey, Clients, OTHER};
pub(crate) use self::counters::{Counters, Measured, OVERHEAD, PER_TOKEN, SECONDS, Scales, Sum};
pub(crate) use self::fallbacks::{Fallback, Fallbacks, Helped};
pub(crate) use self::histogram::{Bounds, Histogram, Reading};
pub(crate) use self::series::{Cell, Place, Series, Subject};
pub(crate) use self::service::{Callbacks, Service};
pub(crate) use self::tally::{Cached, Outcome, Tally};

/// How long the counters of a deployment or a group are shown that no config has any more.
const GONE_MS: u64 = 60 * 60 * 1000;
/// Most of them.
const GONE_MAX: usize = 1_000;
/// The bounds of the times that a worker spends on one connection, seconds.
pub(crate) const STALLS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 1.0];

/// All counters.
pub(crate) struct Metrics {
    series: Mutex<BTreeMap<Subject, Entry>>,
    scales: Arc<Scales>,
    /// The values of labels that come from clients.
    pub(crate) clients: Clients,
    /// Requests that left their group.
    pub(crate) fallbacks: Fallbacks,
    /// Requests for a model that were refused before they had a record.
    pub(crate) turned_away: Tally,
    /// The calls of PostgreSQL.
    pub(crate) postgres: Service,
    /// The calls of SQLite.
    pub(crate) sqlite: Service,
    /// Records that did not arrive where they should.
    pub(crate) callbacks: Callbacks,
    /// Processor time that the last page of metrics took, microseconds.
    pub(crate) page_us: AtomicU64,
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
        Metrics::new(&MetricsSettings::default())
    }
}

struct Entry {
    series: Arc<Series>,
    /// Since when no config and no request has it.
    gone_since: Option<Millis>,
}

impl Metrics {
    /// Counters for a process that starts with these settings. Bounds of buckets stay until it ends.
    pub(crate) fn new(settings: &MetricsSettings) -> Metrics {
        Metrics {
            series: Mutex::default(),
            scales: Arc::new(Scales::of(&settings.latency_buckets)),
            clients: Clients::default(),
            fallbacks: Fallbacks::default(),
            turned_away: Tally::default(),
            postgres: Service::new(LATENCY_BUCKETS),
            sqlite: Service::new(LATENCY_BUCKETS),
            callbacks: Callbacks::default(),
            page_us: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            refused_keys: AtomicU64::new(0),
            records_dropped: AtomicU64::new(0),
            reloads_applied: AtomicU64::new(0),
            reloads_refused: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            worker_stall: Histogram::new(&Bounds::of(&[STALLS])),
        }
    }

    /// The counters of a group: the same for the same name, as long as a config has it.
    ///
    /// The names come from configs, so that operators bound their number.
    pub(crate) fn group(&self, name: &Arc<str>) -> Arc<Series> {
        self.of(Subject { group: name.clone(), deployment: None })
    }

    /// The counters of a deployment of that group: the same for the same labels, as long as a config has it.
    pub(crate) fn deployment(&self, group: &Arc<str>, deployment: &Deployment) -> Arc<Series> {
        let place = Some(Place::of(deployment));
        self.of(Subject { group: group.clone(), deployment: place })
    }

    /// Counters that no page shows.
    pub(crate) fn hidden(&self) -> Arc<Series> {
        let subject = Subject { group: Arc::default(), deployment: None };
        Arc::new(Series::new(subject, self.scales.clone()))
    }

    fn of(&self, subject: Subject) -> Arc<Series> {
        let mut all = self.series.lock();
        if let Some(known) = all.get(&subject) {
            return known.series.clone();
        }
        let series = Arc::new(Series::new(subject.clone(), self.scales.clone()));
        all.insert(subject, Entry { series: series.clone(), gone_since: None });
        series
    }

    /// Drops the counters of what is gone: after an hour, or earlier if there is too much. What a deployment counted
    /// remains in the counters of its group, as long as that is there.
    pub(crate) fn drop_gone(&self, now: Millis) {
        let mut all = self.series.lock();
        for entry in all.values_mut() {
            // A config or a request that knows it holds its counters, too.
            entry.gone_since = match Arc::strong_count(&entry.series) {
                1 => entry.gone_since.or(Some(now)),
                _ => None,
            };
        }
        let gone =
            |(subject, entry): (&Subject, &Entry)| Some((entry.gone_since?, subject.clone()));
        let mut gone: Vec<(Millis, Subject)> = all.iter().filter_map(gone).collect();
        gone.sort_unstable();
        let too_many = gone.len().saturating_sub(GONE_MAX);
        for (place, (since, subject)) in gone.into_iter().enumerate() {
            if place < too_many || now.since(since) >= GONE_MS {
                forget(&mut all, &subject);
            }
        }
    }

    /// All counters, those of a group next to each other, its own first.
    pub(crate) fn all(&self) -> Vec<Arc<Series>> {
        self.series.lock().values().map(|entry| entry.series.clone()).collect()
    }
}

fn forget(all: &mut BTreeMap<Subject, Entry>, subject: &Subject) {
    let Some(gone) = all.remove(subject) else { return };
    if subject.deployment.is_some() {
        let group = Subject { group: subject.group.clone(), deployment: None };
        if let Some(group) = all.get(&group) {
            group.series.absorb(&gone.series);
        }
    }
}

#[cfg(test)]
mod tests;
