//! One request's way through deployments and groups until there is an answer or nothing is left.
//!
//! Driven by the gateway's pipeline: [`Walk::next`] says what to do, [`Walk::failed`] takes what came
//! of it. Always true: a group is visited once, attempts are bounded by [`MAX_ATTEMPTS`], no pause
//! follows the last attempt, and nothing begins after the deadline.

use std::collections::VecDeque;

use super::resolve::{Resolved, Target, resolve};
use super::select::{Choice, Excluded, Selection, select};
use crate::cause::{Cause, Retry};
use crate::deployment::DeploymentIndex;
use crate::health::Surroundings;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Attempts of one request, over all groups.
pub const MAX_ATTEMPTS: usize = 24;
/// First pause before the same deployment is asked again; doubles up to [`PAUSE_CAP_MS`].
const PAUSE_MS: u64 = 500;
/// Longest pause of our own.
const PAUSE_CAP_MS: u64 = 8_000;
/// Longest pause that a provider's hint may impose within a request.
const HINT_CAP_MS: u64 = 60_000;
/// Silence between the events of a stream, when nothing is configured.
const SILENCE_MS: u64 = 120_000;
/// Part of a deadline that is kept for fallbacks, in percent.
const FALLBACK_SHARE: u64 = 40;

/// What the client asks of the routing, from headers and body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Attempts after the first.
    pub num_retries: Option<u32>,
    /// The end-to-end deadline, milliseconds.
    pub timeout_ms: Option<u64>,
    /// Bounds the first content of a stream and every silence after it, milliseconds.
    pub stream_timeout_ms: Option<u64>,
    /// Groups tried after the first, instead of the config's.
    pub fallbacks: Option<Vec<Box<str>>>,
    /// Whether no fallback is tried.
    pub disable_fallbacks: bool,
    /// How many fallback groups may be tried.
    pub max_fallbacks: Option<u32>,
}

/// One attempt to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptPlan {
    /// Where to.
    pub deployment: DeploymentIndex,
    /// Whether it is a trial of a resting deployment.
    pub trial: bool,
    /// When it must have answered (a stream: its first content).
    pub ends: Millis,
    /// Whether `ends` is the caller's doing rather than the deployment's own limit.
    pub ends_by_caller: bool,
    /// Longest silence between a stream's events, milliseconds.
    pub silence_ms: u64,
    /// The attempt's own limit, milliseconds.
    pub timeout_ms: u64,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this attempt.
    Attempt(AttemptPlan),
    /// Wait that many milliseconds, then ask again.
    Pause(u64),
    /// Nothing is left.
    GiveUp(GiveUp),
}

/// Why nothing is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// No attempt was made: each member of the group that was asked for is excluded.
    Refused(Refused),
    /// Everything that may be tried failed.
    Exhausted,
    /// The deadline passed.
    Deadline,
}

/// A group that was refused without an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its name, as shown to clients.
    pub group: Box<str>,
    /// Why each member is excluded.
    pub excluded: Vec<Excluded>,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The group's name, as shown to clients.
    pub group: Box<str>,
    /// The deployment.
    pub deployment: DeploymentIndex,
    /// The upstream's status, where there was an answer.
    pub status: Option<u16>,
    /// What it proved.
    pub cause: Cause,
    /// The provider's message, or ours.
    pub message: Box<str>,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// The rest that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
}

/// One request's way.
#[derive(Debug)]
pub struct Walk {
    controls: Controls,
    started: Millis,
    deadline: Millis,
    target: Target,
    group_ends: Millis,
    step: Step,
    /// Attempts that this group may still repeat; `None` until the first failure fixes it.
    retries_left: Option<u32>,
    pauses: u32,
    /// Members that failed in this group and are not to be asked again, for now.
    avoid: Vec<DeploymentIndex>,
    /// Where this group's attempts begin in `tried`.
    group_tried_from: usize,
    refused: Option<Refused>,
    visited: Vec<Target>,
    queue: VecDeque<Box<str>>,
    tried: Vec<Tried>,
    first_group_tried: usize,
    retries: u32,
    fallbacks: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Pick,
    Pause(u64),
    NextGroup,
    Stop(GiveUp),
}

impl Walk {
    /// Begins at `target`. `request_timeout_ms` of the config bounds the request unless it does.
    #[must_use]
    pub fn new(snapshot: &Snapshot, target: Target, controls: Controls, now: Millis) -> Walk {
        let limit = controls.timeout_ms.or(snapshot.router.request_timeout_ms);
        let mut walk = Walk {
            deadline: limit.map_or(Millis::NEVER, |ms| now.plus(ms)),
            controls,
            started: now,
            target: target.clone(),
            group_ends: Millis::NEVER,
            step: Step::Pick,
            retries_left: None,
            pauses: 0,
            avoid: Vec::new(),
            group_tried_from: 0,
            refused: None,
            visited: Vec::new(),
            queue: VecDeque::new(),
            tried: Vec::new(),
            first_group_tried: 0,
            retries: 0,
            fallbacks: 0,
        };
        walk.enter(snapshot, target, now);
        walk
    }

