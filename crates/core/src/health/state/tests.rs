use super::*;
use crate::health::{
    AttemptRef, BREAKER_CAP_MS, Evidence, Failure, FailureContext, HalfOpen, HealthEvents,
    Measured, OperatorAction, RATE_LIMIT_CAP_MS,
};
use crate::policy::ByKind;

fn context() -> FailureContext {
    FailureContext {
        has_sibling: true,
        has_fallback: false,
        cooldown_ms: 5_000,
        tolerance: ByKind::default(),
        attempt_timeout_ms: 10_000,
        many_models: false,
        foreign: None,
    }
}

fn at(started: u64, request: u64) -> AttemptRef {
    AttemptRef { started: Millis(started), request, half_open: HalfOpen::NONE }
}

/// An attempt that takes the permit when it begins.
fn half_open_at(state: &DeploymentState, started: u64, request: u64) -> AttemptRef {
    let own = state.take_half_open(Millis(started), 1_000);
    assert!(own.is_some(), "the permit is free");
    AttemptRef { half_open: HalfOpen { own, ..HalfOpen::NONE }, ..at(started, request) }
}

fn limited(cause: Cause, hint_ms: u64) -> Failure {
    Failure { cause, status: Some(429), hint_ms: Some(hint_ms) }
}

/// What traffic changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Opened(Cooldown),
    Closed,
}

/// The change of the cooldown, if there is one.
fn told(events: &HealthEvents) -> Option<Change> {
    let event = events.cooldown_change()?;
    let Some(until) = event.until else { return Some(Change::Closed) };
    let cause = Cause::ALL.into_iter().find(|cause| Some(cause.name()) == event.cause).unwrap();
    Some(Change::Opened(Cooldown { until, cause, provider_issued: event.provider_issued }))
}

fn failed(
    state: &DeploymentState,
    now: Millis,
    attempt: AttemptRef,
    failure: Failure,
    context: &FailureContext,
) -> Option<Change> {
    told(&state.apply(now, &Evidence::Failed { attempt, failure, model: "", context }))
}

fn succeeded(state: &DeploymentState, now: Millis, attempt: AttemptRef) -> Option<Change> {
    let measured = Measured::default();
    told(&state.apply(now, &Evidence::Succeeded { attempt, measured, model: "" }))
}

fn operator(state: &DeploymentState, action: OperatorAction) -> HealthEvents {
    state.apply(Millis(0), &Evidence::Operator(action))
}

fn fail(state: &DeploymentState, now: u64, request: u64, cause: Cause) -> Option<Change> {
    failed(state, Millis(now), at(now, request), Failure::of(cause), &context())
}

#[test]
fn a_state_keeps_a_cooldown() {
    for cause in Cause::ALL {
        for provider_issued in [false, true] {
            let cooldown = Cooldown { until: Millis(123_456_789), cause, provider_issued };
            assert_eq!(unpack(pack(cooldown)), Some(cooldown));
        }
    }
    assert_eq!(unpack(0), None);
}

#[test]
fn three_failures_in_a_row_of_two_requests_open_the_breaker() {
    let state = DeploymentState::default();
    assert_eq!(fail(&state, 1, 1, Cause::ServerError), None);
    assert_eq!(fail(&state, 2, 1, Cause::ServerError), None);
    assert_eq!(fail(&state, 3, 1, Cause::ServerError), None, "one request alone proves little");
    assert!(matches!(fail(&state, 4, 2, Cause::ServerError), Some(Change::Opened(_))));
    assert!(matches!(state.verdict(Millis(5)), Verdict::Cooling(_)));
    assert!(matches!(state.verdict(Millis(5_004)), Verdict::HalfOpen(_)));
}

#[test]
fn a_success_between_failures_breaks_the_row() {
    let state = DeploymentState::default();
    for round in 0..10 {
        let now = round * 120_000;
        assert_eq!(fail(&state, now, round, Cause::Timeout), None);
        assert_eq!(fail(&state, now + 1, round + 1, Cause::Timeout), None);
        assert_eq!(succeeded(&state, Millis(now + 2), at(now + 2, 0)), None);
    }
}

