//! Pass-through to a provider: any method and path, the operator's credential, the provider's own answer; health, retries and records as
//! for every other request.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{
    Config, KEY, LOG, UPSTREAM_KEY, client, eventually, expect_error, metric, wait_for_records,
};

/// A deployment of each provider.
fn providers(upstream: &FakeUpstream) -> Config {
    let entry = |id: &str, model: &str, base: String, more: Value| {
        let mut params = json!({"model": model, "api_base": base, "api_key": UPSTREAM_KEY});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"model_name": id, "litellm_params": params, "model_info": {"id": id}})
    };
    let version = json!({"api_version": "2024-10-21"});
    Config::new()
        .entry(entry("o", "openai/gpt-4o", upstream.api_base(), json!({})))
        .entry(entry("c", "anthropic/claude", upstream.url(), json!({})))
        .entry(entry("z", "azure/my-gpt", upstream.url(), version))
        .entry(entry("i", "mistral/small", upstream.api_base(), json!({})))
        .entry(entry("e", "gemini/gemini-2.5-flash", upstream.url(), json!({})))
        .entry(entry("h", "cohere/command-a", upstream.url(), json!({})))
        .entry(entry("g", "groq/llama", upstream.api_base(), json!({})))
        .general(json!({"request_log": LOG}))
        .router(json!({"num_retries": 1}))
}

fn echo() -> FakeUpstream {
    FakeUpstream::with(|request| {
        let seen = json!({"path": request.path, "method": request.method});
        Script::with_status(201)
            .header("x-request-id", "r-1")
            .header("set-cookie", "a=b")
            .json(&seen)
    })
}

fn send(hale: &Hale, method: &str, path: &str, body: &[u8]) -> Response {
    client(hale).request(method, path, &[("content-type", "application/json")], body)
}

#[test]
fn any_method_and_path_reach_the_provider_with_its_own_credential() {
    let upstream = echo();
    let hale = providers(&upstream).start();
    for (path, expected, id) in [
        ("/openai/v1/fine_tuning/jobs?limit=2", "/v1/fine_tuning/jobs?limit=2", "o"),
        ("/openai/fine_tuning/jobs", "/v1/fine_tuning/jobs", "o"),
        ("/openai/v1/chat/completions", "/v1/chat/completions", "o"),
        ("/anthropic/v1/messages/batches", "/v1/messages/batches", "c"),
        ("/anthropic/v1/models?api_key=x&limit=1", "/v1/models?limit=1", "c"),
        (
            "/azure/openai/deployments/my-gpt/images/generations?api-version=2024-10-21",
            "/openai/deployments/my-gpt/images/generations?api-version=2024-10-21",
            "z",
        ),
        ("/mistral/v1/fim/completions", "/v1/fim/completions", "i"),
        ("/gemini/v1beta/models?key=x&pageSize=2", "/v1beta/models?pageSize=2", "e"),
        (
            "/gemini/v1/models/gemini-2.5-flash:countTokens",
            "/v1/models/gemini-2.5-flash:countTokens",
            "e",
        ),
        ("/gemini/v1alpha/cachedContents", "/v1alpha/cachedContents", "e"),
        ("/gemini/cachedContents/1", "/v1beta/cachedContents/1", "e"),
        ("/cohere/v1/models", "/v1/models", "h"),
        ("/cohere/v2/embed", "/v2/embed", "h"),
        ("/cohere/embed-jobs", "/v2/embed-jobs", "h"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let body: &[u8] =
                if method == "GET" { b"" } else { b"{\"a\": 1,  \"api_base\":\"kept\"}" };
            let answer = send(&hale, method, path, body);
            assert_eq!(answer.status, 201, "{method} {path}: {}", answer.text());
            assert_eq!(answer.header("x-litellm-model-id"), Some(id), "{path}");
            assert_eq!(answer.header("x-request-id"), Some("r-1"));
            assert_eq!(answer.header("set-cookie"), None);
            let state = upstream.state();
            let sent = state.requests.last().unwrap();
            assert_eq!((&*sent.method, &*sent.body), (method, body), "{path}");
            assert_eq!(sent.path, expected);
            let all = format!("{:?}", sent.headers);
            assert!(all.contains(UPSTREAM_KEY) && !all.contains(KEY), "{all}");
        }
    }
}

#[test]
fn an_endpoint_of_the_gateway_under_the_same_name_comes_first() {
    let upstream = FakeUpstream::with(|request| match &*request.path {
        "/v1/messages" => anthropic::answer(request),
        _ => openai::answer(request),
    });
    let hale = providers(&upstream).start();
    let messages =
        client(&hale).post_json("/anthropic/v1/messages", &[], &anthropic::request("o", "hi"));
    assert_eq!(messages.status, 200, "translated for a provider of another wire");
    assert_eq!(upstream.state().requests[0].path, "/v1/chat/completions");
    let azure_client = client(&hale).post_json(
        "/openai/deployments/c/chat/completions?api-version=2024-10-21",
        &[],
        &openai::chat_request("x", "hi"),
    );
    assert_eq!(azure_client.status, 200, "{}", azure_client.text());
    assert_eq!(upstream.state().requests[1].path, "/v1/messages");
}

