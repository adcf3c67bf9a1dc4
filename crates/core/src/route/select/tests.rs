use super::*;
use crate::cause::Cause;
use crate::health::{AttemptRef, Evidence, Failure, FailureContext, HalfOpen};
use crate::policy::ByKind;
use crate::route::controls::Controls;
use crate::route::filter::Exclusion;
use crate::route::needs::Needs;
use crate::route::resolve::Target;
use crate::route::route_plan::fixture::snapshot;
use crate::snapshot::Snapshot;

fn with<T>(
    snapshot: &Snapshot,
    avoid: &[DeploymentIndex],
    now: u64,
    look: impl FnOnce(&Selection<'_>) -> T,
) -> T {
    let target = Target { group: crate::group::GroupIndex(0), pinned: None, wildcard_name: None };
    look(&Selection {
        unix_ms: 0,
        tag_budgets: &[],
        snapshot,
        target: &target,
        members: &snapshot.groups[0].members,
        avoid,
        needs: Needs::default(),
        tags: None,
        heeds_probes: false,
        controls: &Controls::default(),
        request: 99,
        ends: Millis(now).plus(1_000),
    })
}

/// Which member is picked, and whether it is a half-open request.
type Picked = Option<(DeploymentIndex, bool)>;

fn picked(choice: &Choice) -> Picked {
    match choice {
        Choice::Deployment(index, half_open) => Some((*index, half_open.is_held())),
        Choice::None => None,
    }
}

fn pick(snapshot: &Snapshot, avoid: &[DeploymentIndex], now: u64, chance: u64) -> Picked {
    with(snapshot, avoid, now, |request| match select(request, Millis(now), chance) {
        Choice::None => picked(&least_bad(request, Millis(now))),
        choice => picked(&choice),
    })
}

fn reasons(snapshot: &Snapshot, now: u64) -> Vec<Exclusion> {
    with(snapshot, &[], now, |request| {
        exclusions(request, Millis(now)).into_iter().map(|one| one.why).collect()
    })
}

fn cooldown(snapshot: &Snapshot, index: u32, hint: Option<u64>) {
    let context = FailureContext {
        has_sibling: true,
        has_fallback: false,
        cooldown_ms: 5_000,
        tolerance: ByKind::default(),
        attempt_timeout_ms: 1_000,
        many_models: false,
        foreign: None,
    };
    let attempt = AttemptRef { started: Millis(0), request: 1, half_open: HalfOpen::NONE };
    let state = &snapshot.deployments[index as usize].state;
    let failure = Failure { hint_ms: hint, ..Failure::of(Cause::RateLimited) };
    let evidence = Evidence::Failed { attempt, failure, model: "", context: &context };
    assert!(state.apply(Millis(0), &evidence).cooldown_change().is_some());
}

#[test]
fn weights_share_the_traffic() {
    let snapshot = snapshot();
    let mut hits = [0u32; 2];
    for i in 0..10_000u64 {
        let chance = i.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let Some((DeploymentIndex(index), false)) = pick(&snapshot, &[], 1, chance) else {
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
        assert_eq!(pick(&snapshot, &avoid, 1, chance), Some((DeploymentIndex(1), false)));
    }
    let both = [DeploymentIndex(0), DeploymentIndex(1)];
    assert_eq!(pick(&snapshot, &both, 1, 0), None);
}

#[test]
fn a_member_in_cooldown_gets_nothing_then_one_half_open_request() {
    let snapshot = snapshot();
    cooldown(&snapshot, 0, None);
    for chance in [0, u64::MAX / 2, u64::MAX] {
        assert_eq!(pick(&snapshot, &[], 1, chance), Some((DeploymentIndex(1), false)));
    }
    assert_eq!(pick(&snapshot, &[], 5_000, 0), Some((DeploymentIndex(0), true)));
    assert_eq!(pick(&snapshot, &[], 5_000, 0), Some((DeploymentIndex(1), false)));
}

#[test]
fn the_safety_net_tries_members_ejected_by_the_breaker_one_at_a_time() {
    let snapshot = snapshot();
    cooldown(&snapshot, 0, None);
    cooldown(&snapshot, 1, None);
    assert!(matches!(pick(&snapshot, &[], 1, 0), Some((_, true))));
    assert!(matches!(pick(&snapshot, &[], 1, 0), Some((_, true))));
    assert_eq!(pick(&snapshot, &[], 1, 0), None);
    assert_eq!(reasons(&snapshot, 1).len(), 2);
}

#[test]
fn a_providers_deadline_that_has_passed_admits_one_request_each() {
    let snapshot = snapshot();
    cooldown(&snapshot, 0, Some(1_000));
    cooldown(&snapshot, 1, Some(1_000));
    for _ in 0..2 {
        assert!(matches!(pick(&snapshot, &[], 1_000, 0), Some((_, true))));
    }
    assert_eq!(pick(&snapshot, &[], 1_000, 0), None, "the others wait for the outcome");
}

#[test]
fn what_the_provider_says_is_believed() {
    let snapshot = snapshot();
    cooldown(&snapshot, 0, Some(60_000));
    cooldown(&snapshot, 1, Some(30_000));
    assert_eq!(pick(&snapshot, &[], 1, 0), None);
    let all = reasons(&snapshot, 1);
    assert!(all.iter().all(|why| matches!(why, Exclusion::Cooling(r) if r.provider_issued)));
    assert!(matches!(pick(&snapshot, &[], 30_000, 0), Some((DeploymentIndex(1), true))));
}

#[test]
fn a_member_in_cooldown_without_capacity_is_refused_for_its_capacity() {
    let mut snapshot = snapshot();
    for deployment in &mut snapshot.deployments[..2] {
        std::sync::Arc::get_mut(deployment).unwrap().routing.limits.max_parallel = Some(1);
    }
    let now = Millis(1_000);
    let claim = crate::health::Claim { max_parallel: Some(1), ..crate::health::Claim::default() };
    for index in 0..2 {
        cooldown(&snapshot, index, None);
        assert!(snapshot.deployments[index as usize].state.enter(now, &claim));
    }
    assert_eq!(
        pick(&snapshot, &[], now.0, 0),
        None,
        "the safety net has no member with a free place"
    );
    assert_eq!(
        reasons(&snapshot, now.0),
        [Exclusion::Busy { limit: 1 }; 2],
        "not: because of its cooldown"
    );
    snapshot.deployments[1].state.leave();
    assert_eq!(pick(&snapshot, &[], now.0, 0).map(|one| one.0), Some(DeploymentIndex(1)));
}
