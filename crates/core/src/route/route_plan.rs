//! One request's way through deployments and groups until there is an answer or nothing is left.
//!
//! Driven by the gateway's pipeline: [`RoutePlan::next`] says what to do, [`RoutePlan::failed`] takes what came
//! of it. Always true: a group is visited once (one that was passed over without an attempt may get
//! one at the very end), attempts are bounded by [`MAX_ATTEMPTS`], no pause follows the last attempt,
//! and nothing begins after the deadline.

mod after;
mod invariants;
mod plan;
mod queue;

use std::collections::VecDeque;

use super::controls::Controls;
use super::filter::{Excluded, Selection};
use super::needs::Needs;
use super::resolve::{Resolved, Target, resolve};
use super::select::{Choice, exclusions, least_bad, select};
use super::tags::TagFilter;
use crate::budget::BudgetIndex;
use crate::cause::Cause;
use crate::deployment::DeploymentIndex;
use crate::health::{Claim, HalfOpen};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Attempts of one request, over all groups.
pub const MAX_ATTEMPTS: usize = 24;

/// One attempt to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptPlan {
    /// Where to.
    pub deployment: DeploymentIndex,
    /// The permits that it holds when it is a trial of a resting deployment.
    pub half_open: HalfOpen,
    /// When it must have answered (a stream: its first content).
    pub ends: Millis,
    /// Whether `ends` is the caller's doing rather than the deployment's own limit.
    pub ends_by_client: bool,
    /// Longest silence between a stream's events, milliseconds.
    pub silence_ms: u64,
    /// Whether that is the caller's doing.
    pub silence_by_client: bool,
    /// When a stream must have ended.
    pub stream_ends: Millis,
    /// What must be granted before it begins.
    pub claim: Claim,
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
    /// No attempt was made: each member of each group is excluded. The group that was asked for is the
    /// first.
    Refused(Vec<Refused>),
    /// Everything that may be tried failed; these groups had nothing to try.
    Exhausted(Vec<Refused>),
    /// The deadline passed.
    Deadline,
}

/// A group without an attempt.
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
    /// Whether it was sent again on a new connection, because a kept one turned out to be closed.
    pub resent: bool,
    /// The rest that the provider named, milliseconds.
    pub hint_ms: Option<u64>,
    /// Whether it was a half-open request.
    pub half_open: bool,
}

/// One request's way.
#[derive(Debug)]
pub struct RoutePlan {
    controls: Controls,
    /// The budgets of its tags.
    tag_budgets: Vec<BudgetIndex>,
    /// The request's number in the outcomes of its attempts.
    request: u64,
    started: Millis,
    deadline: Millis,
    target: Target,
    /// Which of the client's fallback objects changes the request for this group.
    overrides: Option<usize>,
    group_ends: Millis,
    /// Whether the last attempt had what was left of the group's time.
    ends_with_group: bool,
    step: Step,
    /// Attempts that this group may still repeat; `None` until the first failure fixes it.
    retries_left: Option<u32>,
    pauses: u32,
    /// Whether deployments that are not well may be tried although other groups were there.
    net: bool,
    /// Whether the group was passed over because the request is too long for it.
    too_long: bool,
    /// Members that failed in this group and are not to be asked again, for now.
    avoid: Vec<DeploymentIndex>,
    /// Where this group's attempts begin in `tried`.
    group_tried_from: usize,
    /// Groups in which nobody could be asked, each with the fallback object that it was entered with.
    skipped: Vec<(Target, Option<usize>)>,
    visited: Vec<Target>,
    /// Groups that were passed over because nobody in them is well.
    passed: Vec<(Target, Option<usize>)>,
    queue: VecDeque<queue::Waiting>,
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

impl RoutePlan {
    /// Begins at `target`. `request_timeout_ms` of the config bounds the request unless it does.
    #[must_use]
    pub fn new(snapshot: &Snapshot, target: Target, controls: Controls, now: Millis) -> RoutePlan {
        let mut route_plan = RoutePlan::blank(snapshot, target.clone(), controls, now);
        route_plan.enter(snapshot, target, None, now);
        route_plan
    }

    /// The same, with the number that its attempts carry: different requests have different ones.
    #[must_use]
    pub fn numbered(self, request: u64) -> RoutePlan {
        RoutePlan { request, ..self }
    }

    fn blank(snapshot: &Snapshot, target: Target, controls: Controls, now: Millis) -> RoutePlan {
        let limit = controls.timeout_ms.or(snapshot.router.request_timeout_ms);
        let tags = controls.tags.as_deref().map_or(&[][..], |wish| &wish.any);
        RoutePlan {
            deadline: limit.map_or(Millis::NEVER, |ms| now.plus(ms)),
            tag_budgets: snapshot.budgets.of_tags(tags),
            controls,
            request: 0,
            started: now,
            target,
            overrides: None,
            group_ends: Millis::NEVER,
            ends_with_group: false,
            step: Step::Pick,
            retries_left: None,
            pauses: 0,
            net: false,
            too_long: false,
            avoid: Vec::new(),
            group_tried_from: 0,
            skipped: Vec::new(),
            visited: Vec::new(),
            passed: Vec::new(),
            queue: VecDeque::new(),
            tried: Vec::new(),
            first_group_tried: 0,
            retries: 0,
            fallbacks: 0,
        }
    }

