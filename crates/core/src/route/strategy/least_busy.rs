//! `least-busy`: the one with the fewest attempts under way.

use super::{Pool, Row, least};
use crate::deployment::DeploymentIndex;

pub(super) const ROW: Row = Row {
    name: "least-busy",
    doc: "The one with the fewest attempts under way; among equals at random.",
    limits_rates: false,
    choose: |pool, chance| least(pool.candidates(), |index| score(pool, index), chance),
    score,
};

/// Attempts under way; one that came back from a rest counts as busier at first.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    pool.load(index) / pool.deployment(index).state.ramp(pool.now)
}
