//! The settings of the process and of routing, resolved, with their defaults.
//!
//! Built by [`crate::config`] from `litellm_settings`, `router_settings` and `general_settings`.
//! Always true: every number is within the range that its doc comment states.

mod addresses;
mod beside;
mod metrics;
mod sinks;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cache::CacheSettings;
use crate::incident::AlertSettings;
use crate::policy::ByKind;
use crate::rescue::{Hold, RescueMode};
use crate::route::{AffinitySettings, Strategy};
use crate::secret::Secret;
use crate::tenancy::making::MakingRules;
use crate::tenancy::sessions::Ceiling;

pub use self::addresses::AddressRange;
pub use self::beside::{Backend, MirrorSettings, Ui};
pub use self::metrics::{
    ClientLabel, ClientSource, LATENCY_BUCKETS, MetricsSettings, Shown, ShownMetrics,
};
pub use self::sinks::{
    DatadogTags, Encoding, Gets, Release, S3, SHOWN_VARIABLES, Sink, SinkForm, SinkSettings,
    Telemetry, Wants, WebhookForm,
};
pub use self::store::{ResponsesHistory, StoreSettings};

/// A group that is tried after another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Its name.
    pub name: Box<str>,
    /// The place in [`RouterSettings::changes`] of what changes in the request for it, if something does.
    pub changes: Option<usize>,
}

impl From<&str> for Fallback {
    fn from(name: &str) -> Fallback {
        Fallback { name: name.into(), changes: None }
    }
}

/// How requests are routed.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterSettings {
    /// Attempts after the first in each group.
    pub num_retries: u32,
    /// Limit of one attempt, milliseconds. 600 s.
    pub timeout_ms: u64,
    /// Limit of the time to a stream's first content and of every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// After how much silence a client's stream gets a comment, milliseconds.
    pub keepalive_ms: Option<u64>,
    /// Limit of a whole stream, milliseconds.
    pub max_stream_ms: Option<u64>,
    /// Limit of a whole request, milliseconds; none unless `litellm_settings.request_timeout` is
    /// set.
    pub request_timeout_ms: Option<u64>,
    /// Cooldown of an ejected deployment, milliseconds. 5 s.
    pub cooldown_ms: u64,
    /// Smallest pause before a retry on the same deployment, milliseconds.
    pub retry_after_ms: u64,
    /// Tolerated failures within a minute, by kind, if the config sets them.
    pub tolerance: ByKind,
    /// Attempts after the first, by the kind of the first failure: `retry_policy`.
    pub retry_policy: ByKind,
    /// When a session keeps to one member, before the strategy picks.
    pub affinity: AffinitySettings,
    /// When a stream that broke after its first content is continued elsewhere.
    pub rescue: RescueMode,
    /// How much of a stream is held back, so that a break in it is a failed attempt.
    pub hold: Hold,
    /// How long a client may come back to a stream whose connection it lost, milliseconds; 0: not at all.
    pub resume_window_ms: u64,
    /// How one of the healthy members is picked.
    pub strategy: Strategy,
    /// Whether requests that exceed a deployment's context window are kept from it, and `rpm` and
    /// `tpm` are limits: `enable_pre_call_checks`.
    pub pre_call_checks: bool,
    /// Whether `rpm` and `tpm` are limits.
    pub enforce_rates: bool,
    /// Whether a request's tags must match a deployment's.
    pub tags: TagSettings,
    /// `max_parallel_requests` of deployments that have none.
    pub default_max_parallel: Option<u32>,
    /// Whether no deployment is ever put into cooldown.
    pub disable_cooldowns: bool,
    /// How many fallback groups one request may try. 5.
    pub max_fallbacks: u32,
    /// How long a request may wait in all for its turn, milliseconds; 0 turns waiting off. 15 s.
    pub max_wait_ms: u64,
    /// How many requests of one group may wait. 1,000.
    pub max_waiting: u32,
    /// Whether an answer without content is passed on although another deployment is left. No.
    pub accept_empty_answers: bool,
    /// Group name to the names tried after it.
    pub fallbacks: BTreeMap<Box<str>, Vec<Fallback>>,
    /// The same for requests that are too long.
    pub context_window_fallbacks: BTreeMap<Box<str>, Vec<Fallback>>,
    /// The same for requests that a provider's policy refused.
    pub content_policy_fallbacks: BTreeMap<Box<str>, Vec<Fallback>>,
    /// Whether a refusal by policy may use the general fallbacks.
    pub policy_uses_general: bool,
    /// Tried after any group, and for unknown names.
    pub default_fallbacks: Vec<Fallback>,
    /// What changes in requests for some of these, as JSON objects, by the places that [`Fallback::changes`] names.
    pub changes: Vec<Box<str>>,
    /// Further names of groups.
    pub aliases: BTreeMap<Box<str>, Alias>,
}

