//! Every key that a config may have: one table, used by the loader and by the reference page.
//!
//! Read by [`super::field`] for each key of each section and by [`super::reference()`]. Always
//! true: a key is served as its row says, or the row says that it is not served.

use crate::group::Pattern;

use super::features::{self, Feature};
use super::known;

/// A mapping whose keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// The top of the config.
    Top,
    /// An entry of `model_list`.
    Entry,
    /// `litellm_params` of an entry.
    Params,
    /// `model_info` of an entry.
    Info,
    /// `litellm_settings`.
    Litellm,
    /// `router_settings`.
    Router,
    /// `general_settings`.
    General,
    /// An entry of `credential_list`.
    Credential,
    /// An alias with options.
    Alias,
    /// `routing_strategy_args`.
    Strategy,
    /// `retry_policy`, and each entry of `model_group_retry_policy`.
    Retries,
    /// `allowed_fails_policy`.
    Fails,
    /// Each entry of `provider_budget_config` and `tag_budget_config`.
    Budget,
    /// Each entry of `access_windows`.
    Window,
    /// `cache_params`.
    Cache,
    /// `alerting_args`.
    Alerting,
}

impl Section {
    /// The key whose value is the section, or each item of it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Section::Top => "",
            Section::Entry => "model_list",
            Section::Params => "litellm_params",
            Section::Info => "model_info",
            Section::Litellm => "litellm_settings",
            Section::Router => "router_settings",
            Section::General => "general_settings",
            Section::Credential => "credential_list",
            Section::Alias => "model_group_alias",
            Section::Strategy => "routing_strategy_args",
            Section::Retries => "retry_policy",
            Section::Fails => "allowed_fails_policy",
            Section::Budget => "provider_budget_config",
            Section::Window => "access_windows",
            Section::Cache => "cache_params",
            Section::Alerting => "alerting_args",
        }
    }
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its name; a star matches any text.
    pub(super) name: &'static str,
    /// The type of its value.
    pub(super) kind: Kind,
    /// Whether it is served.
    pub(super) support: Support,
    /// Its default.
    pub(super) default: &'static str,
    /// What it does; for a refused key, what would go wrong if it were ignored.
    pub(super) doc: &'static str,
    /// What a key that is not served is a part of; empty if it is nothing but itself.
    pub(super) feature: &'static str,
}

/// Whether a key is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Support {
    /// It does what its text says.
    Served,
    /// It is recognised but has no effect; using it is a warning.
    NotYet,
    /// It belongs in another section and has no effect here.
    Misplaced,
    /// It is recognised and has no meaning here.
    Ignored,
    /// It is about security or money and is not served: the config is refused.
    Refused,
}

/// The type of a value, and its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// Text that is never shown.
    Secret,
    /// Yes or no.
    Bool,
    /// A whole number.
    Count(u64, u64),
    /// A number.
    Number(f64, f64),
    /// A time, stored in milliseconds; the range is in milliseconds.
    Time(u64, u64),
    /// A size in MiB, stored in bytes; the range is in MiB.
    Megabytes(f64, f64),
    /// A list.
    List,
    /// A mapping.
    Map,
    /// Anything.
    Any,
}

/// A day, in milliseconds: the longest time that makes sense anywhere.
const DAY: u64 = 86_400_000;
const HOUR: u64 = 3_600_000;
const TIMEOUT: Kind = Kind::Time(1, DAY);
const COOLDOWN: Kind = Kind::Time(0, DAY);
const RETRIES: Kind = Kind::Count(0, 100);
const PRICE: Kind = Kind::Number(0.0, 1_000.0);
const TOKENS: Kind = Kind::Number(1.0, 1e12);
const RATE: Kind = Kind::Count(0, 1_000_000_000_000);
/// USD. 0 has an error of its own.
const BUDGET_USD: Kind = Kind::Number(0.0, 1e12);
const CHECK_TOKENS: Kind = Kind::Count(1, 1_000_000);
/// The shortest interval of probes, milliseconds.
const CHECK_PERIOD_MIN: u64 = 100;

