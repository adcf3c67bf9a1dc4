//! `provider-budget-routing`: at random by weight, among those whose budgets are not spent.
//!
//! Budgets are a filter under every strategy; this name only says in the config that they matter.

use super::{Homes, Pool, Row, simple_shuffle};

pub(super) const ROW: Row = Row {
    name: "provider-budget-routing",
    doc: "At random, by weight, among those within `provider_budget_config` and the other budgets, which \
          hold under every strategy.",
    limits_rates: false,
    homes: Homes::Any,
    choose: simple_shuffle::choose,
    score: |pool: &Pool<'_>, index| 1.0 / pool.share(index),
};
