//! What a config says of keys and users that are made: values where a client names none, limits that no key exceeds, and who makes keys.
//!
//! Made by the loader of configs, asked by the pages that make and change keys and users. Always true: a limit of the config is a limit
//! of every key that was made or changed since, also by an admin; what a client does not name or clears has the limit itself.

use serde_json::Value;

use super::duration::BudgetDuration;
use super::row::{Record, Row};

/// The fields of a key that `upperbound_key_generate_params` bounds: numbers.
pub const BOUNDED_NUMBERS: [&str; 4] =
    ["max_budget", "max_parallel_requests", "tpm_limit", "rpm_limit"];
/// Those that are times.
pub const BOUNDED_TIMES: [&str; 2] = ["budget_duration", "duration"];
/// The fields of a key that `default_key_generate_params` fills, as in the reference.
pub const FILLED: [&str; 10] = [
    "max_budget",
    "user_id",
    "team_id",
    "max_parallel_requests",
    "tpm_limit",
    "rpm_limit",
    "budget_duration",
    "duration",
    "models",
    "metadata",
];
/// The fields of a user that `default_internal_user_params` fills.
pub const FILLED_OF_USERS: [&str; 8] = [
    "user_role",
    "max_budget",
    "budget_duration",
    "models",
    "teams",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
];

/// What a config says of keys and users that are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MakingRules {
    /// `default_key_generate_params`.
    pub defaults: Record,
    /// `upperbound_key_generate_params`.
    pub bounds: Record,
    /// `key_generation_settings.team_key_generation`.
    pub of_teams: Option<Makers>,
    /// `key_generation_settings.personal_key_generation`.
    pub personal: Option<Makers>,
    /// `default_internal_user_params`.
    pub of_users: Record,
    /// `max_internal_user_budget`, `internal_user_budget_duration`: fields of users whose role is internal.
    pub of_internal_users: Record,
    /// `disable_custom_api_keys`: no client chooses the text of a key.
    pub no_chosen_texts: bool,
}

/// Who makes keys, and what they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Makers {
    /// The roles that may; all if it is `None`.
    pub roles: Option<Vec<Box<str>>>,
    /// The fields that a body must have.
    pub required: Vec<Box<str>>,
}

/// Who makes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker<'a> {
    /// The role in the gateway.
    pub role: &'a str,
    /// The role in the team of the key, where the gateway's role does not decide.
    pub in_team: Option<&'a str>,
}

/// Why a key is not made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotMade {
    /// The field.
    pub field: String,
    /// The reference's words.
    pub message: String,
}

impl NotMade {
    fn new(field: &str, message: String) -> NotMade {
        NotMade { field: field.to_owned(), message }
    }
}

/// Whether a body does not say it.
fn is_unset(body: &Record, name: &str) -> bool {
    match body.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        // An empty list of models and empty metadata are as those that were not named.
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Object(members)) => members.is_empty(),
        Some(Value::Bool(_) | Value::Number(_)) => false,
    }
}

/// Puts values where a body has none.
fn fill(body: &mut Record, values: &Record) {
    for (name, value) in values {
        if is_unset(body, name) {
            body.insert(name.clone(), value.clone());
        }
    }
}

impl MakingRules {
    /// Completes the body of a key that is made.
    ///
    /// # Errors
    /// The field that is over its limit.
    pub fn complete(&self, body: &mut Record) -> Result<(), NotMade> {
        fill(body, &self.defaults);
        fill(body, &self.bounds);
        self.check(body)
    }

    /// Completes the body of a change: a limit that it clears becomes that of the config.
    ///
    /// # Errors
    /// The field that is over its limit.
    pub fn complete_change(&self, body: &mut Record) -> Result<(), NotMade> {
        for (name, bound) in &self.bounds {
            if body.contains_key(name) && is_unset(body, name) {
                body.insert(name.clone(), bound.clone());
            }
        }
        self.check(body)
    }

