//! Another deployment for a stream that broke after its first content.
//!
//! Called by the gateway when a stream begins, to say what would follow a break, and when it breaks. Always true: the deployments
//! whose streams broke are not tried again for this request; a rescue is an attempt like any other, by the same filters, but it
//! neither pauses nor waits in line, because the client is in the middle of an answer.

use std::borrow::Cow;

use super::{Begins, MAX_ATTEMPTS, RoutePlan, Step, Tried, after};
use crate::cause::Cause;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::rescue::No;
use crate::route::needs::Needs;
use crate::route::resolve::{Resolved, Target, resolve};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// A rescue under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rescue {
    begins: Begins,
    /// When the request ends. Each rescue has a deadline of its own before that, and the next break gets another one.
    deadline: Millis,
    /// The deployments whose streams broke.
    broken: Vec<DeploymentIndex>,
    /// Whether the group's retry budget did not pay for it.
    is_unpaid: bool,
}

impl RoutePlan {
    /// Whether a deployment is known that could continue the stream of `current`, apart from its present health.
    #[must_use]
    pub fn may_be_rescued(
        &self,
        snapshot: &Snapshot,
        current: DeploymentIndex,
        (begins, now): (Begins, Millis),
    ) -> bool {
        let can = |index: &DeploymentIndex, target: &Target| {
            let deployment = snapshot.deployment(*index);
            let model = || target.model_in_many(snapshot, deployment);
            *index != current && can_begin(deployment, (begins, now), model)
        };
        if self.members(snapshot).iter().any(|index| can(index, &self.target)) {
            return true;
        }
        let later = self.preview_fallbacks(snapshot, Cause::StreamCut);
        let waiting = self.queue.iter().map(|waiting| &waiting.name);
        let allows =
            |target: &Target, name: &str| self.controls.may_use.allows(snapshot, target, name);
        waiting.chain(&later).any(|name| match resolve(snapshot, name) {
            Resolved::Target(target) if allows(&target, name) => {
                let members = match &target.pinned {
                    Some(only) => std::slice::from_ref(only),
                    None => &snapshot.group(target.group).members[..],
                };
                members.iter().any(|index| can(index, &target))
            }
            Resolved::Target(_) | Resolved::Unknown(_) => false,
        })
    }

    /// Whether the member could continue a stream that broke elsewhere, apart from its present health.
    #[must_use]
    pub(in crate::route) fn can_continue(
        &self,
        snapshot: &Snapshot,
        index: DeploymentIndex,
        now: Millis,
    ) -> bool {
        let deployment = snapshot.deployment(index);
        let model = || self.target.model_in_many(snapshot, deployment);
        let begins = Begins::of(snapshot.router.rescue);
        begins.is_some_and(|begins| can_begin(deployment, (begins, now), model))
    }

    /// Takes the break of a stream whose first content has reached the client: [`RoutePlan::next`] then says which deployment
    /// continues it, and has to have begun at `ends`.
    ///
    /// # Errors
    /// Why none does.
    pub fn broke(
        &mut self,
        snapshot: &Snapshot,
        tried: Tried,
        (begins, now, ends): (Begins, Millis, Millis),
    ) -> Result<(), No> {
        let failure = after::Failure::of(&tried);
        self.avoid_failed(snapshot, &failure);
        let broken = tried.deployment;
        self.tried.push(tried);
        if self.fallbacks == 0 {
            self.first_group_tried = self.tried.len();
        }
        self.note_failure(&failure);
        let deadline = self.rescue.as_ref().map_or(self.deadline, |rescue| rescue.deadline);
        if now >= deadline {
            return Err(No::Deadline);
        }
        if self.tried.len() >= MAX_ATTEMPTS {
            return Err(No::Attempts);
        }
        let rescue = self.rescue.get_or_insert_with(|| Rescue {
            begins,
            deadline,
            broken: Vec::new(),
            is_unpaid: false,
        });
        rescue.begins = begins;
        rescue.broken.push(broken);
        self.waits.is_over = true;
        self.retries_left = None;
        self.deadline = deadline.min(ends);
        self.share_deadline(snapshot, now);
        self.step = self.step_of_rescue(snapshot, now);
        if self.step == Step::Pick {
            self.retries += 1;
        }
        Ok(())
    }

