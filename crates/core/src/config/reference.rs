//! The reference of all keys, made from the table of keys.
//!
//! `docs/config.md` is its output; a test compares them.

use std::fmt::Write as _;

use crate::parameters::InBody;
use crate::provider;

use super::keys::{self, Kind, Row, Section, Support, rows};
use super::value::range_text;

/// `docs/config.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::from(INTRODUCTION);
    for (section, title, about) in SECTIONS {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n## {title}\n\n{about}\n");
        table(&mut text, rows(*section));
    }
    text.push_str("\n## Providers\n\n");
    text.push_str(PROVIDERS);
    for row in provider::all() {
        let keys: Vec<String> = row.api_key_env.iter().map(|name| format!("`{name}`")).collect();
        let optional = if row.key_optional { " (optional)" } else { "" };
        let base = row.base_url.as_deref().unwrap_or("none: set `api_base`");
        let variables: Vec<String> =
            row.api_base_env.iter().map(|name| format!("`{name}`")).collect();
        let variable = variables.join(", ");
        let keys = keys.join(", ");
        let _written =
            writeln!(text, "| `{}` | {keys}{optional} | {base} | {variable} |", row.name);
    }
    text
}

/// `docs/parameters.md`: what becomes of each parameter in a request and in `litellm_params`.
#[must_use]
pub fn parameters() -> String {
    let mut text = String::from(PARAMETERS_INTRODUCTION);
    for row in crate::parameters::PARAMETERS {
        let in_body = match row.in_body {
            InBody::Request => "served, and passed on",
            InBody::Control | InBody::Inspected => "served",
            InBody::Stripped => "stripped",
            InBody::Unserved => "refused, if it asks for something",
            InBody::Mock => "refused, unless the config permits it",
            InBody::Credential => "refused",
        };
        let in_config = match keys::find(Section::Params, row.name).map(|key| key.support) {
            Some(Support::Served) => "served",
            Some(Support::NotYet | Support::Misplaced) => "stripped, with a warning",
            Some(Support::Ignored) => "stripped",
            Some(Support::Refused) => "stops the deployment",
            None if row.in_body == InBody::Request => "passed on",
            None => "stripped, with a warning",
        };
        let _written =
            writeln!(text, "| `{}` | {in_body} | {in_config} | {} |", row.name, row.about);
    }
    text
}

const PARAMETERS_INTRODUCTION: &str = include_str!("reference/parameters.md");

/// A key of a section that is served.
#[derive(Clone, Copy, Debug)]
pub struct RouterKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its value and its range, in words.
    pub kind: &'static str,
    /// Its default, in words; may be empty.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// The keys of `router_settings` that are served.
pub fn router_keys() -> impl Iterator<Item = RouterKey> {
    served_keys(Section::Router)
}

/// The keys of `alerting_args` that are served.
pub fn alerting_keys() -> impl Iterator<Item = RouterKey> {
    served_keys(Section::Alerting)
}

fn served_keys(section: Section) -> impl Iterator<Item = RouterKey> {
    let served = rows(section).iter().filter(|row| row.support == Support::Served);
    served.map(|row| {
        let kind = match row.kind {
            Kind::Text | Kind::Secret => "String",
            Kind::Bool => "Boolean",
            Kind::Count(..) => "Integer",
            Kind::Number(..) | Kind::Time(..) | Kind::Megabytes(..) => "Float",
            Kind::List => "List",
            Kind::Map => "Dictionary",
            Kind::Any => "Any",
        };
        RouterKey { name: row.name, kind, default: row.default, doc: row.doc }
    })
}

const INTRODUCTION: &str = include_str!("reference/introduction.md");

const PROVIDERS: &str = "The prefix of `model`, or `custom_llm_provider`. Any other server that speaks the OpenAI wire: \
`openai/name` with `api_base`.\n\n\
| prefix | variables for the key | address | variable for the address |\n|---|---|---|---|\n";

const SECTIONS: &[(Section, &str, &str)] = &[
    (Section::Top, "The top of the file", "A config is one YAML mapping with these sections."),
    (Section::Entry, "`model_list` entries", "Each entry is a deployment."),
    (
        Section::Params,
        "`litellm_params`",
        "Any key that is not listed is a default for the request body: `temperature: 0.2` is used if the client sends none.",
    ),
    (
        Section::Info,
        "`model_info`",
        "Any key that is not listed is kept and shown by `/model/info`, unless its name says that it is a secret.",
    ),
    (Section::Credential, "`credential_list` entries", ""),
    (Section::Litellm, "`litellm_settings`", ""),
    (
        Section::Cache,
        "`cache_params`",
        "[Cache of answers](cache.md). The field `cache` of a request asks for less: `no-cache`, `no-store`, `ttl`, `s-maxage`, `namespace`.",
    ),
    (
        Section::Alerting,
        "`alerting_args`",
        "In `general_settings`. [Alerts](alerts.md) has examples.",
    ),
    (Section::Router, "`router_settings`", ""),
    (Section::Alias, "`model_group_alias` values", "A value is the name of a group, or a mapping."),
    (Section::Strategy, "`routing_strategy_args`", ""),
    (Section::Retries, "`retry_policy`", "Also each value of `model_group_retry_policy`."),
    (
        Section::Fails,
        "`allowed_fails_policy`",
        "Failures of that kind within a minute that are tolerated; one more ejects the deployment. A time that a provider names counts in any case.",
    ),
    (
        Section::Budget,
        "`provider_budget_config` and `tag_budget_config` values",
        "The spend is counted from the cost of answers, in this process alone, and starts at zero with it. Costs are known when an answer ends, so requests in flight may exceed a budget.",
    ),
    (Section::Window, "`access_windows` entries", ""),
    (Section::General, "`general_settings`", ""),
];

fn table(text: &mut String, rows: &[Row]) {
    let of = |support| rows.iter().filter(move |row| row.support == support).collect::<Vec<_>>();
    let served = of(Support::Served);
    text.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for row in served {
        let (name, kind) = (row.name, range_text(row.kind));
        let _written = writeln!(text, "| `{name}` | {kind} | {} | {} |", row.default, row.doc);
    }
    for (support, title) in [
        (Support::NotYet, "Recognised but not implemented. Hale warns and ignores them:"),
        (
            Support::Misplaced,
            "They belong in another section and have no effect here. That is a warning, in `router_settings` an error:",
        ),
        (Support::Ignored, "Accepted without effect:"),
        (
            Support::Refused,
            "Refused, because ignoring them would not be safe; the config does not load:",
        ),
    ] {
        let rows = of(support);
        if rows.is_empty() {
            continue;
        }
        let _written = write!(text, "\n{title}\n\n| key | |\n|---|---|\n");
        for row in rows {
            let _written = writeln!(text, "| `{}` | {} |", row.name, row.doc);
        }
    }
}
