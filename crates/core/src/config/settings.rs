//! `litellm_settings`, `router_settings` and `general_settings`.
//!
//! Called by [`super::load`]. Always true: a key that is absent has the default of its type; an
//! unusable master key is always an error.

use crate::health::probe::ProbeSettings;
use crate::route::{STRATEGIES, Strategy, StrategyArgs};
use crate::secret::Secret;
use crate::settings::{Bounds, GatewaySettings, RouterSettings, SharedSettings};

use super::elsewhere::Elsewhere;
use super::fallbacks::{References, Written};
use super::field::{Field, visit};
use super::from_env::{env_flag, env_time};
use super::interpolate::Env;
use super::keys::{self, Section, Support};
use super::policies::{self, OfGroups};
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::{did_you_mean, nearest};
use super::tree::{Map, Node, Value};
use super::value::describe_kind;
use super::{
    address, adjusts, affinity, alerts, allowed_ips, backend, budgets, cache, fetch, filters,
    making, metrics, mirror, open_pages, origins, probing, rescue, sessions, shared, sinks, store,
    user_headers,
};

const MASTER_KEY: &str = "LITELLM_MASTER_KEY";
const PERMIT_WEAK: &str = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY";
const SALT_KEY: &str = "LITELLM_SALT_KEY";
const STORE_MODELS: &str = "STORE_MODEL_IN_DB";
const DROP_PARAMS: &str = "LITELLM_DROP_PARAMS";
const SHUTDOWN: &str = "GRACEFUL_SHUTDOWN_TIMEOUT";
const DRAIN_TOKEN: &str = "DRAIN_ENDPOINT_TOKEN";

/// Strategies of LiteLLM that do not exist here yet.
const OTHER_STRATEGIES: &[&str] = &["lar1"];
/// What the three sections say.
#[derive(Default)]
pub(super) struct Settings<'n> {
    /// How requests are routed, without what refers to names.
    pub(super) router: RouterSettings,
    /// How the process serves.
    pub(super) gateway: GatewaySettings,
    /// How deployments are probed.
    pub(super) probing: ProbeSettings,
    /// What refers to names.
    pub(super) references: References<'n>,
    /// Where `pass_through_all_models` is set.
    pub(super) passes_all_models: Option<At>,
    /// `model_group_retry_policy`.
    pub(super) group_policies: OfGroups,
    /// What may be spent.
    pub(super) budgets: budgets::Written,
    /// LiteLLM's own server.
    pub(super) backend: backend::Written,
    /// What changes costs.
    pub(super) adjusts: adjusts::Written,
    /// What replicas share, and where.
    pub(super) shared: SharedSettings,
    redis: shared::Redis,
    cache: cache::Written,
    alerts: alerts::Written,
    sinks: sinks::Written,
    strategy_args: StrategyArgs,
    affinity: affinity::Written,
    elsewhere: Elsewhere,
}

/// What the environment says of what is made at run time.
fn run_time(gateway: &mut GatewaySettings, env: &Env<'_>, problems: &mut Problems) {
    gateway.salt_key = env.get(SALT_KEY).map(|key| Secret::new(&key));
    gateway.stores_models = env_flag(env, STORE_MODELS, problems).unwrap_or(false);
}

