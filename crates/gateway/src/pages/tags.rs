//! The admin API of tags: `/tag/new`, `/tag/update`, `/tag/delete`, `/tag/info` and `/tag/list`, in the reference's shapes.
//!
//! Called by the router. Always true: only admins get here; what is changed counts for the next request of this process; a budget that
//! others may name is never changed through one tag.

use hale_core::tenancy::{Record, Row};
use hale_store::{Change, Changed, Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::admin::{
    Audited, INTERNAL, actor, bad, body, failed, is_shared, make, new_id, page, settle_spend,
    shown, store, turn,
};
use super::keys::fields::{self, Fields};
use super::{PageRequest, Waiting};
use crate::clock;
use crate::http::refusal::{self, Refusal};

/// Longest name of a tag, bytes.
const NAME_MAX: usize = 200;
/// Columns of a tag; what else is set is its budget's.
const OWN: [&str; 2] = ["description", "budget_id"];

fn name_of(body: &Record) -> Result<&str, Refusal> {
    let name = Row(body).text("name").filter(|name| {
        name.len() <= NAME_MAX && !name.contains([',', '\u{1f}']) && name.trim() == *name
    });
    name.ok_or_else(|| {
        let message = format!("name the tag in `name`, at most {NAME_MAX} bytes without a comma");
        bad(message).param("name")
    })
}

async fn find(store: &Store, find: Find) -> Result<Vec<Record>, Refusal> {
    store.find(&find).await.map_err(|error| failed(&error))
}

async fn row(store: &Store, name: &str) -> Result<Option<Record>, Refusal> {
    Ok(find(store, Find::with(TenantTable::Tags, "tag_name", vec![name.into()])).await?.pop())
}

fn not_found(what: &str) -> Refusal {
    refusal::of_admin(StatusCode::NOT_FOUND, INTERNAL, what.to_owned()).param("name")
}

/// Its own columns, and those of its budget.
fn split(body: &Record) -> Result<(Record, Record), Refusal> {
    let mut budget = fields::columns(body, None, &Fields::TAG)?;
    let own: Record = OWN.iter().filter_map(|name| budget.remove_entry(*name)).collect();
    if Row(&own).has("budget_id") && budget.values().any(|value| !value.is_null()) {
        let message = "set either `budget_id` or the limits of a budget of its own".to_owned();
        return Err(bad(message).param("budget_id"));
    }
    Ok((own, budget))
}

async fn check_budget(store: &Store, own: &Record) -> Result<(), Refusal> {
    let Some(id) = Row(own).text("budget_id") else { return Ok(()) };
    let named = Find::with(TenantTable::Budgets, "budget_id", vec![id.into()]);
    match find(store, named).await?.is_empty() {
        true => Err(bad(format!("Budget not found for budget_id={id}")).param("budget_id")),
        false => Ok(()),
    }
}

/// A budget of its own with those columns, named by `own`; none if there is nothing to limit.
fn new_budget(request: &PageRequest<'_>, own: &mut Record, mut budget: Record) -> Option<Change> {
    if budget.values().all(Value::is_null) {
        return None;
    }
    let (id, by, now) = (new_id(), actor(request).0, clock::unix_ms());
    budget.insert("budget_id".to_owned(), json!(id));
    for (at, who) in [("created_at", "created_by"), ("updated_at", "updated_by")] {
        budget.insert(at.to_owned(), json!(now));
        budget.insert(who.to_owned(), json!(by));
    }
    own.insert("budget_id".to_owned(), json!(id));
    Some(Change::Insert { table: TenantTable::Budgets, row: budget })
}

/// A tag as the reference shows it.
fn config(row: &Record, budget: Option<&Record>) -> Value {
    let mut shown_row = shown(TenantTable::Tags, row);
    let mut take = |name: &str| shown_row.remove(name).unwrap_or_default();
    let mut config = json!({
        "name": take("tag_name"), "description": take("description"), "models": take("models"),
        "model_info": take("model_info"), "created_at": take("created_at"), "updated_at": take("updated_at"),
        "created_by": take("created_by"), "spend": take("spend"),
    });
    if let Some(budget) = budget {
        config["litellm_budget_table"] = Value::Object(shown(TenantTable::Budgets, budget));
    }
    config
}

/// Makes the changes, and has them count from the next request on.
async fn set(
    request: &PageRequest<'_>,
    mut changes: Vec<Change>,
    last: Change,
    audited: Audited<'_>,
) -> Result<Changed, Refusal> {
    changes.push(last);
    let changed = make(request, changes, &[audited]).await?;
    request.arrival.worker.process.keys.read_tags().await;
    Ok(changed)
}

/// `POST /tag/new`.
pub(crate) fn new(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let name = name_of(&body)?;
        let (mut row, budget) = split(&body)?;
        check_budget(store, &row).await?;
        let changes = new_budget(&request, &mut row, budget).into_iter().collect();
        let now = clock::unix_ms();
        let Value::Object(more) = json!({
            "tag_name": name, "models": [], "model_info": {}, "spend": 0.0, "created_by": actor(&request).0,
            "created_at": now, "updated_at": now,
        }) else {
            return Err(refusal::own_fault());
        };
        row.extend(more);
        let added = Change::Insert { table: TenantTable::Tags, row: row.clone() };
        let audited = Audited {
            table: TenantTable::Tags,
            action: "created",
            object: name,
            before: None,
            after: Some(&row),
        };
        match set(&request, changes, added, audited).await? {
            Changed::Done(_) => {
                let message = format!("Tag {name} created successfully");
                Ok(page(&json!({"message": message, "tag": config(&row, None)})))
            }
            Changed::Exists(_) | Changed::Before => {
                Err(bad(format!("Tag {name} already exists")).param("name"))
            }
        }
    })
}

