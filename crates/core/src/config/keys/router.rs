//! The keys of `router_settings` and of the mappings within it.
//!
//! Looked up by [`super::rows`]. Always true: one key is one row.

use super::row::{
    BUDGET_USD, CHECK_PERIOD_MIN, COOLDOWN, DAY, GENERAL_PLACE, HOUR, Kind, RETRIES, Row, TIMEOUT,
    ignored, lacks, misplaced, not_yet, refused, served,
};
use crate::config::features;

#[rustfmt::skip]
pub(super) const ROUTER: &[Row] = &[
    served("routing_strategy", Kind::Text, "simple-shuffle", "How one of the healthy members is picked. `simple-shuffle`: at random, by weight. `least-busy`: the one with the fewest attempts in flight. `latency-based-routing`: the fastest by time to first token, or per token. `usage-based-routing` and `usage-based-routing-v2`: the one that used the fewest tokens of late. `cost-based-routing`: the cheapest. `provider-budget-routing`: as `simple-shuffle`, within budgets, which hold under every strategy. `health-aware`: of two at random the better one by expected time, load and weight. `lar1` runs as `simple-shuffle`, with a warning."),
    served("num_retries", RETRIES, "2", "Attempts after the first in each group."),
    served("timeout", TIMEOUT, "600", "Bounds one attempt; of a stream, its first content."),
    served("stream_timeout", TIMEOUT, "`timeout` for the first content, 120 for a silence", "Time limit of a stream's first content and of every silence after it."),
    served("fallbacks", Kind::List, "", "Groups to try after a group: `[{gpt-4: [claude, mistral]}]`. A plain name, or the group `*`, applies to all groups."),
    served("default_fallbacks", Kind::List, "", "Groups to try after any group, and for unknown names."),
    served("max_stream_duration", TIMEOUT, "none", "Time limit of a whole stream. A stream that is cut ends with an error event, and the deployment is not blamed."),
    served("max_fallbacks", RETRIES, "5", "How many fallback groups one request may try; 0 turns fallbacks off."),
    served("max_wait_s", Kind::Time(0, HOUR), "15", "How long a request may wait in all for a deployment whose provider named a time, whose slots are full, or whose half-open request is in flight, before it is refused; 0 refuses at once."),
    served("accept_empty_answers", Kind::Bool, "false", "Pass on an answer without text, tool call, reasoning, refusal or audio whose usage reports no output, even if another deployment is left."),
    served("max_waiting", Kind::Count(0, 1_000_000), "1000", "How many requests for one model group may wait; one more is refused at once."),
    served("allowed_fails", Kind::Count(0, 1_000_000), "the rule for failures in a row", "Failures within a minute that are tolerated; one more ejects the deployment."),
    served("allowed_fails_policy", Kind::Map, "", "The same by kind of failure, which wins."),
    served("retry_policy", Kind::Map, "", "Attempts after the first by the kind of the first failure. A request's own `num_retries` wins; this wins over a deployment's."),
    served("model_group_retry_policy", Kind::Map, "", "The same for single groups: `{group: {TimeoutErrorRetries: 1}}`; it replaces `retry_policy` there."),
    served("routing_strategy_args", Kind::Map, "", "Arguments of the strategy."),
    served("context_window_fallbacks", Kind::List, "`fallbacks`", "Groups to try after a request that was too long for a group."),
    served("content_policy_fallbacks", Kind::List, "none", "Groups to try after a provider's policy refused a request."),
    served("content_policy_use_general_fallbacks", Kind::Bool, "false", "Use `fallbacks` if no content-policy list exists."),
    served("enable_pre_call_checks", Kind::Bool, "false", "Keep requests from deployments whose context window they exceed by a cautious estimate (4 bytes a token), and enforce `rpm` and `tpm`."),
    served("optional_pre_call_checks", Kind::List, "", "`enforce_model_rate_limits` enforces `rpm` and `tpm`; `session_affinity`, `prompt_caching` and `deployment_affinity` are `affinity: session`, `affinity: prefix` and `affinity: key`, the first of them that a request has a name for; `router_budget_limiting` and `responses_api_deployment_check` are always on. The others have no effect yet."),
    served("affinity", Kind::Text, "auto", "Whether a session keeps to the deployment whose provider has its prompt in the cache. `auto`: where a provider bills tokens of its cache lower and reports some, and the strategy does not level what it measures; named by the session's id, else by the beginning of a conversation of at least 1,024 tokens. `session`, `prefix` and `key` (the client's own, not the master key): always, by that name alone. `off`: never. Health and load come first: see [routing](routing.md#sessions-keep-to-one-deployment)."),
    served("rescue", Kind::Text, "text", "What follows when a stream of plain text breaks after its first content. `text`: another deployment goes on from what was said, if its words agree with it. `replay`: it says all of it again, silently, and goes on. `off`: the client gets an error in the stream. See [streams](streams.md)."),
    served("rescue_buffer_ms", Kind::Count(0, 60_000), "0", "How long a stream of text is held back behind its first content, milliseconds, so that a break meanwhile is a failed attempt which the client does not see."),
    served("rescue_buffer_tokens", Kind::Count(0, 10_000), "0", "How many tokens of it are held back, about; 5 s at most if `rescue_buffer_ms` is not set. Whichever comes first ends it."),
    served("resume_window_s", Kind::Time(0, HOUR), "0", "How long a client that lost the connection of a stream may come back for the rest, seconds. Until then the provider goes on without it, and its answer is paid once. 0: a client that leaves frees the provider at once. See [streams](streams.md#streams-that-clients-can-resume)."),
    served("default_max_parallel_requests", Kind::Count(1, 1_000_000), "none", "`max_parallel_requests` of deployments that have none."),
    served("enable_tag_filtering", Kind::Bool, "false", "Let a request's tags (`tags`, `metadata.tags`, `x-litellm-tags`) decide which deployments it may use."),
    served("tag_filtering_match_any", Kind::Bool, "true", "Whether one common tag is enough. Otherwise all of the request's tags must match."),
    served("request_timeout", TIMEOUT, "`litellm_settings.request_timeout`", "Time limit of a whole request, all attempts and fallbacks together."),
    served("cooldown_time", COOLDOWN, "5", "Cooldown of an ejected deployment; 0 turns cooldown off."),
    served("disable_cooldowns", Kind::Bool, "false", "No deployment is ever ejected."),
    served("retry_after", Kind::Time(0, HOUR), "0", "Smallest pause before a retry on the same deployment."),
    served("model_group_alias", Kind::Map, "", "Further names of groups: `{alias: group}` or `{alias: {model: group, hidden: true}}`. An alias may name another alias. One with stars (`claude-*`) stands for all names that it matches and that have no other meaning; it comes before groups with stars."),
    served("provider_budget_config", Kind::Map, "", "Budget of all deployments of a provider: `{openai: {budget_limit: 100, time_period: 1d}}`. When it is spent, they get no requests until the window ends."),
    refused("guardrail_list", "requests that a guardrail should stop would pass"),
    refused("model_list", "it belongs at the top of the config"),
    ignored("set_verbose", "Use `--debug`."),
    ignored("debug_level", "Use `--debug`."),
    ignored("ignore_invalid_deployments", "A deployment that cannot serve never stops the others."),
    ignored("client_ttl", "Connections are pooled."),
    served("tag_routing_prefix", Kind::Text, "none", "A prefix that marks a request's tags as meant for routing. It is removed, and a tag that had it never falls back to `default` deployments."),
    ignored("router_general_settings", "Not for a gateway."),
    not_yet("routing_groups", "There are no groups of groups; an alias names one group."),
    not_yet("enable_weighted_failover", "A failed request always moves to a sibling."),
    lacks("deployment_affinity_ttl_seconds", &features::AFFINITY),
    lacks("model_group_affinity_config", &features::AFFINITY),
    served("enable_health_check_routing", Kind::Bool, "false", "As `general_settings.enable_health_check_routing`, which wins."),
    served("health_check_staleness_threshold", Kind::Time(CHECK_PERIOD_MIN, 7 * DAY), "", "As `general_settings.health_check_staleness_threshold`, which wins."),
    served("health_check_ignore_transient_errors", Kind::Bool, "false", "As `general_settings.health_check_ignore_transient_errors`, which wins."),
    served("background_health_check_model_groups", Kind::List, "", "As `general_settings.background_health_check_model_groups`, which wins."),
    misplaced("health_check_interval", GENERAL_PLACE),
    misplaced("health_check_concurrency", GENERAL_PLACE),
    misplaced("background_health_checks", GENERAL_PLACE),
    served("default_litellm_params", Kind::Map, "", "`litellm_params` of every deployment that does not set them itself."),
    lacks("default_priority", &features::QUEUE),
    lacks("polling_interval", &features::QUEUE),
    served("redis_url", Kind::Text, "`cache_params` of type `redis`, else `REDIS_URL`", "The Redis or Valkey through which replicas share deadlines, cooldowns and limits: `redis://`, `rediss://` or `redis+unix://`. Without one each process judges by itself."),
    served("redis_host", Kind::Text, "`cache_params`, else `REDIS_HOST`", "Its host, in place of a URL."),
    served("redis_port", Kind::Count(1, 65_535), "6379", "Its port."),
    served("redis_username", Kind::Text, "none", "The user there."),
    served("redis_password", Kind::Text, "none", "The password there."),
    served("redis_db", Kind::Count(0, 1_000_000), "0", "The number of the database there."),
    served("redis_ssl", Kind::Bool, "false", "Whether the connection to that host is encrypted. A URL says it itself."),
    served("read_litellm_cooldowns", Kind::Bool, "false", "Whether a 429 that replicas of LiteLLM noted in that Redis holds here too: for a fleet of both, with the same `model_info.id`."),
    lacks("redis_*", &features::SHARED_STATE),
    lacks("cache_kwargs", &features::SHARED_STATE),
    lacks("cache_responses", &features::CACHING),
    lacks("caching_groups", &features::CACHING),
    not_yet("alerting_config", "`general_settings.alerting` is served."),
    lacks("plugins", &features::PLUGINS),
    lacks("search_tools", &features::SEARCH),
    lacks("assistants_config", &features::ASSISTANTS),
    not_yet("weights", "`weight` of a deployment is served."),
    not_yet("max_retries", "`num_retries` is served."),
    ignored("fallback_access_check", "A fallback that a key may not use is always skipped."),
    ignored("fallback_budget_check", "A fallback is charged to the same key, user and team."),
    lacks("auto_router_capability_limit", &features::STRATEGY_ROUTERS),
];

