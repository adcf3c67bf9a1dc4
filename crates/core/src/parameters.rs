//! Every request field and config parameter that is LiteLLM's own or Hale's, and what becomes of it: one table.
//!
//! Read by the readers and writers of bodies (the wires), by the config for `litellm_params`, and by
//! `docs/parameters.md`, which is made of it. Always true: a name has one row, and no name in the table reaches a provider but
//! those of [`InBody::Request`]; what is in no row is the provider's own.
//!
//! Source of the names: the lists of parameters in LiteLLM 1.106.2 (`all_litellm_params` and what its proxy strips).

/// What becomes of a field in the body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBody {
    /// It says what the client wants. The gateway reads it, and the provider gets it.
    Request,
    /// It steers the gateway, which reads it and does not forward it.
    Control,
    /// It has a part that steers the gateway, and is not forwarded.
    Inspected,
    /// It is meant for a gateway, has no effect in this one, and is not forwarded.
    Stripped,
    /// It asks for what this gateway does not have and may not leave out. Refused, unless it asks for nothing (`null`, `false`,
    /// an empty list).
    Unserved,
    /// It asks for a simulated answer. Refused, unless the config permits it.
    Mock,
    /// It would set a credential or an address. Refused.
    Credential,
}

/// One name.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name.
    pub name: &'static str,
    /// What becomes of it in the body of a request.
    pub in_body: InBody,
    /// What it is about, for people.
    pub about: &'static str,
}

macro_rules! parameters {
    ($($in_body:ident $about:literal: $($name:literal)+;)+) => {
        /// All names. Those of [`InBody::Request`] come first, then those of [`InBody::Control`].
        pub const PARAMETERS: &[Parameter] =
            &[$($(Parameter { name: $name, in_body: InBody::$in_body, about: $about }),+),+];
    };
}

