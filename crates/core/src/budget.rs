//! Budgets: what all requests, a provider, a deployment or a tag may cost within a window.
//!
//! Built by [`crate::config`], read by [`crate::route`], charged by the gateway once per record
//! with a cost. Always true: no attempt begins under a spent budget until its window ends; attempts
//! that are already in flight continue and are charged. A reload keeps the spend if name and period
//! stay the same.

use std::collections::HashMap;
use std::sync::Arc;

use crate::health::{Period, Spend};
use crate::time::Millis;

pub use crate::index::BudgetIndex;

/// Whose costs a budget limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BudgetScope {
    /// All deployments of a provider: `provider_budget_config`.
    Provider,
    /// One deployment: `max_budget`.
    Deployment,
    /// Requests with a tag: `tag_budget_config`.
    Tag,
    /// All requests of the process: `litellm_settings.max_budget`.
    Gateway,
}

impl BudgetScope {
    /// Its name on pages and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BudgetScope::Provider => "provider",
            BudgetScope::Deployment => "deployment",
            BudgetScope::Tag => "tag",
            BudgetScope::Gateway => "gateway",
        }
    }
}

/// One budget.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Whose it is.
    pub scope: BudgetScope,
    /// The provider, the deployment's id, the tag, or `all`.
    pub name: Box<str>,
    /// USD per window; above 0.
    pub limit_usd: f64,
    /// The window.
    pub period: Period,
    /// The window as the config writes it: `1d`.
    pub written_period: Box<str>,
    /// The spend; shared with earlier snapshots.
    pub spend: Arc<Spend>,
}

impl Budget {
    /// USD spent in the open window, and milliseconds until it ends; nothing without an open
    /// window.
    #[must_use]
    pub fn spent(&self, now: Millis) -> (f64, Option<u64>) {
        match self.spend.window(now) {
            Some((usd, ends)) => (usd, Some(ends.since(now))),
            None => (0.0, None),
        }
    }

    /// Milliseconds until a spent budget may be used again; `None` if it is not spent.
    #[must_use]
    pub fn exhausted_for(&self, now: Millis) -> Option<u64> {
        let (usd, ends) = self.spend.window(now)?;
        (usd >= self.spend.own_part(self.limit_usd)).then(|| ends.since(now))
    }

    /// USD left in the window.
    #[must_use]
    pub fn remaining_usd(&self, now: Millis) -> f64 {
        (self.limit_usd - self.spent(now).0).max(0.0)
    }
}

/// All budgets of a config.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    /// All: those of providers, then those of deployments, then those of tags.
    pub all: Vec<Budget>,
    /// The budgets of tags.
    pub by_tag: HashMap<Box<str>, BudgetIndex>,
}

impl Budgets {
    /// The budget at `index`, which must come from the same config.
    #[must_use]
    pub fn get(&self, index: BudgetIndex) -> &Budget {
        &self.all[index.0 as usize]
    }

    /// The budgets of those of `tags` that have one.
    #[must_use]
    pub fn of_tags(&self, tags: &[Box<str>]) -> Vec<BudgetIndex> {
        tags.iter().filter_map(|tag| self.by_tag.get(tag).copied()).collect()
    }

    /// Which of `indexes` is spent, and for how long: the one that lasts longest.
    #[must_use]
    #[inline]
    pub fn exhausted(&self, indexes: &[BudgetIndex], now: Millis) -> Option<(BudgetIndex, u64)> {
        let spent = indexes.iter().filter_map(|&i| Some((i, self.get(i).exhausted_for(now)?)));
        spent.max_by_key(|(_, ms)| *ms)
    }

    /// Charges a cost to each of `indexes`: a deployment's budgets and those of the request's tags.
    /// Returns those that this cost exhausted.
    pub fn charge<'i>(
        &self,
        indexes: impl IntoIterator<Item = &'i BudgetIndex>,
        usd: f64,
        now: Millis,
        unix_ms: u64,
    ) -> Vec<BudgetIndex> {
        let mut exhausted = Vec::new();
        for index in indexes {
            let budget = self.get(*index);
            let before = budget.spend.add(now, unix_ms, usd, budget.period);
            let limit = budget.spend.own_part(budget.limit_usd);
            if before.is_some_and(|spent| spent < limit && spent + usd >= limit) {
                exhausted.push(*index);
            }
        }
        exhausted
    }
}
