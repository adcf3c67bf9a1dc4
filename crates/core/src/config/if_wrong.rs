//! What becomes of a value that is wrong: of the config, of its deployment, or of its key alone.
//!
//! Asked by [`super::field`] for each key of each section. Always true: a wrong value of one deployment never stops the others; a
//! wrong value is used as if it were absent only where that makes the gateway neither open nor dear.

use super::keys::Section;

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfWrong {
    /// The config is refused.
    Refuse,
    /// The deployment is kept and gets no requests.
    Misconfigure,
    /// The key has no effect.
    Unset,
}

/// Parameters of a deployment that a call can do without; prices are others.
#[rustfmt::skip]
const ADVICE: &[&str] = &[
    "weight", "order", "tags", "tag_regex", "timeout", "request_timeout", "stream_timeout", "num_retries", "cooldown_time",
    "mock_delay", "budget_duration", "base_model",
];
/// Facts of a deployment that decide who may use it, and what it may cost.
const RIGHTS: &[&str] = &["access_windows", "blocked", "health_check_daily_budget_usd"];
/// Settings whose default is less safe than what may have been meant.
#[rustfmt::skip]
const SAFETY: &[&str] = &[
    "master_key", "allowed_ips", "cors_origins", "fetch_urls", "user_url_validation", "user_url_allowed_hosts", "health_check_details", "drain_endpoint_token", "health_check_daily_budget_usd",
    "provider_budget_config", "tag_budget_config", "max_budget", "budget_duration", "litellm_backend_url", "mirror", "cost_discount_config", "cost_margin_config", "max_budget_per_session", "max_requests_per_session",
    "upperbound_key_generate_params",
    "default_key_generate_params", "key_generation_settings", "default_internal_user_params", "max_internal_user_budget",
    "default_max_internal_user_budget", "internal_user_budget_duration", "disable_custom_api_keys", "ui_access_mode",
    "disable_requester_ip_address_logging", "reject_clientside_metadata_tags",
];
/// Settings without which the router is another one; LiteLLM does not start with a wrong one either.
const ROUTER: &[&str] = &["routing_strategy"];

impl IfWrong {
    /// For the value of the key `name`.
    pub(super) fn of(section: Section, name: &str) -> IfWrong {
        let is = |names: &[&str], one, other| if names.contains(&name) { one } else { other };
        match section {
            Section::Top | Section::Budget => IfWrong::Refuse,
            Section::Entry => {
                is(&["model_name", "litellm_params"], IfWrong::Refuse, IfWrong::Misconfigure)
            }
            Section::Params if name == "model" => IfWrong::Refuse,
            Section::Params if name.contains("cost") => IfWrong::Unset,
            Section::Params => is(ADVICE, IfWrong::Unset, IfWrong::Misconfigure),
            Section::Info => is(RIGHTS, IfWrong::Misconfigure, IfWrong::Unset),
            Section::Window => IfWrong::Misconfigure,
            Section::Router if ROUTER.contains(&name) => IfWrong::Refuse,
            Section::Litellm | Section::Router | Section::General => {
                is(SAFETY, IfWrong::Refuse, IfWrong::Unset)
            }
            Section::Credential
            | Section::Alias
            | Section::Strategy
            | Section::Retries
            | Section::Fails
            | Section::Cache
            | Section::Alerting => IfWrong::Unset,
        }
    }

    /// For a key that is not served and that may not be ignored.
    pub(super) fn of_refused(section: Section) -> IfWrong {
        match section {
            Section::Entry | Section::Params | Section::Info | Section::Window => {
                IfWrong::Misconfigure
            }
            Section::Top
            | Section::Litellm
            | Section::Router
            | Section::General
            | Section::Credential
            | Section::Alias
            | Section::Strategy
            | Section::Retries
            | Section::Fails
            | Section::Budget
            | Section::Cache
            | Section::Alerting => IfWrong::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Support, rows};
    use super::*;

    #[test]
    fn every_name_that_is_treated_otherwise_is_a_key_that_is_served() {
        let has = |section, name: &&str| {
            rows(section).iter().any(|row| row.name == *name && row.support == Support::Served)
        };
        assert!(ADVICE.iter().all(|name| has(Section::Params, name)));
        assert!(RIGHTS.iter().all(|name| has(Section::Info, name)));
        assert!(ROUTER.iter().all(|name| has(Section::Router, name)));
        let settings = [Section::Litellm, Section::Router, Section::General];
        assert!(SAFETY.iter().all(|name| settings.iter().any(|section| has(*section, name))));
    }
}
