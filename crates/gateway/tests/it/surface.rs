//! The HTTP surface as clients of LiteLLM expect it: paths, keys in headers, headers of answers, and what an unknown request is
//! told.

use hale_testkit::{Client, FakeUpstream, Hale, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, chat_with, client, expect_error, lone, pair,
};

const MESSAGES: &str = "/v1/messages";
const FOREIGN: &str = "Bearer sk-ant-oat01-a-subscription";

fn both(upstream: &FakeUpstream) -> Config {
    let claude = json!({
        "model_name": "claude", "model_info": {"id": "c"},
        "litellm_params": {"model": "anthropic/x", "api_base": upstream.url(), "api_key": UPSTREAM_KEY},
    });
    Config::new().deployment("m", "a", upstream).entry(claude)
}

fn by_path() -> FakeUpstream {
    FakeUpstream::with(|request| match &*request.path {
        MESSAGES => anthropic::answer(request),
        _ => openai::answer(request),
    })
}

fn keyless(hale: &Hale) -> Client {
    hale.client()
}

#[test]
fn a_subscription_of_an_agent_may_stand_beside_the_gateways_key() {
    let upstream = by_path();
    let hale = both(&upstream).start();
    let hi = json!([{"role": "user", "content": "hi"}]);
    for (path, model) in [(CHAT, "m"), (CHAT, "claude"), (MESSAGES, "claude"), (MESSAGES, "m")] {
        for stream in [false, true] {
            let body = json!({"model": model, "messages": hi, "max_tokens": 9, "stream": stream});
            for own in ["x-litellm-api-key", "x-api-key", "api-key", "x-goog-api-key"] {
                for value in [KEY.to_owned(), format!("Bearer {KEY}")] {
                    let headers = [("authorization", FOREIGN), (own, &*value)];
                    let answer = keyless(&hale).post_json(path, &headers, &body);
                    assert_eq!(answer.status, 200, "{path} {own}: {}", answer.text());
                }
            }
        }
    }
    for request in &upstream.state().requests {
        let all = format!("{:?}", request.headers);
        assert!(!all.contains("sk-ant-oat01") && !all.contains(KEY), "{all}");
    }
}

#[test]
fn a_wrong_key_in_the_gateways_own_header_is_not_overruled() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let right = format!("Bearer {KEY}");
    for headers in [
        [("x-litellm-api-key", "sk-wrong"), ("authorization", &*right)],
        [("authorization", "Bearer sk-wrong"), ("x-api-key", KEY)],
    ] {
        let answer = keyless(&hale).post_json(CHAT, &headers, &openai::chat_request("m", "hi"));
        expect_error(&answer, 401, "invalid_api_key");
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn clients_with_the_address_of_a_pass_through_or_of_the_queue_are_served() {
    let upstream = by_path();
    let hale = both(&upstream).start();
    for model in ["m", "claude"] {
        let answer = client(&hale).post_json(
            "/anthropic/v1/messages?beta=true",
            &[("anthropic-version", "2023-06-01")],
            &anthropic::request(model, "hi"),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["type"], "message");
    }
    let wrong = client(&hale).post_json("/anthropic/v1/messages", &[], &json!({"model": "m"}));
    assert_eq!((wrong.status, wrong.json()["type"].clone()), (400, json!("error")));
    let queued =
        client(&hale).post_json("/queue/chat/completions", &[], &openai::chat_request("m", "hi"));
    assert_eq!(queued.status, 200, "{}", queued.text());
}

#[test]
fn the_list_of_routes_and_a_look_at_the_root_need_no_key() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let routes = keyless(&hale).get("/routes");
    assert_eq!(routes.status, 200);
    assert!(routes.json()["routes"].as_array().unwrap().len() > 20);
    let root = keyless(&hale).request("HEAD", "/", &[], b"");
    assert_eq!((root.status, root.text().len()), (200, 0));
    assert_eq!(keyless(&hale).get("/v1/models").status, 401);
}

#[test]
fn the_settings_of_routing_are_shown_to_the_operator() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .router(json!({"num_retries": 7, "fallbacks": [{"m": ["m"]}], "timeout": 1.5}))
        .start();
    let page = client(&hale).get("/router/settings");
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    let values = &page["current_values"];
    assert_eq!(values["num_retries"], 7);
    assert_eq!(values["timeout"], 1.5);
    assert_eq!(values["routing_strategy"], "simple-shuffle");
    let fields = page["fields"].as_array().unwrap();
    let field = |name: &str| fields.iter().find(|one| one["field_name"] == name).unwrap();
    assert_eq!(field("num_retries")["field_value"], 7);
    assert_eq!(field("num_retries")["field_type"], "Integer");
    let options = field("routing_strategy")["options"].as_array().unwrap();
    assert!(options.contains(&json!("health-aware")));
    assert!(page["routing_strategy_descriptions"]["least-busy"].is_string());
    assert_eq!(keyless(&hale).get("/router/settings").status, 401);
}

