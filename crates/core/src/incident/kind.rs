//! The kinds of incidents: names, what the reference calls them, how bad they are.
//!
//! Read by everything about incidents. Always true: a kind is one row of [`Kind::facts`].

use serde::{Deserialize, Serialize};

use crate::cause::Cause;

/// What an incident is, the less bad ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The day's budget of probes is spent.
    ProbeBudget,
    /// A budget of a provider, a deployment, a tag or of all requests is spent.
    BudgetSpent,
    /// What a key or a team spent reached the sum from which on operators are told.
    SoftBudget,
    /// A changed config is refused; the one before stays in force.
    ReloadRefused,
    /// Redis is configured and not reached.
    RedisTrouble,
    /// The store does not work, or loses rows.
    StoreTrouble,
    /// Requests took longer than `alerting_threshold`.
    SlowRequests,
    /// A deployment cannot serve.
    DeploymentDown,
    /// A provider refuses a key.
    KeyRefused,
    /// Requests failed although fallbacks were tried.
    FallbacksExhausted,
    /// No member of a group can serve.
    GroupDown,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Something does not work, and requests are served all the same.
    Warning,
    /// Requests fail. It is told in quiet hours too.
    Critical,
}

impl Severity {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

/// The properties of a kind.
struct Facts {
    name: &'static str,
    severity: Severity,
    /// The names in `alert_types` that ask for it, besides its own.
    types: &'static [&'static str],
    /// Whether only its effect on requests makes it worth telling.
    by_effect: bool,
}

/// Names in `alert_types` that LiteLLM knows and for which nothing is told.
#[rustfmt::skip]
pub const OTHER_TYPES: &[&str] = &[
    "spend_reports", "failed_tracking_spend", "user_spend_thresholds", "user_spend_anomalies", "new_model_added",
    "model_deprecation_warnings", "new_virtual_key_created", "virtual_key_updated", "virtual_key_deleted",
    "new_team_created", "team_updated", "team_deleted", "new_internal_user_created", "internal_user_updated",
    "internal_user_deleted", "mcp_tool_description_blocked", "mcp_pinned_tools_changed",
];

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 11] = [
        Kind::ProbeBudget,
        Kind::BudgetSpent,
        Kind::SoftBudget,
        Kind::ReloadRefused,
        Kind::RedisTrouble,
        Kind::StoreTrouble,
        Kind::SlowRequests,
        Kind::DeploymentDown,
        Kind::KeyRefused,
        Kind::FallbacksExhausted,
        Kind::GroupDown,
    ];

    const fn facts(self) -> Facts {
        use Severity::{Critical, Info, Warning};
        let (name, severity, types, by_effect): (_, _, &'static [&'static str], _) = match self {
            Kind::ProbeBudget => ("probe_budget", Info, &["budget_alerts"], false),
            Kind::BudgetSpent => ("budget_spent", Warning, &["budget_alerts"], false),
            Kind::SoftBudget => ("soft_budget", Info, &["budget_alerts"], false),
            Kind::ReloadRefused => ("reload_refused", Warning, &[], false),
            Kind::RedisTrouble => ("redis_trouble", Warning, &["db_exceptions"], false),
            Kind::StoreTrouble => ("store_trouble", Warning, &["db_exceptions"], false),
            // One that hangs is slow, too, once the threshold has passed.
            Kind::SlowRequests => {
                ("slow_requests", Warning, &["llm_too_slow", "llm_requests_hanging"], false)
            }
            Kind::DeploymentDown => (
                "deployment_down",
                Warning,
                &["cooldown_deployment", "outage_alerts", "region_outage_alerts", "llm_exceptions"],
                true,
            ),
            Kind::KeyRefused => (
                "key_refused",
                Warning,
                &["cooldown_deployment", "outage_alerts", "llm_exceptions"],
                true,
            ),
            Kind::FallbacksExhausted => {
                ("fallbacks_exhausted", Critical, &["fallback_reports", "llm_exceptions"], true)
            }
            Kind::GroupDown => (
                "group_down",
                Critical,
                &["outage_alerts", "region_outage_alerts", "llm_exceptions"],
                true,
            ),
        };
        Facts { name, severity, types, by_effect }
    }

    /// Its name in messages, in `alert_types` and in `alert_to_webhook_url`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(self) -> Severity {
        self.facts().severity
    }

    /// Whether only its effect on requests makes it worth telling.
    #[must_use]
    pub const fn is_by_effect(self) -> bool {
        self.facts().by_effect
    }

    /// What the reference calls it: its names in `alert_types`.
    #[must_use]
    pub const fn types(self) -> &'static [&'static str] {
        self.facts().types
    }

    /// Whether `name`, one of `alert_types`, asks for it.
    #[must_use]
    pub fn is_of_type(self, name: &str) -> bool {
        self.name() == name || self.facts().types.contains(&name)
    }

    /// Whether it follows from a fault of a deployment, rather than being one.
    #[must_use]
    pub const fn is_consequence(self) -> bool {
        match self {
            Kind::SlowRequests | Kind::FallbacksExhausted | Kind::GroupDown => true,
            Kind::ProbeBudget
            | Kind::BudgetSpent
            | Kind::SoftBudget
            | Kind::ReloadRefused
            | Kind::RedisTrouble
            | Kind::StoreTrouble
            | Kind::DeploymentDown
            | Kind::KeyRefused => false,
        }
    }

    /// Whether it is about deployments, so that what requests met counts.
    #[must_use]
    pub const fn is_of_deployments(self) -> bool {
        match self {
            Kind::DeploymentDown | Kind::KeyRefused | Kind::GroupDown => true,
            Kind::SlowRequests | Kind::FallbacksExhausted => true,
            Kind::ProbeBudget
            | Kind::BudgetSpent
            | Kind::SoftBudget
            | Kind::ReloadRefused
            | Kind::RedisTrouble
            | Kind::StoreTrouble => false,
        }
    }
}

/// Causes that have the same origin: what falls with one of them at one place is one incident.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The server or the way to it fails.
    #[default]
    Outage,
    /// The provider refuses the key.
    Key,
    /// The provider limits the rate. It is told only if requests failed.
    Rate,
    /// The account has nothing left.
    Quota,
    /// The model is not there.
    Model,
    /// It is about no cause of an attempt.
    Own,
}

impl Family {
    /// The family of a cause of an attempt.
    #[must_use]
    pub const fn of(cause: Cause) -> Family {
        match cause {
            Cause::Auth | Cause::Permission => Family::Key,
            Cause::RateLimited => Family::Rate,
            Cause::Quota => Family::Quota,
            Cause::NotFound => Family::Model,
            Cause::Overloaded
            | Cause::ServerError
            | Cause::Timeout
            | Cause::Connect
            | Cause::Dns
            | Cause::Tls
            | Cause::StreamCut
            | Cause::StreamStall
            | Cause::BadResponse => Family::Outage,
            Cause::Misconfigured
            | Cause::BadRequest
            | Cause::Unsupported
            | Cause::ContextWindow
            | Cause::ContentPolicy
            | Cause::EmptyAnswer
            | Cause::ClientTimeout
            | Cause::ClientClosed
            | Cause::Gateway => Family::Own,
        }
    }
}
