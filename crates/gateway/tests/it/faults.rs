//! Answers with their own ways to succeed or fail; the table of bad ones is in `hostile_upstream`.

use hale_testkit::{FakeUpstream, Response, Script, openai};
use serde_json::json;

use crate::support::{chat, error, lone, metric};

fn completion() -> String {
    openai::chat_completion("gpt-4o", "whole").to_string()
}

#[test]
fn a_redirect_is_never_followed() {
    // Bad input, row F17.
    let elsewhere = FakeUpstream::start();
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/v1/chat/completions", elsewhere.url());
        let redirect = Script::with_status(status).header("location", &to).body("text/plain", "");
        let upstream = FakeUpstream::scripted([redirect]);
        let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
        let answer = chat(&hale, "m");
        let error = error(&answer);
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert_eq!(error["attempts"][0]["cause"], "not_found");
        assert_eq!(error["attempts"][0]["status"], status);
        let text = answer.text();
        assert!(
            text.contains("redirect") && !text.contains(&elsewhere.port().to_string()),
            "{text}"
        );
        assert_eq!(upstream.requests().len(), 1);
        let labels = [("outcome", "not_found")];
        assert_eq!(metric(&hale, "hale_attempts_total", &labels), 1.0);
    }
    assert_eq!(elsewhere.state().opened(), 0);
}

#[test]
fn informational_answers_before_the_real_one_are_skipped() {
    // F32.
    let real = completion();
    let text = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{real}",
        real.len()
    );
    let upstream = FakeUpstream::scripted([Script::ok().raw(text)]);
    let answer = chat(&lone(&upstream).start(), "m");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn an_error_body_beside_an_answer_is_an_answer() {
    let mut body = openai::chat_completion("gpt-4o", "x");
    body["error"] = json!(null);
    let upstream = FakeUpstream::scripted([Script::ok().json(&body)]);
    assert_eq!(chat(&lone(&upstream).start(), "m").status, 200);
}

#[test]
fn an_answer_beyond_the_limit_is_an_error_of_the_gateway() {
    // Bad input, row F13.
    let body = openai::chat_completion("gpt-4o", &"x".repeat(2 << 20)).to_string();
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream)
        .general(json!({"max_response_size_mb": 1}))
        .router(json!({"num_retries": 0}))
        .start();
    let (one, two) = body.split_at(900 << 10);
    upstream.push(Script::ok().body("application/json", &body));
    upstream.push(Script::ok().chunked("application/json").chunk(one).chunk(two).end());
    for _ in 0..2 {
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 502, "{}", answer.text());
        let error = error(&answer);
        assert_eq!(error["reason"], "answer_too_large", "{error}");
        assert_eq!(error["attempts"][0]["cause"], "gateway", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("the 1048576 bytes that max_response_size_mb"), "{message}");
        assert!(!message.contains("api_base"), "{message}");
    }
    let message = |answer: &Response| error(answer)["message"].as_str().unwrap().to_owned();
    upstream.push(Script::ok().body("application/json", &body));
    let says = message(&chat(&hale, "m"));
    assert!(says.contains(&format!("the answer of {} bytes", body.len())), "{says}");
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}

#[test]
fn an_error_page_of_any_size_is_read_within_bounds() {
    // Bad input, row F13.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let page = "e".repeat(3 << 20);
    upstream.push(Script::with_status(500).body("text/plain", &page));
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 500);
    assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
    assert_eq!(chat(&hale, "m").status, 200);
}
