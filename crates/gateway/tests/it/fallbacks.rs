//! Which group follows one that failed, by the kind of failure and by the client's wishes.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, chat, chat_with, column, expect_error, pair};

fn failing(status: u16) -> FakeUpstream {
    FakeUpstream::with(move |_| Script::error(status, "boom"))
}

fn coded(status: u16, code: &'static str) -> FakeUpstream {
    let body = move || openai::error("refused", "invalid_request_error", code);
    FakeUpstream::with(move |_| Script::with_status(status).json(&body()))
}

/// Groups `g` at `first`, `f` and `z` at good upstreams, without retries.
fn three(first: &FakeUpstream, f: &FakeUpstream, z: &FakeUpstream, router: Value) -> Config {
    Config::new()
        .deployment("g", "a", first)
        .deployment("f", "b", f)
        .deployment("z", "c", z)
        .router(json!({"num_retries": 0}))
        .router(router)
}

#[test]
fn a_fallback_of_the_config_changes_the_request() {
    let (bad, f) = (failing(500), FakeUpstream::start());
    let changed = json!([{"g": [{"model": "f", "temperature": 0, "user": "of the config"}]}]);
    let hale = three(&bad, &f, &bad, json!({"fallbacks": changed})).start();
    let large = "x".repeat(600_000);
    for text in ["hi", &large] {
        let mut body = openai::chat_request("g", text);
        body["temperature"] = json!(1);
        assert_eq!(chat_with(&hale, &[], &body).status, 200);
        let sent = f.requests().pop().unwrap().json();
        assert_eq!((&sent["temperature"], &sent["user"]), (&json!(0), &json!("of the config")));
        assert_eq!(sent["messages"], body["messages"]);
        let first = bad.requests().pop().unwrap().json();
        assert_eq!((&first["temperature"], &first["user"]), (&json!(1), &json!(null)));
    }
    // Called by its own name it gets what the client says, and a client's own list replaces the config's.
    chat(&hale, "f");
    assert_eq!(f.requests().pop().unwrap().json()["user"], json!(null));
    let mut body = openai::chat_request("g", "hi");
    body["fallbacks"] = json!(["f"]);
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    assert_eq!(f.requests().pop().unwrap().json()["user"], json!(null));
    let page = crate::support::client(&hale).get("/router/settings").json();
    assert_eq!(page["current_values"]["fallbacks"], changed, "{page}");
}

#[test]
fn each_kind_of_failure_takes_its_own_list() {
    // Cases 14, 15 and 16 of the reference; the last one differs on purpose.
    let window = || coded(400, "context_length_exceeded");
    let policy = || coded(400, "content_policy_violation");
    let general = json!({"fallbacks": [{"g": ["z"]}]});
    let with = |key: &str, group: &str| {
        let mut router = general.clone();
        router[key] = json!([{group: ["f"]}]);
        router
    };
    let cases = [
        (window(), with("context_window_fallbacks", "g"), Some("f")),
        (window(), with("context_window_fallbacks", "*"), Some("f")),
        (window(), with("context_window_fallbacks", "other"), Some("z")),
        (window(), general.clone(), Some("z")),
        (policy(), with("content_policy_fallbacks", "g"), Some("f")),
        (policy(), with("content_policy_fallbacks", "other"), None),
        (policy(), general.clone(), None),
        (failing(500), with("context_window_fallbacks", "g"), Some("z")),
        (failing(500), with("content_policy_fallbacks", "g"), Some("z")),
    ];
    for (first, router, expected) in cases {
        let (f, z) = (FakeUpstream::start(), FakeUpstream::start());
        let hale = three(&first, &f, &z, router.clone()).start();
        let answer = chat(&hale, "g");
        match expected {
            Some(group) => {
                assert_eq!(answer.header("x-litellm-model-group"), Some(group), "{router}")
            }
            None => drop(expect_error(&answer, 400, "content_policy")),
        }
        assert_eq!(f.requests().len() + z.requests().len(), usize::from(expected.is_some()));
    }
    let (f, z) = (FakeUpstream::start(), FakeUpstream::start());
    let mut router = general;
    router["content_policy_use_general_fallbacks"] = json!(true);
    let hale = three(&policy(), &f, &z, router).start();
    assert_eq!(chat(&hale, "g").header("x-litellm-model-group"), Some("z"));
}

