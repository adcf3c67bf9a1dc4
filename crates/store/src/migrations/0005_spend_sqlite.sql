-- What requests cost: the tables of LiteLLM, as it names them. Made where it has none; times are UTC.
create table {hale}"LiteLLM_SpendLogs" (
    "request_id" text not null,
    "call_type" text not null,
    "api_key" text not null default '',
    "spend" real not null default 0,
    "total_tokens" integer not null default 0,
    "prompt_tokens" integer not null default 0,
    "completion_tokens" integer not null default 0,
    "startTime" integer not null,
    "endTime" integer not null,
    "request_duration_ms" integer,
    "completionStartTime" integer,
    "model" text not null default '',
    "model_id" text default '',
    "model_group" text default '',
    "custom_llm_provider" text default '',
    "api_base" text default '',
    "user" text default '',
    "metadata" text default '{}',
    "cache_hit" text default '',
    "cache_key" text default '',
    "request_tags" text default '[]',
    "team_id" text,
    "organization_id" text,
    "end_user" text,
    "requester_ip_address" text,
    "messages" text default '{}',
    "response" text default '{}',
    "session_id" text,
    "status" text,
    "mcp_namespaced_tool_name" text,
    "billing_agent_id" text,
    "agent_id" text,
    "proxy_server_request" text default '{}',
    "litellm_call_id" text,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "updated_at" integer not null default (unixepoch('now') * 1000),
    primary key ("request_id")
);
create table {hale}"LiteLLM_DailyUserSpend" (
    "id" text not null,
    "user_id" text,
    "date" text not null,
    "api_key" text not null,
    "model" text,
    "model_group" text,
    "custom_llm_provider" text,
    "mcp_namespaced_tool_name" text,
    "endpoint" text,
    "prompt_tokens" integer not null default 0,
    "completion_tokens" integer not null default 0,
    "cache_read_input_tokens" integer not null default 0,
    "cache_creation_input_tokens" integer not null default 0,
    "compression_saved_tokens" integer not null default 0,
    "compression_savings_spend" real not null default 0,
    "prompt_caching_savings_spend" real not null default 0,
    "gateway_injected_caching_savings_spend" real not null default 0,
    "autorouter_savings_spend" real not null default 0,
    "spend" real not null default 0,
    "api_requests" integer not null default 0,
    "successful_requests" integer not null default 0,
    "failed_requests" integer not null default 0,
    "total_response_time_ms" integer not null default 0,
    "timed_requests" integer not null default 0,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "updated_at" integer not null,
    primary key ("id")
);
create table {hale}"LiteLLM_DailyTeamSpend" (
    "id" text not null,
    "team_id" text,
    "date" text not null,
    "api_key" text not null,
    "model" text,
    "model_group" text,
    "custom_llm_provider" text,
    "mcp_namespaced_tool_name" text,
    "endpoint" text,
    "prompt_tokens" integer not null default 0,
    "completion_tokens" integer not null default 0,
    "cache_read_input_tokens" integer not null default 0,
    "cache_creation_input_tokens" integer not null default 0,
    "compression_saved_tokens" integer not null default 0,
    "compression_savings_spend" real not null default 0,
    "prompt_caching_savings_spend" real not null default 0,
    "gateway_injected_caching_savings_spend" real not null default 0,
    "autorouter_savings_spend" real not null default 0,
    "spend" real not null default 0,
    "api_requests" integer not null default 0,
    "successful_requests" integer not null default 0,
    "failed_requests" integer not null default 0,
    "total_response_time_ms" integer not null default 0,
    "timed_requests" integer not null default 0,
    "ptu_flat_cost" real not null default 0,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "updated_at" integer not null,
    primary key ("id")
);
create table {hale}"LiteLLM_DailyOrganizationSpend" (
    "id" text not null,
    "organization_id" text,
    "date" text not null,
    "api_key" text not null,
    "model" text,
    "model_group" text,
    "custom_llm_provider" text,
    "mcp_namespaced_tool_name" text,
    "endpoint" text,
    "prompt_tokens" integer not null default 0,
    "completion_tokens" integer not null default 0,
    "cache_read_input_tokens" integer not null default 0,
    "cache_creation_input_tokens" integer not null default 0,
    "compression_saved_tokens" integer not null default 0,
    "compression_savings_spend" real not null default 0,
    "prompt_caching_savings_spend" real not null default 0,
    "gateway_injected_caching_savings_spend" real not null default 0,
    "autorouter_savings_spend" real not null default 0,
    "spend" real not null default 0,
    "api_requests" integer not null default 0,
    "successful_requests" integer not null default 0,
    "failed_requests" integer not null default 0,
    "total_response_time_ms" integer not null default 0,
    "timed_requests" integer not null default 0,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "updated_at" integer not null,
    primary key ("id")
);
create table {hale}"LiteLLM_DailyEndUserSpend" (
    "id" text not null,
    "end_user_id" text,
    "date" text not null,
    "api_key" text not null,
    "model" text,
    "model_group" text,
    "custom_llm_provider" text,
    "mcp_namespaced_tool_name" text,
    "endpoint" text,
    "prompt_tokens" integer not null default 0,
    "completion_tokens" integer not null default 0,
    "cache_read_input_tokens" integer not null default 0,
    "cache_creation_input_tokens" integer not null default 0,
    "compression_saved_tokens" integer not null default 0,
    "compression_savings_spend" real not null default 0,
    "prompt_caching_savings_spend" real not null default 0,
    "gateway_injected_caching_savings_spend" real not null default 0,
    "autorouter_savings_spend" real not null default 0,
    "spend" real not null default 0,
    "api_requests" integer not null default 0,
    "successful_requests" integer not null default 0,
    "failed_requests" integer not null default 0,
    "total_response_time_ms" integer not null default 0,
    "timed_requests" integer not null default 0,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "updated_at" integer not null,
    primary key ("id")
);
create table {hale}"LiteLLM_DailyTagSpend" (
    "id" text not null,
    "request_id" text,
    "tag" text,
    "date" text not null,
    "api_key" text not null,
    "model" text,
    "model_group" text,
    "custom_llm_provider" text,
    "mcp_namespaced_tool_name" text,
    "endpoint" text,
    "prompt_tokens" integer not null default 0,
    "completion_tokens" integer not null default 0,
    "cache_read_input_tokens" integer not null default 0,
    "cache_creation_input_tokens" integer not null default 0,
    "compression_saved_tokens" integer not null default 0,
    "compression_savings_spend" real not null default 0,
    "prompt_caching_savings_spend" real not null default 0,
    "gateway_injected_caching_savings_spend" real not null default 0,
    "autorouter_savings_spend" real not null default 0,
    "spend" real not null default 0,
    "api_requests" integer not null default 0,
    "successful_requests" integer not null default 0,
    "failed_requests" integer not null default 0,
    "total_response_time_ms" integer not null default 0,
    "timed_requests" integer not null default 0,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "updated_at" integer not null,
    primary key ("id")
);
create table {hale}"LiteLLM_OrganizationMembership" (
    "user_id" text not null,
    "organization_id" text not null,
    "user_role" text,
    "spend" real default 0,
    "budget_id" text,
    "created_at" integer default (unixepoch('now') * 1000),
    "updated_at" integer default (unixepoch('now') * 1000),
    primary key ("user_id", "organization_id")
);
create table {hale}"LiteLLM_TagTable" (
    "tag_name" text not null,
    "description" text,
    "models" text,
    "model_info" text,
    "spend" real not null default 0,
    "budget_id" text,
    "created_at" integer not null default (unixepoch('now') * 1000),
    "created_by" text,
    "updated_at" integer not null default (unixepoch('now') * 1000),
    primary key ("tag_name")
);
create index spend_logs_start on {hale}"LiteLLM_SpendLogs" ("startTime", "request_id");
create index spend_logs_key on {hale}"LiteLLM_SpendLogs" ("api_key", "startTime");
create index spend_logs_user on {hale}"LiteLLM_SpendLogs" ("user", "startTime");
create index spend_logs_team on {hale}"LiteLLM_SpendLogs" ("team_id", "startTime");
create index spend_logs_end_user on {hale}"LiteLLM_SpendLogs" ("end_user");
create index spend_logs_session on {hale}"LiteLLM_SpendLogs" ("session_id");
create index spend_logs_call on {hale}"LiteLLM_SpendLogs" ("litellm_call_id");
create unique index daily_user_one on {hale}"LiteLLM_DailyUserSpend" ("user_id", "date", "api_key", "model", "custom_llm_provider", "mcp_namespaced_tool_name", "endpoint");
create index daily_user_date on {hale}"LiteLLM_DailyUserSpend" ("date");
create index daily_user_key on {hale}"LiteLLM_DailyUserSpend" ("api_key");
create unique index daily_team_one on {hale}"LiteLLM_DailyTeamSpend" ("team_id", "date", "api_key", "model", "custom_llm_provider", "mcp_namespaced_tool_name", "endpoint");
create index daily_team_date on {hale}"LiteLLM_DailyTeamSpend" ("date");
create index daily_team_key on {hale}"LiteLLM_DailyTeamSpend" ("api_key");
create unique index daily_organization_one on {hale}"LiteLLM_DailyOrganizationSpend" ("organization_id", "date", "api_key", "model", "custom_llm_provider", "mcp_namespaced_tool_name", "endpoint");
create index daily_organization_date on {hale}"LiteLLM_DailyOrganizationSpend" ("date");
create index daily_organization_key on {hale}"LiteLLM_DailyOrganizationSpend" ("api_key");
create unique index daily_end_user_one on {hale}"LiteLLM_DailyEndUserSpend" ("end_user_id", "date", "api_key", "model", "custom_llm_provider", "mcp_namespaced_tool_name", "endpoint");
create index daily_end_user_date on {hale}"LiteLLM_DailyEndUserSpend" ("date");
create index daily_end_user_key on {hale}"LiteLLM_DailyEndUserSpend" ("api_key");
create unique index daily_tag_one on {hale}"LiteLLM_DailyTagSpend" ("tag", "date", "api_key", "model", "custom_llm_provider", "mcp_namespaced_tool_name", "endpoint");
create index daily_tag_date on {hale}"LiteLLM_DailyTagSpend" ("date");
create index daily_tag_key on {hale}"LiteLLM_DailyTagSpend" ("api_key");