/// How tags select deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSettings {
    /// Whether they do in every group.
    pub enabled: bool,
    /// Whether one common tag is enough, rather than all of the request's.
    pub match_any: bool,
    /// The prefix of tags that are meant for routing; if empty, no tag is marked.
    pub prefix: Box<str>,
}

/// A further name of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The group, or another alias.
    pub target: Box<str>,
    /// Whether `/v1/models` leaves it out.
    pub hidden: bool,
}

impl Default for RouterSettings {
    fn default() -> RouterSettings {
        RouterSettings {
            num_retries: 2,
            timeout_ms: 600_000,
            stream_timeout_ms: None,
            keepalive_ms: None,
            max_stream_ms: None,
            request_timeout_ms: None,
            cooldown_ms: 5_000,
            retry_after_ms: 0,
            tolerance: ByKind::default(),
            retry_policy: ByKind::default(),
            affinity: AffinitySettings::default(),
            rescue: RescueMode::default(),
            hold: Hold::default(),
            resume_window_ms: 0,
            strategy: Strategy::default(),
            pre_call_checks: false,
            enforce_rates: false,
            tags: TagSettings { enabled: false, match_any: true, prefix: Box::default() },
            default_max_parallel: None,
            disable_cooldowns: false,
            max_fallbacks: 5,
            max_wait_ms: 15_000,
            max_waiting: 1_000,
            accept_empty_answers: false,
            fallbacks: BTreeMap::new(),
            context_window_fallbacks: BTreeMap::new(),
            content_policy_fallbacks: BTreeMap::new(),
            policy_uses_general: false,
            default_fallbacks: Vec::new(),
            changes: Vec::new(),
            aliases: BTreeMap::new(),
        }
    }
}

/// Who may read the page of the state of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusPage {
    /// It is not served.
    #[default]
    Off,
    /// Any client.
    Public,
}

