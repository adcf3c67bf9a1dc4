//! Clients that lose the connection of a stream and come back for the rest.

use hale_testkit::{Event, FakeUpstream, Hale, Script, anthropic, openai, responses};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, LOG, client, expect_error, hale, lone, metric, records, wait_for_records,
};

pub(crate) const MESSAGES: &str = "/v1/messages";
const COMPLETIONS: &str = "/v1/completions";
pub(crate) const RESPONSES: &str = "/v1/responses";

/// A gateway whose clients may come back within so many seconds.
pub(crate) fn with_window(upstream: &FakeUpstream, seconds: f64) -> Config {
    lone(upstream).general(json!({"request_log": LOG})).router(json!({"resume_window_s": seconds}))
}

/// The events of a stream, the last ones behind the gate `go`.
pub(crate) fn gated(path: &str) -> Script {
    let (first, second) = halves(path);
    let named = path == MESSAGES || path == RESPONSES;
    let add = |script: Script, event: &Value| match event["type"].as_str().filter(|_| named) {
        Some(name) => script.named_event(name, event),
        None => script.event(event),
    };
    let begun = first.iter().fold(Script::ok().stream(), add).wait("go");
    let whole = second.iter().fold(begun, add);
    if named { whole.end() } else { whole.done() }
}

/// A piece of a text completion; the empty one is the last.
fn said(text: &str) -> Value {
    let finish = if text.is_empty() { json!("stop") } else { Value::Null };
    json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "gpt-4o",
        "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]})
}

fn halves(path: &str) -> (Vec<Value>, Vec<Value>) {
    let mut events = match path {
        MESSAGES => anthropic::events("claude", &["one ", "two ", "three"]),
        RESPONSES => responses::events("gpt-4o"),
        COMPLETIONS => ["one ", "two ", "three", ""].map(said).to_vec(),
        _ => openai::chunks("gpt-4o", &["one ", "two ", "three"]),
    };
    // With content, so that the stream begins.
    let second = events.split_off(if path == MESSAGES { 4 } else { 3 });
    (events, second)
}

pub(crate) fn body(path: &str) -> Value {
    match path {
        MESSAGES => anthropic::stream_request("m", "hi"),
        RESPONSES => json!({"model": "m", "input": "hi", "stream": true}),
        COMPLETIONS => json!({"model": "m", "prompt": "hi", "stream": true}),
        _ => openai::stream_request("m", "hi"),
    }
}

/// The upstream of clients of `path`, and the model that it is.
fn upstream_of(path: &'static str) -> FakeUpstream {
    FakeUpstream::with(move |_| gated(path))
}

fn config(path: &str, upstream: &FakeUpstream) -> Config {
    let config = Config::new().general(json!({"request_log": LOG}));
    let config = config.router(json!({"resume_window_s": 30}));
    match path {
        MESSAGES => config.with(
            "m",
            "a",
            upstream,
            json!({"model": "anthropic/claude-sonnet-4-0", "api_base": upstream.url()}),
        ),
        _ => config.deployment("m", "a", upstream),
    }
}

/// Begins a stream, reads so many events, and leaves.
pub(crate) fn leave_after(hale: &Hale, path: &str, count: usize) -> (String, Vec<Event>) {
    let mut own = client(hale);
    let mut stream = own.stream(path, &[], &body(path));
    assert_eq!(stream.status, 200);
    let id = stream.header("x-hale-resume").expect("the stream has an id").to_owned();
    let events = (0..count).map(|_| stream.next_event().unwrap()).collect();
    stream.disconnect();
    (id, events)
}

/// The number of an event for a client that comes back.
pub(crate) fn number(event: &Event) -> String {
    let own = event.json()["sequence_number"].as_u64().map(|number| number.to_string());
    event.id.clone().or(own).expect("each event has a number")
}

