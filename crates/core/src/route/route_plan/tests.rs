use super::fixture::snapshot;

use super::*;
use crate::cause::Cause;
use crate::health::{Evidence, FailureContext, OperatorAction};
use crate::route::times::SetBy;

const A: DeploymentIndex = DeploymentIndex(0);
const B: DeploymentIndex = DeploymentIndex(1);
const F: DeploymentIndex = DeploymentIndex(2);
const LONE: DeploymentIndex = DeploymentIndex(4);

fn start(snapshot: &Snapshot, name: &str, controls: Controls) -> RoutePlan {
    let Resolved::Target(target) = resolve(snapshot, name) else { panic!("{name}") };
    RoutePlan::new(snapshot, target, controls, Millis(0))
}

fn attempt(route_plan: &mut RoutePlan, snapshot: &Snapshot, now: u64) -> AttemptPlan {
    match route_plan.next(snapshot, Millis(now), 0) {
        Next::Attempt(plan) => plan,
        other => panic!("expected an attempt, got {other:?}"),
    }
}

fn fail_with(
    route_plan: &mut RoutePlan,
    snapshot: &Snapshot,
    plan: AttemptPlan,
    cause: Cause,
    hint: Option<u64>,
) {
    let tried = Tried {
        group: route_plan.target().name(snapshot).into(),
        deployment: plan.deployment,
        former: None,
        status: None,
        cause,
        message: "".into(),
        ms: 1,
        resent: false,
        hint_ms: hint,
        half_open: plan.half_open.is_trial(),
        repeat: Repeat::default(),
    };
    route_plan.failed(snapshot, tried, Millis(1), 250);
}

fn fail(route_plan: &mut RoutePlan, snapshot: &Snapshot, plan: AttemptPlan, cause: Cause) {
    fail_with(route_plan, snapshot, plan, cause, None);
}

#[test]
fn a_failure_moves_to_the_sibling_at_once_then_to_the_fallback() {
    let snapshot = snapshot();
    let mut route_plan =
        start(&snapshot, "g", Controls { num_retries: Some(1), ..Controls::default() });
    let first = attempt(&mut route_plan, &snapshot, 1);
    assert_eq!(first.deployment, A);
    fail(&mut route_plan, &snapshot, first, Cause::ServerError);
    let second = attempt(&mut route_plan, &snapshot, 1);
    assert_eq!(second.deployment, B);
    fail(&mut route_plan, &snapshot, second, Cause::ServerError);
    let third = attempt(&mut route_plan, &snapshot, 1);
    assert_eq!(third.deployment, F);
    assert_eq!((route_plan.retries(), route_plan.fallbacks()), (1, 1));
    assert_eq!(route_plan.target().name(&snapshot), "fallback");
}

#[test]
fn a_lone_deployment_is_retried_after_a_pause_but_not_after_the_last_attempt() {
    let snapshot = snapshot();
    let mut route_plan = start(&snapshot, "lone", Controls::default());
    // Equal jitter: half of 0.5 s and of 1 s is fixed.
    for pause in [500, 750] {
        let plan = attempt(&mut route_plan, &snapshot, 1);
        assert_eq!(plan.deployment, LONE);
        fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
        assert!(matches!(route_plan.next(&snapshot, Millis(1), 0), Next::Pause(ms) if ms == pause));
    }
    let last = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, last, Cause::ServerError);
    assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::GiveUp(GiveUp::Exhausted(vec![])));
    assert_eq!(route_plan.tried().len(), 3);
    assert_eq!(route_plan.retries(), 2);
}

#[test]
fn a_providers_hint_is_the_pause_when_it_fits_the_deadline() {
    let snapshot = snapshot();
    let mut route_plan = start(&snapshot, "lone", Controls::default());
    let plan = attempt(&mut route_plan, &snapshot, 1);
    fail_with(&mut route_plan, &snapshot, plan, Cause::RateLimited, Some(2_000));
    // And up to a tenth of it more.
    assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::Pause(2_000 + 250 % 201));
    let mut hurried =
        start(&snapshot, "lone", Controls { timeout_ms: Some(1_500), ..Controls::default() });
    let plan = attempt(&mut hurried, &snapshot, 1);
    fail_with(&mut hurried, &snapshot, plan, Cause::RateLimited, Some(2_000));
    assert_eq!(hurried.next(&snapshot, Millis(1), 0), Next::GiveUp(GiveUp::Exhausted(vec![])));
}

