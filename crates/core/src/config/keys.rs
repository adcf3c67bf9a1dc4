//! Every key that a config may have: tables by section, used by the loader and by the reference page. Those of an entry are in
//! [`deployment`], those of `router_settings` in [`router`], those of mappings within the other sections in [`parts`].
//!
//! Read by [`super::field`] for each key of each section and by [`super::reference()`]. Always
//! true: one key is one row; it is served as its row says, or the row says that it is not served.

mod deployment;
mod parts;
mod router;
mod row;

use self::deployment::{CREDENTIAL, ENTRY, INFO, PARAMS};
pub(super) use self::deployment::{NUMERIC_PARAMS, REQUEST_PARAMS};
use self::parts::{ALERTING, CACHE};
use self::router::{ALIAS, BUDGET, FAILS_POLICY, RETRY_POLICY, ROUTER, STRATEGY, WINDOW};
use self::row::{
    BUDGET_USD, CHECK_PERIOD_MIN, COOLDOWN, DAY, GENERAL_PLACE, HOUR, INFO_PLACE, LITELLM_BUDGET,
    RETRIES, TIMEOUT, ignored, misplaced, refused, served,
};
pub(super) use self::row::{Kind, Row, Section, Support, lacks, not_yet};
use super::features;
use super::known;
use crate::group::Pattern;

/// The keys of a section.
pub(super) fn rows(section: Section) -> &'static [Row] {
    match section {
        Section::Top => TOP,
        Section::Entry => ENTRY,
        Section::Params => PARAMS,
        Section::Info => INFO,
        Section::Litellm => LITELLM,
        Section::Router => ROUTER,
        Section::General => GENERAL,
        Section::Credential => CREDENTIAL,
        Section::Alias => ALIAS,
        Section::Strategy => STRATEGY,
        Section::Retries => RETRY_POLICY,
        Section::Fails => FAILS_POLICY,
        Section::Budget => BUDGET,
        Section::Window => WINDOW,
        Section::Cache => CACHE,
        Section::Alerting => ALERTING,
    }
}

/// The row of `name`: its own, or that of a pattern that matches it.
pub(super) fn find(section: Section, name: &str) -> Option<&'static Row> {
    let rows = rows(section);
    let has_pattern = |row: &&Row| {
        row.name.contains('*')
            && Pattern::parse(row.name).is_some_and(|pattern| pattern.captures(name).is_some())
    };
    let found = rows.iter().find(|row| row.name == name);
    found.or_else(|| known::find(section, name)).or_else(|| rows.iter().find(has_pattern))
}

/// Sections that people take for one another, as they are written.
const SECTIONS: [(Section, &str); 6] = [
    (Section::General, "general_settings"),
    (Section::Router, "router_settings"),
    (Section::Litellm, "litellm_settings"),
    (Section::Params, "litellm_params"),
    (Section::Info, "model_info"),
    (Section::Top, "the top of the config"),
];

/// The section in which the key `name` has a meaning, for a key that has none in `section`.
pub(super) fn elsewhere(section: Section, name: &str) -> Option<(&'static str, &'static Row)> {
    let others: &[Section] = match section {
        Section::Top | Section::Litellm | Section::Router | Section::General => {
            &[Section::General, Section::Router, Section::Litellm, Section::Top]
        }
        Section::Entry => &[Section::Params, Section::Info],
        // What is no parameter of a deployment is the provider's, but for what only Hale can mean.
        Section::Params => &[Section::Info],
        Section::Info
        | Section::Credential
        | Section::Alias
        | Section::Strategy
        | Section::Retries
        | Section::Fails
        | Section::Budget
        | Section::Window
        | Section::Cache
        | Section::Alerting => &[],
    };
    let places = SECTIONS.iter().filter(|(other, _)| *other != section && others.contains(other));
    let found = places.filter_map(|(other, title)| {
        let row = rows(*other).iter().find(|row| row.name == name);
        Some((*title, row.or_else(|| known::find(*other, name))?))
    });
    let mut found = found.filter(|(_, row)| row.support != Support::Misplaced);
    let first = found.clone().next();
    found.find(|(_, row)| row.support == Support::Served).or(first)
}

/// The section with a pattern that matches `name`, for a key that has no meaning in `section` of the settings.
pub(super) fn pattern_elsewhere(
    section: Section,
    name: &str,
) -> Option<(&'static str, &'static Row)> {
    let settings =
        |one: Section| matches!(one, Section::General | Section::Router | Section::Litellm);
    if !settings(section) && section != Section::Top {
        return None;
    }
    let places = SECTIONS.iter().filter(|(other, _)| *other != section && settings(*other));
    let mut found = places.filter_map(|(other, title)| Some((*title, find(*other, name)?)));
    found.find(|(_, row)| row.name.contains('*') && row.support != Support::Misplaced)
}

/// The names of a section's keys that may be suggested.
pub(super) fn names(section: Section) -> impl Iterator<Item = &'static str> {
    let suggested = |row: &&Row| {
        !matches!(row.support, Support::Refused | Support::Misplaced) && !row.name.contains('*')
    };
    rows(section).iter().filter(suggested).map(|row| row.name)
}

