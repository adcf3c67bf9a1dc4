//! Faults in the middle of a rescue: of the second deployment, of the client, of the process, of its memory.

use hale_testkit::{FakeUpstream, Script, Signal, TIMEOUT, openai};
use serde_json::{Value, json};

use crate::rescue::{ANSWER, entry, goes_on, half, stream, two};
use crate::support::{
    CHAT, Config, LOG, blamed, client, eventually, metric, wait_for_records, wait_until_idle,
};
use crate::timing::Stopwatch;

fn request() -> Value {
    openai::stream_request("m", "hi")
}

#[test]
fn a_rescuer_that_breaks_too_is_followed_by_a_third() {
    let bad = FakeUpstream::with(|_| half().close());
    let worse = FakeUpstream::with(|request| {
        // It goes on for a while.
        let from = crate::rescue::prefix_of(request).len();
        Script::ok().stream().event(&openai::content_chunk("gpt-4o", &ANSWER[from..120])).reset()
    });
    let good = FakeUpstream::with(goes_on);
    let config = Config::new().general(json!({"request_log": LOG}));
    let config = config.router(json!({"disable_cooldowns": true}));
    let members = [("bad", &bad), ("good", &worse), ("third", &good)];
    let hale = members
        .into_iter()
        .zip(1..)
        .fold(config, |it, ((id, up), order)| {
            it.entry(entry(id, up, json!({"order": order, "weight": 1})))
        })
        .start();
    let streamed = stream(&hale, CHAT, &request());
    assert_eq!(streamed.text(), ANSWER);
    assert_eq!(streamed.comments(), ["rescue deployment=good", "rescue deployment=third"]);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(record["rescue"], "continued", "{record}");
    let cut =
        |id| metric(&hale, "hale_attempts_total", &[("deployment", id), ("outcome", "stream_cut")]);
    assert_eq!((cut("bad"), cut("good"), cut("third")), (1.0, 1.0, 0.0));
}

#[test]
fn if_both_halves_fail_the_client_gets_one_error() {
    for rescuer in [
        || Script::error(500, "boom"),
        || Script::ok().stream().event(&openai::role_chunk("gpt-4o")).close(),
        || Script::silent().close(),
    ] {
        let (bad, good) =
            (FakeUpstream::with(|_| half().close()), FakeUpstream::with(move |_| rescuer()));
        let hale =
            two(&bad, &good).router(json!({"num_retries": 0, "stream_timeout": 0.5})).start();
        let streamed = stream(&hale, CHAT, &request());
        assert_eq!(streamed.error()["rescue"], "failed");
        assert_eq!(
            streamed.events.iter().filter(|event| event.json()["error"].is_object()).count(),
            1
        );
        assert!(ANSWER.starts_with(&streamed.text()) && !streamed.text().is_empty());
        let record = wait_for_records(&hale, 1).pop().unwrap();
        assert_eq!(
            (&record["ending"], &record["cause"]),
            (&json!("broken"), &json!("stream_cut")),
            "{record}"
        );
        assert_eq!(blamed(&hale), 2.0);
        wait_until_idle(&hale);
    }
}

#[test]
fn a_rescuer_has_as_long_as_a_silence_may_be() {
    let (bad, good) =
        (FakeUpstream::with(|_| half().close()), FakeUpstream::with(|_| Script::silent()));
    let hale = two(&bad, &good).router(json!({"stream_timeout": 0.5, "num_retries": 0})).start();
    let begin = Stopwatch::start();
    let streamed = stream(&hale, CHAT, &request());
    begin.between_ms(450, 3_000);
    assert_eq!(streamed.error()["rescue"], "failed");
    good.wait_until_dropped();
}

#[test]
fn a_client_that_leaves_during_a_rescue_frees_the_rescuer_and_blames_it_for_nothing() {
    let (bad, good) =
        (FakeUpstream::with(|_| half().close()), FakeUpstream::with(|_| Script::silent()));
    let hale = two(&bad, &good).router(json!({"stream_timeout": 30})).start();
    let mut leaving = client(&hale);
    leaving.send("POST", CHAT, &[], request().to_string().as_bytes()).unwrap();
    good.wait_for_requests(1);
    leaving.abort();
    good.wait_until_dropped();
    wait_until_idle(&hale);
    let record = wait_for_records(&hale, 1).pop().unwrap();
    assert_eq!(
        (&record["ending"], &record["status"]),
        (&json!("client_closed"), &json!(499)),
        "{record}"
    );
    assert!(record["cost_usd"].as_f64().unwrap() > 0.0, "the first half costs: {record}");
    assert_eq!(blamed(&hale), 1.0, "the one that broke");
}

