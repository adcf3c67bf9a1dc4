//! Streams that fail: unseen before the first content, an explicit error after it.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, LOG, chat_with, client, expect_error, lone, metric, pair, wait_for_records,
};
use crate::timing::Stopwatch;

/// Streams to the end and gives the body.
#[track_caller]
fn body_of(hale: &Hale) -> String {
    let mut client = client(hale);
    let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    assert_eq!(stream.status, 200);
    let text = stream.text();
    assert!(!stream.cut(), "the body did not end in order");
    text
}

/// Asserts that the stream has the content so far, then an error, and nothing that looks like success.
#[track_caller]
fn expect_broken(text: &str, content: &str) -> Value {
    expect_end(text, content, "upstream_stream_interrupted")
}

/// The same for any `reason`.
#[track_caller]
fn expect_end(text: &str, content: &str, reason: &str) -> Value {
    let said = format!("data: {}\n\n", openai::content_chunk("m", content));
    let tail = text.strip_prefix(&said).unwrap_or_else(|| panic!("other content: {text}"));
    let data = tail.strip_prefix("data: ").and_then(|it| it.strip_suffix("\n\n"));
    let data = data.unwrap_or_else(|| panic!("not one event: {tail}"));
    let error = serde_json::from_str::<Value>(data).expect("one event")["error"].clone();
    assert_eq!(error["reason"], reason, "{tail}");
    assert!(error["message"].is_string() && error["type"].is_string(), "{tail}");
    assert!(error["code"].is_string(), "{tail}");
    for forbidden in ["[DONE]", "finish_reason"] {
        assert!(!text.strip_prefix(&said).unwrap().contains(forbidden), "{text}");
    }
    error
}

fn begun() -> Script {
    Script::ok().stream().event(&openai::content_chunk("gpt-4o", "so far"))
}

#[test]
fn whatever_breaks_before_the_first_content_moves_to_the_sibling_unseen() {
    // F7.
    let role = || Script::ok().stream().event(&openai::role_chunk("gpt-4o"));
    let failures: Vec<(&str, Script)> = vec![
        ("reset", role().reset()),
        ("fin", role().close()),
        ("ended", role().end()),
        ("done", role().done()),
        ("empty", Script::ok().stream().end()),
        ("comments", Script::ok().stream().chunk(": hi\n\n: ho\n\n").end()),
        ("error event", role().event(&openai::error("boom", "server_error", "500")).end()),
        ("garbage", Script::ok().stream().chunk("<html>no stream</html>\n\n").end()),
        ("bad chunk", role().raw("zz\r\nnot a chunk\r\n")),
        ("json", Script::ok().json(&openai::chat_completion("gpt-4o", "in one piece"))),
        ("error body", Script::ok().json(&openai::error("boom", "server_error", "500"))),
        ("no type", Script::ok().body("text/html", "<html>busy</html>")),
        ("status", Script::error(500, "boom")),
    ];
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"disable_cooldowns": true})).start();
    for (count, (what, script)) in failures.into_iter().enumerate() {
        bad.push(script);
        let mut client = client(&hale);
        let mut stream = client.stream(CHAT, &[], &openai::stream_request("m", "hi"));
        assert_eq!(stream.status, 200, "{what}");
        assert_eq!(stream.header("x-litellm-model-id"), Some("good"), "{what}");
        assert_eq!(stream.header("x-litellm-attempted-retries"), Some("1"), "{what}");
        let events = stream.remaining();
        let text: String = events.iter().map(hale_testkit::Event::content).collect();
        assert_eq!(text, openai::TEXT, "{what}");
        assert_eq!(events.iter().filter(|event| event.is_done()).count(), 1, "{what}");
        assert_eq!((bad.requests().len(), good.requests().len()), (count + 1, count + 1));
    }
}

