//! Requests that wait for their turn instead of being refused, over real sockets.
//!
//! The rules are those of `docs/routing.md`; the simulator has a row for each (`crates/core/tests/sim/waiting.rs`).

use std::thread;
use std::time::Duration;

use hale_testkit::{Client, FakeUpstream, Hale, Response, Script, Signal, TIMEOUT, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, LOG, UPSTREAM_KEY, chat, chat_with, client, error, eventually, expect_error,
    lone, metric, now, wait_for_records, within,
};
use crate::timing::{Stopwatch, bounded_ms, within_bound};

/// An upstream that limits the rate for so many seconds after its first request, and answers after 50 ms then.
fn limited(seconds: u64) -> FakeUpstream {
    let mut ends = None;
    FakeUpstream::with(move |request| {
        let ends = *ends.get_or_insert_with(|| now() + Duration::from_secs(seconds));
        let left = ends.saturating_duration_since(now());
        match left.is_zero() {
            true => Script::answer(request).late(Duration::from_millis(50)),
            false => Script::rate_limited(left.as_secs() + 1),
        }
    })
}

/// An upstream that limits the rate of its first request, and answers at a gate then.
fn limited_once(seconds: u64) -> FakeUpstream {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().wait("go").json(&openai::chat_completion("gpt-4o", "hi"))
    });
    upstream.push(Script::rate_limited(seconds));
    upstream
}

/// A chat request that is answered or refused at once.
fn at_once(hale: &Hale) -> Response {
    chat_with(hale, &[("x-litellm-num-retries", "0")], &openai::chat_request("m", "hi"))
}

/// Sends a chat request on a new connection, and does not wait for its answer.
fn send(hale: &Hale, stream: bool) -> Client {
    let mut client = client(hale);
    let mut body = openai::chat_request("m", "hi");
    body["stream"] = json!(stream);
    client.send("POST", CHAT, &[], body.to_string().as_bytes()).unwrap();
    client
}

#[track_caller]
fn wait_for_waiting(hale: &Hale, count: u32) {
    eventually("so many wait", || {
        metric(hale, "hale_waiting", &[]).total_cmp(&f64::from(count)).is_eq().then_some(())
    });
}

/// The first deployment on the page of the router.
fn state(hale: &Hale) -> Value {
    client(hale).get("/router/state").json()["deployments"][0].clone()
}

#[track_caller]
fn wait_for_state(hale: &Hale, expected: &str) {
    eventually("its state", || (state(hale)["state"] == expected).then_some(()));
}

#[test]
fn fifty_requests_are_answered_when_the_time_of_their_key_is_over() {
    let upstream = limited(3);
    let config = (0..6).fold(Config::new(), |config, number| {
        config.deployment("m", &format!("d{number}"), &upstream)
    });
    let hale = config.start();
    let first = thread::scope(|scope| {
        let first = scope.spawn(|| chat(&hale, "m"));
        upstream.wait_for_requests(1);
        let begin = Stopwatch::start();
        wait_for_waiting(&hale, 1);
        let all: Vec<_> = (0..50).map(|_| scope.spawn(|| chat(&hale, "m"))).collect();
        for one in all {
            assert_eq!(one.join().unwrap().status, 200);
        }
        begin.between_ms(2_900, 3_500);
        first.join().unwrap()
    });
    assert_eq!(first.status, 200);
    let failed = [("outcome", "rate_limited")];
    let refused = metric(&hale, "hale_attempts_total", &failed);
    assert!(refused <= 7.0, "{refused} were refused");
    assert_eq!(metric(&hale, "hale_waited_seconds_count", &[]), 51.0);
    assert_eq!(metric(&hale, "hale_waiting", &[]), 0.0);
}

#[test]
fn of_five_that_come_together_after_a_limit_one_finds_out() {
    let upstream = limited_once(1);
    let hale = lone(&upstream).start();
    expect_error(&at_once(&hale), 429, "upstream_rate_limited");
    wait_for_state(&hale, "trial");
    let mut clients: Vec<Client> = (0..5).map(|_| send(&hale, false)).collect();
    wait_for_waiting(&hale, 4);
    assert_eq!(upstream.requests().len(), 2, "one is at the provider");
    upstream.release("go");
    for client in &mut clients {
        assert_eq!(client.read_response().unwrap().status, 200);
    }
    assert_eq!(state(&hale)["waiting"], 0);
}

#[test]
fn the_next_ones_go_although_the_first_is_undecided() {
    let upstream = limited_once(1);
    let hale = lone(&upstream).start();
    expect_error(&at_once(&hale), 429, "upstream_rate_limited");
    wait_for_state(&hale, "trial");
    let mut clients: Vec<Client> = (0..3).map(|_| send(&hale, false)).collect();
    let begin = Stopwatch::start();
    upstream.wait_for_requests(4);
    begin.at_least_ms(1_900);
    upstream.release("go");
    for client in &mut clients {
        assert_eq!(client.read_response().unwrap().status, 200);
    }
}

