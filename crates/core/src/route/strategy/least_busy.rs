//! `least-busy`: the one with the fewest attempts in flight.

use super::{Homes, Pool, Row, least};
use crate::deployment::DeploymentIndex;

pub(super) const ROW: Row = Row {
    name: "least-busy",
    doc: "The one with the fewest attempts in flight; ties are broken at random.",
    limits_rates: false,
    homes: Homes::Any,
    choose: |pool, chance| least(pool.candidates(), |index| score(pool, index), chance),
    score,
};

/// Attempts in flight; after a cooldown a member counts as busier at first.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    pool.load(index) / pool.deployment(index).state.ramp(pool.now)
}