#[test]
fn a_hint_of_nothing_is_a_pause_all_the_same() {
    let snapshot = snapshot();
    for hint in [0, 1, 250] {
        let mut route_plan = start(&snapshot, "lone", Controls::default());
        let plan = attempt(&mut route_plan, &snapshot, 1);
        fail_with(&mut route_plan, &snapshot, plan, Cause::RateLimited, Some(hint));
        assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::Pause(250 + 250 % 26), "{hint}");
    }
}

#[test]
fn a_failure_that_only_the_client_can_fix_is_not_retried_in_the_group() {
    let snapshot = snapshot();
    for (cause, moves_on) in [
        (Cause::BadRequest, true),
        (Cause::ContextWindow, true),
        (Cause::ContentPolicy, false),
        (Cause::ClientClosed, false),
    ] {
        let mut route_plan = start(&snapshot, "g", Controls::default());
        let plan = attempt(&mut route_plan, &snapshot, 1);
        fail(&mut route_plan, &snapshot, plan, cause);
        match route_plan.next(&snapshot, Millis(1), 0) {
            Next::Attempt(next) => assert!(moves_on && next.deployment == F, "{cause:?}"),
            Next::GiveUp(GiveUp::Exhausted(_)) => assert!(!moves_on, "{cause:?}"),
            other => panic!("{cause:?}: {other:?}"),
        }
    }
}

#[test]
fn a_refused_credential_moves_on_without_costing_a_retry() {
    let snapshot = snapshot();
    let mut route_plan =
        start(&snapshot, "g", Controls { num_retries: Some(0), ..Controls::default() });
    let plan = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, plan, Cause::Auth);
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, B);
}

#[test]
fn a_retry_that_finds_no_member_is_not_counted() {
    let snapshot = snapshot();
    let mut route_plan = start(&snapshot, "g", Controls::default());
    let plan = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
    assert_eq!(route_plan.retries(), 1);
    snapshot.deployment(B).apply(Millis(1), &Evidence::Operator(OperatorAction::Disable));
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, F);
    assert_eq!((route_plan.retries(), route_plan.fallbacks()), (0, 1));
}

#[test]
fn a_timeout_is_not_repeated_on_the_same_deployment() {
    let snapshot = snapshot();
    let mut route_plan = start(&snapshot, "lone", Controls::default());
    let plan = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, plan, Cause::Timeout);
    assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::GiveUp(GiveUp::Exhausted(vec![])));
}

#[test]
fn fallback_cycles_end_and_every_group_is_visited_once() {
    let mut snapshot = snapshot();
    snapshot.router.fallbacks.insert("fallback".into(), vec!["g".into(), "lone".into()]);
    snapshot.router.fallbacks.insert("lone".into(), vec!["g".into(), "fallback".into()]);
    let controls = Controls { num_retries: Some(0), ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    let mut seen = Vec::new();
    while let Next::Attempt(plan) = route_plan.next(&snapshot, Millis(1), 0) {
        seen.push(plan.deployment);
        fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
    }
    assert_eq!(seen, vec![A, F, LONE]);
    assert_eq!(route_plan.original_failure().unwrap().1.deployment, A);
    assert_eq!(route_plan.fallbacks(), 2);
}

#[test]
fn clients_choose_or_forbid_fallbacks() {
    let snapshot = snapshot();
    let own = Controls {
        num_retries: Some(0),
        fallbacks: Some(vec!["nothing".into(), "lone".into()]),
        ..Controls::default()
    };
    let mut route_plan = start(&snapshot, "g", own);
    let plan = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, LONE);
    for controls in [
        Controls { disable_fallbacks: true, num_retries: Some(0), ..Controls::default() },
        Controls { max_fallbacks: Some(0), num_retries: Some(0), ..Controls::default() },
    ] {
        let mut route_plan = start(&snapshot, "g", controls);
        let plan = attempt(&mut route_plan, &snapshot, 1);
        fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
        assert_eq!(
            route_plan.next(&snapshot, Millis(1), 0),
            Next::GiveUp(GiveUp::Exhausted(vec![]))
        );
    }
}

