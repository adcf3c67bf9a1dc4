//! Budgets of providers, deployments and tags.
//!
//! Called by the readers of settings and of `litellm_params`, and by [`super::load`] once the deployments
//! are known. Always true: a budget that could not be kept refuses the config; what was spent stays with
//! a budget whose name and period stay the same.

use std::sync::Arc;

use crate::budget::{Budget, BudgetIndex, BudgetScope, Budgets};
use crate::health::Period;
use crate::prices;
use crate::provider;
use crate::snapshot::Snapshot;

use super::deployments::Draft;
use super::field::{Field, Unknown, visit};
use super::keys::Section;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::value::describe_kind;

/// Longest window, days.
const DAYS_MAX: u64 = 3_660;

/// What one budget allows.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    limit_usd: f64,
    period: Period,
    written: Box<str>,
}

/// `max_budget` and `budget_duration`, or `budget_limit` and `time_period`, as they are found.
#[derive(Debug, Default)]
pub(super) struct Parts {
    limit: Option<(f64, At)>,
    period: Option<(Period, Box<str>, At)>,
    /// Whether one of them was wrong, which has been said.
    is_wrong: bool,
}

impl Parts {
    /// Takes the amount.
    pub(super) fn limit(&mut self, field: &Field<'_>, problems: &mut Problems) {
        match field.number(problems) {
            Some(usd) if usd > 0.0 => self.limit = Some((usd, field.at)),
            Some(_) => {
                self.is_wrong = true;
                let hint = "remove it for no limit; `blocked: true` takes a deployment out";
                field.error(Wrong::new("a budget of 0 would let nothing pass", hint), problems);
            }
            None => self.is_wrong = true,
        }
    }

    /// Takes the length of the window.
    pub(super) fn period(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(text) = field.text(problems) else {
            self.is_wrong = true;
            return;
        };
        match period(text) {
            Some(period) => self.period = Some((period, text.trim().into(), field.at)),
            None => {
                self.is_wrong = true;
                let problem = format!("expected a length of time, got `{}`", shown(text));
                let hint = "write a number with a unit: `30s`, `10m`, `24h`, `7d`, `2w` or `1mo`";
                field.error(Wrong::new(problem, hint), problems);
            }
        }
    }

    /// Both together; `names` are theirs here.
    pub(super) fn terms(
        self,
        path: &Path<'_>,
        names: (&str, &str),
        problems: &mut Problems,
    ) -> Option<Terms> {
        let mut lacks = |at: At, present: &str, absent: &str| {
            let problem = format!("`{present}` without `{absent}` is no budget");
            problems.error(at, path, Wrong::new(problem, format!("add `{absent}`")));
        };
        match (self.limit, self.period) {
            (Some((limit_usd, _)), Some((period, written, _))) => {
                Some(Terms { limit_usd, period, written })
            }
            _ if self.is_wrong => None,
            (Some((_, at)), None) => {
                lacks(at, names.0, names.1);
                None
            }
            (None, Some((.., at))) => {
                lacks(at, names.1, names.0);
                None
            }
            (None, None) => None,
        }
    }
}

/// A length of time as the reference writes it.
fn period(text: &str) -> Option<Period> {
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let count: u64 = digits.parse().ok().filter(|count| *count > 0)?;
    let second = 1_000;
    let ms = match unit {
        "s" => second,
        "m" => 60 * second,
        "h" => 3_600 * second,
        "d" => 86_400 * second,
        "w" => 7 * 86_400 * second,
        "mo" => {
            return u16::try_from(count).ok().filter(|months| *months <= 120).map(Period::Months);
        }
        _ => return None,
    };
    count.checked_mul(ms).filter(|ms| *ms <= DAYS_MAX * 86_400 * second).map(Period::Ms)
}

/// A budget by name, and where it stands.
#[derive(Debug)]
pub(super) struct Named {
    name: Box<str>,
    at: At,
    terms: Terms,
}

/// `provider_budget_config` or `tag_budget_config`: `{name: {budget_limit, time_period}}`.
pub(super) fn by_name(field: &Field<'_>, problems: &mut Problems) -> Vec<Named> {
    let mut found = Vec::new();
    let Some(map) = field.map(problems) else { return found };
    for entry in &map.entries {
        let path = field.path.key(&entry.key);
        let Some(map) = entry.value.as_map() else {
            let problem = format!("expected a mapping, got {}", describe_kind(&entry.value));
            let hint = "write `{budget_limit: 100, time_period: 1d}`";
            problems.error(entry.value.at, &path, Wrong::new(problem, hint));
            continue;
        };
        let mut parts = Parts::default();
        visit(
            Section::Budget,
            Unknown::Report,
            map,
            &path,
            problems,
            |field, problems| match field.row.name {
                "budget_limit" | "max_budget" => parts.limit(field, problems),
                "time_period" | "budget_duration" => parts.period(field, problems),
                other => debug_assert!(false, "{other} is served by nobody"),
            },
        );
        let is_empty = parts.limit.is_none() && parts.period.is_none() && !parts.is_wrong;
        if is_empty {
            let wrong = Wrong::new("is no budget", "add `budget_limit` and `time_period`");
            problems.error(entry.at, &path, wrong);
        }
        if let Some(terms) = parts.terms(&path, ("budget_limit", "time_period"), problems) {
            found.push(Named { name: Box::from(&*entry.key), at: entry.at, terms });
        }
    }
    found
}

