//! The answers that one process keeps.
//!
//! Called by [`super`]. Always true: an answer that is past its time is not given; all answers together take no more bytes than
//! the config says.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::time::Millis;
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::key::CacheKey;

/// What an answer takes besides its bytes: its key, its head, its place in the tables.
const OVERHEAD: usize = 256;
/// Parts with a lock of their own. An answer larger than a part is not kept.
const PARTS: usize = 4;
/// What an answer is expected to take, to size the tables.
const TYPICAL: usize = 4 << 10;

/// What is known of an answer when it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whether it is a stream of events.
    pub(crate) is_stream: bool,
    /// The deployment that gave it.
    pub(crate) deployment: Arc<str>,
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptAnswer {
    /// What it is.
    pub(crate) head: Head,
    /// Its body, as its client got it.
    pub(crate) body: Bytes,
    /// When it came to this process.
    pub(crate) since: Millis,
    /// How old it was then, milliseconds.
    pub(crate) age_ms: u64,
    /// When it is forgotten.
    pub(crate) until: Millis,
}

impl KeptAnswer {
    /// How long ago it was complete, milliseconds.
    pub(crate) fn age_ms(&self, now: Millis) -> u64 {
        self.age_ms.saturating_add(now.since(self.since))
    }

    /// Whether it is not past its time and not older than `max_age_ms`.
    pub(super) fn may_be_given(&self, max_age_ms: Option<u64>, now: Millis) -> bool {
        now < self.until && max_age_ms.is_none_or(|max| self.age_ms(now) <= max)
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<CacheKey, Arc<KeptAnswer>> for ByBytes {
    fn weight(&self, _key: &CacheKey, answer: &Arc<KeptAnswer>) -> u64 {
        (answer.body.len() + OVERHEAD) as u64
    }
}

/// The answers of one process.
pub(super) struct Kept {
    answers: Cache<CacheKey, Arc<KeptAnswer>, ByBytes>,
}

impl Kept {
    /// No answers, and no room for any.
    pub(super) fn new() -> Kept {
        let options = OptionsBuilder::new()
            .estimated_items_capacity((64 << 20) / TYPICAL)
            .weight_capacity(0)
            .shards(PARTS)
            .build()
            .expect("all options that are needed are given");
        let hasher = DefaultHashBuilder::default();
        Kept { answers: Cache::with_options(options, ByBytes, hasher, Default::default()) }
    }

    /// Room for so many bytes.
    pub(super) fn resize(&self, bytes: usize) {
        self.answers.set_capacity(bytes as u64);
    }

    /// The answer with this key, if it is not past its time and not older than `max_age_ms`.
    pub(super) fn get(
        &self,
        key: CacheKey,
        max_age_ms: Option<u64>,
        now: Millis,
    ) -> Option<Arc<KeptAnswer>> {
        let answer = self.answers.get(&key)?;
        if now >= answer.until {
            self.answers.remove_if(&key, |known| Arc::ptr_eq(known, &answer));
            return None;
        }
        answer.may_be_given(max_age_ms, now).then_some(answer)
    }

    /// Keeps an answer.
    pub(super) fn put(&self, key: CacheKey, answer: Arc<KeptAnswer>) {
        self.answers.insert(key, answer);
    }

    /// Forgets an answer; false if there was none.
    pub(super) fn remove(&self, key: CacheKey) -> bool {
        self.answers.remove(&key).is_some()
    }

    /// Forgets all answers.
    pub(super) fn clear(&self) {
        self.answers.clear();
    }

    /// Bytes of all answers.
    pub(super) fn bytes(&self) -> u64 {
        self.answers.weight()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> CacheKey {
        CacheKey::of(|feed| feed(&number.to_le_bytes()))
    }

    fn answer(bytes: usize) -> Arc<KeptAnswer> {
        let (head, body) = (Head::default(), Bytes::from(vec![b'x'; bytes]));
        let (since, until) = (Millis(1_000), Millis(3_000));
        Arc::new(KeptAnswer { head, body, since, age_ms: 0, until })
    }

    #[test]
    fn an_answer_is_given_until_its_time_has_passed() {
        let kept = Kept::new();
        kept.resize(1 << 20);
        kept.put(key(1), answer(10));
        assert!(kept.get(key(1), None, Millis(2_999)).is_some());
        assert!(kept.get(key(1), Some(500), Millis(1_500)).is_some());
        assert!(kept.get(key(1), Some(500), Millis(1_501)).is_none(), "too old for this request");
        assert!(kept.get(key(1), None, Millis(2_000)).is_some(), "not for others");
        assert!(kept.get(key(1), None, Millis(3_000)).is_none());
        assert_eq!(kept.len(), 0, "what is past its time takes no room");
    }

    #[test]
    fn all_answers_together_are_bounded() {
        let kept = Kept::new();
        kept.resize(100_000);
        for number in 0..1_000 {
            kept.put(key(number), answer(1_000));
            assert!(kept.bytes() <= 100_000);
        }
        assert!(kept.len() > 20);
        kept.resize(10_000);
        kept.put(key(1), answer(100));
        assert!(kept.bytes() <= 10_000, "{}", kept.bytes());
        kept.clear();
        assert_eq!(kept.bytes(), 0);
    }
}
