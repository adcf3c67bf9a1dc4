//! Where replicas share what they know: Redis, from `router_settings`, `litellm_settings.cache_params`
//! and the environment.
//!
//! Called by [`super::settings`]. Always true: of the three places the first one that names a server
//! counts, whole, so that no password goes to a server that another place names.

use crate::secret::Secret;
use crate::settings::{RedisPlace, RedisSettings, SharedSettings, Transport};

use super::field::Field;
use super::interpolate::Env;
use super::problem::Problems;
use super::tree::{Map, Node};
use super::value;

/// The port of Redis.
const PORT: u16 = 6379;
/// The port of Sentinel.
const SENTINEL_PORT: u16 = 26379;
/// The most nodes that are read.
const NODES_MAX: usize = 64;
/// The longest lease of a probe, milliseconds.
const LEASE_MAX_MS: u64 = 3_600_000;

/// What one place says about Redis.
#[derive(Default)]
pub(super) struct Redis {
    url: Option<Secret>,
    host: Option<Box<str>>,
    port: Option<u16>,
    username: Option<Box<str>>,
    password: Option<Secret>,
    db: u32,
    transport: Transport,
    nodes: Vec<(Box<str>, u16)>,
    sentinels: Vec<(Box<str>, u16)>,
    service: Option<Box<str>>,
    sentinel_password: Option<Secret>,
    namespace: Option<Box<str>>,
}

impl Redis {
    /// A key of `router_settings`; false if it is none of these.
    pub(super) fn setting(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let small = |count: Option<u64>| count.and_then(|count| u16::try_from(count).ok());
        match field.row.name {
            "redis_url" => self.url = field.text(problems).map(Secret::new),
            "redis_host" => self.host = field.text(problems).map(Box::from),
            "redis_port" => self.port = small(field.count(problems)),
            "redis_username" => self.username = field.text(problems).map(Box::from),
            "redis_password" => self.password = field.text(problems).map(Secret::new),
            "redis_db" => self.db = field.small(problems).unwrap_or(0),
            "redis_ssl" => {
                self.transport = tls_if(field.flag(problems).unwrap_or(false));
            }
            _ => return false,
        }
        true
    }

    /// What `cache_params` say, if they name Redis.
    fn of_cache(params: &Map) -> Option<Redis> {
        let text = |key: &str| params.get(key).and_then(Node::text).filter(|text| !text.is_empty());
        let kind = text("type").unwrap_or("redis");
        if !kind.starts_with("redis") || !names_redis(params) {
            return None;
        }
        let secret = |key| text(key).map(Secret::new);
        let flag = |key: &str| params.get(key).is_some_and(|node| value::flag(node) == Ok(true));
        let count = |key: &str, max| {
            params.get(key).and_then(|node| value::count(node, 0, max).ok()).unwrap_or(0)
        };
        Some(Redis {
            url: secret("url"),
            host: text("host").map(Box::from),
            port: u16::try_from(count("port", 65_535)).ok().filter(|port| *port > 0),
            username: text("username").map(Box::from),
            password: secret("password"),
            db: u32::try_from(count("db", 1_000_000)).unwrap_or(0),
            transport: tls_if(flag("ssl")),
            nodes: nodes(params.get("redis_startup_nodes"), PORT),
            sentinels: nodes(params.get("sentinel_nodes"), SENTINEL_PORT),
            service: text("service_name").map(Box::from),
            sentinel_password: secret("sentinel_password"),
            namespace: text("namespace").map(Box::from),
        })
    }

    /// What the environment says.
    fn of_environment(env: &Env<'_>) -> Redis {
        let text = |name: &str| env.get(name).map(Box::<str>::from);
        let secret = |name: &str| env.get(name).map(|text| Secret::new(&text));
        let number = |name: &str| env.get(name).and_then(|text| text.trim().parse().ok());
        let is_true =
            |text: String| matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes");
        let listed = |name: &str, port| {
            let listed = env.get(name).and_then(|text| serde_json::from_str(&text).ok());
            listed.map(|nodes| json_nodes(&nodes, port)).unwrap_or_default()
        };
        Redis {
            url: secret("REDIS_URL"),
            host: text("REDIS_HOST"),
            port: number("REDIS_PORT").and_then(|port: u32| u16::try_from(port).ok()),
            username: text("REDIS_USERNAME"),
            password: secret("REDIS_PASSWORD"),
            db: number("REDIS_DB").unwrap_or(0),
            transport: tls_if(env.get("REDIS_SSL").is_some_and(is_true)),
            nodes: listed("REDIS_CLUSTER_NODES", PORT),
            sentinels: listed("REDIS_SENTINEL_NODES", SENTINEL_PORT),
            service: text("REDIS_SENTINEL_SERVICE_NAME").or_else(|| text("REDIS_SERVICE_NAME")),
            sentinel_password: secret("REDIS_SENTINEL_PASSWORD"),
            namespace: text("REDIS_NAMESPACE"),
        }
    }

