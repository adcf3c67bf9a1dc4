//! Models of teams: what an admin of a team may write, and what the team may use.
//!
//! Used by [`super::models`]. Always true: who manages a team reaches no secret of the gateway: neither its environment, its files and
//! its identities, nor its credentials.

use hale_core::route;
use hale_core::snapshot::Snapshot;
use hale_core::tenancy::rights::{ALL_PROXY_MODELS, ALL_TEAM_MODELS, NO_DEFAULT_MODELS};
use hale_core::tenancy::{Record, Row};
use hale_store::{Change, Find, Store, TenantTable};
use http::StatusCode;
use serde_json::{Value, json};

use super::{AUTH_ERROR, row};
use crate::http::refusal::{self, Refusal};
use crate::pages::admin::failed;
use crate::pages::managers::Manager;

/// Parameters by which a call uses what is the gateway's.
const OF_GATEWAY: [&str; 9] = [
    "aws_",
    "azure_",
    "vertex_",
    "gcs_",
    "client_id",
    "client_secret",
    "tenant_id",
    "litellm_credential_name",
    "configurable_clientside_auth_params",
];
/// How a text begins that stands for something of the gateway's.
const REFERENCES: [&str; 2] = ["os.environ/", "oidc/"];
/// Members of `model_info` that say who may use a model.
const INFO_OF_ADMINS: [&str; 2] = ["access_groups", "access_windows"];

fn forbidden(message: String, param: &str) -> Refusal {
    refusal::of_admin(StatusCode::FORBIDDEN, AUTH_ERROR, message).param(param)
}

/// Whether one who manages a team may write these parameters; all that the model has, after the change.
///
/// # Errors
/// What only proxy admins write.
pub(super) fn check_written(
    manager: &Manager<'_>,
    (params, info, body): (&Record, &Record, &Record),
) -> Result<(), Refusal> {
    let Manager::OfTeams(..) = manager else { return Ok(()) };
    let is_of_gateway = |name: &&String| OF_GATEWAY.iter().any(|begin| name.starts_with(begin));
    if let Some(name) = params.keys().find(is_of_gateway) {
        let message = format!("only proxy admins set `{name}`: it uses what is the gateway's");
        return Err(forbidden(message, "litellm_params"));
    }
    if params.values().chain(info.values()).any(refers) {
        let message =
            "only proxy admins refer to the environment of the gateway; write the value itself";
        return Err(forbidden(message.to_owned(), "litellm_params"));
    }
    let key = params.get("api_key").and_then(Value::as_str).unwrap_or_default();
    if key.trim().is_empty() {
        let message = "write the team's own `api_key`: only models of proxy admins use the keys of the gateway's environment";
        return Err(forbidden(message.to_owned(), "api_key"));
    }
    if let Some(name) = INFO_OF_ADMINS.iter().find(|name| info.contains_key(**name)) {
        let message = format!("only proxy admins set `{name}` of a model");
        return Err(forbidden(message, "model_info"));
    }
    if body.contains_key("blocked") {
        let message = "Only proxy admins can set a model's blocked flag.";
        return Err(forbidden(message.to_owned(), "blocked"));
    }
    Ok(())
}

/// Whether one who manages a team may give a model of it that name and id: the team may then use what has the name, so it must lead
/// nowhere else, now or as a pattern.
///
/// # Errors
/// What only proxy admins choose.
pub(super) fn check_names(
    manager: &Manager<'_>,
    snapshot: &Snapshot,
    (name, info): (&str, &Record),
) -> Result<(), Refusal> {
    let Manager::OfTeams(..) = manager else { return Ok(()) };
    if info.contains_key("id") {
        let message = "only proxy admins choose `model_info.id`: an id leads to its model by any client's name";
        return Err(forbidden(message.to_owned(), "model_info"));
    }
    let is_reserved = [ALL_PROXY_MODELS, ALL_TEAM_MODELS, NO_DEFAULT_MODELS].contains(&name);
    let is_label = || {
        let labels = snapshot.deployments.iter().flat_map(|one| &one.routing.access_groups);
        labels.into_iter().any(|label| **label == *name)
    };
    if is_reserved || name.contains('*') || route::find(snapshot, name).is_some() || is_label() {
        let message = format!(
            "'{name}' leads to models of the gateway, or stands for several: choose another name for the team's model"
        );
        return Err(forbidden(message, "model_name"));
    }
    Ok(())
}

