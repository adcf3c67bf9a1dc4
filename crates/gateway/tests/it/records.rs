//! One record per request, however it ended.

use std::collections::BTreeSet;
use std::thread;

use hale_testkit::{FakeUpstream, Script, Signal, TIMEOUT, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, LOG, UPSTREAM_KEY, chat, chat_with, client, lone, records, wait_for_records,
};

fn logged(upstream: &FakeUpstream) -> Config {
    lone(upstream).general(json!({"request_log": LOG})).router(json!({"num_retries": 0}))
}

#[test]
fn every_kind_of_end_gives_one_record() {
    let upstream = FakeUpstream::start();
    let prices = json!({"input_cost_per_token": 0.001, "output_cost_per_token": 0.002});
    let hale = logged(&upstream).with("p", "b", &upstream, prices).start();
    let id = |id: &'static str| [("x-litellm-call-id", id)];
    let stream = openai::stream_request("m", "hi");
    assert_eq!(chat_with(&hale, &id("good"), &openai::chat_request("p", "hi")).status, 200);
    let mut own = client(&hale);
    own.stream(CHAT, &id("stream"), &stream).remaining();
    upstream.push(Script::error(500, "boom"));
    assert_eq!(chat_with(&hale, &id("failed"), &openai::chat_request("m", "hi")).status, 500);
    assert_eq!(chat_with(&hale, &id("unknown"), &openai::chat_request("zz", "hi")).status, 400);
    assert_eq!(own.request("POST", CHAT, &id("no-json"), b"{").status, 400);
    let begun = Script::ok().stream().event(&openai::content_chunk("g", "x"));
    upstream.push(begun.close());
    own.stream(CHAT, &id("broken"), &stream).remaining();
    let body = json!({"model": "m", "input": ["x"]});
    assert_eq!(own.post_json("/v1/embeddings", &id("embedding"), &body).status, 200);
    let all = wait_for_records(&hale, 7);
    let line = |record: &Value| {
        let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
        let names = ["call_id", "operation", "ending", "cause", "model_group", "deployment"];
        format!("{} {}", names.map(text).join(" "), record["status"])
    };
    let expected = [
        "good chat_completions success - p b 200",
        "stream chat_completions success - m a 200",
        "failed chat_completions error server_error m a 500",
        "unknown chat_completions error bad_request - - 400",
        "no-json chat_completions error bad_request - - 400",
        "broken chat_completions broken stream_cut m a 200",
        "embedding embeddings success - m a 200",
    ];
    assert_eq!(all.iter().map(line).collect::<Vec<_>>(), expected);
    let first = &all[0];
    assert_eq!((&first["input_tokens"], &first["output_tokens"]), (&json!(9), &json!(7)));
    assert_eq!((&first["cost_usd"], &first["requested_model"]), (&json!(0.023), &json!("p")));
    assert!(first["request_bytes"].as_u64().unwrap() > 10);
    assert!(first["response_bytes"].as_u64().unwrap() > 100);
    assert!(first["duration_us"].as_u64() >= first["overhead_us"].as_u64());
    assert_eq!((&all[1]["stream"], &all[1]["output_tokens"]), (&json!(true), &json!(7)));
    assert!(all[1]["first_content_us"].as_u64().unwrap() > 0);
    // No further record comes: exactly one each.
    assert_eq!(records(&hale).len(), 7);
}

#[test]
fn a_record_holds_retries_and_fallbacks_but_no_content_and_no_secret() {
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    bad.answer_with(|_| Script::error(500, "boom"));
    let hale = crate::support::pair(&bad, &bad)
        .deployment("f", "c", &good)
        .router(json!({"num_retries": 1, "fallbacks": [{"m": ["f"]}]}))
        .general(json!({"request_log": LOG}))
        .start();
    let body = openai::chat_request("m", "a very private question");
    assert_eq!(chat_with(&hale, &[], &body).status, 200);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!((&record["retries"], &record["fallbacks"]), (&json!(1), &json!(1)));
    assert_eq!((&record["model_group"], &record["deployment"]), (&json!("f"), &json!("c")));
    let text = record.to_string();
    for hidden in ["private", openai::TEXT, KEY, UPSTREAM_KEY] {
        assert!(!text.contains(hidden), "{text}");
    }
}

