//! Complete answers that are kept, and given to equal requests.
//!
//! Used by `proxy::reuse` where the config turns it on, and by the pages about it. Always true: what is kept is whole,
//! bounded in bytes, and forgotten when its time has passed; of equal requests that are under way at once only the first calls
//! an upstream. Where there is a second level, what is in memory is a copy: it is given for [`COPY_MS`], and longer only
//! while the second level is not reached.

mod flight;
mod kept;
mod key;
mod second_level;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use foldhash::fast::FixedState;
use hale_core::cache::{CacheSettings, CacheUsage};
use hale_core::time::Millis;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub(crate) use self::flight::{End, Follower, Leader, Watch};
use self::flight::{Flight, Room};
use self::kept::Kept;
pub(crate) use self::kept::{Head, KeptAnswer};
pub(crate) use self::key::CacheKey;
use self::second_level::Losses;
pub(crate) use self::second_level::{At, NotReached, Place, SecondLevel};
use crate::clock;

/// How long a copy in memory is given without asking the second level, milliseconds: that long an answer may be given
/// here that another replica has deleted or replaced.
const COPY_MS: u64 = 2_000;

/// The answers that are kept, and those that are on their way.
pub(crate) struct AnswerCache {
    kept: Kept,
    room: Arc<Room>,
    flights: Mutex<HashMap<CacheKey, Arc<Flight>, FixedState>>,
    /// Where answers are to be kept besides memory.
    place: Mutex<Option<Place>>,
    replaced: Notify,
    second: ArcSwapOption<SecondLevel>,
    /// What could not be used of the second level.
    pub(crate) losses: Arc<Losses>,
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
    /// Nothing in memory: the request is the first of its kind.
    Nothing(Leader),
}

