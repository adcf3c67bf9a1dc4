//! The choice of one deployment among a group's members.
//!
//! Called by [`super::Walk`] for each attempt. Always true: a member that can be chosen is chosen by
//! weight; when none can, the least bad one is, unless each is excluded for a reason that trying
//! would not change.

use crate::cause::Cause;
use crate::deployment::{Deployment, DeploymentIndex};
use crate::health::{Rest, Verdict};
use crate::snapshot::Snapshot;
use crate::time::Millis;

/// Why a member can not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// It can not work as configured.
    Misconfigured,
    /// It rests.
    Resting(Rest),
    /// Its trial is under way.
    TrialUnderWay(Rest),
}

/// One excluded member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excluded {
    /// The member.
    pub deployment: DeploymentIndex,
    /// Why.
    pub why: Exclusion,
}

/// What came of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This one; the flag says whether it is a trial, whose permit is now taken.
    Deployment(DeploymentIndex, bool),
    /// None; the reason of each.
    None(Vec<Excluded>),
}

/// A selection's arguments.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// The config.
    pub snapshot: &'a Snapshot,
    /// The group's members, or the one that is pinned.
    pub members: &'a [DeploymentIndex],
    /// Members that may not be chosen: they failed this request.
    pub avoid: &'a [DeploymentIndex],
    /// When the request began: what began to rest later does not count against its own attempts.
    pub request_started: Millis,
    /// The client's own time limit, milliseconds, which bounds a trial's permit too.
    pub caller_timeout_ms: Option<u64>,
}

/// Chooses a member. `chance` is a uniformly random number.
#[must_use]
pub fn select(request: &Selection<'_>, now: Millis, chance: u64) -> Choice {
    if let [only] = request.members
        && request.avoid.is_empty()
        && usable(request, *only, now) == Usable::Yes
    {
        return Choice::Deployment(*only, false);
    }
    // A trial's permit can be lost to another worker between the look and the grip; then look again.
    for _ in 0..4 {
        let fresh = |index: DeploymentIndex| {
            !request.avoid.contains(&index) && usable(request, index, now) != Usable::No
        };
        let Some(index) = weighted(request, chance, fresh) else { break };
        match usable(request, index, now) {
            Usable::Yes => return Choice::Deployment(index, false),
            Usable::Trial if take_trial(request, index, now) => {
                return Choice::Deployment(index, true);
            }
            Usable::Trial | Usable::No => {}
        }
    }
    least_bad(request, now)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usable {
    Yes,
    Trial,
    No,
}

fn usable(request: &Selection<'_>, index: DeploymentIndex, now: Millis) -> Usable {
    let deployment = request.snapshot.deployment(index);
    if deployment.misconfigured.is_some() {
        return Usable::No;
    }
    match deployment.state.verdict(now) {
        Verdict::Ready => Usable::Yes,
        Verdict::Trial(_) if deployment.state.trial_is_free(now) => Usable::Trial,
        Verdict::Trial(_) | Verdict::Cooling(_) => Usable::No,
    }
}

fn take_trial(request: &Selection<'_>, index: DeploymentIndex, now: Millis) -> bool {
    let deployment = request.snapshot.deployment(index);
    let own = deployment.limits.timeout_ms.unwrap_or(request.snapshot.router.timeout_ms);
    let limit = request.caller_timeout_ms.map_or(own, |callers| callers.min(own));
    deployment.state.take_trial(now, limit)
}

/// Whether `index` may be tried although it is not well: not against a provider's running deadline,
/// and, where we only guess about a rate limit, by one request at a time.
fn may_be_tried(
    snapshot: &Snapshot,
    index: DeploymentIndex,
    request_started: Millis,
    now: Millis,
) -> bool {
    let deployment = snapshot.deployment(index);
    if deployment.misconfigured.is_some() {
        return false;
    }
    let (rest, due) = match deployment.state.verdict(now) {
        Verdict::Ready => return true,
        Verdict::Trial(rest) => (rest, true),
        Verdict::Cooling(rest) => (rest, false),
    };
    if rest.provider_issued {
        return due;
    }
    let guess = matches!(rest.cause, Cause::RateLimited | Cause::Quota);
    !guess || deployment.state.trial_is_free(now) || opened_since(deployment, request_started)
}

fn opened_since(deployment: &Deployment, request_started: Millis) -> bool {
    deployment.state.resting_since().is_some_and(|since| since >= request_started)
}

impl Selection<'_> {
    /// Whether there is a member to choose at all, well or not.
    #[must_use]
    pub fn has_choice(&self, now: Millis) -> bool {
        self.members.iter().any(|index| {
            !self.avoid.contains(index)
                && may_be_tried(self.snapshot, *index, self.request_started, now)
        })
    }
}

