//! The tables about keys, as LiteLLM names them: columns and their types.
//!
//! Read by [`super`] for both databases. Always true: the migrations make exactly these (a test compares them); where LiteLLM made
//! the tables, what it has not is as one without a value.

/// A table about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TenantTable {
    /// Keys, by their hashes.
    Keys,
    /// Hashes of keys that were rotated and still work for a while.
    DeprecatedKeys,
    /// Keys that were deleted.
    DeletedKeys,
    /// Teams.
    Teams,
    /// Teams that were deleted.
    DeletedTeams,
    /// Users in teams.
    Memberships,
    /// Users.
    Users,
    /// Budgets that several may name.
    Budgets,
    /// Organizations.
    Organizations,
    /// Clients' own customers.
    EndUsers,
    /// Teams' names of models.
    TeamAliases,
    /// Access groups.
    AccessGroups,
    /// What was changed, and by which user and key.
    AuditLog,
    /// Finished requests.
    SpendLogs,
    /// Tags of requests.
    Tags,
    /// Deployments that were made at run time.
    Models,
    /// Named sets of secrets that deployments refer to.
    Credentials,
    /// Sections of the config that were set at run time.
    Settings,
    /// What was spent in periods; Hale's own table.
    BudgetCounters,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    Text,
    /// A number.
    Real,
    /// A whole number.
    Integer,
    /// Yes or no.
    Bool,
    /// Milliseconds since 1970.
    Time,
    /// JSON.
    Json,
    /// Texts.
    List,
}

use ColumnType::{Bool, Integer, Json, List, Real, Text, Time};

type Columns = &'static [(&'static str, ColumnType)];

#[rustfmt::skip] // A list of names.
const KEYS: Columns = &[
    ("token", Text), ("key_name", Text), ("key_alias", Text), ("soft_budget_cooldown", Bool), ("spend", Real),
    ("total_spend", Real), ("expires", Time), ("models", List), ("aliases", Json), ("config", Json),
    ("router_settings", Json), ("user_id", Text), ("team_id", Text), ("agent_id", Text), ("project_id", Text),
    ("permissions", Json), ("max_parallel_requests", Integer), ("metadata", Json), ("blocked", Bool),
    ("tpm_limit", Integer), ("rpm_limit", Integer), ("tpd_limit", Integer), ("max_budget", Real),
    ("budget_duration", Text), ("budget_reset_at", Time), ("budget_limits", Json), ("allowed_cache_controls", List),
    ("allowed_routes", List), ("key_type", Text), ("policies", List), ("access_group_ids", List),
    ("model_spend", Json), ("model_max_budget", Json), ("budget_fallbacks", Json), ("budget_id", Text),
    ("organization_id", Text), ("object_permission_id", Text), ("created_at", Time), ("created_by", Text),
    ("updated_at", Time), ("updated_by", Text), ("settings_updated_at", Time), ("last_active", Time),
    ("rotation_count", Integer), ("auto_rotate", Bool), ("rotation_interval", Text), ("last_rotation_at", Time),
    ("key_rotation_at", Time),
];

#[rustfmt::skip] // A list of names.
const DEPRECATED_KEYS: Columns = &[
    ("id", Text), ("token", Text), ("active_token_id", Text), ("revoke_at", Time), ("created_at", Time),
];

#[rustfmt::skip] // A list of names.
const DELETED_KEYS: Columns = &[
    ("id", Text), ("token", Text), ("key_name", Text), ("key_alias", Text), ("soft_budget_cooldown", Bool),
    ("spend", Real), ("total_spend", Real), ("expires", Time), ("models", List), ("aliases", Json), ("config", Json),
    ("router_settings", Json), ("user_id", Text), ("team_id", Text), ("agent_id", Text), ("project_id", Text),
    ("permissions", Json), ("max_parallel_requests", Integer), ("metadata", Json), ("blocked", Bool),
    ("tpm_limit", Integer), ("rpm_limit", Integer), ("tpd_limit", Integer), ("max_budget", Real),
    ("budget_duration", Text), ("budget_reset_at", Time), ("allowed_cache_controls", List), ("allowed_routes", List),
    ("key_type", Text), ("policies", List), ("access_group_ids", List), ("model_spend", Json),
    ("model_max_budget", Json), ("budget_fallbacks", Json), ("budget_id", Text), ("organization_id", Text),
    ("object_permission_id", Text), ("created_at", Time), ("created_by", Text), ("updated_at", Time),
    ("updated_by", Text), ("settings_updated_at", Time), ("last_active", Time), ("rotation_count", Integer),
    ("auto_rotate", Bool), ("rotation_interval", Text), ("last_rotation_at", Time), ("key_rotation_at", Time),
    ("deleted_at", Time), ("deleted_by", Text), ("deleted_by_api_key", Text), ("litellm_changed_by", Text),
];

