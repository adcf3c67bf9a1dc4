//! What budgets of keys, teams, ... hold, for the page of metrics.
//!
//! Read by [`crate::pages`] on a thread beside the workers. Always true: only what was used lately is shown, each once, and at most
//! [`SHOWN_MAX`] of a kind; a budget that began anew is shown so.

use std::collections::HashSet;
use std::sync::Arc;

use hale_core::tenancy::access::{KeyAccess, Level};
use hale_core::tenancy::{Money, SubjectKind};
use hale_core::time::{UnixMs, WallClock};

use super::Keys;

/// Budgets of a kind that are shown.
const SHOWN_MAX: usize = 10_000;

/// A budget.
pub(crate) struct Budgeted {
    /// Whose: the hash of a key, or an id.
    pub(crate) id: Arc<str>,
    /// What people call it.
    pub(crate) alias: Arc<str>,
    /// The most, until it begins anew.
    pub(crate) max: Money,
    /// What is left of it; below 0 if more was spent.
    pub(crate) left: Money,
    /// When it begins anew, if it does.
    pub(crate) ends: Option<UnixMs>,
}

impl Keys {
    /// The budgets of that kind, of what was used lately.
    pub(crate) fn budgeted(&self, kind: SubjectKind, at: WallClock) -> Vec<Budgeted> {
        if kind == SubjectKind::EndUser {
            let end_users = self.known_end_users();
            let shown = end_users.iter().filter_map(|one| shown(&one.level, Arc::default(), at));
            return shown.take(SHOWN_MAX).collect();
        }
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        for one in self.known.read().values() {
            let access = &one.access;
            let Some(level) = access.levels.iter().find(|level| level.subject.kind == kind) else {
                continue;
            };
            if level.terms.budget.is_none() || !seen.insert(level.subject.id.clone()) {
                continue;
            }
            found.extend(shown(level, alias_of(access, kind), at));
            if found.len() >= SHOWN_MAX {
                break;
            }
        }
        found
    }
}

fn alias_of(access: &KeyAccess, kind: SubjectKind) -> Arc<str> {
    let identity = &access.identity;
    let alias = match kind {
        SubjectKind::Key => identity.key_alias.clone(),
        SubjectKind::Team => identity.team_alias.clone(),
        _ => None,
    };
    alias.unwrap_or_default()
}

fn shown(level: &Level, alias: Arc<str>, at: WallClock) -> Option<Budgeted> {
    let budget = level.terms.budget.as_ref()?;
    let spent = level.account.balance(Some(budget), at).spent;
    let max = budget.max_at(at.unix_ms);
    let ends = level.account.ends().filter(|_| budget.duration.is_some());
    Some(Budgeted { id: level.subject.id.clone(), alias, max, left: max.minus(spent), ends })
}
