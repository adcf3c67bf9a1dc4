//! `cost-based-routing`: the cheapest, by the prices of a prompt token and an answer token
//! together.
//!
//! The price is the config's, else the price list's. An unknown price counts as higher than any
//! other. `rpm` and `tpm` are limits that the filters apply first; weights have no effect.

use super::{Homes, Pool, Row};
use crate::deployment::DeploymentIndex;

/// What a token counts as if its price is unknown, USD. The value is LiteLLM's.
const UNKNOWN_USD: f64 = 5.0;

pub(super) const ROW: Row = Row {
    name: "cost-based-routing",
    doc: "The cheapest by the price of a prompt token and an answer token together; ties are broken at random, and an unknown price comes last. `rpm` and `tpm` are limits.",
    limits_rates: true,
    homes: Homes::AmongBest,
    choose: |pool, chance| pool.least_in_turn(|index| score(pool, index), chance),
    score,
};

/// USD for one token of each kind.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    let facts = &pool.deployment(index).facts;
    facts.input_cost_per_token.unwrap_or(UNKNOWN_USD)
        + facts.output_cost_per_token.unwrap_or(UNKNOWN_USD)
}