/// How the process serves.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewaySettings {
    /// Whether the lines of the log are JSON.
    pub json_logs: bool,
    /// The key with every right. Without it, on loopback, the data API is open.
    pub master_key: Option<Secret>,
    /// Whether the process may listen on a public address with a weak key or none.
    pub permit_weak_master_key: bool,
    /// What is said of keys and users that are made.
    pub making: MakingRules,
    /// Whether a request that names tags is refused: `reject_clientside_metadata_tags`.
    pub refuses_tags: bool,
    /// Whether only admins and viewers may use the dashboard: `ui_access_mode: admin_only`.
    pub dashboard_for_admins: bool,
    /// Whether what is kept of a request has no address of its client: `disable_requester_ip_address_logging`.
    pub hides_addresses: bool,
    /// The addresses whose clients are served; `None` is all of them.
    pub allowed_ips: Option<Vec<AddressRange>>,
    /// A further header that may carry the key, lower case.
    pub key_header: Option<Box<str>>,
    /// The headers that name the user of a request, lower case; the first that is there counts.
    pub user_headers: Vec<Box<str>>,
    /// The origins whose pages may read answers, once there is a secret key.
    pub origins: Origins,
    /// Which addresses of images and files are fetched, for providers that need the data itself.
    pub fetch: FetchSettings,
    /// Whether `/metrics` needs a key.
    pub metrics_need_key: bool,
    /// What `/metrics` shows.
    pub metrics: MetricsSettings,
    /// Whether deployments, credentials and settings that were made at run time are read from the store.
    pub stores_models: bool,
    /// What encrypts secrets in the store: `LITELLM_SALT_KEY`, else the master key.
    pub salt_key: Option<Secret>,
    /// What one session may use.
    pub session: Ceiling,
    /// Where requests go that are in no row here.
    pub backend: Option<Backend>,
    /// The second gateway that gets a sample of requests.
    pub mirror: Option<Arc<MirrorSettings>>,
    /// Whether a request may ask for simulated answers and failures.
    pub allows_mocks: bool,
    /// Whether parameters that the provider does not know are removed.
    pub drop_params: bool,
    /// Whether clients get the usage chunk of a stream without asking for it.
    pub always_include_stream_usage: bool,
    /// Whether the models behind patterns are those that the providers list.
    pub check_provider_endpoint: bool,
    /// Whether the usage of a stream has its cost.
    pub include_cost_in_usage: bool,
    /// Whether `/health` shows more than models and ids, and `/health/readiness` more than `status`
    /// and `db`.
    pub health_details: bool,
    /// Whether `/health/readiness` shows what `/health/readiness/details` does.
    pub public_readiness_details: bool,
    /// Who may read `/status`.
    pub status_page: StatusPage,
    /// Whether `/health/drain` is served.
    pub drain_endpoint: bool,
    /// What it expects in `x-drain-token`.
    pub drain_token: Option<Secret>,
    /// The file to which a record of each finished request is appended, one JSON object a line.
    pub request_log: Option<Box<str>>,
    /// Where else records of requests are sent.
    pub sinks: SinkSettings,
    /// What is remembered over a restart, and how long.
    pub store: StoreSettings,
    /// Who is told of incidents, and when.
    pub alerts: AlertSettings,
    /// How complete answers are reused, if they are.
    pub cache: Option<CacheSettings>,
    /// Limits on what clients and upstreams may send.
    pub bounds: Bounds,
    /// How connections to upstreams are reused.
    pub kept_connections: KeptConnections,
    /// How long new requests are accepted after a stop signal, milliseconds. 5 s.
    pub drain_delay_ms: u64,
    /// How long requests in flight may take after that, milliseconds. 30 s.
    pub shutdown_timeout_ms: u64,
}

/// The origins whose pages may read answers: `cors_origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Any.
    Any,
    /// These, in lower case: `https://host` or `https://host:port`. None if empty.
    Only(Vec<Box<str>>),
}

/// Which addresses of images and files in requests are fetched: `fetch_urls` and `user_url_allowed_hosts`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchSettings {
    /// Where they may be.
    pub from: FetchFrom,
    /// Hosts that may be anywhere, in lower case: `host` or `host:port`.
    pub hosts: Vec<Box<str>>,
}

/// Where the addresses may be that are fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FetchFrom {
    /// Nowhere: a provider that needs the data itself refuses the request.
    Nowhere,
    /// On the public internet.
    #[default]
    Public,
    /// Anywhere, private networks included.
    Anywhere,
}

/// How connections to upstreams are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// Limits on what clients and upstreams may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Request head, bytes. 32 KiB.
    pub header_bytes: usize,
    /// Request body, bytes. 100 MiB.
    pub body_bytes: usize,
    /// A full answer of an upstream, or an event of a stream, bytes. 96 MiB.
    pub response_bytes: usize,
    /// Request bodies and buffered answers of all requests together, bytes. 1 GiB.
    pub buffered_bytes: usize,
    /// Time to read a request head, milliseconds; for idle connections see `idle_ms`. 10 s.
    pub header_read_ms: u64,
    /// Time a connection may idle between requests, milliseconds. 75 s.
    pub idle_ms: u64,
    /// Time between two pieces of a request body, milliseconds. 30 s.
    pub body_read_ms: u64,
    /// Slowest rate of a whole request body, bytes a second. 64 KiB/s.
    pub body_min_rate: u64,
    /// Time a WebSocket may be silent in both directions, milliseconds. 15 min: libraries send
    /// pings about every 20 s, browsers send none.
    pub websocket_idle_ms: u64,
}