#[test]
fn a_deadline_is_shared_with_the_fallback_and_then_final() {
    let snapshot = snapshot();
    let controls = Controls { timeout_ms: Some(1_000), ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    let plan = attempt(&mut route_plan, &snapshot, 0);
    assert_eq!(plan.ends, Millis(600));
    assert_eq!(plan.ends_set_by, SetBy::Client);
    fail(&mut route_plan, &snapshot, plan, Cause::ClientTimeout);
    let plan = attempt(&mut route_plan, &snapshot, 600);
    assert_eq!((plan.deployment, plan.ends), (F, Millis(1_000)));
    assert_eq!(route_plan.next(&snapshot, Millis(1_000), 0), Next::GiveUp(GiveUp::Deadline));
}

#[test]
fn no_attempt_is_made_when_the_groups_share_of_the_time_is_used_up() {
    let mut snapshot = snapshot();
    snapshot.router.request_timeout_ms = Some(1_000);
    let mut route_plan =
        start(&snapshot, "g", Controls { num_retries: Some(5), ..Controls::default() });
    let plan = attempt(&mut route_plan, &snapshot, 0);
    assert_eq!((plan.ends, plan.ends_set_by), (Millis(600), SetBy::Config));
    fail(&mut route_plan, &snapshot, plan, Cause::Timeout);
    assert!(!route_plan.is_late(Millis(599)) && route_plan.is_late(Millis(600)));
    // The sibling would have no time; the fallback has what is left.
    let plan = attempt(&mut route_plan, &snapshot, 600);
    assert_eq!((plan.deployment, plan.ends), (F, Millis(1_000)));
    // Asked again without a failure, because preparing the request took all of the time.
    assert_eq!(route_plan.next(&snapshot, Millis(1_000), 0), Next::GiveUp(GiveUp::Deadline));
    let mut route_plan = start(&snapshot, "g", Controls::default());
    attempt(&mut route_plan, &snapshot, 0);
    assert_eq!(attempt(&mut route_plan, &snapshot, 700).deployment, F);
    // However little time there is, the first group gets some of it.
    let controls = Controls { timeout_ms: Some(1), ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    assert_ne!(attempt(&mut route_plan, &snapshot, 0).deployment, F);
}

#[test]
fn an_attempts_own_limit_comes_from_the_deployment_then_the_router() {
    let mut snapshot = snapshot();
    snapshot.router.stream_timeout_ms = Some(7_000);
    let mut route_plan = start(&snapshot, "lone", Controls { stream: true, ..Controls::default() });
    let plan = attempt(&mut route_plan, &snapshot, 0);
    assert_eq!((plan.ends, plan.silence_ms), (Millis(7_000), 7_000));
    assert_eq!(plan.ends_set_by, SetBy::Config);
    let mut route_plan = start(&snapshot, "lone", Controls::default());
    assert_eq!(attempt(&mut route_plan, &snapshot, 0).ends, Millis(600_000));
}

#[test]
fn an_id_calls_that_deployment_and_no_other() {
    let snapshot = snapshot();
    let mut route_plan = start(&snapshot, "g-b", Controls::default());
    let plan = attempt(&mut route_plan, &snapshot, 1);
    assert_eq!(plan.deployment, B);
    fail(&mut route_plan, &snapshot, plan, Cause::Auth);
    assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::GiveUp(GiveUp::Exhausted(vec![])));
}

#[test]
fn unknown_names_take_the_default_fallback_openly() {
    let mut snapshot = snapshot();
    assert!(RoutePlan::named(&snapshot, "?", Controls::default(), Millis(0)).is_err());
    snapshot.router.default_fallbacks = vec!["missing".into(), "lone".into()];
    let route_plan = RoutePlan::named(&snapshot, "?", Controls::default(), Millis(0)).unwrap();
    let none = Controls { max_fallbacks: Some(0), ..Controls::default() };
    assert!(RoutePlan::named(&snapshot, "?", none, Millis(0)).is_err());
    assert_eq!((route_plan.target().name(&snapshot), route_plan.fallbacks()), ("lone", 1));
}

#[test]
fn attempts_are_bounded_whatever_is_requested() {
    let snapshot = snapshot();
    let mut route_plan =
        start(&snapshot, "g", Controls { num_retries: Some(1000), ..Controls::default() });
    let mut attempts = 0;
    loop {
        match route_plan.next(&snapshot, Millis(1), 0) {
            Next::Attempt(plan) => {
                attempts += 1;
                fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
            }
            Next::Pause(_) => {}
            Next::Wait(_) => panic!("nothing is closed"),
            Next::GiveUp(_) => break,
        }
    }
    assert_eq!(attempts, MAX_ATTEMPTS);
}

#[test]
fn a_hint_is_not_waited_for_after_siblings_were_tried() {
    let snapshot = snapshot();
    let mut route_plan =
        start(&snapshot, "g", Controls { disable_fallbacks: true, ..Controls::default() });
    for expected in [A, B] {
        let plan = attempt(&mut route_plan, &snapshot, 1);
        assert_eq!(plan.deployment, expected);
        fail_with(&mut route_plan, &snapshot, plan, Cause::RateLimited, Some(2_000));
    }
    assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::GiveUp(GiveUp::Exhausted(vec![])));
}

