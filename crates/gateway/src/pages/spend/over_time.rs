//! `GET /ui/spend`: what was spent over time, by key, team, user, customer, tag, model or provider, for the dashboard.
//!
//! Called by the router. Always true: an answer has the dearest few by name and what the others come to, so that ten thousand keys cost what
//! ten do; its sums are those of the other reports, and so is who sees them; CSV has all.

use std::collections::HashMap;

use hale_core::tenancy::Row;
use hale_store::{By, DayFilter, DaySum, DaysOf, Find, TenantTable};
use http::Response;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::days::Days;
use super::form::Form;
use super::scope::{Scope, choice, dearest, number, sums};
use crate::http::refusal::{self, Refusal};
use crate::http::reply::Reply;
use crate::pages::admin::{failed, page, store};
use crate::pages::{PageRequest, Waiting};

/// Of how many names each day is shown.
const NAMED: u32 = 12;
/// Names with their sum.
const LISTED: u32 = 100;
/// Days at most.
const DAYS_MAX: u32 = 366;

/// By what it is told apart.
#[derive(Clone, Copy)]
struct Kind {
    of: DaysOf,
    by: By,
    /// Where the names of ids are: the table, its key, its name.
    names: Option<(TenantTable, &'static str, &'static str)>,
}

const fn of_users(by: By) -> Kind {
    Kind { of: DaysOf::Users, by, names: None }
}

/// Every kind, by its name in the query.
const KINDS: [(&str, Kind); 7] = [
    ("key", Kind { names: Some((TenantTable::Keys, "token", "key_alias")), ..of_users(By::Key) }),
    (
        "team",
        Kind {
            of: DaysOf::Teams,
            by: By::Entity,
            names: Some((TenantTable::Teams, "team_id", "team_alias")),
        },
    ),
    (
        "user",
        Kind { names: Some((TenantTable::Users, "user_id", "user_email")), ..of_users(By::Entity) },
    ),
    ("customer", Kind { of: DaysOf::EndUsers, by: By::Entity, names: None }),
    ("tag", Kind { of: DaysOf::Tags, by: By::Entity, names: None }),
    ("model", of_users(By::ModelGroup)),
    ("provider", of_users(By::Provider)),
];

/// The page.
pub(crate) fn spend(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let kind = choice(&request, "by", &KINDS)?.unwrap_or(KINDS[0].1);
        let count = number(&request, "days", (30, DAYS_MAX))?;
        let form = Form::of(&request)?;
        let days = Days::asked(&request)?.or_last(count.into());
        let scope = Scope::of(&request)?;
        if scope != Scope::All && !matches!(kind.of, DaysOf::Users) {
            // Teams, customers and tags are others' too.
            let access = request.arrival.principal.access();
            let path = request.head.uri.path();
            return Err(access.map_or_else(refusal::no_admin, |access| {
                refusal::denied(access.admin_only(path))
            }));
        }
        let mut filter = days.filter(kind.of, &[kind.by]);
        filter.with.extend(scope.of_days());
        match form {
            Form::Csv => rows(&request, filter, kind.by).await,
            Form::Json => shown(&request, (filter, kind), &days).await,
        }
    })
}

/// A row for each day and name.
async fn rows(
    request: &PageRequest<'_>,
    filter: DayFilter,
    by: By,
) -> Result<Response<Reply>, Refusal> {
    let found = sums(request, &DayFilter { by: vec![By::Date, by], ..filter }).await?;
    let columns =
        ["day", "name", "requests", "failed", "prompt_tokens", "completion_tokens", "spend"];
    let row = |sum: &DaySum| {
        let text = |at: usize| sum.of.get(at).cloned().unwrap_or_default();
        json!({
            "day": text(0), "name": text(1), "requests": sum.requests, "failed": sum.failed, "prompt_tokens": sum.prompt_tokens,
            "completion_tokens": sum.completion_tokens, "spend": sum.spend,
        })
    };
    Ok(Form::Csv.rows(&columns, &found.iter().map(row).collect::<Vec<_>>()))
}

async fn shown(
    request: &PageRequest<'_>,
    (filter, kind): (DayFilter, Kind),
    days: &Days,
) -> Result<Response<Reply>, Refusal> {
    let first = |sum: &DaySum| sum.of.first().cloned().unwrap_or_default();
    let listed = dearest(request, &filter, LISTED + 1).await?;
    let has_more = listed.len() > LISTED as usize;
    let listed = &listed[..listed.len().min(LISTED as usize)];
    let total = sums(request, &DayFilter { by: vec![By::Date], ..filter.clone() }).await?;
    let named: Vec<Box<str>> = listed.iter().take(NAMED as usize).map(first).collect();
    let mut each = DayFilter { by: vec![By::Date, kind.by], ..filter };
    each.with.push((kind.by, named));
    let each = if listed.is_empty() { Vec::new() } else { sums(request, &each).await? };
    let names = names(request, kind, listed).await?;
    let amounts = |sum: &DaySum| {
        json!({
            "spend": sum.spend, "requests": sum.requests, "failed": sum.failed, "input_tokens": sum.prompt_tokens,
            "output_tokens": sum.completion_tokens,
        })
    };
    let name = |sum: &DaySum| {
        let id = first(sum);
        let own = each.iter().filter(|day| day.of.get(1) == Some(&id));
        let by_day: HashMap<Box<str>, f64> = own.map(|day| (first(day), day.spend)).collect();
        let mut shown = amounts(sum);
        shown["name"] = json!(names.get(&id));
        shown["days"] = json!(by_day);
        shown["id"] = json!(id);
        shown
    };
    let total: HashMap<Box<str>, Value> =
        total.iter().map(|day| (first(day), amounts(day))).collect();
    let days: Vec<String> = days.each().iter().map(ToString::to_string).collect();
    Ok(page(&json!({
        "days": days, "total": total, "names": listed.iter().map(name).collect::<Vec<_>>(), "has_more": has_more,
    })))
}

/// The names of ids.
async fn names(
    request: &PageRequest<'_>,
    kind: Kind,
    listed: &[DaySum],
) -> Result<HashMap<Box<str>, Box<str>>, Refusal> {
    let Some((table, id, name)) = kind.names.filter(|_| !listed.is_empty()) else {
        return Ok(HashMap::new());
    };
    let ids = listed.iter().filter_map(|sum| sum.of.first().cloned()).collect();
    let find = Find::with(table, id, ids);
    let rows = store(request)?.find(&find).await.map_err(|error| failed(&error))?;
    let pair = |row: &_| Some((Row(row).text(id)?.into(), Row(row).text(name)?.into()));
    Ok(rows.iter().filter_map(pair).collect())
}
