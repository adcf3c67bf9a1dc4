//! The pages about routing, and the header that shows the attempts of a request.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, chat, chat_with, client, column, expect_error, lone, pair};

#[test]
fn the_state_shows_why_and_until_when_a_deployment_cools_down() {
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
    assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"), "it is in cooldown");
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
    expect_error(&act("/router/deployments/no-such-id/reset"), 404, "unknown_deployment");
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
    assert_eq!(first["attempts"], 3, "one, its retry, and the second tier");
    assert_eq!(column(&first["candidates"], "deployment"), ["a", "b", "paused"]);
    assert_eq!(column(&first["candidates"], "state"), ["ready", "ready", "paused"]);
    assert_eq!(column(&first["candidates"], "timeout_s"), [5.0, 10.0, 10.0]);
    assert_eq!((&page["worst_case_s"], &page["deadline_s"]), (&json!(51.0), &json!(null)));
    let mut hurried = openai::chat_request("m", "hi");
    hurried["timeout"] = json!(3);
    assert_eq!(explain(hurried).json()["worst_case_s"], 3.0);
    expect_error(&explain(openai::chat_request("mm", "hi")), 400, "unknown_model");
    for upstream in [&a, &b, &f] {
        assert!(upstream.requests().is_empty());
    }
    let rerank = Config::new().with("r", "r", &a, json!({"model": "voyage/rerank-2.5"})).start();
    let chat = openai::chat_request("r", "hi");
    let page = client(&rerank).post_json("/router/explain", &[], &chat).json();
    let only = &page["groups"][0]["candidates"][0];
    assert_eq!(only["state"], "not_for_this_request", "a chat is no rerank: {only}");
    expect_error(&crate::support::chat(&rerank, "r"), 400, "missing_capability");
}

/// The excluded members of the next test's group: state, cause, and texts of the hint.
const REASONS: [(&str, &str, &str, &str); 9] = [
    ("broken", "misconfigured", "misconfigured", "NO_SUCH_KEY"),
    ("paused", "paused", "gateway", "`blocked`"),
    ("out", "disabled", "gateway", "an operator disabled it"),
    ("other", "not_for_this_request", "gateway", "its tags do not match"),
    ("short", "not_for_this_request", "context_window", "Max Input Tokens=50"),
    ("blind", "not_for_this_request", "bad_request", "supports_vision is false"),
    ("limited", "cooldown", "rate_limited", "as the provider asked"),
    ("busy", "at_limit", "gateway", "max_parallel_requests=1"),
    ("spent", "at_limit", "gateway", "rpm=1 is used up"),
];