#[test]
fn several_models_at_once_are_refused_by_name_everywhere() {
    let upstream = FakeUpstream::start();
    let star = json!({
        "model_name": "*", "model_info": {"id": "s"},
        "litellm_params": {"model": "openai/*", "api_base": upstream.api_base(), "api_key": UPSTREAM_KEY},
    });
    let hale = both(&upstream).entry(star).start();
    for (path, body) in [
        (CHAT, json!({"messages": [{}]})),
        (MESSAGES, json!({"messages": [{}], "max_tokens": 9})),
        ("/v1/embeddings", json!({"input": "x"})),
        ("/v1/responses", json!({"input": "x"})),
        ("/v1/completions", json!({"prompt": "x", "stream": true})),
    ] {
        let mut body = body;
        body["model"] = json!("m,claude");
        let answer = client(&hale).post_json(path, &[], &body);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert!(answer.text().contains("names several models (m,claude)"), "{}", answer.text());
    }
    let by_path = client(&hale).post_json(
        "/openai/deployments/m,claude/chat/completions",
        &[],
        &json!({"messages": [{}]}),
    );
    expect_error(&by_path, 400, "several_models");
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_websocket_handshake_on_a_path_without_one_is_told_to_use_http() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let handshake = [
        ("connection", "Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("openai-beta", "responses_websockets=2026-02-06"),
    ];
    for path in ["/v1/responses", "/responses", "/openai/v1/responses", CHAT, MESSAGES] {
        let answer = client(&hale).request("GET", path, &handshake, b"");
        assert_eq!(answer.status, 426, "{path}: {}", answer.text());
        assert!(answer.text().contains("send POST over HTTP"), "{}", answer.text());
        assert_eq!(answer.header("upgrade"), Some("HTTP/1.1"));
    }
    for path in
        ["/v1/models", "/models", "/model/info", "/health", "/router/state", "/routes", "/v1/files"]
    {
        let answer = client(&hale).request("GET", path, &handshake, b"");
        assert_eq!(answer.status, 426, "{path}: {}", answer.text());
        assert!(answer.text().contains("send GET over HTTP"), "{}", answer.text());
    }
    assert_eq!(client(&hale).request("GET", "/v1/models", &[], b"").status, 200);
    let plain = client(&hale).request("GET", "/v1/responses", &[], b"");
    expect_error(&plain, 405, "method_not_allowed");
    let unknown = client(&hale).request("GET", "/v1/nothing-like-it", &handshake, b"");
    expect_error(&unknown, 404, "unknown_route");
}

#[test]
fn a_request_in_a_foreign_format_is_told_its_name() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for (path, name) in [
        ("/v1/models/gpt-4o:generateAnswer", "Gemini"),
        ("/models/m:predict", "Gemini"),
        ("/model/m/converse", "Bedrock"),
        ("/api/chat", "Ollama"),
        ("/v2/chat", "Cohere"),
    ] {
        let answer = client(&hale).post_json(path, &[], &json!({"contents": []}));
        let error = expect_error(&answer, 404, "foreign_format");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(name) && message.contains("/v1/chat/completions"), "{message}");
    }
}

fn header(response: &Response, name: &str) -> Value {
    response.header(name).map_or(Value::Null, |value| json!(value))
}

#[test]
fn an_answer_names_the_model_of_its_deployment() {
    let upstream = by_path();
    let star = json!({
        "model_name": "groq/*", "model_info": {"id": "s"},
        "litellm_params": {"model": "groq/*", "api_base": upstream.api_base(), "api_key": UPSTREAM_KEY},
    });
    let hale = both(&upstream).entry(star).start();
    for (model, name) in
        [("m", "openai/gpt-4o"), ("claude", "anthropic/x"), ("groq/llama", "groq/llama")]
    {
        assert_eq!(header(&chat(&hale, model), "x-litellm-model-name"), name, "{model}");
        let mut reader = client(&hale);
        let stream = reader.stream(CHAT, &[], &openai::stream_request(model, "hi"));
        assert_eq!(stream.header("x-litellm-model-name"), Some(name), "{model} streamed");
    }
}

