//! The process's side of telling people: what pages may know of it.
//!
//! Owned by the process, written by the alert task. Always true: a reader waits for nothing; no text names an address with a
//! secret in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use hale_core::fleet::LIVE_MS;
use hale_core::incident::{AlertSettings, Incident, Kind};
use hale_core::time::Millis;
use parking_lot::Mutex;

use super::under_way::UnderWay;
use crate::clock;

/// Replicas that are heard.
const REPLICAS_MAX: usize = 128;
/// How long a replica that heard which one tells people waits for the server between them before it does so by itself,
/// milliseconds.
const ALONE_MS: u64 = 300_000;
/// The same for one that has never heard it.
const UNKNOWN_MS: u64 = 20_000;

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

/// When something was heard, and what.
type Heard = (Millis, Arc<str>);

/// What replicas tell each other about incidents, and which of them tells people.
#[derive(Default)]
pub(crate) struct Shared {
    /// What this one says.
    said: Mutex<Arc<str>>,
    /// What the others said, and when it was heard.
    heard: Mutex<BTreeMap<Arc<str>, Heard>>,
    /// Whether this replica tells people, and when that was known last.
    speaks: Mutex<Option<(Millis, bool)>>,
}

impl Shared {
    /// What this replica says.
    pub(crate) fn said(&self) -> Arc<str> {
        self.said.lock().clone()
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, text: &str) {
        *self.said.lock() = text.into();
    }

    /// Another replica said something.
    pub(crate) fn hear(&self, replica: &Arc<str>, text: Arc<str>, now: Millis) {
        let mut heard = self.heard.lock();
        heard.retain(|_, (at, _)| now.since(*at) < LIVE_MS);
        if heard.len() < REPLICAS_MAX || heard.contains_key(replica) {
            heard.insert(replica.clone(), (now, text));
        }
    }

    /// What the others that live said.
    pub(crate) fn heard(&self, now: Millis) -> Vec<Arc<str>> {
        let heard = self.heard.lock();
        let alive = heard.values().filter(|(at, _)| now.since(*at) < LIVE_MS);
        alive.map(|(_, text)| text.clone()).collect()
    }

    /// Which replica has the lease, if any.
    pub(crate) fn spoken_by(&self, me: &Arc<str>, holder: Option<&Arc<str>>) {
        let speaks = holder.is_some_and(|holder| holder == me);
        *self.speaks.lock() = Some((clock::now().millis(), speaks));
    }

    /// Whether this replica tells people. While the server between the replicas is away, the one that did goes on.
    pub(crate) fn speaks(&self, now: Millis) -> bool {
        match *self.speaks.lock() {
            Some((_, true)) => true,
            Some((at, false)) => now.since(at) >= ALONE_MS,
            None => now.0 >= UNKNOWN_MS,
        }
    }
}

/// The process's side of telling people.
#[derive(Default)]
pub(crate) struct Alerts {
    /// The incidents in the book.
    pub(crate) incidents: ArcSwap<Vec<Incident>>,
    /// What replicas tell each other.
    pub(crate) shared: Shared,
    /// The requests that have no answer yet.
    pub(crate) under_way: UnderWay,
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

impl Alerts {
    /// For a config that tells people so.
    pub(super) fn configure(&self, settings: &AlertSettings) {
        let is_told = !settings.channels.is_empty() && settings.rules.tells(Kind::SlowRequests);
        self.under_way.watch(is_told);
    }
}