    fn check(&self, body: &Record) -> Result<(), NotMade> {
        for (name, bound) in &self.bounds {
            let Some(value) = body.get(name) else { continue };
            if is_over(name, value, bound) {
                let (shown, most) = (written(value), written(bound));
                let message = format!(
                    "{name} is over max limit set in config - user_value={shown}; max_value={most}"
                );
                return Err(NotMade::new(name, message));
            }
        }
        Ok(())
    }

    /// Whether this client may make a key with that body, as it was sent.
    ///
    /// # Errors
    /// The role that may not, or the field that is not there.
    pub fn check_maker(&self, maker: Maker<'_>, body: &Record) -> Result<(), NotMade> {
        if self.no_chosen_texts && !is_unset(body, "key") {
            let message = "Custom API key values are disabled by your administrator. Keys must be auto-generated.";
            return Err(NotMade::new("key", message.to_owned()));
        }
        let team = Row(body).text("team_id");
        let of_teams = self.of_teams.as_ref().filter(|_| maker.in_team.is_some());
        let rule = if team.is_some() { of_teams } else { self.personal.as_ref() };
        let Some(rule) = rule else { return Ok(()) };
        let role = maker.in_team.filter(|_| team.is_some()).unwrap_or(maker.role);
        if let Some(roles) =
            rule.roles.as_ref().filter(|roles| !roles.iter().any(|one| **one == *role))
        {
            let list: Vec<String> = roles.iter().map(|role| format!("'{role}'")).collect();
            let list = list.join(", ");
            let message = match team {
                Some(_) => {
                    format!("Team member role {role} not in allowed_team_member_roles=[{list}]")
                }
                None => format!(
                    "Personal key creation has been restricted by admin. Allowed roles=[{list}]. Your role={role}"
                ),
            };
            return Err(NotMade::new("team_id", message));
        }
        match rule.required.iter().find(|name| !body.contains_key(&***name)) {
            Some(name) => Err(NotMade::new(name, format!("Required param {name} not in data"))),
            None => Ok(()),
        }
    }

    /// Completes the body of a user that is made.
    pub fn complete_user(&self, body: &mut Record) {
        const ADMIN: &str = "proxy_admin";
        if Row(body).text("user_role") != Some(ADMIN) {
            fill(body, &self.of_users);
        }
        let role = Row(body).text("user_role").unwrap_or("internal_user");
        if matches!(role, "internal_user" | "internal_user_viewer") {
            fill(body, &self.of_internal_users);
        }
    }
}

