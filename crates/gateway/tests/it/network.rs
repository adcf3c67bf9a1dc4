//! Connections to upstreams: refused, closed between requests, through a proxy, with TLS.

use hale_testkit::{FakeUpstream, Script, openai, refused_port};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use crate::support::{CHAT, Config, chat, client, expect_error, lone, pair};
use crate::timing::Stopwatch;

#[test]
fn a_refused_connection_moves_to_the_sibling_and_is_named_when_there_is_none() {
    // F1.
    let good = FakeUpstream::start();
    let refused = json!({
        "api_base": format!("http://127.0.0.1:{}/v1", refused_port()), "weight": 1, "num_retries": 0,
    });
    let with_sibling = Config::new().with("m", "bad", &good, refused.clone()).with(
        "m",
        "good",
        &good,
        json!({"weight": 0}),
    );
    let hale = with_sibling.router(json!({"num_retries": 2})).start();
    // The deployment's own `num_retries: 0` counts, so this is one attempt.
    let answer = chat(&hale, "m");
    expect_error(&answer, 502, "upstream_failed");
    let mut more = refused;
    more["num_retries"] = json!(1);
    let hale = Config::new()
        .with("m", "bad", &good, more.clone())
        .with("m", "good", &good, json!({"weight": 0}))
        .start();
    let answer = chat(&hale, "m");
    assert_eq!((answer.status, answer.header("x-litellm-attempted-retries")), (200, Some("1")));
    more["num_retries"] = json!(0);
    let hale = Config::new().with("m", "bad", &good, more).start();
    let error = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "connect");
    assert_eq!(error["attempts"][0]["status"], json!(null));
}

#[test]
fn a_connection_closed_between_requests_is_replaced_without_a_retry() {
    // F33.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    for round in 0..3 {
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 200, "round {round}: {}", answer.text());
        assert_eq!(answer.header("x-litellm-attempted-retries"), Some("0"));
        upstream.close_connections();
    }
    assert_eq!((upstream.requests().len(), upstream.state().opened()), (3, 3));
}

#[test]
fn a_connection_closed_as_the_request_arrives_is_replaced_without_a_retry() {
    // F33.
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    // The kept connection takes the request and ends without a byte of an answer.
    for closing in [Script::ok().close(), Script::ok().reset()] {
        upstream.push(closing);
        let answer = chat(&hale, "m");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-litellm-attempted-retries"), Some("0"));
    }
}

#[test]
fn an_upstream_that_wants_its_connection_closed_gets_a_new_one_each_time() {
    let upstream = FakeUpstream::with(|request| match request.order {
        0 | 1 => {
            let body = openai::chat_completion("gpt-4o", "x");
            Script::ok().header("connection", "close").json(&body).close()
        }
        _ => Script::answer(request),
    });
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    for _ in 0..4 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    assert_eq!(upstream.state().opened(), 3);
}

#[test]
fn an_upstream_that_comes_back_on_its_port_is_found_again() {
    let mut upstream = FakeUpstream::start();
    let port = upstream.port();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    upstream.stop();
    expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    let _again = FakeUpstream::start_on(port, openai::answer).unwrap();
    assert_eq!(chat(&hale, "m").status, 200);
}

#[test]
fn tls_to_a_server_that_speaks_none_is_said_to_be_tls() {
    // Bad input, row F18.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // This is how plain HTTP servers answer a TLS hello before they close.
            let mut hello = [0; 64];
            drop(stream.read(&mut hello));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
        }
    });
    let good = FakeUpstream::start();
    let base = json!({"api_base": format!("https://127.0.0.1:{port}/v1"), "num_retries": 0});
    let hale = Config::new().with("m", "a", &good, base).start();
    let error = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "tls", "{error}");
}