#[rustfmt::skip] // Many names a line.
parameters! {
    Request "what the client wants; the provider gets it":
        "model" "stream" "stream_options" "previous_response_id" "input_file_id";
    Control "routing of this request":
        "num_retries" "timeout" "request_timeout" "stream_timeout" "fallbacks" "context_window_fallbacks"
        "content_policy_fallbacks" "disable_fallbacks" "max_fallbacks" "include_fallback_errors"
        "allowed_model_region";
    Control "comments in a silent stream, where the deployment lets clients say so":
        "keepalive_seconds";
    Control "settings of routing for this request alone":
        "router_settings_override";
    Control "whether parameters that the provider does not know are left out of this request":
        "drop_params";
    Inspected "what the request asks of the cache of answers":
        "cache" "caching";
    Inspected "tags that decide about routing":
        "litellm_metadata" "tags";
    Inspected "whether sinks get a record of this request, and its session there":
        "no-log" "no_log" "litellm_session_id";
    Inspected "whether sinks get what this request and its answer say":
        "turn_off_message_logging";
    Stripped "probes: a key of `model_info`":
        "disable_background_health_check";
    Stripped "names of the request and of its session":
        "litellm_call_id" "litellm_trace_id" "completion_call_id";
    Stripped "marks for the provider's cache, which the config adds":
        "cache_control_injection_points";
    Stripped "the cache of answers":
        "ttl" "enable_prompt_caching" "caching_groups" "cache_key" "preset_cache_key";
    Stripped "order and choice among deployments, which the config decides":
        "priority" "specific_deployment" "cooldown_time" "retry_policy" "model_group_retry_policy"
        "retry_strategy" "routing_strategy" "enable_tag_filtering" "fastest_response" "provider_affinity_header"
        "search_tool_name" "context_window_fallback_dict" "model_info" "blocked" "access_groups" "rpm" "tpm" "itpm" "otpm"
        "default_api_key_rpm_limit" "default_api_key_tpm_limit" "max_parallel_requests" "weight" "order"
        "tag_regex" "max_file_size_mb" "silent_model" "region_name";
    Stripped "retries and timeouts of a client library":
        "max_retries" "force_timeout" "timeout_by_service_tier" "stream_timeout_by_service_tier"
        "client_side_timeout";
    Stripped "which parameters are passed on: all are, but for what the config drops":
        "additional_drop_params" "allowed_openai_params";
    Stripped "the shape of the answer":
        "allow_client_keepalive_override" "merge_reasoning_content_in_choices"
        "enable_json_schema_validation" "complete_response" "stream_response" "stream_chunk_size"
        "stream_logging_obj";
    Stripped "templates of prompts for models without a chat format":
        "prompt_variables" "prompt_version" "prompt_environment" "prompt_label" "custom_prompt_dict" "roles"
        "final_prompt_value" "bos_token" "eos_token" "hf_model_name" "supports_system_message"
        "ensure_alternating_roles" "user_continue_message" "assistant_continue_message"
        "disable_add_transform_inline_image_block";
    Stripped "logging of this request":
        "verbose" "logger_fn" "litellm_request_debug" "log_client_error_tracebacks"
        "litellm_logging_obj" "callbacks" "success_callback" "failure_callback" "service_callback"
        "proxy_server_request" "secret_fields" "standard_logging_object";
    Stripped "where and how this request is logged":
        "langfuse_public_key" "langfuse_secret" "langfuse_secret_key" "langfuse_host" "langfuse_environment"
        "langfuse_span_scope" "langfuse_prompt_version" "gcs_bucket_name" "gcs_path_service_account"
        "langsmith_api_key" "langsmith_project" "langsmith_base_url" "langsmith_sampling_rate"
        "langsmith_tenant_id" "humanloop_api_key" "arize_api_key" "arize_space_key" "arize_space_id"
        "arize_success_sampling_rate" "arize_error_sampling_rate" "arize_otlp_protocol" "posthog_api_key"
        "posthog_api_url" "wandb_api_key" "weave_project_id" "dd_api_key" "dd_site" "dd_agent_host"
        "dd_agent_port" "newrelic_api_key" "newrelic_region" "signoz_ingestion_endpoint" "signoz_ingestion_key"
        "litellm_disabled_callbacks";
    Stripped "money: prices and budgets are the config's":
        "cost_per_query" "base_model" "max_budget" "budget_duration";
    Stripped "money: prices are the config's":
        "cost_per_second" "input_cost_per_second" "output_cost_per_second" "output_cost_per_second_1080p"
        "output_cost_per_second_480p" "output_cost_per_second_720p" "output_cost_per_second_768p"
        "output_cost_per_second_2k" "output_cost_per_second_4k" "output_cost_per_image_512"
        "output_cost_per_image_1024" "output_cost_per_image_1536" "input_cost_per_pixel" "output_cost_per_pixel"
        "input_cost_per_token_flex" "input_cost_per_token_priority" "input_cost_per_token_balanced"
        "input_cost_per_token_ultrafast" "cache_creation_input_token_cost_above_1hr"
        "cache_creation_input_token_cost_above_100k_tokens"
        "cache_creation_input_token_cost_above_1hr_above_100k_tokens"
        "cache_creation_input_token_cost_above_200k_tokens" "cache_creation_input_token_cost_above_272k_tokens"
        "cache_creation_input_token_cost_above_272k_tokens_priority"
        "cache_creation_input_token_cost_above_272k_tokens_flex"
        "cache_creation_input_token_cost_above_272k_tokens_ultrafast" "cache_creation_input_token_cost_flex"
        "cache_creation_input_token_cost_priority" "cache_creation_input_token_cost_ultrafast"
        "cache_creation_input_audio_token_cost" "cache_read_input_token_cost_flex"
        "cache_read_input_token_cost_priority" "cache_read_input_token_cost_balanced"
        "cache_read_input_token_cost_ultrafast" "cache_read_input_token_cost_above_100k_tokens"
        "cache_read_input_token_cost_above_200k_tokens" "cache_read_input_token_cost_above_200k_tokens_priority"
        "cache_read_input_token_cost_above_272k_tokens_priority"
        "cache_read_input_token_cost_above_272k_tokens_flex"
        "cache_read_input_token_cost_above_272k_tokens_ultrafast" "cache_read_input_token_cost_batches"
        "cache_read_input_token_cost_above_100k_tokens_batches"
        "cache_read_input_token_cost_above_200k_tokens_batches"
        "cache_read_input_token_cost_above_272k_tokens_batches" "cache_creation_input_token_cost_batches"
        "cache_creation_input_token_cost_above_100k_tokens_batches"
        "cache_creation_input_token_cost_above_200k_tokens_batches"
        "cache_creation_input_token_cost_above_272k_tokens_batches" "cache_read_input_audio_token_cost"
        "cache_read_input_image_token_cost" "input_cost_per_character_above_128k_tokens"
        "input_cost_per_audio_token" "input_cost_per_token_cache_hit" "input_cost_per_token_above_128k_tokens"
        "input_cost_per_token_above_100k_tokens" "input_cost_per_token_above_200k_tokens"
        "input_cost_per_token_above_200k_tokens_priority" "input_cost_per_token_above_272k_tokens_priority"
        "input_cost_per_token_above_272k_tokens_flex" "input_cost_per_token_above_272k_tokens_ultrafast"
        "input_cost_per_token_above_200k_tokens_batches" "input_cost_per_token_above_100k_tokens_batches"
        "input_cost_per_token_above_272k_tokens_batches" "input_cost_per_query" "input_cost_per_image"
        "input_cost_per_image_above_128k_tokens" "input_cost_per_audio_per_second"
        "input_cost_per_audio_per_second_above_128k_tokens" "input_cost_per_video_per_second"
        "input_cost_per_video_per_second_above_128k_tokens" "input_cost_per_video_per_second_above_15s_interval"
        "input_cost_per_video_per_second_above_8s_interval" "input_cost_per_audio_token_batches"
        "input_cost_per_image_token_batches" "input_cost_per_token_batches" "input_cost_per_video_token_batches"
        "output_cost_per_token_batches" "output_cost_per_token_flex" "output_cost_per_token_priority"
        "output_cost_per_token_balanced" "output_cost_per_token_ultrafast" "output_cost_per_audio_token"
        "output_cost_per_token_above_128k_tokens" "output_cost_per_token_above_100k_tokens"
        "output_cost_per_token_above_200k_tokens" "output_cost_per_token_above_200k_tokens_priority"
        "output_cost_per_token_above_272k_tokens_priority" "output_cost_per_token_above_272k_tokens_flex"
        "output_cost_per_token_above_272k_tokens_ultrafast" "output_cost_per_token_above_200k_tokens_batches"
        "output_cost_per_token_above_100k_tokens_batches" "output_cost_per_token_above_272k_tokens_batches"
        "output_cost_per_character_above_128k_tokens" "output_cost_per_image" "output_cost_per_image_token"
        "output_cost_per_image_token_batches" "output_cost_per_video_token" "output_cost_per_reasoning_token"
        "output_cost_per_reasoning_token_flex" "output_cost_per_reasoning_token_priority"
        "output_cost_per_video_per_second" "output_cost_per_audio_per_second" "search_context_cost_per_query"
        "google_maps_grounding_cost_per_query" "citation_cost_per_token"
        "cache_read_input_token_cost_above_272k_tokens" "cache_read_input_token_cost_above_512k_tokens"
        "input_cost_per_image_token" "input_cost_per_video_token" "input_cost_per_token_above_272k_tokens"
        "input_cost_per_token_above_512k_tokens" "output_cost_per_token_above_272k_tokens"
        "output_cost_per_token_above_512k_tokens" "output_vector_size" "ocr_cost_per_page"
        "ocr_cost_per_page_batches" "ocr_cost_per_credit" "annotation_cost_per_page"
        "annotation_cost_per_page_batches" "regional_processing_uplift_multiplier_eu"
        "regional_processing_uplift_multiplier_us" "regional_endpoint_uplift_multiplier" "input_cost_per_token"
        "output_cost_per_token" "cache_read_input_token_cost" "cache_creation_input_token_cost"
        "input_cost_per_character" "output_cost_per_character";
    Stripped "routers that choose a model by the prompt":
        "auto_router_config_path" "auto_router_config" "auto_router_default_model" "auto_router_embedding_model"
        "auto_router_max_input_chars" "auto_router_routing_compression" "auto_router_model_compression"
        "complexity_router_config" "complexity_router_default_model" "adaptive_router_config"
        "adaptive_router_default_model" "quality_router_config" "quality_router_default_model";
    Stripped "which provider and which of its endpoints is called":
        "custom_llm_provider" "api_type" "azure" "use_litellm_proxy" "use_chat_completions_api" "use_in_pass_through"
        "use_xai_oauth" "fireworks_forward_user_id" "realtime_protocol";
    Stripped "the state of LiteLLM's own calls":
        "id" "client" "self" "use_client" "model_config" "rust" "shared_session" "model_alias_map"
        "data_residency" "model_file_id_mapping" "fallback_depth" "attempted_targets" "acompletion" "aembedding"
        "aimg_generation" "atext_completion" "text_completion" "allm_passthrough_route" "async_call" "weights"
        "_router_weights" "_target_order" "_context_compaction_state" "litellm_trusted_callback_vars"
        "_litellm_addressed_response_id" "_litellm_strip_stream_usage" "_litellm_control" "max_agentic_loops"
        "_agentic_loop_depth" "_agentic_loop_fingerprints" "_agentic_loop_api_surface"
        "_code_interpreter_interception_active" "_code_interpreter_interception_sandbox_key"
        "_code_interpreter_interception_session_scoped" "_code_interpreter_interception_converted_stream"
        "_websearch_interception_emit_native_blocks" "_websearch_interception_converted_stream"
        "_headroom_interception_converted_stream" "applied_guardrails" "applied_policies" "policy_sources"
        "guardrail_scan_ids" "guardrail_scan_metadata" "routing_decision" "_guardrail_pipelines"
        "_pipeline_managed_guardrails" "pillar_response_headers";
    Unserved "guardrails: the request would pass unchecked":
        "guardrails" "guardrail_config" "policies";
    Unserved "parameters for the provider: write them beside the others":
        "extra_body";
    Unserved "guardrails: none is served that could be turned off":
        "disable_global_guardrails" "disable_global_guardrail" "opted_out_global_guardrails";
    Unserved "stored prompts: write the text into `messages`":
        "prompt_id" "litellm_system_prompt";
    Mock "a simulated answer or failure; see `dangerously_allow_mock_testing_request_params`":
        "mock_response" "mock_timeout" "mock_delay" "mock_tool_calls" "mock_testing_fallbacks"
        "mock_testing_context_fallbacks" "mock_testing_content_policy_fallbacks" "mock_testing_rate_limit_error";
    Credential "an address, or how it is reached":
        "api_base" "base_url" "api_version" "headers" "extra_headers" "default_headers"
        "provider_specific_header" "ssl_verify" "ssl_certificate" "user_config" "model_list"
        "configurable_clientside_auth_params" "organization";
    Credential "a credential":
        "api_key" "litellm_credential_name" "azure_ad_token" "azure_ad_token_provider" "azure_username"
        "azure_password" "azure_scope" "azure_authority_host" "tenant_id" "client_id" "client_secret";
    Credential "a credential of AWS, or how it is reached":
        "aws_access_key_id" "aws_secret_access_key" "aws_session_token" "aws_session_name" "aws_profile_name"
        "aws_role_name" "aws_web_identity_token" "aws_sts_endpoint" "aws_external_id" "aws_region_name"
        "aws_session_tags"
        "aws_bedrock_runtime_endpoint" "aws_batch_role_arn" "s3_bucket_name" "s3_region_name" "s3_endpoint_url"
        "s3_output_bucket_name" "s3_bucket_owner" "s3_access_key_id" "s3_secret_access_key"
        "s3_encryption_key_id" "bedrock_tags" "model_id";
    Credential "a credential of Google":
        "vertex_credentials" "vertex_project" "vertex_location" "vertex_ai_credentials" "vertex_ai_project"
        "vertex_ai_location";
    Credential "a federated identity":
        "anthropic_federation_rule_id" "anthropic_organization_id" "anthropic_service_account_id"
        "anthropic_federation_workspace_id" "anthropic_identity_token_file" "anthropic_identity_token"
        "anthropic_identity_source" "anthropic_issuer_url" "anthropic_issuer_subject"
        "anthropic_issuer_audience" "anthropic_issuer_ttl_seconds" "anthropic_issuer_signing_key_ref"
        "anthropic_keycloak_token_url" "anthropic_keycloak_client_id" "anthropic_keycloak_auth_method"
        "anthropic_keycloak_client_secret_ref" "anthropic_keycloak_scope"
        "anthropic_disable_workload_identity_federation" "openai_identity_provider_id"
        "openai_service_account_id" "openai_identity_token_file";
}

