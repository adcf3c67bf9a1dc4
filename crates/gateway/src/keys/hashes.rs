//! The hashes of all keys of the store: which keys are there, without a question to it.
//!
//! Asked by [`super::Keys`] about keys that are not in use; read in pages by the background task. Always true: what was read stays
//! when a later page fails, and the next look goes on from there; a key that was made here meanwhile stays in, too.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use hale_core::tenancy::{KeyHash, Row};
use hale_store::{Store, Tokens};

use super::Keys;
use crate::clock;

/// Hashes of one page, if the store is quick: 1.3 MB.
const PAGE_MAX: u32 = 20_000;
/// Hashes of one page, if it is slow.
const PAGE_MIN: u32 = 500;
/// How far the clocks of two writers may be apart, and how long one may take from a key's moment to its row, milliseconds.
const APART_MS: u64 = 60_000;

/// The hashes.
#[derive(Default)]
pub(super) struct Hashes {
    all: HashSet<KeyHash>,
    /// Whether all of them were read once.
    is_whole: bool,
}

/// A reading of them that goes on.
struct Reading {
    found: HashSet<KeyHash>,
    after: Box<str>,
    page: u32,
    /// The changes that were made here before it began.
    seen: u64,
}

/// The reading that is under way, and when keys that others made were last looked for.
#[derive(Default)]
pub(super) struct Readings {
    whole: Option<Reading>,
    /// Milliseconds since 1970.
    news: u64,
}

impl Hashes {
    /// Whether there is a key with that hash; `None` if that is not known.
    pub(super) fn has(&self, hash: KeyHash) -> Option<bool> {
        let is_there = self.all.contains(&hash);
        (is_there || self.is_whole).then_some(is_there)
    }

    pub(super) fn are_read(&self) -> bool {
        self.is_whole
    }

    pub(super) fn add(&mut self, hash: KeyHash) {
        self.all.insert(hash);
    }

    pub(super) fn remove(&mut self, hash: KeyHash) {
        self.all.remove(&hash);
    }
}

impl Keys {
    /// Reads the hashes of all keys, or goes on where the last reading failed.
    pub(crate) async fn read_hashes(&self) {
        let Some(store) = self.store() else { return };
        let begun = self.readings.lock().whole.take();
        let mut reading = begun.unwrap_or_else(|| Reading {
            found: HashSet::new(),
            after: Box::default(),
            page: PAGE_MAX,
            seen: self.seen(),
        });
        let began = clock::unix_ms();
        loop {
            let which = Tokens::After(reading.after.clone());
            let Ok(tokens) = store.tokens(&which, reading.page).await else {
                reading.page = (reading.page / 4).max(PAGE_MIN);
                self.readings.lock().whole = Some(reading);
                return;
            };
            let found = tokens.iter().filter_map(|token| KeyHash::parse(token));
            reading.found.extend(found);
            let is_last = tokens.len() < reading.page as usize;
            if let Some(last) = tokens.into_iter().next_back() {
                reading.after = last;
            }
            if !self.hashes.read().is_whole {
                self.hashes.write().all.extend(&reading.found);
            }
            if is_last {
                break;
            }
        }
        self.readings.lock().news = began;
        self.end_reading(reading, store).await;
    }

    async fn end_reading(&self, mut reading: Reading, store: &Store) {
        for row in self.replaced_keys(store).await {
            reading.found.extend(KeyHash::parse(Row(&row).text("token").unwrap_or_default()));
        }
        // A key that another process has deleted is looked up once more than needed.
        let is_alone = self.seen() == reading.seen;
        let mut hashes = self.hashes.write();
        match is_alone {
            true => hashes.all = reading.found,
            false => hashes.all.extend(reading.found),
        }
        hashes.is_whole = true;
        if !hashes.all.is_empty() {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Reads the hashes of keys that others made, if a client came with one that is not known.
    pub(super) async fn read_new_hashes(&self) {
        if !self.news_wanted.swap(false, Ordering::Relaxed) {
            return;
        }
        let Some(store) = self.store() else { return };
        let now = clock::unix_ms();
        let since = self.readings.lock().news.saturating_sub(APART_MS);
        let which = Tokens::MadeSince(i64::try_from(since).unwrap_or(i64::MAX));
        let Ok(tokens) = store.tokens(&which, PAGE_MAX).await else {
            self.news_wanted.store(true, Ordering::Relaxed);
            return;
        };
        self.readings.lock().news = now;
        for hash in tokens.iter().filter_map(|token| KeyHash::parse(token)) {
            self.hashes.write().add(hash);
            self.unknown.lock().until.remove(&hash);
        }
    }
}
