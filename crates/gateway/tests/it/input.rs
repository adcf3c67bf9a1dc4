//! Bad requests, as JSON and as HTTP: a clear refusal, nothing sent on, and the process lives.

use hale_testkit::{FakeUpstream, Hale, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, KEY, chat, client, expect_error, lone, metric};

fn start() -> (FakeUpstream, Hale) {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    (upstream, hale)
}

#[test]
fn bodies_that_are_no_request_are_refused_by_name() {
    let (upstream, hale) = start();
    let deep =
        format!(r#"{{"model":"m","messages":[{}{}]}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let rows: Vec<(&[u8], &str)> = vec![
        (b"", "empty_body"),
        (b"{", "invalid_json"),
        (b"null", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"\"m\"", "invalid_json"),
        (b"not json", "invalid_json"),
        (b"{\"model\":\"m\",}", "invalid_json"),
        (b"{'model':'m'}", "invalid_json"),
        (b"{\"model\":\"m\",\"messages\":[{}]} trailing", "invalid_json"),
        (b"{\"model\":\"m\",\"messages\":[{}],\"x\":\"\xff\"}", "invalid_json"),
        (b"{\"model\":\"m\",\"messages\":[{}],\"x\":01}", "invalid_json"),
        (b"{\"model\":\"m\",\"messages\":[{}],\"x\":NaN}", "invalid_json"),
        (b"{\"model\":\"m\",\"messages\":[{}],\"x\":\"\n\"}", "invalid_json"),
        (b"{\"model\":\"m\",\"messages\":[{}],\"x\":\"\\x\"}", "invalid_json"),
        (deep.as_bytes(), "invalid_json"),
        (b"{}", "missing_parameter"),
        (b"{\"messages\":[{}]}", "missing_parameter"),
        (b"{\"model\":\"m\"}", "missing_parameter"),
        (b"{\"model\":7,\"messages\":[{}]}", "invalid_parameter"),
        (b"{\"model\":[\"m\"],\"messages\":[{}]}", "invalid_parameter"),
        (b"{\"model\":\"\",\"messages\":[{}]}", "invalid_parameter"),
        (b"{\"model\":\"a\\u0000b\",\"messages\":[{}]}", "invalid_parameter"),
        (b"{\"model\":\"m\",\"messages\":[]}", "invalid_parameter"),
        (b"{\"model\":\"m\",\"messages\":{}}", "invalid_parameter"),
        (b"{\"model\":\"m\",\"messages\":\"hi\"}", "invalid_parameter"),
        (b"{\"model\":\"m\",\"model\":\"n\",\"messages\":[{}]}", "invalid_parameter"),
        (b"{\"model\":\"m\",\"messages\":[{}],\"stream\":\"yes\"}", "invalid_parameter"),
        (
            b"{\"model\":\"m\",\"messages\":[{}],\"stream\":true,\"stream\":false}",
            "invalid_parameter",
        ),
    ];
    let mut own = client(&hale);
    let mut wrong = Vec::new();
    for (body, reason) in rows {
        let answer = own.request("POST", CHAT, &[("content-type", "application/json")], body);
        let said = answer.json()["error"]["reason"].clone();
        if answer.status != 400 || said != reason {
            let body = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            wrong.push(format!("{body}: wanted {reason}, got {}", answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.state().opened(), 0);
    assert_eq!(chat(&hale, "m").status, 200);
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
fn credentials_and_addresses_in_a_body_are_refused() {
    let (upstream, hale) = start();
    for field in ["api_base", "base_url", "api_key", "user_config", "mock_response"] {
        let mut body = openai::chat_request("m", "hi");
        body[field] = json!("http://127.0.0.1:1");
        let answer = client(&hale).post_json(CHAT, &[], &body);
        let error = expect_error(&answer, 400, "forbidden_parameter");
        assert!(error["message"].as_str().unwrap().contains(field), "{error}");
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_compressed_body_is_refused() {
    let (_upstream, hale) = start();
    let headers = [("content-encoding", "gzip"), ("content-type", "application/json")];
    let answer = client(&hale).request("POST", CHAT, &headers, &[0x1f, 0x8b, 8, 0]);
    expect_error(&answer, 415, "encoded_body");
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
fn malformed_http_is_a_400_and_a_close_or_a_close() {
    let (upstream, hale) = start();
    let body = openai::chat_request("m", "hi").to_string();
    let post = |framing: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{framing}\r\n\r\n{body}"
        )
    };
    let n = body.len();
    let rows = [
        "hello\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET /v1/models HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
        "GET /v1/models HTTP/1.1\r\nx : y\r\n\r\n".to_owned(),
        "GET /v1/models HTTP/1.1\r\nx: a\0b\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".to_owned(),
        post("content-length: -1"),
        post("content-length: 1x"),
        post("content-length: 99999999999999999999999"),
        post(&format!("content-length: {n}\r\ncontent-length: {}", n + 1)),
        post("transfer-encoding: gzip"),
        post("transfer-encoding: chunked, gzip"),
        format!("{}0\r\n\r\n", post("transfer-encoding: xchunked")),
    ];
    for bytes in rows {
        let text = raw(&hale, &bytes);
        let refused = text.is_empty() || text.starts_with("HTTP/1.1 400 ");
        assert!(refused, "{bytes:?} was answered with {text}");
        assert_eq!(text.matches("HTTP/1.1").count(), text.len().min(1), "{bytes:?}: {text}");
    }
    assert_eq!(upstream.state().opened(), 0);
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
}

#[test]
fn a_body_with_two_framings_is_never_read_two_ways() {
    let (upstream, hale) = start();
    let smuggled =
        format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n");
    let bytes = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 5\r\n\
         transfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    let text = raw(&hale, &bytes);
    assert!(!text.contains("\"object\":\"list\""), "the second request was served: {text}");
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{text}");
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn broken_chunks_are_refused_and_the_connection_ends() {
    let (upstream, hale) = start();
    for chunks in ["zz\r\n", "5\r\nabc", "-1\r\n\r\n", "fffffffffffffffff\r\n"] {
        let bytes = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
             transfer-encoding: chunked\r\n\r\n{chunks}"
        );
        let mut client = hale.client();
        client.send_raw(bytes.as_bytes()).unwrap();
        client.half_close().unwrap();
        let text = String::from_utf8_lossy(&client.read_to_end().unwrap()).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{chunks:?}: {text}");
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
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
