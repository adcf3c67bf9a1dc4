//! `POST /key/regenerate` and `/key/{key}/regenerate`: another text for the same key.
//!
//! Always true: only admins, and admins of the key's team, replace it, and nothing is done for a client that may not; alias, limits, spend and
//! owners stay; the key before works until its grace ends, and counts against the same row; a change that fails has changed nothing.

use hale_core::tenancy::duration::BudgetDuration;
use hale_core::tenancy::key_text::{masked, new_key};
use hale_core::tenancy::load::FORMER_KEYS;
use hale_core::tenancy::{KeyHash, Record, Row};
use hale_store::{Change, Changed, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::budgets;
use super::fields::{self, Fields};
use super::make::{bounded, check_chosen, check_names};
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::keys::Grace;
use crate::pages::admin::{
    Audited, BAD_REQUEST, NOT_FOUND, actor, archived, bad, body, make, new_id, page, random,
    row_of, settle_spend, shown, store, turn,
};
use crate::pages::managers::{Makes, manager};
use crate::pages::{PageRequest, Waiting};

/// Earlier hashes of a key that are kept in mind; what it made under older ones is for admins.
const FORMER_MAX: usize = 32;

/// `POST /key/regenerate`, `/key/{key}/regenerate`.
pub(crate) fn regenerate(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let manager = manager(&request)?;
        let store = store(&request)?;
        let (found, named) = match row(&request, &body).await {
            Ok((row, named)) => (Ok(row), named),
            Err(refusal) => (Err(refusal), String::new()),
        };
        let found = manager.check_key(&request, store, found).await?;
        let team = Row(&found).text("team_id");
        manager.check_body(&request, store, (&body, team, Makes::Change)).await?;
        // What it has spent is in its row before the row gets another name.
        settle_spend(&request).await?;
        let hash = Row(&found).text("token").and_then(KeyHash::parse);
        let hash = hash.ok_or_else(refusal::own_fault)?;
        let before = row_of(store, hash).await?.ok_or_else(|| not_found(hash))?;
        let (key, after) = replace(&request, &body, &before).await?;
        let mut answer = shown(TenantTable::Keys, &after);
        answer.insert("key".to_owned(), json!(key));
        answer.insert("token_id".to_owned(), after["token"].clone());
        for name in ["expires", "user_id", "team_id", "max_budget", "key_alias"] {
            answer.entry(name).or_insert(Value::Null);
        }
        tracing::info!(key = named, now = masked(&key), "a key was replaced");
        Ok(page(&Value::Object(answer)))
    })
}

/// The row of the key that path or body names, and its shown form.
async fn row(request: &PageRequest<'_>, body: &Record) -> Result<(Record, String), Refusal> {
    if Row(body).has("new_master_key") {
        let message = "`new_master_key` is not served: set the new key in the config".to_owned();
        return Err(bad(message).param("new_master_key"));
    }
    let of_body = Row(body).text("key");
    let Some(key) = request.name.or(of_body) else {
        return Err(bad("name the key in `key`, or in the path".to_owned()).param("key"));
    };
    if let Some(other) = of_body.filter(|other| KeyHash::named(other) != KeyHash::named(key)) {
        let message = format!("path and body name two keys, the body {}", masked(other));
        return Err(bad(message).param("key"));
    }
    let hash = KeyHash::named(key);
    let row = row_of(store(request)?, hash).await?.ok_or_else(|| not_found(hash))?;
    let shown = Row(&row).text("key_name").unwrap_or("sk-...").to_owned();
    Ok((row, shown))
}

fn not_found(hash: KeyHash) -> Refusal {
    let message = format!("Key {hash} not found.");
    refusal::of_admin(StatusCode::NOT_FOUND, NOT_FOUND, message).param("key")
}

/// How long the key before goes on working, milliseconds.
fn grace_ms(body: &Record) -> Result<u64, Refusal> {
    match body.get("grace_period") {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) if text.is_empty() || text == "0" => Ok(0),
        Some(Value::String(text)) => {
            let duration = BudgetDuration::parse("grace_period", text);
            let refuse = |message| bad(message).param("grace_period");
            Ok(duration.map_err(refuse)?.seconds().saturating_mul(1_000))
        }
        Some(_) => {
            let message = "`grace_period` must be a duration such as '24h'".to_owned();
            Err(bad(message).param("grace_period"))
        }
    }
}

