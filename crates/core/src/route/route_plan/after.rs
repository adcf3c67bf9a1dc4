//! What follows a failure: another attempt in the group, a pause, another group, or the end.
//!
//! Called by [`RoutePlan::failed`]. Always true: a failure that the same deployment would repeat is not
//! repeated there; a pause is never longer than the time that is left; repeated attempts are
//! counted against the budgets of the request and of the group.

use super::{GiveUp, Repeat, RoutePlan, Step, Tried};
use crate::cause::{Cause, Retry};
use crate::deployment::DeploymentIndex;
use crate::health::RetryBudget;
use crate::policy::FailureKind;
use crate::route::filter::Closed;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// First pause before the same deployment is called again; doubles up to [`PAUSE_CAP_MS`].
const PAUSE_MS: u64 = 500;
/// Longest pause of our own.
pub(super) const PAUSE_CAP_MS: u64 = 8_000;
/// Longest pause that a provider's hint may cause within a request.
const HINT_CAP_MS: u64 = 60_000;

/// Shortest pause that a provider's hint causes: a hint of nothing is no reason to spend all repeats at once.
const HINT_FLOOR_MS: u64 = 250;
/// A hint is lengthened by up to this fraction of itself.
const HINT_JITTER: u64 = 10;

/// The longest pause after this many others, milliseconds.
fn pause_ceiling_ms(before: u32) -> u64 {
    (PAUSE_MS << before.min(16)).min(PAUSE_CAP_MS)
}

/// How an attempt failed.
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) status: Option<u16>,
    pub(super) deployment: DeploymentIndex,
    pub(super) hint_ms: Option<u64>,
    pub(super) half_open: bool,
    pub(super) repeat: Repeat,
}

impl Failure {
    pub(super) fn of(tried: &Tried) -> Failure {
        Failure {
            cause: tried.cause,
            status: tried.status,
            deployment: tried.deployment,
            hint_ms: tried.hint_ms,
            half_open: tried.half_open,
            repeat: tried.repeat,
        }
    }
}

/// When a group makes a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// Even if its budget is spent.
    Always,
    /// Only if its budget has enough left.
    WithinBudget,
}

/// The moment of a failure: the config, the time, and a uniformly random number.
#[derive(Clone, Copy)]
pub(super) struct Moment<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) now: Millis,
    pub(super) chance: u64,
}

impl RoutePlan {
    /// Excludes the deployment from this request, and if its credential failed, all deployments
    /// with the same one.
    pub(super) fn avoid_failed(&mut self, snapshot: &Snapshot, failure: &Failure) {
        let failed = snapshot.deployment(failure.deployment);
        let same_credential = matches!(failure.cause, Cause::Auth | Cause::Quota);
        let group = snapshot.group(self.target.group);
        let others = group.members.iter().copied().filter(|index| {
            same_credential && snapshot.deployment(*index).shares_credential(failed)
        });
        for index in others.chain([failure.deployment]) {
            if !self.avoid.contains(&index) {
                self.avoid.push(index);
            }
        }
    }

    /// The step after a failed attempt.
    pub(super) fn step_after_failure(&mut self, failure: &Failure, moment: Moment<'_>) -> Step {
        let Moment { snapshot, now, .. } = moment;
        let cause = failure.cause;
        match cause {
            Cause::ClientClosed | Cause::Gateway => {
                return Step::Stop(GiveUp::Exhausted(Vec::new()));
            }
            // The client's deadline may have been shared among groups; the time that is left
            // belongs to the fallbacks.
            Cause::ClientTimeout if self.ends_with_group => return Step::NextGroup,
            _ => {}
        }
        let budget = self.budget(snapshot, failure);
        let net = self.safety_net(snapshot);
        if !self.selection(snapshot, now).has_choice(now, net) {
            self.gives_up_images(snapshot, now);
        }
        let selection = self.selection(snapshot, now);
        let has_choice = selection.has_choice(now, net);
        let has_ready = selection.has_ready(now);
        if has_choice && self.is_next_tier(snapshot, failure, now) {
            self.group_budget(snapshot).spend(now);
            return Step::Pick;
        }
        // Found out once, and remembered.
        if failure.repeat == Repeat::AtSibling {
            return if has_choice { Step::Pick } else { Step::NextGroup };
        }
        if cause == Cause::EmptyAnswer {
            // No repeat at the same deployment, and the answer is not kept from its client for long.
            self.waits.is_over = true;
            return match has_ready && self.group_allows(snapshot, Allowance::Always, now) {
                true => Step::Pick,
                false => Step::NextGroup,
            };
        }
        if cause.facts().retry == Retry::No && !self.policy_repeats(snapshot, failure) {
            return Step::NextGroup;
        }
        if has_choice {
            // Whether a request can be expressed in a provider's format is found out without a
            // call.
            if cause == Cause::Unsupported {
                return Step::Pick;
            }
            // A fault of the deployment itself is found out once and costs the request no retry. If
            // no member is known to be healthy, the group's budget prevents a storm of retries.
            if matches!(cause, Cause::Auth | Cause::Permission | Cause::NotFound) {
                let allowance = if has_ready { Allowance::Always } else { Allowance::WithinBudget };
                let moves = self.group_allows(snapshot, allowance, now);
                return if moves { Step::Pick } else { Step::NextGroup };
            }
            let Some(left) = budget.checked_sub(1) else { return Step::NextGroup };
            let is_first_move = self.tried.len() == self.group_tried_from + 1;
            let is_free = is_first_move && has_ready;
            let allowance = if is_free { Allowance::Always } else { Allowance::WithinBudget };
            if !self.group_allows(snapshot, allowance, now) {
                return Step::NextGroup;
            }
            self.retries_left = Some(left);
            return Step::Pick;
        }
        self.again(failure, budget, moment)
    }

