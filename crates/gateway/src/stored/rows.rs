//! Rows of the store about deployments, credentials and settings, as the loader of the config takes them.
//!
//! Called by [`super`] for what it read. Always true: whatever a row holds, it comes to something with a name; a secret that cannot be
//! decrypted stops what it is for, and is never sent to anyone.

use std::collections::HashSet;

use hale_core::config::{SECTIONS, Stored, StoredModel};
use hale_core::tenancy::{Record, Row};
use serde_json::{Map, Value};

use super::salt::{Opened, Salt};

/// The fix of a value that does not open.
const SALT_HINT: &str = "set LITELLM_SALT_KEY to the key with which it was written, or write the value again with `/model/update`";
/// Columns that say when a deployment was made and who made it, as pages show them.
const MADE: [&str; 4] = ["created_at", "created_by", "updated_at", "updated_by"];

/// The rows of the three tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) models: Vec<Record>,
    pub(super) credentials: Vec<Record>,
    pub(super) settings: Vec<Record>,
}

impl Rows {
    /// What they add to the config.
    pub(super) fn stored(&self, salt: Option<&Salt>) -> Stored {
        let mut credentials = Vec::with_capacity(self.credentials.len());
        let mut sealed = HashSet::new();
        for row in &self.credentials {
            let Some(name) = Row(row).text("credential_name") else { continue };
            match opened(&members(row.get("credential_values")), salt) {
                Ok(values) => credentials.push((Box::from(name), values)),
                Err(value) => {
                    tracing::error!(
                        "the value {value:?} of the credential {name:?} cannot be decrypted; {SALT_HINT}"
                    );
                    sealed.insert(name);
                }
            }
        }
        let model = |row: &Record| model(row, salt, &sealed);
        Stored {
            models: self.models.iter().filter_map(model).collect(),
            credentials,
            sections: self.settings.iter().filter_map(|row| section(row, salt)).collect(),
        }
    }

    /// Whether a row says that all of this is wanted.
    pub(super) fn say_yes(&self) -> bool {
        let general = self
            .settings
            .iter()
            .find(|row| Row(row).text("param_name") == Some("general_settings"));
        let members = general.map(|row| members(row.get("param_value"))).unwrap_or_default();
        members.get("store_model_in_db") == Some(&Value::Bool(true))
    }
}

/// An object of a row. Old writers put its text into a text.
pub(crate) fn members(value: Option<&Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(members)) => members.clone(),
        Some(Value::String(text)) => match serde_json::from_str(text) {
            Ok(Value::Object(members)) => members,
            Ok(_) | Err(_) => Map::new(),
        },
        Some(_) | None => Map::new(),
    }
}

/// Whether a value of a row is an object, or the text of one.
fn is_object(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(_)) => true,
        Some(Value::String(text)) => serde_json::from_str::<Map<String, Value>>(text).is_ok(),
        Some(_) | None => false,
    }
}

/// Members with their texts decrypted; the name of one that does not open.
pub(crate) fn opened(
    members: &Map<String, Value>,
    salt: Option<&Salt>,
) -> Result<Map<String, Value>, String> {
    let mut opened = Map::new();
    for (name, value) in members {
        let value = match (value, salt) {
            (Value::String(text), Some(salt)) => match salt.open(text) {
                Opened::Clear(text) => Value::String(text),
                Opened::Undecryptable => return Err(name.clone()),
            },
            (value, _) => value.clone(),
        };
        opened.insert(name.clone(), value);
    }
    Ok(opened)
}

/// Members with their texts encrypted.
pub(crate) fn sealed(members: &Map<String, Value>, salt: &Salt) -> Map<String, Value> {
    let seal = |value: &Value| match value {
        Value::String(text) => Value::String(salt.seal(text)),
        other => other.clone(),
    };
    members.iter().map(|(name, value)| (name.clone(), seal(value))).collect()
}

