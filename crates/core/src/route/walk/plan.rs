//! The times of one attempt, and what surrounds its failure.
//!
//! Called by [`Walk`] for each attempt. Always true: an attempt ends with the group's share of the
//! deadline at the latest, and it is known whose limit that was.

use super::{AttemptPlan, Walk};
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::Surroundings;
use crate::route::filter::claim;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Silence between the events of a stream, when nothing is configured.
const SILENCE_MS: u64 = 120_000;
/// Part of a deadline that is kept for fallbacks, in percent.
const FALLBACK_SHARE: u64 = 40;

impl Walk {
    pub(super) fn plan(
        &self,
        snapshot: &Snapshot,
        deployment: DeploymentIndex,
        trial: bool,
        now: Millis,
    ) -> AttemptPlan {
        let asked = snapshot.deployment(deployment);
        let (timeout_ms, silence_ms) = self.own_times(snapshot, asked);
        let own_end = now.plus(timeout_ms);
        let request_end = self.group_ends.min(self.deadline);
        let ends = own_end.min(request_end);
        AttemptPlan {
            deployment,
            trial,
            ends,
            // The operator's limit for a request is a limit for its deployments too.
            ends_by_caller: self.controls.timeout_ms.is_some() && request_end < own_end,
            silence_ms,
            stream_ends: snapshot.router.max_stream_ms.map_or(Millis::NEVER, |ms| now.plus(ms)),
            claim: claim(snapshot, asked),
            timeout_ms: ends.since(now),
        }
    }

    /// The time of an attempt and the longest silence of a stream, milliseconds.
    pub(in crate::route) fn own_times(
        &self,
        snapshot: &Snapshot,
        deployment: &Deployment,
    ) -> (u64, u64) {
        let limits = &deployment.limits;
        let timeout = limits.timeout_ms.unwrap_or(snapshot.router.timeout_ms);
        let stream_timeout = self
            .controls
            .stream_timeout_ms
            .or(limits.stream_timeout_ms)
            .or(snapshot.router.stream_timeout_ms);
        let of_attempt =
            if self.controls.stream { stream_timeout.unwrap_or(timeout) } else { timeout };
        (of_attempt, stream_timeout.unwrap_or(SILENCE_MS))
    }

    /// What surrounds a failure of `plan`'s deployment.
    #[must_use]
    pub fn surroundings(&self, snapshot: &Snapshot, plan: &AttemptPlan) -> Surroundings {
        let deployment = snapshot.deployment(plan.deployment);
        let group = snapshot.group(self.target.group);
        let router = &snapshot.router;
        let cooldown = deployment.limits.cooldown_ms.unwrap_or(router.cooldown_ms);
        let works = |index: &&DeploymentIndex| snapshot.deployment(**index).can_work();
        Surroundings {
            has_sibling: group.members.iter().filter(works).nth(1).is_some(),
            has_fallback: self.general(snapshot, &self.target).any(|name| **name != *group.name),
            cooldown_ms: if router.disable_cooldowns { 0 } else { cooldown },
            tolerance: deployment.tolerance,
            attempt_timeout_ms: plan.timeout_ms,
            many_models: group.pattern.is_some(),
        }
    }

    /// Gives the group its share of the deadline.
    pub(super) fn share_deadline(&mut self, snapshot: &Snapshot, now: Millis) {
        self.group_ends = match self.deadline {
            Millis::NEVER => Millis::NEVER,
            deadline if self.has_fallback_left(snapshot) => {
                now.plus(deadline.since(now).min(u64::MAX / 100) * (100 - FALLBACK_SHARE) / 100)
            }
            deadline => deadline,
        };
    }
}
