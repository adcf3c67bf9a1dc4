//! The tables of what requests cost: Hale's own ledger, and those that LiteLLM has too.
//!
//! Read by [`super`]. Always true: the key is the first columns; names are LiteLLM's where the table is.

use super::{Columns, Type};

/// A call of an upstream.
pub(super) const ATTEMPTS: Columns = &[
    ("id", Type::Text),
    ("at", Type::Integer),
    ("replica", Type::Text),
    ("request", Type::Text),
    ("number", Type::Integer),
    ("key_hash", Type::Text),
    ("user_id", Type::Text),
    ("team_id", Type::Text),
    ("organization_id", Type::Text),
    ("end_user", Type::Text),
    ("session_id", Type::Text),
    ("tags", Type::Text),
    ("operation", Type::Text),
    ("model_group", Type::Text),
    ("deployment", Type::Text),
    ("provider", Type::Text),
    ("model", Type::Text),
    ("address", Type::Text),
    ("status", Type::Integer),
    ("cause", Type::Text),
    ("began_at", Type::Integer),
    ("ended_at", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("counts", Type::Text),
    ("counted_by", Type::Text),
    ("cost_nano", Type::Integer),
];

/// Calls whose rows are not kept one by one.
pub(super) const ATTEMPT_SUMS: Columns = &[
    ("day", Type::Text),
    ("key_hash", Type::Text),
    ("user_id", Type::Text),
    ("team_id", Type::Text),
    ("organization_id", Type::Text),
    ("end_user", Type::Text),
    ("tags", Type::Text),
    ("operation", Type::Text),
    ("model_group", Type::Text),
    ("deployment", Type::Text),
    ("provider", Type::Text),
    ("model", Type::Text),
    ("calls", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("cost_nano", Type::Integer),
];

/// What was spent on a day by a key, a user, ...
pub(super) const SPEND_DAYS: Columns = &[
    ("kind", Type::Text),
    ("id", Type::Text),
    ("day", Type::Text),
    ("requests", Type::Integer),
    ("failed", Type::Integer),
    ("calls", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("cost_nano", Type::Integer),
];

/// What was spent in a period by a key, a team, ..., in all or on a model.
pub(super) const BUDGET_COUNTERS: Columns = &[
    ("kind", Type::Text),
    ("id", Type::Text),
    ("model", Type::Text),
    ("period", Type::Text),
    ("ends", Type::Integer),
    ("cost_nano", Type::Integer),
];

/// A finished request.
pub(super) const SPEND_LOGS: Columns = &[
    ("request_id", Type::Text),
    ("call_type", Type::Text),
    ("api_key", Type::Text),
    ("spend", Type::Real),
    ("total_tokens", Type::Integer),
    ("prompt_tokens", Type::Integer),
    ("completion_tokens", Type::Integer),
    ("startTime", Type::Time),
    ("endTime", Type::Time),
    ("request_duration_ms", Type::Integer),
    ("completionStartTime", Type::Time),
    ("model", Type::Text),
    ("model_id", Type::Text),
    ("model_group", Type::Text),
    ("custom_llm_provider", Type::Text),
    ("api_base", Type::Text),
    ("user", Type::Text),
    ("metadata", Type::Json),
    ("cache_hit", Type::Text),
    ("cache_key", Type::Text),
    ("request_tags", Type::Json),
    ("team_id", Type::Text),
    ("organization_id", Type::Text),
    ("end_user", Type::Text),
    ("requester_ip_address", Type::Text),
    ("messages", Type::Json),
    ("response", Type::Json),
    ("session_id", Type::Text),
    ("status", Type::Text),
    ("proxy_server_request", Type::Json),
    ("litellm_call_id", Type::Text),
];

macro_rules! daily {
    ($entity:literal) => {
        &[
            ($entity, Type::Text),
            ("date", Type::Text),
            ("api_key", Type::Text),
            ("model", Type::Text),
            ("custom_llm_provider", Type::Text),
            ("mcp_namespaced_tool_name", Type::Text),
            ("endpoint", Type::Text),
            ("id", Type::Text),
            ("model_group", Type::Text),
            ("prompt_tokens", Type::Integer),
            ("completion_tokens", Type::Integer),
            ("cache_read_input_tokens", Type::Integer),
            ("cache_creation_input_tokens", Type::Integer),
            ("spend", Type::Real),
            ("api_requests", Type::Integer),
            ("successful_requests", Type::Integer),
            ("failed_requests", Type::Integer),
            ("total_response_time_ms", Type::Integer),
            ("timed_requests", Type::Integer),
            ("updated_at", Type::Time),
        ]
    };
}

/// What was spent on a day, by user and key and model and provider and endpoint.
pub(super) const DAILY_USER: Columns = daily!("user_id");
/// The same by team.
pub(super) const DAILY_TEAM: Columns = daily!("team_id");
/// The same by organization.
pub(super) const DAILY_ORGANIZATION: Columns = daily!("organization_id");
/// The same by end user.
pub(super) const DAILY_END_USER: Columns = daily!("end_user_id");
/// The same by tag.
pub(super) const DAILY_TAG: Columns = daily!("tag");
/// Columns of the key of a Daily row.
pub(super) const DAILY_KEY: usize = 7;

/// What is added to the spend of a key.
pub(super) const OF_KEY: Columns =
    &[("token", Type::Text), ("spend", Type::Real), ("last_active", Type::Time)];
/// Of a team.
pub(super) const OF_TEAM: Columns = &[("team_id", Type::Text), ("spend", Type::Real)];
/// Of a user in a team.
pub(super) const OF_MEMBER: Columns =
    &[("user_id", Type::Text), ("team_id", Type::Text), ("spend", Type::Real)];
/// Of a user.
pub(super) const OF_USER: Columns = &[("user_id", Type::Text), ("spend", Type::Real)];
/// Of an organization.
pub(super) const OF_ORGANIZATION: Columns =
    &[("organization_id", Type::Text), ("spend", Type::Real)];
/// Of a user in an organization.
pub(super) const OF_ORGANIZATION_MEMBER: Columns =
    &[("user_id", Type::Text), ("organization_id", Type::Text), ("spend", Type::Real)];
/// Of a tag.
pub(super) const OF_TAG: Columns = &[("tag_name", Type::Text), ("spend", Type::Real)];