#[test]
fn a_timed_out_or_refused_deployment_is_not_retried_even_after_a_pause() {
    let snapshot = snapshot();
    let controls =
        Controls { num_retries: Some(3), disable_fallbacks: true, ..Controls::default() };
    for lasting in [Cause::Timeout, Cause::Auth] {
        let mut route_plan = start(&snapshot, "g", controls.clone());
        let first = attempt(&mut route_plan, &snapshot, 1);
        fail(&mut route_plan, &snapshot, first, lasting);
        for round in 0..2 {
            let plan = attempt(&mut route_plan, &snapshot, 1);
            assert_ne!(plan.deployment, first.deployment, "{lasting:?}, round {round}");
            fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
            assert!(matches!(route_plan.next(&snapshot, Millis(1), 0), Next::Pause(_)));
        }
    }
}

#[test]
fn a_timeout_leaves_the_sibling_that_failed_before_its_retry() {
    let snapshot = snapshot();
    let controls = Controls { disable_fallbacks: true, ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    let first = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, first, Cause::ServerError);
    let second = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, second, Cause::Timeout);
    assert!(matches!(route_plan.next(&snapshot, Millis(1), 0), Next::Pause(_)));
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, first.deployment);
}

#[test]
fn the_operators_limit_for_requests_counts_against_the_deployment() {
    let mut snapshot = snapshot();
    snapshot.router.request_timeout_ms = Some(1_000);
    let mut route_plan = start(&snapshot, "lone", Controls::default());
    let plan = attempt(&mut route_plan, &snapshot, 0);
    assert_eq!((plan.ends, plan.ends_set_by), (Millis(1_000), SetBy::Config));
}

