//! The admin API of end users: `/customer/...` and `/end_user/...`, in the reference's shapes.
//!
//! Called by the router. Always true: only admins get here; what is changed counts for the next request of this process.

use std::collections::BTreeMap;

use hale_core::tenancy::{Record, Row, Subject, SubjectKind};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::admin::{
    Audited, actor, bad, body, failed, make, new_id, page, settle_spend, shown, store,
};
use super::keys::fields::{self, Fields};
use super::{PageRequest, Waiting};
use crate::clock;
use crate::http::refusal::{self, Refusal};

/// Columns of the budget of an end user of its own.
const OF_BUDGET: [&str; 8] = [
    "max_budget",
    "budget_duration",
    "budget_reset_at",
    "rpm_limit",
    "tpm_limit",
    "max_parallel_requests",
    "soft_budget",
    "model_max_budget",
];
/// Most ids of one request.
const IDS_MAX: usize = 1_000;

/// What is set of an end user: its own columns, and those of a budget of its own.
struct Set {
    own: Record,
    budget: Record,
}

fn set(body: &Record) -> Result<Set, Refusal> {
    let mut own = fields::columns(body, None, &Fields::END_USER)?;
    let budget: Record = OF_BUDGET.iter().filter_map(|name| own.remove_entry(*name)).collect();
    let is_given = |(_, value): (&String, &Value)| !value.is_null();
    if Row(&own).has("budget_id") && budget.iter().any(is_given) {
        let message = "set either `budget_id` or the limits of a budget of its own".to_owned();
        let kind = "invalid_request_error";
        let refusal = refusal::of_admin(StatusCode::UNPROCESSABLE_ENTITY, kind, message);
        return Err(refusal.param("budget_id"));
    }
    Ok(Set { own, budget })
}

fn not_found(id: &str) -> Refusal {
    let message = format!("End User Id={id} does not exist in db");
    refusal::of_admin(StatusCode::NOT_FOUND, "not_found", message).param("user_id")
}

fn id_of(body: &Record) -> Result<&str, Refusal> {
    let id = Row(body).text("user_id").filter(|id| id.len() <= 256);
    id.ok_or_else(|| {
        bad("name the end user in `user_id`, at most 256 bytes".to_owned()).param("user_id")
    })
}

async fn row(store: &Store, id: &str) -> Result<Option<Record>, Refusal> {
    let find = Find::with(TenantTable::EndUsers, "user_id", vec![id.into()]);
    Ok(store.find(&find).await.map_err(|error| failed(&error))?.pop())
}

/// The rows with their budgets, as pages show them.
async fn with_budgets(store: &Store, rows: &[Record]) -> Result<Vec<Value>, Refusal> {
    let named: Vec<Box<str>> =
        rows.iter().filter_map(|row| Row(row).text("budget_id")).map(Box::from).collect();
    let mut budgets = BTreeMap::new();
    if !named.is_empty() {
        let find = Find::with(TenantTable::Budgets, "budget_id", named);
        for budget in store.find(&find).await.map_err(|error| failed(&error))? {
            let id = Row(&budget).text("budget_id").unwrap_or_default().to_owned();
            budgets.insert(id, Value::Object(shown(TenantTable::Budgets, &budget)));
        }
    }
    let one = |row: &Record| {
        let budget = Row(row).text("budget_id").and_then(|id| budgets.get(id)).cloned();
        let mut shown = shown(TenantTable::EndUsers, row);
        shown.insert("litellm_budget_table".to_owned(), budget.unwrap_or_default());
        Value::Object(shown)
    };
    Ok(rows.iter().map(one).collect())
}

async fn budget_row(store: &Store, id: &str) -> Result<Option<Record>, Refusal> {
    let find = Find::with(TenantTable::Budgets, "budget_id", vec![id.into()]);
    Ok(store.find(&find).await.map_err(|error| failed(&error))?.pop())
}

/// The budget that it names is there.
async fn check_budget(store: &Store, own: &Record) -> Result<(), Refusal> {
    let Some(id) = Row(own).text("budget_id") else { return Ok(()) };
    if budget_row(store, id).await?.is_none() {
        return Err(bad(format!("Budget not found for budget_id={id}")).param("budget_id"));
    }
    Ok(())
}