#[test]
fn a_client_that_leaves_the_line_is_gone_at_once() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(10));
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    for (count, stream) in [(1, false), (2, true)] {
        let mut waits = send(&hale, stream);
        wait_for_waiting(&hale, 1);
        // What it sends ahead is no end.
        waits.send_raw(b"GET /health/liveliness HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert_eq!(client(&hale).get("/health/liveliness").status, 200);
        assert_eq!(metric(&hale, "hale_waiting", &[]), 1.0);
        assert!(waits.read_response_now().is_none(), "nothing is sent before its turn");
        waits.disconnect();
        within(within_bound(Duration::from_millis(100)), "it left the line", || {
            (metric(&hale, "hale_waiting", &[]) == 0.0).then_some(())
        });
        let record = wait_for_records(&hale, count).pop().unwrap();
        assert_eq!(record["ending"], "client_closed", "{record}");
        assert!(record["waited_us"].as_u64().is_some_and(|us| us > 0), "{record}");
    }
    assert_eq!(upstream.requests().len(), 1, "the second one knew");
}

#[test]
fn a_request_waits_for_a_free_slot_and_its_route_says_so() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().wait("go").json(&openai::chat_completion("gpt-4o", "hi"))
    });
    let hale = Config::new().with("m", "a", &upstream, json!({"max_parallel_requests": 1})).start();
    let mut first = send(&hale, false);
    upstream.wait_for_requests(1);
    let body = openai::chat_request("m", "hi");
    let mut second = client(&hale);
    second.send("POST", CHAT, &[("x-hale-explain", "true")], body.to_string().as_bytes()).unwrap();
    wait_for_waiting(&hale, 1);
    assert_eq!((&state(&hale)["waiting"], &state(&hale)["state"]), (&json!(1), &json!("ready")));
    expect_error(&at_once(&hale), 429, "no_healthy_deployments");
    assert_eq!(upstream.requests().len(), 1);
    upstream.release("go");
    assert_eq!(first.read_response().unwrap().status, 200);
    let answer = second.read_response().unwrap();
    assert_eq!((answer.status, answer.header("x-litellm-attempted-retries")), (200, Some("0")));
    let route = answer.header("x-hale-route").unwrap();
    assert!(route.starts_with("waited ") && route.ends_with("ms; m/a=ok"), "{route}");
}

#[test]
fn a_request_that_may_not_wait_learns_why_and_until_when() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(40));
    let hale = lone(&upstream).start();
    let refused = at_once(&hale);
    expect_error(&refused, 429, "upstream_rate_limited");
    assert_eq!(refused.header("retry-after"), Some("40"));
    for stream in [false, true] {
        let mut waits = send(&hale, stream);
        let refused = waits.read_response().unwrap();
        let said = expect_error(&refused, 429, "no_healthy_deployments");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains("did not wait") && message.contains("max_wait_s"), "{message}");
        let left: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((30..=40).contains(&left), "{left}");
    }
    let page = client(&hale).post_json("/router/explain", &[], &json!({"model": "m"}));
    let waits = page.json()["waits_s"].as_f64().unwrap();
    assert!(waits > 30.0 && waits <= 40.0, "{waits}");
}

#[test]
fn a_wait_in_vain_ends_with_the_refusal_and_its_fix() {
    let upstream = FakeUpstream::with(|_| {
        Script::ok().wait("go").json(&openai::chat_completion("gpt-4o", "hi"))
    });
    let hale = Config::new()
        .with("m", "a", &upstream, json!({"max_parallel_requests": 1}))
        .router(json!({"max_wait_s": 0.5, "max_waiting": 1}))
        .start();
    let mut first = send(&hale, false);
    upstream.wait_for_requests(1);
    let begin = Stopwatch::start();
    let mut second = send(&hale, false);
    wait_for_waiting(&hale, 1);
    let full = error(&chat(&hale, "m"))["message"].as_str().unwrap().to_owned();
    assert!(full.contains("1 requests") && full.contains("max_waiting"), "{full}");
    let answer = second.read_response().unwrap();
    begin.at_least_ms(490);
    let said = expect_error(&answer, 429, "no_healthy_deployments");
    assert!(said["message"].as_str().unwrap().contains("waited 0.5"), "{said}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    upstream.release("go");
    assert_eq!(first.read_response().unwrap().status, 200);
}

#[test]
fn an_operator_who_resets_a_deployment_lets_the_line_go_on() {
    let upstream = FakeUpstream::start();
    upstream.push(Script::rate_limited(12));
    let hale = lone(&upstream).start();
    let mut waits = send(&hale, false);
    wait_for_waiting(&hale, 1);
    let page = client(&hale).post_json("/router/deployments/a/reset", &[], &json!({}));
    assert_eq!(page.status, 200);
    assert_eq!(waits.read_response().unwrap().status, 200);
}

#[test]
fn a_new_config_is_looked_at_from_the_line() {
    let (upstream, other) =
        (FakeUpstream::with(|_| Script::rate_limited(12)), FakeUpstream::start());
    let hale = lone(&upstream).start();
    let mut waits = send(&hale, false);
    wait_for_waiting(&hale, 1);
    hale.rewrite_config(&lone(&upstream).deployment("m", "b", &other).text());
    hale.signal(Signal::Hup);
    let answer = waits.read_response().unwrap();
    assert_eq!((answer.status, answer.header("x-litellm-model-id")), (200, Some("b")));
    assert_eq!(other.requests().len(), 1);
}

#[test]
fn at_the_end_of_the_process_a_request_whose_turn_is_too_late_is_refused() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(12));
    let mut hale = lone(&upstream).general(json!({"shutdown_timeout_s": 5})).start();
    let mut waits = send(&hale, false);
    wait_for_waiting(&hale, 1);
    hale.signal(Signal::Term);
    let refused = waits.read_response().unwrap();
    expect_error(&refused, 503, "shutting_down");
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
}

