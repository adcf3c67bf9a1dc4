//! `usage-based-routing-v2` and `usage-based-routing`: who was used least of late.
//!
//! Used means tokens, and one more for each request; among equals by chance. What was used fades within a
//! minute. `rpm` and `tpm` are limits that the filters keep before this is asked; weights are nothing here.
//! The reference's two versions differ in how exactly they count; here both count alike.

use super::{Pool, Row};
use crate::deployment::DeploymentIndex;

const DOC: &str = "The one that used the fewest tokens of late, a request counting as one more. `rpm` and `tpm` are \
                   limits, exact in any sixty seconds.";

pub(super) const ROW: Row = Row { name: "usage-based-routing-v2", ..ROW_OF_FIRST_VERSION };

pub(super) const ROW_OF_FIRST_VERSION: Row = Row {
    name: "usage-based-routing",
    doc: DOC,
    limits_rates: true,
    choose: |pool, chance| pool.least_in_turn(|index| score(pool, index), chance),
    score,
};

/// Tokens of late.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    pool.deployment(index).state.rates().used(pool.now)
}