/// A member of the next test's group.
fn entry(id: &str, up: &FakeUpstream, params: Value, info: Value) -> Value {
    let mut entry = json!({"model_name": "m", "model_info": {"id": id}, "litellm_params":
            {"model": "openai/gpt-4o", "api_key": format!("sk-{id}-0123456789"), "api_base": up.api_base(),
             "tags": ["mine"]}});
    for (part, more) in [("litellm_params", params), ("model_info", info)] {
        entry[part].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    entry
}

#[test]
fn an_explanation_has_the_reason_of_each_filter_and_what_each_attempt_may_take() {
    let (up, busy, limited) = (
        FakeUpstream::start(),
        FakeUpstream::with(|_| {
            Script::ok().wait("go").json(&openai::chat_completion("gpt-4o", "done"))
        }),
        FakeUpstream::with(|_| Script::rate_limited(60)),
    );
    let hale = Config::new()
        .entry(entry("broken", &up, json!({"api_key": "os.environ/NO_SUCH_KEY"}), json!({})))
        .entry(entry("paused", &up, json!({"blocked": true}), json!({})))
        .entry(entry("out", &up, json!({}), json!({})))
        .entry(entry("other", &up, json!({"tags": ["theirs"]}), json!({})))
        .entry(entry("short", &up, json!({}), json!({"max_input_tokens": 50})))
        .entry(entry("blind", &up, json!({}), json!({"supports_vision": false})))
        .entry(entry("limited", &limited, json!({}), json!({})))
        .entry(entry("busy", &busy, json!({"max_parallel_requests": 1}), json!({})))
        .entry(entry("spent", &up, json!({"rpm": 1}), json!({})))
        .entry(entry("well", &up, json!({"timeout": 7, "stream_timeout": 3}), json!({})))
        .router(json!({"enable_tag_filtering": true, "enable_pre_call_checks": true,
                       "num_retries": 0}))
        .start();
    let tagged = |model: &str| {
        let mut body = openai::chat_request(model, "hi");
        body["tags"] = json!(["mine"]);
        body
    };
    client(&hale).post_json("/router/deployments/out/disable", &[], &json!({}));
    chat_with(&hale, &[], &tagged("limited"));
    chat_with(&hale, &[], &tagged("spent"));
    let mut body = tagged("m");
    body["messages"] = json!([{"role": "user", "content": [
        {"type": "text", "text": "word ".repeat(100)},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]);
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| chat_with(&hale, &[], &tagged("busy")));
        busy.wait_for_requests(1);
        let asked = up.requests().len();
        let page = client(&hale).post_json("/router/explain", &[], &body).json();
        let state = client(&hale).get("/router/state").json();
        busy.release("go");
        assert_eq!(
            (under_way.join().unwrap().status, up.requests().len()),
            (200, asked),
            "nothing is sent"
        );
        let of = |id: &str| {
            let all = page["groups"][0]["candidates"].as_array().unwrap();
            all.iter().find(|one| one["deployment"] == id).unwrap().clone()
        };
        for (id, state, cause, hint) in REASONS {
            let one = of(id);
            assert_eq!((&one["state"], &one["cause"]), (&json!(state), &json!(cause)), "{id}");
            assert!(one["hint"].as_str().unwrap().contains(hint), "{one}");
            assert_eq!(one["in_safety_net"], json!(false), "{one}");
        }
        assert!((50..=60).contains(&of("limited")["retry_after_s"].as_u64().unwrap()));
        let well = of("well");
        assert_eq!(page["groups"][0]["candidates"][0], well, "who can be chosen comes first");
        assert_eq!((&well["state"], &well["in_safety_net"]), (&json!("ready"), &json!(true)));
        assert_eq!((&well["timeout_s"], &well["silence_s"]), (&json!(7.0), &json!(3.0)));
        assert!(well["score"].is_number() && well.get("hint").is_none(), "{well}");
        assert_eq!(page["strategy"], "simple-shuffle");
        let in_flight = column(&state["deployments"], "in_flight");
        assert_eq!(in_flight.iter().filter_map(Value::as_u64).sum::<u64>(), 1);
    });
}

#[test]
fn every_deployment_has_every_field_of_the_state() {
    let up = FakeUpstream::start();
    let hale = lone(&up).start();
    chat(&hale, "m");
    let state = client(&hale).get("/router/state").json();
    let one = &state["deployments"][0];
    for (field, expected) in [
        ("id", json!("a")),
        ("model_group", json!("m")),
        ("model", json!("openai/gpt-4o")),
        ("api_base", json!(up.api_base())),
        ("state", json!("ready")),
        ("cause", Value::Null),
        ("since", Value::Null),
        ("until", Value::Null),
        ("retry_after_s", Value::Null),
        ("provider_issued", json!(false)),
        ("last_errors", json!([])),
        ("failures_in_a_row", json!(0)),
        ("opens", json!(0)),
        ("opens_in_a_row", json!(0)),
        ("in_flight", json!(0)),
        // Counted only if something needs it: limits, or a strategy by usage.
        ("requests_this_minute", json!(0)),
        ("weight", json!(1.0)),
        ("ramp", json!(1.0)),
        ("successes", json!(1)),
        ("failures", json!({})),
        ("failure_penalty_ms", json!(0.0)),
    ] {
        assert_eq!(one.get(field), Some(&expected), "{field}");
    }
    assert!(one["expected_answer_ms"].is_number() && one["tokens_this_minute"].is_number());
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
fn a_client_that_asks_is_told_the_requests_route() {
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
