//! Bounds on what a client may send, hold and wait for.

use std::time::Duration;

use hale_testkit::{Client, FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, LOG, chat, client, expect_error, lone, metric, wait_for_records,
    wait_until_idle,
};
use crate::timing::Stopwatch;

fn start(upstream: &FakeUpstream, general: Value) -> Hale {
    lone(upstream).general(general).start()
}

fn head(framing: &str) -> String {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\n{framing}\r\n\r\n"
    )
}

fn request_of(bytes: usize) -> String {
    let empty = openai::chat_request("m", "").to_string().len();
    openai::chat_request("m", &"x".repeat(bytes - empty)).to_string()
}

#[test]
fn a_head_beyond_the_limit_is_refused_and_one_below_it_is_not() {
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"max_header_bytes": 4096}));
    let ask = |bytes: usize| {
        let long = "x".repeat(bytes);
        client(&hale).try_request("GET", "/v1/models", &[("x-long", &long)], b"")
    };
    assert_eq!(ask(3000).unwrap().status, 200);
    for bytes in [5000, 50_000, 500_000] {
        // 431, or a connection that ends: never a successful answer.
        if let Ok(answer) = ask(bytes) {
            assert_eq!(answer.status, 431, "{bytes}: {}", answer.text());
        }
    }
    let many: Vec<(String, String)> = (0..300).map(|n| (format!("x-{n}"), "1".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    if let Ok(answer) = client(&hale).try_request("GET", "/v1/models", &many, b"") {
        assert_eq!(answer.status, 431, "{}", answer.text());
    }
    let path = format!("/{}", "p".repeat(60_000));
    if let Ok(answer) = client(&hale).try_request("GET", &path, &[], b"") {
        assert!([414, 431].contains(&answer.status), "{}", answer.text());
    }
    assert_eq!(ask(10).unwrap().status, 200, "the process lives on");
}

#[test]
fn a_body_at_the_limit_passes_and_one_byte_more_does_not() {
    const LIMIT: usize = 2 << 20;
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"max_request_size_mb": 2}));
    let post = |body: &str| client(&hale).request("POST", CHAT, &[], body.as_bytes());
    assert_eq!(post(&request_of(LIMIT)).status, 200);
    let mut sender = client(&hale);
    sender.send_raw(head(&format!("content-length: {}", LIMIT + 1)).as_bytes()).unwrap();
    // The length alone is enough; no byte of the body has to come.
    let answer = sender.read_response().unwrap();
    expect_error(&answer, 413, "body_too_large");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_chunked_body_is_refused_as_soon_as_it_is_too_long() {
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"max_request_size_mb": 0.01}));
    let mut sender = client(&hale);
    sender.send_raw(head("transfer-encoding: chunked").as_bytes()).unwrap();
    let piece = format!("1000\r\n{}\r\n", "x".repeat(4096));
    for _ in 0..3 {
        sender.send_raw(piece.as_bytes()).unwrap();
    }
    // Three pieces are too much already, and the body has no end yet.
    let answer = sender.read_response().unwrap();
    expect_error(&answer, 413, "body_too_large");
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_client_that_sends_all_of_a_too_large_body_still_reads_the_refusal() {
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"max_request_size_mb": 1}));
    let body = request_of(8 << 20);
    for _ in 0..5 {
        let mut sender = client(&hale);
        // Sending may fail half-way; the answer must be there all the same.
        drop(sender.send("POST", CHAT, &[], body.as_bytes()));
        let answer = sender.read_response().expect("the refusal can be read");
        expect_error(&answer, 413, "body_too_large");
    }
}

