//! What the process holds: the config in force, what was made of it for speed, and what is counted.
//!
//! Workers read [`Serving`] once per request; [`crate::reload`] replaces it. Always true: a request
//! keeps the [`Serving`] that it began with until its last byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use hale_core::deployment::{Deployment, DeploymentIndex};
use hale_core::endpoint::Operation;
use hale_core::group::GroupIndex;
use hale_core::snapshot::Snapshot;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;

use crate::metrics::{GroupMetrics, Metrics};
use crate::proxy::answer_headers;
use crate::sink::Sinks;
use crate::upstream::Upstream;

/// The process.
pub(crate) struct Process {
    serving: ArcSwap<Serving>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where records go.
    pub(crate) sinks: Sinks,
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
    /// What is counted for each group; same order as the snapshot's.
    groups: Vec<Arc<GroupMetrics>>,
    /// What is counted for requests without a group.
    pub(crate) no_group: Arc<GroupMetrics>,
    /// The digest of the master key.
    pub(crate) master_key: Option<KeyDigest>,
}

/// The SHA-256 of a key: keys are compared by digest, so that neither time nor memory tells them.
#[derive(Clone, Copy)]
pub(crate) struct KeyDigest([u8; 32]);

/// Everything about a deployment that need not be made anew for each request.
pub(crate) struct Route {
    /// Where it is.
    pub(crate) upstream: Arc<Upstream>,
    /// The request's headers, credential included.
    pub(crate) headers: HeaderMap,
    /// The request's path for each operation.
    paths: [PathAndQuery; Operation::ALL.len()],
    /// The headers that every good answer from it has.
    pub(crate) answer_headers: HeaderMap,
    /// Its address as a header.
    pub(crate) base_header: Option<HeaderValue>,
}

impl KeyDigest {
    /// The digest of `key`.
    pub(crate) fn of(key: &str) -> KeyDigest {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        KeyDigest(bytes)
    }

    /// Whether both come from the same key, in constant time.
    pub(crate) fn matches(&self, other: &KeyDigest) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
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
        Serving {
            routes: snapshot.deployments.iter().map(|d| Route::new(d)).collect(),
            groups: snapshot.groups.iter().map(|group| metrics.group(&group.name)).collect(),
            no_group: metrics.group(""),
            master_key: snapshot.gateway.master_key.as_ref().map(|key| KeyDigest::of(key.expose())),
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
        let base_path = upstream.base_path.trim_end_matches('/');
        let path = |operation: Operation| {
            let text = format!("{base_path}{}", operation.upstream_path());
            PathAndQuery::try_from(text).unwrap_or_else(|_| PathAndQuery::from_static("/"))
        };
        Route {
            paths: Operation::ALL.map(path),
            headers: request_headers(deployment, &upstream),
            answer_headers: answer_headers::template(&deployment.id),
            base_header: HeaderValue::from_str(&deployment.api_base)
                .ok()
                .filter(|value| !value.is_empty()),
            upstream: Arc::new(upstream),
        }
    }

    /// The request's path for `operation`.
    pub(crate) fn path(&self, operation: Operation) -> PathAndQuery {
        self.paths[operation as usize].clone()
    }
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
    if let Some(key) = &deployment.api_key {
        secret(header::AUTHORIZATION, &format!("Bearer {}", key.expose()));
        for (name, template) in &deployment.provider.headers {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                secret(name, &template.replace("{api_key}", key.expose()));
            }
        }
    }
    if let Some(organization) = &deployment.organization {
        secret(HeaderName::from_static("openai-organization"), organization);
    }
    for (name, value) in &deployment.extra_headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            secret(name, value.expose());
        }
    }
    headers
}