/// A row of budgets with those columns; its id.
fn new_budget(request: &PageRequest<'_>, mut budget: Record) -> (String, Change) {
    let (id, by, now) = (new_id(), actor(request).0, clock::unix_ms());
    budget.insert("budget_id".to_owned(), json!(id));
    for (at, who) in [("created_at", "created_by"), ("updated_at", "updated_by")] {
        budget.insert(at.to_owned(), json!(now));
        budget.insert(who.to_owned(), json!(by));
    }
    (id, Change::Insert { table: TenantTable::Budgets, row: budget })
}

/// `POST /customer/new`.
pub(crate) fn new(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let store = store(&request)?;
        let id = id_of(&body)?;
        let Set { own: mut row, budget } = set(&body)?;
        check_budget(store, &row).await?;
        let mut changes = Vec::new();
        if budget.values().any(|value| !value.is_null()) {
            let (budget_id, change) = new_budget(&request, budget);
            row.insert("budget_id".to_owned(), json!(budget_id));
            changes.push(change);
        }
        row.insert("user_id".to_owned(), json!(id));
        row.entry("spend").or_insert_with(|| json!(0.0));
        row.entry("blocked").or_insert_with(|| json!(false));
        changes.push(Change::Insert { table: TenantTable::EndUsers, row: row.clone() });
        let audited = Audited {
            table: TenantTable::EndUsers,
            action: "created",
            object: id,
            before: None,
            after: Some(&row),
        };
        match make(&request, changes, &[audited]).await? {
            Changed::Done(_) => {}
            Changed::Exists(_) | Changed::Before => {
                let message = format!(
                    "Customer already exists, passed user_id={id}. Please pass a new user_id."
                );
                let refusal = refusal::of_admin(StatusCode::BAD_REQUEST, "bad_request", message);
                return Err(refusal.param("user_id"));
            }
        }
        request.arrival.worker.process.keys.end_user_changed(id);
        Ok(page(&with_budgets(store, &[row]).await?.pop().unwrap_or_default()))
    })
}

/// `POST /customer/update`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let store = store(&request)?;
        let id = id_of(&body)?;
        // What was spent before is in the row.
        settle_spend(&request).await?;
        let keys = &request.arrival.worker.process.keys;
        let before = row(store, id).await?.ok_or_else(|| not_found(id))?;
        let Set { mut own, budget } = set(&body)?;
        check_budget(store, &own).await?;
        let mut changes = Vec::new();
        if !budget.is_empty() {
            match Row(&before).text("budget_id") {
                Some(budget_id) => changes.push(Change::Update {
                    table: TenantTable::Budgets,
                    key: vec![("budget_id", budget_id.into())],
                    row: budget,
                }),
                None => {
                    let (budget_id, change) = new_budget(&request, budget);
                    own.insert("budget_id".to_owned(), json!(budget_id));
                    changes.push(change);
                }
            }
        }
        let key = vec![("user_id", id.into())];
        changes.push(Change::Update { table: TenantTable::EndUsers, key, row: own.clone() });
        let audited = Audited {
            table: TenantTable::EndUsers,
            action: "updated",
            object: id,
            before: Some(&before),
            after: Some(&own),
        };
        make(&request, changes, &[audited]).await?;
        // Others may name the same budget.
        keys.end_users_changed();
        keys.all_changed();
        let after = row(store, id).await?.unwrap_or_default();
        if let Some(account) = keys.account_of(&Subject::new(SubjectKind::EndUser, id)) {
            let ends = match Row(&after).text("budget_id") {
                Some(id) => {
                    budget_row(store, id).await?.and_then(|row| Row(&row).time("budget_reset_at"))
                }
                None => None,
            };
            match Row(&own).money("spend") {
                Some(spent) => account.set(spent, ends, store.progress().begun),
                None => account.set_ends(ends),
            }
        }
        Ok(page(&with_budgets(store, &[after]).await?.pop().unwrap_or_default()))
    })
}

