//! The settings of the whole process and of the router, resolved, with their defaults.
//!
//! Built by [`crate::config`] from `litellm_settings`, `router_settings` and `general_settings`.
//! Always true: every number is within the range that its doc comment states.

use std::collections::BTreeMap;

use crate::policy::ByKind;
use crate::route::Strategy;
use crate::secret::Secret;

/// How requests are routed.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterSettings {
    /// Attempts after the first in each group.
    pub num_retries: u32,
    /// Bounds one attempt, milliseconds. 600 s.
    pub timeout_ms: u64,
    /// Bounds the first content of a stream and every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// Bounds the whole of a stream, milliseconds.
    pub max_stream_ms: Option<u64>,
    /// Bounds a whole request, milliseconds; none unless `litellm_settings.request_timeout` is set.
    pub request_timeout_ms: Option<u64>,
    /// Rest of a tripped deployment, milliseconds. 5 s.
    pub cooldown_ms: u64,
    /// Smallest pause before a retry on the same deployment, milliseconds.
    pub retry_after_ms: u64,
    /// Failures within a minute that are still tolerated, by kind, when the config sets them.
    pub tolerance: ByKind,
    /// Attempts after the first by the kind of the first failure: `retry_policy`.
    pub retry_policy: ByKind,
    /// How a deployment is chosen among those that are well.
    pub strategy: Strategy,
    /// Whether requests that do not fit a deployment's window are kept from it, and `rpm` and `tpm`
    /// are limits: `enable_pre_call_checks`.
    pub pre_call_checks: bool,
    /// Whether `rpm` and `tpm` are limits.
    pub enforce_rates: bool,
    /// Whether a request's tags must meet a deployment's.
    pub tags: TagSettings,
    /// `max_parallel_requests` of deployments that have none.
    pub default_max_parallel: Option<u32>,
    /// Whether nothing is ever put into cooldown.
    pub disable_cooldowns: bool,
    /// How many fallback groups one request may try. 5.
    pub max_fallbacks: u32,
    /// Group name to the names tried after it.
    pub fallbacks: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// The same for requests that are too long.
    pub context_window_fallbacks: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// The same for requests that a provider's policy refused.
    pub content_policy_fallbacks: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// Whether a refusal by policy may take the general fallbacks.
    pub policy_uses_general: bool,
    /// Tried after any group, and for unknown names.
    pub default_fallbacks: Vec<Box<str>>,
    /// Further names of groups.
    pub aliases: BTreeMap<Box<str>, Alias>,
}

/// How tags choose deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSettings {
    /// Whether they do in every group.
    pub enabled: bool,
    /// Whether one common tag is enough, rather than all of the request's.
    pub match_any: bool,
    /// What marks a request's tag as meant for the routing; nothing when it is empty.
    pub prefix: Box<str>,
}

/// A further name of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The group, or another alias.
    pub target: Box<str>,
    /// Whether it is left out of `/v1/models`.
    pub hidden: bool,
}

impl Default for RouterSettings {
    fn default() -> RouterSettings {
        RouterSettings {
            num_retries: 2,
            timeout_ms: 600_000,
            stream_timeout_ms: None,
            max_stream_ms: None,
            request_timeout_ms: None,
            cooldown_ms: 5_000,
            retry_after_ms: 0,
            tolerance: ByKind::default(),
            retry_policy: ByKind::default(),
            strategy: Strategy::default(),
            pre_call_checks: false,
            enforce_rates: false,
            tags: TagSettings { enabled: false, match_any: true, prefix: Box::default() },
            default_max_parallel: None,
            disable_cooldowns: false,
            max_fallbacks: 5,
            fallbacks: BTreeMap::new(),
            context_window_fallbacks: BTreeMap::new(),
            content_policy_fallbacks: BTreeMap::new(),
            policy_uses_general: false,
            default_fallbacks: Vec::new(),
            aliases: BTreeMap::new(),
        }
    }
}

