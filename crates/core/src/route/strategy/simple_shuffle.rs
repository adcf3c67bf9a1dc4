//! `simple-shuffle`: at random, by weight.

use super::{Homes, Pool, Row, fraction, mix, position};
use crate::deployment::DeploymentIndex;

pub(super) const ROW: Row = Row {
    name: "simple-shuffle",
    doc: "At random, by weight.",
    limits_rates: false,
    homes: Homes::Any,
    choose,
    score: |pool, index| 1.0 / pool.share(index),
};

pub(super) fn choose(pool: &Pool<'_>, chance: u64) -> Option<DeploymentIndex> {
    let total: f64 = pool.candidates().map(|index| pool.share(index)).sum();
    if total <= 0.0 {
        // All weights are 0: all members are equal.
        let count = pool.candidates().count();
        return pool.candidates().nth(position(mix(chance, 1), count));
    }
    let mut point = fraction(chance) * total;
    let mut last = None;
    for index in pool.candidates() {
        let share = pool.share(index);
        if share <= 0.0 {
            continue;
        }
        last = Some(index);
        if point < share {
            break;
        }
        point -= share;
    }
    last
}
