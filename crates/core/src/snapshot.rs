//! Everything that one valid config means, immutable: what a request sees from its start to its end.
//!
//! Built by [`crate::config`], held by the gateway behind one atomic pointer. Always true: indexes in
//! it are valid for it, and it never changes; a reload builds another.

use std::collections::HashMap;
use std::sync::Arc;

use crate::deployment::{Deployment, DeploymentIndex};
use crate::group::{GroupIndex, ModelGroup};
use crate::settings::{GatewaySettings, RouterSettings};

/// One config, resolved.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// All deployments.
    pub deployments: Vec<Arc<Deployment>>,
    /// All model groups.
    pub groups: Vec<ModelGroup>,
    /// Group by exact name.
    pub by_name: HashMap<Box<str>, GroupIndex>,
    /// Deployment by id.
    pub by_id: HashMap<Arc<str>, DeploymentIndex>,
    /// Groups with a pattern, the most specific first.
    pub wildcards: Vec<GroupIndex>,
    /// How requests are routed.
    pub router: RouterSettings,
    /// How the process serves.
    pub gateway: GatewaySettings,
}

impl Snapshot {
    /// The deployment at `index`, which must come from this snapshot.
    #[must_use]
    pub fn deployment(&self, index: DeploymentIndex) -> &Arc<Deployment> {
        &self.deployments[index.0 as usize]
    }

    /// The group at `index`, which must come from this snapshot.
    #[must_use]
    pub fn group(&self, index: GroupIndex) -> &ModelGroup {
        &self.groups[index.0 as usize]
    }
}
