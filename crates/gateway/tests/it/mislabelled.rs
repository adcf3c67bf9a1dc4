//! Answers of upstreams under another label than they should have: events under another type, and compressed bodies that
//! were not asked for.

use hale_testkit::{FakeUpstream, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::packed::{deflate, gzip, zstd};
use crate::support::{CHAT, Config, chat, chat_with, client, error, expect_error, lone};

type Pack = fn(&[u8]) -> Vec<u8>;
const CODINGS: [(&str, Pack); 4] =
    [("gzip", gzip), ("x-gzip", gzip), ("deflate", deflate), ("zstd", zstd)];

fn events(events: &[Value]) -> String {
    let lines: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    lines + "data: [DONE]\n\n"
}

fn packed(status: u16, coding: &str, kind: &str, body: &[u8]) -> Script {
    Script::with_status(status).header("content-encoding", coding).body(kind, body)
}

#[test]
fn events_are_read_whatever_their_label_says() {
    let text = events(&openai::chunks("up", &["hello", " there"]));
    for start in ["", ": ping\n\n", "\n", "event: message\n", "id: 1\n", "retry: 10\n", "\u{feff}"]
    {
        for kind in ["application/json", "text/plain", "application/octet-stream", "text/html"] {
            let body = format!("{start}{text}");
            let upstream = FakeUpstream::with(move |_| Script::ok().body(kind, &body));
            let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
            let mut client = client(&hale);
            let request = openai::stream_request("m", "hi");
            let mut stream = client.stream(CHAT, &[], &request);
            assert_eq!(stream.header("content-type"), Some("text/event-stream; charset=utf-8"));
            assert_eq!(stream.content(), "hello there", "{kind} {start:?}");
        }
    }
}

#[test]
fn events_in_single_bytes_without_a_label_are_read() {
    let text = events(&openai::chunks("up", &["hi"]));
    let upstream = FakeUpstream::with(move |_| {
        let script = Script::ok().chunked("application/json");
        text.bytes().fold(script, |script, byte| script.chunk([byte])).end()
    });
    let hale = lone(&upstream).start();
    let answer = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
    assert!(answer.text().contains("\"content\":\"hi\""), "{}", answer.text());
}

#[test]
fn events_of_an_anthropic_server_are_read_under_another_label() {
    let body: String = anthropic::events("up", &["hello"])
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect();
    let upstream = FakeUpstream::with(move |_| Script::ok().body("application/json", &body));
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
    let request = anthropic::stream_request("m", "hi");
    for (path, request) in [("/v1/messages", request), (CHAT, openai::stream_request("m", "hi"))] {
        let answer = client(&hale).post_json(path, &[], &request);
        assert!(answer.text().contains("hello"), "{}", answer.text());
    }
}

#[test]
fn json_under_any_label_is_still_no_stream() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().body("text/plain", openai::chat_completion("up", "data: x").to_string())
    });
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    let answer = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
    expect_error(&answer, 502, "upstream_failed");
}

#[test]
fn answers_that_come_compressed_unasked_are_unpacked() {
    let long: String = (0..50_000).map(|n| format!("{n:05} ")).collect();
    let whole = openai::chat_completion("up", &long).to_string();
    let stream = events(&openai::chunks("up", &["hello", " there"]));
    for (coding, pack) in CODINGS {
        let (whole, stream) = (pack(whole.as_bytes()), pack(stream.as_bytes()));
        let upstream =
            FakeUpstream::with(move |request| match request.json()["stream"] == json!(true) {
                true => packed(200, coding, "text/event-stream", &stream),
                false => packed(200, coding, "application/json", &whole),
            });
        let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(
            answer.json()["choices"][0]["message"]["content"].as_str().unwrap().len(),
            300_000
        );
        let answer = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
        assert!(
            answer.text().contains("\" there\"") && answer.text().contains("[DONE]"),
            "{coding}"
        );
        assert_eq!(upstream.state().opened(), 1, "the connection is kept");
    }
}

#[test]
fn a_compressed_error_is_read_with_its_words() {
    let body =
        openai::error("maximum context length is 5", "invalid_request_error", "x").to_string();
    for (coding, pack) in CODINGS {
        for (status, kind) in [(400, "application/json"), (500, "text/event-stream")] {
            let text = if status == 500 { format!("data: {body}\n\n") } else { body.clone() };
            let body = pack(text.as_bytes());
            let upstream = FakeUpstream::with(move |_| packed(status, coding, kind, &body));
            let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
            let told = error(&chat(&hale, "m"));
            let message = told["message"].as_str().unwrap();
            assert!(
                message.starts_with("maximum context length is 5"),
                "{coding} {status}: {message}"
            );
        }
    }
}

#[test]
fn a_compressed_answer_that_grows_without_end_is_named_and_a_large_one_has_its_limit() {
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let upstream = FakeUpstream::with(move |_| packed(200, "gzip", "application/json", &bomb));
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let message = error(&chat(&hale, "m"))["message"].as_str().unwrap().to_owned();
    assert!(message.contains("(gzip) grows too much"), "{message}");
    let large = openai::chat_completion("up", &"0123456789 ".repeat(20_000)).to_string();
    let large = gzip(large.as_bytes());
    let upstream = FakeUpstream::with(move |_| packed(200, "gzip", "application/json", &large));
    let hale = lone(&upstream).general(json!({"max_response_size_mb": 0.1})).start();
    let message = error(&chat(&hale, "m"))["message"].as_str().unwrap().to_owned();
    assert!(message.contains("max_response_size_mb"), "{message}");
}

#[test]
fn an_unknown_coding_is_named_and_a_cut_one_is_a_failed_attempt() {
    let plain = openai::chat_completion("up", "hi").to_string();
    let whole = gzip(plain.as_bytes());
    let half = whole[..whole.len() / 2].to_vec();
    for (coding, body, part) in
        [("compress", plain.into_bytes(), "compressed"), ("gzip", half, "ends before its end")]
    {
        let upstream = FakeUpstream::with(move |_| packed(200, coding, "application/json", &body));
        let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
        let answer = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
        assert!(answer["message"].as_str().unwrap().contains(part), "{answer}");
    }
}
