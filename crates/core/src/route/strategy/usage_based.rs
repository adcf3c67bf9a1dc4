//! `usage-based-routing-v2` and `usage-based-routing`: the one with the least recent use.
//!
//! Use means tokens, plus one for each request; ties are broken by chance. It fades within a
//! minute. `rpm` and `tpm` are limits that the filters apply first; weights have no effect.
//! LiteLLM's two versions differ in how exactly they count; here both count alike.

use super::{Homes, Pool, Row};
use crate::deployment::DeploymentIndex;

const DOC: &str = "The one with the fewest recent tokens; a request counts as one more. `rpm` and `tpm` are \
                   limits, exact in any sixty seconds.";

pub(super) const ROW: Row = Row { name: "usage-based-routing-v2", ..ROW_OF_FIRST_VERSION };

pub(super) const ROW_OF_FIRST_VERSION: Row = Row {
    name: "usage-based-routing",
    doc: DOC,
    limits_rates: true,
    homes: Homes::IfAsked,
    choose: |pool, chance| pool.least_in_turn(|index| score(pool, index), chance),
    score,
};

/// Recent tokens.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    pool.deployment(index).state.rates().used(pool.now)
}
