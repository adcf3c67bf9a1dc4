//! What all spent: `/global/spend...`, `/global/activity...`, `/spend/keys`, `/spend/users`, `/spend/tags`, and reports.

use std::collections::{BTreeMap, BTreeSet};

use hale_core::tenancy::{Record, Row};
use hale_store::{By, DayFilter, DaySum, DaysOf, Find, TenantTable};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::days::Days;
use super::form::Form;
use super::scope::{Scope, dearest, hashed, keys, list, not_among, number, sums};
use crate::http::refusal::Refusal;
use crate::pages::admin::{bad, body, failed, page, shown, store};
use crate::pages::{PageRequest, Waiting};

/// Days of a report that names none.
const LAST: i64 = 30;
/// What a day of activity has.
const ACTIVITY: [&str; 3] = ["date", "api_requests", "total_tokens"];
/// End users of one answer, as in LiteLLM.
const END_USERS: u32 = 100;

async fn by(
    request: &PageRequest<'_>,
    (of, by): (DaysOf, &[By]),
    days: &Days,
) -> Result<Vec<DaySum>, Refusal> {
    let mut filter = days.filter(of, by);
    restrict(request, &mut filter)?;
    sums(request, &filter).await
}

/// Keeps to the keys that are named, and to what the client sees.
fn restrict(request: &PageRequest<'_>, filter: &mut DayFilter) -> Result<(), Refusal> {
    let scope = Scope::of(request)?;
    if filter.of == DaysOf::Users {
        filter.with.extend(scope.of_days());
    } else if let (Scope::User(_) | Scope::Key(_), Some(identity)) =
        (&scope, request.arrival.principal.identity())
    {
        filter.with.push((By::Key, vec![(&*identity.key).into()]));
    }
    if let Some(keys) = keys(request, "api_key") {
        filter.with.push((By::Key, keys));
    }
    Ok(())
}

/// The dearest of the last days, as many as `limit` says.
async fn dearest_by(request: &PageRequest<'_>, by: By) -> Result<Vec<DaySum>, Refusal> {
    let limit = number(request, "limit", (10, 10_000))?;
    let days = Days::asked(request)?.or_last(LAST);
    let mut filter = days.filter(DaysOf::Users, &[by]);
    restrict(request, &mut filter)?;
    dearest(request, &filter, limit).await
}

fn first(sum: &DaySum) -> &str {
    sum.of.first().map_or("", |text| text)
}

/// The rows of keys, by their hashes.
async fn keys_named(
    request: &PageRequest<'_>,
    hashes: BTreeSet<Box<str>>,
) -> Result<BTreeMap<Box<str>, Record>, Refusal> {
    let find = Find {
        limit: u32::MAX,
        ..Find::with(TenantTable::Keys, "token", hashes.into_iter().collect())
    };
    let rows = store(request)?.find(&find).await.map_err(|error| failed(&error))?;
    Ok(rows.into_iter().filter_map(|row| Some((Row(&row).text("token")?.into(), row))).collect())
}

/// `GET /global/spend`.
pub(crate) fn spend(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        Form::must_be_json(&request)?;
        let all = by(&request, (DaysOf::Users, &[]), &Days::asked(&request)?).await?;
        let spend = all.iter().fold(0.0, |spend, sum| spend + sum.spend);
        Ok(page(&json!({"spend": spend, "max_budget": 0.0})))
    })
}

/// `GET /global/spend/logs`: each day.
pub(crate) fn days(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let days = Days::asked(&request)?.or_last(LAST);
        let mut found = by(&request, (DaysOf::Users, &[By::Date]), &days).await?;
        found.reverse();
        let row = |sum: &DaySum| json!({"date": first(sum), "spend": sum.spend});
        Ok(form.rows(&["date", "spend"], &found.iter().map(row).collect::<Vec<_>>()))
    })
}

/// `GET /global/spend/keys`: the dearest keys.
pub(crate) fn by_key(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let found = dearest_by(&request, By::Key).await?;
        let names =
            keys_named(&request, found.iter().map(|sum| first(sum).into()).collect()).await?;
        let row = |sum: &DaySum| {
            let row = names.get(first(sum)).map(Row);
            json!({
                "api_key": first(sum), "key_alias": row.and_then(|row| row.text("key_alias")),
                "key_name": row.and_then(|row| row.text("key_name")), "total_spend": sum.spend,
            })
        };
        let columns = ["api_key", "key_alias", "key_name", "total_spend"];
        Ok(form.rows(&columns, &found.iter().map(row).collect::<Vec<_>>()))
    })
}

