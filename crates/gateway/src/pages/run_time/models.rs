//! `/model/new`, `/model/update`, `/model/{id}/update` and `/model/delete`, in the reference's shapes.
//!
//! Called by the router. Always true: admins change every model of the store, admins of a team those of their team; a model of the
//! config is never changed; what cannot be read as a deployment is refused before it is written.

use std::collections::HashSet;

use hale_core::config::{Stored, StoredModel};
use hale_core::deployment::Source;
use hale_core::tenancy::{Record, Row};
use hale_store::{Change, Changed, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::teams::{allowed, check_names, check_renamed, check_written, forgotten};
use super::{
    AUTH_ERROR, STOPS, check_name, check_on, check_size, in_force, object, problems_of, row,
    salt_of,
};
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::http::reply::Reply;
use crate::pages::admin::{
    Audited, Body, actor, bad, body, make, new_id, page, shown, store, turn,
};
use crate::pages::managers::{Manager, manager};
use crate::pages::{PageRequest, Waiting};
use crate::stored::{Salt, members, model, opened, sealed};

/// Which of the two pages changes a model.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    /// `POST /model/update`: null leaves a member as it is.
    Update,
    /// `PATCH /model/{id}/update`: null takes a member away.
    Patch,
}

/// `POST /model/new`.
pub(crate) fn new(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        check_on(&request)?;
        let salt = salt_of(&request)?;
        let name = Row(&body).text("model_name").unwrap_or_default();
        check_name("model_name", name)?;
        let mut params = object(&body, "litellm_params")?.cloned().unwrap_or_default();
        params.retain(|_, value| !value.is_null());
        let mut info = object(&body, "model_info")?.cloned().unwrap_or_default();
        info.retain(|_, value| !value.is_null());
        if params.get("model").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(bad("`litellm_params.model` is missing".to_owned()).param("litellm_params"));
        }
        let manager = manager(&request)?;
        let team = team_of(&request, store, (&manager, &info)).await?;
        check_written(&manager, (&params, &info, &body))?;
        check_names(&manager, &request.arrival.serving.snapshot, (name, &info))?;
        let id = id_of(&request, &info)?;
        let mut changes = Vec::new();
        let mut stored_name = name.to_owned();
        if let Some(team) = &team {
            stored_name = format!(
                "model_name_{}_{}",
                Row(team).text("team_id").unwrap_or_default(),
                new_id()
            );
            info.insert("team_public_model_name".to_owned(), json!(name));
            changes.extend(allowed(team, name));
        }
        info.insert("id".to_owned(), json!(id));
        let row = new_row(&request, (&id, &stored_name), (&params, &info, &body), &salt);
        check_size(&row)?;
        attempt(&request, (&row, &salt), None).await?;
        changes.insert(0, Change::Insert { table: TenantTable::Models, row: row.clone() });
        let audited = Audited {
            table: TenantTable::Models,
            action: "created",
            object: &id,
            before: None,
            after: Some(&row),
        };
        match make(&request, changes, &[audited]).await? {
            Changed::Done(_) => {}
            Changed::Exists(_) | Changed::Before => return Err(taken(&id)),
        }
        answer(&request, store, row).await
    })
}

/// `POST /model/update`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let named = object(&body, "model_info")?.and_then(|info| Row(info).text("id"));
        let Some(id) = named.or_else(|| Row(&body).text("model_id")).map(str::to_owned) else {
            return Err(bad("name the model in `model_info.id`".to_owned()).param("model_info"));
        };
        change(&request, &id, (body, Page::Update)).await
    })
}

/// `PATCH /model/{id}/update`.
pub(crate) fn patch(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let id = request.name.unwrap_or_default();
        change(&request, id, (body, Page::Patch)).await
    })
}

/// `POST /model/delete`.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        check_on(&request)?;
        let Some(id) = Row(&body).text("id") else {
            return Err(bad("name the model in `id`".to_owned()).param("id"));
        };
        let manager = manager(&request)?;
        let before = own_row(&request, store, (&manager, id)).await?;
        let before = before.ok_or_else(|| missing(&request, (id, "delete")))?;
        let key = vec![("model_id", id.into())];
        let mut changes = vec![Change::Delete { table: TenantTable::Models, key }];
        let info = members(before.get("model_info"));
        let texts = (Row(&info).text("team_id"), Row(&info).text("team_public_model_name"));
        if let (Some(team), Some(public)) = texts {
            changes.extend(forgotten(store, (team, public, id)).await?);
        }
        let audited = Audited {
            table: TenantTable::Models,
            action: "deleted",
            object: id,
            before: Some(&before),
            after: None,
        };
        make(&request, changes, &[audited]).await?;
        request.arrival.worker.process.keys.all_changed();
        let mut said = json!({"message": format!("Model: {id} deleted successfully")});
        if let Some(why) = in_force(&request, store).await {
            said["warning"] = not_in_force(&why).into();
        }
        Ok(page(&said))
    })
}