/// `POST /tag/update`.
pub(crate) fn update(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let store = store(&request)?;
        let name = name_of(&body)?;
        let before = row(store, name).await?;
        let before = before.ok_or_else(|| not_found(&format!("Tag {name} not found")))?;
        let (mut own, budget) = split(&body)?;
        check_budget(store, &own).await?;
        let mut changes = Vec::new();
        match Row(&before).text("budget_id").filter(|_| !budget.is_empty()) {
            Some(id) if is_shared(store, id).await? => {
                let message = format!(
                    "the budget {id} of this tag has other owners too: name another one in `budget_id`, or change it for all of \
                     them in the database"
                );
                return Err(bad(message).param("budget_id"));
            }
            Some(id) => changes.push(Change::Update {
                table: TenantTable::Budgets,
                key: vec![("budget_id", id.into())],
                row: budget,
            }),
            None => changes.extend(new_budget(&request, &mut own, budget)),
        }
        own.insert("updated_at".to_owned(), json!(clock::unix_ms()));
        let key = vec![("tag_name", name.into())];
        let change = Change::Update { table: TenantTable::Tags, key, row: own.clone() };
        let audited = Audited {
            table: TenantTable::Tags,
            action: "updated",
            object: name,
            before: Some(&before),
            after: Some(&own),
        };
        set(&request, changes, change, audited).await?;
        let after = row(store, name).await?.unwrap_or_default();
        let message = format!("Tag {name} updated successfully");
        Ok(page(&json!({"message": message, "tag": config(&after, None)})))
    })
}

/// `POST /tag/delete`.
pub(crate) fn delete(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let _turn = turn(&request).await;
        let name = name_of(&body)?;
        settle_spend(&request).await?;
        let before = row(store(&request)?, name).await?;
        let before = before.ok_or_else(|| not_found(&format!("Tag {name} not found")))?;
        let key = vec![("tag_name", name.into())];
        let change = Change::Delete { table: TenantTable::Tags, key };
        let audited = Audited {
            table: TenantTable::Tags,
            action: "deleted",
            object: name,
            before: Some(&before),
            after: None,
        };
        set(&request, Vec::new(), change, audited).await?;
        request.arrival.worker.process.keys.tag_removed(name);
        Ok(page(&json!({"message": format!("Tag {name} deleted successfully")})))
    })
}

/// The tags with their budgets.
async fn with_budgets(store: &Store, rows: &[Record]) -> Result<Vec<Value>, Refusal> {
    let named: Vec<Box<str>> =
        rows.iter().filter_map(|row| Row(row).text("budget_id")).map(Box::from).collect();
    let budgets = match named.is_empty() {
        true => Vec::new(),
        false => find(store, Find::with(TenantTable::Budgets, "budget_id", named)).await?,
    };
    let one = |row: &Record| {
        let id = Row(row).text("budget_id");
        let budget = budgets.iter().find(|one| id.is_some() && Row(one).text("budget_id") == id);
        config(row, budget)
    };
    Ok(rows.iter().map(one).collect())
}

/// `POST /tag/info`: the tags in `names`, by their names.
pub(crate) fn info(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let store = store(&request)?;
        let names = Row(&body).list("names");
        let rows = match names.is_empty() {
            true => Vec::new(),
            false => find(store, Find::with(TenantTable::Tags, "tag_name", names.clone())).await?,
        };
        let has = |name: &str| rows.iter().any(|row| Row(row).text("tag_name") == Some(name));
        let missing: Vec<String> =
            names.iter().filter(|name| !has(name)).map(|name| format!("'{name}'")).collect();
        if !missing.is_empty() {
            return Err(not_found(&format!("Tags not found: [{}]", missing.join(", "))));
        }
        let tags = with_budgets(store, &rows).await?.into_iter();
        let named = tags.filter_map(|tag| Some((tag["name"].as_str()?.to_owned(), tag)));
        Ok(page(&Value::Object(named.collect())))
    })
}

/// `GET /tag/list`: at most 1,000.
pub(crate) fn list(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let store = store(&request)?;
        let all = Find { sorted_by: Some("tag_name"), ..Find::all(TenantTable::Tags) };
        let rows = find(store, all).await?;
        Ok(page(&Value::Array(with_budgets(store, &rows).await?)))
    })
}
