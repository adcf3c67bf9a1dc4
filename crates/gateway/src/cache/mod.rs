//! Complete answers that are kept, and given to equal requests.
//!
//! Used by `proxy::reuse` where the config turns it on, and by the pages about it. Always true: what is kept is whole,
//! bounded in bytes, and forgotten when its time has passed; of equal requests that are under way at once only the first calls
//! an upstream.

mod flight;
mod kept;
mod key;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use hale_core::cache::{CacheSettings, CacheUsage};
use hale_core::time::Millis;
use parking_lot::Mutex;

pub(crate) use self::flight::{End, Follower, Leader, Watch};
use self::flight::{Flight, Room};
use self::kept::Kept;
pub(crate) use self::kept::{Head, KeptAnswer};
pub(crate) use self::key::CacheKey;

/// The answers that are kept, and those that are on their way.
pub(crate) struct AnswerCache {
    kept: Kept,
    room: Arc<Room>,
    flights: Mutex<HashMap<CacheKey, Arc<Flight>, FixedState>>,
    /// Requests that a kept answer answered.
    pub(crate) hits: AtomicU64,
    /// Requests that joined an equal one.
    pub(crate) joined: AtomicU64,
    /// Requests that had to call an upstream.
    pub(crate) misses: AtomicU64,
}

/// What the cache has for a request.
pub(crate) enum Found {
    /// An answer.
    Kept(Arc<KeptAnswer>),
    /// An answer is on its way to an equal request.
    UnderWay(Follower),
    /// Nothing: the request is the first of its kind.
    Nothing(Leader),
}

impl AnswerCache {
    /// An empty cache.
    pub(crate) fn new() -> AnswerCache {
        AnswerCache {
            kept: Kept::new(),
            room: Arc::default(),
            flights: Mutex::default(),
            hits: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Applies a config. Without one nothing is kept.
    pub(crate) fn configure(&self, settings: Option<&CacheSettings>) {
        let bytes = settings.map_or(0, |settings| settings.bytes);
        self.kept.resize(bytes);
        self.room.resize(bytes);
        if settings.is_none() {
            self.kept.clear();
        }
    }

    /// What there is for a request with this key.
    pub(crate) fn find(
        self: &Arc<Self>,
        key: CacheKey,
        usage: CacheUsage,
        (answer_bytes, now): (usize, Millis),
    ) -> Found {
        if usage.reads {
            if let Some(kept) = self.kept.get(key, usage.max_age_ms, now) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Found::Kept(kept);
            }
            let mut flights = self.flights.lock();
            if let Some(flight) = flights.get(&key)
                && let Some(follower) = Flight::follow(flight)
            {
                self.joined.fetch_add(1, Ordering::Relaxed);
                return Found::UnderWay(follower);
            }
            self.misses.fetch_add(1, Ordering::Relaxed);
            let flight = Flight::new(answer_bytes, self.room.clone());
            flights.insert(key, flight.clone());
            return Found::Nothing(Leader::new(self.clone(), key, flight, usage.keeps_ms));
        }
        // It wants a fresh answer, which no other request waits for.
        self.misses.fetch_add(1, Ordering::Relaxed);
        let flight = Flight::new(answer_bytes, self.room.clone());
        Found::Nothing(Leader::new(self.clone(), key, flight, usage.keeps_ms))
    }

    /// The answer with this key, if there is one that is not older than `max_age_ms`.
    pub(crate) fn kept(
        &self,
        key: CacheKey,
        max_age_ms: Option<u64>,
        now: Millis,
    ) -> Option<Arc<KeptAnswer>> {
        self.kept.get(key, max_age_ms, now)
    }

    /// Keeps an answer.
    pub(crate) fn keep(&self, key: CacheKey, answer: KeptAnswer) {
        self.kept.put(key, answer);
    }

    /// Forgets an answer; false if there was none.
    pub(crate) fn forget(&self, key: CacheKey) -> bool {
        self.kept.remove(key)
    }

    /// Forgets all answers.
    pub(crate) fn clear(&self) {
        self.kept.clear();
    }

    /// Bytes of the answers that are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.bytes()
    }

    /// How many answers are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// The flight of `key` takes no more followers.
    fn land(&self, key: CacheKey, flight: &Arc<Flight>) {
        let mut flights = self.flights.lock();
        if flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> CacheKey {
        CacheKey::of(|feed| feed(text.as_bytes()))
    }

    #[test]
    fn without_a_config_nothing_is_kept() {
        let cache = Arc::new(AnswerCache::new());
        cache.configure(Some(&CacheSettings::default()));
        let usage = CacheUsage { reads: true, keeps_ms: Some(1_000), max_age_ms: None };
        let Found::Nothing(mut leader) = cache.find(key("a"), usage, (100, Millis(0))) else {
            panic!("an answer out of nothing")
        };
        leader.begins(Head::default());
        leader.piece(&bytes::Bytes::from_static(b"answer"));
        leader.ends_whole(Millis(0), |_| true);
        assert_eq!(cache.len(), 1);
        cache.configure(None);
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }
}
