//! `usage-based-routing-v2` and `usage-based-routing`: who was used least within the last minute.
//!
//! Used means tokens; among equals the one with fewer requests, then by chance. `rpm` and `tpm` are limits
//! that the filters keep before this is asked; weights are nothing here. The reference's two versions
//! differ in how exactly they count; here both count alike.

use super::{Pool, Row};
use crate::deployment::DeploymentIndex;

const DOC: &str = "The one with the fewest tokens within the last minute, then the fewest requests. `rpm` and \
                   `tpm` are limits, exact in any sixty seconds.";

pub(super) const ROW: Row = Row { name: "usage-based-routing-v2", ..ROW_OF_FIRST_VERSION };

pub(super) const ROW_OF_FIRST_VERSION: Row = Row {
    name: "usage-based-routing",
    doc: DOC,
    limits_rates: true,
    choose: |pool, chance| pool.least_in_turn(|index| score(pool, index), chance),
    score,
};

/// Whole tokens, and behind the point a number that grows with the requests.
#[allow(clippy::cast_precision_loss, reason = "what a minute holds is far below 2^52")]
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    let rates = pool.deployment(index).state.rates();
    let requests = rates.requests(pool.now) as f64;
    rates.tokens(pool.now) as f64 + requests / (requests + 1.0)
}
