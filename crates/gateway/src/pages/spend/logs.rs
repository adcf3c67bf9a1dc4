//! Finished requests: `/spend/logs`, `/spend/logs/v2`, and what a session cost.

use std::collections::BTreeMap;

use hale_core::tenancy::{Record, Row};
use hale_store::{By, DaysOf, LogFilter, LogOrder, LogSum, TenantTable};
use http::Response;
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::days::Days;
use super::form::Form;
use super::scope::{Scope, amount, choice, keys, list, not_among, number, sums};
use crate::http::refusal::Refusal;
use crate::http::reply::Reply;
use crate::pages::admin::{bad, failed, page, shown, store};
use crate::pages::{PageRequest, Waiting};

/// Requests of one answer without pages.
const LOGS_MAX: u32 = 10_000;
/// What chooses requests and no days.
const OF_REQUESTS: [&str; 6] =
    ["team_id", "session_id", "model_id", "status_filter", "min_spend", "max_spend"];
/// How requests end.
const STATES: [&str; 2] = ["success", "failure"];
/// How a yes and a no are written.
const FLAGS: [(&str, bool); 6] =
    [("true", true), ("false", false), ("True", true), ("False", false), ("1", true), ("0", false)];
/// By what requests are sorted.
const ORDERS: [(&str, LogOrder); 6] = [
    ("startTime", LogOrder::Start),
    ("endTime", LogOrder::End),
    ("spend", LogOrder::Spend),
    ("total_tokens", LogOrder::Tokens),
    ("request_duration_ms", LogOrder::Duration),
    ("model", LogOrder::Model),
];

/// What of finished requests the query names, within what the client sees.
fn filter(request: &PageRequest<'_>, days: &Days) -> Result<LogFilter, Refusal> {
    let mut with = Scope::of(request)?.of_logs();
    if let Some(keys) = keys(request, "api_key") {
        with.push(("api_key", keys));
    }
    for (parameter, column) in [
        ("user_id", "user"),
        ("team_id", "team_id"),
        ("end_user", "end_user"),
        ("request_id", "request_id"),
        ("session_id", "session_id"),
        ("model", "model"),
        ("model_id", "model_id"),
        ("status_filter", "status"),
    ] {
        if let Some(texts) = list(request, parameter) {
            with.push((column, texts));
        }
    }
    let mut states = list(request, "status_filter").into_iter().flatten();
    if let Some(other) = states.find(|state| !STATES.contains(&&**state)) {
        return Err(not_among("status_filter", &other, STATES.into_iter()));
    }
    let (from, before) = days.ms();
    Ok(LogFilter {
        from,
        before,
        with,
        least_usd: amount(request, "min_spend")?,
        most_usd: amount(request, "max_spend")?,
        limit: LOGS_MAX,
        ..LogFilter::default()
    })
}

fn log(row: &Record) -> Value {
    Value::Object(shown(TenantTable::SpendLogs, row))
}

/// Finished requests as rows.
fn csv_of(found: &[Record]) -> Response<Reply> {
    let names: Vec<&str> = TenantTable::SpendLogs.columns().iter().map(|(name, _)| *name).collect();
    Form::Csv.rows(&names, &found.iter().map(log).collect::<Vec<_>>())
}

/// `GET /spend/logs`: days with what users and models spent on them, or with `summarize=false`, or an id, requests.
pub(crate) fn logs(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let days = Days::asked(&request)?;
        let form = Form::of(&request)?;
        let names_one = request.parameter("request_id").is_some_and(|id| !id.is_empty());
        let summarizes = choice(&request, "summarize", &FLAGS)?.unwrap_or(true);
        // Also of a report without them: what cannot be read is refused.
        let filter = filter(&request, &days)?;
        if days.has_both() && summarizes && !names_one {
            return summary(&request, &days, form).await;
        }
        let (found, _) = store(&request)?.logs(&filter).await.map_err(|error| failed(&error))?;
        match form {
            Form::Csv => Ok(csv_of(&found)),
            Form::Json => Ok(page(&json!(found.iter().map(log).collect::<Vec<_>>()))),
        }
    })
}

/// What a day cost, by user, and by model.
type SpentDay = (f64, Map<String, Value>, Map<String, Value>);

