//! What changes keys: `/key/generate`, `/key/update`, `/key/delete`, `/key/block` and `/key/unblock`.
//!
//! Always true: only admins, and admins of the key's team, change anything; a client that may not learns nothing of what is there, and
//! nothing is read or written for it besides; a change that fails has changed nothing.

use hale_core::tenancy::key_text::{check_custom, masked, new_key};
use hale_core::tenancy::load::counted_as;
use hale_core::tenancy::making::NotMade;
use hale_core::tenancy::{KeyHash, Record, Row, Subject, SubjectKind};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::fields::Fields;
use super::{budgets, fields};
use crate::clock;
use crate::http::refusal::{self, Refusal};
use crate::pages::admin::{
    Audited, BAD_REQUEST, INTERNAL, NOT_FOUND, actor, archived, bad, body, failed, make, page,
    random, row_of, settle_spend, shown, store, turn, without_counters,
};
use crate::pages::managers::{Makes, manager};
use crate::pages::{PageRequest, Waiting};

/// Keys of one deletion: their rows, archive and audit log are one transaction.
const DELETED_MAX: usize = 1_000;

/// `POST /key/generate`.
pub(crate) fn generate(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let mut body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let team = Row(&body).text("team_id");
        let manager = manager(&request)?;
        let store = store(&request)?;
        let of_user = manager.check_body(&request, store, (&body, team, Makes::Key)).await?;
        let rules = &request.arrival.serving.snapshot.gateway.making;
        rules.check_maker(manager.maker(store, team).await?, &body).map_err(not_made)?;
        body.extend(of_user.map(|user| ("user_id".to_owned(), json!(user))));
        let (key, row) = create(&request, &completed(&request, &body)?).await?;
        let mut answer = shown(TenantTable::Keys, &row);
        let nothing =
            ["expires", "user_id", "team_id", "max_budget", "key_alias", "budget_duration"];
        for name in nothing {
            answer.entry(name).or_insert(Value::Null);
        }
        answer.insert("key".to_owned(), json!(key));
        answer.insert("token_id".to_owned(), row["token"].clone());
        answer.insert("litellm_budget_table".to_owned(), Value::Null);
        answer
            .insert("soft_budget".to_owned(), body.get("soft_budget").cloned().unwrap_or_default());
        Ok(page(&Value::Object(answer)))
    })
}

/// What the config says of keys refuses one.
fn not_made(why: NotMade) -> Refusal {
    bad(why.message).param(&why.field)
}

/// The body of a change within the limits of the config.
pub(super) fn bounded(request: &PageRequest<'_>, body: &mut Record) -> Result<(), Refusal> {
    let rules = &request.arrival.serving.snapshot.gateway.making;
    rules.complete_change(body).map_err(not_made)
}

/// The body of a new key that someone asks for, with the defaults and within the limits of the config.
///
/// # Errors
/// The config refuses such a key.
pub(crate) fn completed(request: &PageRequest<'_>, body: &Record) -> Result<Record, Refusal> {
    let mut body = body.clone();
    request.arrival.serving.snapshot.gateway.making.complete(&mut body).map_err(not_made)?;
    Ok(body)
}

/// Makes a key with the fields of `body`: its text and its row.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn create(
    request: &PageRequest<'_>,
    body: &Record,
) -> Result<(String, Record), Refusal> {
    let store = store(request)?;
    let mut row = fields::columns(body, None, &Fields::KEY)?;
    check_names(store, &row, None).await?;
    let key = match Row(body).text("key") {
        Some(chosen) => {
            check_chosen(store, chosen, "key").await?;
            chosen.to_owned()
        }
        None => {
            let mut bytes = [0; 16];
            random(&mut bytes);
            new_key(bytes)
        }
    };
    let hash = KeyHash::of(&key);
    let (by, now) = (actor(request).0, clock::unix_ms());
    let Value::Object(made) = json!({
        "token": hash.to_string(), "key_name": masked(&key), "created_at": now, "created_by": by, "updated_at": now,
        "updated_by": by,
    }) else {
        return Err(refusal::own_fault());
    };
    row.extend(made);
    row.entry("models").or_insert_with(|| json!([]));
    row.entry("spend").or_insert_with(|| json!(0.0));
    let soft = budgets::soft(request, body, (None, &mut row)).await?;
    let added = Change::Insert { table: TenantTable::Keys, row: row.clone() };
    let object = hash.to_string();
    let audited = Audited {
        table: TenantTable::Keys,
        action: "created",
        object: &object,
        before: None,
        after: Some(&row),
    };
    match make(request, soft.into_iter().chain([added]).collect(), &[audited]).await? {
        Changed::Done(_) => {}
        Changed::Exists(_) | Changed::Before => return Err(exists("key")),
    }
    request.arrival.worker.process.keys.added(hash);
    Ok((key, row))
}

