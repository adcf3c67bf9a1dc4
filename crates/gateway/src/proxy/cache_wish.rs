//! What the cache of answers does for a request, and the key of its answer.
//!
//! Made by [`super::opening`] where the config has a cache. Always true: two requests have the same key only if the same models
//! would be asked the same.

use hale_core::cache::{CacheUsage, SharedBy};
use hale_core::operation::{Operation, Streaming};
use hale_core::route::{Controls, RoutePlan};
use hale_core::snapshot::Snapshot;
use hale_wire::peek::Peek;
use hale_wire::reuse;
use http::{HeaderMap, HeaderName, header};

use crate::cache::CacheKey;
use crate::offload;

/// A header of Anthropic's clients that changes what the model may do.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// What the cache does for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheWish {
    /// What decides about the answer besides the body.
    pub(super) scope: CacheKey,
    /// The key of the answer.
    pub(super) key: CacheKey,
    /// What the cache does.
    pub(super) usage: CacheUsage,
    /// The largest answer that is kept, bytes.
    pub(super) answer_bytes: usize,
}

/// What decides about the answer besides the body.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) headers: &'a HeaderMap,
    pub(super) controls: &'a Controls,
    pub(super) plan: &'a RoutePlan,
    /// The hash of the client's key; `None` with the master key.
    pub(super) client: Option<&'a str>,
}

impl CacheWish {
    /// What the cache does for the request `peek`; `None` if nothing.
    pub(super) fn of(
        operation: Operation,
        peek: &Peek,
        source: Source<'_>,
    ) -> Option<Box<CacheWish>> {
        let settings = source.snapshot.gateway.cache.as_ref()?;
        if !settings.operations.contains(&operation)
            || peek.size() > offload::LARGE
            || !reuse::may_be_kept(peek)
        {
            return None;
        }
        let mut controls = reuse::controls(peek);
        for value in source.headers.get_all(header::CACHE_CONTROL) {
            reuse::add_header(&mut controls, value.to_str().unwrap_or_default());
        }
        let usage = settings.usage(operation, &controls)?;
        let namespace = [&*settings.namespace, controls.namespace.as_deref().unwrap_or_default()];
        let scope = CacheKey::of(|feed| {
            let mut part = |text: &str| {
                feed(&(text.len() as u64).to_le_bytes());
                feed(text.as_bytes());
            };
            part("1");
            namespace.iter().for_each(|name| part(name));
            // An answer, and how fast it comes, tells what others have asked.
            if let Some(client) = source.client.filter(|_| settings.shared_by == SharedBy::OneKey) {
                part(client);
            }
            part(operation.name());
            // The body of others says so.
            if operation.streaming() == Streaming::ByPath && source.controls.stream {
                part("stream");
            }
            feed_target(source, &mut part);
        });
        let key = scope.within(|feed| reuse::fingerprint(peek, &mut |piece| feed(piece)));
        Some(Box::new(CacheWish { scope, key, usage, answer_bytes: settings.answer_bytes }))
    }
}

/// Feeds which models may answer: another config, other tags or another beta give other answers.
fn feed_target(source: Source<'_>, part: &mut impl FnMut(&str)) {
    let Source { snapshot, headers, controls, plan, client: _ } = source;
    let target = plan.target();
    part(target.name(snapshot));
    let group = snapshot.group(target.group);
    let members = group.members.iter().filter(|one| target.pinned.is_none_or(|pin| pin == **one));
    for member in members {
        let deployment = snapshot.deployment(*member);
        part(&deployment.id);
        part(&target.upstream_model(snapshot, deployment));
    }
    // The end of a list is told, so that its texts are not taken for those of the next one.
    part("");
    if let Some(wish) = &controls.tags {
        for tags in [&wish.any, &wish.required, &wish.excluded] {
            tags.iter().for_each(|tag| part(tag));
            part("");
        }
    }
    for beta in headers.get_all(&BETA) {
        part(beta.to_str().unwrap_or_default());
    }
}