/// Whether a value exceeds its limit. One that is no value of its field is refused by its reader.
fn is_over(name: &str, value: &Value, bound: &Value) -> bool {
    if BOUNDED_NUMBERS.contains(&name) {
        return matches!((value.as_f64(), bound.as_f64()), (Some(value), Some(bound)) if value > bound);
    }
    let seconds = |value: &Value| {
        let text = value.as_str()?;
        if text == "-1" {
            return Some(u64::MAX);
        }
        BudgetDuration::parse(name, text).ok().map(BudgetDuration::seconds)
    };
    matches!((seconds(value), seconds(bound)), (Some(value), Some(bound)) if value > bound)
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(value: Value) -> Record {
        value.as_object().cloned().unwrap()
    }

    fn bounded() -> MakingRules {
        let bounds = json!({"max_budget": 10, "duration": "7d", "tpm_limit": 1_000});
        MakingRules { bounds: record(bounds), ..MakingRules::default() }
    }

    #[test]
    fn a_key_without_values_has_those_of_the_config_and_its_limits() {
        let defaults = json!({"max_budget": 2.5, "models": ["m"], "team_id": "t"});
        let rules = MakingRules { defaults: record(defaults), ..bounded() };
        let mut body = record(json!({"models": [], "rpm_limit": 3, "duration": null}));
        rules.complete(&mut body).unwrap();
        let whole = json!({
            "models": ["m"], "rpm_limit": 3, "max_budget": 2.5, "team_id": "t", "duration": "7d", "tpm_limit": 1_000,
        });
        assert_eq!(Value::Object(body), whole);
        let mut own = record(json!({"models": ["other"], "max_budget": 0, "team_id": "u"}));
        rules.complete(&mut own).unwrap();
        assert_eq!((&own["models"], &own["max_budget"]), (&json!(["other"]), &json!(0)));
        assert_eq!(own["team_id"], "u");
    }

    #[test]
    fn no_key_is_made_or_changed_beyond_a_limit_of_the_config() {
        for (body, field) in [
            (json!({"max_budget": 10.01}), "max_budget"),
            (json!({"tpm_limit": 1_001}), "tpm_limit"),
            (json!({"duration": "8d"}), "duration"),
            (json!({"duration": "-1"}), "duration"),
        ] {
            for changes in [false, true] {
                let mut body = record(body.clone());
                let done = match changes {
                    true => bounded().complete_change(&mut body),
                    false => bounded().complete(&mut body),
                };
                let refused = done.unwrap_err();
                assert_eq!(refused.field, field);
                let said = format!("{field} is over max limit set in config - user_value=");
                assert!(refused.message.starts_with(&said), "{}", refused.message);
            }
        }
        let mut exact = record(json!({"max_budget": 10, "duration": "168h", "tpm_limit": 1_000}));
        assert_eq!(bounded().complete(&mut exact), Ok(()));
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name_and_clears_no_limit_of_the_config() {
        let mut body = record(json!({"key": "sk-x", "max_budget": null, "duration": ""}));
        bounded().complete_change(&mut body).unwrap();
        assert_eq!((&body["max_budget"], &body["duration"]), (&json!(10), &json!("7d")));
        assert!(!body.contains_key("tpm_limit"));
    }

    #[test]
    fn keys_are_made_by_the_roles_of_the_config_and_name_what_it_requires() {
        let makers = |role: &str, name: &str| {
            Some(Makers { roles: Some(vec![role.into()]), required: vec![name.into()] })
        };
        let rules = MakingRules {
            of_teams: makers("admin", "tags"),
            personal: makers("proxy_admin", "user_id"),
            ..MakingRules::default()
        };
        let admin = Maker { role: "proxy_admin", in_team: None };
        let member = |in_team| Maker { role: "internal_user", in_team: Some(in_team) };
        for (maker, body, says) in [
            (admin, json!({"team_id": "t"}), None),
            (admin, json!({}), Some("Required param user_id not in data")),
            (admin, json!({"user_id": "u"}), None),
            (member("admin"), json!({"team_id": "t"}), Some("Required param tags not in data")),
            (member("admin"), json!({"team_id": "t", "tags": []}), None),
            (
                member("user"),
                json!({"team_id": "t", "tags": []}),
                Some("Team member role user not in allowed_team_member_roles=['admin']"),
            ),
            (
                member("admin"),
                json!({"user_id": "u"}),
                Some(
                    "Personal key creation has been restricted by admin. Allowed roles=['proxy_admin']. Your role=internal_user",
                ),
            ),
        ] {
            let done = rules.check_maker(maker, &record(body.clone())).map_err(|why| why.message);
            assert_eq!(done.err().as_deref(), says, "{maker:?} {body}");
        }
        let fixed = MakingRules { no_chosen_texts: true, ..MakingRules::default() };
        let chosen = record(json!({"key": "sk-own"}));
        assert_eq!(fixed.check_maker(admin, &chosen).unwrap_err().field, "key");
    }

    #[test]
    fn users_have_the_values_of_the_config_unless_they_are_admins() {
        let rules = MakingRules {
            of_users: record(json!({"models": ["m"], "user_role": "internal_user_viewer"})),
            of_internal_users: record(json!({"max_budget": 5})),
            ..MakingRules::default()
        };
        let made = |body: Value| {
            let mut body = record(body);
            rules.complete_user(&mut body);
            Value::Object(body)
        };
        let whole = json!({"models": ["m"], "user_role": "internal_user_viewer", "max_budget": 5});
        assert_eq!(made(json!({})), whole);
        let admin = json!({"user_role": "proxy_admin"});
        assert_eq!(made(admin.clone()), admin);
        let team = made(json!({"user_role": "team"}));
        assert_eq!(team, json!({"user_role": "team", "models": ["m"]}));
    }
}
