//! Successful streams: what is sent when, and what the client sees.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use hale_testkit::{Client, Event, FakeUpstream, Hale, Script, TIMEOUT, openai};
use serde_json::json;

use crate::support::{CHAT, Config, KEY, chat_with, client, lone, metric};
use crate::timing::Stopwatch;

/// The bytes of the stream's body.
#[track_caller]
fn body_of(hale: &Hale) -> String {
    let mut client = client(hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.status, 200);
    let text = stream.text();
    assert!(!stream.cut());
    text
}

fn start(script: Script) -> (FakeUpstream, Hale) {
    let upstream = FakeUpstream::scripted([script]);
    let hale = lone(&upstream).start();
    (upstream, hale)
}

fn lines(events: &[serde_json::Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

#[test]
fn each_event_leaves_while_the_upstream_still_holds_the_next() {
    let script = Script::ok()
        .stream()
        .event(&openai::role_chunk("gpt-4o"))
        .event(&openai::content_chunk("gpt-4o", "one"))
        .wait("two")
        .event(&openai::content_chunk("gpt-4o", "two"))
        .wait("end")
        .event(&openai::finish_chunk("gpt-4o", "stop"))
        .done();
    let (upstream, hale) = start(script);
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    let seen = |event: Option<Event>| event.unwrap().content();
    assert_eq!(seen(stream.next_event()), "");
    assert_eq!(seen(stream.next_event()), "one");
    upstream.release("two");
    assert_eq!(seen(stream.next_event()), "two");
    upstream.release("end");
    let tail = stream.remaining();
    assert_eq!((tail.len(), tail[1].is_done()), (2, true));
}

#[test]
fn every_chunk_bears_the_name_that_the_client_sent() {
    let (_upstream, hale) = start(Script::ok().sse(&openai::chunks("gpt-4o-2024", &["a", "b"])));
    let expected = lines(&openai::chunks("m", &["a", "b"])) + "data: [DONE]\n\n";
    assert_eq!(body_of(&hale), expected);
}

#[test]
fn half_an_event_is_held_until_its_end_comes() {
    let first = format!("data: {}\n\n", openai::content_chunk("gpt-4o", "whole"));
    let second = format!("data: {}\n\n", openai::content_chunk("gpt-4o", "held"));
    let (one, two) = second.split_at(second.len() - 1);
    let script = Script::ok()
        .stream()
        .chunk(format!("{first}{one}"))
        .wait("rest")
        .chunk(two)
        .event(&openai::finish_chunk("gpt-4o", "stop"))
        .done();
    let (upstream, hale) = start(script);
    let mut line = TcpStream::connect(hale.address()).unwrap();
    line.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let body = openai::stream_request("m", "hi").to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    line.write_all((head + &body).as_bytes()).unwrap();
    upstream.wait_for(|state| state.waiting_at("rest") == 1);
    let (mut seen, mut piece) = (Vec::new(), [0; 4096]);
    // Reads on until nothing has come for the time limit.
    while let Ok(count) = line.read(&mut piece) {
        assert!(count > 0, "the stream ended");
        seen.extend_from_slice(&piece[..count]);
    }
    let seen = String::from_utf8(seen).unwrap();
    assert!(seen.contains("whole") && seen.ends_with("\n\n\r\n"), "not the whole event: {seen}");
    assert!(!seen.contains("held"), "bytes of half an event were sent: {seen}");
    upstream.release("rest");
    let mut tail = String::new();
    line.set_read_timeout(Some(TIMEOUT)).unwrap();
    while !tail.contains("[DONE]") {
        let count = line.read(&mut piece).unwrap();
        tail.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    assert!(tail.contains("held"), "{tail}");
}

#[test]
fn the_first_half_event_does_not_commit_the_client() {
    let event = format!("data: {}\n\n", openai::content_chunk("gpt-4o", "half"));
    let broken = Script::ok().stream().chunk(&event[..event.len() - 2]).reset();
    let upstream = FakeUpstream::scripted([broken]);
    let hale = lone(&upstream).start();
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.header("x-litellm-attempted-retries"), Some("1"));
    assert_eq!(stream.content(), openai::TEXT);
}

#[test]
fn carriage_returns_comments_names_and_ids_pass_untouched() {
    let chunk = |text: &str| openai::content_chunk("m", text).to_string();
    let text = format!(
        ": first comment\r\n\r\nevent: message\r\nid: 7\r\nretry: 10\r\ndata: {}\r\n\r\n: ping\n\n\
         data:{}\n\n:\r\rdata: {}\r\rdata: {}\n\ndata: [DONE]\n\n",
        chunk("a"),
        chunk("b"),
        chunk("c"),
        openai::finish_chunk("m", "stop"),
    );
    let (_upstream, hale) = start(Script::ok().stream().chunk(&text).end());
    assert_eq!(body_of(&hale), text);
}

#[test]
fn cuts_in_the_upstreams_writes_do_not_matter() {
    let text = lines(&openai::chunks("gpt-4o", &["\u{fc}", "\u{1f600}"])) + "data: [DONE]\n\n";
    let bytes = text.replace("\n\n", "\r\n\r\n");
    let script = bytes.as_bytes().chunks(3).fold(Script::ok().stream(), |it, cut| it.chunk(cut));
    let (_upstream, hale) = start(script.end());
    assert_eq!(body_of(&hale), bytes.replace("\"gpt-4o\"", "\"m\""));
}

#[test]
fn an_event_of_several_data_lines_is_one_event() {
    let text = format!(
        "data: {{\"model\":\"gpt-4o\",\ndata: \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"x\"}}}}]}}\n\n\
         data: {}\n\ndata: [DONE]\n\n",
        openai::finish_chunk("gpt-4o", "stop")
    );
    let (_upstream, hale) = start(Script::ok().stream().chunk(text).end());
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    let events = stream.remaining();
    assert_eq!((events[0].content().as_str(), &events[0].json()["model"]), ("x", &json!("m")));
    assert_eq!(events.len(), 3);
}

#[test]
fn the_usage_chunk_is_for_clients_that_requested_it() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let usages = |hale: &Hale, body: &serde_json::Value| {
        let mut client = client(hale);
        let mut stream = client.stream(CHAT, &[], body);
        let events = stream.remaining();
        assert!(events.last().unwrap().is_done());
        events.iter().filter(|event| event.json()["usage"].is_object()).count()
    };
    let mut body = openai::stream_request("m", "hi");
    assert_eq!(usages(&hale, &body), 0);
    body["stream_options"] = json!({"include_usage": true});
    assert_eq!(usages(&hale, &body), 1);
    body["stream_options"] = json!({"include_usage": false});
    assert_eq!(usages(&hale, &body), 0);
    let always = lone(&upstream).general(json!({"always_include_stream_usage": true})).start();
    assert_eq!(usages(&always, &openai::stream_request("m", "hi")), 1);
}

#[test]
fn usage_beside_content_is_not_withheld() {
    let mut last = openai::finish_chunk("gpt-4o", "stop");
    last["usage"] = openai::usage(3, 4);
    let events = [openai::content_chunk("gpt-4o", "x"), last];
    let (_upstream, hale) = start(Script::ok().sse(&events));
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.remaining()[1].json()["usage"]["total_tokens"], 7);
}

