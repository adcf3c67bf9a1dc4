//! What the process holds: the config in force, what was made of it for speed, and what is counted.
//!
//! Workers read [`Serving`] once per request; [`crate::process`] replaces it. Always true: a request
//! keeps the [`Serving`] that it began with until its last byte.

pub(crate) mod health;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use hale_core::azure::escaped;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::endpoint::Operation;
use hale_core::group::GroupIndex;
use hale_core::provider::WireFormat;
use hale_core::secret::Secret;
use hale_core::snapshot::Snapshot;
use hale_wire::id::IdKey;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use self::health::Health;
use crate::metrics::{GroupMetrics, Metrics};
use crate::proxy::answer_headers;
use crate::sink::Sinks;
use crate::upstream::Upstream;
use crate::upstream::entra::Tokens;

/// What the requests of one worker share. They hold it by a count of the worker's own, which costs less than
/// one that all workers share.
pub(crate) struct Worker {
    /// The process.
    pub(crate) process: Arc<Process>,
}

/// The process.
pub(crate) struct Process {
    serving: ArcSwap<Serving>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where records go.
    pub(crate) sinks: Sinks,
    /// What the health thread is told and has counted.
    pub(crate) health: Health,
    /// Whether the process is about to stop.
    draining: AtomicBool,
    /// Whether what is still under way is being cut.
    cutting: AtomicBool,
    /// Bytes of bodies that are held.
    buffered: AtomicUsize,
}

/// One config, ready to serve.
pub(crate) struct Serving {
    /// The config.
    pub(crate) snapshot: Snapshot,
    /// What each deployment needs on the request path; same order as the snapshot's.
    routes: Vec<Route>,
    /// What the ids of responses are signed with.
    pub(crate) ids: IdKey,
    /// What is counted for each group; same order as the snapshot's.
    groups: Vec<Arc<GroupMetrics>>,
    /// What is counted for requests without a group.
    pub(crate) no_group: Arc<GroupMetrics>,
}

/// Everything about a deployment that need not be made anew for each request.
pub(crate) struct Route {
    /// Where it is.
    pub(crate) upstream: Arc<Upstream>,
    /// The request's headers, credential included.
    pub(crate) headers: HeaderMap,
    /// The request's path for each operation.
    paths: [PathAndQuery; Operation::ALL.len()],
    /// Where the bearer token comes from, when it is not part of the headers.
    pub(crate) tokens: Option<Tokens>,
    /// The headers that every good answer from it has.
    pub(crate) answer_headers: HeaderMap,
    /// Whether its config names the version of the Anthropic format.
    pub(crate) pins_version: bool,
    /// Its address as a header.
    pub(crate) base_header: Option<HeaderValue>,
}

impl Process {
    /// A process that serves `snapshot`.
    pub(crate) fn new(snapshot: Snapshot, sinks: Sinks) -> Process {
        let metrics = Arc::new(Metrics::default());
        let serving = Serving::new(snapshot, &metrics);
        Process {
            serving: ArcSwap::from_pointee(serving),
            metrics,
            sinks,
            health: Health::new(),
            draining: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            buffered: AtomicUsize::new(0),
        }
    }

    /// The config in force.
    pub(crate) fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Puts another config in force.
    pub(crate) fn apply(&self, snapshot: Snapshot) {
        self.serving.store(Arc::new(Serving::new(snapshot, &self.metrics)));
    }

    /// Whether the process is about to stop.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on the process is about to stop.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether what is still under way is being cut: by us, not by the client or the upstream.
    pub(crate) fn is_cutting(&self) -> bool {
        self.cutting.load(Ordering::Relaxed)
    }

    /// From now on what is still under way is being cut.
    pub(crate) fn cut(&self) {
        self.cutting.store(true, Ordering::Relaxed);
    }

    /// Counts `bytes` as held, unless that would be more than `limit` in all.
    pub(crate) fn hold(&self, bytes: usize, limit: usize) -> bool {
        let before = self.buffered.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= limit;
        if !fits {
            self.release(bytes);
        }
        fits
    }

    /// Counts `bytes` as no longer held.
    pub(crate) fn release(&self, bytes: usize) {
        self.buffered.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes of bodies that are held.
    pub(crate) fn held(&self) -> usize {
        self.buffered.load(Ordering::Relaxed)
    }
}

impl Serving {
    fn new(snapshot: Snapshot, metrics: &Metrics) -> Serving {
        // Its holders share what the key gives access to; a change of it ends the ids issued before.
        let secret = snapshot.gateway.master_key.as_ref().map_or("", |key| key.expose());
        Serving {
            ids: IdKey::new(secret.as_bytes()),
            routes: snapshot.deployments.iter().map(|d| Route::new(d)).collect(),
            groups: snapshot.groups.iter().map(|group| metrics.group(&group.name)).collect(),
            no_group: metrics.group(""),
            snapshot,
        }
    }

    /// A config that is tried and never in force: nothing is counted for its groups.
    pub(crate) fn apart(snapshot: Snapshot) -> Serving {
        let uncounted: Arc<GroupMetrics> = Arc::default();
        Serving {
            ids: IdKey::new(b""),
            routes: snapshot.deployments.iter().map(|d| Route::new(d)).collect(),
            groups: snapshot.groups.iter().map(|_| uncounted.clone()).collect(),
            no_group: uncounted,
            snapshot,
        }
    }

    /// What `index` needs on the request path.
    pub(crate) fn route(&self, index: DeploymentIndex) -> &Route {
        &self.routes[index.0 as usize]
    }

