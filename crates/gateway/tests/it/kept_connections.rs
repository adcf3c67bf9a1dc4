//! Connections to upstreams that are used again: how long they idle, and what happens when one turns out to
//! be closed.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, chat, chat_with, client, expect_error, lone, metric, pair, wait_for_records,
};

/// A process with one deployment, one kept connection to `upstream`, and no retries.
fn with_kept_connection(upstream: &FakeUpstream, general: Value) -> hale_testkit::Hale {
    let hale = lone(upstream).router(json!({"num_retries": 0})).general(general).start();
    assert_eq!(chat(&hale, "m").status, 200);
    hale
}

#[test]
fn a_connection_that_idles_too_long_is_closed_before_the_upstream_closes_it() {
    let upstream = FakeUpstream::start();
    let hale = with_kept_connection(&upstream, json!({"upstream_idle_timeout_s": 0.01}));
    upstream.wait_for(|state| state.closed_by_peer() == 1);
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!((upstream.requests().len(), upstream.state().opened()), (2, 2));
}

#[test]
fn a_connection_may_be_used_for_one_request_only() {
    let upstream = FakeUpstream::start();
    let hale = with_kept_connection(&upstream, json!({"upstream_idle_timeout_s": 0}));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!((upstream.requests().len(), upstream.state().opened()), (2, 2));
}

#[test]
fn a_connection_idles_for_less_than_the_server_grants() {
    for (granted, opened) in [("timeout=0, max=100", 2), ("timeout=60", 1), ("max=100", 1)] {
        let upstream = FakeUpstream::with(move |request| {
            let answer = openai::chat_completion(&request.model(), "hi");
            Script::ok().header("keep-alive", granted).json(&answer)
        });
        let hale = with_kept_connection(&upstream, json!({"upstream_idle_timeout_s": 60}));
        assert_eq!(chat(&hale, "m").status, 200);
        assert_eq!(
            (upstream.requests().len(), upstream.state().opened()),
            (2, opened),
            "{granted}"
        );
    }
}

#[test]
fn a_stale_connection_is_a_failed_attempt_where_nothing_is_sent_again() {
    for closing in [Script::ok().close(), Script::ok().reset()] {
        let (stale, good) = (FakeUpstream::start(), FakeUpstream::start());
        let hale = pair(&stale, &good)
            .router(json!({"num_retries": 1}))
            .general(json!({"resend_on_stale_connection": false}))
            .start();
        assert_eq!(chat(&hale, "m").status, 200);
        stale.push(closing);
        let answer = chat(&hale, "m");
        assert_eq!((answer.status, answer.header("x-litellm-attempted-retries")), (200, Some("1")));
        assert_eq!((stale.requests().len(), good.requests().len()), (2, 1));
    }
}

#[test]
fn a_request_is_not_sent_again_once_a_byte_has_come() {
    // An empty line is no part of an answer, but it too shows that the upstream was at work.
    for beginning in ["H", "HTTP/1.1 200 OK\r\ncontent-type: appl", "\r\n"] {
        let upstream = FakeUpstream::start();
        let hale = with_kept_connection(&upstream, json!({}));
        upstream.push(Script::ok().raw(beginning).close());
        expect_error(&chat(&hale, "m"), 502, "upstream_failed");
        assert_eq!(upstream.requests().len(), 2, "{beginning:?}");
    }
}

#[test]
fn a_request_that_is_sent_again_is_counted_and_shown() {
    for (closing, reason) in [(Script::ok().close(), "closed"), (Script::ok().reset(), "reset")] {
        let upstream = FakeUpstream::start();
        let hale = with_kept_connection(&upstream, json!({"request_log": "requests.jsonl"}));
        upstream.push(closing);
        let body = openai::chat_request("m", "hi");
        let answer = chat_with(&hale, &[("x-hale-explain", "1")], &body);
        assert_eq!((answer.status, answer.header("x-litellm-attempted-retries")), (200, Some("0")));
        assert_eq!(answer.header("x-hale-route"), Some("m/a=ok resent"));
        assert_eq!((upstream.requests().len(), upstream.state().opened()), (3, 2));
        let records = wait_for_records(&hale, 2);
        assert_eq!((&records[0]["resends"], &records[1]["resends"]), (&Value::Null, &json!(1)));
        let of = |reason| {
            metric(&hale, "hale_resends_total", &[("model_group", "m"), ("reason", reason)])
        };
        assert_eq!((of(reason), of("closed") + of("reset")), (1.0, 1.0));
    }
}