/// What a client gets that comes back with that id after those events, and whether it was cut.
pub(crate) fn resume(hale: &Hale, path: &str, id: &str, had: &[Event]) -> (Vec<Event>, bool) {
    let last = had.last().map(number);
    let mut headers = vec![("x-hale-resume", id)];
    headers.extend(last.as_deref().map(|last| ("last-event-id", last)));
    let mut own = client(hale);
    let mut stream = own.stream(path, &headers, &body(path));
    assert_eq!(stream.status, 200);
    assert_eq!(stream.header("x-hale-resume"), Some(id));
    (stream.remaining(), stream.cut())
}

/// Whole streams, as a client gets them that stays.
fn whole(hale: &Hale, path: &str) -> Vec<Event> {
    let mut own = client(hale);
    let mut stream = own.stream(path, &[], &body(path));
    stream.remaining()
}

fn shown(events: &[Event]) -> Vec<(Option<String>, Option<String>, String)> {
    // Ids and times of answers differ from one to the next.
    let data = |event: &Event| match event.json() {
        Value::Object(mut json) => {
            for name in ["id", "created", "response", "message"] {
                json.remove(name);
            }
            Value::Object(json).to_string()
        }
        _ => event.data.clone(),
    };
    events.iter().map(|event| (event.name.clone(), event.id.clone(), data(event))).collect()
}

#[test]
fn a_client_that_comes_back_gets_what_follows_and_the_provider_is_called_once() {
    for path in [CHAT, COMPLETIONS, MESSAGES, RESPONSES] {
        for is_complete in [false, true] {
            let upstream = upstream_of(path);
            let hale = config(path, &upstream).start();
            let (id, had) = leave_after(&hale, path, 2);
            upstream.wait_for(|state| state.waiting_at("go") == 1);
            assert!(records(&hale).is_empty(), "{path}: it goes on");
            if is_complete {
                upstream.release("go");
                wait_for_records(&hale, 1);
            }
            let tail = std::thread::scope(|scope| {
                let comes = scope.spawn(|| resume(&hale, path, &id, &had));
                upstream.release("go");
                comes.join().unwrap()
            });
            assert!(!tail.1, "{path}: the stream ends well");
            let record = wait_for_records(&hale, 1).pop().unwrap();
            assert_eq!((&record["ending"], &record["status"]), (&json!("success"), &json!(200)));
            assert!(record["output_tokens"].as_u64().is_none_or(|count| count > 0), "{record}");
            let expected = shown(&whole(&hale, path));
            let got = shown(&[&had[..], &tail.0].concat());
            assert_eq!(got, expected, "{path} {is_complete}");
            assert_eq!(upstream.requests().len(), 2, "{path}: once for each stream");
            assert_eq!(wait_for_records(&hale, 2).len(), 2, "one record each");
            assert_eq!(metric(&hale, "hale_resumes_total", &[]), 1.0);
        }
    }
}

