//! Timeouts of an attempt and of a whole request, and what may still be tried when little time is left.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::json;

use crate::support::{blamed, chat, chat_with, column, expect_error, lone, pair};
use crate::timing::Stopwatch;

fn silent() -> FakeUpstream {
    FakeUpstream::with(|_| Script::silent())
}

#[test]
fn a_clients_deadline_is_kept_and_counts_against_no_deployment() {
    let upstream = silent();
    let hale = lone(&upstream).start();
    let body = openai::chat_request("m", "hi");
    let mut with_field = body.clone();
    with_field["timeout"] = json!(0.4);
    let asks = [(&[("x-litellm-timeout", "0.4")][..], &body), (&[][..], &with_field)];
    for (headers, body) in asks {
        let begin = Stopwatch::start();
        let answer = chat_with(&hale, headers, body);
        begin.between_ms(390, 900);
        let error = expect_error(&answer, 408, "deadline_exceeded");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("no answer from model group 'm' within 0.400 s; allow"), "{said}");
        assert!(said.contains(". Tried: a client_timeout"), "{said}");
    }
    assert_eq!(upstream.requests().len(), 2, "one attempt each");
    upstream.wait_until_dropped();
    assert_eq!(blamed(&hale), 0.0);
}

#[test]
fn a_fallback_still_gets_its_turn_within_the_clients_deadline() {
    let (bad, good) = (silent(), FakeUpstream::start());
    let hale =
        lone(&bad).deployment("f", "b", &good).router(json!({"fallbacks": [{"m": ["f"]}]})).start();
    let begin = Stopwatch::start();
    let answer = chat_with(&hale, &[("x-litellm-timeout", "1")], &openai::chat_request("m", "hi"));
    begin.between_ms(500, 900);
    assert_eq!((answer.status, answer.header("x-litellm-model-group")), (200, Some("f")));
}

#[test]
fn a_deadline_that_passes_in_the_fallback_too_is_one_408() {
    let (bad, worse) = (silent(), silent());
    let hale = lone(&bad)
        .deployment("f", "b", &worse)
        .router(json!({"fallbacks": [{"m": ["f"]}]}))
        .start();
    let begin = Stopwatch::start();
    let answer =
        chat_with(&hale, &[("x-litellm-timeout", "0.8")], &openai::chat_request("m", "hi"));
    begin.between_ms(780, 1_300);
    let error = expect_error(&answer, 408, "deadline_exceeded");
    assert_eq!(column(&error["attempts"], "model_group"), ["m", "f"]);
    let said = error["message"].as_str().unwrap();
    let asked = "no answer from model group 'm' or its fallback 'f' within 0.800 s; allow more";
    assert!(said.contains(asked), "{said}");
    assert!(said.contains(". Tried: m/a ") && said.contains("; f/b "), "{said}");
    assert_eq!((bad.requests().len(), worse.requests().len()), (1, 1));
}

#[test]
fn the_clients_time_for_the_first_content_is_its_own_deadline_and_no_failure_of_the_upstream() {
    let upstream = silent();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let headers = [("x-litellm-stream-timeout", "0.2")];
    let answer = chat_with(&hale, &headers, &openai::stream_request("m", "hi"));
    let error = expect_error(&answer, 408, "deadline_exceeded");
    assert_eq!(column(&error["attempts"], "cause"), ["client_timeout"]);
    assert_eq!(error["type"], "timeout_error");
    assert!(error["message"].as_str().unwrap().contains("`stream_timeout`"), "{error}");
}

#[test]
fn an_attempts_own_time_is_a_408_and_is_not_repeated_at_the_same_deployment() {
    // Bad input, row 100.
    let upstream = silent();
    let hale = lone(&upstream).router(json!({"timeout": 0.3, "num_retries": 3})).start();
    let begin = Stopwatch::start();
    let error = expect_error(&chat(&hale, "m"), 408, "upstream_timeout");
    begin.less_than_ms(900);
    assert_eq!(column(&error["attempts"], "cause"), ["timeout"]);
    upstream.wait_until_dropped();
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_timed_out_attempt_moves_to_the_sibling() {
    // F3.
    let (bad, good) = (silent(), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"timeout": 0.3})).start();
    let answer = chat(&hale, "m");
    assert_eq!((answer.status, answer.header("x-litellm-model-id")), (200, Some("good")));
    bad.wait_until_dropped();
}

#[test]
fn the_configs_request_timeout_bounds_all_attempts_together() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().delay(Duration::from_millis(250)).raw(HEAD_500));
    let hale = lone(&upstream)
        .litellm(json!({"request_timeout": 0.6}))
        .router(json!({"num_retries": 50, "retry_after": 0.05}))
        .start();
    let begin = Stopwatch::start();
    let answer = chat(&hale, "m");
    begin.less_than_ms(1_300);
    assert!([408, 500].contains(&answer.status), "{}", answer.text());
}

const HEAD_500: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}";

#[test]
fn a_slow_body_is_within_the_attempts_time_too() {
    // F5.
    let body = openai::chat_completion("gpt-4o", "slow").to_string();
    let upstream = FakeUpstream::with(move |_| {
        Script::ok().declared_length(body.len()).body("application/json", &body[..20]).silence()
    });
    let hale = lone(&upstream).router(json!({"timeout": 0.3, "num_retries": 0})).start();
    let error = expect_error(&chat(&hale, "m"), 408, "upstream_timeout");
    assert_eq!(column(&error["attempts"], "cause"), ["timeout"]);
    upstream.wait_until_dropped();
}

#[test]
fn wrong_controls_are_refused_and_name_themselves() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let headers = [
        ("x-litellm-timeout", "soon"),
        ("x-litellm-timeout", "0"),
        ("x-litellm-timeout", "-1"),
        ("x-litellm-timeout", "NaN"),
        ("x-litellm-timeout", "inf"),
        ("x-litellm-stream-timeout", "x"),
        ("x-litellm-num-retries", "-1"),
        ("x-litellm-num-retries", "1.5"),
        ("x-litellm-num-retries", "99999999999999999999"),
    ];
    for header in headers {
        let answer = chat_with(&hale, &[header], &openai::chat_request("m", "hi"));
        let error = expect_error(&answer, 400, "invalid_parameter");
        assert_eq!(error["param"], header.0, "{header:?}");
    }
    for (field, value) in
        [("timeout", json!("x")), ("num_retries", json!([])), ("timeout", json!(-1))]
    {
        let mut body = openai::chat_request("m", "hi");
        body[field] = value;
        let error = expect_error(&chat_with(&hale, &[], &body), 400, "invalid_parameter");
        assert_eq!(error["param"], field);
    }
    assert_eq!(upstream.state().opened(), 0);
}
