//! Faults of streams that clients may come back to: other keys, two clients at once, time, memory, breaks, and the end of the process.

use std::time::Duration;

use hale_testkit::{Event, FakeUpstream, Script, Signal, TIMEOUT, openai};
use serde_json::{Value, json};

use crate::keys::make;
use crate::rescue;
use crate::resume::{body, gated, leave_after, number, resume, with_window};
use crate::support::{
    CHAT, LOG, client, eventually, expect_error, metric, wait_for_records, wait_until_idle,
};
use crate::timing::Stopwatch;

fn upstream() -> FakeUpstream {
    FakeUpstream::with(|_| gated(CHAT))
}

fn text(events: &[Event]) -> String {
    events.iter().map(Event::content).collect()
}

/// A stream of events that have nothing in common, behind a gate.
fn long(events: usize) -> Script {
    let first = Script::ok().stream().event(&openai::content_chunk("gpt-4o", "one ")).wait("go");
    let mut state = 7_u64;
    let mut word = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    };
    let texts = (0..events).map(|_| (0..1_250).map(|_| word()).collect::<String>());
    let said = texts.map(|text| openai::content_chunk("gpt-4o", &text));
    let script = said.fold(first, |script, chunk| script.event(&chunk));
    script.event(&openai::finish_chunk("gpt-4o", "stop")).done()
}

#[test]
fn another_key_learns_nothing_of_a_stream_and_takes_nothing_from_it() {
    let upstream = upstream();
    let hale = with_window(&upstream, 30.0).start();
    for user in ["u1", "u2"] {
        let user = json!({"user_id": user, "auto_create_key": false});
        assert_eq!(client(&hale).post_json("/user/new", &[], &user).status, 200);
    }
    let key = |fields: Value| make(&hale, &fields).0;
    let own = key(json!({"user_id": "u1"}));
    let (of_user, other) = (key(json!({"user_id": "u1"})), key(json!({"user_id": "u2"})));
    let mut first = hale.client_with_key(&own);
    let mut stream = first.stream(CHAT, &[], &body(CHAT));
    let id = stream.header("x-hale-resume").unwrap().to_owned();
    let had = [stream.next_event().unwrap(), stream.next_event().unwrap()];
    let ask = |key: &str, id: &str| {
        let headers = [("x-hale-resume", id), ("last-event-id", "1")];
        hale.client_with_key(key).post_json(CHAT, &headers, &body(CHAT))
    };
    let mut forged = id.clone().into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    let refused = expect_error(&ask(&other, &id), 404, "unknown_stream");
    let unknown = expect_error(&ask(&other, &forged), 404, "unknown_stream");
    assert_eq!(refused["reason"], unknown["reason"]);
    assert_eq!(ask(&other, &id).text().len(), ask(&other, &forged).text().len());
    for bad in ["", "stream_", "resp_hale2-x", &id[.."stream_hale2-".len() + 40]] {
        expect_error(&ask(&own, bad), 404, "unknown_stream");
    }
    // The stream is its client's still.
    upstream.release("go");
    let tail = stream.remaining();
    assert_eq!(text(&[&had[..], &tail].concat()), "one two three");
    // A key of the same user, and the master key, get it.
    let again = ask(&of_user, &id);
    assert_eq!(again.status, 200);
    assert!(again.text().contains("[DONE]"));
    let (all, _) = resume(&hale, CHAT, &id, &[]);
    assert_eq!(text(&all), "one two three");
    // It is a stream of chats.
    let headers = [("x-hale-resume", &*id)];
    let wrong = client(&hale).post_json("/v1/messages", &headers, &json!({}));
    let wrong: Value = wrong.json();
    assert_eq!(wrong["type"], "error", "{wrong}");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn the_last_of_two_clients_has_the_stream_and_the_others_are_cut() {
    let upstream = upstream();
    let hale = with_window(&upstream, 30.0).start();
    let (mut a, mut b, mut c) = (client(&hale), client(&hale), client(&hale));
    let mut first = a.stream(CHAT, &[], &body(CHAT));
    let id = first.header("x-hale-resume").unwrap().to_owned();
    let had = [first.next_event().unwrap(), first.next_event().unwrap()];
    let headers = [("x-hale-resume", &*id), ("last-event-id", "2")];
    // The first one is still connected, as it is when a network has gone without a word.
    let mut second = b.stream(CHAT, &headers, &body(CHAT));
    first.remaining();
    assert!(first.cut(), "it must not look like a whole answer");
    let mut third = c.stream(CHAT, &headers, &body(CHAT));
    second.remaining();
    assert!(second.cut());
    upstream.release("go");
    let tail = third.remaining();
    assert!(!third.cut());
    assert_eq!(text(&[&had[..], &tail].concat()), "one two three");
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(wait_for_records(&hale, 1)[0]["ending"], "success");
}

#[test]
fn a_client_that_does_not_come_back_in_time_frees_the_upstream_and_the_memory() {
    let upstream = upstream();
    let hale = with_window(&upstream, 0.5).start();
    let (id, had) = leave_after(&hale, CHAT, 2);
    let begin = Stopwatch::start();
    upstream.wait_for(|state| state.closed_by_peer() == 1);
    begin.at_least_ms(300);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!((&record["ending"], &record["status"]), (&json!("client_closed"), &json!(499)));
    assert!(number(&had[1]) == "2");
    let headers = [("x-hale-resume", &*id), ("last-event-id", "2")];
    let late = client(&hale).post_json(CHAT, &headers, &body(CHAT));
    expect_error(&late, 404, "stream_gone");
    assert_eq!(upstream.requests().len(), 1, "it is not sent again by itself");
    assert_eq!(metric(&hale, "hale_resumes_missed_total", &[]), 1.0);
    // A stream that its client has read to the end is kept as long.
    upstream.release("go");
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &body(CHAT));
    let id = stream.header("x-hale-resume").unwrap().to_owned();
    assert!(stream.remaining().last().unwrap().is_done());
    let (all, _) = resume(&hale, CHAT, &id, &[]);
    assert_eq!(text(&all), "one two three");
    eventually("the stream is forgotten", || {
        (metric(&hale, "hale_resumable_streams", &[]) == 0.0).then_some(())
    });
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    wait_until_idle(&hale);
}