#[test]
fn failures_of_the_client_or_the_gateway_never_count() {
    let state = DeploymentState::default();
    for request in 0..100 {
        for cause in Cause::ALL.into_iter().filter(|cause| !cause.blames_deployment()) {
            assert_eq!(fail(&state, request, request, cause), None);
        }
    }
    assert_eq!(state.verdict(Millis(100)), Verdict::Ready);
}

#[test]
fn a_lone_deployment_is_not_ejected_by_the_breaker() {
    let state = DeploymentState::default();
    let alone = FailureContext { has_sibling: false, ..context() };
    for request in 0..50 {
        for cause in [Cause::ServerError, Cause::Auth, Cause::RateLimited, Cause::NotFound] {
            assert_eq!(
                failed(&state, Millis(request), at(request, request), Failure::of(cause), &alone),
                None
            );
        }
    }
    let hinted =
        failed(&state, Millis(60), at(60, 60), limited(Cause::RateLimited, 30_000), &alone)
            .unwrap();
    let expected =
        Cooldown { until: Millis(30_060), cause: Cause::RateLimited, provider_issued: true };
    assert_eq!(hinted, Change::Opened(expected));
}

#[test]
fn a_provider_cannot_eject_for_ever() {
    let state = DeploymentState::default();
    failed(&state, Millis(0), at(0, 1), limited(Cause::RateLimited, u64::MAX), &context());
    assert!(matches!(state.verdict(Millis(RATE_LIMIT_CAP_MS)), Verdict::HalfOpen(_)));
}

#[test]
fn a_failed_half_open_request_doubles_the_cooldown_and_a_good_one_ends_it() {
    let state = DeploymentState::default();
    fail(&state, 0, 1, Cause::RateLimited);
    assert!(matches!(state.verdict(Millis(4_999)), Verdict::Cooling(_)));
    let half_open = half_open_at(&state, 5_000, 2);
    assert_eq!(state.take_half_open(Millis(5_000), 1_000), None, "one permit");
    failed(&state, Millis(5_100), half_open, Failure::of(Cause::RateLimited), &context());
    assert!(matches!(state.verdict(Millis(15_099)), Verdict::Cooling(_)));
    let half_open = half_open_at(&state, 15_100, 3);
    assert_eq!(succeeded(&state, Millis(15_200), half_open), Some(Change::Closed));
    // A refusal is remembered for a minute.
    assert_eq!(state.verdict(Millis(15_200)), Verdict::Reopening);
    assert_eq!(state.verdict(Millis(65_100)), Verdict::Ready);
}

#[test]
fn late_results_decide_nothing() {
    let state = DeploymentState::default();
    fail(&state, 1_000, 1, Cause::RateLimited);
    let before = state.verdict(Millis(1_001));
    assert_eq!(succeeded(&state, Millis(1_002), at(500, 2)), None);
    assert_eq!(fail(&state, 1_003, 3, Cause::ServerError), None);
    assert_eq!(state.verdict(Millis(1_001)), before);
    let late =
        failed(&state, Millis(1_004), at(500, 4), limited(Cause::RateLimited, 60_000), &context());
    assert!(late.is_some(), "a provider's deadline counts whenever it arrives");
    let earlier =
        failed(&state, Millis(1_005), at(500, 4), limited(Cause::RateLimited, 1_000), &context());
    assert_eq!(earlier, None, "deadlines only move forward");
}

#[test]
fn a_lost_permit_expires() {
    let state = DeploymentState::default();
    assert!(state.take_half_open(Millis(0), 1_000).is_some());
    assert_eq!(state.take_half_open(Millis(1_500), 1_000), None);
    let permit = state.take_half_open(Millis(2_000), 1_000);
    assert!(permit.is_some());
    state.release_half_open(permit);
    assert!(state.half_open_is_free(Millis(2_001)));
}