/// Changes a model of the store.
async fn change(
    request: &PageRequest<'_>,
    id: &str,
    (body, which): (Body, Page),
) -> Result<http::Response<Reply>, Refusal> {
    let _turn = turn(request).await;
    let store = store(request)?;
    check_on(request)?;
    let salt = salt_of(request)?;
    let manager = manager(request)?;
    let before = own_row(request, store, (&manager, id)).await?;
    let before = before.ok_or_else(|| missing(request, (id, "edit")))?;
    let set = columns(request, (&before, &body, which), &salt)?;
    let mut after = before.clone();
    after.extend(set.clone());
    check_size(&after)?;
    let params = opened(&members(after.get("litellm_params")), Some(&salt)).map_err(|name| {
        let message = format!("`{name}` cannot be decrypted; write it again, or set LITELLM_SALT_KEY to the key with which it was written");
        bad(message).param("litellm_params")
    })?;
    let given = members(after.get("model_info"));
    check_written(&manager, (&params, &given, &body))?;
    check_renamed(&manager, (&before, &given))?;
    attempt(request, (&after, &salt), Some(id)).await?;
    let key = vec![("model_id", id.into())];
    let mut changes = vec![Change::Update { table: TenantTable::Models, key, row: set.clone() }];
    if let (Some(team), Some(public)) =
        (Row(&given).text("team_id"), Row(&given).text("team_public_model_name"))
        && let Some(team) = row(store, TenantTable::Teams, ("team_id", team)).await?
    {
        changes.extend(allowed(&team, public));
    }
    let audited = Audited {
        table: TenantTable::Models,
        action: "updated",
        object: id,
        before: Some(&before),
        after: Some(&set),
    };
    make(request, changes, &[audited]).await?;
    answer(request, store, after).await
}

/// What a body sets of a row.
fn columns(
    request: &PageRequest<'_>,
    (before, body, which): (&Record, &Record, Page),
    salt: &Salt,
) -> Result<Record, Refusal> {
    let mut written = members(before.get("litellm_params"));
    let mut info = members(before.get("model_info"));
    let is_of_team = Row(&info).has("team_id");
    merge(&mut written, (object(body, "litellm_params")?, which), |value| match value {
        Value::String(text) => Value::String(salt.seal(text)),
        other => other.clone(),
    });
    let mut own = object(body, "model_info")?.cloned().unwrap_or_default();
    let moved = own.get("team_id").filter(|team| !team.is_null());
    if moved.is_some_and(|team| info.get("team_id") != Some(team)) {
        let message = "a model stays with its team, or without one: delete it and make it again";
        return Err(bad(message.to_owned()).param("team_id"));
    }
    own.retain(|name, _| {
        !matches!(name.as_str(), "id" | "team_id" | "db_model" | "team_public_model_name")
    });
    merge(&mut info, (Some(&own), which), Value::clone);
    let mut set = Record::from_iter([
        ("litellm_params".to_owned(), Value::Object(written)),
        ("model_info".to_owned(), Value::Object(info)),
        ("updated_at".to_owned(), json!(clock::unix_ms())),
        ("updated_by".to_owned(), json!(actor(request).0)),
    ]);
    if let Some(name) = body.get("model_name").filter(|name| !name.is_null()) {
        let name = name.as_str().unwrap_or_default();
        check_name("model_name", name)?;
        // What a team calls its model is its public name; the row has one that no client writes.
        match is_of_team {
            true if Row(before).text("model_name") != Some(name) => {
                let info = set.get_mut("model_info").and_then(Value::as_object_mut);
                info.map(|info| info.insert("team_public_model_name".to_owned(), json!(name)));
            }
            true => {}
            false => drop(set.insert("model_name".to_owned(), json!(name))),
        }
    }
    if let Some(blocked) = body.get("blocked").and_then(Value::as_bool) {
        set.insert("blocked".to_owned(), json!(blocked));
    }
    Ok(set)
}

/// Puts members of a body over those of a row.
fn merge(
    members: &mut Record,
    (given, which): (Option<&Record>, Page),
    written: impl Fn(&Value) -> Value,
) {
    for (name, value) in given.into_iter().flatten() {
        match (value, which) {
            (Value::Null, Page::Patch) => drop(members.remove(name)),
            (Value::Null, Page::Update) => {}
            (value, _) => drop(members.insert(name.clone(), written(value))),
        }
    }
}

/// The id that a body names, else a new one.
fn id_of(request: &PageRequest<'_>, info: &Record) -> Result<String, Refusal> {
    let Some(given) = info.get("id") else { return Ok(new_id()) };
    let id = given.as_str().unwrap_or_default();
    let is_fit = |c: char| c.is_ascii_graphic();
    if id.is_empty() || id.len() > 256 || !id.chars().all(is_fit) {
        let message =
            "`model_info.id` goes into headers: write at most 256 visible ASCII characters";
        return Err(bad(message.to_owned()).param("model_info"));
    }
    match request.arrival.serving.snapshot.by_id.contains_key(id) {
        true => Err(taken(id)),
        false => Ok(id.to_owned()),
    }
}

