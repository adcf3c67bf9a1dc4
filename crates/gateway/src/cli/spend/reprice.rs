//! `hale spend reprice`: what calls cost at the prices of now, or by the lists of their days.
//!
//! Always true: a call is priced at the hour at which it ended; one whose price is not known stays as it is, and is told; a second run finds nothing more; a correction goes the way of
//! all spend, so that sums agree after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use hale_core::deployment::Deployment;
use hale_core::group::GroupIndex;
use hale_core::money::Money;
use hale_core::prices::ModelFacts;
use hale_core::prices::dated::DatedLists;
use hale_core::snapshot::Snapshot;
use hale_core::usage::Usage;
use hale_store::{Batch, Database, PastCall, SpentCall, SpentRequest, SpentTexts};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Done;
use crate::clock;

/// Calls that are read at once.
const AT_ONCE: u32 = 5_000;
/// How a day is written.
const DAY: &str = "2026-11-28";

/// What is to be priced again.
pub(super) struct Asked {
    from: Date,
    to: Date,
    is_dry: bool,
    /// The lists of the days, if there are some.
    lists: Option<DatedLists>,
}

impl Asked {
    pub(super) fn of(
        (from, to): (&str, Option<&str>),
        lists: Option<DatedLists>,
        is_dry: bool,
    ) -> Result<Asked, String> {
        let day = |text: &str| {
            let day = text.parse::<Date>().ok().filter(|_| text.len() == DAY.len());
            day.ok_or_else(|| format!("a day is written as {DAY}, not as {text}"))
        };
        let now = jiff::Timestamp::from_millisecond(i64::try_from(clock::unix_ms()).unwrap_or(0));
        let today = now.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        let (from, to) = (day(from)?, to.map_or(Ok(today), day)?);
        if from > to {
            return Err(format!(
                "--from {from} is behind --to {to}: name the earlier day in --from"
            ));
        }
        Ok(Asked { from, to, is_dry, lists })
    }

    /// When the first day begins and the last one ends, milliseconds since 1970.
    fn ms(&self) -> Result<(i64, i64), String> {
        let start = |day: Date| {
            let at = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
            Ok::<i64, String>(at.timestamp().as_millisecond())
        };
        let behind = self.to.tomorrow().map_err(|error| error.to_string())?;
        Ok((start(self.from)?, start(behind)?))
    }
}

/// How many calls of a model change, and what they cost before and after.
type Changed = (u64, Money, Money);

/// Why a call keeps its cost, as a text behind its name.
type Unpriced = &'static str;

/// Calls that keep their cost: model group, provider, model, and why.
type Kept = BTreeMap<(Box<str>, Box<str>, Box<str>, Unpriced), u64>;

/// What a call costs now; `None` if nothing of it was counted, so that nothing was billed.
///
/// # Errors
/// Why that is not known.
fn cost(
    call: &PastCall,
    snapshot: Option<&Snapshot>,
    lists: Option<&DatedLists>,
) -> Result<Option<Money>, Unpriced> {
    let counts: serde_json::Value =
        serde_json::from_str(&call.counts).map_err(|_| "their counts cannot be read")?;
    let usage = Usage::of_counts(&counts);
    if usage == Usage::default() {
        return Ok(None);
    }
    let list = match lists {
        Some(lists) => Some(lists.of(day_of(call.at)?).ok_or("no list of --prices is of its day")?),
        None => None,
    };
    let Some(snapshot) = snapshot else {
        let listed = match list {
            Some(list) => list.priced(&call.provider, &call.model),
            None => hale_core::prices::priced(&call.provider, &call.model),
        };
        let cost = listed.and_then(|facts| facts.at(call.ended_at).cost(&usage));
        return cost
            .map(Some)
            .ok_or("the price list has no price of it, and no --config states one");
    };
    let cost_at = |deployment: &Arc<Deployment>| {
        let facts = deployment.facts_of(&call.model);
        let Some((list, name)) = list.zip(facts.listed_as.as_deref()) else {
            return facts.at(call.ended_at).cost(&usage);
        };
        // Sizes of images have entries of their own.
        if usage.units.images > 0 && !facts.sized_images.is_empty() {
            return None;
        }
        let (reported_cost, adjust) = (facts.reported_cost, facts.adjust);
        let dated = ModelFacts { reported_cost, adjust, ..list.exact(name)? };
        dated.at(call.ended_at).cost(&usage)
    };
    let costs: BTreeSet<Option<Money>> =
        deployments(call, snapshot).into_iter().map(cost_at).collect();
    match (costs.first(), costs.len()) {
        (Some(Some(cost)), 1) => Ok(Some(*cost)),
        (Some(_), 1) => Err("neither the config nor the price list has a price of it"),
        (None, _) => Err("no deployment of the config has that group, provider and model"),
        _ => Err(
            "deployments of the config with that group, provider and model have different prices",
        ),
    }
}