/// The text of a key is there already, or was before that key got another one.
fn exists(field: &str) -> Refusal {
    let message = format!("Key already exists; choose another value, or leave `{field}` out");
    refusal::of_admin(StatusCode::CONFLICT, BAD_REQUEST, message).param(field)
}

/// The text that a client chose for a key, in that field, can be one, and no other key has or had it.
pub(super) async fn check_chosen(store: &Store, chosen: &str, field: &str) -> Result<(), Refusal> {
    check_custom(chosen).map_err(|fault| bad(fault).param(field))?;
    let hash: Box<str> = KeyHash::of(chosen).to_string().into();
    for table in [TenantTable::Keys, TenantTable::DeprecatedKeys] {
        let find = Find::with(table, "token", vec![hash.clone()]);
        if !store.find(&find).await.map_err(|error| failed(&error))?.is_empty() {
            return Err(exists(field));
        }
    }
    Ok(())
}

/// The alias is not another key's, and what the key would belong to is there.
pub(super) async fn check_names(
    store: &Store,
    row: &Record,
    own: Option<&str>,
) -> Result<(), Refusal> {
    let find = async |table, column, text: &str| {
        let find = Find::with(table, column, vec![text.into()]);
        store.find(&find).await.map_err(|error| failed(&error))
    };
    let row = Row(row);
    if let Some(alias) = row.text("key_alias") {
        let found = find(TenantTable::Keys, "key_alias", alias).await?;
        if found.iter().any(|other| Row(other).text("token") != own) {
            let message = format!(
                "Key with alias '{alias}' already exists. Unique key aliases across all keys are required."
            );
            return Err(bad(message).param("key_alias"));
        }
    }
    let owners = [
        ("team_id", TenantTable::Teams, "Team"),
        ("organization_id", TenantTable::Organizations, "Organization"),
        ("budget_id", TenantTable::Budgets, "Budget"),
    ];
    for (column, table, what) in owners {
        let Some(id) = row.text(column) else { continue };
        if find(table, column, id).await?.is_empty() {
            return Err(bad(format!("{what} not found for {column}={id}")).param(column));
        }
    }
    Ok(())
}

/// The row of the key that the body names by its text, its hash or its alias.
async fn named(store: &Store, body: &Record) -> Result<Record, Refusal> {
    let found = match (Row(body).text("key"), Row(body).text("key_alias")) {
        (Some(key), _) => row_of(store, KeyHash::named(key)).await?,
        (None, Some(alias)) => {
            let find = Find::with(TenantTable::Keys, "key_alias", vec![alias.into()]);
            store.find(&find).await.map_err(|error| failed(&error))?.pop()
        }
        (None, None) => return Err(bad("name the key in `key`".to_owned()).param("key")),
    };
    found.ok_or_else(|| {
        refusal::of_admin(StatusCode::NOT_FOUND, NOT_FOUND, "Key not found.".to_owned())
            .param("key")
    })
}

/// Sets columns of a key; its row afterwards.
async fn set(
    request: &PageRequest<'_>,
    before: &Record,
    (columns, action): (Record, &'static str),
    besides: Option<Change>,
) -> Result<Record, Refusal> {
    let token = Row(before).text("token").unwrap_or_default().to_owned();
    let (by, now) = (actor(request).0, clock::unix_ms());
    let mut set = columns.clone();
    set.insert("updated_at".to_owned(), json!(now));
    set.insert("updated_by".to_owned(), json!(by));
    let key = vec![("token", token.as_str().into())];
    let change = Change::Update { table: TenantTable::Keys, key, row: set.clone() };
    let audited = Audited {
        table: TenantTable::Keys,
        action,
        object: &token,
        before: Some(before),
        after: Some(&columns),
    };
    make(request, besides.into_iter().chain([change]).collect(), &[audited]).await?;
    let keys = &request.arrival.worker.process.keys;
    if let Some(hash) = KeyHash::parse(&token) {
        let subject = Subject::new(SubjectKind::Key, &token);
        if let Some(account) = keys.account_of(&subject) {
            let columns = Row(&columns);
            match columns.money("spend") {
                Some(spent) => {
                    let before = Row(before).time("budget_reset_at");
                    let begun = store(request)?.progress().begun;
                    account.set(spent, columns.time("budget_reset_at").or(before), begun);
                }
                None if columns.has("budget_reset_at") => {
                    account.set_ends(columns.time("budget_reset_at"));
                }
                None => {}
            }
        }
        keys.changed(hash);
    }
    let mut after = before.clone();
    after.extend(set);
    Ok(after)
}

/// `POST /key/update`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let mut body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let manager = manager(&request)?;
        let before = manager.check_key(&request, store, named(store, &body).await).await?;
        let team = Row(&before).text("team_id");
        manager.check_body(&request, store, (&body, team, Makes::Change)).await?;
        bounded(&request, &mut body)?;
        let mut columns = fields::columns(&body, Some(&before), &Fields::KEY)?;
        if Row(&body).text("key").is_none() {
            // It says which key.
            columns.remove("key_alias");
        }
        check_names(store, &columns, Row(&before).text("token")).await?;
        if columns.contains_key("spend") {
            // What was spent before is in the row before it is replaced.
            settle_spend(&request).await?;
        }
        let soft = budgets::soft(&request, &body, (Some(&before), &mut columns)).await?;
        let after = set(&request, &before, (columns, "updated"), soft).await?;
        let mut answer = shown(TenantTable::Keys, &after);
        let key = body.get("key").cloned();
        answer.insert("key".to_owned(), key.unwrap_or_else(|| after["token"].clone()));
        Ok(page(&Value::Object(answer)))
    })
}

