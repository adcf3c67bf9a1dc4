//! Strategies: which of the members that may be picked is picked.
//!
//! Called by [`super::select`] for each attempt. Always true: a strategy sees only members that are
//! healthy and suit the request; one strategy is one file and one row of [`ROWS`].

mod cost_based;
mod health_aware;
mod latency_based;
mod least_busy;
mod provider_budget;
mod simple_shuffle;
mod usage_based;

use std::cell::OnceCell;
use std::fmt;

use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::AnswerMode;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// All strategies, the default first.
pub static ROWS: &[Row] = &[
    simple_shuffle::ROW,
    least_busy::ROW,
    latency_based::ROW,
    usage_based::ROW,
    usage_based::ROW_OF_FIRST_VERSION,
    cost_based::ROW,
    provider_budget::ROW,
    health_aware::ROW,
];

/// One strategy.
pub struct Row {
    /// Its name in the config.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
    /// Whether `rpm` and `tpm` are always limits under it, and not shares.
    limits_rates: bool,
    /// Which members can be the home of a session under it.
    homes: Homes,
    choose: fn(&Pool<'_>, chance: u64) -> Option<DeploymentIndex>,
    /// What it compares; less is better. For explanations.
    score: fn(&Pool<'_>, DeploymentIndex) -> f64,
}

/// Which members can be the home of a session under a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Homes {
    /// All.
    Any,
    /// Those with the best score: what it compares comes before a warm cache.
    AmongBest,
    /// All, but only where the config asks for it: the strategy levels what it measures.
    IfAsked,
}

/// The strategy of a config.
#[derive(Clone, Copy)]
pub struct Strategy {
    row: &'static Row,
    /// Its arguments.
    pub args: StrategyArgs,
}

/// `routing_strategy_args`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StrategyArgs {
    /// How long a measurement counts, milliseconds. 1 h.
    pub ttl_ms: u64,
    /// How much slower than the fastest a member may be and still be picked: 0.1 is ten percent. 0.
    pub buffer: f64,
}

impl Default for StrategyArgs {
    fn default() -> StrategyArgs {
        StrategyArgs { ttl_ms: 3_600_000, buffer: 0.0 }
    }
}

impl Strategy {
    /// The strategy with that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Strategy> {
        let row = ROWS.iter().find(|row| row.name == name)?;
        Some(Strategy { row, args: StrategyArgs::default() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// Whether `rpm` and `tpm` are always limits under it, and not shares of the traffic.
    #[must_use]
    pub fn limits_rates(&self) -> bool {
        self.row.limits_rates
    }

    /// Which members can be the home of a session under it.
    #[must_use]
    pub fn homes(&self) -> Homes {
        self.row.homes
    }

    pub(super) fn choose(&self, pool: &Pool<'_>, chance: u64) -> Option<DeploymentIndex> {
        (self.row.choose)(pool, chance)
    }

    pub(super) fn score(&self, pool: &Pool<'_>, index: DeploymentIndex) -> f64 {
        (self.row.score)(pool, index)
    }
}

impl Default for Strategy {
    fn default() -> Strategy {
        Strategy { row: &ROWS[0], args: StrategyArgs::default() }
    }
}

impl PartialEq for Strategy {
    fn eq(&self, other: &Strategy) -> bool {
        self.row.name == other.row.name && self.args == other.args
    }
}

impl fmt::Debug for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.row.name, self.args)
    }
}

/// What a strategy picks from.
pub(super) struct Pool<'p> {
    pub(super) snapshot: &'p Snapshot,
    /// The group's members; only those that `admits` accepts may be picked.
    pub(super) members: &'p [DeploymentIndex],
    pub(super) admits: &'p dyn Fn(DeploymentIndex) -> bool,
    pub(super) args: &'p StrategyArgs,
    pub(super) now: Millis,
    /// Whether the answer is a stream.
    pub(super) stream: bool,
    /// Those that may be picked, computed once on demand: most strategies need them more than once,
    /// and the filters cost more than everything else.
    pub(super) admitted: OnceCell<Vec<DeploymentIndex>>,
}

impl Pool<'_> {
    pub(super) fn deployment(&self, index: DeploymentIndex) -> &Deployment {
        self.snapshot.deployment(index)
    }

    pub(super) fn candidates(&self) -> impl Iterator<Item = DeploymentIndex> + '_ {
        let all = || self.members.iter().copied().filter(|index| (self.admits)(*index)).collect();
        self.admitted.get_or_init(all).iter().copied()
    }

    /// The share of the traffic: the weight, and less of it after a cooldown.
    fn share(&self, index: DeploymentIndex) -> f64 {
        let deployment = self.deployment(index);
        deployment.routing.weight * deployment.state.ramp(self.now)
    }

    /// Attempts in flight, this one included.
    fn load(&self, index: DeploymentIndex) -> f64 {
        f64::from(self.deployment(index).state.in_flight()) + 1.0
    }

    /// Whether a member that has just returned is considered: as often as its ramp says.
    fn has_turn(&self, index: DeploymentIndex, chance: u64) -> bool {
        let ramp = self.deployment(index).state.ramp(self.now);
        // Any number will do that depends on this deployment and this pick alone.
        ramp >= 1.0 || fraction(mix(chance, (1 << 32) + u64::from(index.0))) < ramp
    }

    /// The least by `score` among those that are considered, else among all; ties are broken by
    /// chance.
    fn least_in_turn(
        &self,
        score: impl Fn(DeploymentIndex) -> f64,
        chance: u64,
    ) -> Option<DeploymentIndex> {
        let in_turn = self.candidates().filter(|index| self.has_turn(*index, chance));
        least(in_turn, &score, chance).or_else(|| least(self.candidates(), &score, chance))
    }

    /// The expected time plus what the last failure still counts as, milliseconds.
    fn expected(&self, index: DeploymentIndex) -> (Option<f64>, f64) {
        let state = &self.deployment(index).state;
        let mode = if self.stream { AnswerMode::Streamed } else { AnswerMode::Whole };
        let expected = state.expected_ms(self.now, mode, self.args.ttl_ms);
        (expected.map(f64::from), f64::from(state.penalty_ms(self.now)))
    }
}

/// The `n`th number derived from `chance`, as random as it.
pub(super) fn mix(chance: u64, n: u64) -> u64 {
    let mut z = chance.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `chance` as a number from 0 to below 1.
#[allow(clippy::cast_precision_loss, reason = "53 bits of chance are plenty")]
pub(super) fn fraction(chance: u64) -> f64 {
    (chance >> 11) as f64 / (1u64 << 53) as f64
}

/// `chance` as a position among `count` things, at least one.
fn position(chance: u64, count: usize) -> usize {
    usize::try_from(chance % count.max(1) as u64).unwrap_or(0)
}

/// The least by `score`; ties are broken by chance.
fn least(
    candidates: impl Iterator<Item = DeploymentIndex>,
    score: impl Fn(DeploymentIndex) -> f64,
    chance: u64,
) -> Option<DeploymentIndex> {
    let mut best: Option<(f64, DeploymentIndex)> = None;
    let mut equals = 0;
    for index in candidates {
        let own = score(index);
        match best {
            Some((other, _)) if own > other => {}
            Some((other, _)) if own >= other => {
                equals += 1;
                if mix(chance, equals).is_multiple_of(equals + 1) {
                    best = Some((own, index));
                }
            }
            _ => {
                best = Some((own, index));
                equals = 0;
            }
        }
    }
    best.map(|(_, index)| index)
}

#[cfg(test)]
mod tests;
