//! Limits and budgets of single models: of a key, of its team, of its user.
//!
//! Part of [`super::access`]; made by [`super::load`], which leaves out of the team's what the key has of its own. Always true: a request
//! counts against one entry of each, found by the names of its model; without entries nothing is allocated.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::level::Level;

/// Levels by the names of models.
pub type ByModel = BTreeMap<Box<str>, Arc<Level>>;

/// The names under which a model may have an entry, the most specific first.
pub type Names<'n> = [&'n str; 3];

/// The names of the model of a request: its group, what the client wrote, and that without its provider.
#[must_use]
pub fn names<'n>(group: &'n str, written: &'n str) -> Names<'n> {
    [group, written, bare(written)]
}

/// A name without its provider.
pub(super) fn bare(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, bare)| bare)
}

/// Limits and budgets of single models.
#[derive(Debug, Default)]
pub struct OfModels {
    /// Requests and tokens of a minute: of the key, then of its team.
    pub rates: [ByModel; 2],
    /// Money: of the key, then of its team, then of its user.
    pub budgets: [ByModel; 3],
}

impl OfModels {
    /// What a request for a model of these names counts against.
    #[must_use]
    pub fn of(&self, names: Names<'_>) -> Vec<Arc<Level>> {
        let all = self.budgets.iter().chain(&self.rates);
        all.filter_map(|levels| entry(levels, names)).cloned().collect()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Level>> {
        self.budgets.iter().chain(&self.rates).flat_map(BTreeMap::values)
    }
}

/// The entry for a model of these names.
#[must_use]
pub fn entry<'l>(levels: &'l ByModel, names: Names<'_>) -> Option<&'l Arc<Level>> {
    if levels.is_empty() {
        return None;
    }
    names.into_iter().find_map(|name| levels.get(name))
}