/// The day of a moment, UTC.
fn day_of(unix_ms: u64) -> Result<Date, Unpriced> {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map(|at| at.to_zoned(TimeZone::UTC).date()).ok_or("its time cannot be read")
}

/// Reads dated lists: a folder of files `2026-11-28.json`, each of which holds from its day on.
///
/// # Errors
/// Which file is none, and why.
pub(super) fn lists(folder: &Path) -> Result<DatedLists, String> {
    let failed = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    let mut lists = DatedLists::default();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let day = name.parse::<Date>().ok().filter(|_| name.len() == DAY.len());
        let day = day.ok_or_else(|| {
            format!(
                "{} is named after no day: a list of prices is DAY.json, as {DAY}.json",
                path.display()
            )
        })?;
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        lists
            .add(day, &text)
            .map_err(|problem| format!("{} is no list of prices: {problem}", path.display()))?;
        count += 1;
    }
    match count {
        0 => Err(format!("{} has no list of prices: name one {DAY}.json", folder.display())),
        _ => Ok(lists),
    }
}

/// The deployments of the config that a call may have been of: the one with its id; else, because an id without `model_info.id` changes
/// with the price, those of its group, provider and model.
fn deployments<'a>(call: &PastCall, snapshot: &'a Snapshot) -> Vec<&'a Arc<Deployment>> {
    let is_of_model = |deployment: &&Arc<Deployment>| {
        let endpoint = &deployment.endpoint;
        let model = &*endpoint.upstream_model;
        *endpoint.provider.name == *call.provider && (model.contains('*') || *model == *call.model)
    };
    let by_id = snapshot.by_id.get(&*call.deployment).map(|index| snapshot.deployment(*index));
    if let Some(deployment) = by_id.filter(is_of_model) {
        return vec![deployment];
    }
    let group = &*call.model_group;
    let named = snapshot.by_name.get(group).or_else(|| snapshot.by_model.get(group)).copied();
    let is_of_pattern = |index: &GroupIndex| {
        let pattern = snapshot.group(*index).pattern.as_ref();
        pattern.is_some_and(|pattern| pattern.captures(group).is_some())
    };
    let index = named.or_else(|| snapshot.wildcards.iter().copied().find(is_of_pattern));
    let members = index.into_iter().flat_map(|index| &snapshot.group(index).members);
    members.map(|index| snapshot.deployment(*index)).filter(is_of_model).collect()
}