    /// Repeats attempts at members that may answer later, after a pause.
    fn again(&mut self, failure: &Failure, budget: u32, moment: Moment<'_>) -> Step {
        let Moment { snapshot, now, .. } = moment;
        let Some(left) = budget.checked_sub(1) else { return Step::NextGroup };
        // A failed half-open request shows that the deployment is still unhealthy. But if this
        // request's own failure caused the cooldown, the attempts that are left are made.
        let tried_before = self.tried.len() > self.group_tried_from + 1;
        if failure.half_open && !tried_before {
            return Step::NextGroup;
        }
        let mut repeatable = self.repeatable(snapshot);
        // What the provider closed is waited for after the fallbacks were tried.
        let selection = self.selection(snapshot, now);
        let is_closed = |index: &DeploymentIndex| match selection.closed(*index, now) {
            Some(Closed::ByTime) => true,
            // The outcome of an attempt under way is waited for. If there is none, nothing but a
            // pause keeps this request from trying again at once.
            Some(Closed::ByAttempts) => !snapshot.deployment(*index).half_open_is_free(now),
            Some(Closed::NoMore | Closed::BySlots) | None => false,
        };
        repeatable.retain(|index| !is_closed(index));
        if repeatable.is_empty() {
            return Step::NextGroup;
        }
        // If several members were tried and the last one named a time, it is better that the client
        // waits.
        if failure.hint_ms.is_some() && self.usable(snapshot) > 1 {
            return Step::NextGroup;
        }
        let Some(pause) = self.pause(failure.hint_ms, moment) else {
            return Step::NextGroup;
        };
        if !self.group_allows(snapshot, Allowance::WithinBudget, now) {
            return Step::NextGroup;
        }
        self.retries_left = Some(left);
        self.pauses += 1;
        // Every member failed once. From here on the pause protects them, not the order.
        self.avoid.retain(|index| !repeatable.contains(index));
        Step::Pause(pause)
    }

    /// Attempts that this group may still repeat; the first failure sets the number.
    fn budget(&mut self, snapshot: &Snapshot, failure: &Failure) -> u32 {
        let asked = self.controls.num_retries;
        let policy = &snapshot.group(self.target.group).retry_policy;
        *self.retries_left.get_or_insert_with(|| {
            let kind = FailureKind::of(failure.cause, failure.status);
            let own = snapshot.deployment(failure.deployment).routing.limits.num_retries;
            asked.or_else(|| policy.get(kind?)).or(own).unwrap_or(snapshot.router.num_retries)
        })
    }

