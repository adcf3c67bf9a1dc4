//! Further keys that LiteLLM knows in the three sections of settings, and Hale does not serve.
//!
//! Read by [`super::keys::find`] after the table of keys. Always true: none of them is about security or money, so that
//! ignoring one is safe; each has its effect in words, and a name that LiteLLM does not know is in no list.

use super::features::{self, Feature};
use super::keys::{Row, Section, lacks, not_yet};

/// The key `name` of `section`, if it is one of these.
pub(super) fn find(section: Section, name: &str) -> Option<&'static Row> {
    let rows = match section {
        Section::Litellm => LITELLM,
        Section::General => GENERAL,
        Section::Router
        | Section::Top
        | Section::Entry
        | Section::Params
        | Section::Info
        | Section::Credential
        | Section::Alias
        | Section::Strategy
        | Section::Retries
        | Section::Fails
        | Section::Budget
        | Section::Window
        | Section::Cache
        | Section::Alerting => return None,
    };
    rows.iter().find(|row| row.name == name)
}

const METRICS: &Feature = &features::OWN_METRICS;
const SINKS: &Feature = &features::LOG_SINKS;
const KEYS: &Feature = &features::VIRTUAL_KEYS;
/// A provider's key in `litellm_settings`.
const OWN_KEY: &str = "Set `api_key` per deployment, or the provider's variable.";
const PROVIDERS_OWN: &str = "Requests are changed only where their provider would refuse them.";
const PROMPTS: &str = "There are no stored prompts: the client sends the messages.";

