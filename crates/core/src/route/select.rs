//! The choice of one deployment among a group's members.
//!
//! Called by [`super::RoutePlan`] for each attempt. Always true: the filters of [`super::filter`] decide who
//! may be chosen, the strategy who is; when nobody is well, the safety net tries the least bad one,
//! unless each is excluded for a reason that trying would not change.

use std::cell::OnceCell;

use super::filter::{Excluded, Fit, NetRank, Selection};
use super::strategy::Pool;
use crate::deployment::DeploymentIndex;
use crate::health::HalfOpen;
use crate::time::Millis;

/// What came of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one; a trial's permits are now taken.
    Deployment(DeploymentIndex, HalfOpen),
    /// None.
    None,
}

/// Chooses a member that is well. `chance` is a uniformly random number.
#[must_use]
pub fn select(request: &Selection<'_>, now: Millis, chance: u64) -> Choice {
    if let [only] = request.members
        && request.avoid.is_empty()
        && request.examine(*only, now) == Ok(Fit::Ready)
    {
        return Choice::Deployment(*only, HalfOpen::NONE);
    }
    let tier = request.tier(now);
    let of_tier = |index: DeploymentIndex| tier.is_none_or(|tier| request.order(index) <= tier);
    if let Some(index) = half_open(request, now, chance).filter(|index| of_tier(*index))
        && let Some(half_open) = request.take_half_open(index, now)
    {
        return Choice::Deployment(index, half_open);
    }
    // Who has no weight stands by until nobody else is left.
    for standing_by in [false, true] {
        let admits = |index: DeploymentIndex| {
            (standing_by || request.snapshot.deployment(index).routing.weight > 0.0)
                && !request.avoid.contains(&index)
                && of_tier(index)
                && request.examine(index, now) == Ok(Fit::Ready)
        };
        let strategy = &request.snapshot.router.strategy;
        let pool = Pool {
            snapshot: request.snapshot,
            members: request.members,
            admits: &admits,
            args: &strategy.args,
            now,
            stream: request.controls.stream,
            admitted: OnceCell::new(),
        };
        if let Some(index) = strategy.choose(&pool, chance) {
            return Choice::Deployment(index, HalfOpen::NONE);
        }
    }
    // Nobody is well. A trial that is due is no exception that needs the net.
    let due = |index: &DeploymentIndex| {
        !request.avoid.contains(index) && request.examine(*index, now) == Ok(Fit::HalfOpen)
    };
    let mut taken = request.members.iter().filter(|index| due(index)).filter_map(|&index| {
        request.take_half_open(index, now).map(|half_open| Choice::Deployment(index, half_open))
    });
    taken.next().unwrap_or(Choice::None)
}

/// A member whose trial is due, when chance points at it: it is looked at as often as any other.
fn half_open(request: &Selection<'_>, now: Millis, chance: u64) -> Option<DeploymentIndex> {
    let count = request.members.len().max(1) as u64;
    let index = *request.members.get(usize::try_from(chance % count).ok()?)?;
    let deployment = request.snapshot.deployment(index);
    let is_due = deployment.routing.weight > 0.0
        && !request.avoid.contains(&index)
        && request.examine(index, now) == Ok(Fit::HalfOpen);
    is_due.then_some(index)
}

/// The safety net: who is tried when nobody is well.
#[must_use]
pub(super) fn least_bad(request: &Selection<'_>, now: Millis) -> Choice {
    let candidates = request.members.iter().filter(|index| !request.avoid.contains(index));
    let ranked = candidates.filter_map(|&index| Some((request.net_rank(index, now)?, index)));
    let mut ranked: Vec<(NetRank, DeploymentIndex)> = ranked.collect();
    // Only the order matters here, and equal ones stay as they stand in the config.
    ranked.sort_by_key(|(rank, _)| rank.until);
    for (rank, index) in ranked {
        if rank.until.is_none() {
            return Choice::Deployment(index, HalfOpen::NONE);
        }
        match request.take_half_open(index, now) {
            Some(half_open) => return Choice::Deployment(index, half_open),
            // Another request was faster.
            None if rank.needs_permit => {}
            None => return Choice::Deployment(index, HalfOpen::NONE),
        }
    }
    Choice::None
}

/// Why each member that is excluded is; computed for refusals only.
#[must_use]
pub(super) fn exclusions(request: &Selection<'_>, now: Millis) -> Vec<Excluded> {
    let why = |&deployment: &DeploymentIndex| {
        Some(Excluded { deployment, why: request.refusal(deployment, now)? })
    };
    request.members.iter().filter_map(why).collect()
}

#[cfg(test)]
mod tests;
