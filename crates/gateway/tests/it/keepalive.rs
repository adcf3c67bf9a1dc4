//! Comments in streams that are silent: before the answer, between its events, for each format of clients, and what they are no
//! part of.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Script, anthropic, gemini, openai, responses};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, LOG, client, lone, metric, wait_for_records};

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const COMMENT: &str = ": keepalive\n\n";
/// Longer than the time to a comment. It only proves that none comes.
const SILENCE: Duration = Duration::from_millis(1_300);
const GOOGLE: &str = "/v1beta/models/m:streamGenerateContent";

fn logged(upstream: &FakeUpstream) -> Config {
    lone(upstream).general(json!({"request_log": LOG})).router(json!({"num_retries": 0}))
}

fn each_second(config: Config) -> Config {
    config.litellm(json!({"sse_keepalive_ping_interval_seconds": 1}))
}

/// A client of each format: its path, its request, the comment that it gets.
fn clients() -> [(&'static str, String, Value, &'static str); 5] {
    let google = json!({"contents": [{"parts": [{"text": "hi"}]}]});
    let response = json!({"model": "m", "input": "hi", "stream": true});
    [
        ("chats", CHAT.to_owned(), openai::stream_request("m", "hi"), COMMENT),
        ("messages", MESSAGES.to_owned(), anthropic::stream_request("m", "hi"), COMMENT),
        ("responses", RESPONSES.to_owned(), response, COMMENT),
        ("events of Google's", format!("{GOOGLE}?alt=sse"), google.clone(), "\r\n"),
        ("a list of Google's", GOOGLE.to_owned(), google, "\r\n"),
    ]
}

/// What the body says besides comments, without what differs from request to request.
fn said(text: &str, comment: &str) -> String {
    let bare = text.replace(": keepalive\n\n", "");
    let bare = if comment == "\r\n" { bare.trim_start().replace("\n\r\n", "\n") } else { bare };
    let words: Vec<&str> =
        bare.split(['"', '\n']).filter(|word| *word == "one" || *word == "two").collect();
    words.join(" ")
}

/// Reads the stream that `path` answers with; the gate opens once the client has a comment.
fn read(hale: &Hale, upstream: &FakeUpstream, (path, body): (&str, &Value)) -> (u16, String) {
    let mut client = client(hale);
    let mut stream = client.stream(path, &[], body);
    let begin = stream.text_until(ends_in_comment);
    upstream.release("go");
    (stream.status, begin + &stream.text())
}

/// Whether a comment is the last that came.
fn ends_in_comment(text: &str) -> bool {
    match text.trim_start() {
        "" => !text.is_empty(),
        list if list.starts_with('[') => list.ends_with("}\r\n"),
        events => [COMMENT, "\r\n\r\n\r\n", "\n\n\r\n"].iter().any(|end| events.ends_with(end)),
    }
}

fn chunks() -> Vec<Value> {
    openai::chunks("gpt-4o", &["one", "two"])
}

#[test]
fn no_comment_leaves_before_the_first_attempt_so_that_a_refusal_is_a_429() {
    let upstream = FakeUpstream::with(|_| Script::rate_limited(60));
    // Longer than the time between two comments.
    upstream.push(Script::rate_limited(3));
    let hale = each_second(lone(&upstream).router(json!({"max_wait_s": 8}))).start();
    let headers = [("x-litellm-num-retries", "0")];
    let first = client(&hale).post_json(CHAT, &headers, &openai::chat_request("m", "hi"));
    assert_eq!(first.status, 429, "{}", first.text());
    let sent = clients().map(|(whose, path, body, _)| {
        let mut client = client(&hale);
        client.send("POST", &path, &[], body.to_string().as_bytes()).unwrap();
        (whose, client)
    });
    for (whose, mut client) in sent {
        let answer = client.read_response().unwrap();
        assert_eq!(answer.status, 429, "{whose}: {}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{whose}");
    }
    assert_eq!(upstream.requests().len(), 2, "one tried whether the limit is over");
}

#[test]
fn a_client_of_each_format_gets_comments_before_the_answer_begins() {
    for (whose, path, body, comment) in clients() {
        let upstream = FakeUpstream::with(|_| Script::ok().wait("go").sse(&chunks()));
        let hale = each_second(chats(&upstream, json!({}))).start();
        let (status, text) = read(&hale, &upstream, (&path, &body));
        assert_eq!(status, 200, "{whose}");
        assert!(text.starts_with(comment), "{whose}: {text}");
        assert!(said(&text, comment).starts_with("one two"), "{whose}: {text}");
        let record = &wait_for_records(&hale, 1)[0];
        assert_eq!(
            (&record["status"], &record["ending"]),
            (&json!(200), &json!("success")),
            "{whose}"
        );
        if path == GOOGLE {
            let list: Value = serde_json::from_str(&text).unwrap();
            assert!(list.as_array().is_some_and(|list| !list.is_empty()), "{text}");
        }
    }
}