#[test]
fn a_body_that_stops_coming_is_refused() {
    // Bad input, row F50.
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"body_read_timeout_s": 0.3}));
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut sender = client(&hale);
        sender.send_raw(head(framing).as_bytes()).unwrap();
        let begin = Stopwatch::start();
        let bytes = sender.read_to_end().expect("the gateway closes");
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 408 ") && text.contains("slow_body"), "{text}");
        assert!(text.contains("connection: close"), "{text}");
        begin.less_than_ms(3_000);
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_slow_head_is_closed_even_when_it_drips() {
    // Bad input, row F50.
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"header_read_timeout_s": 0.3, "idle_timeout_s": 60}));
    let mut slow = Client::new(hale.address());
    slow.send_raw(b"GET /v1/models HTT").unwrap();
    let begin = Stopwatch::start();
    let mut dripping = Client::new(hale.address());
    dripping.send_raw(b"GET /v1/models HTTP/1.1\r\n").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| slow.wait_for_close());
        // Pieces of a header keep coming; the head is bounded as a whole.
        crate::support::within(Duration::from_secs(5), "the dripping head is closed", || {
            dripping.send_raw(b"x").err()
        });
        begin.less_than_ms(4_000);
    });
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let upstream = FakeUpstream::with(|_| {
        let body = openai::chat_completion("gpt-4o", "late");
        Script::ok().delay(Duration::from_millis(2500)).json(&body)
    });
    let hale = start(&upstream, json!({"idle_timeout_s": 0.3}));
    let mut idle = client(&hale);
    assert_eq!(idle.get("/v1/models").status, 200);
    let mut silent = Client::new(hale.address());
    silent.send_raw(b"").unwrap();
    let begin = Stopwatch::start();
    assert_eq!(chat(&hale, "m").status, 200, "a request under way is not idle");
    idle.wait_for_close().unwrap();
    silent.wait_for_close().unwrap();
    begin.less_than_ms(4_000);
}

#[test]
fn bodies_held_by_all_requests_together_are_bounded() {
    // Bad input, row F47.
    let upstream = FakeUpstream::with(|request| {
        Script::ok().wait("go").json(&openai::chat_completion(&request.model(), "ok"))
    });
    let hale = start(
        &upstream,
        json!({
            "max_buffered_mb": 1, "max_request_size_mb": 1, "max_response_size_mb": 1,
        }),
    );
    let body = request_of(700 << 10);
    let mut first = client(&hale);
    first.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    let held = metric(&hale, "hale_buffered_bytes", &[]);
    assert!(held >= f64::from(700 << 10), "{held}");
    let answer = client(&hale).request("POST", CHAT, &[], body.as_bytes());
    expect_error(&answer, 503, "overloaded");
    assert_eq!(answer.header("retry-after"), Some("1"));
    upstream.release("go");
    assert_eq!(first.read_response().unwrap().status, 200);
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    let again = client(&hale).request("POST", CHAT, &[], body.as_bytes());
    assert_eq!(again.status, 200, "{}", again.text());
}

#[test]
fn an_answer_is_counted_until_its_client_has_read_it() {
    let upstream = FakeUpstream::with(|request| {
        Script::ok().json(&openai::chat_completion(&request.model(), &"x".repeat(2 << 20)))
    });
    let hale = start(&upstream, json!({"request_log": LOG}));
    let mut slow = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    slow.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    wait_for_records(&hale, 1);
    let held = metric(&hale, "hale_buffered_bytes", &[]);
    assert!(held >= f64::from(2 << 20), "the gateway is done with it, and holds it: {held}");
    assert_eq!(slow.read_response().unwrap().status, 200);
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}

#[test]
fn pages_that_slow_clients_do_not_read_are_bounded_like_bodies() {
    let upstream = FakeUpstream::start();
    let bounds = json!({"max_buffered_mb": 1, "max_request_size_mb": 1, "max_response_size_mb": 1});
    let many = (0..600).fold(Config::new().general(bounds), |config, number| {
        config.deployment(&format!("m{number}"), &format!("d{number}"), &upstream)
    });
    let hale = many.start();
    let page = client(&hale).get("/router/state");
    assert!(page.body.len() > 400 << 10, "{}: the system takes less than that", page.body.len());
    let mut slow: Vec<Client> = Vec::new();
    let refused = (0..8).find_map(|_| {
        let mut one = client(&hale);
        one.send("GET", "/router/state", &[], b"").unwrap();
        slow.push(one);
        let answer = client(&hale).get("/router/state");
        (answer.status != 200).then_some(answer)
    });
    expect_error(&refused.expect("the pages are bounded"), 503, "overloaded");
    assert_eq!(client(&hale).get("/health/liveliness").status, 200, "small pages are served");
    drop(slow);
    wait_until_idle(&hale);
    assert_eq!(client(&hale).get("/router/state").status, 200);
}

