//! `GET /key/info` and `GET /key/list`.
//!
//! Always true: no page shows a key; a client that is no admin sees its own keys alone.

use hale_core::tenancy::{KeyHash, Record, Row, Subject, SubjectKind};
use hale_store::{Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::clock;
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};
use crate::pages::admin::{NOT_FOUND, failed, is_own, page, row_of, shown, store};
use crate::pages::managers::manager;
use crate::pages::{PageRequest, Waiting};

/// Keys of one page at most.
const SIZE_MAX: u32 = 100;
/// Parameters that choose keys, and their columns.
const CHOSEN_BY: [(&str, &str); 5] = [
    ("user_id", "user_id"),
    ("team_id", "team_id"),
    ("organization_id", "organization_id"),
    ("key_alias", "key_alias"),
    ("key_hash", "token"),
];

/// `GET /key/info?key=`: the key that is named, else the client's own.
pub(crate) fn info(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let named = request.parameter("key").filter(|key| !key.is_empty());
        let principal = &request.arrival.principal;
        if matches!(principal, Principal::Anyone) {
            // The pages about keys are an operator's where there is no key to be known by.
            return Err(refusal::no_admin());
        }
        let (written, hash) = match (&named, principal) {
            (Some(key), _) => (key.clone(), KeyHash::named(key)),
            (None, Principal::Key(access)) => ((&*access.identity.key).into(), access.hash),
            (None, Principal::Operator | Principal::Anyone) => {
                return Err(refusal::missing_parameter("/key/info", "key"));
            }
        };
        let store = store(&request)?;
        let row = row_of(store, hash).await?;
        // A key of another client is as one that is not there.
        let row = match row {
            Some(row) if principal.sees(|access| is_own(access, Row(&row))) => Some(row),
            Some(row) => match manager(&request) {
                Ok(manager) => manager.check_key(&request, store, Ok(row)).await.ok(),
                Err(_) => None,
            },
            None => None,
        };
        let Some(row) = row else {
            let message = "Key not found in database".to_owned();
            return Err(refusal::of_admin(StatusCode::NOT_FOUND, NOT_FOUND, message).param("key"));
        };
        let mut info = shown(TenantTable::Keys, &row);
        if let Some(account) =
            row_token(&row).and_then(|token| request.arrival.worker.process.keys.account_of(&token))
        {
            let spent = Row(&row).money("spend").unwrap_or_default().plus(account.unsaved());
            info.insert("spend".to_owned(), json!(spent.usd()));
        }
        info.remove("token");
        let has_ended = Row(&row).time("expires").is_some_and(|ends| ends.0 <= clock::unix_ms());
        info.insert("status".to_owned(), json!(if has_ended { "expired" } else { "active" }));
        info.insert("litellm_budget_table".to_owned(), budget_of(store, &row).await?);
        Ok(page(&json!({"key": written, "info": info})))
    })
}

/// The key of a row, as its account is known.
fn row_token(row: &Record) -> Option<Subject> {
    Row(row).text("token").map(|token| Subject::new(SubjectKind::Key, token))
}

/// The budget that a key names.
async fn budget_of(store: &Store, row: &Record) -> Result<Value, Refusal> {
    let Some(id) = Row(row).text("budget_id") else { return Ok(Value::Null) };
    let find = Find::with(TenantTable::Budgets, "budget_id", vec![id.into()]);
    let found = store.find(&find).await.map_err(|error| failed(&error))?;
    Ok(found.into_iter().next().map_or(Value::Null, Value::Object))
}

/// Whether the keys that are wanted are those of a team which the client manages.
async fn is_of_own_team(request: &PageRequest<'_>, find: &Find) -> Result<bool, Refusal> {
    let teams = find.with.iter().find(|(column, _)| *column == "team_id");
    let Some([team]) = teams.map(|(_, teams)| &teams[..]) else { return Ok(false) };
    let Ok(manager) = manager(request) else { return Ok(false) };
    Ok(manager.check_team(request, store(request)?, Some(team)).await.is_ok())
}

/// `GET /key/list`.
pub(crate) fn list(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let number = |name: &str, default: u32, most: u32| match request.parameter(name) {
            None => Ok(default),
            Some(text) => {
                let number = text.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| {
                    let message = format!("`{name}` must be a whole number from 1 to {most}");
                    let status = StatusCode::UNPROCESSABLE_ENTITY;
                    refusal::of_admin(status, "invalid_request_error", message).param(name)
                })
            }
        };
        let (at, size) = (number("page", 1, 1_000_000)?, number("size", 10, SIZE_MAX)?);
        let mut find = Find {
            sorted_by: Some("created_at"),
            limit: size,
            skip: (at - 1).saturating_mul(size),
            ..Find::all(TenantTable::Keys)
        };
        for (parameter, column) in CHOSEN_BY {
            if let Some(value) = request.parameter(parameter).filter(|value| !value.is_empty()) {
                find.with.push((column, vec![value]));
            }
        }
        match &request.arrival.principal {
            Principal::Operator => {}
            Principal::Anyone => return Err(refusal::no_admin()),
            Principal::Key(access) if access.role.sees_all() => {}
            // An admin of a team sees all of its keys.
            Principal::Key(_) if is_of_own_team(&request, &find).await? => {}
            Principal::Key(access) => {
                let identity = &access.identity;
                match &identity.user {
                    Some(user) => find.with.push(("user_id", vec![(&**user).into()])),
                    None => find.with.push(("token", vec![(&*identity.key).into()])),
                }
                // The same as of one key: `is_own`.
                let team = identity.team.as_ref().filter(|_| identity.user.is_some());
                find.with.extend(team.map(|team| ("team_id", vec![(&**team).into()])));
            }
        }
        let store = store(&request)?;
        let (rows, count) = tokio::join!(store.find(&find), store.count_found(&find));
        let rows = rows.map_err(|error| failed(&error))?;
        let count = count.map_err(|error| failed(&error))?;
        let is_full = request.parameter("return_full_object").is_some_and(|it| &*it == "true");
        let keys: Vec<Value> = match is_full {
            true => rows.iter().map(|row| Value::Object(shown(TenantTable::Keys, row))).collect(),
            false => rows.iter().map(|row| row.get("token").cloned().unwrap_or_default()).collect(),
        };
        Ok(page(&json!({
            "keys": keys, "total_count": count, "current_page": at, "total_pages": count.div_ceil(size.into()),
        })))
    })
}
