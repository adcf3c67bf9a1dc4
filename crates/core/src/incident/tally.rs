//! What became of requests, counted for incidents.
//!
//! Filled by the sinks with each batch of records, emptied by the watch once a second. Always true: it names groups and
//! deployments of the config only, and never more than [`NAMES_MAX`] of each.

use std::collections::HashMap;
use std::sync::Arc;

use super::effect::Effect;
use crate::cause::Cause;

/// Names that are counted.
const NAMES_MAX: usize = 20_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete answer.
    Answered,
    /// An error or a broken answer, for which a deployment is to blame.
    Failed(Cause),
    /// Anything else: what the client or the gateway did.
    Other,
}

/// A finished request.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'e> {
    /// The group that answered, or failed last.
    pub group: Option<&'e Arc<str>>,
    /// The model as the client named it.
    pub requested: Option<&'e Arc<str>>,
    /// Whether any deployment was called for it.
    pub was_attempted: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether an attempt failed before the last one.
    pub is_moved: bool,
    /// Fallback groups that were entered.
    pub fallbacks: u32,
    /// Whether it waited in line.
    pub has_waited: bool,
    /// How long it took to its first content, or as a whole; none where a long time is no fault.
    pub took_ms: Option<u64>,
}

/// What became of attempts at one deployment, also of those after which another one answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Those that were answered.
    pub answered: u64,
    /// Those that failed, for which the deployment is to blame.
    pub failed: u64,
    /// Why the last one of these failed.
    pub cause: Option<Cause>,
}

/// Requests of a group that were slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slow {
    pub(super) requests: u64,
    pub(super) longest_ms: u64,
    /// What became of that one.
    pub(super) longest: SoFar,
}

/// What became of a slow request so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SoFar {
    /// It was answered, or failed.
    #[default]
    Ended,
    /// It is still without an answer.
    Hangs,
}

/// Counts of some time.
#[derive(Debug, Default)]
pub struct Tally {
    /// A request is slow from here on, milliseconds; 0 is never.
    slow_ms: u64,
    pub(super) deployments: HashMap<Arc<str>, Attempts>,
    pub(super) groups: HashMap<Arc<str>, Effect>,
    pub(super) slow: HashMap<Arc<str>, Slow>,
    /// Requests that failed behind fallbacks, by the model that was asked for, with the group that failed last.
    pub(super) exhausted: HashMap<Arc<str>, (u64, Cause)>,
}

impl Tally {
    /// An empty one, in which a request is slow that takes so long; 0 is never.
    #[must_use]
    pub fn with_slow_ms(slow_ms: u64) -> Tally {
        Tally { slow_ms, ..Tally::default() }
    }

    /// Takes what was counted, and counts on with this threshold.
    #[must_use]
    pub fn take(&mut self, slow_ms: u64) -> Tally {
        std::mem::replace(self, Tally::with_slow_ms(slow_ms))
    }

    /// Counts a request.
    pub fn add(&mut self, ended: &Ended<'_>) {
        let effect = effect(ended);
        // A request that left its group is an effect of that group's.
        let left = ended.requested.filter(|_| ended.fallbacks > 0);
        if effect != Effect::default()
            && let Some(group) = left.or(ended.group)
            && let Some(sum) = entry(&mut self.groups, group)
        {
            *sum = sum.plus(effect);
        }
        if let (Outcome::Failed(cause), Some(model)) = (ended.outcome, left)
            && let Some(count) = entry_or(&mut self.exhausted, model, (0, cause))
        {
            *count = (count.0 + 1, cause);
        }
        let is_slow = |ms: &u64| self.slow_ms > 0 && *ms >= self.slow_ms;
        if let (Some(ms), Some(group)) = (ended.took_ms.filter(is_slow), ended.group)
            && let Some(slow) = entry(&mut self.slow, group)
        {
            slow.add(ms, SoFar::Ended);
        }
    }

    /// Counts a request of `group` that has had no answer for so long.
    pub fn hangs(&mut self, group: &Arc<str>, ms: u64) {
        if let Some(slow) = entry(&mut self.slow, group) {
            slow.add(ms, SoFar::Hangs);
        }
    }

    /// Counts attempts at a deployment.
    pub fn attempted(&mut self, deployment: &Arc<str>, attempts: Attempts) {
        if let Some(sum) = entry(&mut self.deployments, deployment) {
            sum.answered += attempts.answered;
            sum.failed += attempts.failed;
            sum.cause = attempts.cause.or(sum.cause);
        }
    }
}

impl Slow {
    fn add(&mut self, ms: u64, so_far: SoFar) {
        self.requests += 1;
        if ms >= self.longest_ms {
            (self.longest_ms, self.longest) = (ms, so_far);
        }
    }
}

fn effect(ended: &Ended<'_>) -> Effect {
    let none = Effect::default();
    match ended.outcome {
        Outcome::Failed(_) if !ended.was_attempted => Effect { refused: 1, ..none },
        Outcome::Failed(_) => Effect { hurt: 1, ..none },
        Outcome::Answered if ended.is_moved || ended.fallbacks > 0 => Effect { moved: 1, ..none },
        Outcome::Answered if ended.has_waited => Effect { waited: 1, ..none },
        Outcome::Answered | Outcome::Other => none,
    }
}

fn entry<'m, T: Default>(map: &'m mut HashMap<Arc<str>, T>, name: &Arc<str>) -> Option<&'m mut T> {
    entry_or(map, name, T::default())
}

fn entry_or<'m, T>(
    map: &'m mut HashMap<Arc<str>, T>,
    name: &Arc<str>,
    default: T,
) -> Option<&'m mut T> {
    if !map.contains_key(name) {
        if map.len() >= NAMES_MAX {
            return None;
        }
        map.insert(name.clone(), default);
    }
    map.get_mut(name)
}