#[test]
fn a_refusal_names_every_group_beginning_with_the_requested_one() {
    let snapshot = snapshot();
    let context = FailureContext {
        has_sibling: true,
        has_fallback: false,
        cooldown_ms: 5_000,
        tolerance: crate::policy::ByKind::default(),
        attempt_timeout_ms: 1_000,
        many_models: false,
        foreign: None,
    };
    for index in [A, B, F] {
        let at = crate::health::AttemptRef {
            started: Millis(0),
            request: 1,
            half_open: crate::health::HalfOpen::NONE,
        };
        let failure = crate::health::Failure {
            hint_ms: Some(60_000),
            ..crate::health::Failure::of(Cause::RateLimited)
        };
        let evidence = Evidence::Failed { attempt: at, failure, model: "", context: &context };
        let events = snapshot.deployment(index).apply(Millis(0), &evidence);
        assert!(events.cooldown_change().is_some());
    }
    let mut route_plan = start(&snapshot, "g", Controls::default());
    let Next::Wait(wait) = route_plan.next(&snapshot, Millis(1), 0) else { panic!("tried") };
    assert_eq!(wait.ways.iter().map(|way| way.index).collect::<Vec<_>>(), [A, B, F]);
    route_plan.stop_waiting(Millis(1));
    let Next::GiveUp(GiveUp::Refused(refused)) = route_plan.next(&snapshot, Millis(1), 0) else {
        panic!("tried")
    };
    let groups: Vec<(&str, usize)> =
        refused.iter().map(|one| (&*one.group, one.excluded.len())).collect();
    assert_eq!(groups, [("g", 2), ("fallback", 1)]);
}

#[test]
fn a_short_deadline_still_gives_the_first_group_its_share() {
    let snapshot = snapshot();
    let controls = Controls { timeout_ms: Some(50), ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    assert_eq!(attempt(&mut route_plan, &snapshot, 0).ends, Millis(30));
}

fn cooldown(snapshot: &Snapshot, index: DeploymentIndex, cause: Cause, hint_ms: Option<u64>) {
    let context = FailureContext {
        has_sibling: true,
        has_fallback: true,
        cooldown_ms: 60_000,
        tolerance: crate::policy::ByKind::default(),
        attempt_timeout_ms: 1_000,
        many_models: false,
        foreign: None,
    };
    for request in 0..3 {
        let at = crate::health::AttemptRef {
            started: Millis(0),
            request,
            half_open: crate::health::HalfOpen::NONE,
        };
        let failure = crate::health::Failure { hint_ms, ..crate::health::Failure::of(cause) };
        let evidence = Evidence::Failed { attempt: at, failure, model: "", context: &context };
        snapshot.deployment(index).apply(Millis(0), &evidence);
    }
}

#[test]
fn healthy_groups_come_first_and_unhealthy_ones_last() {
    let snapshot = snapshot();
    cooldown(&snapshot, A, Cause::ServerError, None);
    cooldown(&snapshot, B, Cause::ServerError, None);
    let controls = Controls { num_retries: Some(0), ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    let first = attempt(&mut route_plan, &snapshot, 1);
    assert_eq!((first.deployment, route_plan.fallbacks()), (F, 1));
    fail(&mut route_plan, &snapshot, first, Cause::ServerError);
    let last = attempt(&mut route_plan, &snapshot, 1);
    assert!(
        [A, B].contains(&last.deployment) && last.half_open.is_held(),
        "the net, by one request"
    );
    fail(&mut route_plan, &snapshot, last, Cause::ServerError);
    assert_eq!(route_plan.next(&snapshot, Millis(1), 0), Next::GiveUp(GiveUp::Exhausted(vec![])));
    assert_eq!(route_plan.tried().len(), 2);
}

#[test]
fn the_safety_net_respects_a_providers_time() {
    let snapshot = snapshot();
    cooldown(&snapshot, A, Cause::RateLimited, Some(60_000));
    cooldown(&snapshot, B, Cause::ServerError, None);
    let controls = Controls { disable_fallbacks: true, ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls);
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, B);
}

#[test]
fn repeated_attempts_have_a_budget_and_first_moves_are_free() {
    let snapshot = snapshot();
    let controls =
        Controls { num_retries: Some(2), disable_fallbacks: true, ..Controls::default() };
    let mut counts = Vec::new();
    for _ in 0..100 {
        let mut route_plan = start(&snapshot, "g", controls.clone());
        let mut attempts = 0;
        loop {
            match route_plan.next(&snapshot, Millis(1), 0) {
                Next::Attempt(plan) => {
                    attempts += 1;
                    fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
                }
                Next::Pause(_) => {}
                Next::Wait(_) => panic!("nothing is closed"),
                Next::GiveUp(_) => break,
            }
        }
        counts.push(attempts);
    }
    let total: u32 = counts.iter().sum();
    // One attempt and one free move each, which count against the 30 and a fifth of the requests.
    // The third attempts get what is left: 16, because 2 x 16 + 1 is 30 + 17 / 5.
    assert_eq!((counts[0], counts[15], counts[16], total), (3, 3, 2, 200 + 16));
}

#[test]
fn a_later_tier_is_free_and_a_paused_tier_is_passed() {
    let mut snapshot = snapshot();
    for (index, order) in [(0, 1), (1, 2)] {
        let deployment = std::sync::Arc::get_mut(&mut snapshot.deployments[index]).unwrap();
        deployment.routing.order = Some(order);
    }
    snapshot.groups[0].has_tiers = true;
    let controls = Controls { num_retries: Some(0), ..Controls::default() };
    let mut route_plan = start(&snapshot, "g", controls.clone());
    let first = attempt(&mut route_plan, &snapshot, 1);
    assert_eq!(first.deployment, A);
    fail(&mut route_plan, &snapshot, first, Cause::Timeout);
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, B);
    snapshot.deployment(A).apply(Millis(0), &Evidence::Operator(OperatorAction::Disable));
    for chance in 0..20 {
        let mut route_plan = start(&snapshot, "g", controls.clone());
        let Next::Attempt(plan) = route_plan.next(&snapshot, Millis(1), chance) else {
            panic!("none")
        };
        assert_eq!(plan.deployment, B);
    }
}

