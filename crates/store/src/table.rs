//! The tables that have rows of Hale: names, columns, keys, and what a row with a known key does.
//!
//! Read by both databases, the spool, export and import. Always true: the migrations make exactly these
//! (a test compares them); the key is the first columns; no text of SQL has a value in it.

mod spend;
mod statement;

use serde::{Deserialize, Serialize};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Changes of state of deployments and credentials.
    HealthChanges,
    /// Results of probes.
    ProbeResults,
    /// Finished requests.
    Requests,
    /// Minutes and days.
    Rollups,
    /// What operators did.
    OperatorActions,
    /// Settings made at run time.
    Settings,
    /// Incidents.
    Incidents,
    /// Calls of upstreams, as they are billed.
    Attempts,
    /// Those whose rows are not kept one by one.
    AttemptSums,
    /// What was spent on a day by a key, a user, ...
    SpendDays,
    /// Responses that the gateway keeps.
    Responses,
    /// What was spent in a period that has a counter of its own.
    BudgetCounters,
    /// Finished requests, as LiteLLM has them.
    SpendLogs,
    /// Days by user, as LiteLLM has them.
    DailyUser,
    /// Days by team.
    DailyTeam,
    /// Days by organization.
    DailyOrganization,
    /// Days by end user.
    DailyEndUser,
    /// Days by tag.
    DailyTag,
    /// What is added to the spend of keys.
    OfKey,
    /// Of teams.
    OfTeam,
    /// Of users in teams.
    OfMember,
    /// Of users.
    OfUser,
    /// Of organizations.
    OfOrganization,
    /// Of users in organizations.
    OfOrganizationMember,
    /// Of end users.
    OfEndUser,
    /// Of tags.
    OfTag,
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Integer,
    Real,
    Text,
    /// Milliseconds since 1970; in PostgreSQL a time without a zone.
    Time,
    /// JSON text.
    Json,
}

impl Type {
    /// Its name in PostgreSQL, as it is bound.
    pub(crate) const fn postgres(self) -> &'static str {
        match self {
            Type::Integer | Type::Time => "bigint",
            Type::Real => "double precision",
            Type::Text | Type::Json => "text",
        }
    }
}

/// Where the tables are that LiteLLM has too, on a server.
#[derive(Clone, Copy)]
pub(crate) struct Theirs<'a> {
    /// The schema, quoted.
    pub(crate) schema: &'a str,
    /// Whether a table has a column.
    pub(crate) has: &'a (dyn Fn(&str, &str) -> bool + Sync),
}

/// What a row does whose key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// Nothing: the row that is there stays.
    Keep,
    /// Its numbers are added.
    Add,
    /// It replaces an older one.
    Replace,
    /// Its numbers are added to the row that is there; without one nothing happens.
    Raise,
}

type Columns = &'static [(&'static str, Type)];

const HEALTH_CHANGES: Columns = &[
    ("id", Type::Text),
    ("at", Type::Integer),
    ("replica", Type::Text),
    ("deployment", Type::Text),
    ("credential", Type::Text),
    ("part", Type::Text),
    ("model", Type::Text),
    ("operation", Type::Text),
    ("from_state", Type::Text),
    ("to_state", Type::Text),
    ("cause", Type::Text),
    ("source", Type::Text),
    ("until_at", Type::Integer),
    ("provider_issued", Type::Integer),
];

const PROBE_RESULTS: Columns = &[
    ("id", Type::Text),
    ("model_name", Type::Text),
    ("model_id", Type::Text),
    ("status", Type::Text),
    ("healthy_count", Type::Integer),
    ("unhealthy_count", Type::Integer),
    ("error_message", Type::Text),
    ("response_time_ms", Type::Real),
    ("details", Type::Text),
    ("checked_by", Type::Text),
    ("checked_at", Type::Integer),
];