#[test]
fn a_stall_before_the_first_content_moves_to_the_sibling() {
    let (bad, good) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&bad, &good).router(json!({"stream_timeout": 0.3})).start();
    let role = Script::ok().stream().event(&openai::role_chunk("gpt-4o"));
    for script in [Script::silent(), Script::ok().stream().silence(), role.silence()] {
        bad.push(script);
        let text = body_of(&hale);
        assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("error"), "{text}");
    }
    assert_eq!((bad.requests().len(), good.requests().len()), (3, 3));
    bad.wait_until_dropped();
}

#[test]
fn pings_do_not_count_as_events() {
    let ping = |script: Script| script.chunk(": ping\n\n").delay(Duration::from_millis(100));
    let pings = (0..20).fold(Script::ok().stream(), |it, _| ping(it));
    let later = (0..20).fold(begun(), |it, _| ping(it));
    let upstream = FakeUpstream::scripted([pings.silence(), later.silence()]);
    let hale = Config::new()
        .with("m", "a", &upstream, json!({"stream_timeout": 0.4, "num_retries": 0}))
        .start();
    let begin = Stopwatch::start();
    let before = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
    expect_error(&before, 408, "upstream_timeout");
    let text = body_of(&hale);
    assert!(text.contains("stream_stall") && !text.contains("[DONE]"), "{text}");
    // Each would have taken two seconds if pings counted.
    begin.less_than_ms(1_900);
}