    /// The same, to be looked at only: nothing is counted.
    pub(super) fn preview(
        snapshot: &Snapshot,
        target: Target,
        controls: Controls,
        now: Millis,
    ) -> RoutePlan {
        let mut route_plan = RoutePlan::blank(snapshot, target.clone(), controls, now);
        route_plan.settle(snapshot, target, None, now);
        route_plan
    }

    /// Begins where `name` leads; a name that means nothing begins at the first default fallback, if the
    /// request may take one.
    ///
    /// # Errors
    /// The nearest names, when it leads nowhere.
    pub fn named(
        snapshot: &Snapshot,
        name: &str,
        controls: Controls,
        now: Millis,
    ) -> Result<RoutePlan, Vec<Box<str>>> {
        let route_plan = RoutePlan::preview_named(snapshot, name, controls, now)?;
        snapshot.group(route_plan.target.group).budget.request(now);
        Ok(route_plan)
    }

    /// The same, to be looked at only: nothing is counted.
    pub(super) fn preview_named(
        snapshot: &Snapshot,
        name: &str,
        controls: Controls,
        now: Millis,
    ) -> Result<RoutePlan, Vec<Box<str>>> {
        let nearest = match resolve(snapshot, name) {
            Resolved::Target(target) => {
                return Ok(RoutePlan::preview(snapshot, target, controls, now));
            }
            Resolved::Unknown(nearest) => nearest,
        };
        let limit = controls.max_fallbacks.unwrap_or(snapshot.router.max_fallbacks);
        if controls.disable_fallbacks || limit == 0 {
            return Err(nearest);
        }
        let mut names = snapshot.router.default_fallbacks.iter();
        let first = names.find_map(|name| match resolve(snapshot, name) {
            Resolved::Target(target) => Some(target),
            Resolved::Unknown(_) => None,
        });
        let Some(target) = first else { return Err(nearest) };
        let mut route_plan = RoutePlan::preview(snapshot, target, controls, now);
        let names = names.cloned();
        route_plan.queue.extend(names.map(|name| queue::Waiting { name, overrides: None }));
        route_plan.fallbacks = 1;
        Ok(route_plan)
    }

    /// The group that is being tried.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The place in the client's list of the fallback object that changes the request, if one does.
    #[must_use]
    pub fn overrides(&self) -> Option<usize> {
        self.overrides
    }

    /// What failed so far.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The last failure in the group that the client asked for, and its place in [`RoutePlan::tried`];
    /// a later one when that group was never tried.
    #[must_use]
    pub fn original_failure(&self) -> Option<(usize, &Tried)> {
        let own = if self.fallbacks == 0 { self.tried.len() } else { self.first_group_tried };
        let index = own.checked_sub(1).unwrap_or(self.tried.len().checked_sub(1)?);
        Some((index, self.tried.get(index)?))
    }