impl AnswerCache {
    /// An empty cache.
    pub(crate) fn new() -> AnswerCache {
        AnswerCache {
            kept: Kept::new(),
            room: Arc::default(),
            flights: Mutex::default(),
            place: Mutex::default(),
            replaced: Notify::new(),
            second: ArcSwapOption::empty(),
            losses: Arc::default(),
            hits: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Applies a config, with the place besides memory that it names. Without one nothing is kept.
    pub(crate) fn configure(&self, settings: Option<&CacheSettings>, place: Option<Place>) {
        if *self.place.lock() != place {
            *self.place.lock() = place;
            self.replaced.notify_one();
        }
        let bytes = settings.map_or(0, |settings| settings.bytes);
        self.kept.resize(bytes);
        self.room.resize(bytes);
        if settings.is_none() {
            self.kept.clear();
        }
    }

    /// Keeps up the second level that the config names, for as long as it is polled; files are below `data_dir`.
    pub(crate) async fn run(self: Arc<Self>, data_dir: PathBuf) {
        loop {
            let place = self.place.lock().clone().map(|place| place.below(&data_dir));
            let replaced = self.replaced.notified();
            match place {
                Some(place) => {
                    let second = SecondLevel::new(&place, self.losses.clone());
                    self.second.store(Some(second.clone()));
                    tokio::select! {
                        () = replaced => {}
                        () = second.run() => {}
                    }
                }
                None => {
                    self.second.store(None);
                    replaced.await;
                }
            }
        }
    }

    /// Where answers are kept besides memory.
    pub(crate) fn second(&self) -> Option<Arc<SecondLevel>> {
        self.second.load_full()
    }

    /// Whether there is a second level, and it is reached.
    pub(crate) fn reaches_second(&self) -> bool {
        self.second.load().as_ref().is_some_and(|second| second.is_up())
    }

    /// Whether there may be more than what is in memory.
    pub(crate) fn has_more(&self) -> bool {
        self.second.load().is_some()
    }

    /// Whether a copy can be given without asking the second level.
    fn is_current(&self, copy: &KeptAnswer, now: Millis) -> bool {
        match &*self.second.load() {
            Some(second) => now.since(copy.since) <= COPY_MS || !second.is_up(),
            None => true,
        }
    }

    /// What the second level has under each of `keys`, within its limit; where it is not reached, what is in memory.
    pub(crate) async fn ask(
        &self,
        keys: &[CacheKey],
        max_age_ms: Option<u64>,
    ) -> Vec<Option<Arc<KeptAnswer>>> {
        let found = match self.second() {
            Some(second) => second.get(keys).await.ok(),
            None => None,
        };
        let now = clock::now().millis();
        let Some(found) = found else {
            return keys.iter().map(|key| self.kept.get(*key, max_age_ms, now)).collect();
        };
        let copied = |(key, found): (&CacheKey, Option<KeptAnswer>)| {
            let Some(answer) = found.map(Arc::new) else {
                self.kept.remove(*key);
                return None;
            };
            self.kept.put(*key, answer.clone());
            answer.may_be_given(max_age_ms, now).then_some(answer)
        };
        keys.iter().zip(found).map(copied).collect()
    }

    /// What there is for a request with this key. A request that gets nothing is counted by the one who asks on.
    pub(crate) fn find(
        self: &Arc<Self>,
        key: CacheKey,
        usage: CacheUsage,
        (answer_bytes, now): (usize, Millis),
    ) -> Found {
        if usage.reads
            && let Some(kept) = self.kept(key, usage.max_age_ms, now)
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Found::Kept(kept);
        }
        // One that is on its way may be a kept one of the second level, of whatever age.
        if usage.reads && (usage.max_age_ms.is_none() || !self.has_more()) {
            let mut flights = self.flights.lock();
            if let Some(flight) = flights.get(&key)
                && let Some(follower) = Flight::follow(flight, now)
            {
                self.joined.fetch_add(1, Ordering::Relaxed);
                return Found::UnderWay(follower);
            }
            let flight = Flight::new(answer_bytes, self.room.clone());
            flights.insert(key, flight.clone());
            return Found::Nothing(Leader::new(self.clone(), key, flight, usage.keeps_ms));
        }
        // It wants a fresh answer, or a young one: no other request waits for it.
        let flight = Flight::new(answer_bytes, self.room.clone());
        Found::Nothing(Leader::new(self.clone(), key, flight, usage.keeps_ms))
    }

    /// The answer in memory with this key, if it can be given and is not older than `max_age_ms`.
    pub(crate) fn kept(
        &self,
        key: CacheKey,
        max_age_ms: Option<u64>,
        now: Millis,
    ) -> Option<Arc<KeptAnswer>> {
        self.kept.get(key, max_age_ms, now).filter(|copy| self.is_current(copy, now))
    }

    /// Keeps an answer.
    pub(crate) fn keep(&self, key: CacheKey, answer: KeptAnswer) {
        let answer = Arc::new(answer);
        if let Some(second) = &*self.second.load() {
            second.put(key, &answer);
        }
        self.kept.put(key, answer);
    }

    /// Forgets an answer in memory, and one that is on its way; false if none was kept.
    pub(crate) fn forget(&self, key: CacheKey) -> bool {
        if let Some(flight) = self.flights.lock().remove(&key) {
            flight.forget();
        }
        self.kept.remove(key)
    }

    /// Forgets all answers in memory, and those that are on their way.
    pub(crate) fn clear(&self) {
        self.flights.lock().drain().for_each(|(_, flight)| flight.forget());
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
    fn who_wants_a_young_answer_joins_none_that_may_be_an_old_one_of_the_second_level() {
        let cache = Arc::new(AnswerCache::new());
        cache.configure(Some(&CacheSettings::default()), None);
        let usage = CacheUsage { reads: true, keeps_ms: Some(1_000), max_age_ms: None };
        let young = CacheUsage { max_age_ms: Some(500), ..usage };
        let find = |usage| cache.find(key("a"), usage, (100, Millis(0)));
        let Found::Nothing(_leader) = find(usage) else { panic!("an answer out of nothing") };
        assert!(matches!(find(young), Found::UnderWay(_)), "it is being made now");
        let at = At::Disk(std::path::Path::new("answers").into(), 0);
        let place = Place { at, namespace: Box::default(), answer_bytes: 100 };
        let second = SecondLevel::new(&place, Arc::default());
        cache.second.store(Some(second));
        assert!(matches!(find(young), Found::Nothing(_)));
        assert!(matches!(find(usage), Found::UnderWay(_)), "others go on joining");
    }

    #[test]
    fn without_a_config_nothing_is_kept() {
        let cache = Arc::new(AnswerCache::new());
        cache.configure(Some(&CacheSettings::default()), None);
        let usage = CacheUsage { reads: true, keeps_ms: Some(1_000), max_age_ms: None };
        let Found::Nothing(mut leader) = cache.find(key("a"), usage, (100, Millis(0))) else {
            panic!("an answer out of nothing")
        };
        leader.begins(Head::default());
        leader.piece(&bytes::Bytes::from_static(b"answer"));
        leader.ends_whole(Millis(0), |_| true);
        assert_eq!(cache.len(), 1);
        cache.configure(None, None);
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }
}
