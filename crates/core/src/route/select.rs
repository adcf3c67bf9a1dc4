//! The pick of one deployment among a group's members.
//!
//! Called by [`super::RoutePlan`] for each attempt. Always true: the filters of [`super::filter`] decide
//! which members may be picked, and the strategy picks one; if no member is healthy, the safety net
//! tries the least bad one, unless every member is excluded for a reason that trying would not
//! change.

use std::cell::OnceCell;

use super::filter::{Excluded, Fit, NetRank, Selection};
use super::home::home;
use super::strategy::Pool;
use crate::deployment::DeploymentIndex;
use crate::health::HalfOpen;
use crate::time::Millis;

/// The result of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This deployment; its half-open permits, if it needs any, are taken.
    Deployment(DeploymentIndex, HalfOpen),
    /// None.
    None,
}

/// Picks a healthy member. `chance` is a uniformly random number.
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
    let affinity = request.affinity(now);
    // A member of weight 0 is a standby: it is used only if no other member is left.
    for standing_by in [false, true] {
        let admits = |index: DeploymentIndex| {
            (standing_by || request.snapshot.deployment(index).routing.weight > 0.0)
                && !request.avoid.contains(&index)
                && of_tier(index)
                && request.is_healthy(index, now)
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
        let wanted = affinity.and_then(|affinity| home(&pool, affinity));
        if let Some(index) = wanted.or_else(|| strategy.choose(&pool, chance))
            && let Some(half_open) = request.admit(index, now)
        {
            return Choice::Deployment(index, half_open);
        }
    }
    // No member is ready. A due half-open request is tried before the safety net.
    let due = |index: &DeploymentIndex| {
        !request.avoid.contains(index) && request.examine(*index, now) == Ok(Fit::HalfOpen)
    };
    let mut taken = request.members.iter().filter(|index| due(index)).filter_map(|&index| {
        request.take_half_open(index, now).map(|half_open| Choice::Deployment(index, half_open))
    });
    taken.next().unwrap_or(Choice::None)
}

/// A member whose half-open request is due, if chance points at it: it is looked at as often as any
/// other.
fn half_open(request: &Selection<'_>, now: Millis, chance: u64) -> Option<DeploymentIndex> {
    let count = request.members.len().max(1) as u64;
    let index = *request.members.get(usize::try_from(chance % count).ok()?)?;
    let deployment = request.snapshot.deployment(index);
    let is_due = deployment.routing.weight > 0.0
        && !request.avoid.contains(&index)
        && request.examine(index, now) == Ok(Fit::HalfOpen);
    is_due.then_some(index)
}

/// The safety net: which member is tried when none is healthy.
#[must_use]
pub(super) fn least_bad(request: &Selection<'_>, now: Millis) -> Choice {
    let candidates = request.members.iter().filter(|index| !request.avoid.contains(index));
    let ranked = candidates.filter_map(|&index| Some((request.net_rank(index, now)?, index)));
    let mut ranked: Vec<(NetRank, DeploymentIndex)> = ranked.collect();
    // Only the order matters here; equal members keep the order of the config.
    ranked.sort_by_key(|(rank, _)| rank.until);
    for (rank, index) in ranked {
        if rank.until.is_none() && !rank.needs_permit {
            return Choice::Deployment(index, HalfOpen::NONE);
        }
        match request.take_half_open(index, now) {
            Some(half_open) => return Choice::Deployment(index, half_open),
            // Another request took it first.
            None if rank.needs_permit => {}
            None => return Choice::Deployment(index, HalfOpen::NONE),
        }
    }
    Choice::None
}

/// Why each excluded member is excluded; computed for refusals only.
#[must_use]
pub(super) fn exclusions(request: &Selection<'_>, now: Millis) -> Vec<Excluded> {
    let why = |&deployment: &DeploymentIndex| {
        Some(Excluded { deployment, why: request.refusal(deployment, now)? })
    };
    request.members.iter().filter_map(why).collect()
}

#[cfg(test)]
mod tests;