#[test]
fn the_ratio_of_a_minute_opens_too() {
    let state = DeploymentState::default();
    let mut opened = false;
    for i in 0..6 {
        // fail, fail, ok, fail, fail, fail: never three in a row before the ratio is past one half.
        if i == 2 {
            succeeded(&state, Millis(i), at(i, i));
        } else {
            opened |= fail(&state, i, 1, Cause::ServerError).is_some();
        }
    }
    assert!(opened, "5 of 6 failed");
}

#[test]
fn allowed_fails_replaces_our_rules() {
    let state = DeploymentState::default();
    let rules =
        FailureContext { tolerance: ByKind { others: Some(4), ..ByKind::default() }, ..context() };
    for i in 0..4 {
        assert_eq!(
            failed(&state, Millis(i), at(i, i), Failure::of(Cause::ServerError), &rules),
            None
        );
    }
    assert!(failed(&state, Millis(5), at(5, 5), Failure::of(Cause::ServerError), &rules).is_some());
}

#[test]
fn zero_cooldown_turns_it_off() {
    let state = DeploymentState::default();
    let off = FailureContext { cooldown_ms: 0, ..context() };
    for i in 0..20 {
        assert_eq!(
            failed(&state, Millis(i), at(i, i), limited(Cause::RateLimited, 9_000), &off),
            None
        );
    }
}

fn policy(kind: crate::policy::FailureKind, allowed: u32) -> ByKind {
    let mut policy = ByKind::default();
    policy.named[kind as usize] = Some(allowed);
    policy
}

#[test]
fn a_policy_replaces_every_rule_for_its_kind_but_the_providers_time() {
    let kind = crate::policy::FailureKind::RateLimit;
    let rules = FailureContext { tolerance: policy(kind, 100), ..context() };
    let state = DeploymentState::default();
    for i in 0..100 {
        let failure = Failure::of(Cause::RateLimited);
        assert_eq!(failed(&state, Millis(i), at(i, i), failure, &rules), None, "{i}");
    }
    let failure = Failure::of(Cause::RateLimited);
    assert!(failed(&state, Millis(101), at(101, 101), failure, &rules).is_some(), "the 101st");
    let other = DeploymentState::default();
    assert!(
        failed(&other, Millis(1), at(1, 1), limited(Cause::RateLimited, 9_000), &rules).is_some()
    );
    let auth = DeploymentState::default();
    assert!(failed(&auth, Millis(1), at(1, 1), Failure::of(Cause::Auth), &rules).is_some());
}

#[test]
fn tolerated_failures_are_counted_by_the_minute() {
    let kind = crate::policy::FailureKind::Timeout;
    let rules = FailureContext { tolerance: policy(kind, 2), ..context() };
    let state = DeploymentState::default();
    for i in 0..20 {
        let now = i * 31_000;
        let failure = Failure::of(Cause::Timeout);
        assert_eq!(failed(&state, Millis(now), at(now, i), failure, &rules), None, "{i}");
    }
}

#[test]
fn a_lone_deployment_with_a_fallback_is_ejected_after_three() {
    let rules = FailureContext { has_sibling: false, has_fallback: true, ..context() };
    for cause in [Cause::ServerError, Cause::Auth, Cause::RateLimited, Cause::NotFound] {
        let state = DeploymentState::default();
        let opened: Vec<bool> = (0..3)
            .map(|i| failed(&state, Millis(i), at(i, i), Failure::of(cause), &rules).is_some())
            .collect();
        assert_eq!(opened, [false, false, true], "{cause:?}");
    }
}

#[test]
fn a_deployment_that_comes_back_gets_its_share_slowly() {
    let state = DeploymentState::default();
    assert!((state.ramp(Millis(0)) - 1.0).abs() < 1e-9, "not at the start of the process");
    fail(&state, 0, 1, Cause::RateLimited);
    let half_open = half_open_at(&state, 5_000, 2);
    assert!(succeeded(&state, Millis(5_000), half_open).is_some());
    assert!((state.ramp(Millis(5_000)) - 0.1).abs() < 1e-9);
    assert!((state.ramp(Millis(20_000)) - 0.55).abs() < 1e-9);
    assert!((state.ramp(Millis(35_000)) - 1.0).abs() < 1e-9);
}