#[rustfmt::skip]
pub(super) const ALIAS: &[Row] = &[
    served("model", Kind::Text, "required", "The group, or another alias."),
    served("hidden", Kind::Bool, "false", "Leave it out of `/v1/models`."),
];

#[rustfmt::skip]
pub(super) const STRATEGY: &[Row] = &[
    served("ttl", Kind::Time(1_000, DAY), "3600", "How long a measured time counts. Under the strategies by usage it has no effect: a minute is sixty seconds."),
    served("lowest_latency_buffer", Kind::Number(0.0, 100.0), "0", "How much slower than the fastest one may be and still be chosen: 0.1 is ten percent."),
    ignored("max_latency_list_size", "Times are a moving average."),
    not_yet("ttft_percentile", "Times are a moving average."),
    not_yet("confidence_threshold_*", "They are of another strategy."),
];

#[rustfmt::skip]
pub(super) const RETRY_POLICY: &[Row] = &[
    served("BadRequestErrorRetries", RETRIES, "`DefaultRetries`", "After a request that the provider calls wrong."),
    served("AuthenticationErrorRetries", RETRIES, "`DefaultRetries`", "After a refused credential."),
    served("TimeoutErrorRetries", RETRIES, "`DefaultRetries`", "After no answer in time."),
    served("RateLimitErrorRetries", RETRIES, "`DefaultRetries`", "After a rate limit or a quota."),
    served("ContentPolicyViolationErrorRetries", RETRIES, "`DefaultRetries`", "After a refusal by policy."),
    served("InternalServerErrorRetries", RETRIES, "`DefaultRetries`", "After a failing server, a broken answer, no connection."),
    served("ServiceUnavailableErrorRetries", RETRIES, "`DefaultRetries`", "After overload (503, 529)."),
    served("BadGatewayErrorRetries", RETRIES, "`DefaultRetries`", "After a 502."),
    served("NotFoundErrorRetries", RETRIES, "`DefaultRetries`", "After an unknown model."),
    served("DefaultRetries", RETRIES, "`num_retries`", "After every other failure."),
];