/// What HAProxy sends before it closes an idle connection.
const FAREWELL: &str = "HTTP/1.0 408 Request Time-out\r\ncache-control: no-cache\r\nconnection: close\r\n\
                        content-type: text/html\r\n\r\n<html><body><h1>408</h1></body></html>\n";

#[test]
fn a_farewell_that_meets_a_request_is_a_closed_connection() {
    let upstream = FakeUpstream::start();
    let hale = with_kept_connection(&upstream, json!({}));
    upstream.push(Script::ok().raw(FAREWELL).close());
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!((upstream.requests().len(), upstream.state().opened()), (3, 2));
    assert_eq!(metric(&hale, "hale_resends_total", &[("reason", "closed")]), 1.0);
}

#[test]
fn a_408_is_an_answer_where_no_idle_connection_ends() {
    let answers = [
        // On a new connection.
        (json!({"upstream_idle_timeout_s": 0}), Script::ok().raw(FAREWELL).close()),
        // Nothing is sent again.
        (json!({"resend_on_stale_connection": false}), Script::ok().raw(FAREWELL).close()),
        // The connection stays.
        (json!({}), Script::error(408, "too slow")),
    ];
    for (general, script) in answers {
        let upstream = FakeUpstream::start();
        let hale = with_kept_connection(&upstream, general);
        upstream.push(script);
        assert_eq!(chat(&hale, "m").status, 408);
        assert_eq!(upstream.requests().len(), 2);
    }
}

#[test]
fn a_probe_is_sent_again_on_a_new_connection_as_traffic_is() {
    for closing in [Script::ok().close(), Script::ok().reset()] {
        let upstream = FakeUpstream::start();
        let hale = lone(&upstream).general(json!({"upstream_idle_timeout_s": 60})).start();
        let healthy = || {
            let report = client(&hale).get("/health").json();
            (report["healthy_count"].clone(), report["unhealthy_count"].clone())
        };
        assert_eq!(healthy(), (json!(1), json!(0)));
        upstream.push(closing);
        assert_eq!(healthy(), (json!(1), json!(0)));
        assert_eq!((upstream.requests().len(), upstream.state().opened()), (3, 2));
    }
}

#[test]
fn a_resend_is_counted_although_its_attempt_fails() {
    let (stale, good) = (FakeUpstream::start(), FakeUpstream::start());
    let hale = pair(&stale, &good).router(json!({"num_retries": 1})).start();
    assert_eq!(chat(&hale, "m").status, 200);
    stale.push(Script::ok().close());
    stale.push(Script::error(500, "boom"));
    let answer = chat_with(&hale, &[("x-hale-explain", "1")], &openai::chat_request("m", "hi"));
    assert_eq!((answer.status, answer.header("x-litellm-attempted-retries")), (200, Some("1")));
    let route = answer.header("x-hale-route").unwrap();
    assert!(
        route.starts_with("m/bad=500 server_error") && route.contains(" ms resent; "),
        "{route}"
    );
    assert!(route.ends_with("m/good=ok"), "{route}");
    assert_eq!(metric(&hale, "hale_resends_total", &[("reason", "closed")]), 1.0);
}

#[test]
fn a_resend_is_counted_although_its_client_leaves() {
    let upstream = FakeUpstream::start();
    let hale = with_kept_connection(&upstream, json!({"request_log": "requests.jsonl"}));
    upstream.push(Script::ok().close());
    upstream.push(Script::silent());
    let mut leaving = client(&hale);
    let body = openai::chat_request("m", "hi").to_string();
    leaving.send("POST", CHAT, &[], body.as_bytes()).unwrap();
    upstream.wait_for_requests(3);
    drop(leaving);
    let record = wait_for_records(&hale, 2).pop().unwrap();
    assert_eq!((&record["ending"], &record["resends"]), (&json!("client_closed"), &json!(1)));
}

#[test]
fn a_connection_that_the_upstream_closes_while_it_idles_needs_no_resend() {
    let upstream = FakeUpstream::start();
    let hale = with_kept_connection(&upstream, json!({}));
    upstream.close_connections();
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(metric(&hale, "hale_resends_total", &[]), 0.0);
}