/// Whether a model of a team keeps its name: its team could use what has the old one later.
///
/// # Errors
/// One who manages a team gives it another.
pub(super) fn check_renamed(
    manager: &Manager<'_>,
    (before, info): (&Record, &Record),
) -> Result<(), Refusal> {
    let Manager::OfTeams(..) = manager else { return Ok(()) };
    let public = |info: &Record| Row(info).text("team_public_model_name").map(str::to_owned);
    if public(&crate::stored::members(before.get("model_info"))) == public(info) {
        return Ok(());
    }
    let message = "a model of a team keeps its name: delete it and make it again";
    Err(forbidden(message.to_owned(), "model_name"))
}

/// Whether a value, or a part of it, stands for something of the gateway's.
fn refers(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let text = text.trim_start();
            REFERENCES.iter().any(|begin| text.starts_with(begin)) || text.contains("os.environ/")
        }
        Value::Array(items) => items.iter().any(refers),
        Value::Object(members) => members.values().any(refers),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The change by which a team may use a model of that name, if it may not yet.
pub(super) fn allowed(team: &Record, public: &str) -> Option<Change> {
    let mut models = Row(team).list("models");
    // Without names it may use all.
    if models.is_empty() || models.iter().any(|one| **one == *public) {
        return None;
    }
    models.push(public.into());
    Some(update(team, &models))
}

/// The change by which a team loses a name that leads nowhere any more. The last name stays: without names a team may use all.
///
/// # Errors
/// The database failed.
pub(super) async fn forgotten(
    store: &Store,
    (team, public, model): (&str, &str, &str),
) -> Result<Option<Change>, Refusal> {
    let Some(found) = row(store, TenantTable::Teams, ("team_id", team)).await? else {
        return Ok(None);
    };
    let find = Find {
        limit: crate::stored::MODELS_MAX,
        without: &["litellm_params"],
        ..Find::all(TenantTable::Models)
    };
    let others = store.find(&find).await.map_err(|error| failed(&error))?;
    let is_other = |one: &Record| {
        let info = crate::stored::members(one.get("model_info"));
        let is = |name: &str, text: &str| info.get(name).and_then(Value::as_str) == Some(text);
        Row(one).text("model_id") != Some(model)
            && is("team_id", team)
            && is("team_public_model_name", public)
    };
    let mut models = Row(&found).list("models");
    if others.iter().any(is_other) || models.len() < 2 || !models.iter().any(|one| **one == *public)
    {
        return Ok(None);
    }
    models.retain(|one| **one != *public);
    Ok(Some(update(&found, &models)))
}

fn update(team: &Record, models: &[Box<str>]) -> Change {
    let id = Row(team).text("team_id").unwrap_or_default();
    let row = Record::from_iter([("models".to_owned(), json!(models))]);
    Change::Update { table: TenantTable::Teams, key: vec![("team_id", id.into())], row }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_found_at_any_depth() {
        for value in [
            json!("os.environ/KEY"),
            json!(" os.environ/KEY"),
            json!("Bearer os.environ/KEY"),
            json!("oidc/env/TOKEN"),
            json!({"Authorization": ["x", {"y": "os.environ/KEY"}]}),
        ] {
            assert!(refers(&value), "{value}");
        }
        for value in [json!("sk-1"), json!(7), json!({"a": ["b"]}), json!(null)] {
            assert!(!refers(&value), "{value}");
        }
    }
}
