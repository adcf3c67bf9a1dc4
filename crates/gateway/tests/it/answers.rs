//! Which parts of an upstream's answer reach the client, and what the gateway adds.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, chat_with, client, column, error, expect_error, lone,
};

#[test]
fn a_byte_order_mark_before_json_is_skipped_in_answers_and_errors() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let marked = |status: u16, body: &Value| {
        Script::with_status(status).body("application/json", format!("\u{feff}{body}"))
    };
    upstream.push(marked(200, &openai::chat_completion("gpt-4o", "whole")));
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "whole");
    upstream.push(marked(400, &openai::error("no such voice", "invalid_request_error", "x")));
    let refused = chat(&hale, "m");
    let message = error(&refused)["message"].to_string();
    assert!(message.contains("no such voice") && !message.contains('{'), "{message}");
    let anthropic = FakeUpstream::with(move |_| {
        marked(200, &hale_testkit::anthropic::message("claude", "translated"))
    });
    let params = json!({"model": "anthropic/claude"});
    let hale = Config::new().with("m", "a", &anthropic, params).start();
    assert_eq!(chat(&hale, "m").json()["choices"][0]["message"]["content"], "translated");
}

#[test]
fn a_part_of_a_stream_is_no_full_answer() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let delta = json!({"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"});
    let messages = json!({
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
    });
    for choice in [delta, json!({"index": 0, "message": null, "delta": {"content": "hi"}})] {
        for path in [CHAT, "/v1/messages"] {
            let part = json!({"id": "1", "object": "chat.completion.chunk", "model": "x", "choices": [choice]});
            upstream.push(Script::ok().json(&part));
            let answer = client(&hale).post_json(path, &[], &messages);
            assert_eq!(answer.status, 502, "{path} {choice}: {}", answer.text());
        }
    }
    upstream.push(Script::ok().json(&openai::chat_completion("gpt-4o", "whole")));
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn of_a_full_answer_only_the_model_changes() {
    let upstream = FakeUpstream::start();
    let body = "{ \"id\":\"x\",\t\"model\" : \"gpt-4o-2024-08-06\",\"choices\":[ {\"index\":0,\"message\":\
                {\"role\":\"assistant\",\"content\":\"\\u00fc 1.50 \\\"model\\\":\\\"no\\\" \u{1f600}\"}} ],\
                \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7} ,\
                \"extra\":{\"model\":\"inner\",\"n\":1.50}}\r\n";
    upstream.push(Script::ok().body("application/json; charset=utf-8", body));
    let hale = lone(&upstream).start();
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), body.replace("\"gpt-4o-2024-08-06\"", "\"m\""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn an_answer_without_a_model_gets_none() {
    let upstream = FakeUpstream::start();
    let body = r#"{"choices":[{"message":{"content":"x"}}]}"#;
    upstream.push(Script::ok().body("application/json", body));
    assert_eq!(chat(&lone(&upstream).start(), "m").text(), body);
}

#[test]
fn headers_say_exactly_what_happened() {
    let upstream = FakeUpstream::start();
    let prices = json!({"input_cost_per_token": 0.001, "output_cost_per_token": 0.002});
    let hale = Config::new().with("m", "the-id", &upstream, prices).start();
    let answer = chat_with(
        &hale,
        &[("x-litellm-call-id", "my-own-id.42")],
        &openai::chat_request("m", "hi"),
    );
    let exact = [
        ("x-litellm-call-id", "my-own-id.42"),
        ("x-litellm-model-id", "the-id"),
        ("x-litellm-model-group", "m"),
        ("x-litellm-model-api-base", &upstream.api_base()),
        ("x-litellm-version", "1.106.2"),
        ("x-litellm-attempted-retries", "0"),
        ("x-litellm-attempted-fallbacks", "0"),
        // 9 tokens in, 7 out.
        ("x-litellm-response-cost", "0.023"),
    ];
    for (name, value) in exact {
        assert_eq!(answer.headers.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    let number = |name: &str| answer.header(name).unwrap().parse::<f64>().unwrap();
    let (total, own) =
        (number("x-litellm-response-duration-ms"), number("x-litellm-overhead-duration-ms"));
    assert!(0.0 <= own && own <= total && total < 20_000.0, "{own} of {total}");
}

#[test]
fn a_stream_has_the_same_headers_but_no_cost() {
    let upstream = FakeUpstream::start();
    let prices = json!({"input_cost_per_token": 0.001, "output_cost_per_token": 0.002});
    let hale = Config::new().with("m", "the-id", &upstream, prices).start();
    let mut client = client(&hale);
    let stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.header("x-litellm-model-id"), Some("the-id"));
    assert_eq!(stream.header("x-litellm-model-group"), Some("m"));
    assert_eq!(stream.header("x-litellm-attempted-retries"), Some("0"));
    assert_eq!(stream.header("x-litellm-response-cost"), None);
    assert_eq!(stream.header("content-length"), None);
    assert!(stream.header("content-type").unwrap().starts_with("text/event-stream"));
    assert!(!stream.header("x-litellm-call-id").unwrap().is_empty());
}

#[test]
fn provider_headers_come_under_their_prefix_and_cookies_stay() {
    let upstream = FakeUpstream::start();
    let script = || {
        Script::ok()
            .header("x-request-id", "req-1")
            .header("x-ratelimit-remaining-requests", "59")
            .header("set-cookie", "secret=1")
            .header("Set-Cookie", "secret=2")
            .header("x-litellm-model-id", "spoofed")
            .header("x-twice", "1")
            .header("x-twice", "2")
    };
    upstream.push(script().json(&openai::chat_completion("gpt-4o", "x")));
    upstream.push(script().sse(&openai::chunks("gpt-4o", &["x"])));
    let hale = lone(&upstream).start();
    let full = chat(&hale, "m");
    let mut client = client(&hale);
    let stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    for headers in [&full.headers, &stream.headers] {
        assert_eq!(headers.get("llm_provider-x-request-id"), Some("req-1"));
        assert_eq!(headers.get("llm_provider-x-ratelimit-remaining-requests"), Some("59"));
        assert_eq!(headers.all("llm_provider-x-twice").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(headers.all("x-litellm-model-id").collect::<Vec<_>>(), ["a"]);
        assert_eq!(headers.get("x-request-id"), None);
        assert!(headers.iter().all(|(_, value)| !value.contains("secret")), "{headers:?}");
    }
}

#[test]
fn the_address_of_the_upstream_is_for_the_master_key_only() {
    let upstream = FakeUpstream::start();
    let hale = Config::open().deployment("m", "a", &upstream).start();
    let body = openai::chat_request("m", "hi");
    let answer = hale.client().post_json(CHAT, &[], &body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-litellm-model-api-base"), None);
    let port = upstream.port().to_string();
    assert!(answer.headers.iter().all(|(_, value)| !value.contains(&port)));
}

#[test]
fn every_answer_has_a_call_id_and_each_its_own() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let answers = [
        chat(&hale, "m"),
        chat(&hale, "m"),
        chat(&hale, "unknown"),
        hale.client().get("/v1/models"),
        client(&hale).get("/v1/models"),
        client(&hale).get("/nowhere"),
        client(&hale).get(CHAT),
        client(&hale).get("/health/readiness"),
        client(&hale).request("POST", CHAT, &[], b"{"),
    ];
    let mut ids: Vec<&str> =
        answers.iter().map(|it| it.header("x-litellm-call-id").expect("a call id")).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    let long = "x".repeat(200);
    let own = chat_with(&hale, &[("x-litellm-call-id", &long)], &openai::chat_request("m", "hi"));
    assert_ne!(own.header("x-litellm-call-id"), Some(&*long), "a client's id is bounded");
}

#[test]
fn the_providers_refusal_of_the_request_is_passed_on_and_tried_once() {
    let upstream = FakeUpstream::start();
    let body = json!({"error": {
        "message": "Invalid value for 'n'", "type": "invalid_request_error", "param": "n", "code": "bad_n",
    }});
    upstream.push(Script::with_status(422).json(&body));
    let hale = lone(&upstream).start();
    let answer = chat(&hale, "m");
    let error = expect_error(&answer, 422, "upstream_rejected");
    assert_eq!(error["message"], "Invalid value for 'n'");
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!((&error["param"], &error["provider_code"]), (&json!("n"), &json!("bad_n")));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_refused_deployment_key_is_said_to_be_the_deployments() {
    for status in [401, 403] {
        let upstream = FakeUpstream::with(move |_| Script::error(status, "Incorrect key provided"));
        let hale = Config::new().deployment("m", "azure-eu", &upstream).start();
        let error = expect_error(&chat(&hale, "m"), status, "upstream_auth");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("azure-eu") && message.contains("yours is fine"), "{message}");
        assert!(message.contains("Check api_key of azure-eu"), "the fix is named: {message}");
    }
}

#[test]
fn no_answer_holds_a_secret_or_an_address() {
    let text = format!("key {UPSTREAM_KEY} at http://10.1.2.3/ is bad; Bearer {UPSTREAM_KEY}");
    let said = text.clone();
    let upstream = FakeUpstream::with(move |_| Script::error(401, &said));
    let fallback = FakeUpstream::with(move |_| Script::error(500, &text));
    let hale = lone(&upstream)
        .deployment("f", "b", &fallback)
        .router(json!({"fallbacks": [{"m": ["f"]}], "num_retries": 0}))
        .start();
    let answer = chat(&hale, "m");
    let error = expect_error(&answer, 401, "fallbacks_exhausted");
    assert_eq!(column(&error["attempts"], "deployment"), ["a", "b"]);
    let text = answer.text();
    for secret in [UPSTREAM_KEY, KEY, &upstream.port().to_string(), &fallback.port().to_string()] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_name_that_needs_escapes_is_stamped_as_json() {
    let upstream = FakeUpstream::start();
    let name = "m\u{f6}del \"x\" \\ y";
    let hale = Config::new().deployment(name, "a", &upstream).start();
    let answer = chat(&hale, name);
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!(name)));
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request(name, "hi"));
    assert_eq!(stream.next_event().unwrap().json()["model"], name);
}

#[test]
fn any_number_of_provider_headers_leaves_the_answer_intact() {
    let upstream = FakeUpstream::start();
    let many = (0..90).fold(Script::ok(), |script, number| {
        script.header(&format!("x-many-{number}"), &"v".repeat(500))
    });
    upstream.push(many.json(&openai::chat_completion("gpt-4o", "x")));
    let answer = chat(&lone(&upstream).start(), "m");
    assert_eq!((answer.status, answer.header("llm_provider-x-many-0").is_some()), (200, true));
}
