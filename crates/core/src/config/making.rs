//! What is said of keys and users that are made: `default_key_generate_params`, `upperbound_key_generate_params`,
//! `key_generation_settings`, `default_internal_user_params` and their relatives; and what requests may name and rows of them keep.
//!
//! Called by [`super::settings`]. Always true: a value that is no limit refuses the config, as the keys would have none; a field that
//! the reference does not fill either is a warning.

use serde_json::{Value as Json, json};

use crate::settings::GatewaySettings;
use crate::tenancy::Record;
use crate::tenancy::duration::BudgetDuration;
use crate::tenancy::making::{
    BOUNDED_NUMBERS, BOUNDED_TIMES, FILLED, FILLED_OF_USERS, Makers, MakingRules,
};

use super::field::Field;
use super::json;
use super::problem::{Path, Problems, Wrong, shown};
use super::tree::{Map, Node};

/// Reads a key; false if it is about something else.
pub(super) fn setting(
    gateway: &mut GatewaySettings,
    field: &Field<'_>,
    problems: &mut Problems,
) -> bool {
    let rules = &mut gateway.making;
    match field.row.name {
        "default_key_generate_params" => {
            rules.defaults = values(field, (&FILLED, Others::Warned), problems);
        }
        "upperbound_key_generate_params" => {
            let names: Vec<&str> = BOUNDED_NUMBERS.into_iter().chain(BOUNDED_TIMES).collect();
            rules.bounds = values(field, (&names, Others::Refused), problems);
        }
        "default_internal_user_params" => {
            rules.of_users = values(field, (&FILLED_OF_USERS, Others::Warned), problems);
        }
        "max_internal_user_budget" | "default_max_internal_user_budget" => {
            let value = field.number(problems).map(|usd| json!(usd));
            let is_first = field.row.name == "max_internal_user_budget"
                || !rules.of_internal_users.contains_key("max_budget");
            if let Some(value) = value.filter(|_| is_first) {
                rules.of_internal_users.insert("max_budget".to_owned(), value);
            }
        }
        "internal_user_budget_duration" => {
            match valid("budget_duration", &json::value(field.node)) {
                Ok(value) => {
                    rules.of_internal_users.insert("budget_duration".to_owned(), value);
                }
                Err(wrong) => field.wrong(wrong, problems),
            }
        }
        "key_generation_settings" => makers(rules, field, problems),
        "disable_custom_api_keys" => {
            rules.no_chosen_texts = field.flag(problems).unwrap_or(rules.no_chosen_texts);
        }
        "reject_clientside_metadata_tags" => {
            gateway.refuses_tags = field.flag(problems).unwrap_or(gateway.refuses_tags);
        }
        "disable_requester_ip_address_logging" => {
            gateway.hides_addresses = field.flag(problems).unwrap_or(gateway.hides_addresses);
        }
        _ => return false,
    }
    true
}

/// What becomes of a field that is none of those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// It has no effect, as in the reference.
    Warned,
    /// It would be a limit.
    Refused,
}

/// The values of a mapping by the names of fields.
fn values(
    field: &Field<'_>,
    (names, others): (&[&str], Others),
    problems: &mut Problems,
) -> Record {
    let mut read = Record::new();
    let Some(map) = field.map(problems) else { return read };
    for entry in map.entries.iter().filter(|entry| !entry.value.is_null()) {
        let (name, path) = (&*entry.key, field.path.key(&entry.key));
        if !names.contains(&name) {
            let hint = format!("write one of {}", names.join(", "));
            match others {
                Others::Warned => {
                    let problem = "has no effect here, in LiteLLM neither";
                    problems.warn(entry.at, &path, Wrong::new(problem, hint));
                }
                Others::Refused => {
                    let problem = format!("`{}` has no limit", shown(name));
                    field.wrong_in(entry.at, &path, Wrong::new(problem, hint), problems);
                }
            }
            continue;
        }
        match valid(name, &json::value(&entry.value)) {
            Ok(value) => {
                read.insert(name.to_owned(), value);
            }
            Err(wrong) => field.wrong_in(entry.at, &path, wrong, problems),
        }
    }
    read
}

