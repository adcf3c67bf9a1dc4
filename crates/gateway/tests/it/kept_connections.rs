//! Connections to upstreams that are used again: how long they idle, and what happens when one turns out to
//! be closed.

use hale_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};

use crate::support::{chat, expect_error, lone, pair};

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
