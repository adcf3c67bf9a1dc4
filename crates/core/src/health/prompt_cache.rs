//! What a deployment's provider reports of its prompt cache.
//!
//! Kept by [`super::DeploymentState`], read by [`crate::route`]. Always true: only long requests count, because no
//! provider keeps short ones; a verdict against the cache ends by itself.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::time::Millis;
use crate::usage::Usage;

/// The shortest prompt that providers keep, tokens. OpenAI and Anthropic: 1,024.
const LONG: u64 = 1_024;
/// Answers to long requests after which there is a verdict.
const LOOKS: u32 = 200;
/// Fewer of them with tokens of the cache mean that it does not help.
const ENOUGH: u32 = 4;
/// How long that holds, milliseconds.
const DOUBT_MS: u64 = 3_600_000;

/// What answers said of the cache.
#[derive(Debug, Default)]
pub struct PromptCache {
    /// Answers to long requests since the last verdict.
    long: AtomicU32,
    /// Those that read some tokens from the cache.
    cached: AtomicU32,
    /// Until when it is known not to help.
    useless_until: AtomicU64,
}

impl PromptCache {
    /// An answer with that usage came.
    pub fn answered(&self, usage: &Usage, now: Millis) {
        if usage.input < LONG {
            return;
        }
        if usage.cached_input > 0 {
            self.cached.fetch_add(1, Ordering::Relaxed);
        }
        let long = self.long.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if long < LOOKS {
            return;
        }
        // Two answers at once may both come here: the second finds next to nothing counted, and counts on.
        if self.long.swap(0, Ordering::Relaxed) < LOOKS {
            return;
        }
        let until = match self.cached.swap(0, Ordering::Relaxed) < ENOUGH {
            true => now.plus(DOUBT_MS).0,
            false => 0,
        };
        self.useless_until.store(until, Ordering::Relaxed);
    }

    /// Whether it may help to send requests where their beginning is cached.
    #[must_use]
    pub fn may_help(&self, now: Millis) -> bool {
        self.useless_until.load(Ordering::Relaxed) <= now.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, cached_input: u64) -> Usage {
        Usage { input, cached_input, ..Usage::default() }
    }

    #[test]
    fn a_cache_of_which_nothing_is_reported_is_doubted_for_an_hour() {
        let cache = PromptCache::default();
        for _ in 0..LOOKS - 1 {
            cache.answered(&usage(LONG, 0), Millis(5));
        }
        assert!(cache.may_help(Millis(5)));
        cache.answered(&usage(LONG, 0), Millis(5));
        assert!(!cache.may_help(Millis(5)));
        assert!(!cache.may_help(Millis(DOUBT_MS + 4)));
        assert!(cache.may_help(Millis(DOUBT_MS + 5)));
    }

    #[test]
    fn a_few_tokens_of_the_cache_are_enough_and_short_requests_say_nothing() {
        let cache = PromptCache::default();
        for i in 0..10 * LOOKS {
            let cached = if i % 50 == 0 { 512 } else { 0 };
            cache.answered(&usage(2_000, cached), Millis(0));
            cache.answered(&usage(LONG - 1, 0), Millis(0));
        }
        assert!(cache.may_help(Millis(0)));
    }
}
