//! Waiting for a turn: whether a request waits, for which ways, and how it goes on.
//!
//! Called by [`RoutePlan::next`] when nothing is left to try, and by the gateway when a wait ends.
//! Always true: siblings, fallbacks and the safety net come first; a wait is paid with a repeat,
//! unless it is for an outcome only; all waits of a request together are bounded.

use std::sync::Arc;

use super::plan::with_share_left;
use super::{AttemptPlan, MAX_ATTEMPTS, RoutePlan, Slot, Step, after};
use crate::cause::{Cause, Retry};
use crate::deployment::DeploymentIndex;
use crate::health::{AnswerMode, RetryBudget};
use crate::policy::FailureKind;
use crate::route::controls::Overrides;
use crate::route::filter::{Closed, SafetyNet, Selection, claim, foreign};
use crate::route::resolve::{Resolved, Target, resolve};
use crate::route::times::times;
use crate::snapshot::Snapshot;
use crate::time::Millis;
use crate::waiting::{Accepts, Grant, Part, Ticket, Wait, Way};

/// The most ways that a request waits for: the first ones of its groups.
const WAYS_MAX: usize = 64;
/// How old a learned time may be, milliseconds.
const LEARNED_TTL_MS: u64 = 3_600_000;

/// One group that a request entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    /// Tells it from all others of the request, also from those that a new config has no more.
    pub(super) number: usize,
    pub(super) target: Target,
    /// The name that led there, if it is a fallback.
    pub(super) written: Option<Box<str>>,
    overrides: Option<Overrides>,
    /// Attempts made there.
    pub(super) made: u32,
    /// Repeats that are left there; `None` until the first failure or the first wait sets it.
    retries_left: Option<u32>,
    /// Whether nothing may be tried there any more.
    pub(super) is_over: bool,
}

impl Visit {
    pub(super) fn of(number: usize, target: Target, overrides: Option<Overrides>) -> Visit {
        let (written, retries_left) = (None, None);
        Visit { number, target, written, overrides, made: 0, retries_left, is_over: false }
    }

    /// Whether no attempt was made there, and one may be.
    fn is_untried(&self) -> bool {
        self.made == 0 && !self.is_over
    }
}

/// A request's waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    ticket: Option<Ticket>,
    /// The time of those that ended, milliseconds.
    waited_ms: u64,
    /// When the present one began.
    began: Option<Millis>,
    /// Whether the wait before the first attempt was paid.
    is_paid: bool,
    /// Whether it waits no more: what is left is the safety net.
    pub(super) is_over: bool,
    /// Whether the last one ended without a turn.
    pub(super) got_no_turn: bool,
    /// Fallbacks before the first group that was entered, once a wait has led to a group.
    unknown: Option<u32>,
}

/// How a request may go on in a group that it left.
struct Terms {
    accepts: Accepts,
    /// The retry budget that pays.
    draws: Option<Arc<RetryBudget>>,
}

impl RoutePlan {
    /// Whether the request entered that group.
    pub(super) fn was_visited(&self, target: &Target) -> bool {
        self.visited.iter().any(|visit| visit.target == *target)
    }

    /// Fallback groups that were called or are current, once a wait has led to a group: those that it only
    /// waited for do not count.
    pub(super) fn called_fallbacks(&self) -> Option<u32> {
        let unknown = self.waits.unknown?;
        let later = self.visited.iter().enumerate().skip(1);
        let called =
            later.filter(|(place, visit)| visit.made > 0 || *place == self.current).count();
        Some(u32::try_from(called).unwrap_or(u32::MAX).saturating_add(unknown))
    }

    /// Goes back to a group that was entered before.
    pub(super) fn resume(&mut self, target: Target, overrides: Option<Overrides>) {
        let place = self.visited.iter().position(|visit| visit.target == target);
        self.current = place.unwrap_or(self.current);
        (self.target, self.overrides) = (target, overrides);
    }

    /// An earlier attempt answers after all: it was in that group.
    pub fn answered_in(&mut self, target: Target, overrides: Option<Overrides>) {
        self.resume(target, overrides);
    }