#[test]
fn a_client_that_waits_for_permission_to_send_gets_it_or_a_refusal() {
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({"max_request_size_mb": 1}));
    let body = openai::chat_request("m", "hi").to_string();
    let mut polite = client(&hale);
    let expecting = format!("expect: 100-continue\r\ncontent-length: {}", body.len());
    polite.send_raw(head(&expecting).as_bytes()).unwrap();
    polite.send_raw(body.as_bytes()).unwrap();
    assert_eq!(polite.read_response().unwrap().status, 200);
    let mut large = client(&hale);
    let expecting = "expect: 100-continue\r\ncontent-length: 99999999";
    large.send_raw(head(expecting).as_bytes()).unwrap();
    let bytes = large.read_to_end().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.starts_with("HTTP/1.1 413"), "no permission comes before the refusal: {text}");
}

#[test]
fn thousands_of_open_connections_do_not_keep_others_out() {
    // Bad input, row F50.
    let upstream = FakeUpstream::start();
    let hale = start(&upstream, json!({}));
    let idle: Vec<_> = (0..400)
        .map(|_| {
            let mut client = Client::new(hale.address());
            client.send_raw(b"G").unwrap();
            client
        })
        .collect();
    assert_eq!(chat(&hale, "m").status, 200);
    assert!(metric(&hale, "hale_connections", &[]) >= 400.0);
    drop(idle);
    crate::support::eventually("they are gone", || {
        (metric(&hale, "hale_connections", &[]) < 5.0).then_some(())
    });
}

/// A stream that has its first content and waits for `end`.
fn held_stream() -> Script {
    Script::ok()
        .stream()
        .event(&openai::content_chunk("gpt-4o", "one"))
        .wait("end")
        .event(&openai::finish_chunk("gpt-4o", "stop"))
        .done()
}

fn stream_request_of(bytes: usize) -> Value {
    openai::stream_request("m", &"x".repeat(bytes))
}

#[test]
fn a_body_is_kept_beyond_the_first_content_only_where_it_is_small() {
    for (bytes, kept) in [(10 << 10, true), (200 << 10, true), (300 << 10, false)] {
        let upstream = FakeUpstream::start();
        upstream.push(held_stream());
        let hale = start(&upstream, json!({}));
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &stream_request_of(bytes));
        assert_eq!(stream.next_event().unwrap().content(), "one");
        let held = metric(&hale, "hale_buffered_bytes", &[]);
        assert_eq!(held >= bytes as f64, kept, "{bytes}: {held}");
        assert_eq!(held == 0.0, !kept, "{bytes}: {held}");
        upstream.release("end");
        assert!(stream.remaining().last().unwrap().is_done());
        wait_until_idle(&hale);
        assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0, "{bytes}");
    }
}

#[test]
fn bodies_of_streams_fill_at_most_a_quarter_of_the_memory_for_bodies() {
    let upstream = FakeUpstream::start();
    upstream.answer_with(|_| held_stream());
    let bounds = json!({"max_buffered_mb": 1, "max_request_size_mb": 1, "max_response_size_mb": 1});
    let hale = start(&upstream, bounds);
    let mut clients = [client(&hale), client(&hale), client(&hale)];
    let mut streams = Vec::new();
    for client in &mut clients {
        let mut stream = client.stream(CHAT, &[], &stream_request_of(100 << 10));
        assert_eq!(stream.next_event().unwrap().content(), "one");
        streams.push(stream);
    }
    let held = metric(&hale, "hale_buffered_bytes", &[]);
    assert!(held > f64::from(200 << 10) && held <= f64::from(256 << 10), "{held}");
    upstream.release("end");
    for mut stream in streams {
        assert!(stream.remaining().last().unwrap().is_done());
    }
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}
