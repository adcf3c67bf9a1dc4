//! From the columns about single models and about several periods to levels.
//!
//! Part of [`super`]. Always true: all entries are kept, of the key and of its team: which of them counts is decided for each request,
//! by the names of its model; a budget of a model without a period is no budget, and is named.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::rows::{FORMER_KEYS, KeyRows, Opening};
use crate::money::Money;
use crate::tenancy::account::{Account, Budget, Terms};
use crate::tenancy::duration::BudgetDuration;
use crate::tenancy::key_text::KeyHash;
use crate::tenancy::level::{Counter, Level};
use crate::tenancy::of_models::{ByModel, OfModels};
use crate::tenancy::row::{Record, Row, count_of};
use crate::tenancy::subject::{Subject, SubjectKind};
use crate::time::UnixMs;

/// Rows of counters, and when they were read.
#[derive(Clone, Copy)]
pub(super) struct Counters<'r>(pub(super) &'r [Record], pub(super) UnixMs);

/// Whose budgets of models, or of periods, they are.
#[derive(Clone, Copy)]
pub(super) struct Owner<'r> {
    /// Of what kind the levels are.
    pub(super) kind: SubjectKind,
    /// Its id.
    pub(super) id: &'r str,
    /// Its id in the rows of counters.
    pub(super) counted_as: &'r str,
    /// What people call it.
    pub(super) alias: &'r str,
}

impl Owner<'_> {
    /// The subject of its budget of a model, or of all models if that is empty, in a period. The period is part of it: another one is
    /// another account.
    fn budget(self, model: &str, period: &str) -> Subject {
        let name = match self.kind {
            SubjectKind::ModelBudgetOfKey | SubjectKind::WindowOfKey => Some(self.alias),
            _ => None,
        };
        Subject::of_budget(self.kind, (self.id, name), (model, period))
    }

    /// The subject of its limits of a model.
    fn rates(self, model: &str) -> Subject {
        if self.kind != SubjectKind::ModelOfKey {
            return Subject::of_model(self.kind, self.id, model);
        }
        let id = format!("{}:{model}", self.id).into();
        Subject { kind: self.kind, id, name: self.alias.into() }
    }

    fn counter(self, model: &str, period: &str) -> Counter {
        let kind = match self.kind {
            SubjectKind::ModelBudgetOfTeam | SubjectKind::WindowOfTeam => "team",
            SubjectKind::ModelBudgetOfUser => "user",
            SubjectKind::ModelBudgetOfEndUser => "end_user",
            _ => "key",
        };
        let id = self.counted_as.into();
        Counter { kind, id, model: model.into(), period: period.into() }
    }
}

impl Counters<'_> {
    /// What was spent in the period of now, and when that ends.
    fn opening(self, counter: &Counter, duration: BudgetDuration) -> Opening {
        let ends = duration.next(self.1, &TimeZone::UTC);
        let is_it = |row: &&Record| {
            let row = Row(row);
            let same = |column: &str, text: &str| row.text(column).unwrap_or_default() == text;
            same("kind", counter.kind)
                && same("id", &counter.id)
                && same("model", &counter.model)
                && same("period", &counter.period)
                && row.time("ends") == Some(ends)
        };
        let nano = self.0.iter().find(is_it).and_then(|row| Row(row).count("cost_nano"));
        let nano = nano.and_then(|nano| i64::try_from(nano).ok()).unwrap_or(0);
        (Money::of_parts(nano), Some(ends))
    }
}

/// Dollars, which some writers have as a text.
fn usd(value: &Value) -> Option<Money> {
    let usd = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Money::of_usd(usd).filter(|usd| *usd >= Money::ZERO)
}

/// What a model's entry allows to spend, and in which period.
fn entry(entry: &Value) -> Option<(Money, Option<&str>)> {
    let either = |one: &str, other: &str| entry.get(one).or_else(|| entry.get(other));
    let max = usd(either("budget_limit", "max_budget")?)?;
    let period = either("time_period", "budget_duration").and_then(Value::as_str);
    Some((max, period.filter(|text| !text.is_empty())))
}

