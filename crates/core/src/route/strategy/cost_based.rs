//! `cost-based-routing`: the cheapest, by the price of a prompt token and an answer token together.
//!
//! The price is the config's, else the price list's. One whose price nobody knows counts as dearer than any
//! other. `rpm` and `tpm` are limits that the filters keep before this is asked; weights are nothing here.

use super::{Pool, Row};
use crate::deployment::DeploymentIndex;

/// What a token counts as whose price is not known, USD. Source: the reference.
const UNKNOWN_USD: f64 = 5.0;

pub(super) const ROW: Row = Row {
    name: "cost-based-routing",
    doc: "The cheapest by the price of a prompt token and an answer token together; among equals at random, \
          and an unknown price last. `rpm` and `tpm` are limits.",
    limits_rates: true,
    choose: |pool, chance| pool.least_in_turn(|index| score(pool, index), chance),
    score,
};

/// USD for one token of each kind.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    let facts = &pool.deployment(index).facts;
    facts.input_cost_per_token.unwrap_or(UNKNOWN_USD)
        + facts.output_cost_per_token.unwrap_or(UNKNOWN_USD)
}