#[test]
fn a_break_while_no_client_is_there_is_told_to_the_one_that_comes_back() {
    let said = || Script::ok().stream().event(&openai::content_chunk("gpt-4o", "one ")).wait("go");
    let upstream = FakeUpstream::with(move |_| said().reset());
    let hale = with_window(&upstream, 30.0).router(json!({"rescue": "off"})).start();
    let (id, had) = leave_after(&hale, CHAT, 1);
    upstream.release("go");
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["ending"], "broken", "{record}");
    let (tail, _) = resume(&hale, CHAT, &id, &had);
    assert!(tail.last().unwrap().json()["error"].is_object(), "{tail:?}");
    assert!(tail.iter().all(|event| !event.is_done()));
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_break_while_no_client_is_there_is_rescued_and_what_follows_is_exact() {
    let bad = FakeUpstream::with(|_| rescue::half().wait("go").reset());
    let good = FakeUpstream::with(rescue::goes_on);
    let hale = rescue::two(&bad, &good).router(json!({"resume_window_s": 30})).start();
    let (id, had) = leave_after(&hale, CHAT, 3);
    bad.release("go");
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!((&record["ending"], &record["rescue"]), (&json!("success"), &json!("continued")));
    let (tail, cut) = resume(&hale, CHAT, &id, &had);
    assert_eq!((&*text(&[&had[..], &tail].concat()), cut), (rescue::ANSWER, false));
    let seams: Vec<_> = tail.iter().filter_map(|event| event.comment.as_deref()).collect();
    assert_eq!(seams, ["rescue deployment=good"]);
}

