//! Cases of LiteLLM's router that no other module tests: the table in
//! `docs/compatibility.md` says what is the same and what differs.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, chat, chat_with, client, column, expect_error, lone, metric, pair};

fn failing(status: u16) -> FakeUpstream {
    FakeUpstream::with(move |_| Script::error(status, "no"))
}

fn cooling(hale: &Hale) -> f64 {
    metric(hale, "hale_deployment_resting", &[])
}

/// What `/router/state` says of the first deployment.
fn first(hale: &Hale) -> Value {
    client(hale).get("/router/state").json()["deployments"][0].clone()
}

#[test]
fn a_400_is_not_repeated_falls_back_and_is_never_counted() {
    // Cases 10 and 11.
    let (bad, good) = (failing(400), FakeUpstream::start());
    let hale = lone(&bad)
        .deployment("f", "b", &good)
        .deployment("alone", "c", &bad)
        .router(json!({"fallbacks": [{"m": ["f"]}], "allowed_fails": 0}))
        .start();
    for _ in 0..3 {
        let answer = chat(&hale, "m");
        assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("1"));
        assert_eq!(answer.header("x-litellm-model-group"), Some("f"));
        assert_eq!(chat(&hale, "alone").status, 400);
    }
    assert_eq!(bad.requests().len(), 6, "once each");
    assert_eq!((cooling(&hale), &first(&hale)["failures_in_a_row"]), (0.0, &json!(0)));
}

#[test]
fn a_client_may_forbid_fallbacks() {
    // Case 24.
    let (bad, good) = (failing(500), FakeUpstream::start());
    let config = lone(&bad).deployment("f", "b", &good);
    let hale = config.router(json!({"fallbacks": [{"m": ["f"]}], "num_retries": 0})).start();
    let mut body = openai::chat_request("m", "hi");
    body["disable_fallbacks"] = json!(true);
    expect_error(&chat_with(&hale, &[], &body), 500, "upstream_failed");
    assert!(good.requests().is_empty());
}

#[test]
fn a_402_is_an_empty_account_that_cools_down_while_it_has_a_sibling() {
    // Case 29.
    let (bad, good) = (failing(402), FakeUpstream::start());
    let key = json!({"api_key": "sk-paid-0123456789", "weight": 0});
    let hale = Config::new()
        .with("m", "a", &bad, json!({"weight": 1}))
        .with("m", "b", &good, key)
        .router(json!({"cooldown_time": 60}))
        .start();
    for _ in 0..3 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("b"));
    }
    assert_eq!((bad.requests().len(), &first(&hale)["cause"]), (1, &json!("quota")));
    let alone = lone(&bad).start();
    for _ in 0..2 {
        assert_eq!(chat(&alone, "m").status, 402);
    }
    assert_eq!(cooling(&alone), 0.0, "a lone deployment is never ejected by the breaker");
}

#[test]
fn two_deployments_with_a_403_are_called_once_each() {
    // Case 30.
    let (one, two) = (failing(403), failing(403));
    let key = json!({"api_key": "sk-two-0123456789"});
    let hale = Config::new().deployment("m", "a", &one).with("m", "b", &two, key).start();
    expect_error(&chat(&hale, "m"), 403, "upstream_auth");
    assert_eq!((one.requests().len(), two.requests().len()), (1, 1));
}

#[test]
fn a_deployment_without_cooldowns_is_called_again() {
    // Cases 42 and 60.
    let (one, two) = (FakeUpstream::with(|_| Script::rate_limited(60)), FakeUpstream::start());
    let never = pair(&one, &two).router(json!({"disable_cooldowns": true})).start();
    let own = Config::new()
        .with("m", "a", &one, json!({"weight": 1, "cooldown_time": 0}))
        .with("m", "b", &two, json!({"weight": 0}))
        .start();
    for hale in [never, own] {
        let before = one.requests().len();
        for _ in 0..3 {
            assert_eq!(chat(&hale, "m").status, 200);
        }
        assert_eq!((one.requests().len() - before, cooling(&hale)), (3, 0.0));
    }
}

#[test]
fn three_failures_in_a_row_trip_and_weight_0_stands_by() {
    // Cases 44 and 64.
    let (bad, good) = (failing(500), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"num_retries": 0, "cooldown_time": 60})).start();
    let statuses: Vec<u16> = (0..5).map(|_| chat(&hale, "m").status).collect();
    assert_eq!(statuses, [500, 500, 500, 200, 200]);
    assert_eq!((bad.requests().len(), good.requests().len()), (3, 2));
}

