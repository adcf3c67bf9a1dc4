//! Clients that disconnect: the upstream is released at once, and no deployment is blamed.

use std::time::Duration;

use hale_testkit::{Client, FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, LOG, blamed, client, lone, metric, wait_for_records, wait_until_idle};
use crate::timing::{Stopwatch, within_bound};

/// How soon the upstream must be released: it works, and bills, until then.
const AT_ONCE: Duration = Duration::from_millis(200);

fn start(script: impl Fn() -> Script + Send + 'static) -> (FakeUpstream, Hale) {
    let upstream = FakeUpstream::with(move |_| script());
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    (upstream, hale)
}

#[track_caller]
fn expect_let_go(upstream: &FakeUpstream, hale: &Hale, count: usize) -> Value {
    let gone = upstream.wait_within(within_bound(AT_ONCE), |state| state.closed_by_peer() >= count);
    assert!(gone.is_ok(), "still there: {gone:?}");
    wait_until_idle(hale);
    let record = wait_for_records(hale, count).pop().unwrap();
    assert_eq!(record["ending"], "client_closed", "{record}");
    assert_eq!((&record["status"], &record["cause"]), (&json!(499), &json!("client_closed")));
    let counted = metric(hale, "hale_requests_total", &[("ending", "client_closed")]);
    assert!(counted.total_cmp(&(count as f64)).is_eq(), "{counted} of {count}");
    assert_eq!(blamed(hale), 0.0, "the deployment is blamed");
    record
}

fn send(client: &mut Client, stream: bool) {
    let mut body = openai::chat_request("m", "hi");
    body["stream"] = json!(stream);
    client.send("POST", CHAT, &[], body.to_string().as_bytes()).unwrap();
}

#[test]
fn a_client_that_leaves_before_the_answers_head_frees_the_upstream() {
    // Bad input, row F50.
    let (upstream, hale) = start(Script::silent);
    for (count, (stream, reset)) in
        [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
    {
        let mut client = client(&hale);
        send(&mut client, stream);
        upstream.wait_for_requests(count + 1);
        if reset {
            client.abort();
        } else {
            client.disconnect();
        }
        let record = expect_let_go(&upstream, &hale, count + 1);
        assert_eq!(record["stream"], stream, "{record}");
    }
}

#[test]
fn a_request_whose_client_left_is_counted_for_its_group_and_deployment() {
    let (upstream, hale) = start(Script::silent);
    let mut client = client(&hale);
    send(&mut client, false);
    upstream.wait_for_requests(1);
    client.disconnect();
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["model_group"], "m", "{record}");
    assert_eq!(record["deployment"], "a", "{record}");
    let labels = [("model_group", "m"), ("ending", "client_closed")];
    assert_eq!(metric(&hale, "hale_requests_total", &labels), 1.0);
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_stream_frees_the_upstream() {
    // Bad input, row 74.
    let (upstream, hale) =
        start(|| Script::ok().stream().event(&openai::content_chunk("gpt-4o", "x")).silence());
    for (count, reset) in [false, true].into_iter().enumerate() {
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
        assert_eq!(stream.next_event().unwrap().content(), "x");
        if reset {
            stream.abort();
        } else {
            stream.disconnect();
        }
        let record = expect_let_go(&upstream, &hale, count + 1);
        assert!(record["first_content_us"].as_u64().unwrap() > 0, "{record}");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_full_answer_frees_the_upstream() {
    let (upstream, hale) =
        start(|| Script::ok().declared_length(1000).body("application/json", "{").silence());
    let mut client = client(&hale);
    send(&mut client, false);
    upstream.wait_for(|state| state.connections.iter().any(|it| it.written > 0));
    client.disconnect();
    expect_let_go(&upstream, &hale, 1);
}

#[test]
fn no_attempt_follows_a_client_that_leaves_during_a_pause() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(2));
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    let mut client = client(&hale);
    send(&mut client, false);
    upstream.wait_for(|state| state.answered() == 1);
    client.disconnect();
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["ending"], "client_closed", "{record}");
    wait_until_idle(&hale);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_client_that_leaves_while_sending_is_not_an_error_of_the_gateway() {
    // Bad input, row F50.
    let (upstream, hale) = start(Script::silent);
    let mut client = client(&hale);
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 1000\r\n\r\n{{",
        crate::support::KEY
    );
    client.send_raw(head.as_bytes()).unwrap();
    crate::support::eventually("the request is in flight", || {
        (metric(&hale, "hale_in_flight_requests", &[]) >= 2.0).then_some(())
    });
    client.disconnect();
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["ending"], "client_closed", "{record}");
    assert_eq!(record["cause"], "client_closed", "{record}");
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_half_open_request_whose_client_leaves_decides_nothing() {
    let upstream = FakeUpstream::with(|_| Script::error(500, "boom"));
    let good = FakeUpstream::start();
    let hale = crate::support::pair(&upstream, &good).router(json!({"cooldown_time": 0.2})).start();
    for _ in 0..3 {
        assert_eq!(crate::support::chat(&hale, "m").status, 200);
    }
    upstream.answer_with(|_| Script::silent());
    // Send requests until one is the half-open request; then its client leaves.
    let half_open = crate::support::eventually("a half-open request", || {
        let mut client = client(&hale).with_timeout(Duration::from_secs(5));
        send(&mut client, false);
        let arrived = upstream.wait_within(Duration::from_millis(50), |it| it.requests.len() > 3);
        arrived.is_ok().then_some(client)
    });
    drop(half_open);
    upstream.wait_for(|state| state.closed_by_peer() >= 1);
    upstream.answer_with(Script::answer);
    let begin = Stopwatch::start();
    crate::support::eventually("it comes back", || {
        let answer = crate::support::chat(&hale, "m");
        (answer.header("x-litellm-model-id") == Some("bad")).then_some(())
    });
    begin.less_than_ms(1_000);
}

#[test]
fn a_slow_reader_holds_back_the_upstream_instead_of_filling_memory() {
    // Bad input, row F50.
    let event = openai::content_chunk("gpt-4o", &"x".repeat(60_000));
    let upstream = FakeUpstream::with(move |_| {
        let script = Script::ok().stream();
        (0..1000)
            .fold(script, |it, _| it.event(&event))
            .event(&openai::finish_chunk("g", "stop"))
            .done()
    });
    let hale = lone(&upstream).start();
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    stream.next_event().unwrap();
    // Sockets on both sides take a few MiB; after that the upstream must wait.
    let stuck = crate::support::eventually("the upstream waits", || {
        let before = upstream.state().connections[0].written;
        let more = upstream
            .wait_within(Duration::from_millis(300), |it| it.connections[0].written > before);
        more.is_err().then_some(before)
    });
    assert!(stuck < 30 << 20, "{stuck} bytes were taken for a client that does not read");
    let events = stream.remaining();
    assert_eq!((events.len(), events.last().unwrap().is_done()), (1001, true));
}

#[test]
fn a_client_that_leaves_with_a_second_request_waiting_frees_the_upstream_too() {
    // Bad input, row F50.
    let (upstream, hale) = start(Script::silent);
    let mut client = client(&hale);
    send(&mut client, false);
    upstream.wait_for_requests(1);
    client.send_raw(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    client.abort();
    expect_let_go(&upstream, &hale, 1);
}
