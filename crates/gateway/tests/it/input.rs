//! Bad requests, as JSON and as HTTP: a clear refusal, nothing is sent on, and the process survives.

use hale_testkit::{FakeUpstream, Hale, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, KEY, chat, client, expect_error, lone};

fn start() -> (FakeUpstream, Hale) {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    (upstream, hale)
}

#[test]
fn missing_fields_are_named_for_each_operation() {
    let (_upstream, hale) = start();
    let mut own = client(&hale);
    for (path, field) in
        [(CHAT, "messages"), ("/v1/completions", "prompt"), ("/v1/embeddings", "input")]
    {
        let error = expect_error(
            &own.post_json(path, &[], &json!({"model": "m"})),
            400,
            "missing_parameter",
        );
        assert_eq!(error["param"], field);
        assert!(error["message"].as_str().unwrap().contains(field), "{error}");
    }
}

#[test]
fn an_unknown_model_is_a_400_with_the_nearest_names() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).deployment("gpt-4o-mini", "b", &upstream).start();
    let error = expect_error(&chat(&hale, "gpt-4o-mimi"), 400, "unknown_model");
    assert!(error["message"].as_str().unwrap().contains("`gpt-4o-mini`"), "{error}");
    assert_eq!(error["param"], "model");
    let long = "x".repeat(1000);
    expect_error(&chat(&hale, &long), 400, "unknown_model");
    expect_error(&chat(&hale, &"x".repeat(2000)), 400, "invalid_parameter");
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn any_content_type_is_taken_for_json() {
    let (_upstream, hale) = start();
    let body = openai::chat_request("m", "hi").to_string();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
    {
        let answer =
            client(&hale).request("POST", CHAT, &[("content-type", kind)], body.as_bytes());
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
}

/// Sends raw bytes and gives everything that comes until the gateway closes.
#[track_caller]
fn raw(hale: &Hale, bytes: &str) -> String {
    let mut client = hale.client();
    client.send_raw(bytes.as_bytes()).unwrap();
    let bytes = client.read_to_end().expect("the gateway closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    // Bad input, row F50.
    let (_upstream, hale) = start();
    let head = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{more}\r\n")
    };
    let body = openai::chat_request("m", "hi").to_string();
    let post = head("POST", CHAT, &format!("content-length: {}\r\n", body.len()));
    let models = head("GET", "/v1/models", "");
    let mut client = hale.client();
    client.send_raw(format!("{models}{post}{body}{models}").as_bytes()).unwrap();
    let objects: Vec<Value> =
        (0..3).map(|_| client.read_response().unwrap().json()["object"].clone()).collect();
    assert_eq!(objects, ["list", "chat.completion", "list"]);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let (_upstream, hale) = start();
    let text = raw(&hale, "GET /health/liveliness HTTP/1.0\r\n\r\n");
    assert!(text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.ends_with("\"I'm alive!\""), "{text}");
}

#[test]
fn a_path_with_an_odd_model_is_decoded_once() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).deployment("a/b c%d", "b", &upstream).start();
    let mut own = client(&hale);
    let body = json!({"messages": [{"role": "user", "content": "hi"}]});
    let answer = own.post_json("/engines/a%2Fb%20c%25d/chat/completions", &[], &body);
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("a/b c%d")));
    let answer = own.post_json("/engines/%FF%00/chat/completions", &[], &body);
    assert_eq!(answer.status, 400, "{}", answer.text());
}