fn taken(id: &str) -> Refusal {
    let message = format!(
        "a model with id={id} exists already; name another `model_info.id`, or leave it out"
    );
    bad(message).param("model_info")
}

/// The team that a new model is for, which its client must manage; none if it is for all.
async fn team_of(
    request: &PageRequest<'_>,
    store: &Store,
    (manager, info): (&Manager<'_>, &Record),
) -> Result<Option<Record>, Refusal> {
    let named = Row(info).text("team_id");
    manager.check_team(request, store, named).await?;
    let Some(id) = named else { return Ok(None) };
    match row(store, TenantTable::Teams, ("team_id", id)).await? {
        Some(team) => Ok(Some(team)),
        None => Err(bad(format!("Team id={id} does not exist in db")).param("team_id")),
    }
}

/// The row of a model that the client may change. One that it may not is as one that is not there, to it.
async fn own_row(
    request: &PageRequest<'_>,
    store: &Store,
    (manager, id): (&Manager<'_>, &str),
) -> Result<Option<Record>, Refusal> {
    let found = row(store, TenantTable::Models, ("model_id", id)).await?;
    let info = found.as_ref().map(|row| members(row.get("model_info"))).unwrap_or_default();
    manager.check_team(request, store, Row(&info).text("team_id")).await?;
    Ok(found)
}

/// There is no such model in the store.
fn missing(request: &PageRequest<'_>, (id, what): (&str, &str)) -> Refusal {
    let snapshot = &request.arrival.serving.snapshot;
    let known = snapshot.by_id.get(id).map(|index| snapshot.deployment(*index));
    let in_config = known.filter(|one| one.display.source == Source::Config);
    let message = match in_config {
        Some(deployment) => format!(
            "Can't {what} model. Model in config ({}). Change it there, or store model in db via `/model/new`.",
            deployment.display.declared_at
        ),
        None => format!("Model with id={id} not found in db"),
    };
    refusal::of_admin(StatusCode::BAD_REQUEST, AUTH_ERROR, message).param("id")
}

fn new_row(
    request: &PageRequest<'_>,
    (id, name): (&str, &str),
    (params, info, body): (&Record, &Record, &Record),
    salt: &Salt,
) -> Record {
    let (by, now) = (actor(request).0, clock::unix_ms());
    let is_blocked = body.get("blocked").and_then(Value::as_bool).unwrap_or(false);
    Record::from_iter([
        ("model_id".to_owned(), json!(id)),
        ("model_name".to_owned(), json!(name)),
        ("litellm_params".to_owned(), Value::Object(sealed(params, salt))),
        ("model_info".to_owned(), Value::Object(info.clone())),
        ("blocked".to_owned(), json!(is_blocked)),
        ("created_at".to_owned(), json!(now)),
        ("created_by".to_owned(), json!(by)),
        ("updated_at".to_owned(), json!(now)),
        ("updated_by".to_owned(), json!(by)),
    ])
}

/// Loads the config as it would be with that row, in place of the one with the id `before`.
///
/// # Errors
/// Why it would be no deployment, or one that cannot serve because of what it says.
async fn attempt(
    request: &PageRequest<'_>,
    (row, salt): (&Record, &Salt),
    before: Option<&str>,
) -> Result<(), Refusal> {
    let Some(new) = model(row, Some(salt), &HashSet::new()) else { return Ok(()) };
    let file = Stored::file_of_model(&new.id);
    let run_time = &request.arrival.worker.process.run_time;
    let mut stored = Stored::clone(&run_time.stored());
    stored.models.retain(|one: &StoredModel| Some(&*one.id) != before);
    stored.models.push(new);
    let problems = run_time.attempt(stored).await;
    let stops: Vec<_> = problems.into_iter().filter(|one| one.problem.ends_with(STOPS)).collect();
    match problems_of(&stops, &file).next() {
        Some(why) => Err(bad(why).param("litellm_params")),
        None => Ok(()),
    }
}

/// The answer to a change: the row, its parameters as `/model/info` shows them.
async fn answer(
    request: &PageRequest<'_>,
    store: &Store,
    row: Record,
) -> Result<http::Response<Reply>, Refusal> {
    request.arrival.worker.process.keys.all_changed();
    let refused = in_force(request, store).await;
    let serving = request.arrival.worker.process.serving();
    let id = Row(&row).text("model_id").unwrap_or_default();
    let deployment = serving.snapshot.by_id.get(id).map(|at| serving.snapshot.deployment(*at));
    let params = deployment.and_then(|one| serde_json::from_str(&one.display.public_params).ok());
    let mut said = shown(TenantTable::Models, &row);
    said.insert("litellm_params".to_owned(), params.unwrap_or_else(|| json!({})));
    if let Some(why) = deployment.and_then(|one| one.misconfigured.as_ref()) {
        said.insert("misconfigured".to_owned(), json!(why.problem));
    }
    if let Some(why) = refused {
        said.insert("warning".to_owned(), not_in_force(&why).into());
    }
    Ok(page(&Value::Object(said)))
}

fn not_in_force(why: &str) -> String {
    format!("written, and not in force yet: {why}")
}