#[test]
fn a_malformed_event_in_the_middle_is_skipped() {
    // Bad input, row 96.
    let script = Script::ok()
        .stream()
        .event(&openai::content_chunk("gpt-4o", "one"))
        .data("{\"broken\": ")
        .data("not json at all")
        .chunk(b"data: {\"bytes\":\"\xff\xfe\"}\n\n")
        .event(&openai::content_chunk("gpt-4o", "two"))
        .event(&openai::finish_chunk("gpt-4o", "stop"))
        .done();
    let (_upstream, hale) = start(script);
    let expected = lines(&[
        openai::content_chunk("m", "one"),
        openai::content_chunk("m", "two"),
        openai::finish_chunk("m", "stop"),
    ]);
    assert_eq!(body_of(&hale), expected + "data: [DONE]\n\n");
}

#[test]
fn nothing_follows_the_done_mark() {
    let events = openai::chunks("gpt-4o", &["x"]);
    let script = Script::ok().stream().events(&events).data("[DONE]");
    let (_upstream, hale) = start(script.event(&openai::content_chunk("gpt-4o", "late")).end());
    assert!(body_of(&hale).ends_with("data: [DONE]\n\n"));
}

#[test]
fn the_case_of_a_content_type_or_encoding_means_nothing() {
    let chunks = openai::chunks("gpt-4o", &["he", "llo"]);
    for kind in ["Text/Event-Stream", "TEXT/EVENT-STREAM; Charset=UTF-8", " text/event-stream "] {
        let script = Script::ok().header("content-encoding", "Identity").chunked(kind);
        let script = script.events(&chunks).done().end();
        let upstream = FakeUpstream::with(move |_| script.clone());
        let hale = lone(&upstream).start();
        let mut client = client(&hale);
        let headers = [("content-encoding", "IDENTITY")];
        let mut stream = client.stream(CHAT, &headers, &openai::stream_request("m", "hi"));
        assert_eq!((stream.status, stream.content().as_str()), (200, "hello"), "{kind}");
    }
}

