//! Places in a snapshot: of a deployment, a group, a budget.
//!
//! Used by everything that refers from one to another without holding it. Always true: an index is valid
//! for the snapshot that it came from, and for no other.

/// Where a deployment stands in [`crate::snapshot::Snapshot::deployments`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeploymentIndex(pub u32);

/// Where a group stands in [`crate::snapshot::Snapshot::groups`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupIndex(pub u32);

/// Where a budget stands in [`crate::budget::Budgets::all`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BudgetIndex(pub u32);