#[test]
fn what_the_provider_says_to_a_request_is_relayed_and_no_deployment_is_blamed() {
    let refusal = json!({"error": {"message": "no such job", "code": "not_found", "own": [1]}});
    let body = refusal.clone();
    let upstream = FakeUpstream::with(move |request| {
        let status = request.path.split_once('?').map_or("404", |(_, query)| query);
        let status = status.parse().unwrap();
        Script::with_status(status).header("x-own", "yes").json(&body)
    });
    let hale = providers(&upstream).start();
    for (at, status) in [400, 403, 404, 409, 422, 501].into_iter().enumerate() {
        for _ in 0..4 {
            let answer = send(&hale, "POST", &format!("/openai/v1/jobs?{status}"), b"{}");
            assert_eq!((answer.status, answer.json()), (status, refusal.clone()), "{status}");
            assert_eq!(answer.header("x-own"), Some("yes"));
        }
        assert_eq!(upstream.state().requests.len(), 4 * (at + 1), "nothing is repeated");
    }
    let state = client(&hale).get("/router/state").json();
    assert_eq!(state["deployments"][0]["state"], "ready", "{}", state["deployments"][0]);
    let records = wait_for_records(&hale, 24);
    assert_eq!(
        (&records[0]["status"], &records[0]["operation"]),
        (&json!(400), &json!("pass_through"))
    );
    assert_eq!(records[0]["deployment"], "o");
}

fn pair(bad: &FakeUpstream, good: &FakeUpstream) -> Hale {
    let of = |weight: u32| json!({"weight": weight});
    Config::new()
        .with("m", "bad", bad, of(1))
        .with("m", "good", good, of(0))
        .router(json!({"num_retries": 2}))
        .start()
}

#[test]
fn a_failing_deployment_is_left_where_that_is_safe() {
    for (status, method, moves) in [
        (500, "GET", true),
        (503, "DELETE", true),
        (401, "POST", true),
        (429, "POST", true),
        (500, "POST", false),
        (502, "PATCH", false),
    ] {
        let bad = FakeUpstream::with(move |_| Script::error(status, "down"));
        let good = echo();
        let hale = pair(&bad, &good);
        let answer = send(&hale, method, "/openai/v1/jobs/j-1", b"");
        let called = good.state().requests.len();
        assert_eq!(bad.state().requests.len(), 1, "{status} {method}");
        match moves {
            true => assert_eq!((answer.status, called), (201, 1), "{status}: {}", answer.text()),
            false => {
                assert_eq!((answer.status, called), (status, 0), "{}", answer.text());
                assert_eq!(answer.header("x-should-retry"), Some("false"));
                assert!(answer.text().contains("may have carried it out"), "{}", answer.text());
            }
        }
        assert!(!answer.text().contains(UPSTREAM_KEY));
    }
}

#[test]
fn a_deployment_that_keeps_failing_cools_down_for_pass_through_and_chat_alike() {
    let bad = FakeUpstream::with(|_| Script::error(500, "down"));
    let good = FakeUpstream::start();
    let hale = pair(&bad, &good);
    for _ in 0..4 {
        send(&hale, "GET", "/openai/v1/jobs", b"");
    }
    let before = bad.state().requests.len();
    let chat = crate::support::chat(&hale, "m");
    assert_eq!(chat.header("x-litellm-model-id"), Some("good"), "{}", chat.text());
    assert_eq!(bad.state().requests.len(), before);
}

