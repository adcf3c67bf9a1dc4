//! `/user/daily/activity` and its relatives: days with breakdowns by model, provider, key and entity.

use std::collections::{BTreeMap, BTreeSet};

use hale_core::tenancy::{Record, Row};
use hale_store::{By, DayFilter, DaySum, DaysOf, Find, TenantTable};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use super::days::Days;
use super::form::Form;
use super::scope::{Scope, keys, list, number, sums};
use crate::http::refusal::{self, Refusal};
use crate::pages::admin::{failed, page, store};
use crate::pages::{PageRequest, Waiting};

/// What days are told apart by.
const BY: [By; 7] =
    [By::Date, By::Entity, By::Key, By::Model, By::ModelGroup, By::Provider, By::Endpoint];
/// The breakdowns, and the places of [`BY`] that they are made of.
const BREAKDOWNS: [(&str, usize); 5] =
    [("models", 3), ("model_groups", 4), ("providers", 5), ("endpoints", 6), ("entities", 1)];

/// Metrics of some days.
#[derive(Default)]
struct Metrics(DaySum);

impl Metrics {
    fn add(&mut self, sum: &DaySum) {
        let to = &mut self.0;
        to.spend += sum.spend;
        to.prompt_tokens += sum.prompt_tokens;
        to.completion_tokens += sum.completion_tokens;
        to.cache_read_tokens += sum.cache_read_tokens;
        to.cache_write_tokens += sum.cache_write_tokens;
        to.requests += sum.requests;
        to.successful += sum.successful;
        to.failed += sum.failed;
    }

    fn shown(&self) -> Value {
        let sum = &self.0;
        json!({
            "spend": sum.spend, "prompt_tokens": sum.prompt_tokens, "completion_tokens": sum.completion_tokens,
            "cache_read_input_tokens": sum.cache_read_tokens, "cache_creation_input_tokens": sum.cache_write_tokens,
            "total_tokens": sum.prompt_tokens + sum.completion_tokens, "successful_requests": sum.successful,
            "failed_requests": sum.failed, "api_requests": sum.requests,
        })
    }
}

/// A part of a day, with its keys.
#[derive(Default)]
struct Part {
    metrics: Metrics,
    keys: BTreeMap<Box<str>, Metrics>,
}

/// A day.
#[derive(Default)]
struct Day {
    metrics: Metrics,
    parts: BTreeMap<&'static str, BTreeMap<Box<str>, Part>>,
    keys: BTreeMap<Box<str>, Metrics>,
}

impl Day {
    fn add(&mut self, sum: &DaySum) {
        self.metrics.add(sum);
        let text = |at: usize| sum.of.get(at).cloned().unwrap_or_default();
        let key = text(2);
        for (name, at) in BREAKDOWNS {
            if text(at).is_empty() && name != "entities" {
                continue;
            }
            let part = self.parts.entry(name).or_default().entry(text(at)).or_default();
            part.metrics.add(sum);
            part.keys.entry(key.clone()).or_default().add(sum);
        }
        self.keys.entry(key).or_default().add(sum);
    }

    fn shown(&self, names: &BTreeMap<Box<str>, Record>) -> Value {
        let of_key = |key: &str| {
            let row = names.get(key);
            let text = |name: &str| row.and_then(|row| Row(row).text(name).map(str::to_owned));
            json!({"key_alias": text("key_alias"), "team_id": text("team_id"), "user_id": text("user_id")})
        };
        let key = |key: &str, metrics: &Metrics| {
            (key.to_owned(), json!({"metrics": metrics.shown(), "metadata": of_key(key)}))
        };
        let mut breakdown = Map::new();
        for (name, _) in BREAKDOWNS {
            let part = |name: &str, part: &Part| {
                let keys: Map<_, _> =
                    part.keys.iter().map(|(hash, metrics)| key(hash, metrics)).collect();
                let shown = json!({"metrics": part.metrics.shown(), "metadata": {}, "api_key_breakdown": keys});
                (name.to_owned(), shown)
            };
            let parts = self.parts.get(name).into_iter().flatten();
            let parts: Map<_, _> = parts.map(|(name, one)| part(name, one)).collect();
            breakdown.insert(name.to_owned(), Value::Object(parts));
        }
        breakdown.insert("mcp_servers".to_owned(), json!({}));
        let keys = self.keys.iter().map(|(hash, metrics)| key(hash, metrics)).collect();
        breakdown.insert("api_keys".to_owned(), Value::Object(keys));
        json!({"metrics": self.metrics.shown(), "breakdown": breakdown})
    }
}