/// Parameters of chats that Anthropic's messages have no place for under that name. A config that sets one as a default is
/// heard where its deployment speaks OpenAI's format, and by messages that are made of chats, which say some of them otherwise.
#[rustfmt::skip] // Many names a line.
pub const NOT_IN_MESSAGES: &[&str] = &[
    "audio", "dimensions", "encoding_format", "frequency_penalty", "function_call", "functions", "guided_json",
    "include_reasoning", "logit_bias", "logprobs", "max_completion_tokens", "min_p", "modalities", "n", "parallel_tool_calls",
    "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_retention", "repetition_penalty", "response_format",
    "safety_identifier", "seed", "stop", "store", "top_a", "top_logprobs", "user", "verbosity", "web_search_options",
];

/// Parameters of a config that Anthropic's messages have, or that a chat's translation says otherwise or may leave out.
#[rustfmt::skip] // Many names a line.
pub const FIT_FOR_MESSAGES: &[&str] = &[
    "cache_control", "container", "context_management", "inference_geo", "max_completion_tokens", "max_tokens", "mcp_servers",
    "metadata", "output_config", "output_format", "parallel_tool_calls", "prediction", "prompt_cache_key",
    "prompt_cache_options", "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier",
    "service_tier", "speed", "stop", "store", "stream", "stream_options", "temperature", "thinking", "tool_choice", "tools",
    "top_k", "top_p", "user",
];