/// What the settings say.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// `provider_budget_config`.
    pub(super) providers: Vec<Named>,
    /// `tag_budget_config`.
    pub(super) tags: Vec<Named>,
}

/// All budgets; gives each draft its own.
pub(super) fn fill(
    written: Written,
    drafts: &mut [Draft],
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) -> Budgets {
    let mut budgets = Budgets::default();
    for named in written.providers {
        check_provider(&named, drafts, problems);
        let index = add(&mut budgets, BudgetScope::Provider, &named.name, named.terms, previous);
        for draft in drafts.iter_mut() {
            if draft.deployment.endpoint.provider.name == named.name {
                draft.deployment.routing.budgets.push(index);
            }
        }
    }
    for draft in drafts.iter_mut() {
        if let Some(terms) = draft.budget.take() {
            let id = draft.deployment.id.clone();
            let index = add(&mut budgets, BudgetScope::Deployment, &id, terms, previous);
            draft.deployment.routing.budgets.push(index);
        }
    }
    for named in written.tags {
        let index = add(&mut budgets, BudgetScope::Tag, &named.name, named.terms, previous);
        budgets.by_tag.insert(named.name, index);
    }
    for draft in &*drafts {
        let has_budget = !draft.deployment.routing.budgets.is_empty() || !budgets.by_tag.is_empty();
        if has_budget && !draft.deployment.facts.has_price() {
            let problem = "its price is not known: what it costs counts against no budget";
            let hint = "set `input_cost_per_token` and `output_cost_per_token`";
            draft.warn(Wrong::new(problem, hint), problems);
        }
    }
    budgets
}

fn add(
    budgets: &mut Budgets,
    scope: BudgetScope,
    name: &str,
    terms: Terms,
    previous: Option<&Snapshot>,
) -> BudgetIndex {
    let before = previous.and_then(|snapshot| {
        let same =
            |one: &&Budget| one.scope == scope && *one.name == *name && one.period == terms.period;
        snapshot.budgets.all.iter().find(same)
    });
    let index = BudgetIndex(u32::try_from(budgets.all.len()).unwrap_or(u32::MAX));
    budgets.all.push(Budget {
        scope,
        name: name.into(),
        limit_usd: terms.limit_usd,
        period: terms.period,
        written_period: terms.written,
        spend: before.map_or_else(Arc::default, |before| before.spend.clone()),
    });
    index
}

/// A misspelt name would leave a provider without its budget.
fn check_provider(named: &Named, drafts: &[Draft], problems: &mut Problems) {
    let name = &*named.name;
    if drafts.iter().any(|draft| *draft.deployment.endpoint.provider.name == *name) {
        return;
    }
    let path = Path::Root.key("router_settings");
    let path = path.key("provider_budget_config");
    let path = path.key(name);
    let is_known = provider::lookup(name).is_some() || prices::of_provider(name).next().is_some();
    if is_known {
        let problem = format!("no deployment is of provider `{}`", shown(name));
        problems.warn(named.at, &path, Wrong::new(problem, "this budget bounds nothing"));
        return;
    }
    let used = drafts.iter().map(|draft| &*draft.deployment.endpoint.provider.name);
    let known = used.chain(provider::all().map(|provider| &*provider.name));
    let near = did_you_mean(&problems.nearest(name, known));
    let hint = if near.is_empty() { "write the prefix of `model`".to_owned() } else { near };
    problems.error(
        named.at,
        &path,
        Wrong::new(format!("unknown provider `{}`", shown(name)), hint),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_numbers_with_units() {
        let day = 86_400_000;
        for (text, expected) in [
            ("30s", Period::Ms(30_000)),
            ("10m", Period::Ms(600_000)),
            ("24h", Period::Ms(day)),
            ("1d", Period::Ms(day)),
            ("2w", Period::Ms(14 * day)),
            ("1mo", Period::Months(1)),
        ] {
            assert_eq!(period(text), Some(expected), "{text}");
        }
        for bad in ["", "d", "0d", "1", "1y", "1.5d", "-1d", "1dd", "99999999999999999d", "999mo"] {
            assert_eq!(period(bad), None, "{bad}");
        }
    }
}
