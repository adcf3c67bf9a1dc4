//! Indexes into a snapshot: of a deployment, a group, a budget.
//!
//! Used by everything that refers to one of these without holding it. Always true: an index is
//! valid only for the snapshot that it came from.

/// The place of a deployment in [`crate::snapshot::Snapshot::deployments`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentIndex(pub u32);

/// The place of a group in [`crate::snapshot::Snapshot::groups`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupIndex(pub u32);

/// The place of a budget in [`crate::budget::Budgets::all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BudgetIndex(pub u32);
