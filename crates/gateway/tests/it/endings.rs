//! How routing sees failures of every kind, over real sockets: hints, brownouts, fast failures, the
//! length of streams.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, chat, client, lone, metric, pair};

/// Headers of a refusal, and the cooldown that follows, in seconds.
type Named = (Vec<(&'static str, String)>, std::ops::RangeInclusive<u64>);

/// The state of one deployment.
fn state(hale: &hale_testkit::Hale, id: &str) -> Value {
    let page = client(hale).get("/router/state").json();
    let all = page["deployments"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["id"] == id).unwrap()
}

#[test]
fn every_way_to_name_a_time_is_understood_and_capped() {
    // F21 and F22: an invalid time counts as absent, a past one as now, an endless one as five minutes.
    let (past, future) = ("Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 01 Jan 2999 00:00:00 GMT");
    let cases: Vec<Named> = vec![
        (vec![("retry-after", "20".to_owned())], 18..=20),
        (vec![("retry-after", "1e12".to_owned())], 298..=300),
        (vec![("retry-after", future.to_owned())], 298..=300),
        (vec![("retry-after-ms", "9000".to_owned())], 7..=9),
        (vec![("retry-after", "-5".to_owned())], 3..=5),
        (vec![("retry-after", "soon".to_owned())], 3..=5),
        (vec![("retry-after", String::new())], 3..=5),
        (vec![("x-ratelimit-reset-requests", "1m10s".to_owned())], 68..=70),
        (
            vec![("anthropic-ratelimit-requests-reset", "2999-01-01T00:00:00Z".to_owned())],
            298..=300,
        ),
    ];
    for (headers, expected) in cases {
        let shown = format!("{headers:?}");
        let bad = FakeUpstream::with(move |_| {
            let body = openai::error("slow down", "requests", "rate_limit_exceeded");
            let script = headers
                .iter()
                .fold(Script::with_status(429), |script, (name, value)| script.header(name, value));
            script.json(&body)
        });
        let good = FakeUpstream::start();
        let hale = pair(&bad, &good).start();
        assert_eq!(chat(&hale, "m").status, 200);
        let left = state(&hale, "bad")["retry_after_s"].as_u64().unwrap();
        assert!(expected.contains(&left), "{shown}: {left}");
    }
    for past in ["0", past] {
        let bad = FakeUpstream::with(move |_| {
            Script::with_status(429).header("retry-after", past).json(&json!({"error": {}}))
        });
        let good = FakeUpstream::start();
        let hale = pair(&bad, &good).start();
        chat(&hale, "m");
        assert_eq!(state(&hale, "bad")["state"], "trial", "due at once");
    }
}

#[test]
fn a_brownout_is_not_seen_by_clients_while_a_sibling_is_healthy() {
    // F27.
    let mut count = 0u32;
    let brown = FakeUpstream::with(move |request| {
        count += 1;
        if count % 5 < 2 { Script::error(500, "brown") } else { Script::answer(request) }
    });
    let good = FakeUpstream::start();
    let hale = Config::new().deployment("m", "a", &brown).deployment("m", "b", &good).start();
    let mut asking = client(&hale);
    for _ in 0..200 {
        let answer = asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[test]
fn a_member_that_fails_fast_attracts_nothing() {
    // F28, requirement R14: at most 5 % after 20 requests.
    for strategy in ["latency-based-routing", "health-aware", "least-busy"] {
        let fast = FakeUpstream::with(|_| Script::error(500, "boom"));
        let slow =
            FakeUpstream::with(|request| Script::answer(request).late(Duration::from_millis(1)));
        let hale = Config::new()
            .deployment("m", "fast", &fast)
            .deployment("m", "slow", &slow)
            .router(json!({"routing_strategy": strategy}))
            .start();
        let mut asking = client(&hale);
        for _ in 0..100 {
            let answer = asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let share = fast.requests().len();
        assert!(share <= 5, "{strategy}: {share} of 100");
    }
}

#[test]
fn equal_members_share_equally_under_load() {
    // Requirement R10: four equal ones get a quarter each.
    let ups: Vec<FakeUpstream> = (0..4).map(|_| FakeUpstream::start()).collect();
    let config = ups
        .iter()
        .enumerate()
        .fold(Config::new(), |config, (i, up)| config.deployment("m", &format!("d{i}"), up));
    let hale = config.router(json!({"routing_strategy": "least-busy"})).start();
    let mut asking = client(&hale);
    for _ in 0..800 {
        asking.post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    }
    for up in &ups {
        let share = up.requests().len();
        assert!((140..=260).contains(&share), "{share} of 800");
    }
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[]), 0.0);
}

#[test]
fn a_stream_that_is_too_long_ends_with_an_event_and_counts_against_no_deployment() {
    let endless = FakeUpstream::with(|_| {
        let events = openai::chunks("gpt-4o", &["one"]);
        Script::ok().stream().events(&events[..2]).silence()
    });
    let hale = lone(&endless).router(json!({"max_stream_duration": 0.3})).start();
    let mut asking = client(&hale);
    let body = openai::stream_request("m", "hi");
    let mut stream = asking.stream(CHAT, &[], &body);
    let text = stream.text();
    assert!(text.contains("max_stream_duration") && !text.contains("[DONE]"), "{text}");
    assert!(text.contains(r#""reason":"stream_too_long""#), "the gateway goes on: {text}");
    drop(stream);
    let state = state(&hale, "a");
    assert_eq!(
        (&state["failures_in_a_row"], &state["failures"]["gateway"]),
        (&json!(0), &json!(1))
    );
}
