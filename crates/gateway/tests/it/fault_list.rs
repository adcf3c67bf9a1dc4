//! Upstreams that are slow in every place, come and go, or never take a connection: the faults of the list
//! in `docs/dev/proof.md` that no other module makes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::named_tests;
use crate::support::{CHAT, Config, chat, client, expect_error, lone, metric, pair, within};
use crate::timing::Stopwatch;

/// A port that takes no connection: its queue is full of connections that are never accepted.
struct BlackHole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // After the first connection that is not accepted in time, none is.
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100_000, "the queue has an end");
        }
        BlackHole { listener, _waiting: waiting }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

#[test]
fn an_unanswered_connect_ends_with_the_attempts_time_and_moves_on() {
    // Bad input, row F2.
    let (hole, good) = (BlackHole::open(), FakeUpstream::start());
    let dark = json!({"api_base": format!("http://{}/v1", hole.address()), "weight": 1});
    let hale = Config::new()
        .with("m", "dark", &good, dark.clone())
        .with("m", "good", &good, json!({"weight": 0}))
        .router(json!({"timeout": 0.3}))
        .start();
    for _ in 0..3 {
        let begin = Stopwatch::start();
        let answer = chat(&hale, "m");
        assert_eq!((answer.status, answer.header("x-litellm-model-id")), (200, Some("good")));
        begin.between_ms(290, 2_000);
    }
    // Its breaker opens, and from then on it costs no request any time.
    assert_eq!(metric(&hale, "hale_deployment_resting", &[("deployment", "dark")]), 1.0);
    assert_eq!(chat(&hale, "m").header("x-litellm-attempted-retries"), Some("0"));
    let alone = Config::new()
        .with("m", "dark", &good, dark)
        .router(json!({"timeout": 0.3, "num_retries": 0}))
        .start();
    let error = expect_error(&chat(&alone, "m"), 408, "upstream_timeout");
    assert_eq!(error["attempts"][0]["cause"], "timeout", "{error}");
}

/// A head that comes byte by byte and never ends in time.
fn dripping() -> Script {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-slow: yes\r\n";
    let bytes = head.as_bytes().chunks(1);
    let drip = |script: Script, byte: &[u8]| script.raw(byte).delay(Duration::from_millis(20));
    bytes.fold(Script::ok(), drip).silence()
}

#[test]
fn a_head_that_drips_is_within_the_attempts_time_as_a_whole() {
    // Bad input, row F4.
    let (slow, good) = (FakeUpstream::with(|_| dripping()), FakeUpstream::start());
    let hale = pair(&slow, &good).router(json!({"timeout": 0.3})).start();
    let begin = Stopwatch::start();
    let answer = chat(&hale, "m");
    assert_eq!((answer.status, answer.header("x-litellm-model-id")), (200, Some("good")));
    // No byte is 0.3 s late; the head as a whole would take more than a second.
    begin.between_ms(290, 900);
    slow.wait_until_dropped();
    let alone = lone(&slow).router(json!({"timeout": 0.3, "num_retries": 0})).start();
    let error = expect_error(&chat(&alone, "m"), 408, "upstream_timeout");
    assert_eq!(error["attempts"][0]["cause"], "timeout", "{error}");
}