#[rustfmt::skip] // A list of names.
const TEAMS: Columns = &[
    ("team_id", Text), ("team_alias", Text), ("organization_id", Text), ("object_permission_id", Text),
    ("admins", List), ("members", List), ("members_with_roles", Json), ("metadata", Json), ("max_budget", Real),
    ("soft_budget", Real), ("spend", Real), ("models", List), ("max_parallel_requests", Integer),
    ("tpm_limit", Integer), ("rpm_limit", Integer), ("tpd_limit", Integer), ("budget_duration", Text),
    ("budget_reset_at", Time), ("budget_limits", Json), ("blocked", Bool), ("model_spend", Json),
    ("model_max_budget", Json), ("router_settings", Json), ("team_member_permissions", List),
    ("default_team_member_models", List), ("access_group_ids", List), ("policies", List), ("model_id", Integer),
    ("allow_team_guardrail_config", Bool), ("created_at", Time), ("updated_at", Time),
];

#[rustfmt::skip] // A list of names.
const DELETED_TEAMS: Columns = &[
    ("id", Text), ("team_id", Text), ("team_alias", Text), ("organization_id", Text), ("object_permission_id", Text),
    ("admins", List), ("members", List), ("members_with_roles", Json), ("metadata", Json), ("max_budget", Real),
    ("soft_budget", Real), ("spend", Real), ("models", List), ("max_parallel_requests", Integer),
    ("tpm_limit", Integer), ("rpm_limit", Integer), ("tpd_limit", Integer), ("budget_duration", Text),
    ("budget_reset_at", Time), ("blocked", Bool), ("model_spend", Json), ("model_max_budget", Json),
    ("router_settings", Json), ("team_member_permissions", List), ("access_group_ids", List), ("policies", List),
    ("model_id", Integer), ("allow_team_guardrail_config", Bool), ("created_at", Time), ("updated_at", Time),
    ("deleted_at", Time), ("deleted_by", Text), ("deleted_by_api_key", Text), ("litellm_changed_by", Text),
];

#[rustfmt::skip] // A list of names.
const MEMBERSHIPS: Columns = &[
    ("user_id", Text), ("team_id", Text), ("spend", Real), ("total_spend", Real), ("budget_id", Text),
];

#[rustfmt::skip] // A list of names.
const USERS: Columns = &[
    ("user_id", Text), ("user_alias", Text), ("team_id", Text), ("sso_user_id", Text), ("organization_id", Text),
    ("object_permission_id", Text), ("password", Text), ("teams", List), ("user_role", Text), ("max_budget", Real),
    ("spend", Real), ("user_email", Text), ("models", List), ("metadata", Json), ("max_parallel_requests", Integer),
    ("tpm_limit", Integer), ("rpm_limit", Integer), ("budget_duration", Text), ("budget_reset_at", Time),
    ("allowed_cache_controls", List), ("policies", List), ("model_spend", Json), ("model_max_budget", Json),
    ("created_at", Time), ("updated_at", Time),
];