#[test]
fn at_the_end_of_the_process_a_request_whose_turn_comes_is_answered() {
    let upstream = limited(2);
    let mut hale = lone(&upstream).general(json!({"shutdown_timeout_s": 15})).start();
    let mut waits = send(&hale, false);
    wait_for_waiting(&hale, 1);
    hale.signal(Signal::Term);
    assert_eq!(waits.read_response().unwrap().status, 200);
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
}

#[test]
fn the_largest_body_in_line_is_refused_when_bodies_fill_their_memory() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(12));
    let hale = lone(&upstream)
        .general(json!({"max_buffered_mb": 8, "max_request_size_mb": 8, "max_response_size_mb": 8}))
        .start();
    let mut first = send(&hale, false);
    wait_for_waiting(&hale, 1);
    let mut large: Vec<Client> = Vec::new();
    for mib in [1, 2, 3] {
        let mut client = hale.client_with_key(KEY);
        let body = openai::chat_request("m", &"x".repeat(mib << 20)).to_string();
        client.send("POST", CHAT, &[], body.as_bytes()).unwrap();
        large.push(client);
        if mib < 3 {
            wait_for_waiting(&hale, u32::try_from(mib).unwrap() + 1);
        }
    }
    let refused = large[2].read_response().unwrap();
    expect_error(&refused, 503, "overloaded");
    assert_eq!(refused.header("retry-after"), Some("1"));
    wait_for_waiting(&hale, 3);
    assert!(first.read_response_now().is_none() && large[1].read_response_now().is_none());
}

#[test]
fn deployments_with_other_models_of_one_key_find_out_each_for_itself() {
    let upstream = limited(2);
    let model = |model: &str| json!({"model": format!("openai/{model}"), "api_key": UPSTREAM_KEY});
    let hale = Config::new()
        .with("m", "a", &upstream, model("one"))
        .with("m", "b", &upstream, model("two"))
        .start();
    assert_eq!(chat(&hale, "m").status, 200);
    let failed = [("outcome", "rate_limited")];
    assert_eq!(metric(&hale, "hale_attempts_total", &failed), 2.0);
}

/// Memory of the process, bytes.
fn resident(hale: &Hale) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hale.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// CPU time of the process, hundredths of a second.
fn worked(hale: &Hale) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", hale.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split_whitespace().collect();
    fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_thousand_waiting_requests_cost_little_memory_and_no_work() {
    const COUNT: u32 = 1_000;
    let upstream = FakeUpstream::with(|_| Script::rate_limited(15));
    let hale = lone(&upstream).router(json!({"max_wait_s": 30})).start();
    at_once(&hale);
    let mut clients: Vec<Client> = (0..COUNT).map(|_| client(&hale)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/health/liveliness").status, 200);
    }
    let idle = resident(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    for client in &mut clients {
        client.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    }
    wait_for_waiting(&hale, COUNT);
    let each = resident(&hale).saturating_sub(idle) / u64::from(COUNT);
    // A build without optimization has larger futures. What a release build takes stands in docs/performance.md.
    assert!(each <= 16 << 10, "{each} bytes each");
    let (before, watch) = (worked(&hale), Stopwatch::start());
    eventually("three seconds", || (watch.ms() >= 3_000).then_some(()));
    let percent = (worked(&hale) - before) * 1_000 / watch.ms();
    bounded_ms(percent, 2);
}

#[test]
fn a_limit_without_a_time_is_repeated_after_a_pause() {
    let upstream = FakeUpstream::start();
    upstream.push(Script::error(429, "slow down"));
    upstream.push(Script::error(429, "slow down"));
    let hale = lone(&upstream).general(json!({"request_log": LOG})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(upstream.requests().len(), 3);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    // Half of the pauses of 0.5 s and 1 s is fixed.
    let least_us = 750_000;
    assert!(record["duration_us"].as_u64().unwrap() >= least_us, "{record}");
}