#[test]
fn a_late_first_byte_within_the_timeout_ejects_nothing_and_costs_traffic() {
    // Bad input, row F5.
    let slow =
        FakeUpstream::with(|request| Script::answer(request).late(Duration::from_millis(60)));
    let fast = FakeUpstream::start();
    let hale = Config::new()
        .deployment("m", "slow", &slow)
        .deployment("m", "fast", &fast)
        .router(json!({"routing_strategy": "health-aware", "timeout": 5}))
        .start();
    let mut asking = client(&hale);
    for _ in 0..60 {
        let answer = asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let state = client(&hale).get("/router/state").json();
    for one in state["deployments"].as_array().unwrap() {
        assert_eq!((&one["state"], &one["failures"]), (&json!("ready"), &json!({})), "{one}");
    }
    let share = slow.requests().len();
    assert!((1..=20).contains(&share), "{share} of 60");
}

#[test]
fn after_a_burst_of_failures_a_deployment_comes_back_with_a_small_share() {
    // Bad input, row F25.
    let well = Arc::new(AtomicBool::new(false));
    let recovers = well.clone();
    let burst = FakeUpstream::with(move |request| match recovers.load(Ordering::Relaxed) {
        true => Script::answer(request),
        false => Script::error(500, "boom"),
    });
    let good = FakeUpstream::start();
    let hale = Config::new()
        .deployment("m", "burst", &burst)
        .deployment("m", "good", &good)
        .router(json!({"cooldown_time": 0.2}))
        .start();
    let state = || client(&hale).get("/router/state").json()["deployments"][0].clone();
    within(Duration::from_secs(5), "it trips", || {
        assert_eq!(chat(&hale, "m").status, 200);
        (state()["opens"] == 1).then_some(())
    });
    well.store(true, Ordering::Relaxed);
    let back = within(Duration::from_secs(5), "it is back", || {
        assert_eq!(chat(&hale, "m").status, 200);
        Some(state()).filter(|state| state["state"] == "ready")
    });
    assert!(back["ramp"].as_f64().unwrap() < 0.5, "{back}");
    let before = burst.requests().len();
    let mut asking = client(&hale);
    for _ in 0..200 {
        asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    }
    let share = burst.requests().len() - before;
    assert!(share < 70, "{share} of 200, and half of them when it is well for long");
}

#[test]
fn a_flapping_member_is_not_seen_by_clients_and_gets_less_than_a_fifth() {
    // Bad input, row F26.
    // Each half-open request succeeds, and the next four requests fail.
    let mut count = 0u32;
    let flaps = FakeUpstream::with(move |request| {
        count += 1;
        if count.is_multiple_of(5) { Script::answer(request) } else { Script::error(503, "down") }
    });
    let good = FakeUpstream::start();
    let hale = Config::new()
        .deployment("m", "flaps", &flaps)
        .deployment("m", "good", &good)
        .router(json!({"cooldown_time": 0.1}))
        .start();
    let mut asking = client(&hale);
    let begin = Stopwatch::start();
    let mut all = 0;
    while begin.ms() < 2_000 {
        let answer = asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        all += 1;
    }
    let share = flaps.requests().len();
    assert!(share * 5 < all, "{share} of {all}");
    let state = client(&hale).get("/router/state").json();
    let opens = state["deployments"][0]["opens"].as_u64().unwrap();
    assert!(opens >= 2, "it is ejected again and again: {opens}");
    assert_eq!(state["deployments"][1]["failures"], Value::Object(serde_json::Map::new()));
}

/// Asserts that an answer fails one deployment for that cause, and that a sibling hides it from the client.
#[track_caller]
fn fails(what: &str, cause: &str, script: impl Fn() -> Script + Send + Clone + 'static) {
    let (again, good) = (script.clone(), FakeUpstream::start());
    let bad = FakeUpstream::with(move |_| script());
    let hale = pair(&bad, &good).start();
    let answer = chat(&hale, "m");
    let served = (answer.status, answer.header("x-litellm-model-id"));
    assert_eq!(served, (200, Some("good")), "{what}: {}", answer.text());
    let bad = FakeUpstream::with(move |_| again());
    let alone = lone(&bad).router(json!({"num_retries": 0, "timeout": 5})).start();
    let error = crate::support::error(&chat(&alone, "m"));
    assert_eq!(error["attempts"][0]["cause"], cause, "{what}: {error}");
    // The connection of an invalid answer is not used again.
    bad.answer_with(Script::answer);
    assert_eq!(chat(&alone, "m").status, 200, "{what}");
    assert_eq!(bad.state().opened(), 2, "{what}");
}

fn completion() -> String {
    openai::chat_completion("gpt-4o", "hello").to_string()
}

#[test]
fn an_answer_that_is_not_json_to_its_end_is_a_failed_attempt() {
    // Bad input, row F10.
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for (what, body) in [
        ("garbage behind it", format!("{} and more", completion())),
        ("not a number", completion().replace("\"index\":0", "\"index\":NaN")),
        ("ten thousand levels", deep),
    ] {
        assert_ne!(body, completion(), "{what}");
        let (kept, good) = (body.clone(), FakeUpstream::start());
        let bad = FakeUpstream::with(move |_| Script::ok().body("application/json", &kept));
        let answer = chat(&pair(&bad, &good).start(), "m");
        assert_eq!(answer.header("x-litellm-model-id"), Some("good"), "{what}: {}", answer.text());
        let bad = FakeUpstream::with(move |_| Script::ok().body("application/json", &body));
        let alone = lone(&bad).router(json!({"num_retries": 0})).start();
        let error = expect_error(&chat(&alone, "m"), 502, "upstream_failed");
        assert_eq!(error["attempts"][0]["cause"], "bad_response", "{what}: {error}");
    }
}

#[test]
fn a_length_that_is_not_a_plain_number_is_not_http() {
    // Bad input, row F11.
    for length in ["+5", "0x5", "5, 6", "99999999999999999999999"] {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{}}   "
        );
        fails(length, "bad_response", move || Script::ok().raw(head.clone()).close());
    }
}

#[test]
fn chunks_with_wrong_sizes_are_a_failed_attempt() {
    // Bad input, row F12.
    let chunked =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "x".repeat(1 << 20);
    let body = completion();
    let size = format!("{:x}", body.len());
    for (what, cause, tail) in [
        ("a size beyond 64 bits", "stream_cut", "fffffffffffffffff\r\nabc\r\n".to_owned()),
        ("a negative size", "stream_cut", "-5\r\nabcde\r\n0\r\n\r\n".to_owned()),
        (
            "an extension of a mebibyte",
            "stream_cut",
            format!("{size};{long}\r\n{body}\r\n0\r\n\r\n"),
        ),
    ] {
        let text = format!("{chunked}{tail}");
        fails(what, cause, move || Script::ok().raw(text.clone()).close());
    }
    // A bomb of trailers behind a whole answer.
    let trailers: String = (0..100_000).map(|i| format!("x-{i}: y\r\n")).collect();
    let text = format!("{chunked}{size}\r\n{body}\r\n0\r\n{trailers}\r\n");
    fails("trailers", "stream_cut", move || Script::ok().raw(text.clone()).close());
}