    /// A member at once, if the group's budget pays for it; else another group.
    fn step_of_rescue(&mut self, snapshot: &Snapshot, now: Millis) -> Step {
        let selection = self.selection(snapshot, now);
        if !selection.has_choice(now, self.safety_net(snapshot)) {
            return Step::NextGroup;
        }
        let is_first_move = self.tried.len() == self.group_tried_from + 1;
        let is_free = is_first_move && selection.has_ready(now);
        let allowance =
            if is_free { after::Allowance::Always } else { after::Allowance::WithinBudget };
        let pays = self.group_allows(snapshot, allowance, now);
        if let Some(rescue) = self.rescue.as_mut().filter(|_| !pays) {
            rescue.is_unpaid = true;
        }
        if pays { Step::Pick } else { Step::NextGroup }
    }

    /// Why no deployment was found after [`RoutePlan::broke`], if none was called.
    #[must_use]
    pub fn why_not_rescued(&self) -> No {
        match self.rescue.as_ref().is_some_and(|rescue| rescue.is_unpaid) {
            true => No::RetryBudget,
            false => No::NoTarget,
        }
    }

    pub(super) fn rescue_needs_prefill(&self) -> bool {
        self.rescue.as_ref().is_some_and(|rescue| rescue.begins == Begins::FromPrefix)
    }

    /// Every member may be picked again, but those whose streams broke.
    pub(super) fn avoid_no_more(&mut self) {
        self.avoid.clear();
        self.avoid.extend(self.rescue.iter().flat_map(|rescue| &rescue.broken).copied());
    }

    /// The client is in the middle of an answer: another group comes before a pause.
    pub(super) fn pauses_no_rescue(&mut self) {
        if self.rescue.is_some() && matches!(self.step, Step::Pause(_)) {
            self.step = Step::NextGroup;
        }
    }
}