/// Whose days a page is about, and the parameter that names some of them.
type Subject = (DaysOf, &'static str);

/// `GET /user/daily/activity`.
pub(crate) fn of_users(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    drop(incoming);
    Box::pin(activity(request, (DaysOf::Users, "user_id")))
}

/// `GET /team/daily/activity`.
pub(crate) fn of_teams(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    drop(incoming);
    Box::pin(activity(request, (DaysOf::Teams, "team_ids")))
}

/// `GET /organization/daily/activity`.
pub(crate) fn of_organizations(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    drop(incoming);
    Box::pin(activity(request, (DaysOf::Organizations, "organization_ids")))
}

/// `GET /customer/daily/activity`.
pub(crate) fn of_customers(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    drop(incoming);
    Box::pin(activity(request, (DaysOf::EndUsers, "end_user_ids")))
}

/// `GET /tag/daily/activity`.
pub(crate) fn of_tags(request: PageRequest<'_>, incoming: Incoming) -> Waiting<'_> {
    drop(incoming);
    Box::pin(activity(request, (DaysOf::Tags, "tags")))
}

async fn activity(
    request: PageRequest<'_>,
    (of, parameter): Subject,
) -> Result<http::Response<crate::http::reply::Reply>, Refusal> {
    Form::must_be_json(&request)?;
    let days = Days::named(&request)?;
    let mut filter = days.filter(of, &BY);
    restrict(&request, of, &mut filter.with)?;
    if let Some(named) = list(&request, parameter) {
        filter.with.push((By::Entity, named));
    }
    if let Some(keys) = keys(&request, "api_key") {
        filter.with.push((By::Key, keys));
    }
    if let Some(models) = list(&request, "model") {
        filter.with.push((By::Model, models));
    }
    let is_whole = request.head.uri.path().ends_with("/aggregated");
    let (at, size) = match is_whole {
        true => (1, u32::MAX),
        false => {
            (number(&request, "page", (1, 1_000_000))?, number(&request, "page_size", (50, 1_000))?)
        }
    };
    let days = sums(&request, &DayFilter { by: vec![By::Date], ..filter.clone() }).await?;
    let mut all = Metrics::default();
    days.iter().for_each(|day| all.add(day));
    let pages = u32::try_from(days.len()).unwrap_or(u32::MAX).div_ceil(size).max(1);
    let on_page = days.iter().skip((at - 1).saturating_mul(size) as usize).take(size as usize);
    let on_page: Vec<&DaySum> = on_page.collect();
    let results = match (on_page.first().map(|day| date_of(day)), on_page.last()) {
        (Some(newest), Some(oldest)) => {
            (filter.from, filter.to) = (date_of(oldest).into(), newest.into());
            results(&request, &filter).await?
        }
        _ => Vec::new(),
    };
    Ok(page(&json!({"results": results, "metadata": {
        "total_spend": all.0.spend, "total_prompt_tokens": all.0.prompt_tokens,
        "total_completion_tokens": all.0.completion_tokens,
        "total_tokens": all.0.prompt_tokens + all.0.completion_tokens, "total_api_requests": all.0.requests,
        "total_successful_requests": all.0.successful, "total_failed_requests": all.0.failed,
        "total_cache_read_input_tokens": all.0.cache_read_tokens,
        "total_cache_creation_input_tokens": all.0.cache_write_tokens,
        "page": at, "total_pages": pages, "has_more": at < pages,
    }})))
}

fn date_of(sum: &DaySum) -> &str {
    sum.of.first().map_or("", |date| date)
}

/// Each day of the filter with its breakdowns, the newest first.
async fn results(request: &PageRequest<'_>, filter: &DayFilter) -> Result<Vec<Value>, Refusal> {
    let found = sums(request, filter).await?;
    let mut by_day: BTreeMap<&str, Day> = BTreeMap::new();
    for sum in &found {
        by_day.entry(date_of(sum)).or_default().add(sum);
    }
    let names = names(request, &found).await?;
    let shown = by_day.iter().rev().map(|(date, day)| {
        let mut day = day.shown(&names);
        day["date"] = json!(date);
        day
    });
    Ok(shown.collect())
}

/// Keeps a client that is no admin to what is its own.
fn restrict(
    request: &PageRequest<'_>,
    of: DaysOf,
    with: &mut Vec<(By, Vec<Box<str>>)>,
) -> Result<(), Refusal> {
    let scope = Scope::of(request)?;
    let identity = request.arrival.principal.identity();
    match (of, &scope) {
        (_, Scope::All) => {}
        (DaysOf::Users, _) => with.extend(scope.of_days()),
        (DaysOf::Teams, _) => match identity.and_then(|it| it.team.clone()) {
            // Its own part of what its team spent.
            Some(team) => {
                let key = request.arrival.principal.identity().map(|it| (&*it.key).into());
                with.push((By::Entity, vec![(&*team).into()]));
                with.push((By::Key, key.into_iter().collect()));
            }
            None => {
                return Err(refusal::of_admin(
                    http::StatusCode::FORBIDDEN,
                    "auth_error",
                    "this key has no team, and sees no other team's spend".to_owned(),
                ));
            }
        },
        (DaysOf::Organizations | DaysOf::EndUsers | DaysOf::Tags, _) => {
            let access = request.arrival.principal.access();
            let path = request.head.uri.path();
            return Err(access.map_or_else(refusal::no_admin, |access| {
                refusal::denied(access.admin_only(path))
            }));
        }
    }
    Ok(())
}

/// The rows of the keys that days name.
async fn names(
    request: &PageRequest<'_>,
    sums: &[DaySum],
) -> Result<BTreeMap<Box<str>, Record>, Refusal> {
    let hashes: BTreeSet<Box<str>> = sums.iter().filter_map(|sum| sum.of.get(2).cloned()).collect();
    if hashes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let find = Find {
        limit: u32::MAX,
        ..Find::with(TenantTable::Keys, "token", hashes.into_iter().collect())
    };
    let rows = store(request)?.find(&find).await.map_err(|error| failed(&error))?;
    let named = |row: Record| Some((Row(&row).text("token")?.into(), row));
    Ok(rows.into_iter().filter_map(named).collect())
}