#[test]
fn a_client_names_fallbacks_by_name_by_object_and_by_group() {
    let (first, f, z) = (failing(500), FakeUpstream::start(), FakeUpstream::start());
    let hale = three(&first, &f, &z, json!({"fallbacks": [{"g": ["z"]}]})).start();
    let asked = |fallbacks: Value| {
        let mut body = openai::chat_request("g", "hi");
        body["fallbacks"] = fallbacks;
        chat_with(&hale, &[], &body)
    };
    let other = json!([{"role": "user", "content": "shorter"}]);
    let answer = asked(json!([{"model": "f", "messages": other, "temperature": 0.5}]));
    assert_eq!(answer.header("x-litellm-model-group"), Some("f"));
    let sent = f.request(0).json();
    assert_eq!((&sent["messages"], &sent["temperature"]), (&other, &json!(0.5)));
    assert_eq!(sent["model"], "gpt-4o");
    assert_eq!(asked(json!([{"g": ["f"]}])).header("x-litellm-model-group"), Some("f"));
    assert_eq!(asked(json!(["nothing", "f"])).header("x-litellm-model-group"), Some("f"));
    let evil = asked(json!([{"model": "f", "api_base": "http://127.0.0.1:1"}]));
    expect_error(&evil, 400, "invalid_parameter");
    assert!(z.requests().is_empty(), "the client's list replaces the config's");
}

#[test]
fn groups_that_back_each_other_up_are_each_visited_once() {
    let (a, b, c) = (failing(500), failing(503), failing(500));
    let hale = three(
        &a,
        &b,
        &c,
        json!({"fallbacks": [{"g": ["f"]}, {"f": ["z"]}, {"z": ["g", "f"]}], "max_fallbacks": 5}),
    )
    .start();
    let error = expect_error(&chat(&hale, "g"), 500, "fallbacks_exhausted");
    assert_eq!(column(&error["attempts"], "model_group"), ["g", "f", "z"]);
    for upstream in [&a, &b, &c] {
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn a_chain_of_fallbacks_is_counted_exactly() {
    // Case 26: the reference reports 1.
    let (a, b, c) = (failing(500), failing(500), FakeUpstream::start());
    let hale = three(&a, &b, &c, json!({"fallbacks": [{"g": ["f"]}, {"f": ["z"]}]})).start();
    let answer = chat(&hale, "g");
    assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("2"));
    let bounded = three(&a, &b, &c, json!({"fallbacks": [{"g": ["f", "z"]}], "max_fallbacks": 1}));
    // Case 27: the number means what it says.
    expect_error(&chat(&bounded.start(), "g"), 500, "fallbacks_exhausted");
}

#[test]
fn a_fallback_key_is_found_with_and_without_the_provider() {
    // Case 83.
    let (a, f) = (failing(500), FakeUpstream::start());
    for key in ["g", "openai/g"] {
        let hale = three(&a, &f, &f, json!({"fallbacks": [{key: ["f"]}]})).start();
        assert_eq!(chat(&hale, "g").header("x-litellm-model-group"), Some("f"), "{key}");
    }
}

#[test]
fn a_later_tier_is_there_for_the_same_request_and_gets_nothing_else() {
    // Cases 19, 20 and 59.
    for status in [500, 404, 400] {
        let (one, two) = (failing(status), FakeUpstream::start());
        let hale = Config::new()
            .with("m", "first", &one, json!({"order": 1}))
            .with("m", "second", &two, json!({"order": 2}))
            .router(json!({"num_retries": 0}))
            .start();
        let answer = chat(&hale, "m");
        assert_eq!(answer.header("x-litellm-model-id"), Some("second"), "{status}");
        one.answer_with(Script::answer);
        two.answer_with(|_| Script::error(500, "not for you"));
        if status == 400 {
            for _ in 0..5 {
                assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("first"));
            }
        }
    }
}

