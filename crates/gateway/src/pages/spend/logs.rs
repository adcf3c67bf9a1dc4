//! Finished requests: `/spend/logs`, `/spend/logs/v2`, and what a session cost.

use std::collections::BTreeMap;

use hale_core::tenancy::{Record, Row};
use hale_store::{By, DaysOf, LogFilter, LogOrder, TenantTable};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::scope::{Days, Scope, keys, list, number, rows, sums};
use crate::http::refusal::Refusal;
use crate::pages::admin::{bad, failed, page, shown, store};
use crate::pages::{PageRequest, Waiting};

/// Requests of one answer without pages.
const LOGS_MAX: u32 = 10_000;

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
    let usd = |name: &str| request.parameter(name).and_then(|text| text.parse().ok());
    let (from, before) = days.ms();
    Ok(LogFilter {
        from,
        before,
        with,
        least_usd: usd("min_spend"),
        most_usd: usd("max_spend"),
        limit: LOGS_MAX,
        ..LogFilter::default()
    })
}

fn log(row: &Record) -> Value {
    Value::Object(shown(TenantTable::SpendLogs, row))
}

/// `GET /spend/logs`: days with what users and models spent on them, or with `summarize=false`, or an id, requests.
pub(crate) fn logs(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let days = Days::asked(&request)?;
        let has_days = days.from.is_some() && days.to.is_some();
        let names_one = request.parameter("request_id").is_some_and(|id| !id.is_empty());
        let summarizes = request.parameter("summarize").is_none_or(|it| &*it != "false");
        if has_days && summarizes && !names_one {
            return summary(&request, &days).await;
        }
        let filter = filter(&request, &days)?;
        let (found, _) = store(&request)?.logs(&filter).await.map_err(|error| failed(&error))?;
        Ok(rows(&request, &found.iter().map(log).collect::<Vec<_>>()))
    })
}

/// What a day cost, by user, and by model.
type SpentDay = (f64, Map<String, Value>, Map<String, Value>);

/// Each day with its users and models.
async fn summary(
    request: &PageRequest<'_>,
    days: &Days,
) -> Result<http::Response<crate::http::reply::Reply>, Refusal> {
    let of = match request.parameter("end_user").is_some_and(|it| !it.is_empty()) {
        true => DaysOf::EndUsers,
        false => DaysOf::Users,
    };
    let mut filter = days.filter(of, &[By::Date, By::Entity, By::Key, By::Model]);
    let scope = Scope::of(request)?;
    if of == DaysOf::EndUsers && scope != Scope::All {
        return Err(bad("`end_user` is for admins".to_owned()).param("end_user"));
    }
    filter.with.extend(scope.of_days());
    if let Some(keys) = keys(request, "api_key") {
        filter.with.push((By::Key, keys));
    }
    let entity = if of == DaysOf::EndUsers { "end_user" } else { "user_id" };
    if let Some(named) = list(request, entity) {
        filter.with.push((By::Entity, named));
    }
    let mut by_day: BTreeMap<String, SpentDay> =
        days.each().iter().map(|day| (day.to_string(), Default::default())).collect();
    for sum in sums(request, &filter).await? {
        let [day, user, _, model] = &sum.of[..] else { continue };
        let (spend, users, models) = by_day.entry((**day).to_owned()).or_default();
        *spend += sum.spend;
        let add = |to: &mut Map<String, Value>, name: &str| {
            let known = to.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            to.insert(name.to_owned(), json!(known + sum.spend));
        };
        add(users, user);
        add(models, model);
    }
    let row = |(day, (spend, users, models)): (String, SpentDay)| json!({"startTime": day, "spend": spend, "users": users, "models": models});
    Ok(rows(request, &by_day.into_iter().map(row).collect::<Vec<_>>()))
}

/// `GET /spend/logs/v2`, `/spend/logs/ui`: a page of requests.
pub(crate) fn pages(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let days = Days::named(&request)?;
        let (at, size) =
            (number(&request, "page", (1, 1_000_000))?, number(&request, "page_size", (50, 100))?);
        let order = match request.parameter("sort_by").as_deref() {
            None | Some("" | "startTime") => LogOrder::Start,
            Some("endTime") => LogOrder::End,
            Some("spend") => LogOrder::Spend,
            Some("total_tokens") => LogOrder::Tokens,
            Some("request_duration_ms") => LogOrder::Duration,
            Some("model") => LogOrder::Model,
            Some(other) => {
                return Err(bad(format!("`sort_by` '{other}' is not served")).param("sort_by"));
            }
        };
        let filter = LogFilter {
            order,
            ascends: request.parameter("sort_order").is_some_and(|it| &*it == "asc"),
            limit: size,
            skip: (at - 1).saturating_mul(size),
            ..filter(&request, &days)?
        };
        let (found, total) =
            store(&request)?.logs(&filter).await.map_err(|error| failed(&error))?;
        Ok(page(&json!({
            "data": found.iter().map(log).collect::<Vec<_>>(), "total": total, "page": at, "page_size": size,
            "total_pages": total.div_ceil(size.into()),
        })))
    })
}

/// `GET /spend/logs/session/ui?session_id=`, `/spend/session`: the requests of a session, and what they come to.
pub(crate) fn session(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        if request.parameter("session_id").is_none_or(|id| id.is_empty()) {
            return Err(bad("session_id is required".to_owned()).param("session_id"));
        }
        let filter = LogFilter { ascends: true, ..filter(&request, &Days::default())? };
        let (found, total) =
            store(&request)?.logs(&filter).await.map_err(|error| failed(&error))?;
        let sum = |name: &str| found.iter().filter_map(|row| row.get(name)?.as_f64()).sum::<f64>();
        let mut models: BTreeMap<String, (u64, f64)> = BTreeMap::new();
        let mut retries = 0;
        for row in &found {
            let model = Row(row).text("model").unwrap_or_default().to_owned();
            let (requests, spend) = models.entry(model).or_default();
            *requests += 1;
            *spend += row.get("spend").and_then(Value::as_f64).unwrap_or(0.0);
            retries += Row(row)
                .object("metadata")
                .get("attempted_retries")
                .and_then(Value::as_u64)
                .unwrap_or(0);
        }
        let model = |(model, (requests, spend)): (String, (u64, f64))| {
            (model, json!({"requests": requests, "spend": spend}))
        };
        let failures =
            found.iter().filter(|row| Row(row).text("status") == Some("failure")).count();
        Ok(page(&json!({
            "session_id": request.parameter("session_id"), "requests": total, "failed": failures, "retries": retries,
            "spend": sum("spend"), "prompt_tokens": sum("prompt_tokens"), "completion_tokens": sum("completion_tokens"),
            "models": models.into_iter().map(model).collect::<Map<_, _>>(),
            "data": found.iter().map(log).collect::<Vec<_>>(),
        })))
    })
}