/// Each day with its users and models: two queries, so that neither has a sum for each user and model.
async fn summary(
    request: &PageRequest<'_>,
    days: &Days,
    form: Form,
) -> Result<Response<Reply>, Refusal> {
    let of = match request.parameter("end_user").is_some_and(|it| !it.is_empty()) {
        true => DaysOf::EndUsers,
        false => DaysOf::Users,
    };
    let mut filter = days.filter(of, &[By::Date, By::Entity]);
    let scope = Scope::of(request)?;
    if of == DaysOf::EndUsers && scope != Scope::All {
        return Err(bad("`end_user` is for admins".to_owned()).param("end_user"));
    }
    filter.with.extend(scope.of_days());
    if let Some(keys) = keys(request, "api_key") {
        filter.with.push((By::Key, keys));
    }
    if let Some(models) = list(request, "model") {
        filter.with.push((By::Model, models));
    }
    for name in OF_REQUESTS {
        if request.parameter(name).is_some_and(|text| !text.is_empty()) {
            let message = format!(
                "`{name}` chooses requests, and days are not kept by it; add summarize=false"
            );
            return Err(bad(message).param(name));
        }
    }
    let entity = if of == DaysOf::EndUsers { "end_user" } else { "user_id" };
    if let Some(named) = list(request, entity) {
        filter.with.push((By::Entity, named));
    }
    let mut by_day: BTreeMap<String, SpentDay> =
        days.each().iter().map(|day| (day.to_string(), Default::default())).collect();
    for sum in sums(request, &filter).await? {
        let [day, user] = &sum.of[..] else { continue };
        let (spend, users, _) = by_day.entry((**day).to_owned()).or_default();
        *spend += sum.spend;
        users.insert((**user).to_owned(), json!(sum.spend));
    }
    filter.by = vec![By::Date, By::Model];
    for sum in sums(request, &filter).await? {
        let [day, model] = &sum.of[..] else { continue };
        let (_, _, models) = by_day.entry((**day).to_owned()).or_default();
        models.insert((**model).to_owned(), json!(sum.spend));
    }
    let row = |(day, (spend, users, models)): (String, SpentDay)| json!({"startTime": day, "spend": spend, "users": users, "models": models});
    let columns = ["startTime", "spend", "users", "models"];
    Ok(form.rows(&columns, &by_day.into_iter().map(row).collect::<Vec<_>>()))
}

/// `GET /spend/logs/v2`, `/spend/logs/ui`: a page of requests.
pub(crate) fn pages(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let days = Days::named(&request)?;
        let (at, size) =
            (number(&request, "page", (1, 1_000_000))?, number(&request, "page_size", (50, 100))?);
        let form = Form::of(&request)?;
        let ascends = choice(&request, "sort_order", &[("asc", true), ("desc", false)])?;
        let filter = LogFilter {
            order: choice(&request, "sort_by", &ORDERS)?.unwrap_or_default(),
            ascends: ascends.unwrap_or(false),
            limit: size,
            skip: (at - 1).saturating_mul(size),
            ..filter(&request, &days)?
        };
        let (found, total) =
            store(&request)?.logs(&filter).await.map_err(|error| failed(&error))?;
        if form == Form::Csv {
            return Ok(csv_of(&found));
        }
        Ok(page(&json!({
            "data": found.iter().map(log).collect::<Vec<_>>(), "total": total, "page": at, "page_size": size,
            "total_pages": total.div_ceil(size.into()),
        })))
    })
}

/// `GET /spend/logs/session/ui?session_id=`, `/spend/session`: the requests of a session, and what they come to. Sums are of all of
/// them; `data` and `retries` are of the first ones, and `truncated` says that there are more.
pub(crate) fn session(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        if request.parameter("session_id").is_none_or(|id| id.is_empty()) {
            return Err(bad("session_id is required".to_owned()).param("session_id"));
        }
        let form = Form::of(&request)?;
        let filter = LogFilter { ascends: true, ..filter(&request, &Days::asked(&request)?)? };
        let (found, total) =
            store(&request)?.logs(&filter).await.map_err(|error| failed(&error))?;
        if form == Form::Csv {
            return Ok(csv_of(&found));
        }
        let sums = store(&request)?.log_sums(&filter).await.map_err(|error| failed(&error))?;
        let count = |of: fn(&LogSum) -> i64| sums.iter().map(of).fold(0, i64::saturating_add);
        let retries = |row: &Record| Row(row).object("metadata").get("attempted_retries")?.as_u64();
        let model = |sum: &LogSum| {
            let name = sum.model.clone().into_string();
            (name, json!({"requests": sum.requests, "spend": sum.spend}))
        };
        Ok(page(&json!({
            "session_id": request.parameter("session_id"), "requests": count(|sum| sum.requests),
            "failed": count(|sum| sum.failed),
            "retries": found.iter().filter_map(retries).fold(0, u64::saturating_add),
            "spend": sums.iter().fold(0.0, |spend, sum| spend + sum.spend),
            "prompt_tokens": count(|sum| sum.prompt_tokens),
            "completion_tokens": count(|sum| sum.completion_tokens),
            "models": sums.iter().map(model).collect::<Map<_, _>>(),
            "data": found.iter().map(log).collect::<Vec<_>>(),
            "truncated": total > found.len() as u64,
        })))
    })
}