#[test]
fn a_failure_names_its_time_limit_and_a_retry_the_most_retries() {
    let bad = FakeUpstream::with(|_| Script::error(500, "no"));
    let good = FakeUpstream::start();
    let hale = lone(&bad).router(json!({"num_retries": 0, "timeout": 12.5})).start();
    let failed = chat(&hale, "m");
    assert_eq!(failed.status, 500, "{}", failed.text());
    assert_eq!(header(&failed, "x-litellm-timeout"), "12.500");
    let unknown = chat(&hale, "no-such-model");
    assert_eq!(header(&unknown, "x-litellm-timeout"), Value::Null, "no attempt was made");
    let hale = pair(&bad, &good).router(json!({"num_retries": 4})).start();
    let retried = chat(&hale, "m");
    assert_eq!(header(&retried, "x-litellm-attempted-retries"), "1");
    assert_eq!(header(&retried, "x-litellm-max-retries"), "4");
    assert_eq!(header(&retried, "x-litellm-timeout"), Value::Null);
    let mut body = openai::chat_request("m", "hi");
    body["num_retries"] = json!(2);
    let asked = chat_with(&hale, &[], &body);
    assert_eq!(asked.status, 200);
    if asked.header("x-litellm-attempted-retries") == Some("1") {
        assert_eq!(header(&asked, "x-litellm-max-retries"), "2");
    }
}

#[test]
fn a_refusal_whose_cause_does_not_pass_tells_the_sdks_not_to_try_again() {
    let large = "x".repeat(4 << 10);
    let upstream = FakeUpstream::with(move |request| match &*request.path {
        MESSAGES => Script::ok().json(&anthropic::message("x", &large)),
        _ => Script::ok().json(&openai::chat_completion("m", &large)),
    });
    let unset = |name: &str| json!({"api_key": format!("os.environ/HALE_TEST_{name}_IS_NOT_SET")});
    let misconfigured = Config::new()
        .with("m", "a", &upstream, unset("A"))
        .with("m", "b", &upstream, unset("B"))
        .deployment("other", "o", &upstream)
        .start();
    let disabled = lone(&upstream).start();
    let off = client(&disabled).request("POST", "/router/deployments/a/disable", &[], b"");
    assert_eq!(off.status, 200, "{}", off.text());
    let paused = Config::new().with("m", "a", &upstream, json!({"blocked": true})).start();
    let limited = lone(&upstream).general(json!({"max_response_size_mb": 0.001})).start();
    let hi = json!([{"role": "user", "content": "hi"}]);
    let ask = |hale: &Hale, path: &str, stream: bool| {
        let body = json!({"model": "m", "messages": hi, "max_tokens": 9, "stream": stream});
        client(hale).post_json(path, &[], &body)
    };
    for (hale, statuses) in [
        (&misconfigured, [503, 503]),
        (&disabled, [503, 403]),
        (&paused, [403, 403]),
        (&limited, [502, 502]),
    ] {
        for (path, stream) in [(CHAT, false), (CHAT, true), (MESSAGES, false), (MESSAGES, true)] {
            let answer = ask(hale, path, stream);
            let told = (header(&answer, "x-should-retry"), header(&answer, "retry-after"));
            assert!(statuses.contains(&answer.status), "{path}: {}", answer.text());
            assert_eq!(told, (json!("false"), Value::Null), "{path}: {}", answer.text());
        }
    }
    let failing = FakeUpstream::with(|_| Script::error(503, "busy"));
    let passes = lone(&failing).router(json!({"num_retries": 0})).start();
    let answer = ask(&passes, CHAT, false);
    assert_eq!((answer.status, header(&answer, "x-should-retry")), (503, Value::Null));
}

#[test]
fn an_attempts_timeout_that_is_the_last_error_is_408_in_every_format() {
    let silent = FakeUpstream::with(|_| Script::silent());
    let hale = both(&silent).router(json!({"timeout": 0.2, "num_retries": 0})).start();
    let hi = json!([{"role": "user", "content": "hi"}]);
    for (path, model) in [(CHAT, "m"), (CHAT, "claude"), (MESSAGES, "claude"), (MESSAGES, "m")] {
        for stream in [false, true] {
            let body = json!({"model": model, "messages": hi, "max_tokens": 9, "stream": stream});
            let answer = client(&hale).post_json(path, &[], &body);
            assert_eq!(answer.status, 408, "{path} {model}: {}", answer.text());
            assert!(answer.text().contains("timeout"), "{}", answer.text());
            assert_eq!(header(&answer, "x-litellm-timeout"), "0.200");
        }
    }
}