#[test]
fn only_the_holder_of_a_permit_returns_it() {
    let state = DeploymentState::default();
    fail(&state, 0, 1, Cause::RateLimited);
    let half_open = half_open_at(&state, 5_000, 2);
    let net = AttemptRef { started: Millis(5_000), request: 3, half_open: HalfOpen::NONE };
    assert_eq!(succeeded(&state, Millis(5_100), net), Some(Change::Closed));
    assert!(!state.half_open_is_free(Millis(5_200)), "the trial is still under way");
    succeeded(&state, Millis(5_300), half_open);
    assert!(state.half_open_is_free(Millis(5_300)));
}

#[test]
fn places_and_rates_are_granted_exactly() {
    let state = DeploymentState::default();
    let claim = Claim { max_parallel: Some(2), rpm: Some(3), counts: true, ..Claim::default() };
    let now = Millis(0);
    assert!(state.enter(now, &claim) && state.enter(now, &claim));
    assert!(!state.enter(now, &claim), "two places");
    state.leave();
    assert!(state.enter(now, &claim), "the third of the minute");
    state.leave();
    assert!(!state.enter(now, &claim), "the minute is used up");
    assert_eq!((state.in_flight(), state.rates().requests(now)), (1, 3));
    assert!(state.enter(Millis(60_000), &claim), "the next minute");
}

#[test]
fn one_model_of_many_cools_down_alone() {
    let state = DeploymentState::default();
    let many = FailureContext { many_models: true, ..context() };
    let fail = |now, request, failure| {
        let context = &many;
        let attempt = at(now, request);
        let evidence = Evidence::Failed { attempt, failure, model: "gpt-x", context };
        state.apply(Millis(now), &evidence)
    };
    for i in 0..20 {
        let events = fail(i, i, Failure::of(Cause::NotFound));
        assert_eq!(told(&events), None);
        assert_eq!(events.iter().count(), usize::from(i == 0), "the model's own event");
    }
    assert_eq!(state.verdict(Millis(20)), Verdict::Ready);
    assert!(state.model_cooldown(None, "gpt-x", Millis(20)).is_some());
    assert!(state.model_cooldown(None, "gpt-4o", Millis(20)).is_none());
    assert!(state.model_cooldown(None, "gpt-x", Millis(5_100)).is_none(), "it ends");
    fail(0, 1, limited(Cause::RateLimited, 60_000));
    let (attempt, measured) = (at(0, 2), Measured::default());
    let events = state.apply(Millis(0), &Evidence::Succeeded { attempt, measured, model: "gpt-x" });
    let part = HealthPart::Model { model: "gpt-x".into(), operation: None };
    assert!(events.iter().any(|event| event.part == part && event.to == Standing::Ready));
    assert!(state.model_cooldown(None, "gpt-x", Millis(1)).is_none());
}

#[test]
fn an_operators_reset_forgets_everything_but_the_operators_own_action() {
    let state = DeploymentState::default();
    fail(&state, 0, 1, Cause::Auth);
    operator(&state, OperatorAction::Disable);
    assert_eq!(state.report().errors.len(), 1);
    operator(&state, OperatorAction::Reset);
    assert_eq!((state.verdict(Millis(1)), state.report()), (Verdict::Ready, Report::default()));
    assert!(state.is_disabled());
}