#[rustfmt::skip]
const TOP: &[Row] = &[
    served("model_list", Kind::List, "required", "The deployments. Entries with the same `model_name` form a model group."),
    served("litellm_settings", Kind::Map, "", "Settings of calls."),
    served("router_settings", Kind::Map, "", "Settings of routing; they win over `litellm_settings`."),
    served("general_settings", Kind::Map, "", "Settings of the process."),
    served("environment_variables", Kind::Map, "", "Values for `os.environ/NAME` and for the variables that this config's keys fall back to. They win over the process environment and are not exported to it."),
    served("include", Kind::List, "", "Further files. Lists are appended, every other value replaces the one before."),
    served("credential_list", Kind::List, "", "Named credentials for `litellm_credential_name`."),
    served("guardrails", Kind::List, "", "Guardrails, of which none is served. One with `default_on: true` is an error, because requests that it should stop would pass; the others are a warning, and a request that names one is refused."),
    not_yet("policies", "Policies: a request that names one is refused. One that is attached, by `policy_attachments`, is an error."),
    refused("policy_attachments", "requests that a policy should stop would pass"),
    served("callback_settings", Kind::Map, "", "Settings of sinks by name: `message_logging` (whether it gets what was said), `sample_rate` (0 to 1). An entry with `callback_type: generic_api`, `endpoint`, `headers`, `event_types` and `log_format` is a webhook of that name."),
    lacks("mcp_servers", &features::MCP),
    lacks("mcp_tools", &features::MCP),
    not_yet("files_settings", "`/v1/files` goes to a deployment of `model_list`."),
    not_yet("finetune_settings", "Fine-tuning goes to a deployment of `model_list`."),
    not_yet("vector_store_registry", "There are no vector stores."),
    lacks("search_tools", &features::SEARCH),
    not_yet("prompts", "There are no stored prompts: the client sends the messages."),
    lacks("default_vertex_config", &features::RELAYED_ROUTES),
    lacks("pass_through_endpoints", &features::RELAYED_ROUTES),
    lacks("assistant_settings", &features::ASSISTANTS),
    lacks("agent_list", &features::AGENTS),
    lacks("agents", &features::AGENTS),
    not_yet("sandbox_tools", "There are no sandboxes."),
    lacks("plugins", &features::PLUGINS),
    not_yet("worker_registry", "There are no workers of others."),
    lacks("classifier_plugin", &features::PLUGINS),
];