/// The row of a name.
#[must_use]
pub fn parameter(name: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|row| row.name == name)
}

/// How a name ends that says that its value is a credential, in lower case with underscores.
#[rustfmt::skip] // Many names a line.
const CREDENTIALS: [&str; 16] = [
    "access_key_id", "apikey", "authorization", "bearer", "connection_string", "cookie", "credential", "credentials",
    "jwt", "passphrase", "passwd", "password", "pwd", "secret", "service_account", "service_account_json",
];
/// What stands before `key` in the name of a credential. Other keys name a place in a cache or a list.
#[rustfmt::skip]
const OF_KEYS: [&str; 24] = [
    "access", "account", "admin", "anthropic", "api", "auth", "azure", "client", "cohere", "encryption", "gemini", "google",
    "groq", "license", "master", "mistral", "openai", "openrouter", "private", "secret", "service", "shared", "signing",
    "subscription",
];
/// What stands before `token` in the name of a piece of text, a count of them or a place in a list.
#[rustfmt::skip]
const OF_TEXTS: [&str; 39] = [
    "audio", "begin", "bos", "cls", "continuation", "control", "cursor", "decoder", "draft", "end", "eos", "eot", "first",
    "forced", "image", "input", "last", "mask", "max", "min", "new", "next", "output", "pad", "page", "pagination", "per",
    "prompt", "reasoning", "resume", "sep", "sequence", "special", "start", "stop", "text", "think", "thinking", "unk",
];
/// Longest name of a credential, in bytes.
const CREDENTIAL_MAX: usize = 128;

