//! Budgets of the process, of providers, deployments and tags.
//!
//! Called by the readers of settings and of `litellm_params`, and by [`super::load`] once the
//! deployments are known. Always true: a config with a budget that could not be enforced is
//! refused; a budget whose name and period stay the same keeps its spend.

use std::sync::Arc;

use crate::budget::{Budget, BudgetIndex, BudgetScope, Budgets};
use crate::prices;
use crate::provider;
use crate::snapshot::Snapshot;

use super::budget_terms::{Parts, Terms};
use super::draft::Draft;
use super::field::{Field, visit};
use super::if_wrong::IfWrong;
use super::keys::Section;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::value::{self, describe_kind};

/// A budget by name, and where it is.
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
            field.wrong_in(entry.value.at, &path, Wrong::new(problem, hint), problems);
            continue;
        };
        let mut parts = Parts::default();
        visit(Section::Budget, map, &path, problems, |field, problems| match field.row.name {
            "budget_limit" | "max_budget" => parts.limit(field, problems),
            "time_period" | "budget_duration" => parts.period(field, problems),
            other => debug_assert!(false, "{other} is in keys.rs but nothing reads it"),
        });
        if parts.is_empty() {
            let wrong =
                Wrong::new("is not a budget: ignored", "add `budget_limit` and `time_period`");
            problems.warn(entry.at, &path, wrong);
        }
        let names = ("budget_limit", "time_period");
        if let Some(terms) = parts.terms(&path, names, field.if_wrong, problems) {
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
    /// `litellm_settings.max_budget` and `budget_duration`.
    pub(super) all: Parts,
}

impl Written {
    /// A key of the budget of all requests. As in LiteLLM, 0 is no limit.
    pub(super) fn of_all(&mut self, field: &Field<'_>, problems: &mut Problems) {
        match field.row.name {
            "budget_duration" => self.all.period(field, problems),
            _ if value::number(field.node, 0.0, 0.0).is_ok() => {}
            _ => self.all.limit(field, problems),
        }
    }
}

/// Returns all budgets and gives each draft its own.
pub(super) fn fill(
    written: Written,
    drafts: &mut [Draft],
    previous: Option<&Snapshot>,
    problems: &mut Problems,
) -> Budgets {
    let mut budgets = Budgets::default();
    let path = Path::Root.key("litellm_settings");
    let names = ("max_budget", "budget_duration");
    if let Some(terms) = written.all.terms(&path, names, IfWrong::Refuse, problems) {
        let index = add(&mut budgets, BudgetScope::Gateway, "all", terms, previous);
        for draft in drafts.iter_mut() {
            draft.deployment.routing.budgets.push(index);
        }
    }
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
            let problem = "its price is unknown, so its cost counts against no budget";
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
        problems.warn(named.at, &path, Wrong::new(problem, "this budget has no effect"));
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
