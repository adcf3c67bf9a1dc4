//! One row of the tables of keys: a key, its type and range, whether it is served, its default and its text.
//!
//! Used by [`super`] and the tables beside it. Always true: a row is made by one of the functions here, each for one kind of support.

use crate::config::features::Feature;

/// A mapping whose keys are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Section {
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
    pub(in crate::config) const fn name(self) -> &'static str {
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
pub(in crate::config) struct Row {
    /// Its name; a star matches any text.
    pub(in crate::config) name: &'static str,
    /// The type of its value.
    pub(in crate::config) kind: Kind,
    /// Whether it is served.
    pub(in crate::config) support: Support,
    /// Its default.
    pub(in crate::config) default: &'static str,
    /// What it does; for a refused key, what would go wrong if it were ignored.
    pub(in crate::config) doc: &'static str,
    /// What a key that is not served is a part of; empty if it is nothing but itself.
    pub(in crate::config) feature: &'static str,
}

/// Whether a key is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Support {
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
pub(in crate::config) enum Kind {
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
pub(super) const DAY: u64 = 86_400_000;
pub(super) const HOUR: u64 = 3_600_000;
pub(super) const TIMEOUT: Kind = Kind::Time(1, DAY);
pub(super) const COOLDOWN: Kind = Kind::Time(0, DAY);
pub(super) const RETRIES: Kind = Kind::Count(0, 100);
pub(super) const PRICE: Kind = Kind::Number(0.0, 1_000.0);
pub(super) const TOKENS: Kind = Kind::Number(1.0, 1e12);
pub(super) const RATE: Kind = Kind::Count(0, 1_000_000_000_000);
/// USD. 0 has an error of its own.
pub(super) const BUDGET_USD: Kind = Kind::Number(0.0, 1e12);
pub(super) const CHECK_TOKENS: Kind = Kind::Count(1, 1_000_000);
/// The shortest interval of probes, milliseconds.
pub(super) const CHECK_PERIOD_MIN: u64 = 100;

pub(super) const fn served(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Row {
    Row { name, kind, support: Support::Served, default, doc, feature: "" }
}

pub(in crate::config) const fn not_yet(name: &'static str, doc: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::NotYet, default: "", doc, feature: "" }
}

/// A key of a feature that is not served.
pub(in crate::config) const fn lacks(name: &'static str, feature: &Feature) -> Row {
    Row { feature: feature.name, ..not_yet(name, feature.effect) }
}

pub(super) const fn ignored(name: &'static str, doc: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::Ignored, default: "", doc, feature: "" }
}

pub(super) const fn misplaced(name: &'static str, place: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::Misplaced, default: "", doc: place, feature: "" }
}

/// The right section of keys that are often misplaced.
pub(super) const GENERAL_PLACE: &str = "Belongs in `general_settings`.";
pub(super) const INFO_PLACE: &str = "Belongs in `model_info` of the deployment.";
pub(super) const LITELLM_BUDGET: &str = "Belongs in `litellm_settings`; LiteLLM does not read it here either, so it was never enforced.";

pub(super) const fn refused(name: &'static str, doc: &'static str) -> Row {
    Row { name, kind: Kind::Any, support: Support::Refused, default: "", doc, feature: "" }
}
