//! What the provider of each deployment said when an attempt failed, for those who are told of incidents.
//!
//! A leaf, one for the process like the log. Written by failed attempts only. Always true: it is bounded; what it keeps
//! names no credential, because the attempt has hidden them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use hale_core::cause::Cause;
use hale_core::time::Millis;
use hale_wire::errors::clean;
use parking_lot::Mutex;

use crate::clock;

/// Longest words that are kept, characters.
const WORDS_MAX: usize = 300;
/// Deployments whose words are kept.
const DEPLOYMENTS_MAX: usize = 10_000;
/// How long words are kept before those of the same cause replace them, milliseconds.
const KEPT_MS: u64 = 5_000;

static SAID: LazyLock<Mutex<HashMap<Arc<str>, Said>>> = LazyLock::new(Mutex::default);

struct Said {
    cause: Cause,
    words: String,
    at: Millis,
}

/// An attempt at `deployment` failed for that cause, in those words.
pub(crate) fn note(deployment: &Arc<str>, cause: Cause, words: &str) {
    let now = clock::recent().millis();
    let mut said = SAID.lock();
    let is_known =
        said.get(deployment).is_some_and(|one| one.cause == cause && now.since(one.at) < KEPT_MS);
    if is_known || (said.len() >= DEPLOYMENTS_MAX && !said.contains_key(deployment)) {
        return;
    }
    let words = clean(words, WORDS_MAX);
    said.insert(deployment.clone(), Said { cause, words, at: now });
}

/// Forgets what those said that are not there any more.
pub(crate) fn retain(is_there: impl Fn(&str) -> bool) {
    SAID.lock().retain(|deployment, _| is_there(deployment));
}

/// What was said last when an attempt failed for that cause.
pub(crate) fn words(deployment: &str, cause: Cause) -> Option<String> {
    let said = SAID.lock();
    said.get(deployment).filter(|one| one.cause == cause).map(|one| one.words.clone())
}
