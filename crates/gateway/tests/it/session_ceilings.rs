//! What a session may cost, and how many requests it may make.

use hale_testkit::{FakeUpstream, Hale, Launch, Postgres, TempDir, openai};
use serde_json::{Value, json};

use crate::keys::make;
use crate::spend::{config, upstream, wait_for_logs};
use crate::support::{CHAT, Config, KEY, chat_with, connected, eventually};

const MESSAGES: &str = "/v1/messages";

/// Answers cost 0.04 USD each.
fn with(upstream: &FakeUpstream, general: Value) -> Config {
    config(upstream).general(general)
}

fn at(config: &Config, directory: &TempDir) -> Launch {
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap())
}

/// Asks as part of a session, and returns the status and the reason.
fn ask(hale: &Hale, key: &str, session: &str) -> (u16, String) {
    let body = openai::chat_request("m", "hi");
    let headers = [("x-litellm-session-id", session)];
    let answer = hale.client_with_key(key).post_json(CHAT, &headers, &body);
    let reason = match answer.status {
        200 => String::new(),
        _ if answer.text().contains("session_limit") => "session_limit".to_owned(),
        _ => answer.text(),
    };
    assert_ne!(answer.status, 500, "{}", answer.text());
    (answer.status, reason)
}

/// Spends until the session is refused, and returns how many requests were answered.
#[track_caller]
fn until_refused(hale: &Hale, key: &str, session: &str) -> usize {
    for answered in 0..20 {
        let (status, _) = ask(hale, key, session);
        if status != 200 {
            assert_eq!(status, 422);
            return answered;
        }
    }
    panic!("the session is never refused");
}

#[test]
fn a_session_that_has_spent_its_budget_is_refused_on_each_wire_and_others_go_on() {
    let upstream = upstream();
    let directory = TempDir::new();
    let hale = at(&with(&upstream, json!({"max_budget_per_session": 0.1})), &directory).start();
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(until_refused(&hale, &key, "one"), 3);
    let mut body = openai::chat_request("m", "hi");
    body["litellm_session_id"] = json!("one");
    for stream in [false, true] {
        body["stream"] = json!(stream);
        let refused = hale.client_with_key(&key).post_json(CHAT, &[], &body);
        assert_eq!(refused.status, 422, "{}", refused.text());
        let error = &refused.json()["error"];
        assert_eq!(error["type"], "budget_exceeded", "{error}");
        assert!(refused.text().contains("session_limit"), "{}", refused.text());
        assert_eq!(refused.header("retry-after"), None);
    }
    let message =
        json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]});
    let agents = [("x-claude-code-session-id", "one")];
    let refused = hale.client_with_key(&key).post_json(MESSAGES, &agents, &message);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert_eq!(ask(&hale, &key, "two").0, 200);
    let (other, _) = make(&hale, &json!({}));
    assert_eq!(ask(&hale, &other, "one").0, 200, "another key's session of that name is another");
    assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "hi")).status, 200);
    // The master key has sessions, too.
    assert_eq!(until_refused(&hale, KEY, "one"), 3);
}

#[test]
fn a_session_stays_refused_after_a_restart() {
    let upstream = upstream();
    let directory = TempDir::new();
    let config =
        with(&upstream, json!({"max_budget_per_session": 0.1, "max_requests_per_session": 9}));
    let mut hale = at(&config, &directory).start();
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(until_refused(&hale, &key, "one"), 3);
    // Three answers and a refusal.
    wait_for_logs(&hale, 4);
    hale.stop();
    let hale = at(&config, &directory).start();
    assert_eq!(until_refused(&hale, &key, "one"), 0);
    assert_eq!(ask(&hale, &key, "two").0, 200);
}

#[test]
fn a_session_is_refused_by_a_replica_that_never_saw_it() {
    let upstream = upstream();
    let server = Postgres::start();
    let url = server.database();
    let config = with(&upstream, json!({"max_requests_per_session": 3}));
    let start = || config.launch().env("DATABASE_URL", &url).start();
    let (one, other) = (start(), start());
    [&one, &other].into_iter().for_each(connected);
    for _ in 0..3 {
        assert_eq!(ask(&one, KEY, "one").0, 200);
    }
    eventually("the rows", || {
        let logs = other.client_with_key(KEY).get("/spend/session?session_id=one").json();
        (logs["requests"] == 3).then_some(())
    });
    assert_eq!(ask(&other, KEY, "one"), (422, "session_limit".to_owned()));
}

#[test]
fn without_a_store_requests_of_a_session_are_counted_and_long_names_are_cut() {
    let upstream = upstream();
    let hale = with(&upstream, json!({"max_requests_per_session": 2})).start();
    let long = "s".repeat(60 << 10);
    let mut body = openai::chat_request("m", "hi");
    body["litellm_session_id"] = json!(long);
    let ask = |body: &Value| chat_with(&hale, &[], body);
    for _ in 0..2 {
        let answer = ask(&body);
        assert_eq!(answer.status, 200, "{}", answer.text().chars().take(300).collect::<String>());
    }
    let refused = ask(&body);
    assert_eq!(refused.status, 422);
    assert!(refused.text().len() < 1_000, "{}", refused.text());
    body["litellm_session_id"] = json!("s".repeat(64 << 10));
    assert_eq!(ask(&body).status, 400);
    let unknown = openai::chat_request("no-such-model", "hi");
    assert_eq!(ask(&unknown).status, 400);
    body["litellm_session_id"] = json!(["a list is no name"]);
    assert_eq!(ask(&body).status, 200);
}