/// Weighted random choice among the members that `fresh` admits.
fn weighted(
    request: &Selection<'_>,
    chance: u64,
    fresh: impl Fn(DeploymentIndex) -> bool,
) -> Option<DeploymentIndex> {
    let metric = metric(request);
    let candidates = || request.members.iter().copied().filter(|index| fresh(*index));
    let total: f64 = candidates().map(|index| metric(request.snapshot.deployment(index))).sum();
    if total <= 0.0 {
        // All weights are 0: everybody is equal.
        let count = candidates().count();
        let nth = usize::try_from(chance % count.max(1) as u64).unwrap_or(0);
        return candidates().nth(nth);
    }
    #[allow(clippy::cast_precision_loss, reason = "53 bits of chance are plenty")]
    let mut point = (chance >> 11) as f64 / (1u64 << 53) as f64 * total;
    let mut last = None;
    for index in candidates() {
        let weight = metric(request.snapshot.deployment(index));
        if weight <= 0.0 {
            continue;
        }
        last = Some(index);
        if point < weight {
            break;
        }
        point -= weight;
    }
    last
}

/// What counts as weight: `weight` where any differs, else `rpm`, else `tpm`.
fn metric(request: &Selection<'_>) -> fn(&Deployment) -> f64 {
    let any = |test: fn(&Deployment) -> bool| {
        request.members.iter().any(|index| test(request.snapshot.deployment(*index)))
    };
    #[allow(clippy::float_cmp, reason = "1 is the exact value of an unset weight")]
    if any(|d| d.weight != 1.0) {
        |d| d.weight
    } else if any(|d| d.limits.rpm.is_some()) {
        |d| limit_as_weight(d.limits.rpm)
    } else if any(|d| d.limits.tpm.is_some()) {
        |d| limit_as_weight(d.limits.tpm)
    } else {
        |d| d.weight
    }
}

#[allow(clippy::cast_precision_loss, reason = "a limit far beyond 2^52 is no limit")]
fn limit_as_weight(limit: Option<u64>) -> f64 {
    limit.unwrap_or(0) as f64
}