/// Whether a name says that its value is a credential, whatever else it may be: no body carries one. Letters of both cases
/// count, and so do words that are joined by dashes, underscores or capitals. A name that is nothing but `token` says nothing.
#[must_use]
pub fn names_a_credential(name: &str) -> bool {
    // Most names end otherwise.
    let [.., a, b, c] = name.as_bytes() else { return false };
    let shortest = match &[a | 0x20, b | 0x20, c | 0x20] {
        b"jwt" | b"pwd" => 3,
        b"key" | b"ret" | b"swd" | b"kie" | b"rer" | b"ken" => 6,
        b"ord" | b"ial" | b"als" | b"ase" => 8,
        b"ion" => 13,
        b"unt" => 15,
        b"ing" => 17,
        b"son" => 20,
        &[_, b'i', b'd'] => 11,
        &[_, _, _] => return false,
    };
    if !(shortest..=CREDENTIAL_MAX).contains(&name.len()) {
        return false;
    }
    let mut words = [0; 2 * CREDENTIAL_MAX];
    let length = in_words(name.as_bytes(), &mut words);
    std::str::from_utf8(&words[..length]).is_ok_and(ends_as_credential)
}

/// Writes the name in lower case, its words joined by underscores: `apiKey` and `Api-Key` become `api_key`. Returns the length.
fn in_words(name: &[u8], words: &mut [u8; 2 * CREDENTIAL_MAX]) -> usize {
    let (mut length, mut was_small) = (0, false);
    for letter in name {
        if letter.is_ascii_uppercase() && was_small {
            words[length] = b'_';
            length += 1;
        }
        was_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        words[length] = if *letter == b'-' { b'_' } else { letter.to_ascii_lowercase() };
        length += 1;
    }
    length
}

