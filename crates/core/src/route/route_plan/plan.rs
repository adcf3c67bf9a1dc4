//! The times of one attempt, and what decides the consequence of its failure.
//!
//! Called by [`RoutePlan`] for each attempt. Always true: an attempt ends with the group's share of the
//! deadline at the latest, and it is known who set that limit.

use super::{AttemptPlan, RoutePlan, Slot};
use crate::deployment::DeploymentIndex;
use crate::health::{FailureContext, HalfOpen};
use crate::route::filter::{claim, foreign};
use crate::route::times::{SetBy, times};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Part of a deadline that is kept for what comes after, in percent.
const FALLBACK_SHARE: u64 = 40;

/// The end of what must leave time for something else before `deadline`.
pub(super) fn with_share_left(deadline: Millis, now: Millis) -> Millis {
    let share = deadline.since(now).min(u64::MAX / 100) * (100 - FALLBACK_SHARE) / 100;
    now.plus(share.max(1))
}

impl RoutePlan {
    pub(super) fn plan(
        &mut self,
        snapshot: &Snapshot,
        deployment: DeploymentIndex,
        half_open: HalfOpen,
        now: Millis,
    ) -> AttemptPlan {
        let asked = snapshot.deployment(deployment);
        let times = times(snapshot, asked, &self.controls);
        let own_end = now.plus(times.timeout_ms);
        let request_end = self.group_ends.min(self.deadline);
        let ends = own_end.min(request_end);
        self.ends_with_group = request_end <= own_end;
        // The operator's limit for a request limits its deployments too.
        let ends_set_by = match self.controls.timeout_ms {
            _ if request_end >= own_end => times.timeout_set_by,
            Some(_) => SetBy::Client,
            None => SetBy::Config,
        };
        AttemptPlan {
            deployment,
            half_open,
            ends,
            ends_set_by,
            silence_ms: times.silence_ms,
            silence_set_by: times.silence_set_by,
            keepalive_ms: times.keepalive_ms,
            stream_ends: snapshot.router.max_stream_ms.map_or(Millis::NEVER, |ms| now.plus(ms)),
            claim: claim(snapshot, asked, self.needs().input_tokens),
            timeout_ms: ends.since(now),
            slot: Slot::Free,
        }
    }

    /// What decides the consequence of a failure of `plan`'s deployment.
    #[must_use]
    pub fn failure_context(&self, snapshot: &Snapshot, plan: &AttemptPlan) -> FailureContext {
        let deployment = snapshot.deployment(plan.deployment);
        let group = snapshot.group(self.target.group);
        let router = &snapshot.router;
        let cooldown = deployment.routing.limits.cooldown_ms.unwrap_or(router.cooldown_ms);
        let works = |index: &&DeploymentIndex| snapshot.deployment(**index).can_work();
        FailureContext {
            has_sibling: group.members.iter().filter(works).nth(1).is_some(),
            has_fallback: self.general(snapshot, &self.target).any(|one| *one.name != *group.name),
            cooldown_ms: if router.disable_cooldowns { 0 } else { cooldown },
            tolerance: deployment.routing.tolerance,
            attempt_timeout_ms: plan.timeout_ms,
            many_models: group.pattern.is_some(),
            foreign: foreign(deployment, &self.controls),
        }
    }

    /// Gives the group its share of the deadline.
    pub(super) fn share_deadline(&mut self, snapshot: &Snapshot, now: Millis) {
        self.group_ends = match self.deadline {
            Millis::NEVER => Millis::NEVER,
            deadline if self.has_fallback_left(snapshot) => with_share_left(deadline, now),
            deadline => deadline,
        };
    }
}
