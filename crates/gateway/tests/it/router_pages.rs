//! The pages about routing, and the header that says which way a request took.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::json;

use crate::support::{Config, chat, chat_with, client, column, expect_error, lone, pair};

#[test]
fn the_state_shows_why_and_until_when_a_deployment_rests() {
    let (bad, good) = (FakeUpstream::with(|_| Script::rate_limited(30)), FakeUpstream::start());
    let hale = pair(&bad, &good).start();
    chat(&hale, "m");
    let state = client(&hale).get("/router/state");
    assert_eq!(state.status, 200, "{}", state.text());
    let state = state.json();
    assert_eq!(state["strategy"], "simple-shuffle");
    let [bad, good] = &state["deployments"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!(
        (&bad["id"], &bad["state"], &bad["cause"]),
        (&json!("bad"), &json!("cooldown"), &json!("rate_limited"))
    );
    assert_eq!(
        (&bad["provider_issued"], &bad["opens"], &bad["last_status"]),
        (&json!(true), &json!(1), &json!(429))
    );
    assert!(bad["until"].as_u64().unwrap() >= bad["since"].as_u64().unwrap() + 29);
    assert_eq!(column(&bad["last_errors"], "cause"), ["rate_limited"]);
    assert_eq!(bad["failures"], json!({"rate_limited": 1}));
    assert_eq!(
        (&good["state"], &good["successes"], &good["in_flight"]),
        (&json!("ready"), &json!(1), &json!(0))
    );
    assert!(good["expected_answer_ms"].is_number());
}

#[test]
fn operators_take_out_let_in_and_reset() {
    let (one, two) = (FakeUpstream::with(|_| Script::rate_limited(60)), FakeUpstream::start());
    let hale = pair(&one, &two).start();
    let act = |path: &str| client(&hale).post_json(path, &[], &json!({}));
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"));
    one.answer_with(Script::answer);
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"), "it rests");
    let reset = act("/router/deployments/bad/reset");
    assert_eq!((reset.status, &reset.json()["state"]), (200, &json!("ready")));
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("bad"));
    assert_eq!(act("/router/deployments/bad/disable").json()["state"], "disabled");
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"));
    act("/router/deployments/good/disable");
    let error = expect_error(&chat(&hale, "m"), 403, "model_paused");
    assert_eq!(column(&error["deployments"], "state"), ["disabled", "disabled"]);
    act("/router/deployments/bad/reset");
    expect_error(&chat(&hale, "m"), 403, "model_paused");
    act("/router/deployments/bad/enable");
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("bad"));
    expect_error(&act("/router/deployments/nobody/reset"), 404, "unknown_deployment");
}

#[test]
fn an_explanation_names_candidates_reasons_and_times_and_sends_nothing() {
    let (a, b, f) = (FakeUpstream::start(), FakeUpstream::start(), FakeUpstream::start());
    let hale = Config::new()
        .with("m", "a", &a, json!({"order": 1, "timeout": 5}))
        .with("m", "b", &b, json!({"order": 2}))
        .with("m", "paused", &b, json!({"blocked": true}))
        .deployment("f", "c", &f)
        .deployment("long", "d", &f)
        .router(json!({
            "fallbacks": [{"m": ["f"]}], "context_window_fallbacks": [{"m": ["long"]}],
            "content_policy_fallbacks": [{"m": ["f", "long"]}], "num_retries": 1, "timeout": 10,
        }))
        .start();
    let explain = |body| client(&hale).post_json("/router/explain", &[], &body);
    let page = explain(openai::chat_request("m", "hi"));
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    assert_eq!(column(&page["groups"], "model_group"), ["m", "f"]);
    assert_eq!(page["context_window_fallbacks"], json!(["long"]));
    assert_eq!(page["content_policy_fallbacks"], json!(["f", "long"]));
    let first = &page["groups"][0];
    assert_eq!(first["attempts"], 2);
    assert_eq!(column(&first["candidates"], "deployment"), ["a", "b", "paused"]);
    assert_eq!(column(&first["candidates"], "state"), ["ready", "ready", "paused"]);
    assert_eq!(column(&first["candidates"], "timeout_s"), [5.0, 10.0, 10.0]);
    assert_eq!((&page["worst_case_s"], &page["deadline_s"]), (&json!(40.5), &json!(null)));
    let mut hurried = openai::chat_request("m", "hi");
    hurried["timeout"] = json!(3);
    assert_eq!(explain(hurried).json()["worst_case_s"], 3.0);
    expect_error(&explain(openai::chat_request("mm", "hi")), 400, "unknown_model");
    for upstream in [&a, &b, &f] {
        assert!(upstream.requests().is_empty());
    }
}

#[test]
fn the_pages_are_for_the_master_key() {
    let up = FakeUpstream::start();
    let hale = lone(&up).start();
    for (method, path) in [
        ("GET", "/router/state"),
        ("POST", "/router/explain"),
        ("POST", "/router/deployments/a/disable"),
    ] {
        assert_eq!(hale.client().request(method, path, &[], b"{}").status, 401, "{path}");
    }
    let open = Config::open().deployment("m", "a", &up).start();
    expect_error(&open.client().get("/router/state"), 403, "admin_api_off");
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn who_asks_is_told_the_way_of_the_request() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let hale = pair(&bad, &good).start();
    let body = openai::chat_request("m", "hi");
    let answer = chat_with(&hale, &[("x-hale-explain", "1")], &body);
    let route = answer.header("x-hale-route").unwrap();
    assert!(
        route.starts_with("m/bad=500 server_error ") && route.ends_with("; m/good=ok"),
        "{route}"
    );
    assert_eq!(chat(&hale, "m").header("x-hale-route"), None);
    good.answer_with(|_| Script::error(503, "boom"));
    let failed =
        chat_with(&hale, &[("x-hale-explain", "1"), ("x-litellm-num-retries", "0")], &body);
    assert!(failed.header("x-hale-route").unwrap().ends_with("no answer"));
}