/// A level with a budget and a counter of its own.
fn counted(
    owner: Owner<'_>,
    (model, max, period): (&str, Money, &str),
    counters: Counters<'_>,
    account: &mut impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> Option<Arc<Level>> {
    let duration = BudgetDuration::parse("budget_duration", period).ok()?;
    let subject = owner.budget(model, period);
    let counter = owner.counter(model, period);
    let account = account(&subject, counters.opening(&counter, duration));
    let budget = Budget { max, duration: Some(duration), raised: None, zone: TimeZone::UTC };
    let terms = Terms { budget: Some(budget), ..Terms::default() };
    Some(Arc::new(Level { subject, terms, account, clock: None, counter: Some(counter) }))
}

/// The budgets of models, and the entries that limit nothing because their period is missing; `place` is before their names.
pub(super) fn budgets(
    owner: Owner<'_>,
    (entries, place): (&Record, &str),
    counters: Counters<'_>,
    account: &mut impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> (ByModel, Vec<Box<str>>) {
    let (mut levels, mut unused) = (ByModel::new(), Vec::new());
    for (model, value) in entries {
        let Some((max, period)) = entry(value) else { continue };
        let level =
            period.and_then(|period| counted(owner, (model, max, period), counters, account));
        match level {
            Some(level) => drop(levels.insert(model.as_str().into(), level)),
            None => unused.push(format!("{place}model_max_budget.{model}").into()),
        }
    }
    (levels, unused)
}

/// Limits of a minute, by models.
#[derive(Default)]
struct Rates {
    rpm: BTreeMap<String, u64>,
    tpm: BTreeMap<String, u64>,
}

impl Rates {
    /// Those of metadata; without any, those beside the budgets of models.
    fn of(metadata: &Record, budgets: &Record) -> Rates {
        let read = |member: &str, beside: &str| {
            let own = Row(metadata).object(member);
            let counts =
                own.iter().filter_map(|(name, value)| Some((name.clone(), count_of(value)?)));
            if !own.is_empty() {
                return counts.collect();
            }
            let beside = |(name, value): (&String, &Value)| {
                Some((name.clone(), count_of(value.get(beside)?)?))
            };
            budgets.iter().filter_map(beside).collect()
        };
        Rates {
            rpm: read("model_rpm_limit", "rpm_limit"),
            tpm: read("model_tpm_limit", "tpm_limit"),
        }
    }

    fn is_empty(&self) -> bool {
        self.rpm.is_empty() && self.tpm.is_empty()
    }

    /// The levels of requests, and of tokens: one model's share an account.
    fn levels(
        &self,
        owner: Owner<'_>,
        account: &mut impl FnMut(&Subject, Opening) -> Arc<Account>,
    ) -> [ByModel; 2] {
        let mut level = |name: &str, terms: Terms| {
            let subject = owner.rates(name);
            let account = account(&subject, (Money::ZERO, None));
            (name.into(), Arc::new(Level { subject, terms, account, clock: None, counter: None }))
        };
        let rpm = self
            .rpm
            .iter()
            .map(|(name, limit)| level(name, Terms { rpm: Some(*limit), ..Terms::default() }));
        let rpm = rpm.collect();
        let tpm = self
            .tpm
            .iter()
            .map(|(name, limit)| level(name, Terms { tpm: Some(*limit), ..Terms::default() }));
        [rpm, tpm.collect()]
    }
}

/// The id of a key in rows of counters: the first hash that it had, so that a key that is replaced has spent what it has.
#[must_use]
pub fn counted_as(key: Row<'_>, hash: &str) -> Box<str> {
    let former = Row(&key.object("metadata")).list(FORMER_KEYS);
    former.into_iter().next().unwrap_or_else(|| hash.into())
}

/// Limits and budgets of models, and the entries that limit nothing.
pub(super) fn of_models(
    rows: &KeyRows,
    hash: KeyHash,
    account: &mut impl FnMut(&Subject, Opening) -> Arc<Account>,
) -> (OfModels, Vec<Box<str>>) {
    let key = Row(&rows.key);
    let linked = rows.budget.as_ref().map(Row);
    let own = Some(key.object("model_max_budget")).filter(|own| !own.is_empty());
    let own = own.or_else(|| linked.map(|row| row.object("model_max_budget"))).unwrap_or_default();
    let metadata = key.object("metadata");
    let of_team = rows.team.as_ref().map(Row);
    let (team, user) = (key.text("team_id"), key.text("user_id"));
    let mut found = (OfModels::default(), Vec::new());
    let of_user = rows.user.as_ref().map(|row| Row(row).object("model_max_budget"));
    let nothing = own.is_empty()
        && !Row(&metadata).has("model_rpm_limit")
        && !Row(&metadata).has("model_tpm_limit")
        && of_team.is_none()
        && of_user.as_ref().is_none_or(Record::is_empty);
    if nothing {
        return found;
    }
    let counters = Counters(&rows.counters, rows.read_at);
    let text = hash.to_string();
    let alias = key.text("key_alias").unwrap_or(&text);
    let first = counted_as(key, &text);
    let owner = |kind| Owner { kind, id: &text, counted_as: &first, alias };
    let (levels, unused) =
        budgets(owner(SubjectKind::ModelBudgetOfKey), (&own, ""), counters, account);
    found.0.budgets[0] = levels;
    found.1.extend(unused);
    let rates = Rates::of(&metadata, &own);
    if !rates.is_empty() {
        [found.0.rpm[0], found.0.tpm[0]] = rates.levels(owner(SubjectKind::ModelOfKey), account);
    }
    let owner = |kind, id| Owner { kind, id, counted_as: id, alias: id };
    if let Some((row, id)) = of_team.zip(team) {
        let of_team = row.object("model_max_budget");
        let team = owner(SubjectKind::ModelBudgetOfTeam, id);
        let (levels, unused) = budgets(team, (&of_team, "team."), counters, account);
        found.0.budgets[1] = levels;
        found.1.extend(unused);
        let of_team = Rates::of(&row.object("metadata"), &Record::new());
        if !of_team.is_empty() {
            let team = owner(SubjectKind::ModelOfTeam, id);
            [found.0.rpm[1], found.0.tpm[1]] = of_team.levels(team, account);
        }
    }
    if let Some((row, id)) = of_user.zip(user) {
        let user = owner(SubjectKind::ModelBudgetOfUser, id);
        let (levels, unused) = budgets(user, (&row, "user."), counters, account);
        found.0.budgets[2] = levels;
        found.1.extend(unused);
    }
    found
}

/// Adds the budgets of several periods, of the key and of its team.
pub(super) fn windows(
    rows: &KeyRows,
    hash: KeyHash,
    (account, levels): (&mut impl FnMut(&Subject, Opening) -> Arc<Account>, &mut Vec<Arc<Level>>),
) {
    let key = Row(&rows.key);
    let counters = Counters(&rows.counters, rows.read_at);
    let mut add = |owner: Owner<'_>, row: Row<'_>| {
        for window in row.items("budget_limits") {
            let max = window.get("max_budget").and_then(usd);
            let period = window.get("budget_duration").and_then(Value::as_str);
            let Some((max, period)) = max.zip(period) else { continue };
            levels.extend(counted(owner, ("", max, period), counters, account));
        }
    };
    if key.has("budget_limits") {
        let text = hash.to_string();
        let first = counted_as(key, &text);
        let alias = key.text("key_alias").unwrap_or(&text);
        let kind = SubjectKind::WindowOfKey;
        add(Owner { kind, id: &text, counted_as: &first, alias }, key);
    }
    if let Some((team, id)) = rows.team.as_ref().map(Row).zip(key.text("team_id")) {
        let kind = SubjectKind::WindowOfTeam;
        add(Owner { kind, id, counted_as: id, alias: id }, team);
    }
}

/// The models that take the place of one whose budget is spent.
pub(super) fn fallbacks(key: Row<'_>) -> BTreeMap<Box<str>, Vec<Box<str>>> {
    let all = key.object("budget_fallbacks");
    let names = all.keys().map(|name| (name.as_str().into(), Row(&all).list(name)));
    names.collect()
}