#[rustfmt::skip]
const LITELLM: &[Row] = &[
    served("request_timeout", TIMEOUT, "none", "Time limit of a whole request, all attempts and fallbacks together; of a stream, of its first content."),
    served("sse_keepalive_ping_interval_seconds", Kind::Time(0, DAY), "none", "After how many seconds of silence a stream gets a comment, again and again, 1 to 300: also before its first event, when the client then has the status 200 and reads of a failure in the stream. 0: never. See [streams](streams.md#silence)."),
    served("num_retries", RETRIES, "2", "As `router_settings.num_retries`, which wins."),
    served("fallbacks", Kind::List, "", "As `router_settings.fallbacks`, which wins."),
    served("default_fallbacks", Kind::List, "", "As `router_settings.default_fallbacks`, which wins."),
    served("max_fallbacks", RETRIES, "5", "As `router_settings.max_fallbacks`, which wins."),
    served("allowed_fails", Kind::Count(0, 1_000_000), "", "As `router_settings.allowed_fails`, which wins."),
    served("drop_params", Kind::Bool, "false", "Remove request parameters that the provider does not know. Falls back to `LITELLM_DROP_PARAMS`."),
    served("check_provider_endpoint", Kind::Bool, "false", "Show the models behind a pattern as their providers list them, read again after five minutes. Otherwise, and where a provider has no list, they are those of the price list."),
    served("include_cost_in_streaming_usage", Kind::Bool, "false", "Show the cost, USD, in the usage of a stream: `usage.cost`. Counts that are not believed, and models without a price, have none."),
    served("require_auth_for_metrics_endpoint", Kind::Bool, "true", "Whether `/metrics` needs a key."),
    served("prometheus_latency_buckets", Kind::List, "0.005 to 600", "The bounds of the buckets of times in metrics of LiteLLM's names, seconds. A change counts after the next start."),
    served("prometheus_metrics_config", Kind::List, "all", "Which metrics of LiteLLM's names `/metrics` shows, in groups: `metrics` (names) and `include_labels` (their labels, if not all). Series that are alike in these labels are added up. `end_user`, `client_ip` and `user_agent` have values only where `include_labels` names them: the first 1,000, then `other`."),
    served("custom_prometheus_metadata_labels", Kind::List, "none", "Further labels of metrics of requests: texts in the `metadata` of their bodies, `metadata.team` or `team.name`. The first 1,000 values of each, then `other`."),
    served("custom_prometheus_tags", Kind::List, "none", "Further labels of metrics of requests, `tag_NAME`: `true` if the request has that tag, else `false`. `*` stands for anything."),
    served("tag_budget_config", Kind::Map, "", "What requests with a tag may cost: `{tag: {max_budget: 10, budget_duration: 1d}}`."),
    served("max_budget", BUDGET_USD, "none", "USD that all requests of this process may cost within `budget_duration`; then they are refused until the window ends. 0: no limit. What other replicas and earlier processes spent does not count."),
    served("budget_duration", Kind::Text, "", "The window of `max_budget`, from its first cost on: `30s`, `10m`, `24h`, `7d`, `2w`, `1mo`."),
    refused("max_user_budget", "users would spend beyond their budget"),
    served("max_internal_user_budget", Kind::Number(0.0, 1e12), "none", "`max_budget` of a new user whose role is `internal_user` or `internal_user_viewer`, where none is named, USD."),
    refused("max_end_user_budget", "users would spend beyond their budget"),
    refused("max_end_user_budget_id", "users would spend beyond their budget"),
    served("guardrails", Kind::List, "", "The older form of `guardrails` at the top."),
    refused("banned_keywords_list", "requests that should be stopped would pass"),
    not_yet("prompt_injection_params", "Settings of the callback `detect_prompt_injection`, without which they have no effect."),
    not_yet("azure_content_safety_params", "Settings of the callback `azure_content_safety`, without which they have no effect."),
    not_yet("output_parse_pii", "A setting of `presidio`, without which it has no effect."),
    not_yet("presidio_*", "Settings of `presidio`, without which they have no effect."),
    refused("block_requests_for_models_without_pricing", "models without a price would be served"),
    served("cost_discount_config", Kind::Map, "", "What a provider takes off its prices, by its name: `{vertex_ai: 0.05}` for 5 %. It comes off what a call costs altogether."),
    served("cost_margin_config", Kind::Map, "", "What is put on costs then, by the provider's name or for all others as `global`: a share (`0.1`), or `{percentage: 0.1, fixed_amount: 0.001}`, the amount in USD for each call."),
    refused("blocked_user_list", "blocked users would be served"),
    refused("provider_budget_config", "providers would spend beyond their budget"),
    ignored("set_verbose", "Use `--debug`."),
    served("turn_off_message_logging", Kind::Bool, "false", "Whether no sink gets what was said: neither requests nor answers, only their facts. A request may ask for it itself, by the header `x-litellm-enable-message-redaction: true`, or by `turn_off_message_logging: true` in its body."),
    ignored("redact_user_api_key_info", "Keys are never logged."),
    ignored("redact_messages_in_exceptions", "Errors never hold messages."),
    ignored("suppress_debug_info", "There is none."),
    ignored("telemetry", "There is none."),
    ignored("force_ipv4", "Both address families are tried."),
    ignored("enable_preview_features", "There are none."),
    ignored("disable_hf_tokenizer_download", "Nothing is downloaded."),
    ignored("disable_aiohttp_transport", "There is one transport."),
    ignored("aiohttp_trust_env", "Proxy variables are always honoured."),
    served("context_window_fallbacks", Kind::List, "", "As `router_settings.context_window_fallbacks`, which wins."),
    served("content_policy_fallbacks", Kind::List, "", "As `router_settings.content_policy_fallbacks`, which wins."),
    misplaced("health_check_*", GENERAL_PLACE),
    misplaced("background_health_check*", GENERAL_PLACE),
    misplaced("enable_health_check_routing", GENERAL_PLACE),
    served("cooldown_time", COOLDOWN, "", "As `router_settings.cooldown_time`, which wins."),
    served("timeout", TIMEOUT, "", "As `router_settings.timeout`, which wins."),
    served("retry_after", Kind::Time(0, HOUR), "", "As `router_settings.retry_after`, which wins."),
    served("json_logs", Kind::Bool, "`JSON_LOGS`, else false", "Write the lines of the log as JSON. Read at start."),
    served("vertex_project", Kind::Text, "", "As `vertex_project` of deployments that have none, before the environment."),
    served("vertex_location", Kind::Text, "", "As `vertex_location` of deployments that have none, before the environment."),
    served("modify_params", Kind::Bool, "", "Requests are always changed to suit the provider: calls without results, tools that only the history names, thinking that cannot go on, blank texts, a first turn of the model."),
    not_yet("num_retries_per_request", "`num_retries` and `max_fallbacks` bound them."),
    not_yet("model_alias_map", "`router_settings.model_group_alias` is served."),
    not_yet("expose_router_debug_in_errors", "Errors always explain."),
    not_yet("budget_exceeded_status_code", "A spent budget is a 422 `budget_exceeded`; in Gemini's format a 429."),
    served("cache", Kind::Bool, "false", "Whether complete answers are kept and given to equal requests."),
    served("cache_params", Kind::Map, "", "How; see `cache_params`."),
    lacks("default_redis_*", &features::CACHING),
    served("callbacks", Kind::Any, "", "Names of sinks that get a record of every finished request; [observability.md](observability.md) has them. `prometheus` is served by `/metrics`. A filter of requests is an error; own Python code is never run: a warning."),
    served("success_callback", Kind::Any, "", "As `callbacks`, for requests that succeeded."),
    served("failure_callback", Kind::Any, "", "As `callbacks`, for the others."),
    served("service_callback", Kind::Any, "", "Names of sinks for events of Redis and the database. Only `prometheus` gets them, by `/metrics`."),
    served("service_callbacks", Kind::Any, "", "As `service_callback`."),
    served("audit_log_callbacks", Kind::Any, "", "As `callbacks`."),
    served("post_call_rules", Kind::Any, "", "As `callbacks`."),
    served("pre_call_rules", Kind::Any, "", "As `callbacks`."),
    not_yet("log_raw_request_response", "Bodies are logged by `request_log_messages` alone."),
    served("s3_callback_params", Kind::Map, "", "Where the sink `s3` writes: `s3_bucket_name`, `s3_region_name`, `s3_path`, `s3_endpoint_url`, `s3_aws_access_key_id`, `s3_aws_secret_access_key`, `s3_aws_session_token`, `s3_partition_granularity` (`day` or `hour`)."),
    served("generic_logger_headers", Kind::Map, "", "Headers of the requests of the sink `generic_api`."),
    served("standard_logging_payload_excluded_fields", Kind::List, "", "Fields that no record has that is sent to `generic_api` or `s3`, or written into `request_log` with `request_log_messages`."),
    lacks("enable_end_user_cost_tracking_prometheus_only", &features::TRACKING),
    lacks("disable_end_user_cost_tracking*", &features::TRACKING),
    not_yet("ssl_verify", "Certificates are always verified."),
    lacks("ssl_certificate", &features::CERTIFICATES),
    not_yet("ssl_security_level", "TLS has one level."),
    served("key_generation_settings", Kind::Map, "", "Who makes keys: `team_key_generation` (`allowed_team_member_roles`, `required_params`) and `personal_key_generation` (`allowed_user_roles`, `required_params`). Keys of a team that an admin of the gateway makes are free of it. Others are a 400."),
    served("upperbound_key_generate_params", Kind::Map, "", "Limits of every key that is made or changed: `max_budget`, `budget_duration`, `duration`, `max_parallel_requests`, `tpm_limit`, `rpm_limit`. More is a 400; what a client does not name or clears has the limit itself."),
    served("default_key_generate_params", Kind::Map, "", "Values of a new key where its client names none: the same six, `user_id`, `team_id`, `models`, `metadata`."),
    served("default_internal_user_params", Kind::Map, "", "Values of a new user that is no proxy admin, where none are named: `user_role`, `max_budget`, `budget_duration`, `models`, `teams`, `tpm_limit`, `rpm_limit`, `max_parallel_requests`."),
    ignored("default_team_params", "They are for teams that a login or SCIM makes; there are none."),
    not_yet("default_team_settings", "Sinks of single teams: `callbacks` are for all requests."),
    not_yet("enable_key_alias_format_validation", "Aliases of keys are texts without control characters, each of one key."),
    served("internal_user_budget_duration", Kind::Text, "none", "`budget_duration` of such a user, where none is named."),
    lacks("priority_reservation*", &features::QUEUE),
    not_yet("public_model_groups*", "There is no model hub."),
    not_yet("custom_provider_map", "Own providers; an OpenAI-compatible one needs only `api_base`."),
    lacks("mcp_aliases", &features::MCP),
    not_yet("tag_filtering*", "`router_settings.enable_tag_filtering` is served."),
    not_yet("enable_json_schema_validation", "Answers are not compared with a schema."),
    not_yet("network_mock", "`mock_response` is served."),
    lacks("use_chat_completions_url_for_anthropic_messages", &features::BRIDGE),
    not_yet("disable_add_transform_inline_image_block", "Image addresses are passed on as they are."),
    not_yet("disable_copilot_system_to_assistant", "GitHub Copilot is not served."),
    served("forward_traceparent_to_llm_provider", Kind::Bool, "true", "Whether providers get the header `traceparent` of a request that is traced."),
    served("default_max_internal_user_budget", Kind::Number(0.0, 1e12), "none", "The same, where `max_internal_user_budget` is not set."),
    served("user_url_validation", Kind::Bool, "true", "`false`: as `general_settings.fetch_urls: any`, which wins."),
    served("user_url_allowed_hosts", Kind::List, "", "Hosts that `general_settings.fetch_urls: public` reaches wherever they are: `host` or `host:port`."),
    not_yet("api_base", "Set it per deployment."),
    not_yet("api_key", "Set it per deployment."),
];

