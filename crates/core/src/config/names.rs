//! Whether a name leads somewhere: to a group, a deployment, an alias or a pattern.
//!
//! Called by the readers of fallbacks and policies once the groups are known. Always true: it
//! changes nothing.

use std::collections::HashMap;

use crate::group::Pattern;
use crate::prices;
use crate::snapshot::Snapshot;

use super::problem::Wrong;
use super::suited::{self, Moves};

/// The names that fallbacks and policies may refer to.
pub(super) struct Names<'s> {
    snapshot: &'s Snapshot,
    /// Each alias and its target.
    aliases: HashMap<&'s str, &'s str>,
}

impl<'s> Names<'s> {
    /// The names of `snapshot`, aliases included.
    pub(super) fn new(
        snapshot: &'s Snapshot,
        aliases: impl Iterator<Item = (&'s str, &'s str)>,
    ) -> Names<'s> {
        Names { snapshot, aliases: aliases.collect() }
    }

    /// What a request that moves from `from` to `to` may lack there; aliases of aliases are not
    /// followed.
    pub(super) fn lacks(&self, from: &str, to: &str, moves: Moves) -> Vec<Wrong> {
        let group = |name| self.aliases.get(name).copied().unwrap_or(name);
        suited::lacks(self.snapshot, group(from), group(to), moves)
    }

    /// Whether it is a group, a deployment's id, an alias, or matched by a pattern.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.snapshot.by_name.contains_key(name)
            || self.snapshot.by_id.contains_key(name)
            || self.aliases.contains_key(name)
            || self.is_aliased(name)
            || self.matches(name)
            || prices::owner(name)
                .is_some_and(|provider| self.matches(&format!("{provider}/{name}")))
            || self.snapshot.by_model.contains_key(name)
    }

    /// Whether an alias with stars admits it.
    fn is_aliased(&self, name: &str) -> bool {
        let mut patterns = self.aliases.keys().filter_map(|alias| Pattern::parse(alias));
        patterns.any(|pattern| pattern.captures(name).is_some())
    }

    fn matches(&self, name: &str) -> bool {
        self.snapshot.wildcards.iter().any(|group| {
            let group = self.snapshot.groups.get(group.0 as usize);
            let pattern = group.and_then(|group| group.pattern.as_ref());
            pattern.is_some_and(|pattern| pattern.captures(name).is_some())
        })
    }

    /// All names that can be suggested.
    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        let groups = self.snapshot.listed_groups().map(|group| &*group.name);
        groups.chain(self.aliases.keys().copied())
    }
}