#[test]
fn a_single_primary_cools_down_while_its_fallback_answers() {
    let (a, f) = (failing(503), FakeUpstream::start());
    let router = json!({"fallbacks": [{"g": ["f"]}], "num_retries": 0, "cooldown_time": 60});
    let hale = three(&a, &f, &f, router).start();
    for _ in 0..10 {
        assert_eq!(chat(&hale, "g").header("x-litellm-model-group"), Some("f"));
    }
    assert_eq!(a.requests().len(), 3, "three failures in a row");
    // With the fallback failing too, the primary is the least bad one again.
    f.answer_with(|_| Script::error(500, "boom"));
    a.answer_with(Script::answer);
    assert_eq!(chat(&hale, "g").status, 200);
}

#[test]
fn an_answer_that_the_filter_stopped_takes_the_policy_fallback() {
    // Case 73.
    let stopped = FakeUpstream::with(|_| {
        let mut body = openai::chat_completion("gpt-4o", "");
        body["choices"][0]["finish_reason"] = json!("content_filter");
        Script::ok().json(&body)
    });
    let (f, z) = (FakeUpstream::start(), FakeUpstream::start());
    let router = json!({"content_policy_fallbacks": [{"g": ["f"]}]});
    let hale = three(&stopped, &f, &z, router).start();
    let answer = chat(&hale, "g");
    assert_eq!(answer.header("x-litellm-model-group"), Some("f"), "{}", answer.text());
    let hale = three(&stopped, &f, &z, json!({"fallbacks": [{"g": ["f"]}]})).start();
    let answer = chat(&hale, "g");
    assert_eq!(answer.header("x-litellm-model-group"), Some("g"), "else it is the answer");
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn the_errors_on_the_way_are_shown_on_request() {
    // Case 13.
    let (a, f) = (failing(503), FakeUpstream::start());
    let hale = three(&a, &f, &f, json!({"fallbacks": [{"g": ["f"]}]})).start();
    let mut body = openai::chat_request("g", "hi");
    body["include_fallback_errors"] = json!(true);
    let answer = chat_with(&hale, &[], &body);
    let shown: Value =
        serde_json::from_str(answer.header("x-litellm-fallback-errors").unwrap()).unwrap();
    assert_eq!((&shown[0]["code"], &shown[0]["message"]), (&json!("503"), &json!("boom")));
    assert_eq!(chat(&hale, "g").header("x-litellm-fallback-errors"), None);
    body["mock_testing_fallbacks"] = json!(true);
    expect_error(&chat_with(&hale, &[], &body), 400, "forbidden_parameter");
}

#[test]
fn retry_policies_decide_by_the_kind_of_failure() {
    // Cases 45 and 68, and a group's own policy.
    let router = json!({
        "num_retries": 3,
        "disable_cooldowns": true,
        "retry_policy": {"RateLimitErrorRetries": 0, "InternalServerErrorRetries": 1},
    });
    let count = |status: u16, headers: &[(&str, &str)], more: Value| {
        let bad = failing(status);
        let hale = pair(&bad, &bad).router(router.clone()).router(more).start();
        chat_with(&hale, headers, &openai::chat_request("m", "hi"));
        bad.requests().len()
    };
    assert_eq!(count(429, &[], json!({})), 1);
    assert_eq!(count(500, &[], json!({})), 2);
    assert_eq!(count(500, &[("x-litellm-num-retries", "0")], json!({})), 1);
    let own = json!({"model_group_retry_policy": {"m": {"RateLimitErrorRetries": 1}}});
    assert_eq!(count(429, &[], own), 2);
}