#[test]
fn all_zero_weights_are_ignored() {
    // Case 46.
    let (one, two) = (FakeUpstream::start(), FakeUpstream::start());
    let zero = || json!({"weight": 0});
    let hale = Config::new().with("m", "a", &one, zero()).with("m", "b", &two, zero()).start();
    assert!(hale.stderr().contains("weights have no effect"), "{}", hale.stderr());
    for _ in 0..40 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert!(!one.requests().is_empty() && !two.requests().is_empty());
}

#[test]
fn an_alias_of_an_alias_is_followed() {
    // Case 47.
    let up = FakeUpstream::start();
    let hale = lone(&up).router(json!({"model_group_alias": {"a": "b", "b": "m"}})).start();
    let answer = chat(&hale, "a");
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("a")));
}

#[test]
fn testing_parameters_of_the_reference_are_refused() {
    // Case 54.
    let up = FakeUpstream::start();
    let hale = lone(&up).start();
    let mut body = openai::chat_request("m", "hi");
    body["mock_testing_fallbacks"] = json!(true);
    assert_eq!(chat_with(&hale, &[], &body).status, 400);
    assert!(up.requests().is_empty());
}

#[test]
fn a_422_is_the_requests_own() {
    // Cases 57 and 58.
    let (bad, good) = (failing(422), FakeUpstream::start());
    for drop in [false, true] {
        let config = lone(&bad).deployment("f", "b", &good);
        let hale = config.litellm(json!({"drop_params": drop})).start();
        assert_eq!(chat(&hale, "m").status, 422, "never a 200 without a body");
        let config = lone(&bad).deployment("f", "b", &good);
        let hale = config.router(json!({"fallbacks": [{"m": ["f"]}]})).start();
        assert_eq!(chat(&hale, "m").header("x-litellm-model-group"), Some("f"));
    }
}

#[test]
fn the_providers_time_counts_whatever_cooldown_time_says() {
    // Cases 61 and 62.
    let (limited, good) = (FakeUpstream::with(|_| Script::rate_limited(30)), FakeUpstream::start());
    for more in [json!({"weight": 1}), json!({"weight": 1, "cooldown_time": 10})] {
        let hale = Config::new()
            .with("m", "a", &limited, more)
            .with("m", "b", &good, json!({"weight": 0}))
            .start();
        assert_eq!(chat(&hale, "m").status, 200);
        let left = first(&hale)["retry_after_s"].as_u64().unwrap();
        assert!((25..=30).contains(&left), "{left}");
    }
}

#[test]
fn a_policy_replaces_our_rules_but_not_the_providers_time() {
    // Case 66.
    let policy = json!({"allowed_fails_policy": {"RateLimitErrorAllowedFails": 100}});
    let (bare, named) = (failing(429), FakeUpstream::with(|_| Script::rate_limited(30)));
    let good = FakeUpstream::start();
    let hale = pair(&bare, &good).router(policy.clone()).start();
    for _ in 0..20 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!((bare.requests().len(), cooling(&hale)), (20, 0.0));
    let hale = pair(&named, &good).router(policy).start();
    chat(&hale, "m");
    assert_eq!(cooling(&hale), 1.0);
}

#[test]
fn a_deployments_own_retries_win_over_the_routers() {
    // Case 69.
    let bad = failing(500);
    let own = Config::new().with("m", "a", &bad, json!({"num_retries": 1}));
    let hale = own.router(json!({"num_retries": 3})).start();
    let error = expect_error(&chat(&hale, "m"), 500, "upstream_failed");
    assert_eq!(column(&error["attempts"], "deployment"), ["a", "a"]);
}

#[test]
fn a_sibling_comes_before_a_fallback() {
    // Case 82.
    let (bad, sibling, other) = (failing(500), FakeUpstream::start(), FakeUpstream::start());
    let config = pair(&bad, &sibling).deployment("f", "c", &other);
    let fallbacks = json!({"fallbacks": [{"m": ["f"]}]});
    let hale = config.clone().router(fallbacks.clone()).start();
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"));
    let none = config.router(fallbacks).router(json!({"num_retries": 0})).start();
    assert_eq!(
        chat(&none, "m").header("x-litellm-model-id"),
        Some("c"),
        "unless there are no retries"
    );
}