/// How the process serves.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// The key with every right. Without it, on loopback, the data API is open.
    pub master_key: Option<Secret>,
    /// Whether a weak or missing key may listen on a public address.
    pub permit_weak_master_key: bool,
    /// A further header that may carry the key, lower case.
    pub key_header: Option<Box<str>>,
    /// Whether `/metrics` needs a key.
    pub metrics_need_key: bool,
    /// Whether parameters that the provider does not know are removed.
    pub drop_params: bool,
    /// Whether clients get the usage chunk of a stream without asking.
    pub always_include_stream_usage: bool,
    /// Whether `/health` tells more than models and ids, and `/health/readiness` more than `status` and
    /// `db`.
    pub health_details: bool,
    /// Whether `/health/readiness` tells what `/health/readiness/details` does.
    pub public_readiness_details: bool,
    /// Whether `/health/drain` is served.
    pub drain_endpoint: bool,
    /// What it wants in `x-drain-token`.
    pub drain_token: Option<Secret>,
    /// Where records of finished requests are appended, one JSON object a line.
    pub request_log: Option<Box<str>>,
    /// Bounds on what clients and upstreams may send.
    pub bounds: Bounds,
    /// How connections to upstreams are used again.
    pub kept_connections: KeptConnections,
    /// How long to go on accepting after a stop signal, milliseconds. 5 s.
    pub drain_delay_ms: u64,
    /// How long requests in flight may take after that, milliseconds. 30 s.
    pub shutdown_timeout_ms: u64,
}

/// How connections to upstreams are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptConnections {
    /// Time a connection may idle before it is closed, milliseconds. 4 s: uvicorn, on which vLLM runs, and
    /// Node close after 5 s.
    pub idle_ms: u64,
    /// Whether a request is sent again when its kept connection turns out to be closed.
    pub resend_on_stale: bool,
}

impl Default for KeptConnections {
    fn default() -> KeptConnections {
        KeptConnections { idle_ms: 4_000, resend_on_stale: true }
    }
}

/// Bounds on what clients and upstreams may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Request head, bytes. 32 KiB.
    pub header_bytes: usize,
    /// Request body, bytes. 100 MiB.
    pub body_bytes: usize,
    /// A full answer of an upstream, bytes. 32 MiB.
    pub response_bytes: usize,
    /// Request bodies and held answers of all requests together, bytes. 1 GiB.
    pub buffered_bytes: usize,
    /// Time to read a request head, milliseconds; also how long a connection may idle is `idle_ms`. 10 s.
    pub header_read_ms: u64,
    /// Time a connection may idle between requests, milliseconds. 75 s.
    pub idle_ms: u64,
    /// Time between two pieces of a request body, milliseconds. 30 s.
    pub body_read_ms: u64,
    /// Time a WebSocket may be silent in both directions, milliseconds. 15 min: libraries send pings
    /// every 20 s or so, browsers none.
    pub websocket_idle_ms: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            header_bytes: 32 << 10,
            body_bytes: 100 << 20,
            response_bytes: 32 << 20,
            buffered_bytes: 1 << 30,
            header_read_ms: 10_000,
            idle_ms: 75_000,
            body_read_ms: 30_000,
            websocket_idle_ms: 900_000,
        }
    }
}

impl Default for GatewaySettings {
    fn default() -> GatewaySettings {
        GatewaySettings {
            master_key: None,
            permit_weak_master_key: false,
            key_header: None,
            metrics_need_key: true,
            drop_params: false,
            always_include_stream_usage: false,
            health_details: true,
            public_readiness_details: false,
            drain_endpoint: false,
            drain_token: None,
            request_log: None,
            bounds: Bounds::default(),
            kept_connections: KeptConnections::default(),
            drain_delay_ms: 5_000,
            shutdown_timeout_ms: 30_000,
        }
    }
}
