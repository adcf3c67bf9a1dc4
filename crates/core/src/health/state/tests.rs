use super::*;

fn around() -> Surroundings {
    Surroundings {
        has_sibling: true,
        has_fallback: false,
        cooldown_ms: 5_000,
        tolerance: ByKind::default(),
        attempt_timeout_ms: 10_000,
        many_models: false,
    }
}

fn at(started: u64, request: u64) -> AttemptRef {
    AttemptRef { started: Millis(started), request, trial: false }
}

fn limited(cause: Cause, hint_ms: u64) -> Failure {
    Failure { cause, status: Some(429), hint_ms: Some(hint_ms) }
}

fn fail(state: &DeploymentState, now: u64, request: u64, cause: Cause) -> Option<Transition> {
    state.failure(Millis(now), at(now, request), Failure::of(cause), &around())
}

#[test]
fn a_word_keeps_a_rest() {
    for cause in Cause::ALL {
        for provider_issued in [false, true] {
            let rest = Rest { until: Millis(123_456_789), cause, provider_issued };
            assert_eq!(unpack(pack(rest)), Some(rest));
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
    assert!(matches!(fail(&state, 4, 2, Cause::ServerError), Some(Transition::Opened(_))));
    assert!(matches!(state.verdict(Millis(5)), Verdict::Cooling(_)));
    assert!(matches!(state.verdict(Millis(5_004)), Verdict::Trial(_)));
}

#[test]
fn a_success_between_failures_breaks_the_row() {
    let state = DeploymentState::default();
    for round in 0..10 {
        let now = round * 120_000;
        assert_eq!(fail(&state, now, round, Cause::Timeout), None);
        assert_eq!(fail(&state, now + 1, round + 1, Cause::Timeout), None);
        assert_eq!(state.success(Millis(now + 2), at(now + 2, 0), &Measured::default()), None);
    }
}

#[test]
fn callers_and_gateway_never_count() {
    let state = DeploymentState::default();
    for request in 0..100 {
        for cause in Cause::ALL.into_iter().filter(|cause| !cause.blames_deployment()) {
            assert_eq!(fail(&state, request, request, cause), None);
        }
    }
    assert_eq!(state.verdict(Millis(100)), Verdict::Ready);
}

#[test]
fn a_lone_deployment_is_not_benched_by_us() {
    let state = DeploymentState::default();
    let alone = Surroundings { has_sibling: false, ..around() };
    for request in 0..50 {
        for cause in [Cause::ServerError, Cause::Auth, Cause::RateLimited, Cause::NotFound] {
            assert_eq!(
                state.failure(Millis(request), at(request, request), Failure::of(cause), &alone),
                None
            );
        }
    }
    let hinted =
        state.failure(Millis(60), at(60, 60), limited(Cause::RateLimited, 30_000), &alone).unwrap();
    let expected = Rest { until: Millis(30_060), cause: Cause::RateLimited, provider_issued: true };
    assert_eq!(hinted, Transition::Opened(expected));
}

#[test]
fn a_provider_can_not_bench_for_ever() {
    let state = DeploymentState::default();
    state.failure(Millis(0), at(0, 1), limited(Cause::RateLimited, u64::MAX), &around());
    assert!(matches!(state.verdict(Millis(RATE_LIMIT_CAP_MS)), Verdict::Trial(_)));
}

#[test]
fn a_failed_trial_doubles_the_rest_and_a_good_one_ends_it() {
    let state = DeploymentState::default();
    fail(&state, 0, 1, Cause::RateLimited);
    assert!(matches!(state.verdict(Millis(4_999)), Verdict::Cooling(_)));
    assert!(state.take_trial(Millis(5_000), 1_000));
    assert!(!state.take_trial(Millis(5_000), 1_000), "one permit");
    let trial = AttemptRef { started: Millis(5_000), request: 2, trial: true };
    state.failure(Millis(5_100), trial, Failure::of(Cause::RateLimited), &around());
    assert!(matches!(state.verdict(Millis(15_099)), Verdict::Cooling(_)));
    assert!(state.take_trial(Millis(15_100), 1_000), "the permit came back");
    let trial = AttemptRef { started: Millis(15_100), request: 3, trial: true };
    assert_eq!(
        state.success(Millis(15_200), trial, &Measured::default()),
        Some(Transition::Closed)
    );
    assert_eq!(state.verdict(Millis(15_200)), Verdict::Ready);
}

#[test]
fn late_results_decide_nothing() {
    let state = DeploymentState::default();
    fail(&state, 1_000, 1, Cause::RateLimited);
    let before = state.verdict(Millis(1_001));
    assert_eq!(state.success(Millis(1_002), at(500, 2), &Measured::default()), None);
    assert_eq!(fail(&state, 1_003, 3, Cause::ServerError), None);
    assert_eq!(state.verdict(Millis(1_001)), before);
    let late =
        state.failure(Millis(1_004), at(500, 4), limited(Cause::RateLimited, 60_000), &around());
    assert!(late.is_some(), "a provider's deadline counts whenever it arrives");
    let earlier =
        state.failure(Millis(1_005), at(500, 4), limited(Cause::RateLimited, 1_000), &around());
    assert_eq!(earlier, None, "deadlines only move forward");
}

#[test]
fn a_lost_permit_expires() {
    let state = DeploymentState::default();
    assert!(state.take_trial(Millis(0), 1_000));
    assert!(!state.take_trial(Millis(1_500), 1_000));
    assert!(state.take_trial(Millis(2_000), 1_000));
    state.release_trial();
    assert!(state.trial_is_free(Millis(2_001)));
}

#[test]
fn the_ratio_of_a_minute_opens_too() {
    let state = DeploymentState::default();
    let mut opened = false;
    for i in 0..6 {
        // fail, fail, ok, fail, fail, fail: never three in a row before the ratio is past one half.
        if i == 2 {
            state.success(Millis(i), at(i, i), &Measured::default());
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
        Surroundings { tolerance: ByKind { others: Some(4), ..ByKind::default() }, ..around() };
    for i in 0..4 {
        assert_eq!(
            state.failure(Millis(i), at(i, i), Failure::of(Cause::ServerError), &rules),
            None
        );
    }
    assert!(state.failure(Millis(5), at(5, 5), Failure::of(Cause::ServerError), &rules).is_some());
}

#[test]
fn zero_cooldown_turns_it_off() {
    let state = DeploymentState::default();
    let off = Surroundings { cooldown_ms: 0, ..around() };
    for i in 0..20 {
        assert_eq!(
            state.failure(Millis(i), at(i, i), limited(Cause::RateLimited, 9_000), &off),
            None
        );
    }
}
