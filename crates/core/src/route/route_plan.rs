//! One request's plan: the way through deployments and groups until there is an answer or nothing
//! is left to try.
//!
//! Driven by the gateway's pipeline: [`RoutePlan::next`] says what to do, [`RoutePlan::failed`] takes the
//! result. Always true: a group is visited once (a group that was passed over without an attempt
//! may get one at the very end), attempts are bounded by [`MAX_ATTEMPTS`], no pause follows the
//! last attempt, and nothing begins after the deadline.

mod after;
mod attempt_plan;
mod cost;
mod invariants;
mod pick;
mod plan;
mod queue;
mod rescue;
mod wait;

use std::collections::VecDeque;

pub use self::attempt_plan::{AttemptPlan, Begins, Repeat, Slot, Tried};

use super::controls::{Controls, Overrides};
use super::filter::Excluded;
use super::resolve::{Resolved, Target, resolve};
use super::select::exclusions;
use crate::budget::BudgetIndex;
use crate::deployment::DeploymentIndex;
use crate::snapshot::Snapshot;
use crate::time::Millis;
use crate::waiting::Wait;

/// Attempts of one request, over all groups.
pub const MAX_ATTEMPTS: usize = 24;

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this attempt.
    Attempt(AttemptPlan),
    /// Wait this many milliseconds, then call [`RoutePlan::next`] again.
    Pause(u64),
    /// Every way is closed for now: wait in the [queue](crate::waiting::Queue), which says how it goes
    /// on; then call [`RoutePlan::go_on`], [`RoutePlan::look_again`] or [`RoutePlan::stop_waiting`].
    Wait(Box<Wait>),
    /// Nothing is left to try.
    GiveUp(GiveUp),
}

/// Why nothing is left to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// No attempt was made, because every member of every group is excluded. The group that the
    /// client named is the first.
    Refused(Vec<Refused>),
    /// Everything that could be tried failed. These groups had nothing to try.
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

