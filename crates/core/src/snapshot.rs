//! Everything that one valid config means, immutable: what a request sees from its start to its
//! end.
//!
//! Built by [`crate::config`], held by the gateway behind one atomic pointer. Always true: indexes
//! in it are valid for it, and it never changes; a reload builds another one.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budgets;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{GroupIndex, ModelGroup, Pattern};
use crate::health::probe::ProbeSettings;
use crate::settings::{GatewaySettings, RouterSettings, SharedSettings};
use crate::time::Millis;

/// A table of names of the config. Its hash is fast and has no secret: a client can look names up, but only the
/// config adds them.
pub type ByName<Name, Index> = HashMap<Name, Index, foldhash::fast::FixedState>;

/// One config, resolved.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// All deployments.
    pub deployments: Vec<Arc<Deployment>>,
    /// All model groups, the listed ones first.
    pub groups: Vec<ModelGroup>,
    /// Group by exact name.
    pub by_name: ByName<Box<str>, GroupIndex>,
    /// Deployment by id.
    pub by_id: ByName<Arc<str>, DeploymentIndex>,
    /// Group by its members' `litellm_params.model`, unless that is a `model_name`; no patterns.
    /// These groups are not listed.
    pub by_model: ByName<Box<str>, GroupIndex>,
    /// Groups with a pattern, the most specific first.
    pub wildcards: Vec<GroupIndex>,
    /// The names of the credentials of the config's files.
    pub credentials: Vec<Box<str>>,
    /// What the keys of a team call the groups that only they reach.
    pub of_teams: ByName<Box<str>, HashMap<Box<str>, GroupIndex>>,
    /// Aliases that stand for all names of a pattern, and where they lead, the most specific first.
    pub alias_patterns: Vec<(Pattern, Box<str>)>,
    /// Which parts of a request's body routing needs.
    pub inspects: Inspects,
    /// How requests are routed.
    pub router: RouterSettings,
    /// How the process serves.
    pub gateway: GatewaySettings,
    /// How deployments are probed.
    pub probing: ProbeSettings,
    /// What may be spent.
    pub budgets: Budgets,
    /// What replicas share, and where.
    pub shared: SharedSettings,
}

/// Which parts of a request's body routing needs; the others are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspects {
    /// Its length: some deployment has a known context window and windows are enforced, or tokens
    /// of a minute are a limit.
    pub length: bool,
    /// What it needs from a model: some deployment is known to lack something.
    pub needs: bool,
    /// Its tags: they select deployments, or have budgets.
    pub tags: bool,
    /// The time of day: some deployment is reserved at times.
    pub hours: bool,
    /// What names its home: some group has homes.
    pub home: bool,
}

impl Snapshot {
    /// Where the alias of that name leads: the one that is called so, else the most specific one whose pattern admits it.
    #[must_use]
    pub fn alias(&self, name: &str) -> Option<&str> {
        if let Some(alias) = self.router.aliases.get(name) {
            return Some(&alias.target);
        }
        let mut all = self.alias_patterns.iter();
        let found = all.find(|(pattern, _)| pattern.captures(name).is_some())?;
        Some(&found.1)
    }

    /// Whether a request that names this goes where an alias leads.
    #[must_use]
    pub fn is_alias(&self, name: &str) -> bool {
        let is_own = self.by_name.contains_key(name) || self.by_id.contains_key(name);
        self.router.aliases.contains_key(name) || !is_own && self.alias(name).is_some()
    }

    /// The deployment at `index`, which must come from this snapshot.
    #[must_use]
    pub fn deployment(&self, index: DeploymentIndex) -> &Arc<Deployment> {
        &self.deployments[index.0 as usize]
    }

    /// Counts a 400 in unknown words from the deployment at `index`. Returns whether it is the
    /// deployment's fault: nothing else came from it lately, while its siblings answered.
    #[must_use]
    pub fn refuses_alone(&self, index: DeploymentIndex, now: Millis) -> bool {
        let deployment = self.deployment(index);
        let members = self.group(deployment.group).members.iter();
        let siblings = members.filter(|one| **one != index);
        let others = siblings.map(|one| self.deployment(*one).state.answered_lately(now)).sum();
        deployment.state.refuses_alone(now, others)
    }

    /// The name of the group that a team calls `name`.
    #[must_use]
    pub fn name_for(&self, team: Option<&str>, name: &str) -> Option<&str> {
        if self.of_teams.is_empty() {
            return None;
        }
        let group = self.of_teams.get(team?)?.get(name)?;
        Some(&self.group(*group).name)
    }

    /// The groups that come from a `model_name`.
    pub fn listed_groups(&self) -> impl Iterator<Item = &ModelGroup> {
        self.groups.iter().filter(|group| group.is_listed)
    }

    /// The group at `index`, which must come from this snapshot.
    #[must_use]
    pub fn group(&self, index: GroupIndex) -> &ModelGroup {
        &self.groups[index.0 as usize]
    }
}
