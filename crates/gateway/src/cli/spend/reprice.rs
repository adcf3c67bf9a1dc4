//! `hale spend reprice`: what calls cost at the prices of now.
//!
//! Always true: a call whose price is not known, or that has no counts, stays as it is; a second run finds nothing more; a correction goes
//! the way of all spend, so that sums agree after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hale_core::money::Money;
use hale_core::snapshot::Snapshot;
use hale_core::usage::Usage;
use hale_store::{Batch, Database, PastCall, SpentCall, SpentRequest, SpentTexts};
use jiff::civil::Date;

use super::Done;
use crate::clock;

/// Calls that are read at once.
const AT_ONCE: u32 = 5_000;

/// What is to be priced again.
pub(super) struct Asked {
    from: Date,
    to: Date,
    is_dry: bool,
}

impl Asked {
    pub(super) fn of(from: &str, to: Option<&str>, is_dry: bool) -> Result<Asked, String> {
        let day = |text: &str| {
            text.parse::<Date>()
                .map_err(|_| format!("a day is written as 2026-11-28, not as {text}"))
        };
        let now = jiff::Timestamp::from_millisecond(i64::try_from(clock::unix_ms()).unwrap_or(0));
        let today = now.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date();
        Ok(Asked { from: day(from)?, to: to.map_or(Ok(today), day)?, is_dry })
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

/// What a call costs now; `None` if that is not known.
fn cost(call: &PastCall, snapshot: Option<&Snapshot>) -> Option<Money> {
    let counts: serde_json::Value = serde_json::from_str(&call.counts).ok()?;
    let usage = Usage::of_counts(&counts);
    if usage == Usage::default() {
        return None;
    }
    let of_config = snapshot.and_then(|snapshot| {
        snapshot.deployments.iter().find(|deployment| *deployment.id == *call.deployment)
    });
    match of_config {
        Some(deployment) => deployment.facts_of(&call.model).cost(&usage),
        None => hale_core::prices::priced(&call.provider, &call.model)?.cost(&usage),
    }
}

pub(super) async fn run(database: &Database, snapshot: Option<&Snapshot>, asked: &Asked) -> Done {
    let (from, to) = asked.ms()?;
    let failed = |error: hale_store::Error| error.to_string();
    let corrected = database.corrections().await.map_err(failed)?;
    let mut models: BTreeMap<(Box<str>, Box<str>), Changed> = BTreeMap::new();
    let mut after: Box<str> = "".into();
    let mut writer = Writer::new();
    loop {
        let calls = database.past_calls((from, to), &after, AT_ONCE).await.map_err(failed)?;
        let Some(last) = calls.last() else { break };
        after = last.id.clone();
        for call in calls.iter().filter(|call| !call.request.starts_with("reprice-")) {
            let Some(now) = cost(call, snapshot) else { continue };
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
    let mut text = String::new();
    for ((provider, model), (count, was, is)) in &models {
        text.push_str(&format!("{provider}/{model}: {count} calls, {was} USD were {is}\n"));
    }
    text.push_str(match (models.is_empty(), asked.is_dry) {
        (true, _) => "every call costs what it did\n",
        (false, true) => "nothing was changed\n",
        (false, false) => "corrected\n",
    });
    Ok((text, true))
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