/// A value of the field `name` of a key or a user.
fn valid(name: &str, value: &Json) -> Result<Json, Wrong> {
    let wrong = |expected: &str| Wrong::new(format!("`{name}` must be {expected}"), "correct it");
    let texts =
        |value: &Json| value.as_array().is_some_and(|items| items.iter().all(Json::is_string));
    match name {
        "max_budget" => {
            let of_text = || value.as_str().and_then(|text| text.trim().parse().ok());
            let usd = value.as_f64().or_else(of_text).filter(|usd| usd.is_finite() && *usd >= 0.0);
            usd.map(json::number).ok_or_else(|| wrong("an amount in USD, 0 or more"))
        }
        "max_parallel_requests" | "tpm_limit" | "rpm_limit" => {
            let of_text = || value.as_str().and_then(|text| text.trim().parse().ok());
            let count = value.as_u64().or_else(of_text);
            count.map(|count| json!(count)).ok_or_else(|| wrong("a whole number, 0 or more"))
        }
        "duration" | "budget_duration" => match value.as_str() {
            Some(text) => BudgetDuration::parse(name, text)
                .map(|_| json!(text))
                .map_err(|message| Wrong::new(message, "write a number and its unit")),
            None => Err(wrong("a time such as `30d`")),
        },
        "models" | "teams" if texts(value) => Ok(value.clone()),
        "models" | "teams" => Err(wrong("a list of names")),
        "metadata" if value.is_object() => Ok(value.clone()),
        "metadata" => Err(wrong("a mapping")),
        _ if value.as_str().is_some_and(|text| !text.is_empty()) => Ok(value.clone()),
        _ => Err(wrong("text")),
    }
}

/// `key_generation_settings`.
fn makers(rules: &mut MakingRules, field: &Field<'_>, problems: &mut Problems) {
    let Some(map) = field.map(problems) else { return };
    for entry in map.entries.iter().filter(|entry| !entry.value.is_null()) {
        let path = field.path.key(&entry.key);
        let (roles, slot) = match &*entry.key {
            "team_key_generation" => ("allowed_team_member_roles", &mut rules.of_teams),
            "personal_key_generation" => ("allowed_user_roles", &mut rules.personal),
            other => {
                let problem = format!("unknown key `{}`", shown(other));
                let hint = "write `team_key_generation` or `personal_key_generation`";
                field.wrong_in(entry.at, &path, Wrong::new(problem, hint), problems);
                continue;
            }
        };
        let Some(inner) = entry.value.as_map() else {
            let wrong = Wrong::new("expected a mapping", "write `key: value` lines below it");
            field.wrong_in(entry.at, &path, wrong, problems);
            continue;
        };
        *slot = Some(maker(inner, roles, (field, &path), problems));
    }
}

fn maker(
    map: &Map,
    roles: &str,
    (field, path): (&Field<'_>, &Path<'_>),
    problems: &mut Problems,
) -> Makers {
    let mut makers = Makers::default();
    for entry in map.entries.iter().filter(|entry| !entry.value.is_null()) {
        let path = path.key(&entry.key);
        let list = names(&entry.value);
        match (&*entry.key, list) {
            (name, Some(list)) if name == roles => makers.roles = Some(list),
            ("required_params", Some(list)) => makers.required = list,
            (name, None) if name == roles || name == "required_params" => {
                let wrong = Wrong::new("expected a list of names", "write `[a, b]`");
                field.wrong_in(entry.at, &path, wrong, problems);
            }
            (other, _) => {
                let problem = format!("unknown key `{}`", shown(other));
                let hint = format!("write `{roles}` or `required_params`");
                field.wrong_in(entry.at, &path, Wrong::new(problem, hint), problems);
            }
        }
    }
    makers
}

fn names(node: &Node) -> Option<Vec<Box<str>>> {
    node.items()?.iter().map(|item| item.text().map(Box::from)).collect()
}