#[test]
fn a_stop_waits_for_a_client_that_came_back_and_not_for_one_that_left() {
    let upstream = upstream();
    let config = with_window(&upstream, 60.0);
    let config = config.general(json!({"shutdown_timeout_s": 20, "request_log": LOG}));
    let mut hale = config.start();
    let (id, had) = leave_after(&hale, CHAT, 2);
    leave_after(&hale, CHAT, 2);
    upstream.wait_for(|state| state.waiting_at("go") == 2);
    let mut own = client(&hale);
    let last = number(had.last().unwrap());
    let headers = [("x-hale-resume", &*id), ("last-event-id", &*last)];
    let mut stream = own.stream(CHAT, &headers, &body(CHAT));
    hale.signal(Signal::Term);
    // The one that left is given up; the other one goes on.
    upstream.wait_for(|state| state.closed_by_peer() == 1);
    std::thread::sleep(Duration::from_millis(300));
    upstream.release("go");
    let tail = stream.remaining();
    assert!(!stream.cut());
    assert_eq!(text(&[&had[..], &tail].concat()), "one two three");
    let begin = Stopwatch::start();
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    begin.less_than_ms(4_000);
    let mut endings: Vec<_> =
        wait_for_records(&hale, 2).iter().map(|record| record["ending"].clone()).collect();
    endings.sort_by_key(Value::to_string);
    assert_eq!(endings, [json!("client_closed"), json!("success")]);
}

#[test]
fn a_stop_that_cuts_tells_a_client_that_came_back() {
    let upstream = upstream();
    let config = with_window(&upstream, 60.0);
    let config = config.general(json!({"shutdown_timeout_s": 0.5, "request_log": LOG}));
    let mut hale = config.start();
    let (id, had) = leave_after(&hale, CHAT, 2);
    let mut own = client(&hale);
    let last = number(had.last().unwrap());
    let headers = [("x-hale-resume", &*id), ("last-event-id", &*last)];
    let mut stream = own.stream(CHAT, &headers, &body(CHAT));
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    hale.signal(Signal::Term);
    let tail = stream.remaining();
    assert!(tail.last().unwrap().json()["error"].is_object(), "{tail:?}");
    assert_eq!(hale.wait_for_exit(TIMEOUT).code(), Some(0));
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["ending"], "broken", "{record}");
}

#[test]
fn what_does_not_fit_into_memory_is_lost_and_known_to_be() {
    // An eighth of a megabyte may be held before nothing more is kept for clients that come back.
    let upstream = FakeUpstream::with(|_| long(12));
    let hale = with_window(&upstream, 30.0)
        .general(json!({"max_buffered_mb": 1, "max_request_size_mb": 1, "max_response_size_mb": 1}))
        .start();
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &body(CHAT));
    let id = stream.header("x-hale-resume").unwrap().to_owned();
    upstream.release("go");
    // The client that stays has all of it.
    let all = stream.remaining();
    assert!(all.last().unwrap().is_done() && text(&all).len() > 12 * 20_000);
    let headers = [("x-hale-resume", &*id), ("last-event-id", "1")];
    let lost = client(&hale).post_json(CHAT, &headers, &body(CHAT));
    let lost = expect_error(&lost, 404, "stream_gone");
    assert!(lost["message"].as_str().unwrap().contains("no memory"), "{lost}");
    // One that has left cannot come back, and frees the upstream.
    upstream.hold("go");
    leave_after(&hale, CHAT, 1);
    upstream.wait_for(|state| state.waiting_at("go") == 1);
    upstream.release("go");
    let record = wait_for_records(&hale, 2).pop().unwrap();
    assert_eq!(record["ending"], "client_closed", "{record}");
    eventually("the memory is given back", || {
        (metric(&hale, "hale_buffered_bytes", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_client_that_came_back_and_reads_slowly_gets_every_byte() {
    let upstream = FakeUpstream::with(|_| long(40));
    let hale = with_window(&upstream, 30.0).start();
    let (id, had) = leave_after(&hale, CHAT, 1);
    let headers = [("x-hale-resume", &*id), ("last-event-id", "1")];
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &headers, &body(CHAT));
    upstream.release("go");
    std::thread::sleep(Duration::from_millis(1_500));
    let mut tail = Vec::new();
    while let Some(event) = stream.next_event() {
        tail.push(event);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!stream.cut());
    assert!(had[0].content() == "one " && tail.last().unwrap().is_done());
    let numbers: Vec<u64> =
        tail.iter().map(|event| number(event).parse::<u64>().unwrap()).collect();
    assert_eq!(numbers, (2..=43).collect::<Vec<u64>>());
    assert_eq!(text(&tail).len(), 40 * 20_000);
}