const fn served(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Row {
    Row { name, kind, support: Support::Served, default, doc, feature: "" }
}

pub(super) const fn not_yet(name: &'static str, doc: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::NotYet, default: "", doc, feature: "" }
}

/// A key of a feature that is not served.
pub(super) const fn lacks(name: &'static str, feature: &Feature) -> Row {
    Row { feature: feature.name, ..not_yet(name, feature.effect) }
}

const fn ignored(name: &'static str, doc: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::Ignored, default: "", doc, feature: "" }
}

const fn misplaced(name: &'static str, place: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::Misplaced, default: "", doc: place, feature: "" }
}

/// The right section of keys that are often misplaced.
const GENERAL_PLACE: &str = "Belongs in `general_settings`.";
const INFO_PLACE: &str = "Belongs in `model_info` of the deployment.";
const LITELLM_BUDGET: &str = "Belongs in `litellm_settings`; LiteLLM does not read it here either, so it was never enforced.";

const fn refused(name: &'static str, doc: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::Refused, default: "", doc, feature: "" }
}

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

/// Request parameters without a row: they are defaults for the request body.
#[rustfmt::skip]
pub(super) const REQUEST_PARAMS: &[&str] = &[
    "audio", "dimensions", "encoding_format", "enable_thinking", "frequency_penalty",
    "function_call", "functions", "guided_json", "include_reasoning", "language", "logit_bias",
    "logprobs", "max_completion_tokens", "max_output_tokens", "max_tokens", "min_p",
    "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty",
    "prompt_cache_key", "prompt_cache_retention", "provider", "quality", "reasoning",
    "reasoning_effort", "repetition_penalty", "response_format", "route", "safety_identifier",
    "safe_prompt", "search_parameters", "seed", "service_tier", "size", "speed", "stop",
    "store", "style", "temperature", "text", "thinking", "tool_choice", "tools", "top_a",
    "top_k", "top_logprobs", "top_p", "transforms", "truncation", "user", "verbosity", "voice",
    "web_search_options",
];

/// Request parameters that are numbers, so that text from the environment is parsed.
#[rustfmt::skip]
pub(super) const NUMERIC_PARAMS: &[&str] = &[
    "dimensions", "frequency_penalty", "max_completion_tokens", "max_output_tokens",
    "max_tokens", "min_p", "n", "presence_penalty", "repetition_penalty", "seed", "speed",
    "temperature", "top_a", "top_k", "top_logprobs", "top_p",
];

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
    lacks("callback_settings", &features::LOG_SINKS),
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
const ENTRY: &[Row] = &[
    served("model_name", Kind::Text, "required", "The public name, and so the model group. A `*` matches any text: `openai/*` serves every name that begins with `openai/`."),
    served("litellm_params", Kind::Map, "required", "How to reach the model."),
    served("model_info", Kind::Map, "", "What is known about the model; shown by `/model/info`."),
    served("rpm", RATE, "", "As `litellm_params.rpm`, which wins."),
    served("tpm", RATE, "", "As `litellm_params.tpm`, which wins."),
    served("blocked", Kind::Bool, "false", "Pauses the deployment: it gets no traffic."),
];

#[rustfmt::skip]
const PARAMS: &[Row] = &[
    served("model", Kind::Text, "required", "`provider/name`. A bare name is that of the provider at `api_base`, else of the one that is known to have it; a bare `*` stands for every provider whose key is in the environment."),
    served("custom_llm_provider", Kind::Text, "the prefix of `model`", "The provider."),
    served("api_base", Kind::Text, "the provider's variable, else its address", "Scheme, host, port and base path, such as `https://api.example.com/v1`."),
    served("base_url", Kind::Text, "", "As `api_base`, which wins."),
    served("api_key", Kind::Secret, "the provider's variables", "The provider's key."),
    served("organization", Kind::Text, "", "Sent as `openai-organization`. Of a list each is a deployment of its own."),
    served("litellm_credential_name", Kind::Text, "", "A `credential_name` of `credential_list`: its `api_key`, `api_base` and `organization` are used where this entry has none."),
    served("extra_headers", Kind::Map, "", "Headers for each request to the provider."),
    served("base_model", Kind::Text, "", "As `model_info.base_model`, which wins."),
    served("headers", Kind::Map, "", "The same; `extra_headers` wins."),
    served("drop_params", Kind::Bool, "false", "Leave out request parameters that the provider does not know, as `litellm_settings.drop_params` does for all."),
    served("cache_control_injection_points", Kind::List, "", "Marks for the cache of Anthropic's format: `{location: message, role: system}`, `{location: message, index: -1}`, `{location: tool_config}`, each with its `control`. At most four with those of the client. At other providers, which cache by themselves, it has no effect."),
    served("merge_reasoning_content_in_choices", Kind::Bool, "false", "Put reasoning into the text of streamed chats, between `<think>` and `</think>`."),
    served("extra_body", Kind::Map, "", "Request parameters that are set if the client does not, like any key that is not in this table."),
    served("additional_drop_params", Kind::List, "", "Request parameters that are always removed."),
    served("weight", Kind::Number(0.0, 1e9), "1", "Share of the group's traffic. 0: standby; it gets traffic only if no other member is healthy."),
    served("rpm", RATE, "", "Requests a minute: the share of the traffic where no deployment of the group has a `weight`. A limit, exact in any sixty seconds, with `enable_pre_call_checks`, `optional_pre_call_checks: [enforce_model_rate_limits]`, or a strategy under which rates are limits and no shares: `latency-based-routing`, `usage-based-routing`, `usage-based-routing-v2`, `cost-based-routing`."),
    served("tpm", RATE, "", "Tokens a minute: the share of the traffic where no deployment of the group has `weight` or `rpm`. A limit where `rpm` is one: a request begins when its estimated length (4 bytes a token) fits, which is counted at once; what its answer took more is counted when it ends."),
    served("timeout", TIMEOUT, "`router_settings.timeout`", "Time limit of one attempt."),
    served("request_timeout", TIMEOUT, "", "As `timeout`, which wins."),
    served("stream_timeout", TIMEOUT, "`router_settings.stream_timeout`", "Time limit of a stream's first content and of every silence after it."),
    served("num_retries", RETRIES, "`router_settings.num_retries`", "Attempts after the first in this group."),
    served("cooldown_time", COOLDOWN, "`router_settings.cooldown_time`", "Cooldown of the deployment after it is ejected; 0 turns cooldown off for it."),
    served("api_version", Kind::Text, "AZURE_API_VERSION, else 2025-02-01-preview, for responses preview", "Azure: the version of the interface; `v1`, `latest` and `preview` mean the v1 form, with the model in the body."),
    served("azure_ad_token", Kind::Text, "AZURE_AD_TOKEN", "Azure: a token of Entra ID, if there is no `api_key`."),
    served("tenant_id", Kind::Text, "AZURE_TENANT_ID", "Azure: with `client_id` and `client_secret` the identity whose tokens are requested."),
    served("client_id", Kind::Text, "AZURE_CLIENT_ID", "Azure: see `tenant_id`."),
    served("client_secret", Kind::Text, "AZURE_CLIENT_SECRET", "Azure: see `tenant_id`."),
    served("realtime_protocol", Kind::Text, "LITELLM_AZURE_REALTIME_PROTOCOL, else what the client asks", "Azure, realtime: `GA` calls `/openai/v1/realtime?model=`, `beta` calls `/openai/realtime?deployment=` with `api_version`."),
    served("azure_scope", Kind::Text, "https://cognitiveservices.azure.com/.default", "Azure: the scope of tokens; also AZURE_SCOPE."),
    served("azure_authority_host", Kind::Text, "https://login.microsoftonline.com", "Azure: the authority that issues tokens; also AZURE_AUTHORITY_HOST."),
    served("mock_response", Kind::Any, "", "A canned answer instead of the provider's: text, a list of numbers for embeddings, or a failure such as `litellm.RateLimitError`. Needs no key."),
    served("mock_delay", Kind::Time(0, HOUR), "0", "Delay of the canned answer."),
    served("input_cost_per_token", PRICE, "the price list", "USD per prompt token."),
    served("output_cost_per_token", PRICE, "the price list", "USD per answer token."),
    served("cache_read_input_token_cost", PRICE, "the price list", "USD per prompt token read from the provider's cache."),
    served("cache_creation_input_token_cost", PRICE, "the price list", "USD per prompt token written to the provider's cache."),
    served("cache_creation_input_token_cost_above_1hr", PRICE, "the price list, else twice the prompt token's", "USD per prompt token written to the provider's cache for an hour."),
    served("output_cost_per_reasoning_token", PRICE, "the price list", "USD per reasoning token."),
    served("max_budget", BUDGET_USD, "none", "USD that the deployment may cost within `budget_duration`, above 0; then it gets no requests until the window ends. Needs a known price."),
    served("budget_duration", Kind::Text, "", "The window of `max_budget`, from its first cost on: `30s`, `10m`, `24h`, `7d`, `2w`, `1mo`."),
    served("region_name", Kind::Text, "", "The region of the deployment. A request with `allowed_model_region` is served in that region only, whether `enable_pre_call_checks` is set or not; case is ignored."),
    served("input_cost_per_audio_token", PRICE, "the price list", "USD per audio token of the prompt."),
    served("output_cost_per_audio_token", PRICE, "the price list", "USD per audio token of the answer."),
    served("input_cost_per_image", PRICE, "the price list", "USD per generated image."),
    served("output_cost_per_image", PRICE, "the price list", "USD per generated image; takes precedence over `input_cost_per_image`."),
    served("input_cost_per_pixel", PRICE, "the price list", "USD per pixel of a generated image."),
    served("input_cost_per_character", PRICE, "the price list", "USD per character of spoken text."),
    served("input_cost_per_query", PRICE, "the price list", "USD per search of a rerank."),
    served("ocr_cost_per_page", PRICE, "the price list", "USD per page of OCR."),
    served("input_cost_per_second", PRICE, "the price list", "USD per second of audio input."),
    served("output_cost_per_second", PRICE, "the price list", "The same, used if `input_cost_per_second` is unknown or 0."),
    refused("guardrails", "requests that a guardrail should stop would pass"),
    refused("default_api_key_tpm_limit", "keys would exceed their limit"),
    refused("default_api_key_rpm_limit", "keys would exceed their limit"),
    served("blocked", Kind::Bool, "false", "Pauses the deployment: it gets no traffic."),
    served("order", Kind::Count(0, 1_000_000), "after all others", "Tier: the lowest one with an available member is used, then the next ones, at no cost in retries."),
    served("max_parallel_requests", Kind::Count(1, 1_000_000), "`router_settings.default_max_parallel_requests`", "Limit of attempts in flight. Above it a sibling is used, or the answer is a 429."),
    served("tags", Kind::List, "", "Which requests it is for, if tags decide. `default` serves requests that match no other tag."),
    served("tag_regex", Kind::List, "", "Patterns searched in `User-Agent: <agent>`; a match counts as a tag."),
    ignored("max_retries", "Hale's own retries are the only ones."),
    ignored("allowed_openai_params", "Every parameter is passed on."),
    ignored("no-log", "Request bodies are never logged."),
    not_yet("itpm", "`tpm` counts input and output."),
    not_yet("otpm", "`tpm` counts input and output."),
    lacks("timeout_by_service_tier", &features::TIERS),
    lacks("stream_timeout_by_service_tier", &features::TIERS),
    not_yet("configurable_clientside_auth_params", "No client may name a credential."),
    not_yet("silent_model", "No copy of the traffic is sent."),
    not_yet("fallbacks", "Per deployment; `router_settings.fallbacks` is served."),
    not_yet("context_window_fallbacks", "`router_settings.context_window_fallbacks` is served."),
    not_yet("content_policy_fallbacks", "`router_settings.content_policy_fallbacks` is served."),
    lacks("metadata", &features::LOG_SINKS),
    not_yet("model_info", "Belongs next to `litellm_params`."),
    not_yet("default_headers", "`extra_headers` is served."),
    not_yet("messages", "The client sends it."),
    not_yet("input", "The client sends it."),
    not_yet("prompt", "The client sends it."),
    not_yet("stream", "The client decides it."),
    not_yet("stream_options", "The client decides it."),
    not_yet("mock_timeout", "`mock_response: litellm.Timeout` is served."),
    not_yet("mock_tool_calls", "`mock_response` has text alone."),
    lacks("cache", &features::CACHING),
    lacks("caching", &features::CACHING),
    lacks("use_in_pass_through", &features::RELAYED_ROUTES),
    lacks("use_chat_completions_api", &features::BRIDGE),
    not_yet("use_litellm_proxy", "Another gateway as provider; `litellm_proxy/` is served."),
    not_yet("ssl_verify", "Certificates are always verified."),
    lacks("ssl_certificate", &features::CERTIFICATES),
    ignored("api_type", "The provider is named by the model's prefix."),
    not_yet("azure_*", "A token of Entra ID comes from `tenant_id`, `client_id` and `client_secret`."),
    lacks("aws_*", &features::AWS),
    lacks("vertex_*", &features::VERTEX),
    not_yet("gcs_*", "Nothing is stored at Google."),
    not_yet("s3_*", "Nothing is stored at AWS."),
    not_yet("watsonx_*", "Watsonx is not served."),
    not_yet("oci_*", "Oracle is not served."),
    not_yet("workload_identity_*", "No identity of a workload is used."),
    misplaced("health_check_*", INFO_PLACE),
    misplaced("disable_background_health_check", INFO_PLACE),
    lacks("auto_router_*", &features::STRATEGY_ROUTERS),
    lacks("complexity_router_*", &features::STRATEGY_ROUTERS),
    lacks("adaptive_router_*", &features::STRATEGY_ROUTERS),
    lacks("quality_router_*", &features::STRATEGY_ROUTERS),
    lacks("*_cost_per_*", &features::PRICES),
    lacks("*_token_cost*", &features::PRICES),
];

#[rustfmt::skip]
const INFO: &[Row] = &[
    served("id", Kind::Text, "a hash of `model_name` and `litellm_params`", "The deployment's id. Without it the id changes when a parameter does, a key included."),
    served("mode", Kind::Text, "the price list, else `chat`", "`chat`, `completion`, `embedding`, `responses`, `moderation`, `image_generation`, `audio_transcription`, `audio_speech`, `rerank`, ..."),
    served("base_model", Kind::Text, "", "The name in the price list, if the provider has another name for the model."),
    served("cooldown_time", COOLDOWN, "", "As `litellm_params.cooldown_time`; wins over it."),
    served("max_input_tokens", TOKENS, "the price list", "Largest prompt."),
    served("max_output_tokens", TOKENS, "the price list", "Largest answer."),
    served("input_cost_per_token", PRICE, "the price list", "USD per prompt token; `litellm_params` wins."),
    served("output_cost_per_token", PRICE, "the price list", "USD per answer token; `litellm_params` wins."),
    served("cache_read_input_token_cost", PRICE, "the price list", "USD per prompt token read from the provider's cache."),
    served("cache_creation_input_token_cost", PRICE, "the price list", "USD per prompt token written to the provider's cache."),
    served("cache_creation_input_token_cost_above_1hr", PRICE, "the price list, else twice the prompt token's", "USD per prompt token written to the provider's cache for an hour."),
    served("output_cost_per_reasoning_token", PRICE, "the price list", "USD per reasoning token."),
    served("input_cost_per_audio_token", PRICE, "the price list", "USD per audio token of the prompt; `litellm_params` wins."),
    served("output_cost_per_audio_token", PRICE, "the price list", "USD per audio token of the answer; `litellm_params` wins."),
    served("input_cost_per_image", PRICE, "the price list", "USD per generated image; `litellm_params` wins."),
    served("output_cost_per_image", PRICE, "the price list", "USD per generated image; takes precedence over `input_cost_per_image`; `litellm_params` wins."),
    served("input_cost_per_pixel", PRICE, "the price list", "USD per pixel of a generated image; `litellm_params` wins."),
    served("input_cost_per_character", PRICE, "the price list", "USD per character of spoken text; `litellm_params` wins."),
    served("input_cost_per_query", PRICE, "the price list", "USD per search of a rerank; `litellm_params` wins."),
    served("ocr_cost_per_page", PRICE, "the price list", "USD per page of OCR; `litellm_params` wins."),
    served("input_cost_per_second", PRICE, "the price list", "USD per second of audio input; `litellm_params` wins."),
    served("output_cost_per_second", PRICE, "the price list", "The same, used if `input_cost_per_second` is unknown or 0; `litellm_params` wins."),
    served("blocked", Kind::Bool, "false", "As `litellm_params.blocked`."),
    served("order", Kind::Count(0, 1_000_000), "", "As `litellm_params.order`; wins over it."),
    served("allowed_fails", Kind::Count(0, 1_000_000), "`router_settings.allowed_fails`", "Failures within a minute that are tolerated; one more ejects it."),
    served("allowed_fails_policy", Kind::Map, "`router_settings.allowed_fails_policy`", "The same by kind of failure."),
    served("enable_tag_filtering", Kind::Bool, "`router_settings.enable_tag_filtering`", "Whether tags decide in this deployment's group; the first member that sets it decides."),
    served("allow_fail_open", Kind::Bool, "false", "`true` at one deployment of a group: if no deployment meets a request's `!tag` and `&tag`, they are dropped, and those tagged `default` serve, else all."),
    served("access_windows", Kind::List, "", "Hours in which the deployment is reserved for teams. No key belongs to a team yet, so within them no client can use it."),
    served("supports_function_calling", Kind::Bool, "the price list", "`false` keeps requests with tools away."),
    served("supports_vision", Kind::Bool, "the price list", "`false` keeps requests with images away."),
    served("supports_reasoning", Kind::Bool, "the price list", "`false` leaves out efforts and thinking, which such a model refuses."),
    served("supports_response_schema", Kind::Bool, "the price list", "`false` keeps requests for an answer by JSON schema away."),
    refused("team_id", "a team's deployment would serve everybody"),
    refused("supported_environments", "another environment's deployment would get traffic"),
    ignored("db_model", "Always false."),
    ignored("created_at", "Shown as written."),
    ignored("created_by", "Shown as written."),
    ignored("updated_at", "Shown as written."),
    ignored("updated_by", "Shown as written."),
    ignored("supports_*", "Shown as written."),
    ignored("max_tokens", "Shown as written."),
    ignored("litellm_provider", "Shown as written."),
    served("access_groups", Kind::List, "none", "Labels that keys will refer to; listed by `/v1/models?include_model_access_groups=true`. There are no keys but the master key, which may use every deployment."),
    not_yet("team_public_model_name", "There are no teams."),
    served("health_check_model", Kind::Text, "its own; for a pattern the model that answered last, else the cheapest ordinary chat model of the price list", "The model that probes call, with or without the provider's prefix."),
    served("health_check_prompt", Kind::Text, "`DEFAULT_HEALTH_CHECK_PROMPT`", "The prompt of probes."),
    served("health_check_timeout", Kind::Time(0, HOUR), "`HEALTH_CHECK_TIMEOUT_SECONDS`, else 60", "Time limit of one probe. 0 means the default."),
    served("health_check_max_tokens", CHECK_TOKENS, "`BACKGROUND_HEALTH_CHECK_MAX_TOKENS`, else 1; 10 for a pattern", "Tokens that a probe requests. If a provider says that it needs more, later probes request more."),
    served("health_check_max_tokens_reasoning", CHECK_TOKENS, "`BACKGROUND_HEALTH_CHECK_MAX_TOKENS_REASONING`", "The same for a reasoning model."),
    served("health_check_max_tokens_non_reasoning", CHECK_TOKENS, "", "The same for a model that does not reason."),
    served("health_check_supports_max_tokens", Kind::Bool, "what the mode has", "`false` leaves the limit out of probes."),
    served("health_check_reasoning_effort", Kind::Text, "", "`reasoning_effort` of chat probes."),
    served("health_check_params", Kind::Map, "", "Further parameters of probes."),
    served("health_check_kind", Kind::Text, "`full`", "`metadata` requests only the list of models, which costs nothing and proves less."),
    served("health_check_daily_budget_usd", Kind::Number(0.0, 1e6), "none", "What probes of this deployment may cost a day, as estimated. Above it only the list of models is requested."),
    served("disable_background_health_check", Kind::Bool, "false", "Leaves the deployment out of background probes. It still gets traffic."),
    served("health_check_voice", Kind::Text, "`alloy`", "The voice of speech probes."),
];

#[rustfmt::skip]
const LITELLM: &[Row] = &[
    served("request_timeout", TIMEOUT, "none", "Time limit of a whole request, all attempts and fallbacks together; of a stream, of its first content."),
    served("num_retries", RETRIES, "2", "As `router_settings.num_retries`, which wins."),
    served("fallbacks", Kind::List, "", "As `router_settings.fallbacks`, which wins."),
    served("default_fallbacks", Kind::List, "", "As `router_settings.default_fallbacks`, which wins."),
    served("max_fallbacks", RETRIES, "5", "As `router_settings.max_fallbacks`, which wins."),
    served("allowed_fails", Kind::Count(0, 1_000_000), "", "As `router_settings.allowed_fails`, which wins."),
    served("drop_params", Kind::Bool, "false", "Remove request parameters that the provider does not know. Falls back to `LITELLM_DROP_PARAMS`."),
    served("check_provider_endpoint", Kind::Bool, "false", "Show the models behind a pattern as their providers list them, read again after five minutes. Otherwise, and where a provider has no list, they are those of the price list."),
    served("include_cost_in_streaming_usage", Kind::Bool, "false", "Show the cost, USD, in the usage of a stream: `usage.cost`. Counts that are not believed, and models without a price, have none."),
    served("require_auth_for_metrics_endpoint", Kind::Bool, "true", "Whether `/metrics` needs a key."),
    served("tag_budget_config", Kind::Map, "", "What requests with a tag may cost: `{tag: {max_budget: 10, budget_duration: 1d}}`."),
    served("max_budget", BUDGET_USD, "none", "USD that all requests of this process may cost within `budget_duration`; then they are refused until the window ends. 0: no limit. What other replicas and earlier processes spent does not count."),
    served("budget_duration", Kind::Text, "", "The window of `max_budget`, from its first cost on: `30s`, `10m`, `24h`, `7d`, `2w`, `1mo`."),
    refused("max_user_budget", "users would spend beyond their budget"),
    refused("max_internal_user_budget", "users would spend beyond their budget"),
    refused("max_end_user_budget", "users would spend beyond their budget"),
    refused("max_end_user_budget_id", "users would spend beyond their budget"),
    served("guardrails", Kind::List, "", "The older form of `guardrails` at the top."),
    refused("banned_keywords_list", "requests that should be stopped would pass"),
    not_yet("prompt_injection_params", "Settings of the callback `detect_prompt_injection`, without which they have no effect."),
    not_yet("azure_content_safety_params", "Settings of the callback `azure_content_safety`, without which they have no effect."),
    not_yet("output_parse_pii", "A setting of `presidio`, without which it has no effect."),
    not_yet("presidio_*", "Settings of `presidio`, without which they have no effect."),
    refused("block_requests_for_models_without_pricing", "models without a price would be served"),
    refused("cost_margin_config", "costs would be recorded without their margin"),
    not_yet("cost_discount_config", "Costs are recorded without discounts."),
    refused("blocked_user_list", "blocked users would be served"),
    refused("provider_budget_config", "providers would spend beyond their budget"),
    ignored("set_verbose", "Use `--debug`."),
    ignored("turn_off_message_logging", "Request and answer bodies are never logged."),
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
    served("modify_params", Kind::Bool, "", "Requests are always changed to suit the provider: calls without results, tools that only the history names, thinking that cannot go on, blank texts, a first turn of the model."),
    not_yet("num_retries_per_request", "`num_retries` and `max_fallbacks` bound them."),
    not_yet("model_alias_map", "`router_settings.model_group_alias` is served."),
    not_yet("expose_router_debug_in_errors", "Errors always explain."),
    not_yet("budget_exceeded_status_code", "A spent budget is always a 429."),
    served("cache", Kind::Bool, "false", "Whether complete answers are kept and given to equal requests."),
    served("cache_params", Kind::Map, "", "How; see `cache_params`."),
    lacks("default_redis_*", &features::CACHING),
    served("callbacks", Kind::Any, "", "Names. `prometheus` is served, by `/metrics`. A filter of requests is an error; own Python code is never run, and no log is sent anywhere: a warning."),
    served("success_callback", Kind::Any, "", "As `callbacks`."),
    served("failure_callback", Kind::Any, "", "As `callbacks`."),
    served("service_callback", Kind::Any, "", "As `callbacks`."),
    served("service_callbacks", Kind::Any, "", "As `callbacks`."),
    served("audit_log_callbacks", Kind::Any, "", "As `callbacks`."),
    served("post_call_rules", Kind::Any, "", "As `callbacks`."),
    served("pre_call_rules", Kind::Any, "", "As `callbacks`."),
    not_yet("log_raw_request_response", "Bodies are never logged."),
    lacks("s3_callback_params", &features::LOG_SINKS),
    lacks("enable_end_user_cost_tracking_prometheus_only", &features::TRACKING),
    lacks("disable_end_user_cost_tracking*", &features::TRACKING),
    not_yet("ssl_verify", "Certificates are always verified."),
    lacks("ssl_certificate", &features::CERTIFICATES),
    not_yet("ssl_security_level", "TLS has one level."),
    lacks("key_generation_settings", &features::VIRTUAL_KEYS),
    lacks("upperbound_key_generate_params", &features::VIRTUAL_KEYS),
    lacks("default_key_generate_params", &features::VIRTUAL_KEYS),
    lacks("default_internal_user_params", &features::VIRTUAL_KEYS),
    lacks("default_team_params", &features::VIRTUAL_KEYS),
    lacks("default_team_settings", &features::VIRTUAL_KEYS),
    lacks("enable_key_alias_format_validation", &features::VIRTUAL_KEYS),
    lacks("internal_user_budget_duration", &features::VIRTUAL_KEYS),
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
    not_yet("forward_traceparent_to_llm_provider", "No trace is passed on."),
    lacks("default_max_internal_user_budget", &features::VIRTUAL_KEYS),
    not_yet("user_url_validation", "Image addresses are the provider's to fetch."),
    not_yet("api_base", "Set it per deployment."),
    not_yet("api_key", "Set it per deployment."),
];

#[rustfmt::skip]
const ROUTER: &[Row] = &[
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
    served("optional_pre_call_checks", Kind::List, "", "`enforce_model_rate_limits` enforces `rpm` and `tpm`; `router_budget_limiting` is always on. The others have no effect yet."),
    served("default_max_parallel_requests", Kind::Count(1, 1_000_000), "none", "`max_parallel_requests` of deployments that have none."),
    served("enable_tag_filtering", Kind::Bool, "false", "Let a request's tags (`tags`, `metadata.tags`, `x-litellm-tags`) decide which deployments it may use."),
    served("tag_filtering_match_any", Kind::Bool, "true", "Whether one common tag is enough. Otherwise all of the request's tags must match."),
    served("request_timeout", TIMEOUT, "`litellm_settings.request_timeout`", "Time limit of a whole request, all attempts and fallbacks together."),
    served("cooldown_time", COOLDOWN, "5", "Cooldown of an ejected deployment; 0 turns cooldown off."),
    served("disable_cooldowns", Kind::Bool, "false", "No deployment is ever ejected."),
    served("retry_after", Kind::Time(0, HOUR), "0", "Smallest pause before a retry on the same deployment."),
    served("model_group_alias", Kind::Map, "", "Further names of groups: `{alias: group}` or `{alias: {model: group, hidden: true}}`. An alias may name another alias."),
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
    lacks("redis_*", &features::SHARED_STATE),
    lacks("cache_kwargs", &features::SHARED_STATE),
    lacks("cache_responses", &features::CACHING),
    lacks("caching_groups", &features::CACHING),
    not_yet("alerting_config", "`general_settings.alerting` is served."),
    lacks("plugins", &features::PLUGINS),
    lacks("search_tools", &features::SEARCH),
    lacks("assistants_config", &features::ASSISTANTS),
    lacks("weights", &features::VIRTUAL_KEYS),
    not_yet("max_retries", "`num_retries` is served."),
    lacks("fallback_access_check", &features::VIRTUAL_KEYS),
    lacks("fallback_budget_check", &features::VIRTUAL_KEYS),
    lacks("auto_router_capability_limit", &features::STRATEGY_ROUTERS),
];

#[rustfmt::skip]
const ALERTING: &[Row] = &[
    served("min_affected", Kind::Count(0, 1_000_000_000), "1", "The requests that a fault must have touched to be told; 0 tells every fault of a deployment."),
    served("minor_outage_alert_threshold", Kind::Count(1, 1_000_000), "3", "The failed requests of a minute, and half of all at least, from which on a deployment counts as failing that no cooldown keeps out."),
    served("major_outage_alert_threshold", Kind::Count(1, 1_000_000), "10", "The failed requests from which on an incident is critical."),
    served("collect_s", Kind::Time(0, HOUR), "10", "How long what has the same cause is collected before it is told."),
    served("settle_s", Kind::Time(0, HOUR), "5", "How long it must be over before it is told as resolved."),
    served("flap_s", Kind::Time(0, DAY), "600", "What comes back within this time is the same incident."),
    served("quiet_hours", Kind::List, "none", "Hours in which only what is critical is told: `{start: \"22:00\", end: \"06:00\", timezone: Europe/Berlin}`."),
    served("maintenance", Kind::List, "none", "Times in which nothing is told about `models`, or about anything: `{start, end, timezone, models}` every day, or once with `2027-01-30T22:00:00Z`."),
    served("webhook_secret", Kind::Secret, "`WEBHOOK_SECRET`", "What messages to `webhook` are signed with."),
    served("pagerduty_url", Kind::Text, "`https://events.pagerduty.com/v2/enqueue`", "Where PagerDuty takes events; for Europe `https://events.eu.pagerduty.com/v2/enqueue`."),
    served("email_to", Kind::List, "`ALERT_EMAIL_TO`", "Who gets the emails."),
    ignored("daily_report_frequency", "A report is sent when it is asked for: `POST /alerting/report`."),
    ignored("report_check_interval", "A report is sent when it is asked for: `POST /alerting/report`."),
    ignored("budget_alert_ttl", "An incident is told once, however long it lasts."),
    ignored("outage_alert_ttl", "An incident is told once, however long it lasts."),
    ignored("region_outage_alert_ttl", "An incident is told once, however long it lasts."),
    ignored("max_outage_alert_list_size", "What an incident keeps is bounded anyway."),
    ignored("log_to_console", "The log has a line for each message."),
    lacks("daily_spend_per_user_threshold", &features::TRACKING),
    lacks("monthly_spend_per_user_threshold", &features::TRACKING),
    lacks("spend_anomaly_*", &features::TRACKING),
    lacks("user_spend_check_interval", &features::TRACKING),
];

#[rustfmt::skip]
const GENERAL: &[Row] = &[
    served("master_key", Kind::Secret, "`LITELLM_MASTER_KEY`", "The key with every right. Without one the gateway listens on loopback only, and the data API is open there."),
    served("dangerously_permit_weak_or_unset_master_key", Kind::Bool, "`LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY`, else false", "Listen on a public address in spite of a weak or missing key."),
    served("litellm_key_header_name", Kind::Text, "", "A further header that may carry the key."),
    served("dangerously_allow_mock_testing_request_params", Kind::Bool, "false", "Let a request ask for a simulated answer or failure: `mock_response`, `mock_delay`, `mock_timeout`, `mock_testing_fallbacks` and its kin. No upstream is called and no deployment is blamed."),
    served("cors_origins", Kind::List, "`LITELLM_CORS_ORIGINS`, else any", "Origins whose pages may read answers, as `https://host:port`; `[]` for none. It applies once there is a secret master key: without one pages of other origins are refused. Credentials of browsers (cookies) are never allowed; pages send the key."),
    served("always_include_stream_usage", Kind::Bool, "false", "Send the usage chunk of a stream even if the client did not ask for it."),
    served("health_check_details", Kind::Bool, "true", "`false` cuts `/health` to models and ids, and `/health/readiness` to `status` and `db`."),
    served("cooldown_time", COOLDOWN, "", "As `router_settings.cooldown_time`, which wins."),
    served("timeout", TIMEOUT, "", "As `router_settings.timeout`, which wins."),
    served("retry_after", Kind::Time(0, HOUR), "", "As `router_settings.retry_after`, which wins."),
    served("json_logs", Kind::Bool, "", "As `litellm_settings.json_logs`."),
    served("request_log", Kind::Text, "none", "A file to which a JSON line per finished request is appended. A reload changes it, and reopens it after a rename. A pipe that is not read loses records and delays nothing."),
    served("database_url", Kind::Secret, "`DATABASE_URL`, else the file `hale.db` in `$HALE_DATA_DIR` or beside the config", "Where the store is: `postgres://USER:PASSWORD@HOST:PORT/NAME`, or the path of a SQLite file. Read at start."),
    served("database_required", Kind::Bool, "false", "`/health/readiness` is 503 while the database does not work."),
    served("store_requests_days", Kind::Count(1, 36_500), "7", "How long records of requests are kept, days. This and the following keys are read at start."),
    served("store_requests_sample", Kind::Number(0.0, 1.0), "1", "The share of successful requests whose records are kept. Failures are always kept, and every request counts in the rollups."),
    served("store_requests_per_second", Kind::Count(0, 1_000_000), "200 in a SQLite file, else no limit", "How many records of successful requests are written a second, at most."),
    served("store_requests_max_mb", Kind::Megabytes(1.0, 1_048_576.0), "512", "Size of a SQLite file, MiB, from which on the oldest records of requests are deleted."),
    served("store_history_days", Kind::Count(1, 36_500), "400", "How long changes of state, operators' actions and days of rollups are kept, days."),
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
    ignored("enforce_fallback_model_access", "The only key is the master key, which may use every model."),
    refused("allowed_ips", "every address would be served"),
    refused("allowed_routes", "every route would be open"),
    refused("admin_only_routes", "every route would be open"),
    refused("enforced_params", "requests without those parameters would pass"),
    refused("enforce_user_param", "requests without `user` would pass"),
    misplaced("max_budget", LITELLM_BUDGET),
    misplaced("budget_duration", LITELLM_BUDGET),
    refused("guardrails", "requests that a guardrail should stop would pass"),
    served("disable_spend_logs", Kind::Bool, "false", "As `store_requests_sample: 0`, and no failed request is recorded either: requests count in the rollups only."),
    ignored("disable_spend_updates", "The store writes nothing of the kind."),
    ignored("disable_error_logs", "The store writes nothing of the kind."),
    ignored("disable_reset_budget", "The store writes nothing of the kind."),
    ignored("disable_adding_master_key_hash_to_db", "The store writes nothing of the kind."),
    ignored("disable_master_key_return", "The master key is never returned."),
    ignored("disable_prisma_schema_update", "The store writes nothing of the kind."),
    ignored("proxy_batch_write_at", "The store writes nothing of the kind."),
    ignored("proxy_batch_polling_interval", "The store writes nothing of the kind."),
    ignored("proxy_budget_rescheduler_*", "The store writes nothing of the kind."),
    ignored("allow_requests_on_db_unavailable", "No request waits for a database."),
    ignored("user_api_key_cache_ttl", "There are no keys in the store."),
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
    lacks("store_model_in_db", &features::DATABASE),
    lacks("supported_db_objects", &features::DATABASE),
    lacks("store_prompts_in_spend_logs", &features::DATABASE),
    lacks("maximum_spend_logs_*", &features::DATABASE),
    lacks("coordination_redis", &features::SHARED_STATE),
    lacks("use_redis_transaction_buffer", &features::SHARED_STATE),
    lacks("encryption_algorithm", &features::DATABASE),
    lacks("key_management_*", &features::SECRET_MANAGERS),
    lacks("use_azure_key_vault", &features::SECRET_MANAGERS),
    lacks("use_google_kms", &features::SECRET_MANAGERS),
    served("alerting", Kind::List, "none", "Who is told of incidents: `slack` (`SLACK_WEBHOOK_URL`), `webhook` (`WEBHOOK_URL`, `WEBHOOK_SECRET`), `ms_teams` (`MS_TEAMS_WEBHOOK_URL`), `discord` (`DISCORD_WEBHOOK_URL`), `pagerduty` (`PAGERDUTY_API_KEY`). See [alerts](alerts.md)."),
    served("alerting_threshold", Kind::Time(0, DAY), "300", "A request is slow that takes so long to its first content, or as a whole if it is no stream. 0: none is."),
    served("alert_types", Kind::List, "all", "What is told: names of [alerts](alerts.md), or LiteLLM's for them."),
    served("alert_to_webhook_url", Kind::Map, "none", "Addresses of Slack for single types, in place of `SLACK_WEBHOOK_URL`: a type, and an address or a list of them."),
    served("alerting_args", Kind::Map, "", "When something is told: see below."),
    lacks("spend_report_frequency", &features::TRACKING),
    lacks("max_parallel_requests", &features::CAPS),
    lacks("global_max_parallel_requests", &features::CAPS),
    lacks("max_in_flight_requests_per_worker", &features::CAPS),
    lacks("disable_retry_on_max_parallel_request_limit_error", &features::CAPS),
    lacks("token_rate_limit_type", &features::VIRTUAL_KEYS),
    lacks("completion_model", &features::DEFAULT_MODELS),
    lacks("embedding_model", &features::DEFAULT_MODELS),
    lacks("image_generation_model", &features::DEFAULT_MODELS),
    lacks("moderation_model", &features::DEFAULT_MODELS),
    lacks("pass_through_endpoints", &features::RELAYED_ROUTES),
    served("pass_through_all_models", Kind::Bool, "false", "Serves any `provider/model` of the providers whose key is in the environment, besides `model_list`."),
    lacks("use_client_credentials_pass_through_routes", &features::RELAYED_ROUTES),
    not_yet("public_routes", "Routes without a key: there are none but health."),
    not_yet("allow_client_side_credentials", "Credentials in a request are refused."),
    not_yet("allow_user_auth", "Credentials in a request are refused."),
    lacks("forward_client_headers_to_llm_api", &features::CLIENT_HEADERS),
    lacks("forward_llm_provider_auth_headers", &features::CLIENT_HEADERS),
    lacks("forward_openai_org_id", &features::CLIENT_HEADERS),
    not_yet("reject_clientside_metadata_tags", "Tags have no effect."),
    not_yet("use_x_forwarded_for", "The client's address has no effect."),
    served("user_header_name", Kind::Text, "", "The header that names the user of a request, for `user` of its record. It reaches no provider."),
    served("user_header_mappings", Kind::List, "", "The same by roles: `{header_name: X-User, litellm_user_role: customer}`. Those of customers count, then those of internal users."),
    lacks("service_account_settings", &features::VIRTUAL_KEYS),
    lacks("default_team_disabled", &features::VIRTUAL_KEYS),
    lacks("custom_key_*", &features::VIRTUAL_KEYS),
    not_yet("disable_responses_id_security", "Ids of responses belong to no key."),
    lacks("custom_sso", &features::USER_INTERFACE),
    lacks("custom_ui_sso_sign_in_handler", &features::USER_INTERFACE),
    lacks("auto_redirect_ui_login_to_sso", &features::USER_INTERFACE),
    lacks("ui_*", &features::USER_INTERFACE),
    lacks("control_plane_url", &features::USER_INTERFACE),
    lacks("user_mcp_management_mode", &features::MCP),
    lacks("mcp_*", &features::MCP),
    not_yet("block_robots", "There is no `robots.txt`."),
];

#[rustfmt::skip]
const CREDENTIAL: &[Row] = &[
    served("credential_name", Kind::Text, "required", "The name."),
    served("credential_values", Kind::Map, "required", "`api_key`, `api_base`, `organization`; for Azure the keys of its own."),
    ignored("credential_info", "A description."),
];

#[rustfmt::skip]
const ALIAS: &[Row] = &[
    served("model", Kind::Text, "required", "The group, or another alias."),
    served("hidden", Kind::Bool, "false", "Leave it out of `/v1/models`."),
];

#[rustfmt::skip]
const STRATEGY: &[Row] = &[
    served("ttl", Kind::Time(1_000, DAY), "3600", "How long a measured time counts. Under the strategies by usage it has no effect: a minute is sixty seconds."),
    served("lowest_latency_buffer", Kind::Number(0.0, 100.0), "0", "How much slower than the fastest one may be and still be chosen: 0.1 is ten percent."),
    ignored("max_latency_list_size", "Times are a moving average."),
    not_yet("ttft_percentile", "Times are a moving average."),
    not_yet("confidence_threshold_*", "They are of another strategy."),
];

#[rustfmt::skip]
const RETRY_POLICY: &[Row] = &[
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
const FAILS_POLICY: &[Row] = &[
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
const BUDGET: &[Row] = &[
    served("budget_limit", BUDGET_USD, "required", "USD within `time_period`, above 0."),
    served("max_budget", BUDGET_USD, "", "As `budget_limit`."),
    served("time_period", Kind::Text, "required", "The length of the window, from its first cost on: `30s`, `10m`, `24h`, `7d`, `2w`, or `1mo` by the calendar (UTC)."),
    served("budget_duration", Kind::Text, "", "As `time_period`."),
    not_yet("rpm_limit", "A rate is no budget; LiteLLM does not enforce it here either."),
    not_yet("tpm_limit", "A rate is no budget; LiteLLM does not enforce it here either."),
];

#[rustfmt::skip]
const WINDOW: &[Row] = &[
    served("start", Kind::Text, "required", "The first moment, by the clock on the wall: `\"22:00\"` or `\"22:00:30\"`."),
    served("end", Kind::Text, "required", "The first moment after it; when it is earlier than `start`, on the next day."),
    served("timezone", Kind::Text, "required", "`Europe/Berlin`, `UTC`, ...: daylight saving time is that of the zone."),
    served("team_ids", Kind::List, "required", "The teams that it is reserved for."),
];

#[rustfmt::skip]
const CACHE: &[Row] = &[
    served("type", Kind::Text, "`redis` if a server is named here, else `local`", "Where answers are kept. `local`: in the memory of the process. `redis`: in Redis too, for all replicas. `disk`: in files too, over a restart."),
    served("ttl", Kind::Time(1_000, DAY * 366), "600", "How long an answer may be reused."),
    served("default_in_memory_ttl", Kind::Time(1_000, DAY * 366), "`ttl`", "The same; `ttl` wins."),
    served("default_in_redis_ttl", Kind::Time(1_000, DAY * 366), "`ttl`", "The same for the type `redis`; `ttl` wins."),
    served("namespace", Kind::Text, "", "Separates the answers of several gateways that share a store."),
    served("mode", Kind::Text, "default_on", "`default_off`: only requests with `cache: {\"use-cache\": true}` use it."),
    served("supported_call_types", Kind::List, "all below", "The operations whose answers are kept: `completion` (chat and messages), `text_completion`, `embedding`; the names with an `a` in front mean the same."),
    served("max_size_mb", Kind::Megabytes(1.0, 65_536.0), "64", "MiB of all answers that one process keeps."),
    served("max_answer_mb", Kind::Megabytes(0.001, 8.0), "1", "MiB of the largest answer that is kept; at most a quarter of `max_size_mb`."),
    served("disk_cache_dir", Kind::Text, "hale-answers", "For the type `disk`: the directory of the files, from that of the store."),
    served("max_disk_mb", Kind::Megabytes(1.0, 1_048_576.0), "1024", "For the type `disk`: MiB of all files."),
    served("host", Kind::Any, "", "The host of the Redis in which answers are kept, and through which replicas share deadlines, cooldowns, limits and probes."),
    served("port", Kind::Any, "", "Its port."),
    served("password", Kind::Any, "", "The password there."),
    served("username", Kind::Any, "", "The user there."),
    served("url", Kind::Any, "", "The same as one address."),
    served("db", Kind::Any, "", "The number of the database there."),
    served("ssl", Kind::Any, "false", "Whether the connection to Redis is encrypted."),
    lacks("ssl_*", &features::CERTIFICATES),
    ignored("max_connections", "All requests share one connection."),
    ignored("socket_timeout", "Redis has 20 ms; later it is a miss."),
    ignored("redis_flush_size", "Each answer is written when it is complete."),
    served("service_name", Kind::Any, "", "The service that Sentinel names."),
    served("sentinel_nodes", Kind::Any, "", "The addresses of Sentinels."),
    served("sentinel_password", Kind::Any, "", "Their password."),
    served("redis_startup_nodes", Kind::Any, "", "Nodes of a Redis Cluster."),
    lacks("redis_*", &features::SIMILAR_ANSWERS),
    lacks("similarity_threshold", &features::SIMILAR_ANSWERS),
    lacks("qdrant_*", &features::SIMILAR_ANSWERS),
    lacks("valkey_*", &features::SIMILAR_ANSWERS),
    lacks("s3_*", &features::BUCKETS),
    lacks("gcs_*", &features::BUCKETS),
    lacks("azure_*", &features::BUCKETS),
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
        assert_eq!(support(Section::Params, "aws_region_name"), Some(Support::NotYet));
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
