//! What would happen to a request, without sending it.
//!
//! Called by `POST /router/explain`. Always true: it calls the functions that route requests, and
//! takes no permit, no place and no budget.

use std::cell::OnceCell;

use super::affinity::NamedBy;
use super::controls::Controls;
use super::filter::{Exclusion, Fit};
use super::home::{GroupAffinity, home};
use super::route_plan::{MAX_ATTEMPTS, RoutePlan};
use super::strategy::Pool;
use super::times::times;
use super::worst_case::worst_case;
use crate::cause::Cause;
use crate::deployment::DeploymentIndex;
use crate::snapshot::Snapshot;
use crate::time::Millis;
use crate::waiting::Wait;

/// Groups that are shown.
const GROUPS_MAX: usize = 16;

/// The plan of a request.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The groups, in the order in which they would be tried.
    pub groups: Vec<GroupPlan>,
    /// What it would wait for, if nothing can be tried at once.
    pub wait: Option<Box<Wait>>,
    /// What would be tried after the first group if the request is too long for it.
    pub context_window_fallbacks: Vec<Box<str>>,
    /// The same if a provider's policy refuses the request.
    pub content_policy_fallbacks: Vec<Box<str>>,
    /// The end-to-end deadline, milliseconds.
    pub deadline_ms: Option<u64>,
    /// The longest time until it is refused, milliseconds.
    pub worst_case_ms: u64,
}

/// One group of the plan.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Its name, as shown to clients.
    pub name: Box<str>,
    /// Attempts that it may get.
    pub attempts: u32,
    /// Whether requests keep to their home here.
    pub affinity: GroupAffinity,
    /// What names this request's home, and which member that is.
    pub home: Option<(NamedBy, DeploymentIndex)>,
    /// Its members, in the order in which they would be tried.
    pub candidates: Vec<Candidate>,
}

/// One member of a group.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The member.
    pub deployment: DeploymentIndex,
    /// How it may be picked, or why not.
    pub fit: Result<Fit, Exclusion>,
    /// Whether the safety net would try it if no member is healthy.
    pub in_net: bool,
    /// What the strategy compares; less is better.
    pub score: f64,
    /// The time limit of one attempt, milliseconds.
    pub timeout_ms: u64,
    /// The longest silence of a stream, milliseconds.
    pub silence_ms: u64,
    /// Whether it could continue a stream that broke at another member.
    pub continues: bool,
}

/// What would happen to a request for the model `name` at `now`.
///
/// # Errors
///
/// The nearest names, if it leads nowhere.
pub fn explain(
    snapshot: &Snapshot,
    name: &str,
    controls: Controls,
    now: Millis,
) -> Result<Explanation, Vec<Box<str>>> {
    let deadline_ms = controls.timeout_ms.or(snapshot.router.request_timeout_ms);
    let mut route_plan = RoutePlan::preview_named(snapshot, name, controls.clone(), now)?;
    let whole = worst_case(snapshot, RoutePlan::preview_named(snapshot, name, controls, now)?).ms;
    let mut groups = vec![route_plan.describe(snapshot, now)];
    let context_window_fallbacks = route_plan.preview_fallbacks(snapshot, Cause::ContextWindow);
    let content_policy_fallbacks = route_plan.preview_fallbacks(snapshot, Cause::ContentPolicy);
    while groups.len() < GROUPS_MAX && route_plan.preview_next(snapshot, now) {
        groups.push(route_plan.describe(snapshot, now));
    }
    let may_try = |one: &Candidate| one.fit.is_ok() || one.in_net;
    let is_closed = !groups.iter().flat_map(|group| &group.candidates).any(may_try);
    let wait = is_closed.then(|| route_plan.wait(snapshot, now)).flatten();
    Ok(Explanation {
        wait,
        groups,
        context_window_fallbacks,
        content_policy_fallbacks,
        deadline_ms,
        worst_case_ms: deadline_ms.map_or(whole, |deadline| deadline.min(whole)),
    })
}

impl RoutePlan {
    fn describe(&self, snapshot: &Snapshot, now: Millis) -> GroupPlan {
        let selection = self.selection(snapshot, now);
        let strategy = &snapshot.router.strategy;
        let pool = Pool {
            snapshot,
            members: selection.members,
            admits: &|_| true,
            args: &strategy.args,
            now,
            stream: selection.controls.stream,
            admitted: OnceCell::new(),
        };
        let candidate = |&deployment: &DeploymentIndex| {
            let times = times(snapshot, snapshot.deployment(deployment), selection.controls);
            Candidate {
                deployment,
                fit: selection.examine(deployment, now),
                in_net: selection.net_rank(deployment, now).is_some(),
                score: strategy.score(&pool, deployment),
                timeout_ms: times.timeout_ms,
                silence_ms: times.silence_ms,
                continues: self.can_continue(snapshot, deployment, now),
            }
        };
        let mut candidates: Vec<Candidate> = selection.members.iter().map(candidate).collect();
        let affinity = GroupAffinity::of(snapshot, selection.members, now);
        let home = selection.affinity(now).and_then(|named| {
            let admits = |index| selection.is_healthy(index, now);
            let pool = Pool { admits: &admits, admitted: OnceCell::new(), ..pool };
            Some((named.named_by(), home(&pool, named)?))
        });
        let rank = |one: &Candidate| match one.fit {
            Ok(Fit::Ready | Fit::Reopening) => 0,
            Ok(Fit::HalfOpen) => 1,
            Err(_) if one.in_net => 2,
            Err(_) => 3,
        };
        candidates.sort_by(|a, b| {
            let is_home = |one: &Candidate| home.is_some_and(|(_, home)| home == one.deployment);
            let homes = is_home(b).cmp(&is_home(a));
            let tiers = selection.order(a.deployment).cmp(&selection.order(b.deployment));
            rank(a).cmp(&rank(b)).then(tiers).then(homes).then(a.score.total_cmp(&b.score))
        });
        let attempts = self.attempts_at_most(snapshot);
        GroupPlan {
            affinity,
            home,
            name: self.target().name(snapshot).into(),
            attempts: attempts.min(u32::try_from(MAX_ATTEMPTS).unwrap_or(u32::MAX)),
            candidates,
        }
    }
}
