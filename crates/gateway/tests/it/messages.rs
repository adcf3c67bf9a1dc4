//! `/v1/messages`: Anthropic clients, Anthropic providers, and the other format on either side.

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, LOG, UPSTREAM_KEY, blamed, client, expect_error, metric, wait_for_records,
};

const MESSAGES: &str = "/v1/messages";
const COUNT: &str = "/v1/messages/count_tokens";

/// A deployment `claude` of group `m` at an Anthropic upstream.
fn claude(upstream: &FakeUpstream) -> Config {
    with_params(upstream, json!({}))
}

fn with_params(upstream: &FakeUpstream, more: Value) -> Config {
    let mut params = json!({"model": "anthropic/claude-sonnet-4-5"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Config::new().with("m", "claude", upstream, params)
}

fn fake_claude() -> FakeUpstream {
    FakeUpstream::with(anthropic::answer)
}

#[track_caller]
fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

fn hello() -> Value {
    anthropic::request("m", "hi")
}

/// The events of a stream until its body ends: their names and data.
#[track_caller]
fn events(hale: &Hale, path: &str, body: &Value) -> Vec<(Option<String>, String)> {
    let mut client = client(hale);
    let mut stream = client.stream(path, &[], body);
    let mut all = Vec::new();
    while let Some(event) = stream.next_event() {
        if event.comment.is_none() {
            all.push((event.name, event.data));
        }
    }
    all
}

fn kinds(events: &[(Option<String>, String)]) -> Vec<String> {
    events.iter().map(|(name, _)| name.clone().unwrap_or_default()).collect()
}

/// The Anthropic error of an answer, checked for its shape.
#[track_caller]
fn refusal(response: &Response, status: u16, kind: &str, reason: &str) -> Value {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(response.json()["type"], "error", "{}", response.text());
    let error = response.json()["error"].clone();
    assert_eq!((&error["type"], &error["reason"]), (&json!(kind), &json!(reason)), "{error}");
    error
}

#[test]
fn between_equal_formats_the_bytes_pass_and_the_key_is_exchanged() {
    let upstream = fake_claude();
    let hale = claude(&upstream).start();
    let body = "{ \"max_tokens\":5 ,\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}],\n\
                \"model\" : \"m\", \"top_k\": 1.50 }";
    let headers = [
        ("content-type", "application/json"),
        ("x-api-key", KEY),
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "b-2, a-1"),
        ("anthropic-dangerous-direct-browser-access", "true"),
    ];
    let answer = hale.client().request("POST", "/v1/messages?beta=true", &headers, body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), anthropic::message("m", anthropic::TEXT));
    let request = upstream.request(0);
    assert_eq!(request.path, MESSAGES);
    assert_eq!(request.text(), body.replace("\"m\"", "\"claude-sonnet-4-5\""));
    assert_eq!(request.header("x-api-key"), Some(UPSTREAM_KEY));
    assert_eq!(request.header("authorization"), None);
    assert_eq!(request.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(request.header("anthropic-beta"), Some("a-1,b-2"));
    assert_eq!(request.header("anthropic-dangerous-direct-browser-access"), None);
}

#[test]
fn what_the_gateway_writes_is_in_the_version_that_it_knows() {
    let upstream = fake_claude();
    let hale = with_params(
        &upstream,
        json!({"extra_headers": {"anthropic-beta": "z-1", "anthropic-version": "2023-06-01"}}),
    )
    .start();
    let headers = [("anthropic-version", "2026-10-21"), ("anthropic-beta", "a-1,z-1")];
    client(&hale).post_json(CHAT, &headers, &openai::chat_request("m", "hi"));
    let translated = upstream.request(0);
    assert_eq!(translated.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(translated.header("anthropic-beta"), Some("z-1"));
    client(&hale).post_json(MESSAGES, &headers, &hello());
    let passed = upstream.request(1);
    assert_eq!(passed.header("anthropic-version"), Some("2023-06-01"), "the config names it");
    assert_eq!(passed.header("anthropic-beta"), Some("a-1,z-1"));
}

#[test]
fn a_subscriptions_token_goes_as_a_bearer() {
    let upstream = fake_claude();
    let hale = with_params(&upstream, json!({"api_key": "sk-ant-oat01-0123456789"})).start();
    assert_eq!(post(&hale, MESSAGES, &hello()).status, 200);
    let request = upstream.request(0);
    assert_eq!(request.header("authorization"), Some("Bearer sk-ant-oat01-0123456789"));
    assert_eq!(request.header("x-api-key"), None);
    assert_eq!(request.header("anthropic-beta"), Some("oauth-2025-04-20"));
}

#[test]
fn the_base_may_be_written_with_its_version_or_its_path() {
    for path in ["", "/", "/v1", "/v1/messages"] {
        let upstream = fake_claude();
        let base = json!({"api_base": format!("{}{path}", upstream.url())});
        let hale = with_params(&upstream, base).start();
        assert_eq!(post(&hale, MESSAGES, &hello()).status, 200, "{path}");
        assert_eq!(upstream.request(0).path, MESSAGES);
    }
}

#[test]
fn a_stream_passes_and_its_usage_is_read() {
    let upstream = fake_claude();
    let hale = claude(&upstream).general(json!({"request_log": LOG})).start();
    let got = events(&hale, MESSAGES, &anthropic::stream_request("m", "hi"));
    let sent = anthropic::events("m", &["Hello", " from the", " fake Claude."]);
    let data: Vec<Value> =
        got.iter().map(|(_, data)| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(data, sent);
    let names: Vec<&str> = sent.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds(&got), names);
    let record = wait_for_records(&hale, 1).remove(0);
    assert_eq!(record["operation"], "messages");
    assert_eq!(record["ending"], "success");
    assert_eq!((&record["input_tokens"], &record["output_tokens"]), (&json!(9), &json!(7)));
    // 4 tokens of input, 2 read from the cache and 3 written to it, 7 of output.
    let cost = 4.0 * 3e-6 + 2.0 * 3e-7 + 3.0 * 3.75e-6 + 7.0 * 15e-6;
    assert!((record["cost_usd"].as_f64().unwrap() - cost).abs() < 1e-12, "{record}");
}

#[test]
fn both_formats_are_served_by_both_wires() {
    let (fake, openai_fake) = (fake_claude(), FakeUpstream::start());
    let hale = claude(&fake).deployment("g", "gpt", &openai_fake).start();
    let answer = post(&hale, CHAT, &openai::chat_request("m", "hi")).json();
    assert_eq!(answer["choices"][0]["message"]["content"], anthropic::TEXT);
    assert_eq!((&answer["model"], &answer["usage"]["prompt_tokens"]), (&json!("m"), &json!(9)));
    let mut body = hello();
    body["model"] = json!("g");
    let answer = post(&hale, MESSAGES, &body).json();
    assert_eq!(answer["content"][0]["text"], openai::TEXT);
    assert_eq!((&answer["model"], &answer["stop_reason"]), (&json!("g"), &json!("end_turn")));
    let got = events(&hale, CHAT, &openai::stream_request("m", "hi"));
    let chunks: Vec<Value> =
        got.iter().filter_map(|(_, data)| serde_json::from_str(data).ok()).collect();
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, anthropic::TEXT);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()), "it was not requested");
    assert_eq!(got.last().unwrap().1, "[DONE]");
    let got = events(&hale, MESSAGES, &anthropic::stream_request("g", "hi"));
    assert_eq!(kinds(&got).last().unwrap(), "message_stop");
    assert_eq!(openai_fake.request(1).json()["stream_options"]["include_usage"], true);
}