/// `GET /global/spend/models`: the dearest models.
pub(crate) fn by_model(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let found = dearest_by(&request, By::Model).await?;
        let row = |sum: &DaySum| json!({"model": first(sum), "total_spend": sum.spend});
        Ok(form.rows(&["model", "total_spend"], &found.iter().map(row).collect::<Vec<_>>()))
    })
}

/// `GET /global/spend/provider`.
pub(crate) fn by_provider(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let days = Days::asked(&request)?.or_last(LAST);
        let found = by(&request, (DaysOf::Users, &[By::Provider]), &days).await?;
        let found = found.iter().filter(|sum| !first(sum).is_empty());
        let row = |sum: &DaySum| json!({"provider": first(sum), "spend": sum.spend});
        Ok(form.rows(&["provider", "spend"], &found.map(row).collect::<Vec<_>>()))
    })
}

/// `GET /global/spend/teams`.
pub(crate) fn by_team(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let days = Days::asked(&request)?.or_last(LAST);
        let found = by(&request, (DaysOf::Teams, &[By::Date, By::Entity]), &days).await?;
        if form == Form::Csv {
            let row = |sum: &DaySum| json!({"date": first(sum), "team_id": sum.of.get(1), "spend": sum.spend});
            let found: Vec<Value> = found.iter().map(row).collect();
            return Ok(form.rows(&["date", "team_id", "spend"], &found));
        }
        let mut daily: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
        for sum in &found {
            let [date, team] = &sum.of[..] else { continue };
            daily.entry(date).or_default().insert((**team).to_owned(), json!(sum.spend));
            *totals.entry(team).or_default() += sum.spend;
        }
        let day = |(date, mut teams): (&str, Map<String, Value>)| {
            teams.insert("date".to_owned(), json!(date));
            Value::Object(teams)
        };
        let total = |(team, spend): (&&str, &f64)| json!({"team_id": team, "total_spend": spend});
        let mut per_team: Vec<(&&str, &f64)> = totals.iter().collect();
        per_team.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        Ok(page(&json!({
            "teams": totals.keys().collect::<Vec<_>>(),
            "total_spend_per_team": per_team.into_iter().map(total).collect::<Vec<_>>(),
            "daily_spend": daily.into_iter().map(day).collect::<Vec<_>>(),
        })))
    })
}

/// `GET /global/spend/tags`.
pub(crate) fn global_tags(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let days = Days::asked(&request)?.or_last(LAST);
        let mut filter = days.filter(DaysOf::Tags, &[By::Entity]);
        restrict(&request, &mut filter)?;
        if let Some(tags) =
            list(&request, "tags").filter(|tags| tags.iter().all(|tag| &**tag != "all-tags"))
        {
            filter.with.push((By::Entity, tags));
        }
        let found = sums(&request, &filter).await?;
        let row = |sum: &DaySum| json!({"name": first(sum), "spend": sum.spend, "log_count": sum.requests});
        let found: Vec<Value> = found.iter().map(row).collect();
        match form {
            Form::Csv => Ok(form.rows(&["name", "spend", "log_count"], &found)),
            Form::Json => Ok(page(&json!({"spend_per_tag": found}))),
        }
    })
}

/// `GET /global/spend/all_tag_names`.
pub(crate) fn tag_names(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let found = by(&request, (DaysOf::Tags, &[By::Entity]), &Days::asked(&request)?).await?;
        let names: BTreeSet<&str> = found.iter().map(first).collect();
        if form == Form::Csv {
            let names: Vec<Value> = names.iter().map(|name| json!({"tag_name": name})).collect();
            return Ok(form.rows(&["tag_name"], &names));
        }
        Ok(page(&json!({"tag_names": names})))
    })
}

/// `GET /spend/tags`.
pub(crate) fn tags(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let found = by(&request, (DaysOf::Tags, &[By::Entity]), &Days::asked(&request)?).await?;
        let row = |sum: &DaySum| json!({"individual_request_tag": first(sum), "log_count": sum.requests, "total_spend": sum.spend});
        let columns = ["individual_request_tag", "log_count", "total_spend"];
        Ok(form.rows(&columns, &found.iter().map(row).collect::<Vec<_>>()))
    })
}

