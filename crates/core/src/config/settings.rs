//! `litellm_settings`, `router_settings` and `general_settings`.
//!
//! Called by [`super::load`]. Always true: what is not written has the default of its type; the master
//! key is never lost silently.

use crate::secret::Secret;
use crate::settings::{Bounds, GatewaySettings, RouterSettings};

use super::address;
use super::fallbacks::{References, Written};
use super::field::{Field, Unknown, visit};
use super::interpolate::{Env, warn_missing};
use super::keys::Section;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};
use super::tree::{Map, Node, Style, Value};
use super::value::{self, describe_kind};

const MASTER_KEY: &str = "LITELLM_MASTER_KEY";
const PERMIT_WEAK: &str = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY";
const DROP_PARAMS: &str = "LITELLM_DROP_PARAMS";
const SHUTDOWN: &str = "GRACEFUL_SHUTDOWN_TIMEOUT";

/// Strategies that exist and are not built yet.
const STRATEGIES: &[&str] = &[
    "simple-shuffle",
    "least-busy",
    "usage-based-routing",
    "usage-based-routing-v2",
    "latency-based-routing",
    "cost-based-routing",
    "lar1",
    "provider-budget-routing",
    "health-aware",
];

/// What the three sections say.
#[derive(Default)]
pub(super) struct Settings<'n> {
    /// How requests are routed, without what refers to names.
    pub(super) router: RouterSettings,
    /// How the process serves.
    pub(super) gateway: GatewaySettings,
    /// What refers to names.
    pub(super) references: References<'n>,
}

/// Reads the sections of `top`.
pub(super) fn read<'n>(top: &'n Map, env: &Env<'_>, problems: &mut Problems) -> Settings<'n> {
    let mut settings = Settings::default();
    settings.gateway.drop_params = env_flag(env, DROP_PARAMS, problems).unwrap_or(false);
    settings.gateway.permit_weak_master_key = env_flag(env, PERMIT_WEAK, problems).unwrap_or(false);
    if let Some(ms) = env_time(env, SHUTDOWN, problems) {
        settings.gateway.shutdown_timeout_ms = ms;
    }
    if let Some(map) = section(top, "litellm_settings", problems) {
        let path = Path::Root.key("litellm_settings");
        visit(Section::Litellm, Unknown::Report, map, &path, problems, |field, problems| {
            let node = map.get(field.row.name);
            let known = settings.litellm(field, problems)
                || settings.refers("litellm_settings", field, node, problems);
            debug_assert!(known, "{} is served by nobody", field.row.name);
        });
    }
    if let Some(map) = section(top, "router_settings", problems) {
        let path = Path::Root.key("router_settings");
        visit(Section::Router, Unknown::Report, map, &path, problems, |field, problems| {
            let node = map.get(field.row.name);
            let known = settings.router(field, problems)
                || settings.refers("router_settings", field, node, problems);
            debug_assert!(known, "{} is served by nobody", field.row.name);
        });
    }
    if let Some(map) = section(top, "general_settings", problems) {
        let path = Path::Root.key("general_settings");
        visit(Section::General, Unknown::Report, map, &path, problems, |field, problems| {
            let known = settings.general(field, problems) || settings.bound(field, problems);
            debug_assert!(known, "{} is served by nobody", field.row.name);
        });
    }
    settings.master_key(top, env, problems);
    settings.check(top, problems);
    settings
}

fn section<'n>(top: &'n Map, name: &str, problems: &mut Problems) -> Option<&'n Map> {
    let node = top.get(name).filter(|node| !node.is_null())?;
    let path = Path::Root.key(name);
    let Some(map) = node.as_map() else {
        let problem = format!("expected a mapping, got {}", describe_kind(node));
        problems.error(node.at, &path, Wrong::new(problem, "write `key: value` lines below it"));
        return None;
    };
    for entry in &map.entries {
        // The master key has its own, harder answer.
        if &*entry.key != "master_key" {
            warn_missing(&entry.value, &path.key(&entry.key), problems);
        }
    }
    Some(map)
}

