//! Deployments in cooldown after failures, and how they come back.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Script};
use serde_json::json;

use crate::support::{chat, expect_error, lone, metric, pair, within};
use crate::timing::Stopwatch;

#[test]
fn a_failing_deployment_cools_down_gets_one_half_open_request_and_comes_back() {
    // F25.
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"cooldown_time": 0.3})).start();
    for _ in 0..3 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!(bad.requests().len(), 3, "three failures in a row of different requests");
    let begin = Stopwatch::start();
    assert_eq!(metric(&hale, "hale_deployment_resting", &[("deployment", "bad")]), 1.0);
    assert_eq!(metric(&hale, "hale_deployment_cooldowns_total", &[("deployment", "bad")]), 1.0);
    let answer = chat(&hale, "m");
    assert_eq!(answer.header("x-litellm-attempted-retries"), Some("0"));
    if begin.ms() < 250 {
        assert_eq!(bad.requests().len(), 3, "it is in cooldown");
    }
    hale.wait_for_line("deployment is in cooldown");
    // The half-open request fails: the cooldown doubles.
    within(Duration::from_secs(5), "a half-open request", || {
        assert_eq!(chat(&hale, "m").status, 200);
        (bad.requests().len() == 4).then_some(())
    });
    let reopened = Stopwatch::start();
    bad.answer_with(Script::answer);
    within(Duration::from_secs(5), "it is back", || {
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 200);
        (answer.header("x-litellm-model-id") == Some("bad")).then_some(())
    });
    reopened.at_least_ms(500);
    hale.wait_for_line("deployment is back");
    for _ in 0..5 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("bad"));
    }
    assert_eq!(metric(&hale, "hale_deployment_resting", &[("deployment", "bad")]), 0.0);
}

#[test]
fn one_request_cannot_eject_a_deployment_by_its_own_retries() {
    let bad = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = lone(&bad)
        .deployment("f", "b", &bad)
        .router(json!({"num_retries": 3, "fallbacks": [{"m": ["f"]}], "cooldown_time": 60}))
        .start();
    expect_error(&chat(&hale, "m"), 500, "fallbacks_exhausted");
    assert_eq!(metric(&hale, "hale_deployment_resting", &[("deployment", "a")]), 0.0);
}

#[test]
fn a_lone_deployment_without_fallback_never_cools_down_for_passing_troubles() {
    let bad = FakeUpstream::with(|_| Script::error(503, "busy"));
    let hale = lone(&bad).router(json!({"num_retries": 0, "cooldown_time": 60})).start();
    for count in 1..=8 {
        expect_error(&chat(&hale, "m"), 503, "upstream_failed");
        assert_eq!(bad.requests().len(), count);
    }
    bad.answer_with(Script::answer);
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn when_all_cool_down_the_least_bad_is_tried_rather_than_none() {
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    for upstream in [&one, &two] {
        upstream.answer_with(|_| Script::error(500, "boom"));
    }
    let hale = pair(&one, &two).router(json!({"num_retries": 1, "cooldown_time": 60})).start();
    for _ in 0..4 {
        expect_error(&chat(&hale, "m"), 500, "upstream_failed");
    }
    assert_eq!(metric(&hale, "hale_deployment_resting", &[]), 2.0);
    for upstream in [&one, &two] {
        upstream.answer_with(Script::answer);
    }
    assert_eq!(chat(&hale, "m").status, 200, "the safety net");
}

#[test]
fn a_clients_fault_never_counts_against_a_deployment() {
    let bad = FakeUpstream::with(|_| Script::error(400, "your request is wrong"));
    let good = FakeUpstream::start();
    let hale = pair(&bad, &good).router(json!({"allowed_fails": 0, "cooldown_time": 60})).start();
    for _ in 0..6 {
        expect_error(&chat(&hale, "m"), 400, "upstream_rejected");
    }
    assert_eq!(metric(&hale, "hale_deployment_resting", &[]), 0.0);
    assert_eq!((bad.requests().len(), good.requests().len()), (6, 0));
}

#[test]
fn allowed_fails_is_counted_exactly() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"allowed_fails": 1, "cooldown_time": 60})).start();
    for _ in 0..5 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!(bad.requests().len(), 2, "one is allowed, the second trips");
}

#[test]
fn a_rate_limit_cools_a_deployment_down_while_it_has_a_sibling() {
    let (bad, good) = (FakeUpstream::with(|_| Script::rate_limited(60)), FakeUpstream::start());
    let hale = pair(&bad, &good).start();
    for _ in 0..4 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 4));
}

#[test]
fn turned_off_cooldowns_never_eject_anything() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"disable_cooldowns": true})).start();
    for _ in 0..8 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!(bad.requests().len(), 8);
}

#[test]
fn a_deployment_called_by_its_id_is_still_subject_to_the_safety_net() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"num_retries": 0, "cooldown_time": 60})).start();
    for _ in 0..4 {
        chat(&hale, "m");
    }
    assert_eq!(metric(&hale, "hale_deployment_resting", &[("deployment", "bad")]), 1.0);
    bad.answer_with(Script::answer);
    assert_eq!(chat(&hale, "bad").header("x-litellm-model-id"), Some("bad"));
}
