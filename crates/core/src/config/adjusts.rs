//! `cost_discount_config` and `cost_margin_config`: what changes the costs of a provider.
//!
//! Called by the reader of settings, and by [`super::load`] once the deployments are known. Always true: a share that is no share is refused: costs
//! would be wrong; a provider that no deployment has is told.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::field::Field;
use super::problem::{At, Path, Problems, Wrong, shown};
use super::suggest::did_you_mean;
use super::tree::{Node, Value};
use super::value;
use crate::money::Money;
use crate::prices::{self, Adjust};
use crate::provider;

/// What stands for all providers that are not named.
const ALL: &str = "global";
/// The largest margin, as a share, and the largest fixed amount, USD.
const MARGIN_MAX: f64 = 10.0;
const FIXED_MAX: f64 = 1_000.0;

/// What the settings say.
#[derive(Debug, Default)]
pub(super) struct Written {
    discounts: BTreeMap<Box<str>, (f64, At)>,
    margins: BTreeMap<Box<str>, (f64, Money, At)>,
}

impl Written {
    /// `cost_discount_config`.
    pub(super) fn discounts(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(map) = field.map(problems) else { return };
        for entry in &map.entries {
            match value::number(&entry.value, 0.0, 1.0) {
                Ok(share) => drop(self.discounts.insert((*entry.key).into(), (share, entry.at))),
                Err(wrong) => {
                    field.wrong_in(entry.value.at, &field.path.key(&entry.key), wrong, problems);
                }
            }
        }
    }

    /// `cost_margin_config`.
    pub(super) fn margins(&mut self, field: &Field<'_>, problems: &mut Problems) {
        let Some(map) = field.map(problems) else { return };
        for entry in &map.entries {
            match margin(&entry.value) {
                Ok((share, fixed)) => {
                    self.margins.insert((*entry.key).into(), (share, fixed, entry.at));
                }
                Err(wrong) => {
                    field.wrong_in(entry.value.at, &field.path.key(&entry.key), wrong, problems);
                }
            }
        }
    }
}

/// A share, or `{percentage, fixed_amount}`.
fn margin(node: &Node) -> Result<(f64, Money), Wrong> {
    let share = |node: &Node| value::number(node, 0.0, MARGIN_MAX);
    let Value::Map(map) = &node.value else { return Ok((share(node)?, Money::ZERO)) };
    let (mut percentage, mut fixed) = (0.0, Money::ZERO);
    for entry in &map.entries {
        match &*entry.key {
            "percentage" => percentage = share(&entry.value)?,
            "fixed_amount" => {
                let usd = value::number(&entry.value, 0.0, FIXED_MAX)?;
                fixed = Money::of_usd(usd).unwrap_or_default();
            }
            other => {
                let problem = format!("unknown key `{}`", shown(other));
                return Err(Wrong::new(problem, "write `{percentage: 0.1, fixed_amount: 0.001}`"));
            }
        }
    }
    Ok((percentage, fixed))
}

/// Gives each draft what changes its costs.
pub(super) fn fill(written: &Written, drafts: &mut [Draft], problems: &mut Problems) {
    let named = |section: &'static str| (section, Path::Root.key("litellm_settings"));
    for (name, (_, at)) in &written.discounts {
        check(name, *at, named("cost_discount_config"), drafts, problems);
    }
    for (name, (.., at)) in written.margins.iter().filter(|(name, _)| &***name != ALL) {
        check(name, *at, named("cost_margin_config"), drafts, problems);
    }
    for draft in drafts {
        let provider = &*draft.deployment.endpoint.provider.name;
        let discount = written.discounts.get(provider).map_or(0.0, |(share, _)| *share);
        let margin = written.margins.get(provider).or_else(|| written.margins.get(ALL));
        let (margin, fixed) =
            margin.map_or((0.0, Money::ZERO), |(share, fixed, _)| (*share, *fixed));
        draft.deployment.facts.adjust = Adjust { discount, margin, fixed };
    }
}

/// A misspelt name would leave a provider's costs as they are.
fn check(
    name: &str,
    at: At,
    (section, settings): (&str, Path<'_>),
    drafts: &[Draft],
    problems: &mut Problems,
) {
    if drafts.iter().any(|draft| *draft.deployment.endpoint.provider.name == *name) {
        return;
    }
    let path = settings.key(section);
    let path = path.key(name);
    if provider::lookup(name).is_some() || prices::of_provider(name).next().is_some() {
        let problem = format!("no deployment is of provider `{}`", shown(name));
        problems.warn(at, &path, Wrong::new(problem, "it has no effect"));
        return;
    }
    let used = drafts.iter().map(|draft| &*draft.deployment.endpoint.provider.name);
    let known = used.chain(provider::all().map(|provider| &*provider.name));
    let near = did_you_mean(&problems.nearest(name, known));
    let hint = if near.is_empty() { "write the prefix of `model`".to_owned() } else { near };
    problems.error(at, &path, Wrong::new(format!("unknown provider `{}`", shown(name)), hint));
}