impl<'n> Settings<'n> {
    fn litellm(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let router = &mut self.router;
        match field.row.name {
            "request_timeout" => router.request_timeout_ms = field.time(problems),
            "num_retries" => put(&mut router.num_retries, field.small(problems)),
            "max_fallbacks" => put(&mut router.max_fallbacks, field.small(problems)),
            "allowed_fails" => router.allowed_fails = field.small(problems),
            "drop_params" => put(&mut self.gateway.drop_params, field.flag(problems)),
            "require_auth_for_metrics_endpoint" => {
                put(&mut self.gateway.metrics_need_key, field.flag(problems));
            }
            _ => return false,
        }
        true
    }

    fn router(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let router = &mut self.router;
        match field.row.name {
            "routing_strategy" => strategy(field, problems),
            "num_retries" => put(&mut router.num_retries, field.small(problems)),
            "timeout" => put(&mut router.timeout_ms, field.time(problems)),
            "stream_timeout" => router.stream_timeout_ms = field.time(problems),
            "max_fallbacks" => put(&mut router.max_fallbacks, field.small(problems)),
            "allowed_fails" => router.allowed_fails = field.small(problems),
            "cooldown_time" => put(&mut router.cooldown_ms, field.time(problems)),
            "disable_cooldowns" => put(&mut router.disable_cooldowns, field.flag(problems)),
            "retry_after" => put(&mut router.retry_after_ms, field.time(problems)),
            _ => return false,
        }
        true
    }

    /// What refers to names is only remembered: the names are not known yet.
    fn refers(
        &mut self,
        section: &'static str,
        field: &Field<'_>,
        node: Option<&'n Node>,
        problems: &mut Problems,
    ) -> bool {
        let key = field.row.name;
        let written = node.map(|node| Written { section, key, node });
        let is_empty = node.and_then(Node::items).is_some_and(<[Node]>::is_empty);
        match key {
            "fallbacks" | "default_fallbacks" if is_empty => {}
            "fallbacks" if field.list(problems).is_some() => self.references.fallbacks = written,
            "default_fallbacks" if field.list(problems).is_some() => {
                self.references.defaults = written;
            }
            "model_group_alias" if field.map(problems).is_some() => {
                self.references.aliases = written
            }
            "fallbacks" | "default_fallbacks" | "model_group_alias" => {}
            _ => return false,
        }
        true
    }

    fn general(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let gateway = &mut self.gateway;
        match field.row.name {
            "master_key" => {
                if let Some(text) = field.text(problems) {
                    match address::key(text) {
                        Ok(()) => gateway.master_key = Some(Secret::new(text)),
                        Err(wrong) => field.error(wrong, problems),
                    }
                }
            }
            "dangerously_permit_weak_or_unset_master_key" => {
                put(&mut gateway.permit_weak_master_key, field.flag(problems));
            }
            "litellm_key_header_name" => gateway.key_header = header(field, problems),
            "always_include_stream_usage" => {
                put(&mut gateway.always_include_stream_usage, field.flag(problems));
            }
            "health_check_details" => put(&mut gateway.health_details, field.flag(problems)),
            "request_log" => gateway.request_log = field.text(problems).map(Box::from),
            "drain_delay_s" => put(&mut gateway.drain_delay_ms, field.time(problems)),
            "shutdown_timeout_s" => put(&mut gateway.shutdown_timeout_ms, field.time(problems)),
            _ => return false,
        }
        true
    }

    fn bound(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let bounds = &mut self.gateway.bounds;
        match field.row.name {
            "max_header_bytes" => put(&mut bounds.header_bytes, field.bytes(problems)),
            "max_request_size_mb" => put(&mut bounds.body_bytes, field.bytes(problems)),
            "max_response_size_mb" => put(&mut bounds.response_bytes, field.bytes(problems)),
            "max_buffered_mb" => put(&mut bounds.buffered_bytes, field.bytes(problems)),
            "header_read_timeout_s" => put(&mut bounds.header_read_ms, field.time(problems)),
            "idle_timeout_s" => put(&mut bounds.idle_ms, field.time(problems)),
            "body_read_timeout_s" => put(&mut bounds.body_read_ms, field.time(problems)),
            _ => return false,
        }
        true
    }

