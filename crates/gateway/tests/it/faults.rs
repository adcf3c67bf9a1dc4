//! Upstreams that lie, break off or speak something else: each is one failed attempt with its cause.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::json;

use crate::support::{chat, column, error, lone, metric, pair};

/// A fault, the status for the client and the cause.
type Fault = (&'static str, Script, u16, &'static str);

fn completion() -> String {
    openai::chat_completion("gpt-4o", "whole").to_string()
}

fn lies() -> Vec<Fault> {
    let json = |body: &str| Script::ok().body("application/json", body);
    let error = openai::error("the engine is on fire", "server_error", "boom");
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let encoded = Script::ok().header("content-encoding", "gzip");
    vec![
        ("html", Script::ok().body("text/html", "<!doctype html><p>hi"), 502, "bad_response"),
        ("html as json", json("<html><body>busy</body></html>"), 502, "bad_response"),
        ("empty object", json("{}"), 502, "bad_response"),
        ("null", json("null"), 502, "bad_response"),
        ("list", json("[]"), 502, "bad_response"),
        ("number", json("42"), 502, "bad_response"),
        ("no choices", json(r#"{"choices":[]}"#), 502, "bad_response"),
        ("null choices", json(r#"{"choices":null}"#), 502, "bad_response"),
        ("empty", json(""), 502, "bad_response"),
        ("white space", json(" \n "), 502, "bad_response"),
        (
            "not utf-8",
            Script::ok().body("application/json", b"{\"choices\":[\"\xff\"]}"),
            502,
            "bad_response",
        ),
        ("two documents", json(&format!("{0}{0}", completion())), 502, "bad_response"),
        ("nesting", json(&format!("{{\"choices\":{}", "[".repeat(100_000))), 502, "bad_response"),
        ("error under 200", Script::ok().json(&error), 502, "server_error"),
        ("gzip", encoded.body("application/json", gzip), 502, "bad_response"),
        (
            "204",
            Script::with_status(204).raw("HTTP/1.1 204 No Content\r\n\r\n"),
            502,
            "bad_response",
        ),
        (
            "202",
            Script::with_status(202).json(&openai::chat_completion("x", "y")),
            502,
            "bad_response",
        ),
        (
            "502 page",
            Script::with_status(502).body("text/html", "<html>nginx</html>"),
            502,
            "server_error",
        ),
        ("status 999", Script::with_status(999).body("text/plain", "?"), 502, "bad_response"),
    ]
}

fn cuts() -> Vec<Fault> {
    let body = completion();
    let half = &body[..body.len() / 2];
    let longer = Script::ok().declared_length(body.len() + 10).body("application/json", &body);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
    vec![
        (
            "truncated",
            Script::ok().declared_length(body.len()).body("application/json", half).close(),
            502,
            "stream_cut",
        ),
        ("length too long", longer.close(), 502, "stream_cut"),
        (
            "length too short",
            Script::ok().declared_length(body.len() - 5).body("application/json", &body),
            502,
            "bad_response",
        ),
        (
            "chunks cut",
            Script::ok().chunked("application/json").chunk(half).close(),
            502,
            "stream_cut",
        ),
        (
            "chunks reset",
            Script::ok().chunked("application/json").chunk(half).reset(),
            502,
            "stream_cut",
        ),
        ("head cut", Script::ok().raw(head).close(), 502, "connect"),
        ("reset", Script::ok().reset(), 502, "connect"),
        ("fin", Script::ok().close(), 502, "connect"),
        ("garbage", Script::ok().raw("SSH-2.0-OpenSSH_9.6\r\n\r\n").close(), 502, "bad_response"),
        (
            "binary",
            Script::ok().raw([0x16, 3, 1, 2, 0, 1, 0, 13, 10, 13, 10]).close(),
            502,
            "bad_response",
        ),
        (
            "two lengths",
            Script::ok().raw(format!("{head}: 5\r\ncontent-length: 7\r\n\r\nabcdefg")),
            502,
            "bad_response",
        ),
        ("bad length", Script::ok().raw(format!("{head}: -1\r\n\r\n")), 502, "bad_response"),
        (
            "bad chunk",
            Script::ok().chunked("application/json").raw("xyz\r\nabc\r\n").close(),
            502,
            "stream_cut",
        ),
    ]
}

#[test]
fn each_lie_and_each_cut_is_one_failed_attempt_with_its_cause() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0, "disable_cooldowns": true})).start();
    let mut wrong = Vec::new();
    for (what, script, status, cause) in lies().into_iter().chain(cuts()) {
        let before = upstream.requests().len();
        // On a kept connection some of these would look like one that was closed while idle.
        upstream.close_connections();
        upstream.push(script);
        let answer = chat(&hale, "m");
        let error = error(&answer);
        let causes = column(&error["attempts"], "cause");
        if answer.status != status || causes != [cause] || error["reason"] != "upstream_failed" {
            wrong.push(format!("{what}: wanted {status} {cause}, got {}", answer.text()));
        }
        assert_eq!(upstream.requests().len(), before + 1, "{what}");
        // What was left on that connection must not be taken for the next answer.
        let next = chat(&hale, "m");
        assert_eq!(next.status, 200, "after {what}: {}", next.text());
        assert_eq!(next.json()["choices"][0]["message"]["content"], openai::TEXT, "after {what}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
}

#[test]
fn with_a_sibling_no_lie_and_no_cut_is_seen_by_the_client() {
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"disable_cooldowns": true})).start();
    for (count, (what, script, ..)) in lies().into_iter().chain(cuts()).enumerate() {
        bad.close_connections();
        bad.push(script);
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        assert_eq!(answer.header("x-litellm-model-id"), Some("good"), "{what}");
        assert_eq!(answer.header("x-litellm-attempted-retries"), Some("1"), "{what}");
        assert_eq!((bad.requests().len(), good.requests().len()), (count + 1, count + 1), "{what}");
    }
}

#[test]
fn a_redirect_is_never_followed() {
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
fn an_answer_beyond_the_limit_is_a_failed_attempt() {
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
        assert!(answer.text().contains("max_response_size_mb"), "{}", answer.text());
    }
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}

#[test]
fn an_error_page_of_any_size_is_read_within_bounds() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let page = "e".repeat(3 << 20);
    upstream.push(Script::with_status(500).body("text/plain", &page));
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 500);
    assert!(answer.body.len() < 10_000, "{} bytes", answer.body.len());
    assert_eq!(chat(&hale, "m").status, 200);
}
