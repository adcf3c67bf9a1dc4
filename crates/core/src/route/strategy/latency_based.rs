//! `latency-based-routing`: the fastest, and those that are nearly as fast.
//!
//! Speed is the time to the first content of a stream, else the time per token; never the length of
//! an answer. A failure counts as a timeout that fades, so that a member that fails fast attracts
//! nothing. A member without a measurement is tried first, by one request at a time.

use super::{Homes, Pool, Row, least, mix};
use crate::deployment::DeploymentIndex;

pub(super) const ROW: Row = Row {
    name: "latency-based-routing",
    doc: "The fastest by time to first token (streams) or time per token, and at random those within \
          `routing_strategy_args.lowest_latency_buffer` of it.",
    limits_rates: true,
    homes: Homes::IfAsked,
    choose,
    score,
};

/// Milliseconds; an unknown time is 0.
fn score(pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
    let (expected, penalty) = pool.expected(index);
    // The ramp keeps most requests away from a member that has just returned.
    (expected.unwrap_or(0.0) + penalty) / pool.deployment(index).state.ramp(pool.now)
}

fn choose(pool: &Pool<'_>, chance: u64) -> Option<DeploymentIndex> {
    let mut best: Option<f64> = None;
    let mut unknown = None;
    let mut unknowns = 0;
    for index in pool.candidates() {
        let (expected, penalty) = pool.expected(index);
        if expected.is_some() || penalty > 0.0 {
            let own = score(pool, index);
            best = Some(best.map_or(own, |best| best.min(own)));
        } else if pool.deployment(index).state.in_flight() == 0 {
            unknowns += 1;
            if mix(chance, unknowns).is_multiple_of(unknowns) {
                unknown = Some(index);
            }
        }
    }
    if unknown.is_some() {
        return unknown;
    }
    let Some(best) = best else {
        // No member is measured yet, and all have a request in flight.
        return least(pool.candidates(), |index| pool.load(index), chance);
    };
    let limit = best * (1.0 + pool.args.buffer);
    let mut chosen = None;
    let mut near = 0;
    for index in pool.candidates() {
        let (expected, penalty) = pool.expected(index);
        let is_known = expected.is_some() || penalty > 0.0;
        if is_known && score(pool, index) <= limit {
            near += 1;
            if mix(chance, near).is_multiple_of(near) {
                chosen = Some(index);
            }
        }
    }
    chosen
}