    /// A key that is referred to and not set must not open the gateway.
    fn master_key(&mut self, top: &Map, env: &Env<'_>, problems: &mut Problems) {
        let general = top.get("general_settings").and_then(Node::as_map);
        let written = general.and_then(|map| map.get("master_key")).filter(|node| !node.is_null());
        if let Some(node) = written {
            if let Value::Missing(name) = &node.value {
                let name = shown(name);
                let problem = format!("environment variable {name} is not set");
                let hint = format!("set {name} to the master key");
                let path = Path::Root.key("general_settings");
                problems.error(node.at, &path.key("master_key"), Wrong::new(problem, hint));
            }
            return;
        }
        if let Some(text) = env.get(MASTER_KEY) {
            match address::key(&text) {
                Ok(()) => self.gateway.master_key = Some(Secret::new(&text)),
                Err(mut wrong) => {
                    wrong.problem = format!("environment variable {MASTER_KEY} {}", wrong.problem);
                    problems.error(At::whole(0), &Path::Root, wrong);
                }
            }
        }
    }

    /// Rules that two keys share.
    fn check(&self, top: &Map, problems: &mut Problems) {
        let Bounds { body_bytes, buffered_bytes, response_bytes, .. } = self.gateway.bounds;
        if buffered_bytes >= body_bytes.max(response_bytes) {
            return;
        }
        let general = top.get("general_settings").and_then(Node::as_map);
        let keys = ["max_buffered_mb", "max_request_size_mb", "max_response_size_mb"];
        let written = keys.iter().find_map(|key| general?.get(key).map(|node| (*key, node.at)));
        let (key, at) = written.unwrap_or(("max_buffered_mb", At::whole(0)));
        let problem = "max_buffered_mb is smaller than max_request_size_mb or max_response_size_mb: \
                       the largest bodies could never be held";
        let path = Path::Root.key("general_settings");
        let hint = "raise max_buffered_mb, or lower the others";
        problems.error(at, &path.key(key), Wrong::new(problem, hint));
    }
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn strategy(field: &Field<'_>, problems: &mut Problems) {
    let Some(name) = field.text(problems) else { return };
    if name == "simple-shuffle" {
        return;
    }
    if STRATEGIES.contains(&name) {
        let problem = format!("`{name}` is not built yet; simple-shuffle is used");
        field.warn(Wrong::new(problem, ""), problems);
        return;
    }
    let near = did_you_mean(&nearest(name, STRATEGIES.iter().copied()));
    let hint = if near.is_empty() { "write `simple-shuffle`".to_owned() } else { near };
    field.error(Wrong::new(format!("unknown strategy `{}`", shown(name)), hint), problems);
}

fn header(field: &Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let name = field.text(problems)?;
    if address::is_header_name(name) {
        return Some(name.to_ascii_lowercase().into());
    }
    field.error(Wrong::new("is not the name of a header", "use letters, digits and `-`"), problems);
    None
}

fn env_node(env: &Env<'_>, name: &str) -> Option<Node> {
    env.get(name).map(|text| Node::scalar(&text, Style::Environment, At::whole(0)))
}

fn env_flag(env: &Env<'_>, name: &str, problems: &mut Problems) -> Option<bool> {
    let node = env_node(env, name)?;
    env_value(value::flag(&node), name, problems)
}

fn env_time(env: &Env<'_>, name: &str, problems: &mut Problems) -> Option<u64> {
    let node = env_node(env, name)?;
    env_value(value::time(&node, 0, 3_600_000), name, problems)
}

fn env_value<T>(read: Result<T, Wrong>, name: &str, problems: &mut Problems) -> Option<T> {
    read.map_err(|wrong| {
        let problem = format!("environment variable {name}: {}", wrong.problem);
        problems.warn(At::whole(0), &Path::Root, Wrong::new(problem, wrong.hint));
    })
    .ok()
}