/// Reads the sections of `top`.
pub(super) fn read<'n>(top: &'n Map, env: &Env<'_>, problems: &mut Problems) -> Settings<'n> {
    let mut settings = Settings { sinks: sinks::Written::of(top), ..Settings::default() };
    settings.gateway.drop_params = env_flag(env, DROP_PARAMS, problems).unwrap_or(false);
    settings.gateway.permit_weak_master_key = env_flag(env, PERMIT_WEAK, problems).unwrap_or(false);
    settings.probing = probing::environment(env, problems);
    settings.gateway.store = store::environment(env);
    run_time(&mut settings.gateway, env, problems);
    settings.gateway.origins = origins::environment(env, problems);
    settings.gateway.drain_token = env.get(DRAIN_TOKEN).map(|token| Secret::new(&token));
    if let Some(ms) = env_time(env, SHUTDOWN, problems) {
        settings.gateway.shutdown_timeout_ms = ms;
    }
    if let Some(map) = section(top, Section::Litellm, env, problems) {
        let path = Path::Root.key("litellm_settings");
        visit(Section::Litellm, map, &path, problems, |field, problems| {
            let node = map.get(field.row.name);
            let known = settings.litellm(field, problems)
                || settings.sinks.setting(field, problems)
                || metrics::setting(&mut settings.gateway.metrics, field, problems)
                || settings.elsewhere.read(field, problems)
                || settings.refers("litellm_settings", field, node, problems);
            debug_assert!(known, "{} is in keys.rs but nothing reads it", field.row.name);
        });
    }
    if let Some(map) = section(top, Section::Router, env, problems) {
        let path = Path::Root.key("router_settings");
        visit(Section::Router, map, &path, problems, |field, problems| {
            let node = map.get(field.row.name);
            let known = settings.router(field, problems)
                || settings.policy(field, problems)
                || probing::setting(&mut settings.probing, field, problems)
                || settings.redis.setting(field, problems)
                || settings.refers("router_settings", field, node, problems);
            debug_assert!(known, "{} is in keys.rs but nothing reads it", field.row.name);
        });
    }
    if let Some(map) = section(top, Section::General, env, problems) {
        let path = Path::Root.key("general_settings");
        visit(Section::General, map, &path, problems, |field, problems| {
            let known = settings.general(field, problems)
                || settings.sinks.setting(field, problems)
                || settings.elsewhere.read(field, problems)
                || settings.bound(field, problems)
                || settings.alerts.setting(field, problems)
                || store::setting(&mut settings.gateway.store, field, problems)
                || probing::setting(&mut settings.probing, field, problems);
            debug_assert!(known, "{} is in keys.rs but nothing reads it", field.row.name);
        });
    }
    let SharedSettings { probes, litellm, .. } = settings.shared;
    let redis = std::mem::take(&mut settings.redis);
    settings.shared = SharedSettings { probes, litellm, ..shared::read(redis, top, env) };
    settings.elsewhere.complete(&mut settings.router, top);
    settings.gateway.json_logs = settings.elsewhere.json_logs();
    settings.gateway.cache = std::mem::take(&mut settings.cache).settings();
    settings.gateway.alerts = std::mem::take(&mut settings.alerts).settings(env, problems);
    let has_redis = settings.shared.answers.is_some();
    cache::without_redis(&mut settings.gateway.cache, has_redis, (top, problems));
    settings.gateway.sinks = std::mem::take(&mut settings.sinks).settings(top, env, problems);
    let sinks = &mut settings.gateway.sinks;
    sinks.spend_has_prompts = settings.gateway.store.prompts && !sinks.hides_messages;
    sinks.wants.messages |= sinks.spend_has_prompts;
    settings.router.strategy.args = settings.strategy_args;
    settings.router.affinity = settings.affinity.settings();
    settings.router.enforce_rates |= settings.affinity.enforces_rates;
    settings.router.enforce_rates |=
        settings.router.pre_call_checks || settings.router.strategy.limits_rates();
    settings.master_key(top, env, problems);
    settings.check(top, problems);
    settings.check_strategy(top, problems);
    settings
}

fn section<'n>(
    top: &'n Map,
    section: Section,
    env: &Env<'_>,
    problems: &mut Problems,
) -> Option<&'n Map> {
    let name = section.name();
    let node = top.get(name).filter(|node| !node.is_null())?;
    let path = Path::Root.key(name);
    let Some(map) = node.as_map() else {
        let problem = format!("expected a mapping, got {}", describe_kind(node));
        problems.error(node.at, &path, Wrong::new(problem, "write `key: value` lines below it"));
        return None;
    };
    for entry in &map.entries {
        let row = keys::find(section, &entry.key);
        let is_served = row.is_some_and(|row| row.support == Support::Served);
        // The master key has stricter rules of its own; of a key that has no effect that is said already.
        if is_served && &*entry.key != "master_key" {
            env.warn_unset(&entry.value, &path.key(&entry.key), problems);
        }
    }
    Some(map)
}