/// The safety net: who is tried when nobody is well.
fn least_bad(request: &Selection<'_>, now: Millis) -> Choice {
    let mut excluded = Vec::with_capacity(request.members.len());
    let mut best: Option<(Millis, DeploymentIndex)> = None;
    for &index in request.members {
        let deployment = request.snapshot.deployment(index);
        let until = match deployment.state.verdict(now) {
            _ if deployment.misconfigured.is_some() => {
                excluded.push(Excluded { deployment: index, why: Exclusion::Misconfigured });
                continue;
            }
            // Well, and yet not chosen: its weight is 0, or it failed this request.
            Verdict::Ready => Millis(0),
            Verdict::Cooling(rest) => {
                excluded.push(Excluded { deployment: index, why: Exclusion::Resting(rest) });
                rest.until
            }
            Verdict::Trial(rest) => {
                let free = deployment.state.trial_is_free(now);
                let why =
                    if free { Exclusion::Resting(rest) } else { Exclusion::TrialUnderWay(rest) };
                excluded.push(Excluded { deployment: index, why });
                rest.until
            }
        };
        let eligible = !request.avoid.contains(&index)
            && may_be_tried(request.snapshot, index, request.request_started, now);
        if eligible && best.is_none_or(|(other, _)| until < other) {
            best = Some((until, index));
        }
    }
    match best {
        Some((Millis(0), index)) => Choice::Deployment(index, false),
        Some((_, index)) => Choice::Deployment(index, take_trial(request, index, now)),
        None => Choice::None(excluded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{AttemptRef, Failure, Surroundings};
    use crate::route::walk::fixture::snapshot;

    fn pick(snapshot: &Snapshot, avoid: &[DeploymentIndex], now: u64, chance: u64) -> Choice {
        let members = &snapshot.groups[0].members;
        let request = Selection {
            snapshot,
            members,
            avoid,
            request_started: Millis(now),
            caller_timeout_ms: Some(1_000),
        };
        select(&request, Millis(now), chance)
    }

    fn rest(snapshot: &Snapshot, index: u32, hint: Option<u64>) {
        let around = Surroundings {
            has_sibling: true,
            has_fallback: false,
            cooldown_ms: 5_000,
            allowed_fails: None,
            attempt_timeout_ms: 1_000,
            many_models: false,
        };
        let attempt = AttemptRef { started: Millis(0), request: 1, trial: false };
        let state = &snapshot.deployments[index as usize].state;
        let failure = Failure { hint_ms: hint, ..Failure::of(Cause::RateLimited) };
        state.failure(Millis(0), attempt, failure, &around).unwrap();
    }

    #[test]
    fn weights_share_the_traffic() {
        let snapshot = snapshot();
        let mut hits = [0u32; 2];
        for i in 0..10_000u64 {
            let chance = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let Choice::Deployment(DeploymentIndex(index), false) = pick(&snapshot, &[], 1, chance)
            else {
                panic!("refused")
            };
            hits[index as usize] += 1;
        }
        // Weights are 3 and 1.
        assert!((7_300..7_700).contains(&hits[0]), "{hits:?}");
    }

    #[test]
    fn what_failed_this_request_is_avoided_while_another_exists() {
        let snapshot = snapshot();
        let avoid = [DeploymentIndex(0)];
        for chance in [0, u64::MAX / 2, u64::MAX] {
            assert_eq!(
                pick(&snapshot, &avoid, 1, chance),
                Choice::Deployment(DeploymentIndex(1), false)
            );
        }
        let both = [DeploymentIndex(0), DeploymentIndex(1)];
        assert!(matches!(pick(&snapshot, &both, 1, 0), Choice::None(_)));
    }

    #[test]
    fn a_resting_member_gets_nothing_then_one_trial() {
        let snapshot = snapshot();
        rest(&snapshot, 0, None);
        for chance in [0, u64::MAX / 2, u64::MAX] {
            assert_eq!(
                pick(&snapshot, &[], 1, chance),
                Choice::Deployment(DeploymentIndex(1), false)
            );
        }
        assert_eq!(pick(&snapshot, &[], 5_000, 0), Choice::Deployment(DeploymentIndex(0), true));
        assert_eq!(pick(&snapshot, &[], 5_000, 0), Choice::Deployment(DeploymentIndex(1), false));
    }

    #[test]
    fn the_safety_net_tries_our_own_guess_once_at_a_time() {
        let snapshot = snapshot();
        rest(&snapshot, 0, None);
        rest(&snapshot, 1, None);
        assert!(matches!(pick(&snapshot, &[], 1, 0), Choice::Deployment(_, true)));
        assert!(matches!(pick(&snapshot, &[], 1, 0), Choice::Deployment(_, true)));
        let Choice::None(excluded) = pick(&snapshot, &[], 1, 0) else { panic!("a third trial") };
        assert_eq!(excluded.len(), 2);
    }

    #[test]
    fn a_deadline_of_the_providers_that_has_passed_lets_everybody_in() {
        let snapshot = snapshot();
        rest(&snapshot, 0, Some(1_000));
        rest(&snapshot, 1, Some(1_000));
        for _ in 0..5 {
            assert!(matches!(pick(&snapshot, &[], 1_000, 0), Choice::Deployment(..)));
        }
    }

    #[test]
    fn what_the_provider_says_is_believed() {
        let snapshot = snapshot();
        rest(&snapshot, 0, Some(60_000));
        rest(&snapshot, 1, Some(30_000));
        let Choice::None(excluded) = pick(&snapshot, &[], 1, 0) else { panic!("tried") };
        assert!(
            excluded.iter().all(|e| matches!(e.why, Exclusion::Resting(r) if r.provider_issued))
        );
        assert!(matches!(
            pick(&snapshot, &[], 30_000, 0),
            Choice::Deployment(DeploymentIndex(1), true)
        ));
    }
}