const REQUESTS: Columns = &[
    ("id", Type::Text),
    ("arrived_at", Type::Integer),
    ("replica", Type::Text),
    ("call_id", Type::Text),
    ("operation", Type::Text),
    ("requested_model", Type::Text),
    ("model_group", Type::Text),
    ("deployment", Type::Text),
    ("status", Type::Integer),
    ("ending", Type::Text),
    ("cause", Type::Text),
    ("stream", Type::Integer),
    ("retries", Type::Integer),
    ("fallbacks", Type::Integer),
    ("resends", Type::Integer),
    ("duration_us", Type::Integer),
    ("first_content_us", Type::Integer),
    ("overhead_us", Type::Integer),
    ("waited_us", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("cache_read_tokens", Type::Integer),
    ("cache_write_tokens", Type::Integer),
    ("reasoning_tokens", Type::Integer),
    ("usage_estimated", Type::Integer),
    ("cost_usd", Type::Real),
    ("request_bytes", Type::Integer),
    ("response_bytes", Type::Integer),
];

const ROLLUPS: Columns = &[
    ("width_s", Type::Integer),
    ("start_at", Type::Integer),
    ("model_group", Type::Text),
    ("deployment", Type::Text),
    ("cause", Type::Text),
    ("requests", Type::Integer),
    ("retries", Type::Integer),
    ("fallbacks", Type::Integer),
    ("input_tokens", Type::Integer),
    ("output_tokens", Type::Integer),
    ("cost_usd", Type::Real),
    ("duration_us", Type::Integer),
    ("first_contents", Type::Integer),
    ("first_content_us", Type::Integer),
    ("d00", Type::Integer),
    ("d01", Type::Integer),
    ("d02", Type::Integer),
    ("d03", Type::Integer),
    ("d04", Type::Integer),
    ("d05", Type::Integer),
    ("d06", Type::Integer),
    ("d07", Type::Integer),
    ("d08", Type::Integer),
    ("d09", Type::Integer),
    ("d10", Type::Integer),
    ("d11", Type::Integer),
    ("d12", Type::Integer),
    ("d13", Type::Integer),
    ("f00", Type::Integer),
    ("f01", Type::Integer),
    ("f02", Type::Integer),
    ("f03", Type::Integer),
    ("f04", Type::Integer),
    ("f05", Type::Integer),
    ("f06", Type::Integer),
    ("f07", Type::Integer),
    ("f08", Type::Integer),
    ("f09", Type::Integer),
    ("f10", Type::Integer),
    ("f11", Type::Integer),
    ("f12", Type::Integer),
    ("f13", Type::Integer),
];

const OPERATOR_ACTIONS: Columns = &[
    ("id", Type::Text),
    ("at", Type::Integer),
    ("replica", Type::Text),
    ("actor", Type::Text),
    ("action", Type::Text),
    ("deployment", Type::Text),
];

const SETTINGS: Columns = &[
    ("name", Type::Text),
    ("value", Type::Text),
    ("updated_at", Type::Integer),
    ("updated_by", Type::Text),
];

const INCIDENTS: Columns = &[
    ("id", Type::Text),
    ("kind", Type::Text),
    ("stage", Type::Text),
    ("title", Type::Text),
    ("opened_at", Type::Integer),
    ("ended_at", Type::Integer),
    ("replica", Type::Text),
    ("requests", Type::Integer),
    ("state", Type::Text),
    ("updated_at", Type::Integer),
];

const RESPONSES: Columns = &[
    ("id", Type::Text),
    ("at", Type::Integer),
    ("expires_at", Type::Integer),
    ("previous", Type::Text),
    ("input", Type::Text),
    ("response", Type::Text),
    ("updated_at", Type::Integer),
];

pub(crate) use self::statement::kind_of;

/// The tables that have what was spent in all.
pub(crate) const COUNTERS: [Table; 8] = [
    Table::OfKey,
    Table::OfTeam,
    Table::OfMember,
    Table::OfUser,
    Table::OfOrganization,
    Table::OfOrganizationMember,
    Table::OfEndUser,
    Table::OfTag,
];

impl Table {
    /// All tables of Hale's own, which are exported.
    pub const ALL: [Table; 12] = [
        Table::HealthChanges,
        Table::ProbeResults,
        Table::Requests,
        Table::Rollups,
        Table::OperatorActions,
        Table::Settings,
        Table::Incidents,
        Table::Attempts,
        Table::AttemptSums,
        Table::SpendDays,
        Table::Responses,
        Table::BudgetCounters,
    ];

    /// Whether it is one that LiteLLM has too.
    pub(crate) const fn is_theirs(self) -> bool {
        self as usize >= Table::SpendLogs as usize
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Table::HealthChanges => "health_changes",
            Table::ProbeResults => "probe_results",
            Table::Requests => "requests",
            Table::Rollups => "rollups",
            Table::OperatorActions => "operator_actions",
            Table::Settings => "settings",
            Table::Incidents => "incidents",
            Table::Attempts => "attempts",
            Table::AttemptSums => "attempt_sums",
            Table::SpendDays => "spend_days",
            Table::Responses => "responses",
            Table::BudgetCounters => "budget_counters",
            Table::SpendLogs => "LiteLLM_SpendLogs",
            Table::DailyUser => "LiteLLM_DailyUserSpend",
            Table::DailyTeam => "LiteLLM_DailyTeamSpend",
            Table::DailyOrganization => "LiteLLM_DailyOrganizationSpend",
            Table::DailyEndUser => "LiteLLM_DailyEndUserSpend",
            Table::DailyTag => "LiteLLM_DailyTagSpend",
            Table::OfKey => "LiteLLM_VerificationToken",
            Table::OfTeam => "LiteLLM_TeamTable",
            Table::OfMember => "LiteLLM_TeamMembership",
            Table::OfUser => "LiteLLM_UserTable",
            Table::OfOrganization => "LiteLLM_OrganizationTable",
            Table::OfOrganizationMember => "LiteLLM_OrganizationMembership",
            Table::OfEndUser => "LiteLLM_EndUserTable",
            Table::OfTag => "LiteLLM_TagTable",
        }
    }

    /// Its columns.
    pub(crate) const fn columns(self) -> Columns {
        match self {
            Table::HealthChanges => HEALTH_CHANGES,
            Table::ProbeResults => PROBE_RESULTS,
            Table::Requests => REQUESTS,
            Table::Rollups => ROLLUPS,
            Table::OperatorActions => OPERATOR_ACTIONS,
            Table::Settings => SETTINGS,
            Table::Incidents => INCIDENTS,
            Table::Attempts => spend::ATTEMPTS,
            Table::AttemptSums => spend::ATTEMPT_SUMS,
            Table::SpendDays => spend::SPEND_DAYS,
            Table::Responses => RESPONSES,
            Table::BudgetCounters => spend::BUDGET_COUNTERS,
            Table::SpendLogs => spend::SPEND_LOGS,
            Table::DailyUser => spend::DAILY_USER,
            Table::DailyTeam => spend::DAILY_TEAM,
            Table::DailyOrganization => spend::DAILY_ORGANIZATION,
            Table::DailyEndUser => spend::DAILY_END_USER,
            Table::DailyTag => spend::DAILY_TAG,
            Table::OfKey => spend::OF_KEY,
            Table::OfTeam => spend::OF_TEAM,
            Table::OfMember => spend::OF_MEMBER,
            Table::OfUser | Table::OfEndUser => spend::OF_USER,
            Table::OfOrganization => spend::OF_ORGANIZATION,
            Table::OfOrganizationMember => spend::OF_ORGANIZATION_MEMBER,
            Table::OfTag => spend::OF_TAG,
        }
    }

    /// How many columns its key has: the first ones.
    pub(crate) const fn key_columns(self) -> usize {
        match self {
            Table::Rollups | Table::BudgetCounters => 5,
            Table::AttemptSums => 12,
            Table::SpendDays => 3,
            Table::DailyUser
            | Table::DailyTeam
            | Table::DailyOrganization
            | Table::DailyEndUser
            | Table::DailyTag => spend::DAILY_KEY,
            Table::OfMember | Table::OfOrganizationMember => 2,
            Table::HealthChanges
            | Table::ProbeResults
            | Table::Requests
            | Table::OperatorActions
            | Table::Settings
            | Table::Incidents
            | Table::Attempts
            | Table::Responses
            | Table::SpendLogs
            | Table::OfKey
            | Table::OfTeam
            | Table::OfUser
            | Table::OfOrganization
            | Table::OfEndUser
            | Table::OfTag => 1,
        }
    }

    /// What a row does whose key is known.
    pub(crate) const fn on_conflict(self) -> OnConflict {
        match self {
            Table::HealthChanges
            | Table::ProbeResults
            | Table::Requests
            | Table::OperatorActions
            | Table::Attempts
            | Table::SpendLogs => OnConflict::Keep,
            Table::Rollups
            | Table::AttemptSums
            | Table::SpendDays
            | Table::BudgetCounters
            | Table::DailyUser
            | Table::DailyTeam
            | Table::DailyOrganization
            | Table::DailyEndUser
            | Table::DailyTag
            // As in the reference, a customer that a request names is made.
            | Table::OfEndUser => OnConflict::Add,
            Table::Settings | Table::Incidents | Table::Responses => OnConflict::Replace,
            Table::OfKey
            | Table::OfTeam
            | Table::OfMember
            | Table::OfUser
            | Table::OfOrganization
            | Table::OfOrganizationMember
            | Table::OfTag => OnConflict::Raise,
        }
    }

    /// The names of its columns.
    pub(crate) fn names(self) -> Vec<&'static str> {
        self.columns().iter().map(|(name, _)| *name).collect()
    }
}