/// `POST /key/block`.
pub(crate) fn block(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move { blocked(request, incoming, ("blocked", true)).await })
}

/// `POST /key/unblock`.
pub(crate) fn unblock(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move { blocked(request, incoming, ("unblocked", false)).await })
}

async fn blocked(
    request: PageRequest<'_>,
    incoming: Incoming,
    (action, is): (&'static str, bool),
) -> Result<http::Response<crate::http::reply::Reply>, Refusal> {
    let body = body(&request, incoming).await?;
    let _turn = turn(&request).await;
    if Row(&body).text("key").is_none() {
        return Err(bad("Invalid key format.".to_owned()).param("key"));
    }
    let store = store(&request)?;
    let manager = manager(&request)?;
    let before = manager.check_key(&request, store, named(store, &body).await).await?;
    let columns = Record::from_iter([("blocked".to_owned(), json!(is))]);
    let after = set(&request, &before, (columns, action), None).await?;
    Ok(page(&Value::Object(shown(TenantTable::Keys, &after))))
}

/// `POST /key/delete`.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let (keys, aliases) = (Row(&body).list("keys"), Row(&body).list("key_aliases"));
        let hashes = keys.iter().map(|key| KeyHash::named(key).to_string().into()).collect();
        let find = match (keys.is_empty(), aliases.is_empty()) {
            (true, true) => return Err(bad("name the keys in `keys` or `key_aliases`".to_owned())),
            (false, _) => Find::with(TenantTable::Keys, "token", hashes),
            (true, false) => Find::with(TenantTable::Keys, "key_alias", aliases.clone()),
        };
        let named = if keys.is_empty() { aliases } else { keys };
        if named.len() > DELETED_MAX {
            let message = format!("at most {DELETED_MAX} keys are deleted at once; name fewer");
            return Err(bad(message).param("keys"));
        }
        let find = Find { limit: u32::MAX, ..find };
        let find = async || store.find(&find).await.map_err(|error| failed(&error));
        let found = find().await?;
        let none = || {
            let message = "{'error': 'No keys found'}".to_owned();
            refusal::of_admin(StatusCode::NOT_FOUND, INTERNAL, message)
        };
        let manager = manager(&request)?;
        manager.check_keys(&request, store, (&named, &found)).await?;
        if found.is_empty() {
            return Err(none());
        }
        // The archive has what they spent to the end.
        request.arrival.worker.process.keys.write().await;
        remove(&request, &find().await?).await?;
        Ok(page(&json!({"deleted_keys": named})))
    })
}

/// Deletes keys: they stay in the archive, and are refused from now on.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn remove(request: &PageRequest<'_>, found: &[Record]) -> Result<(), Refusal> {
    let by = actor(request);
    let mut changes = Vec::new();
    let mut audited = Vec::new();
    for row in found {
        let token = Row(row).text("token").unwrap_or_default();
        let archived = archived(TenantTable::DeletedKeys, row, &by);
        changes.push(Change::Insert { table: TenantTable::DeletedKeys, row: archived });
        let key = vec![("token", token.into())];
        changes.push(Change::Delete { table: TenantTable::Keys, key });
        changes.push(without_counters("key", counted_as(Row(row), token)));
        let deleted = Audited {
            table: TenantTable::Keys,
            action: "deleted",
            object: token,
            before: Some(row),
            after: None,
        };
        audited.push(deleted);
    }
    make(request, changes, &audited).await?;
    let hashes = found.iter().filter_map(|row| KeyHash::parse(Row(row).text("token")?));
    request.arrival.worker.process.keys.all_removed(&hashes.collect::<Vec<_>>());
    Ok(())
}