#[rustfmt::skip]
pub(super) const FAILS_POLICY: &[Row] = &[
    ignored("BadRequestErrorAllowedFails", "What the caller did never counts against a deployment."),
    served("AuthenticationErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "A refused credential."),
    served("TimeoutErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "No answer in time."),
    served("RateLimitErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "A rate limit or a quota."),
    ignored("ContentPolicyViolationErrorAllowedFails", "What the caller did never counts against a deployment."),
    served("InternalServerErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "A failing server, a broken answer, no connection."),
    served("ServiceUnavailableErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "Overload (503, 529)."),
    served("BadGatewayErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "A 502."),
    served("NotFoundErrorAllowedFails", Kind::Count(0, 1_000_000), "`allowed_fails`", "An unknown model."),
];

#[rustfmt::skip]
pub(super) const BUDGET: &[Row] = &[
    served("budget_limit", BUDGET_USD, "required", "USD within `time_period`, above 0."),
    served("max_budget", BUDGET_USD, "", "As `budget_limit`."),
    served("time_period", Kind::Text, "required", "The length of the window, from its first cost on: `30s`, `10m`, `24h`, `7d`, `2w`, or `1mo` by the calendar (UTC)."),
    served("budget_duration", Kind::Text, "", "As `time_period`."),
    not_yet("rpm_limit", "A rate is no budget; LiteLLM does not enforce it here either."),
    not_yet("tpm_limit", "A rate is no budget; LiteLLM does not enforce it here either."),
];

#[rustfmt::skip]
pub(super) const WINDOW: &[Row] = &[
    served("start", Kind::Text, "required", "The first moment, by the clock on the wall: `\"22:00\"` or `\"22:00:30\"`."),
    served("end", Kind::Text, "required", "The first moment after it; when it is earlier than `start`, on the next day."),
    served("timezone", Kind::Text, "required", "`Europe/Berlin`, `UTC`, ...: daylight saving time is that of the zone."),
    served("team_ids", Kind::List, "required", "The teams that it is reserved for."),
];