#[test]
fn an_empty_account_stops_every_deployment_that_pays_from_it() {
    // Bad input, row F23.
    let own = "Bearer sk-another-key-that-works-00";
    let up = FakeUpstream::with(move |request| {
        let error = json!({"error": {"message": "You exceeded your current quota",
            "type": "insufficient_quota", "code": "insufficient_quota"}});
        let pays = request.header("authorization") == Some(own);
        if pays { Script::answer(request) } else { Script::with_status(429).json(&error) }
    });
    let hale = Config::new()
        .deployment("m", "empty-1", &up)
        .deployment("m", "empty-2", &up)
        .deployment("m", "empty-3", &up)
        .with("m", "pays", &up, json!({"api_key": "sk-another-key-that-works-00"}))
        .router(json!({"cooldown_time": 60, "num_retries": 1}))
        .start();
    for _ in 0..10 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("pays"));
    }
    assert!(up.requests().len() <= 11, "{} refused", up.requests().len() - 10);
    assert_eq!(metric(&hale, "hale_deployment_resting", &[]), 3.0);
}

#[test]
fn a_refused_key_ejects_at_once_and_a_new_one_is_tried_at_once() {
    // Bad input, row F24.
    let up = FakeUpstream::with(|request| {
        let is_new = request.header("authorization") == Some("Bearer sk-new-0123456789");
        if is_new { Script::answer(request) } else { Script::error(401, "bad key") }
    });
    let good = FakeUpstream::start();
    let with_key = |key: &str| {
        Config::new()
            .with("m", "a", &up, json!({"weight": 1, "api_key": key}))
            .with("m", "b", &good, json!({"weight": 0}))
            .router(json!({"cooldown_time": 300}))
    };
    let hale = with_key("sk-old-0123456789").start();
    for _ in 0..5 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("b"));
    }
    assert_eq!(up.requests().len(), 1, "it is in cooldown after one refusal");
    let mark = hale.mark();
    hale.rewrite_config(&with_key("sk-new-0123456789").text());
    hale.wait_for_line_after(mark, "config reloaded");
    assert_eq!(
        chat(&hale, "m").header("x-litellm-model-id"),
        Some("a"),
        "another key, another state"
    );
}

#[test]
fn unknown_error_codes_are_judged_by_their_status() {
    // Bad input, row F30.
    let coded = |status: u16| {
        move || Script::with_status(status).json(&openai::error("oops", "brand_new", "never_seen"))
    };
    for (status, cause) in [(500, "server_error"), (555, "server_error"), (429, "rate_limited")] {
        let (bad, good) = (FakeUpstream::with(move |_| coded(status)()), FakeUpstream::start());
        let answer = chat_explained(&pair(&bad, &good).start());
        assert!(answer.contains(cause) && answer.ends_with("m/good=ok"), "{status}: {answer}");
    }
    let (bad, good) = (FakeUpstream::with(move |_| coded(418)()), FakeUpstream::start());
    let hale = pair(&bad, &good).start();
    assert_eq!(chat(&hale, "m").status, 418, "the request's own: passed on");
    assert!(good.requests().is_empty());
}

/// The attempts of a request.
fn chat_explained(hale: &hale_testkit::Hale) -> String {
    let body = openai::chat_request("m", "hi");
    let answer = crate::support::chat_with(hale, &[("x-hale-explain", "1")], &body);
    answer.header("x-hale-route").unwrap().to_owned()
}

#[test]
fn a_flood_of_informational_answers_is_a_failed_attempt() {
    // Bad input, row F32.
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
    let real = completion();
    let head = format!("content-type: application/json\r\ncontent-length: {}", real.len());
    let text = format!("{flood}HTTP/1.1 200 OK\r\n{head}\r\n\r\n{real}");
    fails("a thousand", "bad_response", move || Script::ok().raw(text.clone()));
}

#[test]
fn every_test_that_the_page_names_exists_and_names_its_fault() {
    let tests = named_tests::Tests::read();
    let mut faults = 0;
    for row in named_tests::rows("docs/dev/proof.md") {
        let number = row.what.split([' ', ',']).next().unwrap();
        let mut says_so = false;
        for name in &row.tests {
            let (text, at) = tests.find(name);
            // The line itself, which has the number in a table, and the first one of the body.
            let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
            let near: String = text[line..].lines().take(3).collect::<Vec<_>>().join("\n");
            let mut words = near.split(|c: char| !c.is_ascii_alphanumeric());
            // Of a table the comment above its rows speaks.
            says_so |= words.any(|word| word == number) || text.contains(&format!("// {number}:"));
        }
        if row.what.starts_with('F') && row.what.as_bytes()[1].is_ascii_digit() {
            assert!(says_so, "no test of this row names its fault: {row:?}");
            faults += 1;
        }
    }
    assert!(faults >= 29, "{faults} faults");
}