#[test]
fn a_refused_credential_is_not_tried_at_another_deployment() {
    let mut snapshot = snapshot();
    let id = crate::health::CredentialId::of("openai", "api.openai.com", "k");
    let shared = std::sync::Arc::new(crate::health::DeploymentState::default());
    for index in [0, 1] {
        let deployment = std::sync::Arc::get_mut(&mut snapshot.deployments[index]).unwrap();
        deployment.credential.id = Some(id);
        deployment.credential.shared = Some(shared.clone());
    }
    let mut route_plan = start(&snapshot, "g", Controls::default());
    let plan = attempt(&mut route_plan, &snapshot, 1);
    fail(&mut route_plan, &snapshot, plan, Cause::Auth);
    assert_eq!(attempt(&mut route_plan, &snapshot, 1).deployment, F);
}

#[test]
fn ten_keys_of_which_nine_are_dead_find_the_tenth() {
    let snapshot = super::fixture::snapshot_of(&[1.0; 10]);
    let mut route_plan = start(&snapshot, "g", Controls::default());
    let mut asked = Vec::new();
    for _ in 0..9 {
        let plan = attempt(&mut route_plan, &snapshot, 1);
        assert!(!asked.contains(&plan.deployment));
        asked.push(plan.deployment);
        fail(&mut route_plan, &snapshot, plan, Cause::Auth);
    }
    let tenth = attempt(&mut route_plan, &snapshot, 1);
    assert!(!asked.contains(&tenth.deployment));
}

#[test]
fn the_number_of_a_group_is_its_own_whatever_a_new_config_takes_away() {
    let snapshot = snapshot();
    let mut route_plan =
        start(&snapshot, "g", Controls { num_retries: Some(1), ..Controls::default() });
    for expected in [A, B, F] {
        let plan = attempt(&mut route_plan, &snapshot, 1);
        assert_eq!(plan.deployment, expected);
        fail(&mut route_plan, &snapshot, plan, Cause::ServerError);
    }
    assert_eq!(route_plan.place(), 1);
    // As a config without the first group does.
    route_plan.visited.remove(0);
    route_plan.current = 0;
    assert_eq!((route_plan.place(), route_plan.was_called(1)), (1, true));
    assert!(route_plan.was_called(0), "what is gone may have been called");
    let Resolved::Target(lone) = resolve(&snapshot, "lone") else { panic!("lone") };
    route_plan.settle(&snapshot, lone, None, Millis(1));
    assert_eq!((route_plan.place(), route_plan.was_called(2)), (2, false));
}