#[test]
fn nothing_of_a_failed_attempt_reaches_the_client() {
    let broken = || anthropic::stream(&[anthropic::start("x"), anthropic::text_start()]).close();
    for (path, body) in [
        (MESSAGES, anthropic::stream_request("m", "hi")),
        (CHAT, openai::stream_request("m", "hi")),
    ] {
        let upstream = fake_claude();
        upstream.push(broken());
        let hale = claude(&upstream).start();
        let got = events(&hale, path, &body);
        let starts = got.iter().filter(|(_, data)| {
            data.contains("message_start")
                || data.contains("\"role\":\"assistant\",\"content\":\"\"")
        });
        assert_eq!(starts.count(), 1, "{got:?}");
        assert_eq!(upstream.requests().len(), 2);
    }
}

#[test]
fn a_stream_that_breaks_after_content_says_so_in_the_clients_format() {
    let overloaded = anthropic::error("overloaded_error", "Overloaded");
    for in_band in [true, false] {
        let script = || {
            let said =
                [anthropic::start("x"), anthropic::text_start(), anthropic::text_delta("Hel")];
            let script = anthropic::stream(&said);
            if in_band { script.named_event("error", &overloaded).end() } else { script.close() }
        };
        let upstream = FakeUpstream::scripted([script(), script()]);
        let hale = claude(&upstream).router(json!({"num_retries": 0})).start();
        let got = events(&hale, MESSAGES, &anthropic::stream_request("m", "hi"));
        let (name, data) = got.last().unwrap();
        assert_eq!(name.as_deref(), Some("error"));
        let error: Value = serde_json::from_str(data).unwrap();
        assert_eq!(error["type"], "error");
        assert_eq!(error["error"]["reason"], "upstream_stream_interrupted");
        let expected = if in_band { "overloaded_error" } else { "api_error" };
        assert_eq!(error["error"]["type"], expected, "{data}");
        let got = events(&hale, CHAT, &openai::stream_request("m", "hi"));
        let (name, data) = got.last().unwrap();
        assert_eq!((name, data.starts_with("{\"error\":")), (&None, true), "{data}");
    }
}