fn ends_as_credential(words: &str) -> bool {
    let before = |ending: &str| {
        let before = words.strip_suffix(ending)?;
        if before.is_empty() { Some(before) } else { before.strip_suffix('_') }
    };
    let last = |before: &str, known: &[&str]| {
        known.contains(&before.rsplit('_').next().unwrap_or_default())
    };
    CREDENTIALS.iter().any(|ending| before(ending).is_some())
        || before("key").is_some_and(|before| last(before, &OF_KEYS))
        || before("token").is_some_and(|before| !before.is_empty() && !last(before, &OF_TEXTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_row_and_what_the_gateway_reads_comes_first() {
        let rank = |row: &Parameter| match row.in_body {
            InBody::Request => 0,
            InBody::Control => 1,
            InBody::Inspected
            | InBody::Stripped
            | InBody::Unserved
            | InBody::Mock
            | InBody::Credential => 2,
        };
        for (at, row) in PARAMETERS.iter().enumerate() {
            let others = &PARAMETERS[..at];
            assert!(others.iter().all(|other| other.name != row.name), "{} twice", row.name);
            assert!(others.last().is_none_or(|last| rank(last) <= rank(row)), "{}", row.name);
            assert!(row.name.len() < 64, "{} is long", row.name);
            let is_lower =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            assert!(row.name.chars().all(is_lower), "{}", row.name);
        }
        assert!(PARAMETERS.len() > 300);
    }

    #[test]
    fn a_name_of_a_credential_is_told_from_other_names() {
        for name in [
            "api_key",
            "my_api_key",
            "langfuse_secret_key",
            "langfuse_secret",
            "client_secret",
            "aws_access_key_id",
            "db_password",
            "vertex_credentials",
            "private_key",
            "api_token",
            "access_token",
            "hf_token",
            "HF_TOKEN",
            "auth-token",
            "bearer_token",
            "aws_bearer_token",
            "session_token",
            "accessToken",
            "apiKey",
            "apikey",
            "x-api-key",
            "X-Api-Key",
            "openai_key",
            "passwd",
            "cookie",
            "Authorization",
            "service_account",
            "service_account_json",
            "connection_string",
        ] {
            assert!(names_a_credential(name), "{name}");
        }
        for name in [
            "prompt_cache_key",
            "key",
            "max_tokens",
            "max_completion_tokens",
            "max_token",
            "eos_token",
            "bos_token",
            "pad_token",
            "stop_token",
            "stop_token_ids",
            "tokens",
            "token",
            "top_logprobs",
            "logit_bias",
            "ignore_eos",
            "input_cost_per_token",
            "decoder_start_token",
            "page_token",
            "cacheKey",
            "idempotency_key",
            "previous_response_id",
            "input_file_id",
            "reasoning",
            "instruction",
            "tools",
            "service_tier",
            "model_credit",
            "safety_identifier",
            "monkey",
            "turkey_api_keys",
            "",
        ] {
            assert!(!names_a_credential(name), "{name}");
        }
    }
}