/// A row as a deployment, with what is wrong with it.
pub(crate) fn model(
    row: &Record,
    salt: Option<&Salt>,
    undecryptable: &HashSet<&str>,
) -> Option<StoredModel> {
    let id = Row(row).text("model_id")?;
    let mut trouble = None;
    let written = row.get("litellm_params");
    let params = match opened(&members(written), salt) {
        Ok(_) if !is_object(written) => {
            trouble = Some((
                "`litellm_params` is no object".to_owned(),
                "delete the row, or write it again with `/model/update`",
            ));
            Map::new()
        }
        Ok(params) => params,
        Err(name) => {
            trouble = Some((format!("`{name}` cannot be decrypted"), SALT_HINT));
            Map::new()
        }
    };
    let named = params.get("litellm_credential_name").and_then(Value::as_str);
    if let Some(name) = named.filter(|name| undecryptable.contains(name)) {
        trouble = Some((format!("the credential {name} cannot be decrypted"), SALT_HINT));
    }
    let mut info = members(row.get("model_info"));
    for name in MADE {
        match row.get(name) {
            Some(value) if !value.is_null() => {
                drop(info.insert(name.to_owned(), shown(name, value)))
            }
            Some(_) | None => drop(info.remove(name)),
        }
    }
    Some(StoredModel {
        id: id.into(),
        name: Row(row).text("model_name").unwrap_or_default().into(),
        params,
        info,
        is_paused: row.get("blocked").and_then(Value::as_bool).unwrap_or(false),
        trouble: trouble.map(|(problem, hint)| (problem.into(), hint.into())),
    })
}

fn shown(name: &str, value: &Value) -> Value {
    match value.as_u64().filter(|_| name.ends_with("_at")) {
        Some(ms) => hale_core::time::rfc3339(ms).into(),
        None => value.clone(),
    }
}

fn section(row: &Record, salt: Option<&Salt>) -> Option<(Box<str>, Map<String, Value>)> {
    let name = Row(row).text("param_name").filter(|name| SECTIONS.contains(name))?;
    let mut members = members(row.get("param_value"));
    if name == "environment_variables" {
        let before = members.len();
        members = members.into_iter().filter_map(|(name, value)| {
            let one = Map::from_iter([(name.clone(), value)]);
            let opened = opened(&one, salt).ok();
            if opened.is_none() {
                tracing::error!("the environment variable {name:?} of the store cannot be decrypted; {SALT_HINT}");
            }
            opened?.into_iter().next()
        }).collect();
        debug_assert!(members.len() <= before);
    }
    Some((name.into(), members))
}

#[cfg(test)]
mod tests {
    use hale_core::secret::Secret;
    use serde_json::json;

    use super::*;

    fn record(value: Value) -> Record {
        let Value::Object(record) = value else { panic!("an object") };
        record
    }

    fn read(params: Value) -> StoredModel {
        let salt = Salt::of(&Secret::new("salt"));
        let row = record(
            json!({"model_id": "r", "model_name": "m", "litellm_params": params, "model_info": null}),
        );
        model(&row, Some(&salt), &HashSet::new()).expect("it has an id")
    }

    #[test]
    fn texts_are_decrypted_and_all_else_stays() {
        let salt = Salt::of(&Secret::new("salt"));
        let params = json!({"model": salt.seal("openai/x"), "api_key": salt.seal("os.environ/KEY"), "rpm": 7, "stream": true,
            "tags": ["t"], "api_base": "http://clear.example/v1"});
        for params in [params.clone(), Value::String(params.to_string())] {
            let model = read(params);
            assert_eq!(model.trouble, None);
            let expected = json!({"model": "openai/x", "api_key": "os.environ/KEY", "rpm": 7, "stream": true, "tags": ["t"],
                "api_base": "http://clear.example/v1"});
            assert_eq!(Value::Object(model.params), expected);
        }
    }

    #[test]
    fn garbage_is_a_deployment_that_says_why_it_cannot_serve() {
        for params in [json!([1]), json!(7), json!("{not json"), json!("[]"), Value::Null] {
            let why = read(params.clone()).trouble.unwrap_or_else(|| panic!("{params}"));
            assert!(why.0.contains("no object"), "{params}: {why:?}");
        }
        let other = Salt::of(&Secret::new("other"));
        let why = read(json!({"model": "openai/x", "api_key": other.seal("sk-upstream-secret-of-some-length")})).trouble;
        assert!(why.is_some_and(|(problem, _)| &*problem == "`api_key` cannot be decrypted"));
    }

    #[test]
    fn a_deployment_whose_credential_does_not_open_cannot_serve() {
        let (salt, other) = (Salt::of(&Secret::new("salt")), Salt::of(&Secret::new("other")));
        let rows = Rows {
            models: vec![record(json!({"model_id": "r", "model_name": "m", "litellm_params":
                {"model": "openai/x", "litellm_credential_name": "c"}}))],
            credentials: vec![record(json!({"credential_name": "c", "credential_values":
                {"api_key": other.seal("sk-upstream-secret-of-some-length")}}))],
            settings: Vec::new(),
        };
        let stored = rows.stored(Some(&salt));
        assert!(stored.credentials.is_empty());
        assert!(
            stored.models[0].trouble.as_ref().is_some_and(|(why, _)| why.contains("credential c"))
        );
    }
}
