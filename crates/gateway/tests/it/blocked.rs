//! Outputs that are not read: a full pipe holds up no request, no signal, and no reload.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::Command;

use hale_testkit::{Hale, Signal, TIMEOUT, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, LOG, client, eventually, metric};

/// What a pipe of the system holds, bytes.
const PIPE: usize = 64 << 10;

/// A gateway that answers by itself.
fn canned() -> Config {
    Config::new().entry(json!({
        "model_name": "m",
        "litellm_params": {"model": "openai/gpt-4o", "api_key": "k", "mock_response": "hello"},
    }))
}

/// Sends so many requests, all of which are answered.
#[track_caller]
fn ask(hale: &Hale, count: usize) {
    let mut client = client(hale);
    let body = openai::chat_request("m", "hi");
    for number in 0..count {
        let id = format!("call-{number}-{}", "x".repeat(60));
        let answer = client.post_json(CHAT, &[("x-litellm-call-id", &id)], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn make_fifo(hale_dir: &std::path::Path, name: &str) {
    let made = Command::new("mkfifo").arg(hale_dir.join(name)).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo failed");
}

#[test]
fn a_standard_error_that_is_not_read_holds_up_nothing_and_lost_lines_are_counted() {
    let launch = canned().launch().arg("--debug").env("JSON_LOGS", "true").unread();
    let mut hale = launch.start();
    eventually("the log has lost lines", || {
        ask(&hale, 200);
        (metric(&hale, "hale_log_lines_dropped_total", &[]) > 0.0).then_some(())
    });
    // The thread of signals, the reload and the health pages are not held up either.
    hale.signal(Signal::Hup);
    eventually("a reload", || {
        (metric(&hale, "hale_config_reloads_total", &[]) == 1.0).then_some(())
    });
    ask(&hale, 10);
    assert_eq!(client(&hale).get("/health/readiness").status, 200);
    assert_eq!(hale.stop().code(), Some(0));
}

#[test]
fn a_request_log_on_a_standard_output_that_is_not_read_holds_up_nothing() {
    let config = canned().general(json!({"request_log": "/dev/stdout"}));
    let mut hale = config.launch().unread().start();
    // A record has more than 300 bytes.
    ask(&hale, 2 * PIPE / 300);
    assert_eq!(client(&hale).get("/metrics").status, 200);
    assert_eq!(hale.stop().code(), Some(0));
}

#[test]
fn a_request_log_that_is_a_fifo_without_a_reader_holds_up_nothing() {
    let launch = canned().general(json!({"request_log": LOG})).launch();
    make_fifo(launch.dir(), LOG);
    let mut hale = launch.start();
    ask(&hale, 2 * PIPE / 300);
    hale.signal(Signal::Hup);
    hale.wait_for_line("config reloaded");
    assert_eq!(hale.stop().code(), Some(0));
    assert!(hale.stderr().contains("cannot be written"), "{}", hale.stderr());
}

#[test]
fn a_fifo_that_is_read_late_has_every_record_whole() {
    let launch = canned().general(json!({"request_log": LOG})).launch();
    make_fifo(launch.dir(), LOG);
    let mut hale = launch.start();
    let count = 2 * PIPE / 300;
    ask(&hale, count);
    let fifo = std::fs::File::open(hale.dir().join(LOG)).unwrap();
    let lines = BufReader::new(fifo).lines().take(count);
    let ids: BTreeSet<String> = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap()["call_id"].to_string())
        .collect();
    assert_eq!(ids.len(), count);
    assert_eq!(metric(&hale, "hale_records_dropped_total", &[]), 0.0);
    hale.signal(Signal::Term);
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
}
