//! What single clients and requests do must not keep others from a deployment.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, KEY, chat, client, eventually, wait_until_idle};
use crate::timing::Stopwatch;

fn refusing(status: u16, error: Value) -> FakeUpstream {
    FakeUpstream::with(move |_| Script::with_status(status).json(&json!({"error": error})))
}

fn states(hale: &Hale) -> Vec<String> {
    let page = client(hale).get("/router/state").json();
    let list = page["deployments"].as_array().unwrap();
    list.iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

/// Answers chats; other paths get `status` and `message`.
fn chats_only(status: u16, message: &'static str) -> FakeUpstream {
    FakeUpstream::with(move |request| {
        if request.path.ends_with("/chat/completions") {
            return Script::answer(request);
        }
        let error = json!({
            "message": message, "type": "invalid_request_error", "param": null, "code": null
        });
        Script::with_status(status).json(&json!({"error": error}))
    })
}

/// Bodies: <https://github.com/diffbot/code-gpt-docs/issues/172>,
/// <https://github.com/infiniflow/ragflow/issues/1835>; the others are invented variants.
#[test]
fn a_404_for_the_wrong_endpoint_ejects_nothing() {
    for (status, message) in [
        (404, "This is a chat model and not supported in the v1/completions endpoint."),
        (403, "You are not allowed to generate embeddings from this model"),
        (404, "Nothing here"),
        (403, "Forbidden"),
    ] {
        let (a, b, other) =
            (chats_only(status, message), chats_only(status, message), FakeUpstream::start());
        let hale = Config::new()
            .deployment("m", "a", &a)
            .deployment("m", "b", &b)
            .deployment("f", "f", &other)
            .router(json!({"fallbacks": [{"m": ["f"]}], "cooldown_time": 60}))
            .start();
        for _ in 0..3 {
            client(&hale).post_json("/v1/completions", &[], &json!({"model": "m", "prompt": "x"}));
            client(&hale).post_json("/v1/embeddings", &[], &json!({"model": "m", "input": "x"}));
        }
        assert_eq!(states(&hale), ["ready"; 3], "{message}");
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-litellm-attempted-fallbacks"), Some("0"), "{message}");
    }
}

#[test]
fn a_model_that_an_account_may_not_use_cools_down_alone_behind_a_pattern() {
    let error = json!({
        "message": "Project `proj_x` does not have access to model `gpt-4`",
        "type": "invalid_request_error", "param": null, "code": "model_not_found",
    });
    let plain = json!({"message": "no", "type": "permission_error", "param": null, "code": null});
    for error in [error, plain] {
        let (a, b) = (refusing(403, error.clone()), refusing(403, error));
        let params = json!({"model": "openai/*"});
        let hale = Config::new()
            .with("openai/*", "a", &a, params.clone())
            .with("openai/*", "b", &b, params)
            .router(json!({"cooldown_time": 60}))
            .start();
        for _ in 0..3 {
            chat(&hale, "openai/gpt-4");
        }
        assert_eq!(states(&hale), ["ready"; 2]);
    }
}

#[test]
fn what_a_provider_repeats_of_the_request_is_not_evidence() {
    let error = json!({
        "message": "Invalid value: 'credit balance is too low'. Supported values are: 'system'.",
        "type": "invalid_request_error", "param": "messages[0].role", "code": "invalid_value",
    });
    let (a, b) = (refusing(400, error.clone()), refusing(400, error));
    let hale = Config::new()
        .deployment("m", "a", &a)
        .deployment("m", "b", &b)
        .router(json!({"cooldown_time": 60}))
        .start();
    assert_eq!(chat(&hale, "m").status, 400);
    assert_eq!(states(&hale), ["ready"; 2]);
}

/// Body: <https://github.com/TheR1D/shell_gpt/issues/653>.
#[test]
fn a_request_larger_than_a_minutes_tokens_ejects_nothing() {
    let too_large = |request: &hale_testkit::Request| {
        if request.text().len() < 3_000 {
            return Script::answer(request);
        }
        let error = json!({
            "message": "Request too large for gpt-4o in organization org-x on tokens per min (TPM): \
                        Limit 30000, Requested 50000. The input or output tokens must be reduced in \
                        order to run successfully.",
            "type": "tokens", "param": null, "code": "rate_limit_exceeded",
        });
        Script::with_status(429)
            .header("x-ratelimit-remaining-requests", "499")
            .header("x-ratelimit-reset-requests", "10s")
            .json(&json!({"error": error}))
    };
    let up = FakeUpstream::with(too_large);
    let hale = Config::new()
        .deployment("m", "a", &up)
        .deployment("m", "b", &up)
        .router(json!({"num_retries": 0, "cooldown_time": 60}))
        .start();
    let big = openai::chat_request("m", &"x".repeat(5_000));
    for _ in 0..2 {
        let answer = client(&hale).post_json(CHAT, &[], &big);
        assert_eq!(answer.json()["error"]["attempts"][0]["cause"], "context_window");
    }
    assert_eq!(states(&hale), ["ready"; 2]);
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn a_half_open_request_holds_its_permit_as_long_as_its_stream_may_take() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "x")), FakeUpstream::start());
    let hale = Config::new()
        .with("m", "bad", &bad, json!({"timeout": 0.01, "stream_timeout": 60}))
        .with("m", "good", &good, json!({"weight": 0, "timeout": 60}))
        .router(json!({"cooldown_time": 0.2}))
        .start();
    for _ in 0..3 {
        chat(&hale, "m");
    }
    bad.answer_with(|_| Script::silent());
    let before = bad.requests().len();
    let stream = openai::stream_request("m", "hi").to_string();
    let mut held = Vec::new();
    eventually("the half-open request is under way", || {
        let mut asking = hale.client_with_key(KEY);
        asking.send("POST", CHAT, &[], stream.as_bytes()).unwrap();
        held.push(asking);
        (bad.requests().len() > before).then_some(())
    });
    // Longer than the permit of a request without streaming.
    let from = Stopwatch::start();
    eventually("a second and a half passed", || {
        let mut asking = hale.client_with_key(KEY);
        asking.send("POST", CHAT, &[], stream.as_bytes()).unwrap();
        held.push(asking);
        (from.ms() > 1_500).then_some(())
    });
    assert_eq!(bad.requests().len() - before, 1, "one half-open request at a time");
}