#[test]
fn a_stream_without_its_last_event_is_closed_for_the_client() {
    let mut said = anthropic::events("x", &["Hello"]);
    said.pop();
    let upstream =
        FakeUpstream::scripted([anthropic::stream(&said).end(), anthropic::stream(&said).end()]);
    let hale = claude(&upstream).start();
    let got = events(&hale, MESSAGES, &anthropic::stream_request("m", "hi"));
    assert_eq!(kinds(&got).last().unwrap(), "message_stop");
    let got = events(&hale, CHAT, &openai::stream_request("m", "hi"));
    assert_eq!(got.last().unwrap().1, "[DONE]");
}

#[test]
fn every_refusal_has_the_clients_format() {
    let upstream = FakeUpstream::with(|_| {
        Script::with_status(529).json(&anthropic::error("overloaded_error", "Overloaded"))
    });
    let hale = claude(&upstream).router(json!({"num_retries": 0})).start();
    let error =
        refusal(&post(&hale, MESSAGES, &hello()), 529, "overloaded_error", "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "overloaded");
    expect_error(&post(&hale, CHAT, &openai::chat_request("m", "hi")), 529, "upstream_failed");
    let mut unknown = hello();
    unknown["model"] = json!("nope");
    refusal(&post(&hale, MESSAGES, &unknown), 400, "invalid_request_error", "unknown_model");
    let without = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let error = refusal(
        &post(&hale, MESSAGES, &without),
        400,
        "invalid_request_error",
        "missing_parameter",
    );
    assert_eq!(error["param"], "max_tokens");
    let keyless = hale.client().post_json(MESSAGES, &[], &hello());
    refusal(&keyless, 401, "authentication_error", "missing_api_key");
    let get = client(&hale).get(MESSAGES);
    refusal(&get, 405, "invalid_request_error", "method_not_allowed");
    let large = hale.client().get("/v1/messages/batches");
    refusal(&large, 404, "not_found_error", "unknown_route");
}

#[test]
fn an_untranslatable_request_is_refused_before_any_call_and_counts_against_no_deployment() {
    let (fake, spare) = (fake_claude(), FakeUpstream::start());
    let config = claude(&fake).deployment("spare", "gpt", &spare);
    let hale = config.start();
    let mut body = openai::chat_request("m", "hi");
    body["seed"] = json!(7);
    let error = expect_error(&post(&hale, CHAT, &body), 400, "unsupported_parameter");
    assert_eq!(error["param"], "seed");
    assert!(error["message"].as_str().unwrap().contains("drop_params"), "{error}");
    assert_eq!(error["attempts"][0]["status"], Value::Null);
    assert!(fake.requests().is_empty());
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[]), 0.0);
    // More often than any deployment may fail without being ejected.
    for _ in 0..10 {
        post(&hale, CHAT, &body);
    }
    assert_eq!(blamed(&hale), 0.0);
    let state = client(&hale).get("/router/state").json();
    for deployment in state["deployments"].as_array().unwrap() {
        assert_eq!((&deployment["state"], &deployment["opens"]), (&json!("ready"), &json!(0)));
        assert_eq!(deployment["failures_in_a_row"], 0, "{deployment}");
        let seen: Vec<&String> = deployment["failures"].as_object().unwrap().keys().collect();
        assert!(seen.is_empty() || seen == ["unsupported"], "{deployment}");
    }
    let embeddings = json!({"model": "m", "input": "hi"});
    expect_error(&post(&hale, "/v1/embeddings", &embeddings), 400, "missing_capability");
    // A group whose format can express it takes over.
    let hale = config.clone().router(json!({"fallbacks": [{"m": ["spare"]}]})).start();
    assert_eq!(post(&hale, CHAT, &body).json()["model"], "spare");
    // With `drop_params` it is dropped.
    let hale = config.litellm(json!({"drop_params": true})).start();
    assert_eq!(post(&hale, CHAT, &body).status, 200);
    assert!(fake.request(0).json().get("seed").is_none());
}