#[rustfmt::skip] // A list of names.
const BUDGETS: Columns = &[
    ("budget_id", Text), ("max_budget", Real), ("soft_budget", Real), ("max_parallel_requests", Integer),
    ("tpm_limit", Integer), ("rpm_limit", Integer), ("tpd_limit", Integer), ("model_max_budget", Json),
    ("budget_duration", Text), ("budget_reset_at", Time), ("allowed_models", List), ("temp_budget_increase", Real),
    ("temp_budget_expiry", Time), ("created_at", Time), ("created_by", Text), ("updated_at", Time),
    ("updated_by", Text),
];

#[rustfmt::skip] // A list of names.
const ORGANIZATIONS: Columns = &[
    ("organization_id", Text), ("organization_alias", Text), ("budget_id", Text), ("metadata", Json),
    ("models", List), ("spend", Real), ("model_spend", Json), ("object_permission_id", Text), ("created_at", Time),
    ("created_by", Text), ("updated_at", Time), ("updated_by", Text),
];

#[rustfmt::skip] // A list of names.
const END_USERS: Columns = &[
    ("user_id", Text), ("alias", Text), ("spend", Real), ("allowed_model_region", Text), ("default_model", Text),
    ("models", List), ("budget_id", Text), ("object_permission_id", Text), ("blocked", Bool),
];

#[rustfmt::skip] // A list of names.
const TEAM_ALIASES: Columns = &[
    ("id", Integer), ("aliases", Json), ("created_at", Time), ("created_by", Text), ("updated_at", Time),
    ("updated_by", Text),
];

#[rustfmt::skip] // A list of names.
const ACCESS_GROUPS: Columns = &[
    ("access_group_id", Text), ("access_group_name", Text), ("description", Text), ("access_model_names", List),
    ("access_mcp_server_ids", List), ("access_agent_ids", List), ("assigned_team_ids", List),
    ("assigned_key_ids", List), ("created_at", Time), ("created_by", Text), ("updated_at", Time),
    ("updated_by", Text),
];

#[rustfmt::skip] // A list of names.
const AUDIT_LOG: Columns = &[
    ("id", Text), ("updated_at", Time), ("changed_by", Text), ("changed_by_api_key", Text), ("action", Text),
    ("table_name", Text), ("object_id", Text), ("before_value", Json), ("updated_values", Json),
];

#[rustfmt::skip] // A list of names.
const SPEND_LOGS: Columns = &[
    ("request_id", Text), ("call_type", Text), ("api_key", Text), ("spend", Real), ("total_tokens", Integer),
    ("prompt_tokens", Integer), ("completion_tokens", Integer), ("startTime", Time), ("endTime", Time),
    ("request_duration_ms", Integer), ("completionStartTime", Time), ("model", Text), ("model_id", Text),
    ("model_group", Text), ("custom_llm_provider", Text), ("api_base", Text), ("user", Text), ("metadata", Json),
    ("cache_hit", Text), ("cache_key", Text), ("request_tags", Json), ("team_id", Text), ("organization_id", Text),
    ("end_user", Text), ("requester_ip_address", Text), ("messages", Json), ("response", Json), ("session_id", Text),
    ("status", Text), ("mcp_namespaced_tool_name", Text), ("billing_agent_id", Text), ("agent_id", Text),
    ("proxy_server_request", Json), ("litellm_call_id", Text), ("created_at", Time), ("updated_at", Time),
];

#[rustfmt::skip] // A list of names.
const TAGS: Columns = &[
    ("tag_name", Text), ("description", Text), ("models", List), ("model_info", Json), ("spend", Real),
    ("budget_id", Text), ("created_at", Time), ("created_by", Text), ("updated_at", Time),
];

#[rustfmt::skip] // A list of names.
const MODELS: Columns = &[
    ("model_id", Text), ("model_name", Text), ("litellm_params", Json), ("model_info", Json), ("blocked", Bool),
    ("created_at", Time), ("created_by", Text), ("updated_at", Time), ("updated_by", Text),
];

#[rustfmt::skip] // A list of names.
const CREDENTIALS: Columns = &[
    ("credential_id", Text), ("credential_name", Text), ("display_name", Text), ("credential_values", Json),
    ("credential_info", Json), ("created_at", Time), ("created_by", Text), ("updated_at", Time), ("updated_by", Text),
];

