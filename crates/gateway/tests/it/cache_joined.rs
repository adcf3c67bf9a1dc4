//! Equal requests at once: what those who joined get when the first client does not read, and what an operator's word does
//! to an answer on its way.

use hale_testkit::{Client, FakeUpstream, Hale, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, client, eventually, lone, metric, wait_until_idle};

const MESSAGES: &str = "/v1/messages";
/// Pieces of a text that is longer than what systems buffer for a client, and what one of them has.
const PIECES: usize = 60;
const PIECE: usize = 50_000;

fn on(config: Config) -> Config {
    config.litellm(json!({"cache": true, "cache_params": {"type": "local", "ttl": 600}}))
}

/// An upstream whose long streams begin, and go on when the gate `go` opens.
fn long() -> FakeUpstream {
    let texts: Vec<String> = (0..PIECES)
        .map(|at| char::from(b'a' + (at % 26) as u8).to_string().repeat(PIECE))
        .collect();
    FakeUpstream::with(move |request| {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        if request.path.contains("messages") {
            let events = anthropic::events("m", &texts);
            let named = |script: Script, event: &Value| {
                script.named_event(event["type"].as_str().unwrap(), event)
            };
            let start = anthropic::stream(&events[..3]).wait("go");
            return events[3..].iter().fold(start, named).end();
        }
        let chunks = openai::chunks("m", &texts);
        let start = Script::ok().stream().events(&chunks[..2]).wait("go");
        start.events(&chunks[2..]).done().end()
    })
}

/// A request whose answer is not read yet.
fn sent(hale: &Hale, (path, body): (&str, &Value)) -> Client {
    let mut client = client(hale);
    let json = [("content-type", "application/json")];
    client.send("POST", path, &json, body.to_string().as_bytes()).unwrap();
    client
}

fn until_joined(hale: &Hale, count: f64) {
    eventually("the others have joined", || {
        (metric(hale, "hale_cache_joined_total", &[]) == count).then_some(())
    });
}

/// Bytes of a stream that ended by itself.
#[track_caller]
fn whole(client: &mut Client) -> String {
    let mut stream = client.read_stream().unwrap();
    let text = stream.text();
    assert!(text.len() > PIECES * PIECE && !text.contains("broke off"), "{} bytes", text.len());
    text
}

#[test]
fn a_first_client_that_does_not_read_holds_up_none_who_joined_it_and_gets_the_remainder_later() {
    let claude = json!({"model": "anthropic/claude-haiku-4-5"});
    for (path, body) in [
        (CHAT, openai::stream_request("m", "hi")),
        (MESSAGES, anthropic::stream_request("claude", "hi")),
    ] {
        let upstream = long();
        let mut claude = claude.clone();
        claude["api_base"] = json!(upstream.url());
        let hale = on(lone(&upstream).with("claude", "claude", &upstream, claude)).start();
        let mut first = sent(&hale, (path, &body));
        upstream.wait_for(|state| state.waiting_at("go") == 1);
        let mut others = [sent(&hale, (path, &body)), sent(&hale, (path, &body))];
        until_joined(&hale, 2.0);
        upstream.release("go");
        let texts: Vec<String> = others.iter_mut().map(whole).collect();
        assert_eq!(texts[0], texts[1]);
        assert_eq!(whole(&mut first), texts[0], "it was behind, and has lost nothing");
        assert_eq!(upstream.requests().len(), 1);
        wait_until_idle(&hale);
    }
}

#[test]
fn a_first_client_that_does_not_read_and_leaves_takes_no_answer_from_the_others() {
    let upstream = long();
    let hale = on(lone(&upstream)).start();
    let body = openai::stream_request("m", "hi");
    let first = sent(&hale, (CHAT, &body));
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    let mut other = sent(&hale, (CHAT, &body));
    until_joined(&hale, 1.0);
    upstream.release("go");
    let mut stream = other.read_stream().unwrap();
    // More than systems buffer for the first one: the others do not wait for it any more.
    (0..PIECES / 2).for_each(|_| assert!(stream.next_event().is_some()));
    drop(first);
    let tail = stream.text();
    assert!(
        tail.ends_with("data: [DONE]\n\n") && tail.len() > PIECES / 3 * PIECE,
        "{}",
        tail.len()
    );
    assert_eq!(upstream.requests().len(), 1);
    wait_until_idle(&hale);
}

#[test]
fn an_answer_that_was_on_its_way_when_it_was_deleted_is_not_kept() {
    let upstream =
        FakeUpstream::with(|_| Script::ok().wait("go").json(&openai::chat_completion("m", "old")));
    let hale = on(lone(&upstream)).start();
    let body = openai::chat_request("m", "hi");
    let mut key = None;
    for path in ["/cache/flushall", "/cache/delete"] {
        upstream.hold("go");
        let mut first = sent(&hale, (CHAT, &body));
        upstream.wait_for(|state| state.waiting_at("go") == 1);
        let keys = json!({"keys": [key.clone().unwrap_or_default()]});
        assert_eq!(client(&hale).post_json(path, &[], &keys).status, 200);
        upstream.release("go");
        let answer = first.read_response().unwrap();
        key = answer.header("x-litellm-cache-key").map(str::to_owned);
        assert_eq!(metric(&hale, "hale_cache_bytes", &[]), 0.0, "{path}");
    }
    // The next one is kept again.
    assert_eq!(client(&hale).post_json(CHAT, &[], &body).status, 200);
    assert!(metric(&hale, "hale_cache_bytes", &[]) > 0.0);
}
