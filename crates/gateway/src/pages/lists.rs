//! Pages of teams and of users: `GET /v2/team/list` and `GET /user/list`, in the reference's shapes.
//!
//! Called by the router. Always true: a page has a bound, and no keys, so that a team of ten thousand keys costs what a small one does;
//! no page shows a password; a client that is no admin sees the teams of its key and of its user.

use hale_core::tenancy::access::KeyAccess;
use hale_core::tenancy::{Record, Row};
use hale_store::{Find, Store, TenantTable};
use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::admin::{failed, page, shown, store};
use super::{PageRequest, Waiting};
use crate::http::auth::Principal;
use crate::http::refusal::{self, Refusal};

/// Rows of one page at most.
const SIZE_MAX: u32 = 100;

/// A page of a list.
struct Part {
    at: u32,
    size: u32,
}

impl Part {
    fn of(request: &PageRequest<'_>, usual: u32) -> Result<Part, Refusal> {
        Ok(Part {
            at: number(request, "page", 1, 1_000_000)?,
            size: number(request, "page_size", usual, SIZE_MAX)?,
        })
    }

    /// Those rows of a list.
    fn find(&self, table: TenantTable, sorted_by: &'static str) -> Find {
        Find {
            sorted_by: Some(sorted_by),
            limit: self.size,
            skip: (self.at - 1).saturating_mul(self.size),
            ..Find::all(table)
        }
    }

    /// The answer.
    fn answer(&self, name: &str, (rows, total): (Vec<Value>, u64)) -> Value {
        json!({
            name: rows, "total": total, "page": self.at, "page_size": self.size, "total_pages": total.div_ceil(self.size.into()),
        })
    }
}

fn number(
    request: &PageRequest<'_>,
    name: &'static str,
    usual: u32,
    most: u32,
) -> Result<u32, Refusal> {
    let Some(text) = request.parameter(name) else { return Ok(usual) };
    let number = text.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| {
        let message = format!("`{name}` must be a whole number from 1 to {most}");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        refusal::of_admin(status, "invalid_request_error", message).param(name)
    })
}

/// The texts of a parameter, between commas.
fn texts(request: &PageRequest<'_>, name: &str) -> Option<Vec<Box<str>>> {
    let value = request.parameter(name).filter(|value| !value.is_empty())?;
    Some(value.split(',').map(|one| one.trim().into()).collect())
}

async fn read(store: &Store, find: &Find) -> Result<(Vec<Record>, u64), Refusal> {
    let (rows, count) = tokio::join!(store.find(find), store.count_found(find));
    let rows = rows.map_err(|error| failed(&error))?;
    Ok((rows, count.map_err(|error| failed(&error))?))
}

/// The team of a key, which reaches that one alone; the teams of its user, if it is of none.
async fn own_teams(store: &Store, access: &KeyAccess) -> Result<Vec<Box<str>>, Refusal> {
    let identity = &access.identity;
    let user = match (&identity.team, &identity.user) {
        (Some(team), _) => return Ok(vec![(&**team).into()]),
        (None, None) => return Ok(Vec::new()),
        (None, Some(user)) => user,
    };
    let find = Find::with(TenantTable::Users, "user_id", vec![(&**user).into()]);
    let found = store.find(&find).await.map_err(|error| failed(&error))?;
    Ok(found.iter().flat_map(|user| Row(user).list("teams")).collect())
}

/// `GET /v2/team/list`: `page`, `page_size` (10, at most 100), `team_id`, `team_alias`, `organization_id`.
pub(crate) fn teams(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let part = Part::of(&request, 10)?;
        let store = store(&request)?;
        let mut find = part.find(TenantTable::Teams, "team_alias");
        for column in ["team_id", "team_alias", "organization_id"] {
            if let Some(texts) = texts(&request, column) {
                find.with.push((column, texts));
            }
        }
        match &request.arrival.principal {
            Principal::Operator => {}
            Principal::Anyone => return Err(refusal::no_admin()),
            Principal::Key(access) if access.role.sees_all() => {}
            Principal::Key(access) => find.with.push(("team_id", own_teams(store, access).await?)),
        }
        let (rows, total) = read(store, &find).await?;
        let rows = rows.iter().map(|row| Value::Object(shown(TenantTable::Teams, row))).collect();
        Ok(page(&part.answer("teams", (rows, total))))
    })
}

/// `GET /user/list`: `page`, `page_size` (25, at most 100), `role`, `user_ids`, `user_email`.
pub(crate) fn users(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let part = Part::of(&request, 25)?;
        let store = store(&request)?;
        let mut find = part.find(TenantTable::Users, "created_at");
        for (parameter, column) in [("role", "user_role"), ("user_ids", "user_id")] {
            if let Some(texts) = texts(&request, parameter) {
                find.with.push((column, texts));
            }
        }
        if let Some(email) = request.parameter("user_email").filter(|email| !email.is_empty()) {
            find.in_any_case = Some(("user_email", email));
        }
        let (rows, total) = read(store, &find).await?;
        let mut users = Vec::new();
        for row in &rows {
            let id = Row(row).text("user_id").unwrap_or_default();
            let keys = Find::with(TenantTable::Keys, "user_id", vec![id.into()]);
            let keys = store.count_found(&keys).await.map_err(|error| failed(&error))?;
            let mut user = shown(TenantTable::Users, row);
            user.remove("password");
            user.insert("key_count".to_owned(), json!(keys));
            users.push(Value::Object(user));
        }
        Ok(page(&part.answer("users", (users, total))))
    })
}