/// Whether the deployment is known to begin an answer so.
fn can_begin<'m>(
    deployment: &Deployment,
    (begins, now): (Begins, Millis),
    model: impl FnOnce() -> Cow<'m, str>,
) -> bool {
    let needs = Needs { prefill: begins == Begins::FromPrefix, ..Needs::default() };
    deployment.can_work()
        && needs.unmet(&deployment.facts).is_none()
        && deployment.state.unmet(now, (None, &needs), model).is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::route::Controls;
    use crate::route::route_plan::fixture::{add, snapshot_of};
    use crate::route::route_plan::{GiveUp, Next, Repeat};

    const NOW: Millis = Millis(1_000_000);

    fn broken(deployment: DeploymentIndex) -> Tried {
        Tried {
            group: "g".into(),
            deployment,
            former: None,
            status: None,
            cause: Cause::StreamCut,
            message: "cut".into(),
            ms: 1,
            resent: false,
            hint_ms: None,
            half_open: false,
            repeat: Repeat::Allowed,
        }
    }

    /// A group `g` of this many members, all of which go on from a prefix, and a fallback `f`.
    fn snapshot(members: usize) -> Snapshot {
        let mut snapshot = snapshot_of(&vec![1.0; members]);
        add(&mut snapshot, "f", &[("f-a", 1.0, "up-f")]);
        snapshot.router.fallbacks.insert("g".into(), vec!["f".into()]);
        for deployment in &mut snapshot.deployments {
            let changed = Arc::get_mut(deployment).unwrap();
            changed.facts.supports_assistant_prefill = Some(true);
        }
        snapshot
    }

    fn attempt(plan: &mut RoutePlan, snapshot: &Snapshot) -> Option<DeploymentIndex> {
        match plan.next(snapshot, NOW, 0) {
            Next::Attempt(attempt) => Some(attempt.deployment),
            Next::GiveUp(_) => None,
            other => panic!("{other:?}"),
        }
    }

    fn begun(snapshot: &Snapshot) -> (RoutePlan, DeploymentIndex) {
        let mut plan = RoutePlan::named(snapshot, "g", Controls::default(), NOW).unwrap();
        let first = attempt(&mut plan, snapshot).unwrap();
        (plan, first)
    }

    #[test]
    fn a_sibling_continues_it_then_a_fallback_and_never_one_that_broke() {
        let snapshot = snapshot(2);
        let (mut plan, first) = begun(&snapshot);
        let from = (Begins::FromPrefix, NOW);
        let on = (Begins::FromPrefix, NOW, Millis::NEVER);
        assert!(plan.may_be_rescued(&snapshot, first, from));
        assert_eq!(plan.broke(&snapshot, broken(first), on), Ok(()));
        let second = attempt(&mut plan, &snapshot).unwrap();
        assert_ne!(first, second);
        assert_eq!(plan.broke(&snapshot, broken(second), on), Ok(()));
        let third = attempt(&mut plan, &snapshot).unwrap();
        assert_eq!(&*snapshot.deployment(third).id, "f-a");
        assert_eq!(plan.broke(&snapshot, broken(third), on), Ok(()));
        assert_eq!(attempt(&mut plan, &snapshot), None);
        assert_eq!(plan.why_not_rescued(), No::NoTarget);
    }

    #[test]
    fn only_a_deployment_that_goes_on_from_a_prefix_gets_one() {
        let mut snapshot = snapshot(2);
        for deployment in &mut snapshot.deployments {
            Arc::get_mut(deployment).unwrap().facts.supports_assistant_prefill = None;
        }
        let (mut plan, first) = begun(&snapshot);
        assert!(!plan.may_be_rescued(&snapshot, first, (Begins::FromPrefix, NOW)));
        assert!(plan.may_be_rescued(&snapshot, first, (Begins::Anew, NOW)));
        assert_eq!(
            plan.broke(&snapshot, broken(first), (Begins::FromPrefix, NOW, Millis::NEVER)),
            Ok(())
        );
        assert!(matches!(plan.next(&snapshot, NOW, 0), Next::GiveUp(GiveUp::Exhausted(_))));
        let (mut plan, first) = begun(&snapshot);
        assert_eq!(
            plan.broke(&snapshot, broken(first), (Begins::Anew, NOW, Millis::NEVER)),
            Ok(())
        );
        assert!(attempt(&mut plan, &snapshot).is_some());
    }

    #[test]
    fn a_rescue_that_fails_moves_on_without_a_pause_or_a_wait() {
        let snapshot = snapshot(2);
        let (mut plan, first) = begun(&snapshot);
        plan.broke(&snapshot, broken(first), (Begins::FromPrefix, NOW, Millis::NEVER)).unwrap();
        let second = attempt(&mut plan, &snapshot).unwrap();
        plan.failed(&snapshot, broken(second), NOW, 7);
        let third = attempt(&mut plan, &snapshot).unwrap();
        assert_eq!(&*snapshot.deployment(third).id, "f-a");
        plan.failed(&snapshot, broken(third), NOW, 7);
        assert_eq!(attempt(&mut plan, &snapshot), None);
    }

    #[test]
    fn a_later_break_has_as_long_as_the_first_until_the_request_ends() {
        let snapshot = snapshot(3);
        let controls = Controls { timeout_ms: Some(10_000), ..Controls::default() };
        let mut plan = RoutePlan::named(&snapshot, "g", controls, NOW).unwrap();
        let mut at = NOW;
        for silence_ms in [1_000, 1_000] {
            let Next::Attempt(attempt) = plan.next(&snapshot, at, 0) else { panic!("{at:?}") };
            at = at.plus(4_000);
            let ends = at.plus(silence_ms);
            let broke = broken(attempt.deployment);
            assert_eq!(plan.broke(&snapshot, broke, (Begins::FromPrefix, at, ends)), Ok(()));
            assert_eq!(plan.deadline, ends, "each break");
        }
        let Next::Attempt(attempt) = plan.next(&snapshot, at, 0) else { panic!("{at:?}") };
        let late = (Begins::FromPrefix, NOW.plus(10_000), Millis::NEVER);
        let last = plan.broke(&snapshot, broken(attempt.deployment), late);
        assert_eq!(last, Err(No::Deadline), "the request's own");
    }

    #[test]
    fn no_deployment_is_called_behind_the_deadline_or_the_last_attempt() {
        let snapshot = snapshot(2);
        let controls = Controls { timeout_ms: Some(50), ..Controls::default() };
        let mut plan = RoutePlan::named(&snapshot, "g", controls, NOW).unwrap();
        let first = attempt(&mut plan, &snapshot).unwrap();
        let late = (Begins::FromPrefix, NOW.plus(50), Millis::NEVER);
        assert_eq!(plan.broke(&snapshot, broken(first), late), Err(No::Deadline));
        let (mut plan, first) = begun(&snapshot);
        for _ in 1..MAX_ATTEMPTS {
            plan.tried.push(broken(first));
        }
        let last = plan.broke(&snapshot, broken(first), (Begins::FromPrefix, NOW, Millis::NEVER));
        assert_eq!(last, Err(No::Attempts));
    }
}