#[rustfmt::skip]
const LITELLM: &[Row] = &[
    lacks("prometheus_deployment_and_latency_caller_identity", METRICS),
    lacks("prometheus_emit_input_sequence_length_label", METRICS),
    lacks("prometheus_emit_rate_limit_labels", METRICS),
    lacks("prometheus_emit_stream_label", METRICS),
    lacks("prometheus_end_user_metrics_cleanup_interval_seconds", METRICS),
    lacks("prometheus_end_user_metrics_max_series_per_metric", METRICS),
    lacks("prometheus_end_user_metrics_ttl_seconds", METRICS),
    lacks("prometheus_exclude_labels", METRICS),
    lacks("prometheus_exclude_metrics", METRICS),
    lacks("prometheus_initialize_budget_metrics", METRICS),
    lacks("prometheus_metrics_cleanup_interval_seconds", METRICS),
    lacks("prometheus_metrics_max_series_per_metric", METRICS),
    lacks("prometheus_metrics_ttl_seconds", METRICS),
    lacks("prometheus_user_budget_label_include_email_alias", METRICS),
    lacks("langfuse_default_tags", SINKS),
    lacks("langfuse_enable_update_trace_keys", SINKS),
    lacks("langsmith_batch_size", SINKS),
    lacks("datadog_params", SINKS),
    lacks("datadog_llm_observability_params", SINKS),
    lacks("datadog_use_v1", SINKS),
    lacks("gcs_pub_sub_use_v1", SINKS),
    lacks("generic_api_use_v1", SINKS),
    lacks("argilla_batch_size", SINKS),
    lacks("argilla_transformation_object", SINKS),
    lacks("aws_sqs_callback_params", SINKS),
    lacks("s3_audit_callback_params", SINKS),
    lacks("newrelic_params", SINKS),
    lacks("zerobus_params", SINKS),
    lacks("dynamodb_table_name", SINKS),
    lacks("cold_storage_custom_logger", SINKS),
    lacks("input_callback", SINKS),
    lacks("batch_line_item_callbacks", SINKS),
    lacks("logged_real_time_event_types", SINKS),
    lacks("disable_streaming_logging", SINKS),
    lacks("allow_dynamic_callback_disabling", SINKS),
    not_yet("store_audit_logs", "What admins change is always kept."),
    not_yet("global_disable_no_log_param", "A request may always ask not to be logged."),
    not_yet("log_client_error_tracebacks", "A failed request has one line in the log."),
    not_yet("request_correlation_in_logs", "Each line about a request has its call id."),
    not_yet("log_auth_failure_key_identity", "The log never names a key that is refused."),
    lacks("extra_spend_tag_headers", &features::TRACKING),
    lacks("disable_add_user_agent_to_request_tags", &features::TRACKING),
    lacks("default_in_memory_ttl", &features::CACHING),
    lacks("enable_redis_auth_cache", &features::SHARED_STATE),
    lacks("force_redis_hash_tag_grouping", &features::SHARED_STATE),
    lacks("enable_caching_on_provider_specific_optional_params", &features::CACHING),
    not_yet("timezone", "The windows of budgets end by UTC."),
    not_yet("budget_reset_time", "Budgets of keys begin anew at midnight in UTC, those of the config with their first cost."),
    not_yet("budget_rollover", "What is left of a budget ends with its window."),
    not_yet("budget_exceeded_throttle_percentage", "A spent budget is a 422, and not slower."),
    lacks("default_soft_budget", KEYS),
    lacks("default_key_max_budget_alert_emails", KEYS),
    lacks("max_ui_session_budget", &features::USER_INTERFACE),
    lacks("key_alias_pattern", KEYS),
    not_yet("personal_key_model_access_from_teams", "A key without a team uses what it and its user may use."),
    lacks("scim_admin_group", KEYS),
    lacks("scim_upsert_user", KEYS),
    lacks("mcp_semantic_tool_filter", &features::MCP),
    lacks("mcp_tool_search", &features::MCP),
    lacks("public_mcp_servers", &features::MCP),
    lacks("public_agent_groups", &features::AGENTS),
    not_yet("model_group_settings", "Settings of single groups have no effect."),
    not_yet("model_fallbacks", "`fallbacks` is served."),
    not_yet("longer_context_model_fallback_dict", "`context_window_fallbacks` is served."),
    not_yet("model_cost_map_url", "The price list is a part of Hale."),
    not_yet("global_prompt_directory", PROMPTS),
    not_yet("global_gitlab_config", PROMPTS),
    not_yet("global_bitbucket_config", PROMPTS),
    not_yet("return_response_headers", "The provider's headers are always shown, as `llm_provider-*`."),
    not_yet("filter_invalid_headers", "Headers that cannot be sent are always left out."),
    not_yet("headers", "`extra_headers` of a deployment is served."),
    not_yet("reasoning_auto_summary", PROVIDERS_OWN),
    not_yet("add_function_to_prompt", PROVIDERS_OWN),
    not_yet("anthropic_prompt_caching_ttl", PROVIDERS_OWN),
    not_yet("enable_anthropic_prompt_caching", PROVIDERS_OWN),
    not_yet("strip_anthropic_total_tokens", PROVIDERS_OWN),
    not_yet("disable_stop_sequence_limit", PROVIDERS_OWN),
    not_yet("openai_system_messages_first", PROVIDERS_OWN),
    not_yet("gemini_include_thoughts_default", PROVIDERS_OWN),
    not_yet("enable_gemini_default_thinking_level_low", PROVIDERS_OWN),
    not_yet("disable_anthropic_gemini_context_caching_transform", PROVIDERS_OWN),
    not_yet("remove_index_from_tool_calls", "Answers are passed on as they are."),
    not_yet("route_all_chat_openai_to_responses", features::BRIDGE.effect),
    not_yet("max_tokens", "Write it in `litellm_params`, as a default of the deployment."),
    not_yet("use_client", "Connections are pooled."),
    not_yet("use_litellm_proxy", "`litellm_proxy/` is served as a provider."),
    not_yet("use_aiohttp_transport", "There is one transport."),
    not_yet("disable_aiohttp_trust_env", "Proxy variables are always honoured."),
    not_yet("http2", "Providers are called over HTTP/1.1."),
    not_yet("ssl_ecdh_curve", "TLS has one level."),
    not_yet("retry", "`num_retries` is served."),
    not_yet("anthropic_sse_ping_interval_seconds", "`sse_keepalive_ping_interval_seconds` counts for all clients."),
    not_yet("disable_token_counter", "Tokens are always counted."),
    not_yet("api_version", "Set it per deployment."),
    not_yet("organization", "Set it per deployment."),
    not_yet("enable_azure_ad_token_refresh", "Tokens of Entra ID are always renewed in time."),
    not_yet("vertex_ai_safety_settings", "Write `safety_settings` in `litellm_params`, as a default of the deployment."),
    lacks("bedrock_request_metadata_fields", &features::AWS),
    lacks("websearch_interception_params", &features::SEARCH),
    lacks("apply_search_free_tier", &features::SEARCH),
    not_yet("vector_store_search_failure_mode", "There are no vector stores."),
    not_yet("openai_key", OWN_KEY),
    not_yet("anthropic_key", OWN_KEY),
    not_yet("azure_key", OWN_KEY),
    not_yet("cohere_key", OWN_KEY),
    not_yet("groq_key", OWN_KEY),
    not_yet("openrouter_key", OWN_KEY),
    not_yet("ollama_key", OWN_KEY),
    not_yet("openai_like_key", OWN_KEY),
    not_yet("huggingface_key", OWN_KEY),
    not_yet("replicate_key", OWN_KEY),
    not_yet("togetherai_api_key", OWN_KEY),
    not_yet("databricks_key", OWN_KEY),
    not_yet("predibase_key", OWN_KEY),
    not_yet("xai_key", OWN_KEY),
    not_yet("cloudflare_api_key", OWN_KEY),
    not_yet("novita_api_key", OWN_KEY),
    not_yet("nebius_key", OWN_KEY),
    not_yet("llama_api_key", OWN_KEY),
    not_yet("wandb_key", OWN_KEY),
    not_yet("snowflake_key", OWN_KEY),
    not_yet("ai21_key", OWN_KEY),
];