#[test]
fn an_end_without_done_is_complete_after_a_finish_reason() {
    // F9.
    let events = openai::chunks("gpt-4o", &["x"]);
    let expected = lines(&openai::chunks("m", &["x"])) + "data: [DONE]\n\n";
    let whole = || Script::ok().stream().events(&events);
    for script in [whole().end(), whole().close(), whole().reset()] {
        let (upstream, hale) = start(script);
        assert_eq!(body_of(&hale), expected);
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn silence_after_a_finish_reason_is_a_complete_answer_too() {
    let events = openai::chunks("gpt-4o", &["x"]);
    let silent = || Script::ok().stream().events(&events).silence();
    // Half a second, or the time that may pass between events if that is shorter.
    for (timeout, least_ms) in [(json!({}), 490), (json!({"stream_timeout": 0.3}), 290)] {
        let upstream = FakeUpstream::scripted([silent()]);
        let hale = Config::new().with("m", "a", &upstream, timeout).start();
        let begin = Stopwatch::start();
        assert_eq!(body_of(&hale), lines(&openai::chunks("m", &["x"])) + "data: [DONE]\n\n");
        begin.between_ms(least_ms, 3_000);
    }
}

#[test]
fn an_upstream_that_lingers_after_done_does_not_keep_the_client() {
    let events = openai::chunks("gpt-4o", &["x"]);
    let (_upstream, hale) = start(Script::ok().stream().events(&events).data("[DONE]").silence());
    let mut client = client(&hale).with_timeout(Duration::from_secs(5));
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert!(stream.remaining().last().unwrap().is_done());
}

#[test]
fn a_long_event_passes_and_an_endless_one_is_refused() {
    // Bad input, row 96.
    let long = "x".repeat(1_600_000);
    let (_upstream, hale) = start(Script::ok().sse(&openai::chunks("gpt-4o", &[&long])));
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert!(stream.content() == long);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    let endless = format!("data: {}", "y".repeat(1100 << 10));
    let script = Script::ok().stream().event(&openai::content_chunk("gpt-4o", "x")).chunk(endless);
    let upstream = FakeUpstream::scripted([script.silence()]);
    let hale = lone(&upstream).general(json!({"max_response_size_mb": 1})).start();
    let text = body_of(&hale);
    assert!(text.contains("answer_too_large") && !text.contains("[DONE]"), "{text}");
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
}

#[test]
fn text_completions_stream_too() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut client: Client = client(&hale);
    let body = json!({"model": "m", "prompt": "hi", "stream": true});
    let mut stream = client.stream("/v1/completions", &[], &body);
    let events = stream.remaining();
    let text = |event: &Event| event.json()["choices"][0]["text"].as_str().unwrap_or("").to_owned();
    assert_eq!(events.iter().map(text).collect::<String>(), openai::TEXT);
    assert!(events.last().unwrap().is_done());
    assert_eq!(events[0].json()["model"], "m");
}

#[test]
fn a_canned_answer_streams() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().with("m", "a", &upstream, json!({"mock_response": "canned"})).start();
    let mut client = client(&hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.content(), "canned");
    let full = chat_with(&hale, &[], &openai::chat_request("m", "hi")).json();
    assert_eq!(full["choices"][0]["message"]["content"], "canned");
    assert_eq!(upstream.state().opened(), 0);
}
