//! Files and batches are created once by one request, however its attempt ends.

use hale_testkit::forms::Part;
use hale_testkit::{FakeUpstream, Hale, Response, Script, openai, refused_port};
use serde_json::json;

use crate::forms::{fake, post, post_with};
use crate::support::{CHAT, Config, chat_with, client, error, lone, pair};

const FILES: &str = "/v1/files";
const BATCHES: &str = "/v1/batches";
const PARTS: [Part<'static>; 2] =
    [("purpose", None, b"user_data"), ("file", Some("a"), b"what is kept")];

/// Endings after which the provider may have carried the request out.
fn open_endings() -> [(&'static str, Script); 9] {
    [
        ("closed", Script::ok().close()),
        ("reset", Script::ok().reset()),
        ("cut in the head", Script::ok().raw("HTTP/1.1 200 OK\r\ncontent-ty").close()),
        ("cut in the body", Script::ok().declared_length(99).raw("{").close()),
        ("500", Script::error(500, "boom")),
        ("502", Script::error(502, "boom")),
        ("html", Script::ok().body("text/html", "<html></html>")),
        ("not JSON", Script::ok().body("application/json", "{\"id\":")),
        ("silent", Script::silent()),
    ]
}

fn creations(upstream: &FakeUpstream, path: &str) -> usize {
    let all = upstream.requests();
    all.iter().filter(|request| request.method == "POST" && request.path == path).count()
}

/// Two accounts that share a credential, so that either may keep the other's files.
fn siblings(one: &FakeUpstream, two: &FakeUpstream) -> Config {
    pair(one, two).router(json!({"timeout": 0.5, "num_retries": 3}))
}

#[track_caller]
fn expect_once(what: &str, answer: &Response, made: usize) {
    assert_eq!(made, 1, "{what}: {}", answer.text());
    assert!(answer.status >= 500 || answer.status == 408, "{what}: {}", answer.text());
    let message = error(answer)["message"].to_string();
    assert!(message.contains("not repeated"), "{what}: {message}");
    // The SDKs would send it again by themselves.
    let again = (answer.header("x-should-retry"), answer.header("retry-after"));
    assert_eq!(again, (Some("false"), None), "{what}");
}

/// A process that has just used a connection to `upstream`, which it keeps.
fn warmed(config: &Config) -> Hale {
    let hale = config.start();
    assert_eq!(client(&hale).get(&format!("{FILES}?model=m")).status, 200);
    hale
}

#[test]
fn a_file_is_created_once_however_the_attempt_ends() {
    for (what, ending) in open_endings() {
        let (one, two) = (fake(), fake());
        let hale = warmed(&siblings(&one, &two));
        one.push(ending);
        let answer = post(&hale, "/v1/files?model=m", &PARTS);
        expect_once(what, &answer, creations(&one, FILES) + creations(&two, FILES));
    }
}

#[test]
fn a_batch_is_created_once_however_the_attempt_ends() {
    for (what, ending) in open_endings() {
        let upstream = fake();
        let config = lone(&upstream).router(json!({"timeout": 0.5, "num_retries": 3}));
        let hale = warmed(&config);
        let file = post(&hale, FILES, &PARTS).json()["id"].clone();
        upstream.push(ending);
        let batch = json!({"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"});
        let answer = client(&hale).post_json(BATCHES, &[], &batch);
        expect_once(what, &answer, creations(&upstream, BATCHES));
    }
}

#[test]
fn no_request_or_policy_asks_for_a_second_file() {
    let (one, two) = (fake(), fake());
    let policy = json!({"InternalServerErrorRetries": 3, "TimeoutErrorRetries": 3});
    let config = siblings(&one, &two).router(json!({"retry_policy": policy}));
    let hale = config.start();
    one.answer_with(|_| Script::error(500, "boom"));
    let headers = [("x-litellm-num-retries", "5"), ("x-litellm-model", "m")];
    let answer = post_with(&hale, FILES, &headers, &PARTS);
    expect_once("a policy", &answer, creations(&one, FILES) + creations(&two, FILES));
}

#[test]
fn a_file_that_was_refused_or_never_sent_is_created_at_the_sibling() {
    let refusals = [
        Script::rate_limited(1),
        Script::error(401, "Incorrect API key provided"),
        Script::error(404, "The model `x` does not exist"),
        Script::error(529, "overloaded"),
    ];
    for refusal in refusals {
        let (one, two) = (fake(), fake());
        let hale = siblings(&one, &two).start();
        one.push(refusal);
        let answer = post(&hale, "/v1/files?model=m", &PARTS);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!((creations(&one, FILES), creations(&two, FILES)), (1, 1));
    }
    let two = fake();
    let nowhere = format!("http://127.0.0.1:{}/v1", refused_port());
    let hale = Config::new()
        .with("m", "bad", &two, json!({"weight": 1, "api_base": nowhere}))
        .with("m", "good", &two, json!({"weight": 0}))
        .start();
    assert_eq!(post(&hale, "/v1/files?model=m", &PARTS).status, 200);
    assert_eq!(creations(&two, FILES), 1);
}

#[test]
fn a_creation_needs_no_kept_connection_so_a_stale_one_cannot_break_it() {
    let upstream = fake();
    let hale = warmed(&lone(&upstream));
    let opened = upstream.state().opened();
    assert_eq!(post(&hale, FILES, &PARTS).status, 200);
    assert_eq!(upstream.state().opened(), opened + 1);
    // Its connection is kept for others.
    assert_eq!(client(&hale).get(&format!("{FILES}?model=m")).status, 200);
    assert_eq!(upstream.state().opened(), opened + 1);
}

#[test]
fn a_chat_is_repeated_as_before() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    upstream.push(Script::ok().close());
    let answer = chat_with(&hale, &[], &openai::chat_request("m", "hi"));
    assert_eq!((answer.status, upstream.requests().len()), (200, 2));
}