impl<'n> Settings<'n> {
    fn litellm(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let router = &mut self.router;
        match field.row.name {
            "request_timeout" => router.request_timeout_ms = field.time(problems),
            "sse_keepalive_ping_interval_seconds" => router.keepalive_ms = field.time(problems),
            "num_retries" => put(&mut router.num_retries, field.small(problems)),
            "max_fallbacks" => put(&mut router.max_fallbacks, field.small(problems)),
            "allowed_fails" => router.tolerance.others = field.small(problems),
            "tag_budget_config" => self.budgets.tags = budgets::by_name(field, problems),
            "callbacks"
            | "success_callback"
            | "failure_callback"
            | "service_callback"
            | "service_callbacks"
            | "audit_log_callbacks"
            | "post_call_rules"
            | "pre_call_rules" => filters::callbacks(field, &mut self.sinks, problems),
            "cost_discount_config" => self.adjusts.discounts(field, problems),
            "cost_margin_config" => self.adjusts.margins(field, problems),
            "max_budget" | "budget_duration" => self.budgets.of_all(field, problems),
            "guardrails" => filters::guardrails(field, problems),
            "cache" => self.cache.is_on = field.flag(problems).unwrap_or(false),
            "cache_params" => self.cache.params = cache::params(field, problems),
            "drop_params" => put(&mut self.gateway.drop_params, field.flag(problems)),
            // What it asks for is always done.
            "modify_params" => {
                field.flag(problems);
            }
            "user_url_validation" | "user_url_allowed_hosts" => {
                fetch::reference(field, &mut self.gateway.fetch, problems);
            }
            "vertex_project" | "vertex_location" => _ = field.text(problems),
            "check_provider_endpoint" => {
                put(&mut self.gateway.check_provider_endpoint, field.flag(problems));
            }
            "include_cost_in_streaming_usage" => {
                put(&mut self.gateway.include_cost_in_usage, field.flag(problems));
            }
            "require_auth_for_metrics_endpoint" => {
                put(&mut self.gateway.metrics_need_key, field.flag(problems));
            }
            _ => return making::setting(&mut self.gateway, field, problems),
        }
        true
    }

    fn router(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let router = &mut self.router;
        match field.row.name {
            // Read with `model_list`.
            "default_litellm_params" => {
                field.map(problems);
            }
            "routing_strategy" => put(&mut router.strategy, strategy(field, problems)),
            "routing_strategy_args" => self.strategy_args = strategy_args(field, problems),
            "num_retries" => put(&mut router.num_retries, field.small(problems)),
            "timeout" => put(&mut router.timeout_ms, field.time(problems)),
            "stream_timeout" => router.stream_timeout_ms = field.time(problems),
            "max_stream_duration" => router.max_stream_ms = field.time(problems),
            "max_fallbacks" => put(&mut router.max_fallbacks, field.small(problems)),
            "request_timeout" => router.request_timeout_ms = field.time(problems),
            "cooldown_time" => put(&mut router.cooldown_ms, field.time(problems)),
            "disable_cooldowns" => put(&mut router.disable_cooldowns, field.flag(problems)),
            "retry_after" => put(&mut router.retry_after_ms, field.time(problems)),
            "accept_empty_answers" => put(&mut router.accept_empty_answers, field.flag(problems)),
            "max_wait_s" => put(&mut router.max_wait_ms, field.time(problems)),
            "max_waiting" => put(&mut router.max_waiting, field.small(problems)),
            "read_litellm_cooldowns" => put(&mut self.shared.litellm, field.flag(problems)),
            _ => return false,
        }
        true
    }