#[rustfmt::skip]
const GENERAL: &[Row] = &[
    served("master_key", Kind::Secret, "`LITELLM_MASTER_KEY`", "The key with every right. Without one, and with a published one or a placeholder, the gateway listens on loopback only, and the data API is open there."),
    served("dangerously_permit_weak_or_unset_master_key", Kind::Bool, "`LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY`, else false", "Listen on a public address in spite of a weak or missing key."),
    served("litellm_key_header_name", Kind::Text, "", "A further header that may carry the key."),
    served("dangerously_allow_mock_testing_request_params", Kind::Bool, "false", "Let a request ask for a simulated answer or failure: `mock_response`, `mock_delay`, `mock_timeout`, `mock_testing_fallbacks` and its kin. No upstream is called and no deployment is blamed."),
    served("allowed_ips", Kind::List, "any", "Addresses and ranges (`10.0.0.0/8`) whose clients are served; all others get 403, but on pages that need no key. It is the address at the other end of the connection that counts: behind a proxy that is the proxy's."),
    served("cors_origins", Kind::List, "`LITELLM_CORS_ORIGINS`, else any", "Origins whose pages may read answers, as `https://host:port`; `[]` for none. It applies once there is a secret master key: without one pages of other origins are refused. Credentials of browsers (cookies) are never allowed; pages send the key."),
    served("fetch_urls", Kind::Text, "`public`", "Which addresses of images and files in requests are fetched, for providers that need the data itself: `public` (http and https, to addresses of the public internet only), `off`, or `any` (private networks too). At most 20 MiB each, within 10 s; [wires.md](wires.md#images-and-files-by-address)."),
    served("litellm_backend_url", Kind::Text, "none", "The address of a LiteLLM proxy that answers what this gateway does not serve, with the client's own key, as `http://litellm:4000`: [migrate-from-litellm.md](migrate-from-litellm.md#beside-litellm)."),
    served("ui", Kind::Text, "`litellm` with `litellm_backend_url`, else `hale`", "Whose pages `/ui/` shows then: `litellm` or `hale`."),
    served("mirror", Kind::Map, "none", "A second gateway that gets a sample of requests, whose answers `hale migrate compare` compares: `{url: http://litellm:4000, percent: 1, budget: 5}`, the budget in USD a day, by what the requests cost here; `api_key` takes the place of the client's key there. [migrate-from-litellm.md](migrate-from-litellm.md#compare-answers)."),
    served("max_budget_per_session", BUDGET_USD, "none", "What one session may cost, USD: the session that `x-litellm-session-id`, `litellm_session_id` or a coding agent's own id names, of one key. Beyond it requests get 422 with the reason `session_limit`; [spend.md](spend.md#ceilings-of-sessions)."),
    served("max_requests_per_session", Kind::Count(1, 1_000_000_000), "none", "How many requests one session may make that call an upstream."),
    served("always_include_stream_usage", Kind::Bool, "false", "Send the usage chunk of a stream even if the client did not ask for it."),
    served("health_check_details", Kind::Bool, "true", "`false` cuts `/health` to models and ids, and `/health/readiness` to `status` and `db`."),
    served("cooldown_time", COOLDOWN, "", "As `router_settings.cooldown_time`, which wins."),
    served("timeout", TIMEOUT, "", "As `router_settings.timeout`, which wins."),
    served("retry_after", Kind::Time(0, HOUR), "", "As `router_settings.retry_after`, which wins."),
    served("json_logs", Kind::Bool, "", "As `litellm_settings.json_logs`."),
    served("request_log", Kind::Text, "none", "A file to which a JSON line per finished request is appended. A reload changes it, and reopens it after a rename. A pipe that is not read loses records and delays nothing."),
    served("request_log_messages", Kind::Bool, "false", "Whether each line of `request_log` also has what was said: `messages` and `response`."),
    served("sink_memory_mb", Kind::Megabytes(0.001, 1024.0), "16", "Records of one sink that may wait in memory, MiB. Beyond it they go to the disk."),
    served("sink_spool_mb", Kind::Megabytes(0.0, 65_536.0), "256", "Records of one sink that may wait on the disk, MiB, in the directory `hale.sinks` in `$HALE_DATA_DIR` or beside the config. Beyond it they are dropped and counted. 0: none."),
    served("database_url", Kind::Secret, "`DATABASE_URL`, else the file `hale.db` in `$HALE_DATA_DIR` or beside the config", "Where the store is: `postgres://USER:PASSWORD@HOST:PORT/NAME`, or the path of a SQLite file. Read at start."),
    served("database_required", Kind::Bool, "false", "`/health/readiness` is 503 while the database does not work."),
    served("store_requests_days", Kind::Count(1, 36_500), "7", "How long records of requests are kept, days. This and the following keys are read at start."),
    served("store_requests_sample", Kind::Number(0.0, 1.0), "1", "The share of successful requests whose records are kept. Failures are always kept, and every request counts in the rollups."),
    served("store_requests_per_second", Kind::Count(0, 1_000_000), "200 in a SQLite file, else no limit", "How many records of successful requests are written a second, at most."),
    served("store_requests_max_mb", Kind::Megabytes(1.0, 1_048_576.0), "512", "Size of a SQLite file, MiB, from which on the oldest records of requests are deleted."),
    served("store_history_days", Kind::Count(1, 36_500), "400", "How long changes of state, operators' actions and days of rollups are kept, days."),
    served("responses_history", Kind::Text, "off", "`store`: keep the responses of models whose providers keep none, so that `previous_response_id` goes on from them and they can be read by their id; unless the request says `store: false`. `off`: keep nothing. See [wires](wires.md#responses-that-are-kept)."),
    served("responses_history_days", Kind::Count(1, 36_500), "30", "How long such responses are kept, days; those that a later one goes on from stay as long as that."),
    served("store_minutes_days", Kind::Count(1, 36_500), "8", "How long minutes of rollups are kept, days."),
    served("store_probe_results", Kind::Count(1, 1_000_000), "1000", "How many results of probes are kept for each deployment."),
    served("max_request_size_mb", Kind::Megabytes(0.001, 2048.0), "100", "Largest request body, MiB."),
    served("max_response_size_mb", Kind::Megabytes(0.001, 2048.0), "96", "Largest full answer of a provider, and largest event of a stream, MiB. A larger one is an error of the gateway: it is not requested again, and counts against no deployment."),
    served("max_buffered_mb", Kind::Megabytes(1.0, 1_048_576.0), "1024", "Request bodies, what they become on their way to a provider, and buffered answers of all requests together, MiB. When it is full, the request body that comes slowest is refused first; answers may take an eighth more. Never more than a quarter of an enforced memory limit (control group, `ulimit -v`, `ulimit -d`)."),
    served("max_header_bytes", Kind::Count(1024, 1 << 20), "32768", "Largest request head, bytes."),
    served("header_read_timeout_s", Kind::Time(1, HOUR), "10", "Time to read a request head."),
    served("websocket_idle_timeout_s", Kind::Time(1, DAY), "900", "Time a WebSocket may be silent in both directions, pings included."),
    served("body_read_timeout_s", Kind::Time(1, HOUR), "30", "Time between two pieces of a request body."),
    served("body_min_rate_kib", Kind::Count(1, 1 << 20), "64", "Slowest rate of a request body, KiB a second: the whole body may take `body_read_timeout_s` and its size at this rate."),
    served("idle_timeout_s", Kind::Time(1, DAY), "75", "Time a connection may idle between requests."),
    served("upstream_idle_timeout_s", Kind::Time(0, HOUR), "4", "Time a connection to a provider may idle before it is closed. Keep it below the idle time of the provider's server; uvicorn and Node close after 5 s. 0: no connection is reused."),
    served("resend_on_stale_connection", Kind::Bool, "true", "Send a request again, once and on a new connection, if the kept connection that it was sent on turns out at once to be closed, before any byte of an answer. `false`: that is a failed attempt."),
    served("drain_delay_s", Kind::Time(0, HOUR), "5", "How long new requests are accepted after a stop signal, while readiness says 503."),
    served("shutdown_timeout_s", Kind::Time(0, HOUR), "`GRACEFUL_SHUTDOWN_TIMEOUT`, else 30", "How long requests in flight may take after that."),
    refused("ssl_certfile_path", "plain text would be served where TLS is asked for; start with `--ssl_certfile_path`, which is served"),
    refused("ssl_keyfile_path", "plain text would be served where TLS is asked for; start with `--ssl_keyfile_path`, which is served"),
    refused("ssl_keyfile_password", "plain text would be served where TLS is asked for; start with `--ssl_keyfile_password`, which is served"),
    refused("ssl_*file*", "plain text would be served where TLS is asked for; start with `--ssl_certfile_path` and `--ssl_keyfile_path`, which are served"),
    refused("custom_auth", "requests would pass without that check"),
    refused("custom_auth_settings", "requests would pass without that check"),
    refused("enable_jwt_auth", "tokens would not be checked"),
    refused("litellm_jwtauth", "tokens would not be checked"),
    refused("enable_oauth2_auth", "tokens would not be checked"),
    refused("enable_oauth2_proxy_auth", "tokens would not be checked"),
    refused("oauth2_config_mappings", "tokens would not be checked"),
    refused("role_permissions", "roles would not be checked"),
    refused("enforce_rbac", "roles would not be checked"),
    refused("blocked_file_extensions", "files that should be stopped would pass"),
    ignored("fail_closed_rate_limit_enforcement", "Limits are kept in the process: there is no store that could fail."),
    ignored("enforce_fallback_model_access", "A fallback that a key may not use is always skipped."),
    refused("allowed_routes", "every route would be open"),
    refused("admin_only_routes", "every route would be open"),
    refused("enforced_params", "requests without those parameters would pass"),
    refused("enforce_user_param", "requests without `user` would pass"),
    misplaced("max_budget", LITELLM_BUDGET),
    misplaced("budget_duration", LITELLM_BUDGET),
    refused("guardrails", "requests that a guardrail should stop would pass"),
    served("disable_spend_logs", Kind::Bool, "false", "No rows of single requests: neither records, nor rows of `LiteLLM_SpendLogs`, nor of single calls in the ledger. Rollups, days and counters stay."),
    ignored("disable_spend_updates", "What is spent is always written: budgets are made of it."),
    ignored("disable_error_logs", "Failed requests have rows, too: some are billed."),
    ignored("disable_reset_budget", "A budget begins anew at its border."),
    ignored("disable_adding_master_key_hash_to_db", "The store writes nothing of the kind."),
    ignored("disable_master_key_return", "The master key is never returned."),
    ignored("disable_prisma_schema_update", "The store writes nothing of the kind."),
    not_yet("proxy_batch_write_at", "Rows are written every 200 ms, so none waits longer."),
    ignored("proxy_batch_polling_interval", "The store writes nothing of the kind."),
    ignored("proxy_budget_rescheduler_*", "The store writes nothing of the kind."),
    ignored("allow_requests_on_db_unavailable", "Keys that were in use go on working while the database does not; no other is let in."),
    ignored("user_api_key_cache_ttl", "Keys in use are read again every second."),
    ignored("litellm_license", "Everything is free."),
    ignored("infer_model_from_keys", "Models are those of `model_list`."),
    served("background_health_checks", Kind::Bool, "false", "Probes deployments in the background; `/health` then shows the last results and calls no upstream."),
    served("health_check_interval", Kind::Time(CHECK_PERIOD_MIN, DAY), "`DEFAULT_HEALTH_CHECK_INTERVAL`, else 300", "The interval of background probes."),
    served("health_check_concurrency", Kind::Count(1, 1_000), "16", "Limit of background probes in flight; never more than 2 at one upstream."),
    served("enable_health_check_routing", Kind::Bool, "false", "Keeps traffic from deployments whose background probes failed."),
    served("health_check_staleness_threshold", Kind::Time(CHECK_PERIOD_MIN, 7 * DAY), "twice `health_check_interval`", "The age at which the verdict of a probe is ignored."),
    served("health_check_ignore_transient_errors", Kind::Bool, "false", "A probe that times out is ignored. A 429 always is."),
    served("health_check_skip_disabled_background_models", Kind::Bool, "false", "`/health` does not probe deployments with `disable_background_health_check` either."),
    served("health_check_skip_if_live_success", Kind::Bool, "true", "No background probe while traffic got a good answer within the interval."),
    served("health_check_daily_budget_usd", Kind::Number(0.0, 1e6), "none", "What all probes may cost a day, in the background and on demand, as estimated before each. Above it only lists of models are requested."),
    served("background_health_check_model_groups", Kind::List, "all", "The model groups that are probed in the background."),
    served("model_list_healthy_only", Kind::Bool, "false", "`/v1/models` leaves out groups without a healthy deployment, as with `?healthy_only=true`."),
    served("allow_public_health_readiness_details", Kind::Bool, "false", "`/health/readiness` shows what `/health/readiness/details` shows."),
    served("status_page", Kind::Text, "`off`", "Who may read `/status`, a page of groups and incidents without addresses, ids or keys: `public`, or `off`, which serves none."),
    served("enable_drain_endpoint", Kind::Bool, "false", "Serves `/health/drain`."),
    served("drain_endpoint_token", Kind::Secret, "`DRAIN_ENDPOINT_TOKEN`", "What `/health/drain` expects in the header `x-drain-token`."),
    misplaced("health_check_timeout", INFO_PLACE),
    misplaced("health_check_model", INFO_PLACE),
    misplaced("health_check_max_tokens", INFO_PLACE),
    misplaced("health_check_prompt", INFO_PLACE),
    misplaced("disable_background_health_check", INFO_PLACE),
    served("use_shared_health_check", Kind::Bool, "false", "One replica probes for all, by a lease for each deployment in Redis. Needs `background_health_checks`; without Redis each process probes by itself."),
    not_yet("maximum_health_check_retention_period", "`store_probe_results` is served."),
    lacks("database_*", &features::DATABASE),
    served("store_model_in_db", Kind::Bool, "`STORE_MODEL_IN_DB`, else false", "Deployments, credentials and settings that are made [at run time](models.md) are read from the store, and can be made by `/model/new`, `/credentials` and `/config/update`."),
    lacks("supported_db_objects", &features::DATABASE),
    served("store_prompts_in_spend_logs", Kind::Bool, "`STORE_PROMPTS_IN_SPEND_LOGS`, else false", "Rows of `LiteLLM_SpendLogs` have what was said, its texts cut at 2,048 characters. Not with `turn_off_message_logging`."),
    served("maximum_spend_logs_retention_period", Kind::Time(DAY, 3_650 * DAY), "90d", "How long rows of single requests and calls are kept in `LiteLLM_SpendLogs` and in the ledger. Days and counters stay."),
    not_yet("maximum_spend_logs_*", "`maximum_spend_logs_retention_period` is served; older rows are deleted all the time."),
    lacks("coordination_redis", &features::SHARED_STATE),
    lacks("use_redis_transaction_buffer", &features::SHARED_STATE),
    not_yet("encryption_algorithm", "Secrets of models and credentials are encrypted in the form of LiteLLM that both read: docs/models.md."),
    lacks("key_management_*", &features::SECRET_MANAGERS),
    lacks("use_azure_key_vault", &features::SECRET_MANAGERS),
    lacks("use_google_kms", &features::SECRET_MANAGERS),
    served("alerting", Kind::List, "none", "Who is told of incidents: `slack` (`SLACK_WEBHOOK_URL`), `webhook` (`WEBHOOK_URL`, `WEBHOOK_SECRET`), `ms_teams` (`MS_TEAMS_WEBHOOK_URL`), `discord` (`DISCORD_WEBHOOK_URL`), `pagerduty` (`PAGERDUTY_API_KEY`), `email` (`SMTP_*`). See [alerts](alerts.md)."),
    served("alerting_threshold", Kind::Time(0, DAY), "300", "A request is slow that takes so long to its first content, or as a whole if it is no stream. 0: none is."),
    served("alert_types", Kind::List, "all", "What is told: names of [alerts](alerts.md), or LiteLLM's for them."),
    served("alert_to_webhook_url", Kind::Map, "none", "Addresses of Slack for single types, in place of `SLACK_WEBHOOK_URL`: a type, and an address or a list of them."),
    served("alerting_args", Kind::Map, "", "When something is told: see below."),
    not_yet("spend_report_frequency", "No report is sent by itself: `/global/spend/report` has it, and `POST /alerting/report` sends one."),
    lacks("max_parallel_requests", &features::CAPS),
    lacks("global_max_parallel_requests", &features::CAPS),
    lacks("max_in_flight_requests_per_worker", &features::CAPS),
    lacks("disable_retry_on_max_parallel_request_limit_error", &features::CAPS),
    not_yet("token_rate_limit_type", "A limit counts all tokens, of the request and of the answer."),
    lacks("completion_model", &features::DEFAULT_MODELS),
    lacks("embedding_model", &features::DEFAULT_MODELS),
    lacks("image_generation_model", &features::DEFAULT_MODELS),
    lacks("moderation_model", &features::DEFAULT_MODELS),
    lacks("pass_through_endpoints", &features::RELAYED_ROUTES),
    served("pass_through_all_models", Kind::Bool, "false", "Serves any `provider/model` of the providers whose key is in the environment, besides `model_list`."),
    lacks("use_client_credentials_pass_through_routes", &features::RELAYED_ROUTES),
    not_yet("public_routes", "Open to all are health, `/routes`, `/openapi.json`, `/test`, the files of the dashboard and, where it is set to public, `/status`."),
    not_yet("allow_client_side_credentials", "Credentials in a request are refused."),
    not_yet("allow_user_auth", "Credentials in a request are refused."),
    lacks("forward_client_headers_to_llm_api", &features::CLIENT_HEADERS),
    lacks("forward_llm_provider_auth_headers", &features::CLIENT_HEADERS),
    lacks("forward_openai_org_id", &features::CLIENT_HEADERS),
    served("reject_clientside_metadata_tags", Kind::Bool, "false", "A request that names tags, in its body or by `x-litellm-tags`, is a 400: tags are those of its key alone."),
    not_yet("use_x_forwarded_for", "`allowed_ips` compares the address at the other end of the connection."),
    served("disable_requester_ip_address_logging", Kind::Bool, "false", "Rows of `LiteLLM_SpendLogs` have no address of the client."),
    served("disable_custom_api_keys", Kind::Bool, "false", "No client chooses the text of a key: `key` in `/key/generate` is a 400."),
    served("user_header_name", Kind::Text, "", "The header that names the user of a request, for `user` of its record. It reaches no provider."),
    served("user_header_mappings", Kind::List, "", "The same by roles: `{header_name: X-User, litellm_user_role: customer}`. Those of customers count, then those of internal users."),
    refused("service_account_settings", "requests of service accounts without those parameters would pass"),
    refused("default_team_disabled", "keys without a team would be made"),
    refused("custom_key_generate", "keys would be made without that check"),
    refused("custom_key_update", "keys would be changed without that check"),
    not_yet("disable_responses_id_security", "A response is read by its owner's keys alone."),
    lacks("custom_sso", &features::USER_INTERFACE),
    lacks("custom_ui_sso_sign_in_handler", &features::USER_INTERFACE),
    lacks("auto_redirect_ui_login_to_sso", &features::USER_INTERFACE),
    served("ui_access_mode", Kind::Text, "`all`", "Who may use the dashboard: `all`, each with what its key may see, or `admin_only`: proxy admins and viewers."),
    lacks("ui_*", &features::USER_INTERFACE),
    lacks("control_plane_url", &features::USER_INTERFACE),
    lacks("user_mcp_management_mode", &features::MCP),
    lacks("mcp_*", &features::MCP),
    not_yet("block_robots", "There is no `robots.txt`."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_row_and_a_line_of_text() {
        for section in [
            Section::Top,
            Section::Entry,
            Section::Params,
            Section::Info,
            Section::Litellm,
            Section::Router,
            Section::General,
            Section::Credential,
            Section::Alias,
            Section::Strategy,
            Section::Retries,
            Section::Fails,
            Section::Budget,
            Section::Window,
            Section::Cache,
            Section::Alerting,
        ] {
            let mut names: Vec<&str> = rows(section).iter().map(|row| row.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{section:?} has a key twice");
            assert!(rows(section).iter().all(|row| !row.doc.is_empty()));
        }
    }

    #[test]
    fn a_pattern_serves_where_no_row_has_the_name() {
        let support = |section, name| find(section, name).map(|row| row.support);
        assert_eq!(support(Section::Params, "aws_region_name"), Some(Support::Served));
        assert_eq!(support(Section::Params, "aws_anything"), Some(Support::NotYet));
        assert_eq!(support(Section::Params, "input_cost_per_token"), Some(Support::Served));
        assert_eq!(support(Section::Params, "input_cost_per_second"), Some(Support::Served));
        assert_eq!(support(Section::Params, "input_cost_per_video"), Some(Support::NotYet));
        assert_eq!(support(Section::General, "health_check_details"), Some(Support::Served));
        assert_eq!(support(Section::General, "health_check_interval"), Some(Support::Served));
        assert_eq!(support(Section::Params, "health_check_timeout"), Some(Support::Misplaced));
        assert_eq!(support(Section::Params, "temperature"), None);
        for name in REQUEST_PARAMS {
            assert!(find(Section::Params, name).is_none(), "{name}");
        }
        assert!(NUMERIC_PARAMS.iter().all(|name| REQUEST_PARAMS.contains(name)));
    }

    #[test]
    fn every_parameter_of_a_deployment_is_in_the_table_of_parameters() {
        // What a client sends and a provider gets.
        const OF_CLIENTS: [&str; 4] = ["messages", "input", "prompt", "metadata"];
        for row in rows(Section::Params).iter().filter(|row| !row.name.contains('*')) {
            let is_known = crate::parameters::parameter(row.name).is_some();
            assert!(is_known || OF_CLIENTS.contains(&row.name), "{}", row.name);
        }
    }
}