#[rustfmt::skip]
const GENERAL: &[Row] = &[
    lacks("otel", SINKS),
    lacks("tracing", SINKS),
    not_yet("custom_auth_run_common_checks", "It belongs to `custom_auth`."),
    not_yet("admission_queue_timeout_seconds", "`router_settings.max_wait_s` is served."),
    not_yet("max_queued_requests_per_worker", "`router_settings.max_waiting` is served."),
    not_yet("cancel_on_disconnect", "A request whose client left always ends."),
    not_yet("include_call_id_in_error_body", "Each answer has `x-litellm-call-id`."),
    not_yet("expose_fallback_errors_to_caller", "Errors always explain."),
    not_yet("proxy_config_reload_interval_seconds", "A changed file is always reloaded, within a second."),
    not_yet("pass_through_request_timeout", "`router_settings.timeout` is served."),
    not_yet("responses_websocket_session_limit_seconds", "`websocket_idle_timeout_s` is served."),
    not_yet("disable_model_info_refresh", "Facts of models are never fetched."),
    not_yet("scheduled_job_stagger", "There are no scheduled jobs."),
    not_yet("spend_logs_metadata_fields", "Rows of spend have the metadata of the reference's rows."),
    not_yet("use_spend_logs_partitioning", "Tables of LiteLLM are used as they are."),
    not_yet("maximum_autorouter_session_retention_period", "No model is picked by what a request asks."),
    not_yet("maximum_daily_tag_spend_retention_period", "Days of tags stay."),
    not_yet("disable_key_generate_for_org_admin", "Admins of an organization make no keys."),
    not_yet("disable_auto_add_proxy_admin_to_teams", "Admins of the gateway are in no team unless they are added."),
    not_yet("use_team_public_model_name", "A model always has its `team_public_model_name` for its team."),
    not_yet("user_api_key_cache_max_size", "Keys in use are bounded anyway."),
    lacks("disable_env_credential_login", &features::USER_INTERFACE),
    lacks("disable_password_login_when_sso_enabled", &features::USER_INTERFACE),
    lacks("hide_default_credentials_hint", &features::USER_INTERFACE),
    lacks("enable_public_model_hub", &features::USER_INTERFACE),
    lacks("enable_mcp_registry", &features::MCP),
    lacks("search_tools", &features::SEARCH),
    lacks("plugins", &features::PLUGINS),
];

#[cfg(test)]
mod tests {
    use super::super::keys::rows;
    use super::*;

    #[test]
    fn each_name_is_in_one_table_once() {
        for (section, more) in [(Section::Litellm, LITELLM), (Section::General, GENERAL)] {
            let mut names: Vec<&str> =
                rows(section).iter().chain(more).map(|row| row.name).collect();
            let count = names.len();
            names.sort_unstable();
            let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
            assert!(twice.is_empty() && count == names.len(), "{section:?}: {twice:?}");
        }
    }
}