impl Bounds {
    /// Bytes of all bodies up to which an answer is read: an eighth more than the bodies of requests
    /// may have, because its request was served and would be lost.
    #[must_use]
    pub const fn with_answers(&self) -> usize {
        self.buffered_bytes.saturating_add(self.buffered_bytes / 8)
    }
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            header_bytes: 32 << 10,
            body_bytes: 100 << 20,
            response_bytes: 96 << 20,
            buffered_bytes: 1 << 30,
            header_read_ms: 10_000,
            idle_ms: 75_000,
            body_read_ms: 30_000,
            body_min_rate: 64 << 10,
            websocket_idle_ms: 900_000,
        }
    }
}

impl Default for GatewaySettings {
    fn default() -> GatewaySettings {
        GatewaySettings {
            json_logs: false,
            master_key: None,
            permit_weak_master_key: false,
            making: MakingRules::default(),
            refuses_tags: false,
            dashboard_for_admins: false,
            hides_addresses: false,
            allowed_ips: None,
            key_header: None,
            user_headers: Vec::new(),
            origins: Origins::Any,
            fetch: FetchSettings::default(),
            metrics_need_key: true,
            metrics: MetricsSettings::default(),
            stores_models: false,
            salt_key: None,
            session: Ceiling::default(),
            backend: None,
            mirror: None,
            allows_mocks: false,
            drop_params: false,
            always_include_stream_usage: false,
            check_provider_endpoint: false,
            include_cost_in_usage: false,
            health_details: true,
            public_readiness_details: false,
            status_page: StatusPage::Off,
            drain_endpoint: false,
            drain_token: None,
            request_log: None,
            sinks: SinkSettings::default(),
            store: StoreSettings::default(),
            alerts: AlertSettings::default(),
            cache: None,
            bounds: Bounds::default(),
            kept_connections: KeptConnections::default(),
            drain_delay_ms: 5_000,
            shutdown_timeout_ms: 30_000,
        }
    }
}

/// What replicas share, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedSettings {
    /// The server between them.
    pub redis: Option<RedisSettings>,
    /// The server of the answers that they keep: that of `cache_params`, else the same.
    pub answers: Option<RedisSettings>,
    /// Whether one replica probes for all: `use_shared_health_check`.
    pub probes: bool,
    /// Whether cooldowns that replicas of LiteLLM write count here too.
    pub litellm: bool,
    /// How long a replica holds the lease of a probe without renewing it, milliseconds. 60 s.
    pub lease_ms: u64,
    /// How old a shared result may be, milliseconds. 300 s.
    pub result_ms: u64,
}

impl Default for SharedSettings {
    fn default() -> SharedSettings {
        SharedSettings {
            redis: None,
            answers: None,
            probes: false,
            litellm: false,
            lease_ms: 60_000,
            result_ms: 300_000,
        }
    }
}

/// Redis, or what speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// Where it is.
    pub place: RedisPlace,
    /// The user, if not in the URL.
    pub username: Option<Box<str>>,
    /// The password, if not in the URL.
    pub password: Option<Secret>,
    /// The number of the database, if not in the URL.
    pub db: u32,
    /// Whether connections are encrypted; a URL says it itself.
    pub transport: Transport,
    /// In front of all keys, in place of the config's identity.
    pub namespace: Option<Box<str>>,
}

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// A URL, which may contain a password.
    Url(Secret),
    /// A host and a port.
    Host(Box<str>, u16),
    /// Some nodes of a cluster.
    Cluster(Vec<(Box<str>, u16)>),
    /// The sentinels that know where it is.
    Sentinel {
        /// The sentinels.
        nodes: Vec<(Box<str>, u16)>,
        /// The name of the service.
        service: Box<str>,
        /// The sentinels' own password.
        password: Option<Secret>,
    },
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Plain text.
    #[default]
    Plain,
    /// TLS.
    Tls,
}
