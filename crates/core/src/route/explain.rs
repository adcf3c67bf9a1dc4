//! What a request would meet, without sending it.
//!
//! Called by `POST /router/explain`. Always true: it asks the same functions that route requests, and
//! takes no permit, no place and no budget.

use super::controls::Controls;
use super::filter::{Exclusion, Fit};
use super::resolve::Target;
use super::strategy::Pool;
use super::walk::{MAX_ATTEMPTS, Walk};
use crate::deployment::DeploymentIndex;
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Groups that are shown.
const GROUPS_MAX: usize = 16;

/// The way of a request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The groups, in the order in which they would be tried.
    pub groups: Vec<GroupPlan>,
    /// The end-to-end deadline, milliseconds.
    pub deadline_ms: Option<u64>,
    /// The longest that it may take until it is refused, milliseconds.
    pub worst_case_ms: u64,
}

/// One group on the way.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Its name, as shown to clients.
    pub name: Box<str>,
    /// Attempts that it may get.
    pub attempts: u32,
    /// Its members, in the order in which they would be tried.
    pub candidates: Vec<Candidate>,
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The member.
    pub deployment: DeploymentIndex,
    /// How it may be chosen, or why not.
    pub fit: Result<Fit, Exclusion>,
    /// Whether the safety net would try it when nobody is well.
    pub in_net: bool,
    /// What the strategy compares; less is better.
    pub score: f64,
    /// The time of one attempt, milliseconds.
    pub timeout_ms: u64,
    /// The longest silence of a stream, milliseconds.
    pub silence_ms: u64,
}

/// What would become of a request for `target` at `now`.
#[must_use]
pub fn explain(
    snapshot: &Snapshot,
    target: Target,
    controls: Controls,
    now: Millis,
) -> Explanation {
    let deadline_ms = controls.timeout_ms.or(snapshot.router.request_timeout_ms);
    let mut walk = Walk::preview(snapshot, target, controls, now);
    let mut groups = vec![walk.describe(snapshot, now)];
    while groups.len() < GROUPS_MAX && walk.preview_next(snapshot, now) {
        groups.push(walk.describe(snapshot, now));
    }
    let total: u64 = groups.iter().map(GroupPlan::worst_case_ms).fold(0, u64::saturating_add);
    Explanation {
        groups,
        deadline_ms,
        worst_case_ms: deadline_ms.map_or(total, |deadline| deadline.min(total)),
    }
}

impl GroupPlan {
    fn worst_case_ms(&self) -> u64 {
        let usable = self.candidates.iter().filter(|one| one.fit.is_ok() || one.in_net);
        let slowest = usable.map(|one| one.timeout_ms).max().unwrap_or(0);
        slowest.saturating_mul(self.attempts.into())
    }
}

impl Walk {
    fn describe(&self, snapshot: &Snapshot, now: Millis) -> GroupPlan {
        let selection = self.selection(snapshot, now);
        let strategy = &snapshot.router.strategy;
        let pool = Pool {
            snapshot,
            members: selection.members,
            admits: &|_| true,
            args: &strategy.args,
            now,
            stream: selection.stream,
        };
        let candidate = |&deployment: &DeploymentIndex| {
            let (timeout_ms, silence_ms) =
                self.own_times(snapshot, snapshot.deployment(deployment));
            Candidate {
                deployment,
                fit: selection.examine(deployment, now),
                in_net: selection.net_rank(deployment, now).is_some(),
                score: strategy.score(&pool, deployment),
                timeout_ms,
                silence_ms,
            }
        };
        let mut candidates: Vec<Candidate> = selection.members.iter().map(candidate).collect();
        let rank = |one: &Candidate| match one.fit {
            Ok(Fit::Ready) => 0,
            Ok(Fit::Trial) => 1,
            Err(_) if one.in_net => 2,
            Err(_) => 3,
        };
        candidates.sort_by(|a, b| {
            let tiers = selection.order(a.deployment).cmp(&selection.order(b.deployment));
            rank(a).cmp(&rank(b)).then(tiers).then(a.score.total_cmp(&b.score))
        });
        let attempts = 1 + self.retries_at_most(snapshot);
        GroupPlan {
            name: self.target().name(snapshot).into(),
            attempts: attempts.min(u32::try_from(MAX_ATTEMPTS).unwrap_or(u32::MAX)),
            candidates,
        }
    }
}