    fn policy(&mut self, field: &Field<'_>, problems: &mut Problems) -> bool {
        let router = &mut self.router;
        match field.row.name {
            "allowed_fails" => router.tolerance.others = field.small(problems),
            "allowed_fails_policy" => {
                router.tolerance.named = policies::read(Section::Fails, field, problems).named;
            }
            "retry_policy" => {
                router.retry_policy = policies::read(Section::Retries, field, problems);
            }
            "model_group_retry_policy" => self.group_policies.read(field, problems),
            "content_policy_use_general_fallbacks" => {
                put(&mut router.policy_uses_general, field.flag(problems));
            }
            "enable_pre_call_checks" => put(&mut router.pre_call_checks, field.flag(problems)),
            "optional_pre_call_checks" => self.affinity.checks(field, problems),
            "affinity" => self.affinity.mode(field, problems),
            "rescue" => rescue::read(&mut router.rescue, field, problems),
            "rescue_buffer_ms" => router.hold.ms = field.small(problems).unwrap_or(0).into(),
            "rescue_buffer_tokens" => router.hold.tokens = field.small(problems).unwrap_or(0),
            "resume_window_s" => router.resume_window_ms = field.time(problems).unwrap_or(0),
            "default_max_parallel_requests" => {
                router.default_max_parallel = field.small(problems);
            }
            "enable_tag_filtering" => put(&mut router.tags.enabled, field.flag(problems)),
            "tag_routing_prefix" => {
                router.tags.prefix = field.text(problems).map(Box::from).unwrap_or_default();
            }
            "provider_budget_config" => {
                self.budgets.providers = budgets::by_name(field, problems);
            }
            "tag_filtering_match_any" => put(&mut router.tags.match_any, field.flag(problems)),
            _ => return false,
        }
        true
    }

    /// Values that refer to names are only remembered, because the names are not known yet.
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
            "fallbacks"
            | "default_fallbacks"
            | "context_window_fallbacks"
            | "content_policy_fallbacks"
                if is_empty || field.list(problems).is_none() => {}
            "fallbacks" => self.references.fallbacks = written,
            "default_fallbacks" => self.references.defaults = written,
            "context_window_fallbacks" => self.references.context_window = written,
            "content_policy_fallbacks" => self.references.content_policy = written,
            "model_group_alias" if field.map(problems).is_some() => {
                self.references.aliases = written
            }
            "model_group_alias" => {}
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
                        Err(wrong) => field.wrong(wrong, problems),
                    }
                }
            }
            "dangerously_permit_weak_or_unset_master_key" => {
                put(&mut gateway.permit_weak_master_key, field.flag(problems));
            }
            "use_shared_health_check" => put(&mut self.shared.probes, field.flag(problems)),
            "fetch_urls" => put(&mut gateway.fetch.from, fetch::from(field, problems)),
            "cors_origins" => put(&mut gateway.origins, origins::read(field, problems)),
            "allowed_ips" => gateway.allowed_ips = allowed_ips::read(field, problems),
            "litellm_key_header_name" => gateway.key_header = header(field, problems),
            "user_header_name" => gateway.user_headers.extend(header(field, problems)),
            "user_header_mappings" => {
                gateway.user_headers.splice(0..0, user_headers::read(field, problems));
            }
            "always_include_stream_usage" => {
                put(&mut gateway.always_include_stream_usage, field.flag(problems));
            }
            "mirror" => gateway.mirror = mirror::read(field, problems),
            "litellm_backend_url" => self.backend.url(field, problems),
            "ui" => self.backend.ui(field, problems),
            "max_budget_per_session" => gateway.session.budget = sessions::budget(field, problems),
            "max_requests_per_session" => gateway.session.requests = field.count(problems),
            "pass_through_all_models" => {
                let asked = field.flag(problems).unwrap_or(false);
                self.passes_all_models = asked.then_some(field.at);
            }
            "dangerously_allow_mock_testing_request_params" => {
                put(&mut gateway.allows_mocks, field.flag(problems));
            }
            "store_model_in_db" => gateway.stores_models |= field.flag(problems).unwrap_or(false),
            "health_check_details" => put(&mut gateway.health_details, field.flag(problems)),
            "allow_public_health_readiness_details" => {
                put(&mut gateway.public_readiness_details, field.flag(problems));
            }
            "request_log" => gateway.request_log = field.text(problems).map(Box::from),
            "drain_delay_s" => put(&mut gateway.drain_delay_ms, field.time(problems)),
            "shutdown_timeout_s" => put(&mut gateway.shutdown_timeout_ms, field.time(problems)),
            _ => return open_pages::read(field, gateway, problems),
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
            "upstream_idle_timeout_s" => {
                put(&mut self.gateway.kept_connections.idle_ms, field.time(problems));
            }
            "resend_on_stale_connection" => {
                put(&mut self.gateway.kept_connections.resend_on_stale, field.flag(problems));
            }
            "websocket_idle_timeout_s" => put(&mut bounds.websocket_idle_ms, field.time(problems)),
            "body_read_timeout_s" => put(&mut bounds.body_read_ms, field.time(problems)),
            "body_min_rate_kib" => {
                let rate = field.count(problems).map(|kib| kib << 10);
                put(&mut bounds.body_min_rate, rate);
            }
            _ => return false,
        }
        true
    }

    /// A master key that refers to an unset variable must not open the gateway.
    fn master_key(&mut self, top: &Map, env: &Env<'_>, problems: &mut Problems) {
        let general = top.get("general_settings").and_then(Node::as_map);
        let written = general.and_then(|map| map.get("master_key")).filter(|node| !node.is_null());
        if let Some(node) = written {
            if let Value::Missing(name) = &node.value {
                let wrong = env.unset(name, node.at, problems);
                let path = Path::Root.key("general_settings");
                problems.error(node.at, &path.key("master_key"), wrong);
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

    /// Rules for keys that have a second name.
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
                       the largest bodies would never fit";
        let path = Path::Root.key("general_settings");
        let hint = "raise max_buffered_mb, or lower the others";
        problems.error(at, &path.key(key), Wrong::new(problem, hint));
    }
}

impl Settings<'_> {
    /// Settings of a strategy that have no effect under it.
    fn check_strategy(&self, top: &Map, problems: &mut Problems) {
        let Some(map) = top.get("router_settings").and_then(Node::as_map) else { return };
        let path = Path::Root.key("router_settings");
        let mut warn = |key: &str, problem: &str, hint: &str| {
            if let Some(node) = map.get(key) {
                problems.warn(node.at, &path.key(key), Wrong::new(problem, hint));
            }
        };
        let name = self.router.strategy.name();
        let ttl_ms = self.strategy_args.ttl_ms;
        let has_own = ttl_ms != StrategyArgs::default().ttl_ms && ttl_ms != 60_000;
        if name.starts_with("usage-based-routing") && has_own {
            let problem = "`ttl` has no effect under this strategy";
            warn("routing_strategy_args", problem, "`rpm` and `tpm` are per sixty seconds");
        }
        if name == "provider-budget-routing" && self.budgets.providers.is_empty() {
            let problem = "no provider has a budget: it is the same as `simple-shuffle`";
            warn("routing_strategy", problem, "set `provider_budget_config`");
        }
    }
}