#[test]
fn a_doubled_cooldown_is_bounded_by_the_outage() {
    let state = DeploymentState::default();
    fail(&state, 0, 1, Cause::RateLimited);
    let mut now = 5_000;
    let mut longest_early = 0;
    for request in 0..40 {
        let half_open = half_open_at(&state, now, request);
        failed(&state, Millis(now), half_open, Failure::of(Cause::ServerError), &context());
        let Verdict::Cooling(cooldown) = state.verdict(Millis(now)) else { panic!("{request}") };
        let length = cooldown.until.0 - now;
        if now < 60_000 {
            longest_early = longest_early.max(length);
        }
        assert!(length <= BREAKER_CAP_MS * 11 / 10);
        now = cooldown.until.0;
    }
    assert!((10_000..=22_000).contains(&longest_early), "{longest_early}");
}

#[test]
fn a_refused_operation_of_another_mode_cools_down_alone() {
    let state = DeploymentState::default();
    let wrong = FailureContext { foreign: Some(Operation::Completion), ..context() };
    for cause in [Cause::NotFound, Cause::Permission] {
        for request in 0..20 {
            assert_eq!(
                failed(&state, Millis(10), at(10, request), Failure::of(cause), &wrong),
                None
            );
        }
        assert_eq!(state.verdict(Millis(10)), Verdict::Ready);
        assert!(state.model_cooldown(Some(Operation::Completion), "", Millis(11)).is_some());
        assert_eq!(state.model_cooldown(Some(Operation::Embedding), "", Millis(11)), None);
        assert_eq!(state.model_cooldown(None, "", Millis(11)), None);
        operator(&state, OperatorAction::Reset);
    }
}

#[test]
fn the_worst_of_two_verdicts_counts() {
    let cooldown = |until, provider_issued| Cooldown {
        until: Millis(until),
        cause: Cause::RateLimited,
        provider_issued,
    };
    let from_best = [
        Verdict::Ready,
        Verdict::HalfOpen(cooldown(9, true)),
        Verdict::Cooling(cooldown(90, false)),
        Verdict::Cooling(cooldown(20, true)),
        Verdict::Cooling(cooldown(30, true)),
    ];
    for (i, one) in from_best.iter().enumerate() {
        for (j, other) in from_best.iter().enumerate() {
            assert_eq!(one.worse(*other), from_best[i.max(j)]);
        }
    }
}

#[test]
fn a_state_that_contradicts_itself_breaks_an_invariant() {
    let broken = |spoil: fn(&DeploymentState)| {
        let state = DeploymentState::default();
        fail(&state, 0, 1, Cause::Auth);
        assert_eq!(state.check_invariants(), Ok(()));
        spoil(&state);
        state.check_invariants().unwrap_err()
    };
    let word = broken(|state| state.word.store(0, Ordering::Relaxed));
    assert!(word.contains("is not the breaker's"), "{word}");
    let twice = broken(DeploymentState::leave);
    assert!(twice.contains("more ended than began"), "{twice}");
    let closed = broken(|state| {
        state.breaker.lock().open = None;
        state.word.store(0, Ordering::Relaxed);
    });
    assert!(closed.contains("its last event says"), "{closed}");
    let blamed = broken(|state| {
        let mut breaker = state.breaker.lock();
        let open = breaker.open.as_mut().unwrap();
        open.cooldown.cause = Cause::ClientClosed;
        state.word.store(pack(open.cooldown), Ordering::Relaxed);
    });
    assert!(blamed.contains("only what blames the deployment"), "{blamed}");
}

#[test]
fn a_successor_knows_what_happened_and_nothing_of_the_verdict() {
    let before = DeploymentState::of(HealthSubject::Deployment("d".into()));
    fail(&before, 0, 1, Cause::Auth);
    let after = before.successor();
    let events = after.apply(Millis(9), &Evidence::ConfigReplaced { before: &before.carried() });
    let told: Vec<_> =
        events.iter().map(|event| (event.from.name(), event.to.name(), event.source)).collect();
    assert_eq!(told, [("cooldown", "ready", crate::health::Source::Config)]);
    assert_eq!(
        (after.verdict(Millis(9)), after.changed(), after.events().len()),
        (Verdict::Ready, 2, 2)
    );
    assert_eq!(after.events()[0].subject, HealthSubject::Deployment("d".into()));
}