    /// What is counted for the group at `index`.
    pub(crate) fn group(&self, index: GroupIndex) -> &Arc<GroupMetrics> {
        &self.groups[index.0 as usize]
    }
}

impl Route {
    fn new(deployment: &Deployment) -> Route {
        let upstream = Upstream::parse(&deployment.api_base);
        let identity = deployment.azure.as_ref().and_then(|azure| azure.identity.as_ref());
        Route {
            paths: Operation::ALL.map(|operation| {
                path(deployment, &upstream, operation, &deployment.upstream_model, None)
            }),
            tokens: identity.map(Tokens::new),
            headers: request_headers(deployment, &upstream),
            pins_version: deployment
                .extra_headers
                .iter()
                .any(|(name, _)| VERSION.as_str().eq_ignore_ascii_case(name)),
            answer_headers: answer_headers::template(&deployment.id, deployment.region.as_deref()),
            base_header: HeaderValue::from_str(&deployment.api_base)
                .ok()
                .filter(|value| !value.is_empty()),
            upstream: Arc::new(upstream),
        }
    }

    /// The request's path for `operation`. `model` is the model's name at the provider, which a
    /// deployment with a star in it learns from the request; `object` is what it is about.
    pub(crate) fn path(
        &self,
        deployment: &Deployment,
        operation: Operation,
        model: &str,
        object: Option<&Object>,
    ) -> Cow<'_, PathAndQuery> {
        let names_model = deployment.azure.is_some() || operation.switches();
        let other_model = names_model && *deployment.upstream_model != *model;
        if other_model || object.is_some() {
            return Cow::Owned(path(deployment, &self.upstream, operation, model, object));
        }
        Cow::Borrowed(&self.paths[operation as usize])
    }
}

fn path(
    deployment: &Deployment,
    upstream: &Upstream,
    operation: Operation,
    model: &str,
    object: Option<&Object>,
) -> PathAndQuery {
    let base = deployment.provider.base_path(&upstream.base_path, operation);
    let id = object.map(|object| escaped(&object.id)).unwrap_or_default();
    let below = operation.upstream_path().replace("{}", &id);
    let mut text = match &deployment.azure {
        Some(azure) => azure.path(&base, operation, &below, model),
        None if operation.switches() => format!("{base}{below}?model={}", escaped(model)),
        None => format!("{base}{below}"),
    };
    if let Some(query) = object.map(|object| &*object.query).filter(|query| !query.is_empty()) {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(query);
    }
    PathAndQuery::try_from(text).unwrap_or_else(|_| PathAndQuery::from_static("/"))
}

/// What a provider keeps and a request is about.
pub(crate) struct Object {
    /// The provider's id.
    pub(crate) id: Box<str>,
    /// What the client asks of it, as in its request's query; may be empty.
    pub(crate) query: Box<str>,
}

/// How the tokens of Anthropic's subscriptions begin. Source: the reference.
const OAUTH_PREFIX: &str = "sk-ant-oat";
/// The beta that such tokens need. Source: the reference.
const OAUTH_BETA: &str = "oauth-2025-04-20";
/// The header that turns on what is not for everybody yet.
pub(crate) const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// The header that names the version of the Anthropic format.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// All betas that `lists` name, each once and in order, as one header. What can be no header's value
/// is left out.
pub(crate) fn betas<'v>(lists: impl Iterator<Item = &'v HeaderValue>) -> Option<HeaderValue> {
    let names: BTreeSet<&str> = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let joined = names.into_iter().collect::<Vec<_>>().join(",");
    if joined.is_empty() { None } else { HeaderValue::from_str(&joined).ok() }
}

fn request_headers(deployment: &Deployment, upstream: &Upstream) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    if let Ok(host) = HeaderValue::from_str(&upstream.authority) {
        headers.insert(header::HOST, host);
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("hale/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let mut secret = |name: HeaderName, text: &str| {
        if let Ok(mut value) = HeaderValue::from_str(text) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    let key = deployment.api_key.as_ref().map(Secret::expose);
    if let Some(key) = key {
        match deployment.provider.wire {
            // The tokens of Anthropic's subscriptions are no API keys.
            WireFormat::Anthropic if key.starts_with(OAUTH_PREFIX) => {
                secret(header::AUTHORIZATION, &format!("Bearer {key}"));
                secret(BETA, OAUTH_BETA);
            }
            WireFormat::Anthropic => secret(HeaderName::from_static("x-api-key"), key),
            WireFormat::OpenAi if deployment.provider.bearer => {
                secret(header::AUTHORIZATION, &format!("Bearer {key}"));
            }
            WireFormat::OpenAi => {}
        }
    }
    for (name, template) in &deployment.provider.headers {
        let value = match (template.contains("{api_key}"), key) {
            (false, _) => template.to_string(),
            (true, Some(key)) => template.replace("{api_key}", key),
            (true, None) => continue,
        };
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            secret(name, &value);
        }
    }
    if let Some(token) = deployment.azure.as_ref().and_then(|azure| azure.token.as_ref()) {
        secret(header::AUTHORIZATION, &format!("Bearer {}", token.expose()));
    }
    if let Some(organization) = &deployment.organization {
        secret(HeaderName::from_static("openai-organization"), organization.expose());
    }
    for (name, value) in &deployment.extra_headers {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        let value = match (name == BETA, HeaderValue::from_str(value.expose())) {
            (true, Ok(more)) => betas(headers.get_all(BETA).iter().chain([&more])),
            (_, value) => value.ok(),
        };
        if let Some(mut value) = value {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    headers
}