#[test]
fn a_lone_deployment_that_never_begins_is_an_ordinary_error() {
    let upstream = FakeUpstream::with(|_| Script::ok().stream().close());
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let answer = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
    let error = expect_error(&answer, 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "stream_cut");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_json_answer_to_a_stream_request_is_a_failed_attempt() {
    let upstream = FakeUpstream::with(|_| Script::ok().json(&openai::chat_completion("x", "y")));
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let answer = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
    let error = expect_error(&answer, 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "bad_response");
    let full = FakeUpstream::with(|_| Script::ok().sse(&openai::chunks("x", &["y"])));
    let hale = lone(&full).router(json!({"num_retries": 0})).start();
    let answer = chat_with(&hale, &[], &openai::chat_request("m", "hi"));
    let error = expect_error(&answer, 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "bad_response", "a stream to a plain request");
}

#[test]
fn a_cut_after_content_is_an_error_in_the_stream() {
    // Bad input, row 98.
    // F8, and F9 without a finish reason.
    let cuts = [begun().reset(), begun().close(), begun().end(), begun().raw("zz\r\n").close()];
    for script in cuts {
        let (bad, good) = (FakeUpstream::scripted([script]), FakeUpstream::start());
        let hale = pair(&bad, &good).general(json!({"request_log": LOG})).start();
        let error = expect_broken(&body_of(&hale), "so far");
        assert!(error["message"].as_str().unwrap().contains("stream_cut"), "{error}");
        assert_eq!(good.requests().len(), 0, "a second beginning");
        let record = &wait_for_records(&hale, 1)[0];
        assert_eq!((&record["ending"], &record["cause"]), (&json!("broken"), &json!("stream_cut")));
        assert_eq!((&record["status"], &record["deployment"]), (&json!(200), &json!("bad")));
        let charged = [("deployment", "bad"), ("outcome", "stream_cut")];
        assert!(metric(&hale, "hale_attempts_total", &charged) > 0.0);
    }
}

#[test]
fn a_done_without_a_finish_reason_is_a_complete_answer() {
    let upstream = FakeUpstream::scripted([begun().done()]);
    let text = body_of(&lone(&upstream).start());
    assert!(text.ends_with("data: [DONE]\n\n") && !text.contains("error"), "{text}");
}

#[test]
fn an_error_event_in_the_middle_ends_the_stream_with_the_providers_words() {
    let error =
        json!({"error": {"message": "overloaded now", "type": "overloaded_error", "code": null}});
    let script = begun().event(&error).event(&openai::content_chunk("gpt-4o", "late")).done();
    let upstream = FakeUpstream::scripted([script]);
    let error = expect_broken(&body_of(&lone(&upstream).start()), "so far");
    assert!(error["message"].as_str().unwrap().contains("overloaded now"), "{error}");
    upstream.wait_until_dropped();
}

#[test]
fn an_error_event_without_an_error_member_ends_the_stream_and_counts() {
    for event in [
        "data: {\"object\":\"error\",\"message\":\"engine dead\",\"code\":500}\n\n",
        "event: error\ndata: engine dead\n\n",
        "data: {\"detail\":\"engine dead\"}\n\n",
    ] {
        let upstream = FakeUpstream::with(move |_| begun().chunk(event).done());
        let hale = lone(&upstream).start();
        let error = expect_broken(&body_of(&hale), "so far");
        assert!(error["message"].as_str().unwrap().contains("engine dead"), "{error}");
        let messages = json!({"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "hi"}]});
        let text = client(&hale).post_json("/v1/messages", &[], &messages).text();
        assert!(text.contains("event: error") && text.contains("engine dead"), "{text}");
        assert!(!text.contains("message_stop") && !text.contains("message_delta"), "{text}");
        let state = client(&hale).get("/router/state").json();
        let failures = &state["deployments"][0]["failures"];
        assert_eq!(failures["server_error"], 2, "{failures}");
    }
}

#[test]
fn an_error_as_the_first_event_keeps_its_words_and_its_cause() {
    let words = "This model's maximum context length is 128 tokens.";
    for event in [
        format!("data: {{\"object\":\"error\",\"message\":\"{words}\",\"code\":400}}\n\n"),
        format!("data: {{\"detail\":\"{words}\"}}\n\n"),
        format!("event: error\ndata: {words}\n\n"),
    ] {
        let short = FakeUpstream::with(move |_| Script::ok().stream().chunk(&event).done());
        let long = FakeUpstream::start();
        let config = Config::new()
            .deployment("m", "a", &short)
            .deployment("long", "b", &long)
            .router(json!({"context_window_fallbacks": [{"m": ["long"]}]}));
        let text = body_of(&config.start());
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(long.requests().len(), 1);
    }
}

#[test]
fn a_stall_after_content_is_an_error_in_the_stream() {
    // F6.
    let upstream = FakeUpstream::scripted([begun().silence()]);
    let hale = Config::new().with("m", "a", &upstream, json!({"stream_timeout": 0.3})).start();
    let begin = Stopwatch::start();
    let error = expect_broken(&body_of(&hale), "so far");
    assert!(error["message"].as_str().unwrap().contains("stream_stall"), "{error}");
    begin.less_than_ms(2_000);
    upstream.wait_until_dropped();
}

#[test]
fn a_half_event_at_the_end_is_not_shown_as_content() {
    // Bad input, row 98.
    let half = format!("data: {}", openai::content_chunk("gpt-4o", "half"));
    let script = begun().chunk(&half[..half.len() - 20]).close();
    let upstream = FakeUpstream::scripted([script]);
    expect_broken(&body_of(&lone(&upstream).start()), "so far");
}

#[test]
fn a_client_may_bound_the_silence_itself() {
    let upstream = FakeUpstream::scripted([begun().silence()]);
    let hale = lone(&upstream).start();
    let mut client = client(&hale);
    let headers = [("x-litellm-stream-timeout", "0.3")];
    let mut stream = client.stream(CHAT, &headers, &openai::stream_request("m", "hi"));
    expect_end(&stream.text(), "so far", "deadline_exceeded");
}

#[test]
fn a_clients_deadline_covers_only_the_time_to_the_first_content() {
    let script = begun()
        .delay(Duration::from_millis(900))
        .event(&openai::finish_chunk("gpt-4o", "stop"))
        .done();
    let upstream = FakeUpstream::scripted([script]);
    let hale = lone(&upstream).start();
    let mut client = client(&hale);
    let headers = [("x-litellm-timeout", "0.5")];
    let mut stream = client.stream(CHAT, &headers, &openai::stream_request("m", "hi"));
    assert!(stream.remaining().last().unwrap().is_done());
}