    /// Begins at the first default fallback, for a name that means nothing; `None` when there is none.
    #[must_use]
    pub fn for_unknown(snapshot: &Snapshot, controls: Controls, now: Millis) -> Option<Walk> {
        if controls.disable_fallbacks {
            return None;
        }
        let names = &snapshot.router.default_fallbacks;
        let (position, target) =
            names.iter().enumerate().find_map(|(position, name)| {
                match resolve(snapshot, name) {
                    Resolved::Target(target) => Some((position, target)),
                    Resolved::Unknown(_) => None,
                }
            })?;
        let mut walk = Walk::new(snapshot, target, controls, now);
        walk.queue.extend(names.iter().skip(position + 1).cloned());
        walk.fallbacks = 1;
        Some(walk)
    }

    /// The group that is being tried.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What failed so far.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The last failure in the group that the client asked for, and its place in [`Walk::tried`];
    /// a later one when that group was never tried.
    #[must_use]
    pub fn original_failure(&self) -> Option<(usize, &Tried)> {
        let own = if self.fallbacks == 0 { self.tried.len() } else { self.first_group_tried };
        let index = own.checked_sub(1).unwrap_or(self.tried.len().checked_sub(1)?);
        Some((index, self.tried.get(index)?))
    }

    /// When it began.
    #[must_use]
    pub fn started(&self) -> Millis {
        self.started
    }

    /// Attempts that repeated an earlier one within a group.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Fallback groups that were entered.
    #[must_use]
    pub fn fallbacks(&self) -> u32 {
        self.fallbacks
    }

    /// The end-to-end deadline; [`Millis::NEVER`] when there is none.
    #[must_use]
    pub fn deadline(&self) -> Millis {
        self.deadline
    }

    /// What to do at `now`. `chance` is a uniformly random number.
    pub fn next(&mut self, snapshot: &Snapshot, now: Millis, chance: u64) -> Next {
        loop {
            if now >= self.deadline {
                return Next::GiveUp(GiveUp::Deadline);
            }
            match std::mem::replace(&mut self.step, Step::Pick) {
                Step::Pick => match self.pick(snapshot, now, chance) {
                    Ok(plan) => return Next::Attempt(plan),
                    Err(excluded) => {
                        let group = Box::from(self.target.name(snapshot));
                        self.refused.get_or_insert(Refused { group, excluded });
                        self.step = Step::NextGroup;
                    }
                },
                Step::Pause(ms) => return Next::Pause(ms),
                Step::NextGroup => {
                    if !self.advance(snapshot, now) {
                        self.step = Step::Stop(match &self.refused {
                            Some(refused) if self.tried.is_empty() => {
                                GiveUp::Refused(refused.clone())
                            }
                            _ => GiveUp::Exhausted,
                        });
                    }
                }
                Step::Stop(why) => {
                    self.step = Step::Stop(why.clone());
                    return Next::GiveUp(why);
                }
            }
        }
    }

    /// Takes the failure of the attempt that [`Walk::next`] asked for.
    pub fn failed(
        &mut self,
        snapshot: &Snapshot,
        tried: Tried,
        trial: bool,
        now: Millis,
        chance: u64,
    ) {
        let (cause, hint_ms, deployment) = (tried.cause, tried.hint_ms, tried.deployment);
        if !self.avoid.contains(&deployment) {
            self.avoid.push(deployment);
        }
        self.tried.push(tried);
        if self.fallbacks == 0 {
            self.first_group_tried = self.tried.len();
        }
        let budget = *self.retries_left.get_or_insert_with(|| {
            let own = snapshot.deployment(deployment).limits.num_retries;
            self.controls.num_retries.or(own).unwrap_or(snapshot.router.num_retries)
        });
        self.step = if self.tried.len() >= MAX_ATTEMPTS {
            Step::Stop(GiveUp::Exhausted)
        } else {
            self.after(snapshot, cause, hint_ms, budget, trial, now, chance)
        };
        if matches!(self.step, Step::Pick | Step::Pause(_)) {
            self.retries += 1;
        }
    }