    /// The budgets of its tags, which a cost is charged to.
    #[must_use]
    pub fn tag_budgets(&self) -> &[BudgetIndex] {
        &self.tag_budgets
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
    ///
    /// Asked again after [`Next::Attempt`] without a failure in between, it chooses anew: the place
    /// was taken by another request.
    pub fn next(&mut self, snapshot: &Snapshot, now: Millis, chance: u64) -> Next {
        loop {
            if now >= self.deadline {
                return Next::GiveUp(GiveUp::Deadline);
            }
            match std::mem::replace(&mut self.step, Step::Pick) {
                Step::Pick => match self.pick(snapshot, now, chance) {
                    Some(plan) => return Next::Attempt(plan),
                    None => {
                        // A repeated attempt that found nobody any more was none.
                        let repeats = self.tried.len() > self.group_tried_from;
                        self.retries = self.retries.saturating_sub(u32::from(repeats));
                        self.step = Step::NextGroup;
                    }
                },
                Step::Pause(ms) => return Next::Pause(ms),
                Step::NextGroup => {
                    if !self.advance(snapshot, now) {
                        self.step = Step::Stop(self.verdict(snapshot, now));
                    }
                }
                Step::Stop(why) => {
                    self.step = Step::Stop(why.clone());
                    return Next::GiveUp(why);
                }
            }
        }
    }

    /// Takes the failure of the attempt that [`RoutePlan::next`] asked for.
    pub fn failed(&mut self, snapshot: &Snapshot, tried: Tried, now: Millis, chance: u64) {
        let failure = after::Failure {
            cause: tried.cause,
            status: tried.status,
            deployment: tried.deployment,
            hint_ms: tried.hint_ms,
            half_open: tried.half_open,
        };
        self.exclude(snapshot, &failure);
        self.tried.push(tried);
        if self.fallbacks == 0 {
            self.first_group_tried = self.tried.len();
        }
        self.step = if self.tried.len() >= MAX_ATTEMPTS {
            Step::Stop(self.verdict(snapshot, now))
        } else {
            self.after(&failure, after::Moment { snapshot, now, chance })
        };
        if matches!(self.step, Step::Pick | Step::Pause(_)) {
            self.retries += 1;
        }
    }

    fn members<'s>(&'s self, snapshot: &'s Snapshot) -> &'s [DeploymentIndex] {
        match &self.target.pinned {
            Some(only) => std::slice::from_ref(only),
            None => &snapshot.group(self.target.group).members,
        }
    }

    /// What it asks of a model, as far as that was read.
    fn needs(&self) -> Needs {
        // A fallback with messages of its own has needs of its own, which nobody has read.
        if self.overrides.is_none() { self.controls.needs } else { Needs::default() }
    }

    pub(super) fn selection<'s>(&'s self, snapshot: &'s Snapshot, now: Millis) -> Selection<'s> {
        let members = self.members(snapshot);
        let selection = Selection {
            snapshot,
            target: &self.target,
            members,
            avoid: &self.avoid,
            needs: self.needs(),
            unix_ms: self.controls.unix_ms.saturating_add(now.since(self.started)),
            tag_budgets: &self.tag_budgets,
            tags: self.tags(snapshot, members),
            heeds_probes: false,
            controls: &self.controls,
            request: self.request,
            ends: self.group_ends.min(self.deadline),
        };
        if !snapshot.probing.routes() {
            return selection;
        }
        selection.heeding(now, self.net || !self.has_fallback_left(snapshot))
    }

    /// Whether checks speak against everybody who could answer, and are therefore ignored.
    #[must_use]
    pub fn ignores_probes(&self, snapshot: &Snapshot, now: Millis) -> bool {
        snapshot.probing.routes() && {
            let selection = self.selection(snapshot, now);
            !selection.heeds_probes && selection.all_unhealthy(now)
        }
    }

    fn tags<'s>(
        &'s self,
        snapshot: &Snapshot,
        members: &[DeploymentIndex],
    ) -> Option<TagFilter<'s>> {
        let wish = self.controls.tags.as_deref()?;
        let filters = snapshot.group(self.target.group).filters_tags;
        let match_any = snapshot.router.tags.match_any;
        filters.then(|| TagFilter::new(snapshot, members, wish, match_any))
    }

    fn pick(&mut self, snapshot: &Snapshot, now: Millis, chance: u64) -> Option<AttemptPlan> {
        let selection = self.selection(snapshot, now);
        let chosen = if self.net { Choice::None } else { select(&selection, now, chance) };
        if let Choice::Deployment(deployment, half_open) = chosen {
            return Some(self.plan(snapshot, deployment, half_open, now));
        }
        // Another group that is well comes before one that is not.
        if self.net || !self.has_fallback_left(snapshot) {
            if let Choice::Deployment(deployment, half_open) = least_bad(&selection, now) {
                return Some(self.plan(snapshot, deployment, half_open, now));
            }
        } else if selection.has_choice(now, true) && self.tried.len() == self.group_tried_from {
            self.passed.push((self.target.clone(), self.overrides));
        }
        self.too_long = self.selection(snapshot, now).is_too_long(now);
        if self.tried.len() == self.group_tried_from {
            self.skipped.push((self.target.clone(), self.overrides));
        }
        None
    }

    /// What it was that failed or stood in the way. Reasons are only looked for here, at the end: most
    /// requests need none.
    fn verdict(&mut self, snapshot: &Snapshot, now: Millis) -> GiveUp {
        let last = (self.target.clone(), self.overrides);
        let mut refused: Vec<Refused> = Vec::new();
        self.avoid.clear();
        for (target, overrides) in std::mem::take(&mut self.skipped) {
            let group = Box::from(target.name(snapshot));
            // Whoever was passed over may have had its turn at the end.
            if refused.iter().any(|one| one.group == group)
                || self.tried.iter().any(|tried| tried.group == group)
            {
                continue;
            }
            (self.target, self.overrides) = (target, overrides);
            let excluded = exclusions(&self.selection(snapshot, now), now);
            refused.push(Refused { group, excluded });
        }
        (self.target, self.overrides) = last;
        if self.tried.is_empty() { GiveUp::Refused(refused) } else { GiveUp::Exhausted(refused) }
    }

    fn enter(
        &mut self,
        snapshot: &Snapshot,
        target: Target,
        overrides: Option<usize>,
        now: Millis,
    ) {
        snapshot.group(target.group).budget.request(now);
        self.settle(snapshot, target, overrides, now);
    }

    fn settle(
        &mut self,
        snapshot: &Snapshot,
        target: Target,
        overrides: Option<usize>,
        now: Millis,
    ) {
        self.visited.push(target.clone());
        self.target = target;
        self.overrides = overrides;
        self.retries_left = None;
        self.pauses = 0;
        self.too_long = false;
        self.avoid.clear();
        self.group_tried_from = self.tried.len();
        self.step = Step::Pick;
        self.share_deadline(snapshot, now);
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
