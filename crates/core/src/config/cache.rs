//! `litellm_settings.cache` and `cache_params`.
//!
//! Called by the reader of settings. Always true: an answer is kept only if `cache` is on; a kind of cache that is not
//! served keeps none, and says so.

use crate::cache::{CACHEABLE, CacheKind, CacheMode, CacheSettings, DiskCache, SharedBy};
use crate::operation::Operation;

use super::features::{self, Feature};
use super::field::{Field, visit};
use super::keys::Section;
use super::problem::{Path, Problems, Unserved, Wrong, shown};
use super::shared::names_redis;
use super::suggest::{did_you_mean, nearest};
use super::tree::{Map, Node};

/// Kinds of caches that find answers to similar questions, or keep them in a bucket.
const UNSERVED: &[&str] =
    &["redis-semantic", "valkey-semantic", "qdrant-semantic", "s3", "gcs", "azure-blob"];
/// Kinds that are.
const SERVED: &[&str] = &["local", "redis", "disk"];

/// Keys that say where Redis is.
#[rustfmt::skip]
const PLACE: &[&str] = &[
    "host", "port", "password", "username", "url", "db", "ssl", "service_name", "sentinel_nodes", "sentinel_password",
    "redis_startup_nodes",
];

/// Operations of LiteLLM whose answers it can keep and Hale cannot.
const NEVER_KEPT: &[&str] = &[
    "transcription",
    "atranscription",
    "rerank",
    "arerank",
    "responses",
    "aresponses",
    "image_generation",
    "aimage_generation",
    "moderation",
    "amoderation",
];

/// What the two keys say.
#[derive(Default)]
pub(super) struct Written {
    /// `cache`.
    pub(super) is_on: bool,
    /// `cache_params`.
    pub(super) params: Params,
}

/// What `cache_params` says.
pub(super) struct Params {
    settings: CacheSettings,
    is_served: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params { settings: CacheSettings::default(), is_served: true }
    }
}

impl Written {
    /// The settings, if answers are kept.
    pub(super) fn settings(self) -> Option<CacheSettings> {
        (self.is_on && self.params.is_served).then_some(self.params.settings)
    }
}

/// Reads `cache_params`.
pub(super) fn params(field: &Field<'_>, problems: &mut Problems) -> Params {
    let mut params = Params::default();
    let Some(map) = field.map(problems) else { return params };
    let (mut ttl, mut ttl_in_memory, mut ttl_in_redis) = (None, None, None);
    let mut disk = DiskCache::default();
    params.settings.kind = if names_redis(map) { CacheKind::Redis } else { CacheKind::Memory };
    // Of a kind that is not served its keys have nothing to add.
    problems.when_unserved(if is_other_kind(map) { Unserved::Untold } else { Unserved::Told });
    let settings = &mut params.settings;
    let is_served = &mut params.is_served;
    visit(Section::Cache, map, &field.path, problems, |field, problems| match field.row.name {
        "type" => match kind(field, problems) {
            Some(kind) => settings.kind = kind,
            None => *is_served = false,
        },
        "ttl" => ttl = field.time(problems),
        "default_in_memory_ttl" => ttl_in_memory = field.time(problems),
        "default_in_redis_ttl" => ttl_in_redis = field.time(problems),
        "disk_cache_dir" => {
            if let Some(dir) = field.text(problems).filter(|dir| !dir.trim().is_empty()) {
                disk.dir = dir.into();
            }
        }
        "max_disk_mb" => {
            disk.bytes = field.bytes(problems).map_or(disk.bytes, |bytes| bytes as u64);
        }
        "namespace" => {
            settings.namespace = field.text(problems).map(Box::from).unwrap_or_default();
        }
        "shared_by_keys" => {
            settings.shared_by = match field.flag(problems) {
                Some(true) => SharedBy::AllKeys,
                Some(false) | None => SharedBy::OneKey,
            };
        }
        "mode" => settings.mode = mode(field, problems).unwrap_or(CacheMode::On),
        "supported_call_types" => settings.operations = operations(field, problems),
        "max_size_mb" => settings.bytes = field.bytes(problems).unwrap_or(settings.bytes),
        "max_answer_mb" => {
            settings.answer_bytes = field.bytes(problems).unwrap_or(settings.answer_bytes);
        }
        // Where Redis is; read for what replicas share.
        other => {
            debug_assert!(PLACE.contains(&other), "{other} is in keys.rs but nothing reads it")
        }
    });
    problems.when_unserved(Unserved::Told);
    // The answers stand in four parts, and one larger than a part would push out the others.
    settings.answer_bytes = settings.answer_bytes.min(settings.bytes / 4);
    ttl_in_redis = ttl_in_redis.filter(|_| settings.kind == CacheKind::Redis);
    settings.ttl_ms = ttl.or(ttl_in_redis).or(ttl_in_memory).unwrap_or(settings.ttl_ms);
    if let CacheKind::Disk(kind) = &mut settings.kind {
        *kind = disk;
    }
    params
}