/// `POST /global/spend/end_users`.
pub(crate) fn end_users(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        let body = body(&request, incoming).await?;
        let form = Form::of(&request)?;
        let (from, to) = (text(&body, "startTime")?, text(&body, "endTime")?);
        let days = Days::of(("startTime", from), ("endTime", to))?.or_last(LAST);
        let mut filter = days.filter(DaysOf::EndUsers, &[By::Entity]);
        restrict(&request, &mut filter)?;
        if let Some(key) = text(&body, "api_key")? {
            filter.with.push((By::Key, vec![hashed(key)]));
        }
        let found = dearest(&request, &filter, END_USERS).await?;
        let row = |sum: &DaySum| json!({"end_user": first(sum), "total_count": sum.requests, "total_spend": sum.spend});
        let columns = ["end_user", "total_count", "total_spend"];
        Ok(form.rows(&columns, &found.iter().map(row).collect::<Vec<_>>()))
    })
}

/// A text of the body; an empty one is none.
fn text<'a>(body: &'a Record, name: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
        Some(other) => Err(bad(format!("`{name}` must be a text, and is {other}")).param(name)),
    }
}

fn activity(found: &[DaySum], date: usize) -> Value {
    let day = |sum: &DaySum| {
        let tokens = sum.prompt_tokens + sum.completion_tokens;
        json!({"date": sum.of.get(date), "api_requests": sum.requests, "total_tokens": tokens})
    };
    let tokens: i64 = found.iter().map(|sum| sum.prompt_tokens + sum.completion_tokens).sum();
    let requests: i64 = found.iter().map(|sum| sum.requests).sum();
    json!({
        "daily_data": found.iter().rev().map(day).collect::<Vec<_>>(), "sum_api_requests": requests,
        "sum_total_tokens": tokens,
    })
}

/// `GET /global/activity`.
pub(crate) fn all_activity(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let form = Form::of(&request)?;
        let found = by(&request, (DaysOf::Users, &[By::Date]), &Days::named(&request)?).await?;
        let shown = activity(&found, 0);
        match (form, shown["daily_data"].as_array()) {
            (Form::Csv, Some(days)) => Ok(form.rows(&ACTIVITY, days)),
            _ => Ok(page(&shown)),
        }
    })
}

/// `GET /global/activity/model`.
pub(crate) fn model_activity(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        Form::must_be_json(&request)?;
        let found =
            by(&request, (DaysOf::Users, &[By::ModelGroup, By::Date]), &Days::named(&request)?)
                .await?;
        let mut models: BTreeMap<&str, Vec<DaySum>> = BTreeMap::new();
        for sum in &found {
            models.entry(first(sum)).or_default().push(sum.clone());
        }
        let row = |(model, found): (&str, Vec<DaySum>)| {
            let mut shown = activity(&found, 1);
            shown["model"] = json!(model);
            shown
        };
        Ok(page(&json!(models.into_iter().map(row).collect::<Vec<_>>())))
    })
}

/// `GET /spend/keys` and `/spend/users`: rows, the dearest first.
pub(crate) fn holders(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let limit = number(&request, "limit", (100, 10_000))?;
        let is_keys = request.head.uri.path().ends_with("/keys");
        let table = if is_keys { TenantTable::Keys } else { TenantTable::Users };
        let form = Form::of(&request)?;
        let columns = table.columns().iter().map(|(name, _)| *name);
        let columns: Vec<&str> = columns.filter(|name| *name != "password").collect();
        let mut find = Find { sorted_by: Some("spend"), limit, ..Find::all(table) };
        match Scope::of(&request)? {
            Scope::All => {}
            Scope::User(user) => find.with.push(("user_id", vec![user])),
            Scope::Key(key) if is_keys => find.with.push(("token", vec![key])),
            Scope::Key(_) => return Ok(form.rows(&columns, &[])),
        }
        if let Some(users) = list(&request, "user_id") {
            find.with.push(("user_id", users));
        }
        let found = store(&request)?.find(&find).await.map_err(|error| failed(&error))?;
        let row = |row: &Record| {
            let mut row = shown(table, row);
            row.remove("password");
            Value::Object(row)
        };
        Ok(form.rows(&columns, &found.iter().map(row).collect::<Vec<_>>()))
    })
}