    /// Milliseconds that it waited for its turn.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        self.waits.waited_ms
    }

    /// Its place in the queue, once it has one.
    #[must_use]
    pub fn ticket(&self) -> Option<Ticket> {
        self.waits.ticket
    }

    /// Remembers the ticket with which it waits: it keeps it for all its waits.
    pub fn queued(&mut self, ticket: Ticket) {
        self.waits.ticket = Some(ticket);
    }

    /// Counts a failed attempt in its group.
    pub(super) fn note_failure(&mut self, failure: &after::Failure) {
        let retries_left = self.retries_left;
        let Some(visit) = self.visited.get_mut(self.current) else { return };
        visit.made = visit.made.saturating_add(1);
        visit.retries_left = retries_left;
        // A limit closes the member; another failure of a half-open request, or one that a repeat
        // does not change, ends the group.
        let is_final = failure.half_open || failure.cause.facts().retry == Retry::No;
        visit.is_over |= is_final && !failure.cause.is_limit();
    }

    /// The ways that are closed for now, if it may wait for them.
    pub(in crate::route) fn wait(&mut self, snapshot: &Snapshot, now: Millis) -> Option<Box<Wait>> {
        let left_ms = snapshot.router.max_wait_ms.saturating_sub(self.waits.waited_ms);
        if left_ms == 0 || self.waits.is_over || self.tried.len() >= MAX_ATTEMPTS {
            return None;
        }
        let ways = self.ways(snapshot, now);
        let asked = &self.visited.first()?.target;
        let group = snapshot.group(asked.group).name.clone();
        if ways.is_empty() {
            return None;
        }
        let net_follows = self.deadline != Millis::NEVER && self.leaves_to_the_net(snapshot, now);
        let deadline = match self.deadline {
            Millis::NEVER => Millis::NEVER,
            // The safety net has its turn after the wait.
            deadline if net_follows => with_share_left(deadline, now),
            deadline => Millis(deadline.0.saturating_sub(self.learned_ms(&ways, now))),
        };
        let ends = now.plus(left_ms).min(deadline);
        self.waits.began = Some(now);
        self.step = Step::NextGroup;
        let (ticket, arrived) = (self.waits.ticket, self.started);
        Some(Box::new(Wait { ticket, arrived, group, ways, ends, body_bytes: 0 }))
    }

    /// The shortest learned time to the first content, milliseconds; 0 if none was learned.
    fn learned_ms(&self, ways: &[Way], now: Millis) -> u64 {
        let mode = match self.controls.stream {
            true => AnswerMode::Streamed,
            false => AnswerMode::Whole,
        };
        let learned = |way: &Way| way.deployment.state.expected_ms(now, mode, LEARNED_TTL_MS);
        let shortest = ways.iter().filter_map(learned).min_by(f32::total_cmp);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and times are not negative"
        )]
        shortest.map_or(0, |ms| ms as u64)
    }

    /// What it may wait for, in the order of its groups.
    fn ways(&mut self, snapshot: &Snapshot, now: Millis) -> Vec<Way> {
        let here = (self.target.clone(), self.overrides);
        let avoid = std::mem::take(&mut self.avoid);
        let mut ways = Vec::new();
        for place in 0..self.visited.len() {
            let Some(terms) = self.terms(snapshot, place) else { continue };
            let Some(visit) = self.visited.get(place) else { continue };
            (self.target, self.overrides) = (visit.target.clone(), visit.overrides);
            self.ways_here(snapshot, now, (place, &terms), &mut ways);
        }
        (self.target, self.overrides) = here;
        self.avoid = avoid;
        if ways.iter().all(|way| way.accepts == Accepts::Meanwhile) {
            ways.clear();
        }
        ways
    }

    /// On which terms the request may go on in a group; `None` if it may not.
    fn terms(&self, snapshot: &Snapshot, place: usize) -> Option<Terms> {
        let visit = self.visited.get(place).filter(|visit| !visit.is_over)?;
        let repeats = visit.retries_left.unwrap_or_else(|| self.repeats(snapshot, &visit.target));
        if visit.made > 0 {
            let budget = snapshot.group(visit.target.group).budget.clone();
            return (repeats > 0)
                .then_some(Terms { accepts: Accepts::Anything, draws: Some(budget) });
        }
        let may_repeat = repeats > 0 || (self.tried.is_empty() && self.waits.is_paid);
        let accepts = if may_repeat { Accepts::Anything } else { Accepts::Outcomes };
        Some(Terms { accepts, draws: None })
    }

    /// The repeats that a group allows after a limit.
    fn repeats(&self, snapshot: &Snapshot, target: &Target) -> u32 {
        let group = snapshot.group(target.group);
        let member = target.pinned.or(group.members.first().copied());
        let own = member.and_then(|index| snapshot.deployment(index).routing.limits.num_retries);
        let asked = self.controls.num_retries;
        let policy = group.retry_policy.get(FailureKind::RateLimit);
        asked.or(policy).or(own).unwrap_or(snapshot.router.num_retries)
    }

    /// The ways in the current group.
    fn ways_here(
        &self,
        snapshot: &Snapshot,
        now: Millis,
        (place, terms): (usize, &Terms),
        ways: &mut Vec<Way>,
    ) {
        let selection = self.selection(snapshot, now);
        for &index in selection.members {
            let Some(closed) = selection.closed(index, now) else { continue };
            // It failed because of a limit that closed nothing: it is repeated after a pause.
            let was_tried = || self.tried.iter().any(|tried| tried.is_at(index));
            let accepts = match (closed, terms.accepts) {
                (Closed::NoMore, _) if was_tried() => continue,
                (Closed::ByTime | Closed::BySlots, Accepts::Outcomes) => Accepts::Meanwhile,
                (_, accepts) => accepts,
            };
            if self.has_failed(snapshot, index) || ways.len() >= WAYS_MAX {
                continue;
            }
            let deployment = snapshot.deployment(index);
            ways.push(Way {
                index,
                deployment: deployment.clone(),
                part: self.part(snapshot, index),
                claim: claim(snapshot, deployment, self.needs().input_tokens),
                timeout_ms: times(snapshot, deployment, &self.controls).timeout_ms,
                draws: terms.draws.clone(),
                accepts,
                place: u32::try_from(place).unwrap_or(u32::MAX),
            });
        }
    }

    /// The part of a member that it needs, if parts of it are in cooldown on their own.
    fn part(&self, snapshot: &Snapshot, index: DeploymentIndex) -> Option<Part> {
        let deployment = snapshot.deployment(index);
        let model = self.target.model_in_many(snapshot, deployment);
        let foreign = foreign(deployment, &self.controls);
        (!model.is_empty() || foreign.is_some()).then(|| Part { foreign, model: model.into() })
    }

    /// Whether a member failed this request, by itself or by its credential. A limit is no such
    /// failure.
    fn has_failed(&self, snapshot: &Snapshot, index: DeploymentIndex) -> bool {
        let deployment = snapshot.deployment(index);
        self.tried.iter().filter(|tried| !tried.cause.is_limit()).any(|tried| {
            tried.is_at(index)
                || (tried.cause == Cause::Auth && tried.at(snapshot).shares_credential(deployment))
        })
    }

    /// A way has opened: the attempt to make. Its slot and its permits are the grant's.
    pub fn go_on(&mut self, snapshot: &Snapshot, grant: &Grant, now: Millis) -> AttemptPlan {
        self.wait_ended(now);
        let place = usize::try_from(grant.place).unwrap_or(usize::MAX);
        if let Some(visit) = self.visited.get(place).cloned() {
            let left = visit.retries_left.unwrap_or_else(|| self.repeats(snapshot, &visit.target));
            self.retries_left = if visit.made > 0 {
                // The wait was the repeat that it precedes.
                self.retries += 1;
                Some(left.saturating_sub(1))
            } else if self.tried.is_empty() && !self.waits.is_paid {
                self.waits.is_paid = true;
                Some(left.saturating_sub(1))
            } else {
                visit.retries_left
            };
            self.resume(visit.target, visit.overrides);
        }
        if let Some(visit) = self.visited.get_mut(self.current) {
            visit.retries_left = self.retries_left;
        }
        // A name that is not known begins at a default fallback.
        let entered = u32::try_from(self.visited.len()).unwrap_or(u32::MAX);
        let unknown = (self.fallbacks + 1).saturating_sub(entered).min(1);
        self.waits.unknown = Some(unknown);
        self.avoid.clear();
        let members = self.members(snapshot);
        let tried = self.tried.iter().filter(|tried| tried.former.is_none());
        let tried = tried.map(|tried| tried.deployment);
        let failed: Vec<DeploymentIndex> = tried.filter(|one| members.contains(one)).collect();
        for index in failed {
            if index != grant.index && !self.avoid.contains(&index) {
                self.avoid.push(index);
            }
        }
        self.net = false;
        self.group_tried_from = self.tried.len();
        self.group_ends = self.deadline;
        self.step = Step::Pick;
        let plan = self.plan(snapshot, grant.index, grant.half_open, now);
        AttemptPlan { slot: Slot::Taken, ..plan }
    }

    /// Whether the way that opened still suits: no budget was spent and no switch was thrown since
    /// the request began to wait.
    #[must_use]
    pub fn still_suits(&self, snapshot: &Snapshot, grant: &Grant, now: Millis) -> bool {
        let place = usize::try_from(grant.place).unwrap_or(usize::MAX);
        let budgets = &snapshot.budgets;
        let deployment = snapshot.deployment(grant.index);
        self.visited.get(place).is_some()
            && deployment.can_work()
            && budgets.exhausted(&deployment.routing.budgets, now).is_none()
            && budgets.exhausted(&self.tag_budgets, now).is_none()
    }

    /// What it waits for has changed, or the way that opened does not suit any more: from here on
    /// [`RoutePlan::next`] looks again.
    pub fn look_again(&mut self, snapshot: &Snapshot, now: Millis) {
        self.wait_ended(now);
        if matches!(self.step, Step::Stop(_)) {
            return;
        }
        self.step = Step::NextGroup;
        self.net_before_a_wait(snapshot, now);
    }

    /// A group whose healthy member closed meanwhile: the safety net comes before another wait.
    fn net_before_a_wait(&mut self, snapshot: &Snapshot, now: Millis) {
        let by_net = |selection: &Selection<'_>, now| {
            selection.has_choice(now, SafetyNet::Open)
                && !selection.has_choice(now, SafetyNet::Closed)
        };
        let groups = self.untried(snapshot, now, by_net);
        self.passed.extend(groups);
    }

    /// Whether a member is left that only the safety net tries.
    fn leaves_to_the_net(&mut self, snapshot: &Snapshot, now: Millis) -> bool {
        let groups =
            self.untried(snapshot, now, |selection, now| selection.has_one_for_the_net(now));
        !groups.is_empty()
    }

    /// The groups without an attempt whose members are so.
    fn untried(
        &mut self,
        snapshot: &Snapshot,
        now: Millis,
        is_so: impl Fn(&Selection<'_>, Millis) -> bool,
    ) -> Vec<(Target, Option<Overrides>)> {
        let here = (self.target.clone(), self.overrides);
        let mut found = Vec::new();
        for place in 0..self.visited.len() {
            let Some(visit) = self.visited.get(place).filter(|visit| visit.is_untried()) else {
                continue;
            };
            (self.target, self.overrides) = (visit.target.clone(), visit.overrides);
            let selection = Selection { avoid: &[], ..self.selection(snapshot, now) };
            if is_so(&selection, now) {
                found.push((self.target.clone(), self.overrides));
            }
        }
        (self.target, self.overrides) = here;
        found
    }

    /// It waited in vain, or may not wait: [`RoutePlan::next`] gives up, unless the safety net has a
    /// member that was left out because a healthy one was waited for.
    pub fn stop_waiting(&mut self, now: Millis) {
        self.wait_ended(now);
        self.waits.got_no_turn = true;
        self.step = self.without_waiting();
    }

    /// It waits no more: what is left is the safety net in each group without an attempt.
    pub(super) fn without_waiting(&mut self) -> Step {
        self.waits.is_over = true;
        for visit in self.visited.iter().filter(|visit| visit.is_untried()) {
            let group = (visit.target.clone(), visit.overrides);
            if !self.passed.contains(&group) {
                self.passed.push(group);
            }
        }
        Step::NextGroup
    }

    fn wait_ended(&mut self, now: Millis) {
        if let Some(began) = self.waits.began.take() {
            self.waits.waited_ms = self.waits.waited_ms.saturating_add(now.since(began));
        }
    }

    /// Continues in a new config; false if that does not have its name. Then it is over: it calls nothing of a config that is
    /// not in force any more.
    #[must_use]
    pub fn move_to(&mut self, new: &Snapshot, old: &Snapshot, now: Millis) -> bool {
        let target = |target: &Target| {
            let name = match &target.pinned {
                Some(pinned) => &*old.deployment(*pinned).id,
                None => target.name(old),
            };
            match resolve(new, name) {
                Resolved::Target(target) => Some(target),
                Resolved::Unknown(_) => None,
            }
        };
        if self.visited.first().is_none_or(|asked| target(&asked.target).is_none()) {
            self.wait_ended(now);
            self.step = Step::Stop(self.verdict(old, now));
            return false;
        }
        let mut current = 0;
        let mut visited = Vec::new();
        for (place, visit) in std::mem::take(&mut self.visited).into_iter().enumerate() {
            let Some(found) = target(&visit.target) else { continue };
            if place == self.current {
                current = visited.len();
            }
            visited.push(Visit { target: found, ..visit });
        }
        (self.visited, self.current) = (visited, current);
        if let Some(visit) = self.visited.get(current) {
            (self.target, self.overrides) = (visit.target.clone(), visit.overrides);
        }
        self.tried.iter_mut().for_each(|tried| tried.move_to(new, old));
        let keep = |groups: &mut Vec<(Target, Option<Overrides>)>| {
            groups.retain_mut(|(group, _)| match target(group) {
                Some(found) => {
                    *group = found;
                    true
                }
                None => false,
            });
        };
        keep(&mut self.skipped);
        keep(&mut self.passed);
        self.avoid.clear();
        let tags = self.controls.tags.as_deref().map_or(&[][..], |wish| &wish.any);
        self.tag_budgets = new.budgets.of_tags(tags);
        true
    }
}