#[test]
fn events_and_uploads_pass_as_they_come() {
    let upstream = FakeUpstream::with(|request| match &*request.method {
        "POST" => Script::ok()
            .stream()
            .data("{\"n\":1}")
            .wait("go")
            .data("{\"n\":2}")
            .data("[DONE]")
            .end(),
        _ => Script::ok().body("application/octet-stream", request.body.clone()),
    });
    let hale = providers(&upstream).start();
    let mut reader = client(&hale);
    let mut stream = reader.stream("/mistral/v1/agents/completions", &[], &json!({"stream": true}));
    assert_eq!(stream.next_event().unwrap().data, "{\"n\":1}", "before the second exists");
    upstream.release("go");
    let others: Vec<String> = stream.remaining().into_iter().map(|event| event.data).collect();
    assert_eq!(others, ["{\"n\":2}", "[DONE]"]);
    let large: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let answer = client(&hale).request(
        "PUT",
        "/openai/v1/uploads/u/parts",
        &[("content-type", "application/octet-stream")],
        &large,
    );
    assert_eq!((answer.status, answer.body == large), (200, true));
    eventually("all memory is given back", || {
        (metric(&hale, "hale_buffered_bytes", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_body_that_asks_for_guardrails_is_refused_before_any_call() {
    let upstream = echo();
    let hale = providers(&upstream).start();
    let large = "x".repeat(600_000);
    for (body, field) in [
        (json!({"model": "m", "guardrails": ["pii"]}), "guardrails"),
        (json!({"metadata": {"guardrails": ["pii"]}}), "metadata"),
        (json!({"input": large, "guardrails": ["pii"]}), "guardrails"),
    ] {
        let answer = send(&hale, "POST", "/openai/v1/jobs", body.to_string().as_bytes());
        let error = expect_error(&answer, 400, "unserved_parameter");
        assert_eq!(error["param"], field);
    }
    assert!(upstream.requests().is_empty());
    // The word alone, and what asks for nothing, are the client's own.
    for body in [
        r#"{"input":"guardrails"}"#,
        r#"{"guardrails":[]}"#,
        r#"{"deep":{"guardrails":["x"]}}"#,
        "not json, guardrails",
    ] {
        assert_eq!(send(&hale, "POST", "/openai/v1/jobs", body.as_bytes()).status, 201, "{body}");
    }
}

#[test]
fn only_deployments_of_the_named_provider_are_called() {
    let (of_openai, of_groq) = (echo(), echo());
    let groq = json!({
        "model_name": "m", "model_info": {"id": "g"},
        "litellm_params": {"model": "groq/x", "api_base": of_groq.api_base(), "api_key": "sk-groq"},
    });
    let hale = Config::new().deployment("m", "o", &of_openai).entry(groq).start();
    for _ in 0..12 {
        assert_eq!(send(&hale, "GET", "/openai/v1/jobs", b"").status, 201);
    }
    let named = send(&hale, "POST", "/openai/v1/x", br#"{"model":"m"}"#);
    assert_eq!(named.header("x-litellm-model-id"), Some("o"));
    assert_eq!(of_groq.state().opened(), 0);
    let missing = send(&hale, "GET", "/mistral/v1/models", b"");
    expect_error(&missing, 404, "no_such_provider");
    let of_anthropic = send(&hale, "GET", "/anthropic/v1/files", b"");
    assert_eq!((of_anthropic.status, of_anthropic.json()["type"].clone()), (404, json!("error")));
    let unknown = send(&hale, "GET", "/groq/v1/models", b"");
    expect_error(&unknown, 404, "unknown_route");
}

#[test]
fn the_model_that_path_or_body_names_chooses_the_deployment() {
    let (first, second) = (echo(), echo());
    let hale = Config::new()
        .with("one", "a", &first, json!({"model": "openai/gpt-4o"}))
        .with("two", "b", &second, json!({"model": "openai/gpt-5"}))
        .start();
    for (body, header, id) in [
        (&br#"{"model":"two"}"#[..], None, "b"),
        (br#"{"model":"gpt-5"}"#, None, "b"),
        (br#"{"model":"one"}"#, None, "a"),
        (br#"{"model":"nothing-like-it"}"#, None, "a"),
        (b"no json", None, "a"),
        (b"", Some("two"), "b"),
    ] {
        let headers: Vec<(&str, &str)> =
            header.map(|name| ("x-litellm-model", name)).into_iter().collect();
        let answer = client(&hale).request("POST", "/openai/v1/x", &headers, body);
        assert_eq!(
            answer.header("x-litellm-model-id"),
            Some(id),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn odd_paths_wrong_keys_and_websockets_are_refused_before_any_provider_is_called() {
    let upstream = echo();
    let hale = providers(&upstream).start();
    for path in [
        "/openai/v1/../admin",
        "/openai/v1/%2e%2e/admin",
        "/openai/v1/..%2fadmin",
        "/openai/v1%5cadmin",
        "/azure//evil.example/x",
    ] {
        let answer = send(&hale, "GET", path, b"");
        expect_error(&answer, 400, "invalid_path");
    }
    let stranger = hale.client().request("GET", "/openai/v1/models/x/y", &[], b"");
    expect_error(&stranger, 401, "missing_api_key");
    let handshake = [("connection", "Upgrade"), ("upgrade", "websocket")];
    let socket = client(&hale).request("GET", "/openai/v1/x", &handshake, b"");
    expect_error(&socket, 426, "no_websocket");
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_deadline_of_the_client_bounds_what_is_passed_through() {
    let silent = FakeUpstream::with(|_| Script::ok().delay(Duration::from_secs(60)));
    let hale = providers(&silent).start();
    let headers = [("x-litellm-timeout", "0.2")];
    let answer = client(&hale).request("GET", "/openai/v1/jobs", &headers, b"");
    assert_eq!(answer.status, 408, "{}", answer.text());
}