/// `GET /global/spend/report`, `/key/spend/report`, `/user/...`, `/team/...`, `/organization/...`: each day with its teams,
/// customers, users or organizations, and what these spent by model and key; by `api_key` the keys.
pub(crate) fn report(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    Box::pin(async move {
        drop(incoming);
        let days = Days::named(&request)?;
        let of_path = match request.head.uri.path().split('/').nth(1) {
            Some("key") => Some("api_key"),
            Some("user") => Some("user"),
            Some("team") => Some("team"),
            Some("organization") => Some("organization"),
            _ => None,
        };
        let group_by = request.parameter("group_by");
        let kind = of_path.or(group_by.as_deref()).unwrap_or("team");
        let (of, name, plural) = match kind {
            "team" => (DaysOf::Teams, "team_name", "teams"),
            "customer" => (DaysOf::EndUsers, "customer", "customers"),
            "user" => (DaysOf::Users, "user_id", "users"),
            "organization" => (DaysOf::Organizations, "organization_id", "organizations"),
            "api_key" => (DaysOf::Users, "api_key", "keys"),
            other => {
                let allowed = ["team", "customer", "user", "organization", "api_key"];
                return Err(not_among("group_by", other, allowed.into_iter()));
            }
        };
        let form = Form::of(&request)?;
        let is_csv = form == Form::Csv;
        let told_apart: &[By] = match (kind, is_csv) {
            ("api_key", false) => &[By::Key, By::Model],
            ("api_key", true) => &[By::Date, By::Key, By::Model, By::Key],
            _ => &[By::Date, By::Entity, By::Model, By::Key],
        };
        let mut filter = days.filter(of, told_apart);
        restrict(&request, &mut filter)?;
        let parameter = match kind {
            "team" => "team_id",
            "customer" => "customer_id",
            "user" => "internal_user_id",
            "organization" => "organization_id",
            _ => "api_key",
        };
        if let Some(named) = list(&request, parameter).filter(|_| kind != "api_key") {
            filter.with.push((By::Entity, named));
        }
        let found = sums(&request, &filter).await?;
        if is_csv {
            let row = |sum: &DaySum| {
                let text = |at: usize| sum.of.get(at).cloned().unwrap_or_default();
                json!({
                    "day": text(0), name: text(1), "model": text(2), "api_key": text(3), "spend": sum.spend,
                    "prompt_tokens": sum.prompt_tokens, "completion_tokens": sum.completion_tokens, "requests": sum.requests,
                })
            };
            let tokens = ["prompt_tokens", "completion_tokens", "requests"];
            let mut columns =
                [["day", name, "model", "api_key", "spend"].as_slice(), &tokens].concat();
            if name == "api_key" {
                columns.remove(1);
            }
            return Ok(form.rows(&columns, &found.iter().map(row).collect::<Vec<_>>()));
        }
        if kind == "api_key" {
            return Ok(page(&per_key(&found)));
        }
        Ok(page(&per_day(&found, name, plural)))
    })
}

fn per_day(found: &[DaySum], name: &str, plural: &str) -> Value {
    let mut days: BTreeMap<&str, BTreeMap<&str, (f64, Vec<Value>)>> = BTreeMap::new();
    for sum in found {
        let [date, entity, model, key] = &sum.of[..] else { continue };
        let (spend, parts) = days.entry(date).or_default().entry(entity).or_default();
        *spend += sum.spend;
        parts.push(json!({
            "model": model, "api_key": key, "spend": sum.spend, "total_tokens": sum.prompt_tokens + sum.completion_tokens,
        }));
    }
    let part = |(entity, (spend, parts)): (&str, (f64, Vec<Value>))| json!({name: entity, "total_spend": spend, "metadata": parts});
    let day = |(date, entities): (&str, BTreeMap<&str, (f64, Vec<Value>)>)| {
        let parts: Vec<Value> = entities.into_iter().map(part).collect();
        json!({"group_by_day": format!("{date}T00:00:00+00:00"), plural: parts})
    };
    Value::Array(days.into_iter().map(day).collect())
}

fn per_key(found: &[DaySum]) -> Value {
    let mut keys: BTreeMap<&str, (DaySum, BTreeMap<&str, DaySum>)> = BTreeMap::new();
    let add = |to: &mut DaySum, sum: &DaySum| {
        to.spend += sum.spend;
        to.prompt_tokens += sum.prompt_tokens;
        to.completion_tokens += sum.completion_tokens;
    };
    for sum in found {
        let [key, model] = &sum.of[..] else { continue };
        let (total, models) = keys.entry(key).or_default();
        add(total, sum);
        add(models.entry(model).or_default(), sum);
    }
    let model = |(model, sum): (&str, DaySum)| {
        json!({
            "model": model, "total_cost": sum.spend, "total_input_tokens": sum.prompt_tokens,
            "total_output_tokens": sum.completion_tokens,
        })
    };
    let row = |(key, (total, models)): (&str, (DaySum, BTreeMap<&str, DaySum>))| {
        json!({
            "api_key": key, "total_cost": total.spend, "total_input_tokens": total.prompt_tokens,
            "total_output_tokens": total.completion_tokens,
            "model_details": models.into_iter().map(model).collect::<Vec<_>>(),
        })
    };
    Value::Array(keys.into_iter().map(row).collect())
}