    /// The settings, if a server is named.
    fn settings(self) -> Option<RedisSettings> {
        let place = match (self.sentinels.is_empty(), self.service) {
            (false, Some(service)) => RedisPlace::Sentinel {
                nodes: self.sentinels,
                service,
                password: self.sentinel_password,
            },
            _ if !self.nodes.is_empty() => RedisPlace::Cluster(self.nodes),
            _ => match (self.url, self.host) {
                (Some(url), _) => RedisPlace::Url(url),
                (None, Some(host)) => RedisPlace::Host(host, self.port.unwrap_or(PORT)),
                (None, None) => return None,
            },
        };
        let Redis { username, password, db, transport, namespace, .. } = self;
        Some(RedisSettings { place, username, password, db, transport, namespace })
    }
}

/// Whether `cache_params` name a server.
pub(super) fn names_redis(params: &Map) -> bool {
    let text = |key: &str| params.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    text("url").or(text("host")).is_some()
        || params.get("redis_startup_nodes").is_some()
        || params.get("sentinel_nodes").is_some()
}

fn tls_if(is_asked: bool) -> Transport {
    if is_asked { Transport::Tls } else { Transport::Plain }
}

/// Nodes as `[{host: a, port: 1}]` or `[[a, 1]]`.
fn nodes(list: Option<&Node>, port: u16) -> Vec<(Box<str>, u16)> {
    let port_of = |node: Option<&Node>| {
        let named = node.and_then(|node| value::count(node, 1, 65_535).ok());
        named.and_then(|named| u16::try_from(named).ok()).unwrap_or(port)
    };
    let node = |item: &Node| match (item.as_map(), item.items()) {
        (Some(map), _) => Some((map.get("host")?.text()?.into(), port_of(map.get("port")))),
        (None, Some([host, tail @ ..])) => Some((host.text()?.into(), port_of(tail.first()))),
        (None, _) => None,
    };
    let items = list.and_then(Node::items).unwrap_or_default();
    items.iter().filter_map(node).take(NODES_MAX).collect()
}

/// The same in JSON.
fn json_nodes(list: &serde_json::Value, port: u16) -> Vec<(Box<str>, u16)> {
    let port_of = |port_: Option<&serde_json::Value>| {
        let number = port_.and_then(|one| one.as_u64().or_else(|| one.as_str()?.parse().ok()));
        number.and_then(|number| u16::try_from(number).ok()).unwrap_or(port)
    };
    let node = |item: &serde_json::Value| {
        let host = item.get("host").or_else(|| item.get(0))?.as_str()?;
        Some((host.into(), port_of(item.get("port").or_else(|| item.get(1)))))
    };
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(node).take(NODES_MAX).collect()
}

/// What is shared, and where.
pub(super) fn read(router: Redis, top: &Map, env: &Env<'_>) -> SharedSettings {
    let params = top.get("litellm_settings").and_then(Node::as_map);
    let params = params.and_then(|litellm| litellm.get("cache_params")).and_then(Node::as_map);
    let namespace = params.and_then(|params| params.get("namespace")).and_then(Node::text);
    let of_cache = params.and_then(Redis::of_cache).and_then(Redis::settings);
    let redis = router
        .settings()
        .or_else(|| of_cache.clone())
        .or_else(|| Redis::of_environment(env).settings());
    let seconds = |name: &str| {
        let ms = env.get(name)?.trim().parse::<u64>().ok()?.checked_mul(1_000)?;
        (1_000..=LEASE_MAX_MS).contains(&ms).then_some(ms)
    };
    let redis = redis.map(|redis| RedisSettings {
        namespace: redis.namespace.clone().or_else(|| namespace.map(Box::from)),
        ..redis
    });
    let answers = of_cache.or_else(|| redis.clone());
    let mut shared = SharedSettings { redis, answers, ..SharedSettings::default() };
    if let Some(ms) = seconds("DEFAULT_SHARED_HEALTH_CHECK_LOCK_TTL") {
        shared.lease_ms = ms;
    }
    if let Some(ms) = seconds("DEFAULT_SHARED_HEALTH_CHECK_TTL") {
        shared.result_ms = ms;
    }
    shared
}
