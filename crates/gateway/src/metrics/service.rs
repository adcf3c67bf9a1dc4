//! The calls of a service that the gateway uses: Redis, and where logs go.
//!
//! Written by those who call it, read by the page of metrics. Always true: names come from closed lists.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::histogram::{Bounds, Histogram};

/// The calls of one service.
pub(crate) struct Service {
    /// How long they took.
    pub(crate) latency: Histogram,
    calls: AtomicU64,
    /// By kind of error and by what was called.
    failures: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
}

impl Service {
    /// One whose times are shown at these bounds, seconds.
    pub(crate) fn new(latency: &[f64]) -> Service {
        Service {
            latency: Histogram::new(&Bounds::of(&[latency])),
            calls: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// A call ended; `failed` is the kind of its error, and what was called.
    pub(crate) fn called(&self, us: u64, failed: Option<(&'static str, &'static str)>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match failed {
            None => self.latency.observe_us(us),
            Some(failed) => *self.failures.lock().entry(failed).or_default() += 1,
        }
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Failures so far, by kind of error and by what was called.
    pub(crate) fn failures(&self) -> Vec<((&'static str, &'static str), u64)> {
        self.failures.lock().iter().map(|(failed, count)| (*failed, *count)).collect()
    }
}

/// Records that could not be sent, by where they should have gone.
#[derive(Default)]
pub(crate) struct Callbacks(Mutex<BTreeMap<&'static str, u64>>);

impl Callbacks {
    /// So many records did not reach `callback`.
    pub(crate) fn failed(&self, callback: &'static str, records: u64) {
        *self.0.lock().entry(callback).or_default() += records;
    }

    /// What did not arrive so far.
    pub(crate) fn failures(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().iter().map(|(callback, count)| (*callback, *count)).collect()
    }
}