#[test]
fn a_credentials_cooldown_outlasts_its_deployments_own() {
    let shared = FakeUpstream::with(|request| {
        if request.text().contains("\"model\":\"qa\"") {
            let error = json!({"message": "quota", "code": "insufficient_quota"});
            let script = Script::with_status(429).header("retry-after", "300");
            return script.json(&json!({"error": error}));
        }
        Script::error(500, "boom")
    });
    let good = FakeUpstream::start();
    let hale = Config::new()
        .with("ga", "a", &shared, json!({"model": "openai/qa"}))
        .with("gb", "b", &shared, json!({"model": "openai/qb"}))
        .with("gb", "g", &good, json!({"weight": 0, "api_key": "sk-another-0123456789"}))
        .router(json!({"cooldown_time": 0.2, "num_retries": 1}))
        .start();
    for _ in 0..3 {
        chat(&hale, "gb");
    }
    chat(&hale, "ga");
    let asked = shared.requests().len();
    let from = Stopwatch::start();
    eventually("the deployment's own cooldown is over", || {
        assert_eq!(chat(&hale, "gb").header("x-litellm-model-id"), Some("g"));
        (from.ms() > 600).then_some(())
    });
    assert_eq!(shared.requests().len(), asked, "no request is sent before the provider's time");
}

#[test]
fn an_estimate_calls_no_upstream_and_takes_no_place() {
    let up = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "a", &up, json!({"rpm": 1}))
        .router(json!({"optional_pre_call_checks": ["enforce_model_rate_limits"]}))
        .start();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for _ in 0..3 {
        let answer = client(&hale).post_json("/v1/messages/count_tokens", &[], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(up.requests().is_empty());
    wait_until_idle(&hale);
    let state = client(&hale).get("/router/state").json();
    assert_eq!(state["deployments"][0]["failures"], json!({}));
    assert_eq!(chat(&hale, "m").status, 200, "the minute's one request is left");
}