    /// The most attempts that this group may get: the first one, the retries, and one more for each
    /// later tier. Moves away from a refused key or an unknown model do not count: they are found
    /// out at once.
    pub(in crate::route) fn attempts_at_most(&self, snapshot: &Snapshot) -> u32 {
        let able = self.members(snapshot).iter().map(|index| snapshot.deployment(*index));
        let able = able.filter(|deployment| deployment.can_work());
        let tiers: std::collections::BTreeSet<Option<u32>> =
            able.map(|one| one.routing.order).collect();
        let later = u32::try_from(tiers.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.retries_at_most(snapshot).saturating_add(1).saturating_add(later)
    }

    /// The most retries that a failure of any kind may cause in this group.
    #[must_use]
    pub fn retries_at_most(&self, snapshot: &Snapshot) -> u32 {
        if let Some(asked) = self.controls.num_retries {
            return asked;
        }
        let policy = &snapshot.group(self.target.group).retry_policy;
        let of_policy = policy.named.iter().flatten().chain(&policy.others).copied();
        let own = |index: &DeploymentIndex| {
            let own = snapshot.deployment(*index).routing.limits.num_retries;
            own.unwrap_or(snapshot.router.num_retries)
        };
        let of_members = self.members(snapshot).iter().map(own);
        of_policy.chain(of_members).max().unwrap_or(0)
    }

    /// Whether the config explicitly asks to repeat this kind of failure.
    fn policy_repeats(&self, snapshot: &Snapshot, failure: &Failure) -> bool {
        let policy = &snapshot.group(self.target.group).retry_policy;
        let kind = FailureKind::of(failure.cause, failure.status);
        kind.is_some_and(|kind| policy.named[kind as usize].is_some_and(|retries| retries > 0))
    }

    /// Whether the group may make one more retry; its budget is charged for it.
    pub(super) fn group_allows(
        &self,
        snapshot: &Snapshot,
        allowance: Allowance,
        now: Millis,
    ) -> bool {
        let budget = self.group_budget(snapshot);
        match allowance {
            Allowance::Always => {
                budget.spend(now);
                true
            }
            Allowance::WithinBudget => budget.withdraw(now),
        }
    }

    fn group_budget<'s>(&self, snapshot: &'s Snapshot) -> &'s RetryBudget {
        &snapshot.group(self.target.group).budget
    }

    /// Whether a later tier is left in the group. It exists for this case and costs no retry.
    fn is_next_tier(&self, snapshot: &Snapshot, failure: &Failure, now: Millis) -> bool {
        if !snapshot.group(self.target.group).has_tiers
            || self.target.pinned.is_some()
            || matches!(failure.cause, Cause::ContextWindow | Cause::ContentPolicy)
        {
            return false;
        }
        let selection = self.selection(snapshot, now);
        let failed = selection.order(failure.deployment);
        selection.has_ready(now) && selection.tier(now).is_some_and(|tier| tier > failed)
    }

    /// The pause before the same deployment is called again, unless it would end too late.
    fn pause(&self, hint_ms: Option<u64>, moment: Moment<'_>) -> Option<u64> {
        let Moment { snapshot, now, chance } = moment;
        let longest = if self.has_fallback_left(snapshot) { PAUSE_CAP_MS } else { HINT_CAP_MS };
        let ms = match hint_ms {
            Some(hint) if hint > longest => return None,
            // A provider's clock and ours differ, and the clients of one refusal must not come back together.
            Some(hint) => {
                let hint = hint.max(HINT_FLOOR_MS);
                hint + chance % (hint / HINT_JITTER + 1)
            }
            None => {
                let shortest = snapshot.router.retry_after_ms.min(PAUSE_CAP_MS);
                // Equal jitter: half of it is fixed, so that a pause is never nothing.
                let half = pause_ceiling_ms(self.pauses) / 2;
                (half + chance % (half + 1)).max(shortest)
            }
        };
        (now.plus(ms) < self.group_ends.min(self.deadline)).then_some(ms)
    }

    /// The longest pause of our own after this many others, milliseconds.
    pub(in crate::route) fn longest_pause_ms(snapshot: &Snapshot, before: u32) -> u64 {
        pause_ceiling_ms(before).max(snapshot.router.retry_after_ms.min(PAUSE_CAP_MS))
    }

    /// Members whose last failure in this group may disappear after a wait.
    fn repeatable(&self, snapshot: &Snapshot) -> Vec<DeploymentIndex> {
        let attempts = &self.tried[self.group_tried_from..];
        let last =
            |index: &DeploymentIndex| attempts.iter().rev().find(|tried| tried.is_at(*index));
        let members = self.members(snapshot).iter();
        members
            .filter(|index| {
                last(index).is_some_and(|tried| {
                    tried.cause.facts().retry == Retry::SiblingOrSame
                        || FailureKind::of(tried.cause, tried.status).is_some_and(|kind| {
                            let policy = &snapshot.group(self.target.group).retry_policy;
                            policy.named[kind as usize].is_some_and(|retries| retries > 0)
                                && tried.cause.facts().retry == Retry::No
                        })
                })
            })
            .copied()
            .collect()
    }

    /// Members that can serve.
    fn usable(&self, snapshot: &Snapshot) -> usize {
        let works = |index: &&DeploymentIndex| snapshot.deployment(**index).can_work();
        self.members(snapshot).iter().filter(works).count()
    }
}
