//! `/health` and background checks: what is shown, what is asked, where traffic goes.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Request, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    Config, KEY, chat, client, column, eventually, expect_error, lone, metric, now, scrape,
};

/// Background checks, fast enough for a test.
fn background(config: Config) -> Config {
    config.general(json!({"background_health_checks": true, "health_check_interval": 0.2}))
}

/// The same with routing.
fn routing(config: Config) -> Config {
    background(config).general(json!({"enable_health_check_routing": true}))
}

#[track_caller]
fn health(hale: &hale_testkit::Hale, query: &str) -> (u16, Value) {
    let page = client(hale).get(&format!("/health{query}"));
    (page.status, page.json())
}

/// Waits until the page says so of a deployment.
#[track_caller]
fn wait_for_status(hale: &hale_testkit::Hale, id: &str, status: &str) -> Value {
    eventually(&format!("{id} is {status}"), || {
        let (_, page) = health(hale, "");
        entry(&page, id).filter(|entry| entry["status"] == status)
    })
}

/// The entry of a deployment, which is there exactly once.
#[track_caller]
fn entry(page: &Value, id: &str) -> Option<Value> {
    let lists = ["healthy_endpoints", "unhealthy_endpoints", "unchecked_endpoints"];
    let all = lists.iter().flat_map(|list| page[list].as_array().unwrap());
    let mut found = all.filter(|entry| entry["model_id"] == id);
    let first = found.next().cloned();
    assert!(found.next().is_none(), "{id} stands there twice: {page}");
    first
}

fn body(request: &Request) -> Value {
    request.json()
}

#[test]
fn a_check_in_the_background_takes_traffic_away_and_gives_it_back() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(401, "no")), FakeUpstream::start());
    let config = Config::new().with("m", "bad", &bad, json!({"weight": 1000})).with(
        "m",
        "good",
        &good,
        json!({"weight": 1}),
    );
    let hale = routing(config).general(json!({"health_check_skip_if_live_success": false})).start();
    let entry = wait_for_status(&hale, "bad", "unhealthy");
    assert_eq!((&entry["cause"], &entry["exception_status"]), (&json!("auth"), &json!(401)));
    wait_for_status(&hale, "good", "healthy");
    let before = chats(&bad);
    for _ in 0..10 {
        assert_eq!(chat(&hale, "m").header("x-litellm-model-id"), Some("good"));
    }
    assert_eq!(chats(&bad), before, "nobody but checks asks it");
    bad.answer_with(Script::answer);
    wait_for_status(&hale, "bad", "healthy");
    eventually("traffic comes back", || {
        (chat(&hale, "m").header("x-litellm-model-id") == Some("bad")).then_some(())
    });
}

/// Requests that are no checks.
fn chats(upstream: &FakeUpstream) -> usize {
    upstream.requests().iter().filter(|it| !it.text().contains("test from litellm")).count()
}