/// One request's plan.
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
    /// What changes the request for this group.
    overrides: Option<Overrides>,
    group_ends: Millis,
    /// Whether the last attempt could use all of the group's time.
    ends_with_group: bool,
    step: Step,
    /// Attempts that this group may still repeat; `None` until the first failure sets it.
    retries_left: Option<u32>,
    pauses: u32,
    /// Whether the safety net is used: every group is exhausted, so unhealthy members may be tried.
    net: bool,
    /// Whether the group was passed over because the request is too long for it.
    too_long: bool,
    /// Members that failed in this group and are not picked again for now.
    avoid: Vec<DeploymentIndex>,
    /// Where this group's attempts begin in `tried`.
    group_tried_from: usize,
    /// Groups without a member that could be tried, each with the fallback object that it was
    /// entered with.
    skipped: Vec<(Target, Option<Overrides>)>,
    /// Every group that was entered, and which of them is the current one.
    visited: Vec<wait::Visit>,
    current: usize,
    /// How many groups it entered.
    entered: usize,
    waits: wait::Waits,
    /// Once a stream has broken after its first content.
    rescue: Option<rescue::Rescue>,
    /// Groups that were passed over because no member is healthy.
    passed: Vec<(Target, Option<Overrides>)>,
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
    /// Begins at `target`. If the request has no time limit, `request_timeout_ms` of the config is
    /// its limit.
    #[must_use]
    pub fn new(snapshot: &Snapshot, target: Target, controls: Controls, now: Millis) -> RoutePlan {
        let mut route_plan = RoutePlan::blank(snapshot, target.clone(), controls, now);
        snapshot.group(target.group).budget.request(now);
        route_plan.settle(snapshot, target, None, now);
        route_plan
    }

    /// The same with the number that its attempts carry: different requests have different numbers.
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
            current: 0,
            entered: 0,
            waits: wait::Waits::default(),
            rescue: None,
            passed: Vec::new(),
            queue: VecDeque::new(),
            tried: Vec::new(),
            first_group_tried: 0,
            retries: 0,
            fallbacks: 0,
        }
    }

    /// The same for a preview: nothing is counted.
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

    /// Begins where `name` leads. An unknown name begins at the first default fallback, if the
    /// request may use one.
    ///
    /// # Errors
    ///
    /// The nearest names, if it leads nowhere.
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

    /// The same for a preview: nothing is counted.
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
        let first = names.find_map(|one| match resolve(snapshot, &one.name) {
            Resolved::Target(target) if controls.may_use.allows(snapshot, &target, &one.name) => {
                Some((target, one))
            }
            Resolved::Target(_) | Resolved::Unknown(_) => None,
        });
        let Some((target, one)) = first else { return Err(nearest) };
        let mut route_plan = RoutePlan::blank(snapshot, target.clone(), controls, now);
        let overrides = one.changes.map(Overrides::OfConfig);
        route_plan.settle(snapshot, target, overrides, now);
        route_plan.note_written(one.name.clone());
        route_plan.queue.extend(names.map(queue::Waiting::of));
        route_plan.fallbacks = 1;
        Ok(route_plan)
    }

    /// The group where it began.
    #[must_use]
    pub fn first_target(&self) -> &Target {
        self.visited.first().map_or(&self.target, |visit| &visit.target)
    }

    /// The group that is being tried.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Which of the groups that it entered is being tried: each has a number of its own, which no new config changes.
    #[must_use]
    pub fn place(&self) -> usize {
        self.visited.get(self.current).map_or(0, |visit| visit.number)
    }

    /// Whether an attempt was made in the group of that place. One that a new config has no more may have been called.
    #[must_use]
    pub fn was_called(&self, place: usize) -> bool {
        let visit = self.visited.iter().find(|visit| visit.number == place);
        visit.is_none_or(|visit| visit.made > 0)
    }

    /// The name that led to that group, if it is a fallback.
    #[must_use]
    pub fn written(&self) -> Option<&str> {
        self.visited.get(self.current)?.written.as_deref()
    }

    fn note_written(&mut self, name: Box<str>) {
        if let Some(visit) = self.visited.get_mut(self.current) {
            visit.written = Some(name);
        }
    }

    /// The client may not use the group of now: it goes on to another one, and never comes back.
    pub fn bar(&mut self) {
        if let Some(visit) = self.visited.get_mut(self.current) {
            visit.is_over = true;
        }
        self.step = Step::NextGroup;
    }

    /// What changes the request, if something does.
    #[must_use]
    pub fn overrides(&self) -> Option<Overrides> {
        self.overrides
    }

    /// What failed so far.
    #[must_use]
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The last failure in the group that the client named, and its place in [`RoutePlan::tried`]; a
    /// later failure if that group was never tried.
    #[must_use]
    pub fn original_failure(&self) -> Option<(usize, &Tried)> {
        let own = if self.fallbacks == 0 { self.tried.len() } else { self.first_group_tried };
        let index = own.checked_sub(1).unwrap_or(self.tried.len().checked_sub(1)?);
        Some((index, self.tried.get(index)?))
    }

    /// The budgets of its tags, which are charged with its cost.
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
        self.called_fallbacks().unwrap_or(self.fallbacks)
    }

    /// The end-to-end deadline; [`Millis::NEVER`] if there is none.
    #[must_use]
    pub fn deadline(&self) -> Millis {
        self.deadline
    }

    /// Whether no time is left for an attempt in the current group.
    #[must_use]
    pub fn is_late(&self, now: Millis) -> bool {
        now >= self.group_ends.min(self.deadline)
    }

    /// What to do at `now`. `chance` is a uniformly random number.
    ///
    /// If it is called again after [`Next::Attempt`] without a failure in between, it picks again:
    /// another request took the place.
    pub fn next(&mut self, snapshot: &Snapshot, now: Millis, chance: u64) -> Next {
        loop {
            if now >= self.deadline {
                // A wait that ends with the deadline is a refusal.
                let why = match self.waits.got_no_turn {
                    true => self.verdict(snapshot, now),
                    false => GiveUp::Deadline,
                };
                return Next::GiveUp(why);
            }
            let step = std::mem::replace(&mut self.step, Step::Pick);
            // An attempt without time would only be blamed for it.
            let step = if step == Step::Pick && self.is_late(now) { Step::NextGroup } else { step };
            match step {
                Step::Pick => match self.pick(snapshot, now, chance) {
                    Some(plan) => return Next::Attempt(plan),
                    None => {
                        // A retry that found no member to call does not count as one.
                        let repeats = self.tried.len() > self.group_tried_from;
                        self.retries = self.retries.saturating_sub(u32::from(repeats));
                        self.step = Step::NextGroup;
                    }
                },
                Step::Pause(ms) => return Next::Pause(ms),
                Step::NextGroup => {
                    if !self.advance(snapshot, now) {
                        if let Some(wait) = self.wait(snapshot, now) {
                            return Next::Wait(wait);
                        }
                        self.step = match self.waits.is_over {
                            true => Step::Stop(self.verdict(snapshot, now)),
                            // What was left out because a healthy member was waited for.
                            false => self.without_waiting(),
                        };
                    }
                }
                Step::Stop(why) => {
                    self.step = Step::Stop(why.clone());
                    return Next::GiveUp(why);
                }
            }
        }
    }

    /// Takes the failure of the attempt that [`RoutePlan::next`] returned.
    pub fn failed(&mut self, snapshot: &Snapshot, tried: Tried, now: Millis, chance: u64) {
        let failure = after::Failure::of(&tried);
        let repeat = tried.repeat;
        self.avoid_failed(snapshot, &failure);
        self.tried.push(tried);
        if self.fallbacks == 0 {
            self.first_group_tried = self.tried.len();
        }
        self.step = if self.tried.len() >= MAX_ATTEMPTS || repeat == Repeat::Never {
            Step::Stop(self.verdict(snapshot, now))
        } else {
            self.step_after_failure(&failure, after::Moment { snapshot, now, chance })
        };
        self.pauses_no_rescue();
        if matches!(self.step, Step::Pick | Step::Pause(_)) {
            self.retries += 1;
        }
        self.note_failure(&failure);
    }

    /// Returns what failed or what stood in the way. The reasons are collected only here, at the
    /// end: most requests do not need them.
    fn verdict(&mut self, snapshot: &Snapshot, now: Millis) -> GiveUp {
        let last = (self.target.clone(), self.overrides);
        let mut refused: Vec<Refused> = Vec::new();
        self.avoid.clear();
        for (target, overrides) in std::mem::take(&mut self.skipped) {
            let group = Box::from(target.name(snapshot));
            // A group that was passed over may have had its attempt at the end.
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

    fn settle(
        &mut self,
        snapshot: &Snapshot,
        target: Target,
        overrides: Option<Overrides>,
        now: Millis,
    ) {
        self.current = self.visited.len();
        self.visited.push(wait::Visit::of(self.entered, target.clone(), overrides));
        self.entered += 1;
        self.target = target;
        self.overrides = overrides;
        self.retries_left = None;
        self.pauses = 0;
        self.too_long = false;
        self.avoid_no_more();
        self.group_tried_from = self.tried.len();
        self.step = Step::Pick;
        self.share_deadline(snapshot, now);
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