async fn new_text(store: &Store, body: &Record) -> Result<String, Refusal> {
    let Some(chosen) = Row(body).text("new_key") else {
        let mut bytes = [0; 16];
        random(&mut bytes);
        return Ok(new_key(bytes));
    };
    check_chosen(store, chosen, "new_key").await?;
    Ok(chosen.to_owned())
}

/// The metadata of a key with one more hash that it had.
fn remembers(mut metadata: Record, hash: &str) -> Record {
    let mut former = Row(&metadata).list(FORMER_KEYS);
    former.push(hash.into());
    // The first one names it in the counters of its budgets.
    let older = former.len().saturating_sub(FORMER_MAX);
    former.drain(1..=older);
    metadata.insert(FORMER_KEYS.to_owned(), json!(former));
    metadata
}

async fn replace(
    request: &PageRequest<'_>,
    body: &Record,
    before: &Record,
) -> Result<(String, Record), Refusal> {
    let store = store(request)?;
    let grace_ms = grace_ms(body)?;
    let mut body = body.clone();
    bounded(request, &mut body)?;
    let body = &body;
    let mut columns = fields::columns(body, Some(before), &Fields::KEY)?;
    let soft = budgets::soft(request, body, (Some(before), &mut columns)).await?;
    let old = Row(before).text("token").unwrap_or_default();
    check_names(store, &columns, Some(old)).await?;
    let key = new_text(store, body).await?;
    let new = KeyHash::of(&key).to_string();
    let (by, now) = (actor(request), clock::unix_ms());
    let metadata = match columns.remove("metadata") {
        Some(Value::Object(metadata)) => metadata,
        _ => Row(before).object("metadata"),
    };
    let rotations = Row(before).count("rotation_count").unwrap_or(0) + 1;
    let made = json!({
        "token": new, "key_name": masked(&key), "updated_at": now, "updated_by": by.0, "last_rotation_at": now,
        "rotation_count": rotations, "metadata": remembers(metadata, old),
    });
    let Value::Object(made) = made else { return Err(refusal::own_fault()) };
    columns.extend(made);
    let pointer = json!({
        "id": new_id(), "token": old, "active_token_id": new, "revoke_at": now.saturating_add(grace_ms), "created_at": now,
    });
    let Value::Object(pointer) = pointer else { return Err(refusal::own_fault()) };
    let again = Record::from_iter([("active_token_id".to_owned(), json!(new))]);
    let changes = [
        Change::Insert {
            table: TenantTable::DeletedKeys,
            row: archived(TenantTable::DeletedKeys, before, &by),
        },
        Change::Update {
            table: TenantTable::Keys,
            key: vec![("token", old.into())],
            row: columns.clone(),
        },
        // Keys that this one had replaced go on with the new one.
        Change::Update {
            table: TenantTable::DeprecatedKeys,
            key: vec![("active_token_id", old.into())],
            row: again,
        },
        Change::Delete { table: TenantTable::DeprecatedKeys, key: vec![("token", old.into())] },
        // It says where to add what calls in flight spend, also without grace.
        Change::Insert { table: TenantTable::DeprecatedKeys, row: pointer },
    ];
    let changes: Vec<Change> = soft.into_iter().chain(changes).collect();
    let audited = Audited {
        table: TenantTable::Keys,
        action: "regenerated",
        object: old,
        before: Some(before),
        after: Some(&columns),
    };
    match make(request, changes, &[audited]).await? {
        Changed::Done(_) => {}
        Changed::Exists(_) | Changed::Before => {
            let message = "the key is being replaced by another request; read it again".to_owned();
            return Err(refusal::of_admin(StatusCode::CONFLICT, BAD_REQUEST, message));
        }
    }
    let grace = if grace_ms > 0 { Grace::Some } else { Grace::None };
    if let Some(old) = KeyHash::parse(old) {
        request.arrival.worker.process.keys.replaced(old, KeyHash::of(&key), grace);
    }
    let mut after = before.clone();
    after.extend(columns);
    Ok((key, after))
}
