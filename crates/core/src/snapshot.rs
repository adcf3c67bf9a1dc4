//! Everything that one valid config means, immutable: what a request sees from its start to its end.
//!
//! Built by [`crate::config`], held by the gateway behind one atomic pointer. Always true: indexes in
//! it are valid for it, and it never changes; a reload builds another.

use std::collections::HashMap;
use std::sync::Arc;

use crate::budget::Budgets;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{GroupIndex, ModelGroup};
use crate::health::probe::ProbeSettings;
use crate::settings::{GatewaySettings, RouterSettings};

/// One config, resolved.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// All deployments.
    pub deployments: Vec<Arc<Deployment>>,
    /// All model groups, the listed ones first.
    pub groups: Vec<ModelGroup>,
    /// Group by exact name.
    pub by_name: HashMap<Box<str>, GroupIndex>,
    /// Deployment by id.
    pub by_id: HashMap<Arc<str>, DeploymentIndex>,
    /// Group by what its members call the model, where that is no name: `litellm_params.model`; no
    /// patterns. These are the groups that are not listed.
    pub by_model: HashMap<Box<str>, GroupIndex>,
    /// Groups with a pattern, the most specific first.
    pub wildcards: Vec<GroupIndex>,
    /// What of a request's body decides where it may go.
    pub inspects: Inspects,
    /// How requests are routed.
    pub router: RouterSettings,
    /// How the process serves.
    pub gateway: GatewaySettings,
    /// How deployments are checked.
    pub probing: ProbeSettings,
    /// What may be spent.
    pub budgets: Budgets,
}

/// What of a request's body decides where it may go; the rest is not looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspects {
    /// Its length: some deployment has a known window, and windows are checked, or tokens of a minute
    /// are a limit.
    pub length: bool,
    /// What it asks the model to do: some deployment is known not to.
    pub needs: bool,
    /// Its tags: they choose deployments, or have budgets.
    pub tags: bool,
    /// The time of the day: some deployment is reserved at times.
    pub hours: bool,
}

impl Snapshot {
    /// The deployment at `index`, which must come from this snapshot.
    #[must_use]
    pub fn deployment(&self, index: DeploymentIndex) -> &Arc<Deployment> {
        &self.deployments[index.0 as usize]
    }

    /// The groups that a `model_name` made.
    pub fn listed_groups(&self) -> impl Iterator<Item = &ModelGroup> {
        self.groups.iter().filter(|group| group.is_listed)
    }

    /// The group at `index`, which must come from this snapshot.
    #[must_use]
    pub fn group(&self, index: GroupIndex) -> &ModelGroup {
        &self.groups[index.0 as usize]
    }
}