#[test]
fn a_request_may_leave_out_what_the_provider_does_not_know_for_itself_alone() {
    let fake = fake_claude();
    let hale = claude(&fake).start();
    let mut body = openai::chat_request("m", "hi");
    body["seed"] = json!(7);
    for value in [json!(false), json!(null), json!("x")] {
        body["drop_params"] = value;
        expect_error(&post(&hale, CHAT, &body), 400, "unsupported_parameter");
    }
    for (at, stream) in [false, true].into_iter().enumerate() {
        body["drop_params"] = json!(true);
        body["stream"] = json!(stream);
        assert_eq!(post(&hale, CHAT, &body).status, 200);
        let sent = fake.request(at).json();
        assert!(sent.get("seed").is_none() && sent.get("drop_params").is_none(), "{sent}");
    }
    body.as_object_mut().unwrap().remove("drop_params");
    expect_error(&post(&hale, CHAT, &body), 400, "unsupported_parameter");
}

#[test]
fn a_sibling_on_another_wire_serves_what_one_wire_cannot_express() {
    let (fake, other) = (fake_claude(), FakeUpstream::start());
    let hale = claude(&fake).deployment("m", "gpt", &other).router(json!({"num_retries": 0}));
    let hale = hale.start();
    let mut body = openai::chat_request("m", "hi");
    body["seed"] = json!(7);
    for _ in 0..20 {
        assert_eq!(post(&hale, CHAT, &body).status, 200);
    }
    assert_eq!((fake.requests().len(), other.requests().len()), (0, 20));
    let labels = [("deployment", "claude"), ("outcome", "unsupported")];
    assert_eq!(metric(&hale, "hale_deployment_resting", &labels[..1]), 0.0);
    assert!(metric(&hale, "hale_attempts_total", &labels) > 0.0);
    // What both formats can express goes to both.
    for _ in 0..20 {
        assert_eq!(post(&hale, CHAT, &openai::chat_request("m", "hi")).status, 200);
    }
    assert!(!fake.requests().is_empty());
}

#[test]
fn tokens_are_counted_by_the_provider_or_estimated_here() {
    let (fake, openai_fake) = (fake_claude(), FakeUpstream::start());
    let hale = claude(&fake).with("g", "gpt", &openai_fake, json!({"model": "databricks/x"}));
    let hale = hale.start();
    let ask = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "How many tokens?"}]});
    let counted = post(&hale, COUNT, &ask("m"));
    assert_eq!(counted.json(), json!({"input_tokens": anthropic::TOKENS}));
    assert_eq!(fake.request(0).path, COUNT);
    let estimated = post(&hale, COUNT, &ask("g")).json();
    assert_eq!(estimated["estimated"], true);
    assert!(estimated["input_tokens"].as_u64().unwrap() > 2);
    assert!(openai_fake.requests().is_empty());
}

#[test]
fn the_most_tokens_come_from_the_price_list_for_a_chat_client() {
    let upstream = fake_claude();
    let hale = claude(&upstream).start();
    post(&hale, CHAT, &openai::chat_request("m", "hi"));
    assert_eq!(upstream.request(0).json()["max_tokens"], 64_000);
}

#[test]
fn an_answer_that_is_none_fails_the_attempt() {
    for body in [json!({}), json!({"type": "message", "content": []}), json!({"choices": [{}]})] {
        let upstream = fake_claude();
        upstream.push(Script::ok().json(&body));
        let hale = claude(&upstream).start();
        assert_eq!(post(&hale, MESSAGES, &hello()).status, 200, "{body}");
        assert_eq!(upstream.requests().len(), 2, "{body}");
    }
}

#[test]
fn a_canned_answer_serves_both_formats() {
    let entry = json!({"model_name": "m", "litellm_params":
        {"model": "anthropic/claude-x", "mock_response": "canned words"}});
    let hale = Config::new().entry(entry).start();
    let answer = post(&hale, MESSAGES, &hello()).json();
    assert_eq!(answer["content"][0]["text"], "canned words");
    let got = events(&hale, MESSAGES, &anthropic::stream_request("m", "hi"));
    assert_eq!(kinds(&got).last().unwrap(), "message_stop");
    let answer = post(&hale, CHAT, &openai::chat_request("m", "hi")).json();
    assert_eq!(answer["choices"][0]["message"]["content"], "canned words");
}

#[test]
fn a_clients_own_key_never_reaches_an_anthropic_provider() {
    let upstream = fake_claude();
    let hale = claude(&upstream).start();
    let headers = [("x-api-key", KEY), ("cookie", "session=1")];
    client(&hale).post_json(MESSAGES, &headers, &hello());
    let head = String::from_utf8(upstream.request(0).raw_head.clone()).unwrap();
    assert!(!head.contains(KEY) && !head.contains("session"), "{head}");
}