/// `routing_strategy_args`.
fn strategy_args(field: &Field<'_>, problems: &mut Problems) -> StrategyArgs {
    let mut args = StrategyArgs::default();
    let Some(map) = field.map(problems) else { return args };
    visit(Section::Strategy, map, &field.path, problems, |field, problems| match field.row.name {
        "ttl" => put(&mut args.ttl_ms, field.time(problems)),
        "lowest_latency_buffer" => put(&mut args.buffer, field.number(problems)),
        other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
    });
    args
}

fn put<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

fn strategy(field: &Field<'_>, problems: &mut Problems) -> Option<Strategy> {
    let name = field.text(problems)?;
    if let Some(strategy) = Strategy::named(name) {
        return Some(strategy);
    }
    if OTHER_STRATEGIES.contains(&name) {
        let problem = format!("`{name}` is not served yet; simple-shuffle is used");
        field.warn(Wrong::new(problem, "`health-aware` uses load and speed"), problems);
        return None;
    }
    let known = STRATEGIES.iter().map(|row| row.name).chain(OTHER_STRATEGIES.iter().copied());
    let near = did_you_mean(&nearest(name, known));
    let hint = if near.is_empty() { "write `simple-shuffle`".to_owned() } else { near };
    field.wrong(Wrong::new(format!("unknown strategy `{}`", shown(name)), hint), problems);
    None
}

fn header(field: &Field<'_>, problems: &mut Problems) -> Option<Box<str>> {
    let name = field.text(problems)?;
    if address::is_header_name(name) {
        return Some(name.to_ascii_lowercase().into());
    }
    field.wrong(Wrong::new("is not the name of a header", "use letters, digits and `-`"), problems);
    None
}