#[test]
fn a_reload_in_the_middle_of_a_rescue_changes_nothing_for_it() {
    let bad = FakeUpstream::with(|_| half().close());
    let good = FakeUpstream::with(|request| {
        let steps = Script::ok().stream().wait("go");
        let from = crate::rescue::prefix_of(request).len();
        let said = openai::content_chunk("gpt-4o", &ANSWER[from..]);
        steps.event(&said).event(&openai::finish_chunk("gpt-4o", "stop")).done()
    });
    let config = two(&bad, &good).router(json!({"stream_timeout": 30}));
    let hale = config.start();
    let mut own = client(&hale);
    let mut stream = own.stream(CHAT, &[], &request());
    good.wait_for_requests(1);
    let only = Config::new().deployment("other", "x", &bad);
    hale.rewrite_config(&only.text());
    hale.signal(Signal::Hup);
    eventually("the new config is in force", || {
        client(&hale).get("/v1/models").text().contains("other").then_some(())
    });
    good.release("go");
    let text: String = stream.remaining().iter().map(hale_testkit::Event::content).collect();
    assert_eq!(text, ANSWER);
}

#[test]
fn the_stop_waits_for_a_rescue_within_its_time_and_then_cuts_it() {
    let bad = FakeUpstream::with(|_| half().close());
    let good = FakeUpstream::with(|request| {
        let from = crate::rescue::prefix_of(request).len();
        let said = openai::content_chunk("gpt-4o", &ANSWER[from..]);
        Script::ok()
            .stream()
            .wait("go")
            .event(&said)
            .event(&openai::finish_chunk("gpt-4o", "stop"))
            .done()
    });
    for released in [true, false] {
        let config = two(&bad, &good).router(json!({"stream_timeout": 30}));
        let limit = if released { 10.0 } else { 0.5 };
        let mut hale = config.general(json!({"shutdown_timeout_s": limit})).start();
        let before = good.requests().len();
        let mut own = client(&hale);
        let mut stream = own.stream(CHAT, &[], &request());
        good.wait_for_requests(before + 1);
        hale.signal(Signal::Term);
        hale.wait_for_line("draining");
        if released {
            good.release("go");
        } else {
            good.hold("go");
        }
        let events = stream.remaining();
        let text: String = events.iter().map(hale_testkit::Event::content).collect();
        assert!(hale.wait_for_exit(TIMEOUT).code().is_some());
        let record = wait_for_records(&hale, 1).pop().unwrap();
        if released {
            assert_eq!(text, ANSWER);
            assert_eq!(record["rescue"], "continued", "{record}");
            good.hold("go");
        } else {
            let error = events.last().unwrap().json()["error"].clone();
            assert_eq!(error["rescue"], "stopping", "{events:?}");
            assert_eq!(
                (&record["ending"], &record["status"]),
                (&json!("broken"), &json!(200)),
                "{record}"
            );
        }
    }
}

#[test]
fn what_is_too_large_to_be_kept_is_served_and_not_continued() {
    let (bad, good) = (FakeUpstream::with(|_| half().close()), FakeUpstream::with(goes_on));
    let hale = two(&bad, &good).start();
    // A body that is larger than what is kept beyond the first content.
    let long = "word ".repeat(60_000);
    let streamed = stream(&hale, CHAT, &openai::stream_request("m", &long));
    assert_eq!(streamed.rescue.as_deref(), Some("no; body_too_large"));
    assert_eq!(streamed.error()["rescue"], "body_too_large");
    assert!(good.requests().is_empty());
    // An answer that is longer than what is kept of one.
    let unequal = |i: u64| {
        let text: String = (0..200u64)
            .map(|j| char::from(b'a' + ((i * 31 + j * j * 7 + j * i) % 26) as u8))
            .collect();
        openai::content_chunk("gpt-4o", &text)
    };
    let long: Vec<Value> = (0..2_000).map(unequal).collect();
    bad.push(Script::ok().stream().events_at_once(&long).close());
    let streamed = stream(&hale, CHAT, &request());
    assert_eq!(streamed.error()["rescue"], "too_long");
    assert!(good.requests().is_empty());
}
