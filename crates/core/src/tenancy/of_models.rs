//! Limits and budgets of single models: of a key, of its team, of its user.
//!
//! Part of [`super::access`]; made by [`super::load`]. Always true: a request counts against one entry of each, found by the names of its
//! model; what the key has of its own for that model takes the place of its team's, and what it has for another model does not;
//! without entries nothing is allocated.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::level::Level;
use crate::time::UnixMs;

/// Levels by the names of models.
pub type ByModel = BTreeMap<Box<str>, Arc<Level>>;

/// What each key may send to a model group within any minute, if it has no limit of its own for the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyLimits {
    /// Requests.
    pub rpm: Option<u64>,
    /// Tokens.
    pub tpm: Option<u64>,
}

impl KeyLimits {
    /// The smaller of each.
    #[must_use]
    pub fn least(self, other: KeyLimits) -> KeyLimits {
        let least = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        KeyLimits { rpm: least(self.rpm, other.rpm), tpm: least(self.tpm, other.tpm) }
    }
}

/// The names under which a model may have an entry, the most specific first. The first is the group's.
pub type Names<'n> = [&'n str; 4];

/// The names of the model of a request: its group, what was written for it, and both without their providers.
#[must_use]
pub fn names<'n>(group: &'n str, written: &'n str) -> Names<'n> {
    [group, written, bare(written), bare(group)]
}

/// A name without its provider.
pub(super) fn bare(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, bare)| bare)
}

/// Limits and budgets of single models.
#[derive(Debug, Default)]
pub struct OfModels {
    /// Requests of a minute: of the key, then of its team.
    pub rpm: [ByModel; 2],
    /// Tokens of a minute: the same.
    pub tpm: [ByModel; 2],
    /// Money: of the key, then of its team, then of its user.
    pub budgets: [ByModel; 3],
}

impl OfModels {
    /// What a request for a model of these names counts against.
    #[must_use]
    pub fn of(&self, names: Names<'_>) -> Vec<Arc<Level>> {
        let rates = [first(&self.rpm, names), first(&self.tpm, names)];
        self.money(names).chain(rates.into_iter().flatten()).cloned().collect()
    }

    /// Those of `default` for which neither the key nor its team has a limit for a model of these names.
    #[must_use]
    pub fn lacks(&self, names: Names<'_>, default: KeyLimits) -> KeyLimits {
        let rpm = default.rpm.filter(|_| first(&self.rpm, names).is_none());
        let tpm = default.tpm.filter(|_| first(&self.tpm, names).is_none());
        KeyLimits { rpm, tpm }
    }

    /// Its budgets.
    fn money(&self, names: Names<'_>) -> impl Iterator<Item = &Arc<Level>> {
        let [own, of_team, of_user] = &self.budgets;
        let own = entry(own, names).or_else(|| entry(of_team, names));
        own.into_iter().chain(entry(of_user, names))
    }

    /// Whether a budget of a model of these names is spent at that moment.
    #[must_use]
    pub fn is_spent(&self, names: Names<'_>, at: UnixMs) -> bool {
        self.money(names).any(|level| level.account.is_spent(&level.terms, at))
    }

    /// Whether a model has a budget.
    #[must_use]
    pub fn has_budgets(&self) -> bool {
        self.budgets.iter().any(|levels| !levels.is_empty())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Level>> {
        let maps = self.budgets.iter().chain(&self.rpm).chain(&self.tpm);
        maps.flat_map(BTreeMap::values)
    }
}

/// The key's entry for a model of these names, else its team's.
fn first<'l>([own, of_team]: &'l [ByModel; 2], names: Names<'_>) -> Option<&'l Arc<Level>> {
    entry(own, names).or_else(|| entry(of_team, names))
}

/// The entry for a model of these names.
#[must_use]
pub fn entry<'l>(levels: &'l ByModel, names: Names<'_>) -> Option<&'l Arc<Level>> {
    if levels.is_empty() {
        return None;
    }
    names.into_iter().find_map(|name| levels.get(name))
}
