//! Telling people: what is sent when something fails, to which channel, and what becomes of it.
//!
//! A scripted upstream plays the receiver; times of the config are short, so that no test waits for a real one.

use hale_testkit::{FakeUpstream, Hale, Launch, Request, Script, Signal, TempDir};
use serde_json::{Value, json};

use crate::support::{Config, chat, eventually, hale, lone, metric, pair};

/// What messages to the generic webhook are signed with.
const SECRET: &str = "whsec-0123456789abcdef";

/// A receiver that takes everything.
fn receiver() -> FakeUpstream {
    FakeUpstream::with(|_| Script::ok().body("text/plain", "ok"))
}

/// Times of milliseconds in place of seconds and minutes.
fn quick() -> Value {
    json!({"collect_s": 0.1, "settle_s": 0.1})
}

/// A config that tells `channels`.
fn telling(config: &Config, channels: Value, args: Value) -> Config {
    let config = config.clone().general(json!({"alerting": channels, "alerting_args": args}));
    config.router(json!({"num_retries": 0, "max_wait_s": 0}))
}

/// A gateway that tells a generic webhook.
fn with_webhook(config: &Config, receiver: &FakeUpstream) -> Launch {
    let config = telling(config, json!(["webhook"]), quick());
    let url = format!("{}/hook?token=s3cret-token", receiver.url());
    config.launch().env("WEBHOOK_URL", &url).env("WEBHOOK_SECRET", SECRET)
}

fn told(receiver: &FakeUpstream) -> Vec<Value> {
    receiver.requests().iter().map(Request::json).collect()
}

/// Waits for the message with that number.
#[track_caller]
fn message(receiver: &FakeUpstream, number: usize) -> Value {
    receiver.wait_for_requests(number + 1)[number].json()
}

/// Sends requests until `done`.
#[track_caller]
fn under_traffic<T>(hale: &Hale, what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    eventually(what, || {
        chat(hale, "m");
        done()
    })
}

#[track_caller]
fn until_told(hale: &Hale, receiver: &FakeUpstream, count: usize) -> Vec<Value> {
    under_traffic(hale, "it is told", || Some(told(receiver)).filter(|all| all.len() >= count))
}

/// Waits until the store has an incident with this text.
#[track_caller]
fn until_kept(directory: &TempDir, text: &str) {
    let (store, copy) = (directory.path().join("hale.db"), directory.path().join("copy"));
    eventually("the store has it", || {
        let command = hale().arg("db").arg("--database").arg(store.to_str().unwrap());
        let ended = command.arg("export").arg(copy.to_str().unwrap()).run();
        let rows = std::fs::read_to_string(&copy).unwrap_or_default();
        let _gone = std::fs::remove_file(&copy);
        let mut incidents = rows.lines().filter(|line| line.contains("\"incidents\""));
        (ended.code() == Some(0) && incidents.any(|line| line.contains(text))).then_some(())
    });
}

#[test]
fn an_outage_under_traffic_is_one_message_and_one_more_when_it_is_over() {
    let (upstream, slack) = (FakeUpstream::start(), receiver());
    let config = telling(&lone(&upstream), json!(["slack"]), quick());
    let url = format!("{}/services/T000/B000/s3cr3ts3cr3t", slack.url());
    let hale = config.launch().env("SLACK_WEBHOOK_URL", &url).start();
    assert_eq!(chat(&hale, "m").status, 200);
    upstream.answer_with(|_| Script::error(500, "the engine is on fire"));
    let all = until_told(&hale, &slack, 1);
    let text = all[0]["text"].as_str().unwrap();
    assert!(text.contains("nothing serves m: server_error"), "{text}");
    assert!(text.contains("the engine is on fire") && text.contains("*Fix:*"), "{text}");
    assert!(text.contains("failed"), "{text}");
    upstream.answer_with(Script::answer);
    let all = until_told(&hale, &slack, 2);
    let text = all[1]["text"].as_str().unwrap();
    assert!(text.contains("resolved after ") && text.contains("*Lasted:*"), "{text}");
    assert_eq!(told(&slack).len(), 2);
    assert_eq!(metric(&hale, "hale_alerts_sent_total", &[]), 2.0);
    assert!(!hale.stderr().contains("s3cr3ts3cr3t"), "{}", hale.stderr());
}

#[test]
fn a_kill_in_an_incident_neither_loses_its_end_nor_tells_its_beginning_again() {
    let (upstream, hook) = (FakeUpstream::start(), receiver());
    let directory = TempDir::new();
    let start = || {
        let launch = with_webhook(&lone(&upstream), &hook);
        launch.env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start()
    };
    let mut first = start();
    upstream.answer_with(|_| Script::error(503, "away"));
    let opened = until_told(&first, &hook, 1).remove(0);
    assert_eq!(opened["event"], "incident_opened");
    until_kept(&directory, "\\\"letters\\\":[]");
    first.signal(Signal::Kill);
    first.wait_for_exit(hale_testkit::TIMEOUT);
    let second = start();
    for _ in 0..5 {
        assert_eq!(chat(&second, "m").status, 503);
    }
    upstream.answer_with(Script::answer);
    let all = until_told(&second, &hook, 2);
    assert_eq!(all[1]["event"], "incident_resolved");
    assert_eq!(all[1]["incident_id"], opened["incident_id"]);
    assert_eq!(all[1]["since"], opened["since"], "it began before the restart");
    assert!(all[1]["duration_s"].as_f64().unwrap() > 0.0);
    assert_eq!(told(&hook).len(), 2);
}

#[test]
fn a_fault_that_only_moves_requests_is_told_with_the_deployment_and_its_group_still_serves() {
    let (bad, good, hook) = (FakeUpstream::start(), FakeUpstream::start(), receiver());
    let config = telling(&pair(&bad, &good), json!(["webhook"]), quick());
    let config = config.router(json!({"num_retries": 1}));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    bad.answer_with(|_| Script::error(401, "this key is no good"));
    assert_eq!(chat(&hale, "m").status, 200);
    let opened = message(&hook, 0);
    assert_eq!(opened["kind"], "key_refused", "{opened}");
    assert_eq!(opened["provider_message"], "this key is no good");
    assert_eq!(opened["requests"], json!({"hurt": 0, "moved": 1, "waiting": 0, "refused": 0}));
    assert_eq!(opened["deployments"][0]["name"], "bad");
    assert_eq!(
        (&opened["model_groups"], &opened["model_groups_down"]),
        (&json!(["m"]), &json!([]))
    );
}