#[test]
fn a_client_of_each_format_gets_comments_between_the_events_of_the_answer() {
    for (whose, path, body, comment) in clients() {
        let upstream = FakeUpstream::with(|_| {
            let all = chunks();
            Script::ok().stream().events(&all[..2]).wait("go").events(&all[2..]).done()
        });
        let hale = chats(&upstream, json!({"keepalive_seconds": 1})).start();
        let (_, text) = read(&hale, &upstream, (&path, &body));
        let mark = if comment == "\r\n" { "\r\n\r\n\r\n" } else { comment };
        if path == GOOGLE {
            let list: Value = serde_json::from_str(&text).unwrap();
            assert!(text.contains("}\r\n,\r\n{"), "{whose}: {text}");
            assert!(list.as_array().is_some_and(|list| list.len() > 1), "{text}");
        } else {
            assert!(text.contains(mark), "{whose}: {text:?}");
        }
        assert!(said(&text, comment).starts_with("one two"), "{whose}: {text}");
    }
}

fn lone_with(upstream: &FakeUpstream, more: Value) -> Config {
    Config::new().with("m", "a", upstream, more)
}

/// A provider of chats alone, for clients of every format.
fn chats(upstream: &FakeUpstream, more: Value) -> Config {
    let mut params = json!({"model": "deepseek/x"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lone_with(upstream, params)
        .general(json!({"request_log": LOG}))
        .router(json!({"num_retries": 0}))
}

#[test]
fn a_stream_that_passes_gets_comments_too_and_keeps_its_bytes() {
    let claude = FakeUpstream::with(|_| {
        let events = anthropic::events("m", &["one", "two"]);
        let named = |script: Script, event: &Value| {
            script.named_event(event["type"].as_str().unwrap(), event)
        };
        let begun = anthropic::stream(&events[..4]).wait("go");
        events[4..].iter().fold(begun, named).end()
    });
    let google = FakeUpstream::with(|_| {
        let said = |text: &str| gemini::chunk(json!([{"text": text}]));
        let last = gemini::candidate(json!([{"text": "two"}]), "STOP");
        Script::ok().stream().event(&said("one")).wait("go").event(&last).end()
    });
    let native = FakeUpstream::with(|_| {
        let events = responses::events("m");
        responses::stream(&events[..2]).wait("go").events(&events[2..]).end()
    });
    let body = json!({"contents": [{"parts": [{"text": "hi"}]}]});
    let response = json!({"model": "m", "input": "hi", "stream": true});
    let gemini_params = json!({"model": "gemini/gemini-2.5-flash", "api_base": google.url(), "api_key": "AIza-test"});
    for (upstream, params, path, body) in [
        (
            &claude,
            json!({"model": "anthropic/x", "api_base": claude.url()}),
            MESSAGES.to_owned(),
            anthropic::stream_request("m", "hi"),
        ),
        (&google, gemini_params, format!("{GOOGLE}?alt=sse"), body),
        (&native, json!({}), RESPONSES.to_owned(), response),
    ] {
        let without = lone_with(upstream, params.clone()).start();
        let mut bare = client(&without);
        let mut plain = bare.stream(&path, &[], &body);
        upstream.release("go");
        let plain = plain.text();
        let mut params = params;
        params["keepalive_seconds"] = json!(1);
        let hale = lone_with(upstream, params).start();
        upstream.hold("go");
        let (_, text) = read(&hale, upstream, (&path, &body));
        assert_ne!(text, plain, "{path}");
        let mut bare = text.replace(COMMENT, "");
        while bare.contains("\n\n\r\n") {
            bare = bare.replace("\n\n\r\n", "\n\n");
        }
        assert_eq!(bare, plain, "{path}");
    }
}

#[test]
fn an_error_behind_a_comment_is_an_event_of_the_clients_format() {
    for (whose, path, body, comment) in clients() {
        let upstream = FakeUpstream::with(|_| {
            Script::with_status(400).wait("go").json(&openai::error(
                "no such thing",
                "invalid_request_error",
                "x",
            ))
        });
        let hale = each_second(logged(&upstream)).start();
        let (status, text) = read(&hale, &upstream, (&path, &body));
        assert_eq!(status, 200, "{whose}");
        let tail = text.trim_start_matches(comment);
        let begins = match whose {
            "chats" => "data: {\"error\":{\"message\":",
            "messages" => "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":",
            "responses" => "event: response.created\n",
            "events of Google's" => "data: {\"error\":{\"code\":400,",
            _ => "[{\"error\":{\"code\":400,",
        };
        assert!(tail.starts_with(begins), "{whose}: {text}");
        assert!(tail.contains("no such thing"), "{whose}: {text}");
        assert!(whose != "responses" || tail.contains("event: response.failed\n"), "{text}");
        let record = &wait_for_records(&hale, 1)[0];
        assert_eq!(
            (&record["status"], &record["ending"]),
            (&json!(400), &json!("error")),
            "{whose}"
        );
    }
}

#[test]
fn an_answer_that_comes_before_the_first_comment_is_as_it_would_be_without() {
    let upstream = FakeUpstream::start();
    let with = each_second(lone(&upstream)).start();
    let answer = client(&with)
        .stream(CHAT, &[], &openai::stream_request("m", "hi"))
        .header("x-litellm-model-id")
        .map(str::to_owned);
    assert_eq!(answer.as_deref(), Some("a"));
    let bad = FakeUpstream::with(|_| {
        Script::with_status(400).json(&openai::error("no", "invalid_request_error", "x"))
    });
    let hale = each_second(lone(&bad)).start();
    let refused = client(&hale).post_json(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(refused.status, 400, "{}", refused.text());
    // What is no stream waits for its status.
    let slow = FakeUpstream::with(|_| {
        Script::with_status(400).wait("go").json(&openai::error("no", "invalid_request_error", "x"))
    });
    let hale = each_second(lone(&slow)).start();
    let mut waiting = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    waiting.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes()).unwrap();
    std::thread::sleep(SILENCE);
    assert!(waiting.read_response_now().is_none());
    slow.release("go");
    assert_eq!(waiting.read_response().unwrap().status, 400);
}

#[test]
fn the_deployment_says_whether_its_streams_get_comments_and_whether_clients_may_say_it() {
    let comments = |(params, headers, field): (Value, &[(&str, &str)], Value), is_told: bool| {
        let upstream = FakeUpstream::with(|_| {
            let all = chunks();
            Script::ok().stream().events(&all[..2]).wait("go").events(&all[2..]).done()
        });
        let hale = each_second(lone_with(&upstream, params)).start();
        let mut body = openai::stream_request("m", "hi");
        if !field.is_null() {
            body["keepalive_seconds"] = field;
        }
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, headers, &body);
        if is_told {
            stream.text_until(|text| text.ends_with(COMMENT));
        } else {
            std::thread::sleep(SILENCE);
        }
        upstream.release("go");
        let text = stream.text();
        assert!(is_told || !text.contains(COMMENT), "{text}");
        let sent = upstream.request(0).json();
        assert!(sent.get("keepalive_seconds").is_none(), "{sent}");
    };
    let header = [("x-litellm-keepalive-seconds", "0")];
    // The setting for all.
    comments((json!({}), &[], json!(null)), true);
    // The deployment's own comes first.
    comments((json!({"keepalive_seconds": 0}), &[], json!(1)), false);
    comments((json!({"keepalive_seconds": 60}), &[], json!(1)), false);
    // Clients have no say, unless the deployment lets them.
    comments((json!({}), &header, json!(0)), true);
    let lets = json!({"allow_client_keepalive_override": true});
    comments((lets.clone(), &header, json!(null)), false);
    comments((lets.clone(), &[], json!(0)), false);
    // A value that is none changes nothing.
    comments((lets, &[], json!("soon")), true);
}

#[test]
fn comments_are_no_part_of_what_is_kept_and_each_who_joined_has_its_own() {
    let upstream = FakeUpstream::with(|_| {
        let all = chunks();
        Script::ok().stream().events(&all[..2]).wait("go").events(&all[2..]).done()
    });
    let cached = json!({"cache": true, "cache_params": {"type": "local", "ttl": 600}});
    let hale = each_second(lone(&upstream)).litellm(cached).start();
    let body = openai::stream_request("m", "hi");
    let (mut first, mut second) = (client(&hale), client(&hale));
    let mut leads = first.stream(CHAT, &[], &body);
    let mut joins = second.stream(CHAT, &[], &body);
    assert_eq!(metric(&hale, "hale_cache_joined_total", &[]), 1.0);
    for stream in [&mut leads, &mut joins] {
        stream.text_until(|text| text.ends_with(COMMENT));
    }
    upstream.release("go");
    assert!(leads.text().contains("two") && joins.text().contains("two"));
    let kept = client(&hale).stream(CHAT, &[], &body).text();
    assert!(kept.contains("two") && !kept.contains("keepalive"), "{kept}");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_client_that_leaves_before_the_answer_frees_the_upstream() {
    let upstream = FakeUpstream::with(|_| Script::ok().silence());
    let hale = each_second(logged(&upstream)).start();
    let mut client = client(&hale);
    let stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.status, 200);
    stream.disconnect();
    upstream.wait_until_dropped();
    let record = &wait_for_records(&hale, 1)[0];
    assert_eq!(record["ending"], "client_closed", "{record}");
}