#[test]
fn tls_upstreams_go_through_https_proxy_unless_no_proxy_names_them() {
    let proxy = FakeUpstream::with(|_| Script::error(403, "not through here"));
    let port = refused_port();
    let base = json!({"api_base": format!("https://127.0.0.1:{port}/v1"), "num_retries": 0});
    let config = Config::new().with("m", "a", &proxy, base);
    let hale = config.launch().env("HTTPS_PROXY", &proxy.url()).start();
    let error = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "connect", "{error}");
    let request = proxy.request(0);
    assert_eq!((&*request.method, &*request.path), ("CONNECT", &*format!("127.0.0.1:{port}")));
    assert!(!request.headers.contains("authorization"), "the proxy got the key");
    let launch = config.launch().env("HTTPS_PROXY", &proxy.url()).env("NO_PROXY", "127.0.0.1");
    expect_error(&chat(&launch.start(), "m"), 502, "upstream_failed");
    assert_eq!(proxy.requests().len(), 1);
}

#[test]
fn a_name_that_does_not_resolve_is_said_to_be_dns() {
    // Bad input, row F19.
    let good = FakeUpstream::start();
    // A label of more than 63 characters is not even sent to a resolver.
    let host = "a".repeat(70);
    let base = json!({"api_base": format!("http://{host}.invalid/v1"), "num_retries": 0});
    let hale = Config::new().with("m", "a", &good, base).start();
    let error = expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "dns", "{error}");
}

#[test]
fn many_requests_at_once_get_each_its_own_answer() {
    let upstream = FakeUpstream::with(|request| {
        let text = request.json()["messages"][0]["content"].as_str().unwrap_or("").to_owned();
        Script::ok().wait("all").json(&openai::chat_completion("gpt-4o", &text))
    });
    let hale = lone(&upstream).start();
    thread::scope(|scope| {
        let ask = |number: usize| {
            let text = format!("number {number}");
            let mut client = client(&hale);
            let answer = client.post_json(CHAT, &[], &openai::chat_request("m", &text));
            assert_eq!(answer.json()["choices"][0]["message"]["content"], text);
        };
        for number in 0..40 {
            scope.spawn(move || ask(number));
        }
        upstream.wait_for(|state| state.waiting_at("all") == 40);
        upstream.release("all");
    });
}

#[test]
fn a_silent_upstream_does_not_hold_up_others() {
    // F3.
    let (silent, good) = (FakeUpstream::with(|_| Script::silent()), FakeUpstream::start());
    let hale = pair(&silent, &good).deployment("other", "c", &good).start();
    let mut waiting = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    waiting.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    silent.wait_for_requests(1);
    let begin = Stopwatch::start();
    assert_eq!(chat(&hale, "other").status, 200);
    begin.less_than_ms(1_000);
}

#[test]
fn an_answer_that_began_on_a_kept_connection_is_not_requested_again() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    // The upstream has begun to answer: it did the work, and may bill for it.
    upstream.push(Script::ok().raw("HTTP/1.1 200 OK\r\ncontent-type: appl").close());
    expect_error(&chat(&hale, "m"), 502, "upstream_failed");
    assert_eq!(upstream.requests().len(), 2);
}

/// An upstream that reads a head, answers at once and never reads the body.
fn hasty(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 16];
            drop(stream.read(&mut head));
            drop(stream.write_all(answer.as_bytes()));
            open.push(stream);
        }
    });
    port
}

#[test]
fn a_refusal_that_comes_before_the_body_was_read_is_relayed() {
    // Bad input, row 100.
    let port = hasty(
        "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n\
         {\"error\":{\"message\":\"that is too much\"}}",
    );
    let good = FakeUpstream::start();
    let base = json!({"api_base": format!("http://127.0.0.1:{port}/v1"), "num_retries": 0});
    let hale = Config::new().with("m", "a", &good, base).start();
    let body = openai::chat_request("m", &"x".repeat(30 << 20)).to_string();
    let begin = Stopwatch::start();
    let answer = client(&hale).request("POST", CHAT, &[], body.as_bytes());
    let error = expect_error(&answer, 413, "upstream_rejected");
    assert_eq!(error["message"], "that is too much");
    begin.less_than_ms(10_000);
}