/// The ids that a body names.
fn ids(body: &Record) -> Result<Vec<Box<str>>, Refusal> {
    let ids = Row(body).list("user_ids");
    if ids.is_empty() || ids.len() > IDS_MAX || ids.iter().any(|id| id.len() > 256) {
        let message = format!("name 1 to {IDS_MAX} end users in `user_ids`");
        return Err(bad(message).param("user_ids"));
    }
    Ok(ids)
}

/// `POST /customer/delete`.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let ids = ids(&body)?;
        settle_spend(&request).await?;
        let keys = &request.arrival.worker.process.keys;
        let mut changes = Vec::new();
        let mut found = Vec::new();
        for id in &ids {
            found.push(row(store(&request)?, id).await?.ok_or_else(|| not_found(id))?);
            let key = vec![("user_id", id.clone())];
            changes.push(Change::Delete { table: TenantTable::EndUsers, key });
        }
        let audited: Vec<Audited<'_>> = ids
            .iter()
            .zip(&found)
            .map(|(id, row)| Audited {
                table: TenantTable::EndUsers,
                action: "deleted",
                object: id,
                before: Some(row),
                after: None,
            })
            .collect();
        make(&request, changes, &audited).await?;
        ids.iter().for_each(|id| keys.end_user_removed(id));
        let count = ids.len();
        let message = format!("Successfully deleted customers with ids: {}", ids.join(", "));
        Ok(page(&json!({"deleted_customers": count, "message": message})))
    })
}

/// `POST /customer/block`.
pub(crate) fn block(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let rows = blocked(&request, incoming, ("blocked", true)).await?;
        Ok(page(&json!({"blocked_users": with_budgets(store(&request)?, &rows).await?})))
    })
}

/// `POST /customer/unblock`: the ids of those that are still blocked, which are none.
pub(crate) fn unblock(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        blocked(&request, incoming, ("unblocked", false)).await?;
        Ok(page(&json!({"blocked_users": []})))
    })
}

/// Blocks end users, which need not be there yet, or unblocks them; their rows afterwards.
async fn blocked(
    request: &PageRequest<'_>,
    incoming: Incoming,
    (action, is): (&'static str, bool),
) -> Result<Vec<Record>, Refusal> {
    let body = body(request, incoming).await?;
    let ids = ids(&body)?;
    let store = store(request)?;
    let mut changes = Vec::new();
    let mut rows = Vec::new();
    for id in &ids {
        let set = Record::from_iter([("blocked".to_owned(), json!(is))]);
        match row(store, id).await? {
            Some(mut row) => {
                let key = vec![("user_id", id.clone())];
                changes.push(Change::Update { table: TenantTable::EndUsers, key, row: set });
                row.insert("blocked".to_owned(), json!(is));
                rows.push(row);
            }
            None => {
                let Value::Object(row) = json!({"user_id": id, "blocked": is, "spend": 0.0}) else {
                    return Err(refusal::own_fault());
                };
                changes.push(Change::Insert { table: TenantTable::EndUsers, row: row.clone() });
                rows.push(row);
            }
        }
    }
    let audited: Vec<Audited<'_>> = ids
        .iter()
        .map(|id| Audited {
            table: TenantTable::EndUsers,
            action,
            object: id,
            before: None,
            after: None,
        })
        .collect();
    make(request, changes, &audited).await?;
    let keys = &request.arrival.worker.process.keys;
    ids.iter().for_each(|id| keys.end_user_changed(id));
    Ok(rows)
}

/// `GET /customer/info?end_user_id=`.
pub(crate) fn info(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let Some(id) = request.parameter("end_user_id").filter(|id| !id.is_empty()) else {
            return Err(refusal::missing_parameter("/customer/info", "end_user_id"));
        };
        let store = store(&request)?;
        let row = row(store, &id).await?.ok_or_else(|| not_found(&id))?;
        Ok(page(&with_budgets(store, &[row]).await?.pop().unwrap_or_default()))
    })
}

/// `GET /customer/list`: at most 1,000.
pub(crate) fn list(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let store = store(&request)?;
        let find = Find { sorted_by: Some("user_id"), ..Find::all(TenantTable::EndUsers) };
        let rows = store.find(&find).await.map_err(|error| failed(&error))?;
        Ok(page(&Value::Array(with_budgets(store, &rows).await?)))
    })
}
