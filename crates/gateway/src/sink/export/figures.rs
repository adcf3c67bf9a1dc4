//! What became of the records of one sink.
//!
//! Counted by [`super::exporter`] and its queue, read by `/metrics` and the pages. Always true: every record that a sink was given
//! is sent, lost, or waits.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// What became of the records of one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Records that it took.
    pub(crate) sent: u64,
    /// Records that it refused, or that nothing had room for.
    pub(crate) lost: u64,
    /// Requests to it that failed.
    pub(crate) failures: u64,
    /// Bytes that wait in memory.
    pub(crate) queued_bytes: u64,
    /// Bytes that wait on the disk.
    pub(crate) spooled_bytes: u64,
    /// Why the last request failed, if it did.
    pub(crate) error: Option<Box<str>>,
}

/// The counters behind them.
#[derive(Default)]
pub(super) struct Counters {
    sent: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
    error: Mutex<Option<Box<str>>>,
}

impl Counters {
    /// Records that it took.
    pub(super) fn sent(&self, records: u64) {
        self.sent.fetch_add(records, Ordering::Relaxed);
    }

    /// Records that are lost; whether they are the first.
    pub(super) fn lost(&self, records: u64) -> bool {
        records > 0 && self.lost.fetch_add(records, Ordering::Relaxed) == 0
    }

    /// A request that failed; whether the one before did not.
    pub(super) fn failed(&self, why: &str) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.error.lock().replace(why.into()).is_none()
    }

    /// A request that did not fail; whether the one before did.
    pub(super) fn works(&self) -> bool {
        self.error.lock().take().is_some()
    }

    /// All of them, with what waits.
    pub(super) fn with(&self, queued_bytes: u64, spooled_bytes: u64) -> Figures {
        Figures {
            sent: self.sent.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            queued_bytes,
            spooled_bytes,
            error: self.error.lock().clone(),
        }
    }
}