/// Whether `type` says something else than what is served.
fn is_other_kind(map: &Map) -> bool {
    let kind = map.get("type").and_then(Node::text);
    kind.is_some_and(|kind| !kind.trim().is_empty() && !SERVED.contains(&kind))
}

/// `type`: where answers are kept; `None` if they are not.
fn kind(field: &Field<'_>, problems: &mut Problems) -> Option<CacheKind> {
    let kind = match field.text(problems) {
        None | Some("local") => return Some(CacheKind::Memory),
        Some("redis") => return Some(CacheKind::Redis),
        Some("disk") => return Some(CacheKind::Disk(DiskCache::default())),
        Some(kind) => kind,
    };
    if UNSERVED.contains(&kind) {
        let problem = format!("`{kind}` is not served: no answer is kept");
        let hint = "write `local` to keep exact answers in memory";
        let feature = match kind.ends_with("-semantic") {
            true => &features::SIMILAR_ANSWERS,
            false => &features::BUCKETS,
        };
        left_out(field, Wrong::new(problem, hint), feature, problems);
        return None;
    }
    let known = SERVED.iter().chain(UNSERVED).copied();
    let near = did_you_mean(&nearest(kind, known));
    let problem = format!("unknown kind of cache `{}`: no answer is kept", shown(kind));
    let hint = if near.is_empty() { "write `local`".to_owned() } else { near };
    field.warn(Wrong::new(problem, hint), problems);
    None
}

/// Keeps answers in memory if they should be in Redis and `is_named` says that none is.
pub(super) fn without_redis(
    cache: &mut Option<CacheSettings>,
    is_named: bool,
    (top, problems): (&Map, &mut Problems),
) {
    let Some(settings) = cache.as_mut().filter(|one| one.kind == CacheKind::Redis) else { return };
    if is_named {
        return;
    }
    settings.kind = CacheKind::Memory;
    let problem = "no Redis is named: each process keeps its own answers";
    let hint = "write `host` or `url` here, or set REDIS_HOST or REDIS_URL";
    let section = Path::Root.key("litellm_settings");
    let path = section.key("cache_params");
    let at = top.get("litellm_settings").map(|node| node.at).unwrap_or_default();
    problems.warn(at, &path, Wrong::new(problem, hint));
}

fn left_out(field: &Field<'_>, wrong: Wrong, feature: &'static Feature, problems: &mut Problems) {
    problems.leave_out(field.node.at, &field.path, wrong, feature.name);
}

fn mode(field: &Field<'_>, problems: &mut Problems) -> Option<CacheMode> {
    match field.text(problems)? {
        "default_on" => Some(CacheMode::On),
        "default_off" => Some(CacheMode::OnRequest),
        other => {
            let problem = format!("unknown mode `{}`", shown(other));
            let hint = "write `default_on` or `default_off`";
            field.wrong(Wrong::new(problem, hint), problems);
            None
        }
    }
}

/// `supported_call_types`.
fn operations(field: &Field<'_>, problems: &mut Problems) -> Vec<Operation> {
    let Some(items) = field.list(problems) else { return CACHEABLE.to_vec() };
    let mut found = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let name = item.text().unwrap_or_default();
        match name {
            "completion" | "acompletion" => {
                found.extend([Operation::Chat, Operation::Messages, Operation::GenerateContent]);
            }
            "generate_content" | "agenerate_content" => found.push(Operation::GenerateContent),
            "anthropic_messages" | "aanthropic_messages" => found.push(Operation::Messages),
            "text_completion" | "atext_completion" => found.push(Operation::Completion),
            "embedding" | "aembedding" => found.push(Operation::Embedding),
            _ if NEVER_KEPT.contains(&name) => {}
            _ => {
                let known = ["completion", "text_completion", "embedding"];
                let near = did_you_mean(&nearest(name, known));
                let problem = format!("unknown call type `{}`: ignored", shown(name));
                problems.warn(item.at, &field.path.item(i), Wrong::new(problem, near));
            }
        }
    }
    found
}
