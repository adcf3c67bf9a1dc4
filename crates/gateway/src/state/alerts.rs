//! The process's side of telling people: what pages may know of it.
//!
//! Owned by the process, written by the alert task. Always true: a reader waits for nothing; no text names an address with a
//! secret in it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use hale_core::incident::Incident;
use parking_lot::Mutex;

/// What became of the messages to one channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelState {
    /// Messages that it took.
    pub(crate) sent: u64,
    /// Messages that it did not take.
    pub(crate) failed: u64,
    /// Failures since the last message that it took.
    pub(crate) failures_in_a_row: u64,
    /// Why the last one was not taken, if none was taken since.
    pub(crate) problem: Option<String>,
}

/// The process's side of telling people.
#[derive(Default)]
pub(crate) struct Alerts {
    /// The incidents in the book.
    pub(crate) incidents: ArcSwap<Vec<Incident>>,
    /// The channels by name.
    pub(crate) channels: Mutex<BTreeMap<Box<str>, ChannelState>>,
    /// Messages that were taken.
    pub(crate) sent: AtomicU64,
    /// Messages that were not taken, each time.
    pub(crate) failed: AtomicU64,
    /// Messages that were given up.
    pub(crate) dropped: AtomicU64,
    /// Messages that wait.
    pub(crate) waiting: AtomicU64,
}