    #[allow(
        clippy::too_many_arguments,
        reason = "one decision, all of whose inputs are plain values"
    )]
    fn after(
        &mut self,
        snapshot: &Snapshot,
        cause: Cause,
        hint_ms: Option<u64>,
        budget: u32,
        trial: bool,
        now: Millis,
        chance: u64,
    ) -> Step {
        match cause {
            Cause::ClientClosed | Cause::Gateway | Cause::ContentPolicy => {
                return Step::Stop(GiveUp::Exhausted);
            }
            // The client's deadline may have been shared out; the rest of it belongs to fallbacks.
            Cause::ClientTimeout => return Step::NextGroup,
            _ => {}
        }
        let retry = cause.facts().retry;
        if retry == Retry::No {
            return Step::NextGroup;
        }
        if self.selection(snapshot).has_choice(now) {
            // The deployment's own fault is found out once; it costs the request no retry.
            if matches!(cause, Cause::Auth | Cause::Permission | Cause::NotFound) {
                return Step::Pick;
            }
            return match budget.checked_sub(1) {
                Some(left) => {
                    self.retries_left = Some(left);
                    Step::Pick
                }
                None => Step::NextGroup,
            };
        }
        let Some(left) = budget.checked_sub(1) else { return Step::NextGroup };
        // A failed trial says that the deployment is still not well; but a deployment that went to rest
        // because of this very request owes it the attempts that are left.
        let tried_before = self.tried[self.group_tried_from..].len() > 1;
        if trial && !tried_before {
            return Step::NextGroup;
        }
        let repeatable = self.repeatable(snapshot);
        if repeatable.is_empty() {
            return Step::NextGroup;
        }
        // Where several were asked and the last one named a time, the client waits better than we do.
        if hint_ms.is_some() && usable(snapshot, self.members(snapshot)) > 1 {
            return Step::NextGroup;
        }
        let Some(pause) = self.pause(snapshot, hint_ms, now, chance) else {
            return Step::NextGroup;
        };
        self.retries_left = Some(left);
        self.pauses += 1;
        // Everybody failed once; from here on the pause protects them, not the order.
        self.avoid.retain(|index| !repeatable.contains(index));
        Step::Pause(pause)
    }

    /// The pause before the same deployment is asked again, unless it would not fit.
    fn pause(
        &self,
        snapshot: &Snapshot,
        hint_ms: Option<u64>,
        now: Millis,
        chance: u64,
    ) -> Option<u64> {
        let longest = if self.has_fallback_left(snapshot) { PAUSE_CAP_MS } else { HINT_CAP_MS };
        let ms = match hint_ms {
            Some(hint) if hint > longest => return None,
            Some(hint) => hint,
            None => {
                let ceiling = (PAUSE_MS << self.pauses.min(16)).min(PAUSE_CAP_MS);
                (chance % (ceiling + 1)).max(snapshot.router.retry_after_ms.min(PAUSE_CAP_MS))
            }
        };
        (now.plus(ms) < self.group_ends.min(self.deadline)).then_some(ms)
    }

    fn members<'s>(&'s self, snapshot: &'s Snapshot) -> &'s [DeploymentIndex] {
        match &self.target.pinned {
            Some(only) => std::slice::from_ref(only),
            None => &snapshot.group(self.target.group).members,
        }
    }

    /// Members whose last failure in this group may go away by waiting.
    fn repeatable(&self, snapshot: &Snapshot) -> Vec<DeploymentIndex> {
        let attempts = &self.tried[self.group_tried_from..];
        let last = |index: &DeploymentIndex| {
            attempts.iter().rev().find(|tried| tried.deployment == *index)
        };
        let members = self.members(snapshot).iter();
        members
            .filter(|index| {
                last(index).is_some_and(|tried| tried.cause.facts().retry == Retry::SiblingOrSame)
            })
            .copied()
            .collect()
    }

    fn selection<'s>(&'s self, snapshot: &'s Snapshot) -> Selection<'s> {
        Selection {
            snapshot,
            members: self.members(snapshot),
            avoid: &self.avoid,
            request_started: self.started,
            caller_timeout_ms: self.controls.timeout_ms,
        }
    }

    fn pick(
        &mut self,
        snapshot: &Snapshot,
        now: Millis,
        chance: u64,
    ) -> Result<AttemptPlan, Vec<Excluded>> {
        match select(&self.selection(snapshot), now, chance) {
            Choice::Deployment(deployment, trial) => {
                Ok(self.plan(snapshot, deployment, trial, now))
            }
            Choice::None(excluded) => Err(excluded),
        }
    }

    fn plan(
        &self,
        snapshot: &Snapshot,
        deployment: DeploymentIndex,
        trial: bool,
        now: Millis,
    ) -> AttemptPlan {
        let limits = &snapshot.deployment(deployment).limits;
        let timeout = limits.timeout_ms.unwrap_or(snapshot.router.timeout_ms);
        let stream_timeout = self
            .controls
            .stream_timeout_ms
            .or(limits.stream_timeout_ms)
            .or(snapshot.router.stream_timeout_ms);
        let timeout_ms =
            if self.controls.stream { stream_timeout.unwrap_or(timeout) } else { timeout };
        let own_end = now.plus(timeout_ms);
        let request_end = self.group_ends.min(self.deadline);
        let ends = own_end.min(request_end);
        AttemptPlan {
            deployment,
            trial,
            ends,
            // The operator's limit for a request is a limit for its deployments too.
            ends_by_caller: self.controls.timeout_ms.is_some() && request_end < own_end,
            silence_ms: stream_timeout.unwrap_or(SILENCE_MS),
            timeout_ms: ends.since(now),
        }
    }

    /// What surrounds a failure of `plan`'s deployment.
    #[must_use]
    pub fn surroundings(&self, snapshot: &Snapshot, plan: &AttemptPlan) -> Surroundings {
        let deployment = snapshot.deployment(plan.deployment);
        let group = snapshot.group(self.target.group);
        let router = &snapshot.router;
        let cooldown = deployment.limits.cooldown_ms.unwrap_or(router.cooldown_ms);
        Surroundings {
            has_sibling: usable(snapshot, &group.members) > 1,
            has_fallback: self
                .config_fallbacks(snapshot, &self.target)
                .any(|name| **name != *group.name),
            cooldown_ms: if router.disable_cooldowns { 0 } else { cooldown },
            allowed_fails: router.allowed_fails,
            attempt_timeout_ms: plan.timeout_ms,
            many_models: group.pattern.is_some(),
        }
    }

    /// Moves on to the next fallback group; false when there is none.
    fn advance(&mut self, snapshot: &Snapshot, now: Millis) -> bool {
        let limit = self.controls.max_fallbacks.unwrap_or(snapshot.router.max_fallbacks);
        while self.fallbacks < limit {
            let Some(name) = self.queue.pop_front() else { return false };
            let Resolved::Target(target) = resolve(snapshot, &name) else { continue };
            if self.visited.contains(&target) {
                continue;
            }
            self.fallbacks += 1;
            self.enter(snapshot, target, now);
            return true;
        }
        false
    }

    fn enter(&mut self, snapshot: &Snapshot, target: Target, now: Millis) {
        self.visited.push(target.clone());
        if !self.controls.disable_fallbacks {
            // A fallback's own fallbacks come before those that were already waiting.
            for name in self.fallbacks_of(snapshot, &target).into_iter().rev() {
                self.queue.push_front(name);
            }
        }
        self.target = target;
        self.retries_left = None;
        self.pauses = 0;
        self.avoid.clear();
        self.group_tried_from = self.tried.len();
        self.step = Step::Pick;
        self.group_ends = match self.deadline {
            Millis::NEVER => Millis::NEVER,
            deadline if self.has_fallback_left(snapshot) => {
                now.plus(deadline.since(now).min(u64::MAX / 100) * (100 - FALLBACK_SHARE) / 100)
            }
            deadline => deadline,
        };
    }

    fn has_fallback_left(&self, snapshot: &Snapshot) -> bool {
        let limit = self.controls.max_fallbacks.unwrap_or(snapshot.router.max_fallbacks);
        self.fallbacks < limit
            && self.queue.iter().any(|name| match resolve(snapshot, name) {
                Resolved::Target(target) => !self.visited.contains(&target),
                Resolved::Unknown(_) => false,
            })
    }

    fn fallbacks_of(&self, snapshot: &Snapshot, target: &Target) -> Vec<Box<str>> {
        if let Some(own) = &self.controls.fallbacks {
            // The client's list replaces the config's, once.
            return if self.visited.len() == 1 { own.clone() } else { Vec::new() };
        }
        // Who asks for one deployment does not ask for another one.
        if target.pinned.is_some() {
            return Vec::new();
        }
        let is_first = self.visited.len() == 1;
        let defaults = &snapshot.router.default_fallbacks;
        let own = self.config_fallbacks(snapshot, target);
        own.filter(|name| is_first || !defaults.contains(name)).cloned().collect()
    }

    /// What the config says is tried after `target`: its own list, then the default one.
    fn config_fallbacks<'s>(
        &self,
        snapshot: &'s Snapshot,
        target: &Target,
    ) -> impl Iterator<Item = &'s Box<str>> + use<'s> {
        let router = &snapshot.router;
        let own = if router.fallbacks.is_empty() {
            None
        } else {
            let name = target.name(snapshot);
            let group = &snapshot.group(target.group).name;
            let stripped = name.split_once('/').map_or(name, |(_, model)| model);
            [name, group, stripped].iter().find_map(|key| router.fallbacks.get(*key))
        };
        own.into_iter().flatten().chain(&router.default_fallbacks)
    }
}

fn usable(snapshot: &Snapshot, members: &[DeploymentIndex]) -> usize {
    let usable = |index: &&DeploymentIndex| snapshot.deployment(**index).misconfigured.is_none();
    members.iter().filter(usable).count()
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