#[test]
fn a_response_is_resumed_by_its_own_id() {
    let upstream = upstream_of(RESPONSES);
    let hale = config(RESPONSES, &upstream).start();
    let (_, had) = leave_after(&hale, RESPONSES, 2);
    let id = had[0].json()["response"]["id"].as_str().unwrap().to_owned();
    upstream.release("go");
    wait_for_records(&hale, 1);
    let path = format!("{RESPONSES}/{id}?stream=true&starting_after=1");
    let answer = client(&hale).get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = answer.text();
    assert!(!text.contains("\"sequence_number\":1,"), "{text}");
    for wanted in ["\"sequence_number\":2", "response.completed"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert_eq!(upstream.requests().len(), 1, "the provider is not asked");
    let all = client(&hale).get(&format!("{RESPONSES}/{id}?stream=true")).text();
    assert!(all.contains("response.created") && all.ends_with(&text), "{all}");
    let bad = client(&hale).get(&format!("{RESPONSES}/{id}?stream=true&starting_after=x"));
    expect_error(&bad, 400, "invalid_parameter");
    let early = client(&hale).get(&format!("{RESPONSES}/{id}?stream=true&starting_after=99"));
    let early = expect_error(&early, 400, "invalid_parameter");
    assert!(early["message"].as_str().unwrap().contains("last one is 3"), "{early}");
}

#[test]
fn it_does_not_matter_which_worker_the_client_comes_back_to() {
    let upstream = upstream_of(CHAT);
    let text = with_window(&upstream, 30.0).text();
    let hale = hale().config(&text).arg("--num_workers").arg("3").start();
    let begun: Vec<_> = (0..8).map(|_| leave_after(&hale, CHAT, 2)).collect();
    upstream.wait_for(|state| state.waiting_at("go") == 8);
    std::thread::scope(|scope| {
        let come: Vec<_> =
            begun.iter().map(|(id, had)| scope.spawn(|| resume(&hale, CHAT, id, had))).collect();
        upstream.release("go");
        for (one, (_, had)) in come.into_iter().zip(&begun) {
            let (tail, cut) = one.join().unwrap();
            let text: String = had.iter().chain(&tail).map(Event::content).collect();
            assert_eq!((&*text, cut), ("one two three", false));
            assert!(tail.last().unwrap().is_done());
        }
    });
    assert_eq!(upstream.requests().len(), 8);
    assert_eq!(wait_for_records(&hale, 8).len(), 8);
}

#[test]
fn without_a_window_nothing_is_kept_and_no_byte_differs() {
    let upstream = upstream_of(CHAT);
    upstream.release("go");
    let off = lone(&upstream).start();
    let mut own = client(&off);
    let mut stream = own.stream(CHAT, &[], &body(CHAT));
    assert_eq!(stream.header("x-hale-resume"), None);
    assert!(!stream.text().contains("id: "));
    let headers = [("x-hale-resume", "stream_hale2-x"), ("last-event-id", "1")];
    let answer = client(&off).post_json(CHAT, &headers, &body(CHAT));
    expect_error(&answer, 404, "unknown_stream");
    assert_eq!(upstream.requests().len(), 1, "it is not sent a second time");
    assert_eq!(metric(&off, "hale_resumable_streams", &[]), 0.0);
}

#[test]
fn a_full_answer_and_a_stream_in_googles_format_have_no_id() {
    let upstream = upstream_of(CHAT);
    upstream.release("go");
    upstream.answer_with(openai::answer);
    let hale = with_window(&upstream, 30.0).start();
    let answer = client(&hale).post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    assert_eq!((answer.status, answer.header("x-hale-resume")), (200, None));
    let google = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}]});
    let path = "/v1beta/models/m:streamGenerateContent?alt=sse";
    let mut own = client(&hale);
    let mut stream = own.stream(path, &[], &google);
    assert_eq!((stream.status, stream.header("x-hale-resume")), (200, None));
    assert!(stream.remaining().iter().all(|event| event.id.is_none()));
}

#[test]
fn a_stream_that_began_with_comments_is_resumed_and_has_them_still() {
    let script = || {
        let said = |text| openai::content_chunk("gpt-4o", text);
        let begun = Script::ok().stream().wait("begin").event(&said("one ")).wait("go");
        begun.event(&said("two")).event(&openai::finish_chunk("gpt-4o", "stop")).done()
    };
    let upstream = FakeUpstream::with(move |_| script());
    let comments = json!({"sse_keepalive_ping_interval_seconds": 1});
    let hale = with_window(&upstream, 30.0).litellm(comments).start();
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &body(CHAT));
    let id =
        stream.header("x-hale-resume").expect("the id comes with the first comment").to_owned();
    assert_eq!(stream.next_event().unwrap().comment.as_deref(), Some("keepalive"));
    upstream.release("begin");
    let first = std::iter::from_fn(|| stream.next_event()).find(|event| event.comment.is_none());
    let had = [first.unwrap()];
    stream.disconnect();
    let headers = [("x-hale-resume", &*id), ("last-event-id", "1")];
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &headers, &body(CHAT));
    assert_eq!(stream.next_event().unwrap().comment.as_deref(), Some("keepalive"));
    upstream.release("go");
    let tail = stream.remaining();
    let text: String = had.iter().chain(&tail).map(Event::content).collect();
    assert_eq!((&*text, stream.cut()), ("one two", false));
    assert!(tail.last().unwrap().is_done());
    assert_eq!(upstream.requests().len(), 1);
}