#[test]
fn shutdown_loses_no_record() {
    const EACH: usize = 50;
    let upstream = FakeUpstream::start();
    let config = logged(&upstream).general(json!({"shutdown_timeout_s": 5}));
    let mut hale = hale_with_two_workers(&config);
    thread::scope(|scope| {
        for thread in 0..4 {
            let hale = &hale;
            scope.spawn(move || {
                let mut client = client(hale);
                for number in 0..EACH {
                    let id = format!("call-{thread}-{number}");
                    let headers = [("x-litellm-call-id", id.as_str())];
                    let body = openai::chat_request("m", "hi");
                    assert_eq!(client.post_json(CHAT, &headers, &body).status, 200);
                }
            });
        }
    });
    hale.signal(Signal::Term);
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    let all = records(&hale);
    let ids: BTreeSet<String> = all.iter().map(|it| it["call_id"].to_string()).collect();
    assert_eq!((all.len(), ids.len()), (4 * EACH, 4 * EACH));
}

fn hale_with_two_workers(config: &Config) -> hale_testkit::Hale {
    crate::support::hale().config(&config.text()).arg("--num_workers").arg("2").start()
}

#[test]
fn requests_that_shutdown_cuts_are_recorded_too() {
    let upstream = FakeUpstream::with(|_| Script::silent());
    let mut hale = logged(&upstream).general(json!({"shutdown_timeout_s": 0.2})).start();
    let mut clients: Vec<_> = (0..3).map(|_| client(&hale)).collect();
    for client in &mut clients {
        let body = openai::chat_request("m", "hi").to_string();
        client.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    }
    upstream.wait_for_requests(3);
    assert_eq!(hale.stop().code(), Some(0));
    assert_eq!(records(&hale).len(), 3);
}

#[test]
fn refused_clients_and_pages_leave_no_record() {
    let upstream = FakeUpstream::start();
    let hale = logged(&upstream).start();
    assert_eq!(hale.client().post_json(CHAT, &[], &openai::chat_request("m", "x")).status, 401);
    for path in ["/v1/models", "/metrics", "/health/readiness", "/nowhere"] {
        client(&hale).get(path);
    }
    assert_eq!(chat(&hale, "m").status, 200);
    let all = wait_for_records(&hale, 1);
    assert_eq!((all.len(), &all[0]["status"]), (1, &json!(200)));
}

#[test]
fn a_record_after_a_crash_stands_on_a_line_of_its_own() {
    // Bad input, row F43.
    let upstream = FakeUpstream::start();
    // What a process leaves if it is killed while it writes.
    let hale = logged(&upstream).launch().file(LOG, "{\"call_id\":\"half a reco").start();
    assert_eq!(chat(&hale, "m").status, 200);
    let text = crate::support::eventually("the record is written", || {
        let text = std::fs::read_to_string(hale.dir().join(LOG)).unwrap();
        (text.ends_with('\n') && text.lines().count() > 1).then_some(text)
    });
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["status"], 200, "{text}");
}

#[test]
fn a_log_that_cannot_be_opened_is_said_at_the_start() {
    let upstream = FakeUpstream::start();
    let config = lone(&upstream).general(json!({"request_log": "no/such/directory/log"}));
    let done = config.launch().arg("--config").arg("config.yaml").arg("--port").arg("0").run();
    assert_ne!(done.code(), Some(0));
    assert!(done.stderr.contains("no/such/directory/log"), "{}", done.stderr);
}

#[test]
fn nothing_is_logged_per_request_unless_debug_asks_for_it() {
    let upstream = FakeUpstream::start();
    for debug in [false, true] {
        let launch = lone(&upstream).launch();
        let hale = if debug { launch.arg("--debug").start() } else { launch.start() };
        let mark = hale.mark();
        let id = [("x-litellm-call-id", "the-call")];
        assert_eq!(chat_with(&hale, &id, &openai::chat_request("m", "private")).status, 200);
        if debug {
            hale.wait_for_line_after(mark, "the-call");
        } else {
            assert_eq!(hale.mark(), mark, "{}", hale.stderr());
        }
        let said = hale.stderr();
        assert!(![KEY, UPSTREAM_KEY, "private"].iter().any(|it| said.contains(it)), "{said}");
    }
}

#[test]
fn not_even_detailed_debug_writes_a_secret() {
    let upstream = FakeUpstream::start();
    let mut hale = lone(&upstream).launch().arg("--detailed_debug").start();
    assert_eq!(chat(&hale, "m").status, 200);
    hale.stop();
    let said = hale.stderr();
    for secret in [KEY, UPSTREAM_KEY] {
        assert!(!said.contains(secret), "a secret is in the log");
    }
}
