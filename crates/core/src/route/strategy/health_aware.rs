//! `health-aware`: the better of two random members; for groups of 1 to 10,000.
//!
//! Better means less of: expected time x (attempts in flight + 1) / share. Comparing two is enough
//! to avoid slow and crowded members, and does not send all requests to the same one.

use super::{Homes, Pool, Row, mix, position};
use crate::deployment::DeploymentIndex;

pub(super) const ROW: Row = Row {
    name: "health-aware",
    doc: "The better of two random members: expected time x (attempts in flight + 1) / weight, with a slow start after a cooldown.",
    limits_rates: false,
    homes: Homes::Any,
    choose,
    score: |pool, index| score(pool, index, 1.0),
};

/// Random picks before the members are gone through in order.
const LOOKS: u64 = 6;

fn score(pool: &Pool<'_>, index: DeploymentIndex, if_unknown: f64) -> f64 {
    let (expected, penalty) = pool.expected(index);
    let time = expected.unwrap_or(if_unknown) + penalty;
    time * pool.load(index) / pool.share(index).max(f64::MIN_POSITIVE)
}

fn choose(pool: &Pool<'_>, chance: u64) -> Option<DeploymentIndex> {
    let first = draw(pool, chance, 0, None)?;
    let Some(second) = draw(pool, chance, LOOKS + 1, Some(first)) else { return Some(first) };
    // A member without a measurement is assumed to be as fast as the other.
    let known = |index| pool.expected(index).0;
    let if_unknown = known(first).or(known(second)).unwrap_or(1.0);
    let better = score(pool, second, if_unknown) < score(pool, first, if_unknown);
    Some(if better { second } else { first })
}

/// One random candidate that is not `but`.
fn draw(
    pool: &Pool<'_>,
    chance: u64,
    from: u64,
    but: Option<DeploymentIndex>,
) -> Option<DeploymentIndex> {
    let members = pool.members;
    let fits = |index: DeploymentIndex| Some(index) != but && (pool.admits)(index);
    for n in 0..LOOKS {
        let index = *members.get(position(mix(chance, from + n), members.len()))?;
        if fits(index) {
            return Some(index);
        }
    }
    let (before, after) = members.split_at(position(mix(chance, from + LOOKS), members.len()));
    after.iter().chain(before).copied().find(|index| fits(*index))
}