pub(super) async fn run(database: &Database, snapshot: Option<&Snapshot>, asked: &Asked) -> Done {
    let (from, to) = asked.ms()?;
    let failed = |error: hale_store::Error| error.to_string();
    let corrected = database.corrections().await.map_err(failed)?;
    let mut models: BTreeMap<(Box<str>, Box<str>), Changed> = BTreeMap::new();
    let mut kept = Kept::new();
    let mut after: Box<str> = "".into();
    let mut writer = Writer::new();
    loop {
        let calls = database.past_calls((from, to), &after, AT_ONCE).await.map_err(failed)?;
        let Some(last) = calls.last() else { break };
        after = last.id.clone();
        for call in calls.iter().filter(|call| !call.request.starts_with("reprice-")) {
            let now = match cost(call, snapshot, asked.lists.as_ref()) {
                Ok(Some(now)) => now,
                Ok(None) => continue,
                Err(why) => {
                    let names = [&call.model_group, &call.provider, &call.model].map(Clone::clone);
                    let [group, provider, model] = names;
                    *kept.entry((group, provider, model, why)).or_default() += 1;
                    continue;
                }
            };
            let id = format!("reprice-{}", call.id);
            let known = corrected.get(&*id).copied().unwrap_or(0);
            let before = Money::of_parts(call.cost_nano.unwrap_or(0)).plus(Money::of_parts(known));
            if now == before {
                continue;
            }
            let (count, was, is) =
                models.entry((call.provider.clone(), call.model.clone())).or_default();
            (*count, *was, *is) = (*count + 1, was.plus(before), is.plus(now));
            if !asked.is_dry {
                let batch = writer.correction(call, &id, now.minus(before));
                let now_ms = i64::try_from(clock::unix_ms()).unwrap_or(i64::MAX);
                database.commit(&batch, now_ms).await.map_err(failed)?;
            }
        }
    }
    let days = (asked.from.to_string(), asked.to.to_string());
    let summed = database.summed_calls(&days.0, &days.1).await.map_err(failed)?;
    Ok((told(&models, &kept, summed, asked.is_dry), true))
}

/// What changes, and which calls could not be priced.
fn told(
    models: &BTreeMap<(Box<str>, Box<str>), Changed>,
    kept: &Kept,
    summed: i64,
    is_dry: bool,
) -> String {
    let mut text = String::new();
    for ((provider, model), (count, was, is)) in models {
        text.push_str(&format!("{provider}/{model}: {count} calls, {was} USD were {is}\n"));
    }
    for ((group, provider, model, why), count) in kept {
        text.push_str(&format!(
            "not priced: {count} calls of {group} ({provider}/{model}) keep their cost: {why}\n"
        ));
    }
    if summed > 0 {
        text.push_str(&format!(
            "not priced: {summed} calls are kept as sums and have no counts of their own\n"
        ));
    }
    let is_whole = kept.is_empty() && summed == 0;
    text.push_str(match (models.is_empty(), is_dry, is_whole) {
        (true, _, true) => "every call costs what it did\n",
        (true, _, false) => "no call that could be priced costs something else\n",
        (false, true, _) => "nothing was changed\n",
        (false, false, _) => "corrected\n",
    });
    text
}

/// Writes corrections under a name of its own.
struct Writer {
    name: String,
    number: i64,
}

impl Writer {
    fn new() -> Writer {
        Writer {
            name: format!("reprice-{:x}-{:06x}", clock::unix_ms(), fastrand::u32(..1 << 24)),
            number: 0,
        }
    }

    fn correction(&mut self, call: &PastCall, id: &str, difference: Money) -> Arc<Batch> {
        self.number += 1;
        let tags: Vec<Box<str>> = serde_json::from_str(&call.tags).unwrap_or_default();
        let calls = [SpentCall {
            deployment: &call.deployment,
            model_group: &call.model_group,
            provider: &call.provider,
            model: &call.model,
            began_at: call.at,
            ended_at: call.at,
            counted_by: "none",
            cost_nano: Some(difference.parts()),
            ..SpentCall::default()
        }];
        let request = SpentRequest {
            at: call.at,
            ended_at: call.at,
            call_id: id,
            operation: &call.operation,
            call_type: "reprice",
            key: &call.key,
            user: call.user.as_deref(),
            team: call.team.as_deref(),
            organization: call.organization.as_deref(),
            end_user: call.end_user.as_deref(),
            tags: &tags,
            model_group: Some(&call.model_group),
            is_correction: true,
            calls: &calls,
            ..SpentRequest::default()
        };
        Arc::new(Batch::of_spent((&self.name, self.number), &request, &SpentTexts::default()))
    }
}
