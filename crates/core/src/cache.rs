//! What the config says of the cache of answers, and what a request asks of it.
//!
//! Built by [`crate::config`] from `litellm_settings.cache` and `cache_params`, read by the gateway. Always true: without
//! `cache: true` there are no settings, and a request can ask for less than they grant, never for more.

use crate::operation::Operation;

/// How complete answers are reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// How long an answer may be reused, milliseconds. 600 s.
    pub ttl_ms: u64,
    /// What separates the answers of several gateways that share a store. Empty.
    pub namespace: Box<str>,
    /// Which clients share answers.
    pub shared_by: SharedBy,
    /// The operations whose answers are kept.
    pub operations: Vec<Operation>,
    /// Which requests use it.
    pub mode: CacheMode,
    /// Bytes of all answers that one process keeps. 64 MiB.
    pub bytes: usize,
    /// Bytes of the largest answer that is kept. 1 MiB.
    pub answer_bytes: usize,
    /// Where answers are kept besides the memory of the process.
    pub kind: CacheKind,
}

/// Where answers are kept besides the memory of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheKind {
    /// Nowhere.
    #[default]
    Memory,
    /// In the Redis that the shared settings name for answers.
    Redis,
    /// In files.
    Disk(DiskCache),
}

impl CacheKind {
    /// The name in the config and on pages.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            CacheKind::Memory => "local",
            CacheKind::Redis => "redis",
            CacheKind::Disk(_) => "disk",
        }
    }
}

/// Answers in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskCache {
    /// Their directory, from that of the store. `hale-answers`.
    pub dir: Box<str>,
    /// Bytes of all files. 1 GiB.
    pub bytes: u64,
}

impl Default for DiskCache {
    fn default() -> DiskCache {
        DiskCache { dir: "hale-answers".into(), bytes: 1 << 30 }
    }
}

/// Which clients share answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedBy {
    /// Those with the same key.
    #[default]
    OneKey,
    /// All of them: `shared_by_keys: true`.
    AllKeys,
}

/// Which requests use the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// All that do not ask for something else.
    On,
    /// Those that ask for it: `mode: default_off`.
    OnRequest,
}

impl Default for CacheSettings {
    fn default() -> CacheSettings {
        CacheSettings {
            ttl_ms: 600_000,
            namespace: Box::default(),
            shared_by: SharedBy::OneKey,
            operations: CACHEABLE.to_vec(),
            mode: CacheMode::On,
            bytes: 64 << 20,
            answer_bytes: 1 << 20,
            kind: CacheKind::Memory,
        }
    }
}

/// The operations whose answers can be kept.
pub const CACHEABLE: [Operation; 5] = [
    Operation::Chat,
    Operation::Messages,
    Operation::GenerateContent,
    Operation::Completion,
    Operation::Embedding,
];

/// What a request asks of the cache: the field `cache` of its body, and `cache-control` of its head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheControls {
    /// Whether it wants a fresh answer.
    pub no_cache: bool,
    /// Whether its answer is not kept.
    pub no_store: bool,
    /// How long its answer may be reused, milliseconds.
    pub ttl_ms: Option<u64>,
    /// How old an answer may be, milliseconds.
    pub max_age_ms: Option<u64>,
    /// What separates its answers from others.
    pub namespace: Option<Box<str>>,
    /// Whether it asks for the cache where that is needed.
    pub wants_cache: bool,
}

impl CacheSettings {
    /// What the cache does for a request of `operation` with these `controls`; `None` if nothing.
    #[must_use]
    pub fn usage(&self, operation: Operation, controls: &CacheControls) -> Option<CacheUsage> {
        let is_asked = match self.mode {
            CacheMode::On => true,
            CacheMode::OnRequest => controls.wants_cache,
        };
        let usage = CacheUsage {
            reads: !controls.no_cache,
            keeps_ms: (!controls.no_store).then(|| controls.ttl_ms.unwrap_or(self.ttl_ms)),
            max_age_ms: controls.max_age_ms,
        };
        let does_something = usage.reads || usage.keeps_ms.is_some();
        (is_asked && does_something && self.operations.contains(&operation)).then_some(usage)
    }
}

/// What the cache does for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    /// Whether a kept answer may answer it.
    pub reads: bool,
    /// How long its answer is kept, milliseconds; `None` if it is not.
    pub keeps_ms: Option<u64>,
    /// How old a kept answer may be, milliseconds.
    pub max_age_ms: Option<u64>,
}

/// How the cache answered a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheAnswer {
    /// With an answer that was kept.
    Hit,
    /// With the answer to an equal request that was under way.
    Joined,
}

impl CacheAnswer {
    /// The name in records and headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            CacheAnswer::Hit => "hit",
            CacheAnswer::Joined => "joined",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_can_ask_for_less_and_not_for_more() {
        let on = CacheSettings::default();
        let all = CacheUsage { reads: true, keeps_ms: Some(600_000), max_age_ms: None };
        assert_eq!(on.usage(Operation::Chat, &CacheControls::default()), Some(all));
        assert_eq!(on.usage(Operation::Rerank, &CacheControls::default()), None);
        let fresh = CacheControls { no_cache: true, ttl_ms: Some(5), ..CacheControls::default() };
        let kept = CacheUsage { reads: false, keeps_ms: Some(5), max_age_ms: None };
        assert_eq!(on.usage(Operation::Messages, &fresh), Some(kept));
        let nothing = CacheControls { no_store: true, ..fresh };
        assert_eq!(on.usage(Operation::Messages, &nothing), None);
    }

    #[test]
    fn where_the_cache_is_off_by_default_a_request_has_to_ask() {
        let off = CacheSettings { mode: CacheMode::OnRequest, ..CacheSettings::default() };
        assert_eq!(off.usage(Operation::Chat, &CacheControls::default()), None);
        let asks = CacheControls { wants_cache: true, ..CacheControls::default() };
        assert!(off.usage(Operation::Chat, &asks).is_some());
    }
}
