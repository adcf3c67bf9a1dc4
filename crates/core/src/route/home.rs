//! The home of a session: the member of a group where its prompt is in the provider's cache.
//!
//! Called by [`super::select`] before the strategy, and by [`super::explain()`]. Always true: there is no table; equal
//! members, weights and keys have the same home in every process; only a member that the filters admit is a home, and
//! one with too much to do is passed over.
//!
//! The home is the winner of weighted rendezvous hashing (Thaler and Ravishankar 1998; weights as in Schindelhauer and
//! Schomaker 2005), within the bounds of consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018).

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::affinity::{Affinity, Keeps};
use super::filter::Selection;
use super::strategy::{Homes, Pool, fraction, mix};
use crate::deployment::{Deployment, DeploymentIndex};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// How many times its even share of the attempts in flight a home may have.
const LOAD_FACTOR: f64 = 1.25;
/// Attempts in flight that any home may have.
const LOAD_MIN: f64 = 2.0;

/// Whether requests keep to their home in a group, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupAffinity {
    /// They do.
    On,
    /// `affinity: off`.
    Off,
    /// There is nothing to choose from.
    OneMember,
    /// No member's provider bills tokens of its cache lower.
    NotCheaper,
    /// The strategy chooses by what it measures.
    StrategyDecides,
    /// The members' providers reported next to no tokens of their caches.
    BroughtNothing,
}

impl GroupAffinity {
    /// What it is for the group of `members`, at `now`.
    #[must_use]
    pub fn of(snapshot: &Snapshot, members: &[DeploymentIndex], now: Millis) -> GroupAffinity {
        let router = &snapshot.router;
        let any = |test: fn(&Deployment, Millis) -> bool| {
            members.iter().any(|index| test(snapshot.deployment(*index), now))
        };
        match router.affinity.keeps {
            Keeps::Never => GroupAffinity::Off,
            Keeps::WhereCheaper | Keeps::Always if members.len() < 2 => GroupAffinity::OneMember,
            Keeps::Always => GroupAffinity::On,
            Keeps::WhereCheaper if router.strategy.homes() == Homes::IfAsked => {
                GroupAffinity::StrategyDecides
            }
            Keeps::WhereCheaper if !any(|one, _| is_cheaper_from_cache(one)) => {
                GroupAffinity::NotCheaper
            }
            Keeps::WhereCheaper if !any(|one, now| one.state.prompt_cache().may_help(now)) => {
                GroupAffinity::BroughtNothing
            }
            Keeps::WhereCheaper => GroupAffinity::On,
        }
    }

    /// Whether it can be on at some time with this config: what providers report now does not count.
    #[must_use]
    pub fn may_be_on(snapshot: &Snapshot, members: &[DeploymentIndex]) -> bool {
        GroupAffinity::of(snapshot, members, Millis::NEVER) == GroupAffinity::On
    }

    /// Why, in a sentence.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            GroupAffinity::On => "requests of one session keep to one deployment",
            GroupAffinity::Off => "`router_settings.affinity` is off",
            GroupAffinity::OneMember => "the group has one deployment",
            GroupAffinity::NotCheaper => {
                "no provider of the group bills tokens of its cache lower; `affinity: session` turns it on nevertheless"
            }
            GroupAffinity::StrategyDecides => {
                "`routing_strategy` chooses by what it measures; `affinity: session` turns it on nevertheless"
            }
            GroupAffinity::BroughtNothing => {
                "the providers reported next to no tokens of their caches; it is tried again within an hour"
            }
        }
    }
}

/// Whether its provider bills a token of its cache lower than another one.
#[must_use]
fn is_cheaper_from_cache(deployment: &Deployment) -> bool {
    let facts = &deployment.facts;
    match (facts.cache_read_input_token_cost, facts.input_cost_per_token) {
        (Some(cached), Some(plain)) => cached < plain,
        _ => false,
    }
}

impl Selection<'_> {
    /// What names the home of the request, if it has one in its group.
    pub(super) fn affinity(&self, now: Millis) -> Option<Affinity> {
        let affinity = self.controls.affinity?;
        (GroupAffinity::of(self.snapshot, self.members, now) == GroupAffinity::On)
            .then_some(affinity)
    }
}

/// The home of requests of `affinity` among the candidates of `pool`; `None` if there is none.
pub(super) fn home(pool: &Pool<'_>, affinity: Affinity) -> Option<DeploymentIndex> {
    let load = |index: DeploymentIndex| f64::from(pool.deployment(index).state.in_flight());
    let weight = |index: DeploymentIndex| pool.deployment(index).routing.weight;
    let (mut loads, mut weights) = (1.0, 0.0);
    for index in pool.candidates() {
        loads += load(index);
        weights += weight(index);
    }
    let has_room = |index: &DeploymentIndex| {
        let share = if weights > 0.0 { weight(*index) / weights } else { 1.0 };
        load(*index) + 1.0 <= (LOAD_FACTOR * loads * share).ceil().max(LOAD_MIN)
    };
    let wants = |index: DeploymentIndex| {
        let deployment = pool.deployment(index);
        // Standbys have no weight, and are equal among themselves.
        let weight = if weights > 0.0 { deployment.routing.weight } else { 1.0 };
        pull(affinity, deployment, weight * part(deployment, pool.now))
    };
    let strategy = &pool.snapshot.router.strategy;
    let best = match strategy.homes() {
        Homes::AmongBest => {
            pool.candidates().map(|index| strategy.score(pool, index)).min_by(f64::total_cmp)
        }
        Homes::Any | Homes::IfAsked => None,
    };
    let is_best = |index: &DeploymentIndex| {
        best.is_none_or(|best| strategy.score(pool, *index).total_cmp(&best).is_eq())
    };
    let wanted = pool.candidates().filter(is_best).filter(has_room);
    let wanted = wanted.map(|index| (wants(index), index));
    wanted.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, index)| index)
}

/// How much a member of that weight is wanted as the home, more is better.
fn pull(affinity: Affinity, deployment: &Deployment, weight: f64) -> f64 {
    let seed = xxh3_64_with_seed(deployment.id.as_bytes(), 0);
    // Never 0, whose logarithm is infinite.
    let chance = fraction(mix(affinity.key, seed)).max(f64::MIN_POSITIVE);
    weight / -chance.ln()
}

/// The part of its weight with which a member is the home of sessions. After an outage in which its cache went cold its
/// sessions come back one by one, as its ramp says: theirs are warm elsewhere by now. A shorter outage changes nothing.
fn part(deployment: &Deployment, now: Millis) -> f64 {
    let warm_ms = deployment.endpoint.provider.cache_minutes.saturating_mul(60_000);
    match deployment.state.last_outage_ms() > warm_ms {
        true => deployment.state.ramp(now),
        false => 1.0,
    }
}

#[cfg(test)]
mod tests;