#[rustfmt::skip] // A list of names.
const SETTINGS: Columns = &[
    ("param_name", Text), ("param_value", Json), ("reload_revision", Integer),
];

#[rustfmt::skip] // A list of names.
const BUDGET_COUNTERS: Columns = &[
    ("kind", Text), ("id", Text), ("model", Text), ("period", Text), ("ends", Integer), ("cost_nano", Integer),
];

impl TenantTable {
    /// All of them.
    pub const ALL: [TenantTable; 19] = [
        TenantTable::Keys,
        TenantTable::DeprecatedKeys,
        TenantTable::DeletedKeys,
        TenantTable::Teams,
        TenantTable::DeletedTeams,
        TenantTable::Memberships,
        TenantTable::Users,
        TenantTable::Budgets,
        TenantTable::Organizations,
        TenantTable::EndUsers,
        TenantTable::TeamAliases,
        TenantTable::AccessGroups,
        TenantTable::AuditLog,
        TenantTable::SpendLogs,
        TenantTable::Tags,
        TenantTable::Models,
        TenantTable::Credentials,
        TenantTable::Settings,
        TenantTable::BudgetCounters,
    ];

    /// Whether it is Hale's own, wherever the others are.
    pub(crate) const fn is_own(self) -> bool {
        matches!(self, TenantTable::BudgetCounters)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            TenantTable::Keys => "LiteLLM_VerificationToken",
            TenantTable::DeprecatedKeys => "LiteLLM_DeprecatedVerificationToken",
            TenantTable::DeletedKeys => "LiteLLM_DeletedVerificationToken",
            TenantTable::Teams => "LiteLLM_TeamTable",
            TenantTable::DeletedTeams => "LiteLLM_DeletedTeamTable",
            TenantTable::Memberships => "LiteLLM_TeamMembership",
            TenantTable::Users => "LiteLLM_UserTable",
            TenantTable::Budgets => "LiteLLM_BudgetTable",
            TenantTable::Organizations => "LiteLLM_OrganizationTable",
            TenantTable::EndUsers => "LiteLLM_EndUserTable",
            TenantTable::TeamAliases => "LiteLLM_ModelTable",
            TenantTable::AccessGroups => "LiteLLM_AccessGroupTable",
            TenantTable::AuditLog => "LiteLLM_AuditLog",
            TenantTable::SpendLogs => "LiteLLM_SpendLogs",
            TenantTable::Tags => "LiteLLM_TagTable",
            TenantTable::Models => "LiteLLM_ProxyModelTable",
            TenantTable::Credentials => "LiteLLM_CredentialsTable",
            TenantTable::Settings => "LiteLLM_Config",
            TenantTable::BudgetCounters => "budget_counters",
        }
    }

    /// Its columns.
    #[must_use]
    pub const fn columns(self) -> &'static [(&'static str, ColumnType)] {
        match self {
            TenantTable::Keys => KEYS,
            TenantTable::DeprecatedKeys => DEPRECATED_KEYS,
            TenantTable::DeletedKeys => DELETED_KEYS,
            TenantTable::Teams => TEAMS,
            TenantTable::DeletedTeams => DELETED_TEAMS,
            TenantTable::Memberships => MEMBERSHIPS,
            TenantTable::Users => USERS,
            TenantTable::Budgets => BUDGETS,
            TenantTable::Organizations => ORGANIZATIONS,
            TenantTable::EndUsers => END_USERS,
            TenantTable::TeamAliases => TEAM_ALIASES,
            TenantTable::AccessGroups => ACCESS_GROUPS,
            TenantTable::AuditLog => AUDIT_LOG,
            TenantTable::SpendLogs => SPEND_LOGS,
            TenantTable::Tags => TAGS,
            TenantTable::Models => MODELS,
            TenantTable::Credentials => CREDENTIALS,
            TenantTable::Settings => SETTINGS,
            TenantTable::BudgetCounters => BUDGET_COUNTERS,
        }
    }

    /// The type of a column, if it has it.
    #[must_use]
    pub fn column(self, name: &str) -> Option<ColumnType> {
        self.columns().iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}
