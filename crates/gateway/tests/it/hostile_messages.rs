//! Bad answers with Anthropic's format on at least one side: rows 77 to 98 and faults again.
//!
//! Always true: each is one failed attempt with its cause and the client's own format in its error, in
//! each conversion between client and upstream.

use std::fmt;

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::hostile_table::rows;
use crate::support::{CHAT, Config, client, metric};

const MESSAGES: &str = "/v1/messages";

/// Status for the client, the cause of the attempt.
struct Failed(u16, &'static str);

/// The stream ends with the error of the client's format, the attempt with this cause.
struct Broken(&'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}` in the client's format", self.0, self.1)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after content an `error` event in the client's format, `{}`", self.0)
    }
}

/// Paths of clients, and the wires they are served by.
const WAYS: [(&str, &str); 3] =
    [(MESSAGES, "anthropic"), (CHAT, "anthropic"), (MESSAGES, "openai")];

fn serve(upstream: &FakeUpstream, wire: &str) -> Hale {
    let quiet = json!({"num_retries": 0, "disable_cooldowns": true});
    let params = json!({"model": format!("{wire}/x"), "stream_timeout": 2});
    let bounds = json!({"max_response_size_mb": 4});
    Config::new().with("m", "a", upstream, params).router(quiet).general(bounds).start()
}

fn ask(hale: &Hale, path: &str) -> Response {
    client(hale).post_json(path, &[], &anthropic::request("m", "hi"))
}

/// The error of the client's format.
#[track_caller]
fn error(body: &Value, path: &str) -> Value {
    assert_eq!(body["type"], if path == MESSAGES { json!("error") } else { Value::Null }, "{body}");
    body["error"].clone()
}

trait Outcome {
    fn check(&self, hale: &Hale, path: &str);
    fn cause(&self) -> &'static str;
}

impl Outcome for Failed {
    fn check(&self, hale: &Hale, path: &str) {
        let answer = ask(hale, path);
        assert_eq!(answer.status, self.0, "{}", answer.text());
        assert_eq!(error(&answer.json(), path)["attempts"][0]["cause"], self.1);
        assert!(!answer.text().contains("<html") && answer.body.len() < 10_000);
    }

    fn cause(&self) -> &'static str {
        self.1
    }
}

impl Outcome for Broken {
    fn check(&self, hale: &Hale, path: &str) {
        let mut client = client(hale);
        let mut stream = client.stream(path, &[], &anthropic::stream_request("m", "hi"));
        let mut last = None;
        while let Some(event) = stream.next_event() {
            last = Some(event).filter(|event| event.comment.is_none()).or(last);
        }
        let last = last.unwrap();
        let body: Value = serde_json::from_str(&last.data).unwrap();
        let reason = match self.0 {
            "gateway" => "answer_too_large",
            _ => "upstream_stream_interrupted",
        };
        assert_eq!(error(&body, path)["reason"], reason, "{body}");
        assert_eq!(last.name.as_deref(), (path == MESSAGES).then_some("error"));
    }

    fn cause(&self) -> &'static str {
        self.0
    }
}

#[track_caller]
fn check(given: impl Fn(&str) -> Script, expected: &impl Outcome) {
    for (path, wire) in WAYS {
        let upstream = FakeUpstream::scripted([given(wire)]);
        let hale = serve(&upstream, wire);
        expected.check(&hale, path);
        let counted = metric(&hale, "hale_attempts_total", &[("outcome", expected.cause())]);
        assert!(counted >= 1.0, "{path} at {wire}: {} was not counted", expected.cause());
        assert_eq!(upstream.requests().len(), 1);
        assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
        assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    }
}

fn json(body: impl AsRef<[u8]>) -> Script {
    Script::ok().body("application/json", body)
}

fn whole(wire: &str) -> String {
    match wire {
        "anthropic" => anthropic::message("x", "hi").to_string(),
        _ => openai::chat_completion("x", "hi").to_string(),
    }
}

fn half(wire: &str) -> String {
    let whole = whole(wire);
    whole[..whole.len() / 2].to_owned()
}

/// A stream of this wire with its first content.
fn begun(wire: &str) -> Script {
    match wire {
        "anthropic" => anthropic::stream(&[
            anthropic::start("x"),
            anthropic::text_start(),
            anthropic::text_delta("Hel"),
        ]),
        _ => Script::ok().stream().event(&openai::content_chunk("x", "Hel")),
    }
}

rows! {
    "77" an_empty_message_is_a_failed_attempt "200 with nothing; messages":
        |_: &str| json("") => Failed(502, "bad_response");
    "78" html_for_a_message_is_a_failed_attempt "200 with HTML; messages":
        |_: &str| Script::ok().body("text/html", "<html>busy</html>") => Failed(502, "bad_response");
    "79" half_a_message_is_a_failed_attempt "200 with half of its JSON; messages":
        |wire: &str| json(half(wire)) => Failed(502, "bad_response");
    "79" a_message_that_is_not_utf_8_is_a_failed_attempt "200 with bytes that are not UTF-8; messages":
        |_: &str| json(b"{\"content\":\"\xff\",\"choices\":[\"\xff\"]}") => Failed(502, "bad_response");
    "80" a_message_without_content_is_a_failed_attempt "200 with `{}`; messages":
        |_: &str| json("{}") => Failed(502, "bad_response");
    "80" content_of_another_type_is_a_failed_attempt "200 with a number as content; messages":
        |_: &str| json(r#"{"content":7,"choices":7,"stop_reason":"end_turn"}"#) => Failed(502, "bad_response");
    "81" an_error_for_a_message_under_200_is_an_error "200 with an error object; messages":
        |_: &str| Script::ok().json(&anthropic::error("overloaded_error", "Overloaded")) => Failed(503, "overloaded");
    "F15" a_message_that_is_not_compressed_as_it_says_is_a_failed_attempt "a damaged compressed answer; messages":
        |wire: &str| Script::ok().header("content-encoding", "gzip").body("application/json", whole(wire)) => Failed(502, "bad_response");
    "F17" a_redirect_for_a_message_is_never_followed "a redirect; messages":
        |_: &str| Script::with_status(307).header("location", "http://169.254.169.254/").body("text/plain", "") => Failed(404, "not_found");
    "93" a_message_that_is_cut_is_a_failed_attempt "chunks that end early; messages":
        |wire: &str| Script::ok().chunked("application/json").chunk(half(wire)).close() => Failed(502, "stream_cut");
}

/// The streams among the rows; their test has no answer to compare but a last event.
mod streams {
    use super::{Broken, Script, anthropic, begun, check};
    use crate::hostile_table::rows;

    rows! {
        "81" an_error_in_a_stream_of_messages_ends_it "an error event; messages":
            |wire: &str| begun(wire).event(&anthropic::error("overloaded_error", "Overloaded")).end() => Broken("overloaded");
        "96" an_endless_event_of_a_message_ends_the_stream "an event beyond `max_response_size_mb`; messages":
            |wire: &str| begun(wire).chunk("x".repeat(4_200_000)).end() => Broken("gateway");
        "98" a_stream_of_messages_that_is_cut_is_an_error "a stream that is cut; messages":
            |wire: &str| begun(wire).chunk("data: {\"type\":\"conte").close() => Broken("stream_cut");
        "98" a_stream_of_messages_that_only_stops_is_an_error "a stream that ends in its middle; messages":
            |wire: &str| begun(wire).end() => Broken("stream_cut");
        "100" a_stream_of_messages_that_falls_silent_is_an_error "a stream that falls silent; messages":
            |wire: &str| begun(wire).silence() => Broken("stream_stall");
    }

    /// A stream that never begins is a failed attempt, as a full answer would be.
    #[test]
    fn a_stream_of_garbage_is_a_failed_attempt() {
        let upstream = super::FakeUpstream::scripted([Script::ok()
            .stream()
            .chunk("\u{0}\u{1}garbage\n\n")
            .end()]);
        let hale = super::serve(&upstream, "anthropic");
        let body = anthropic::stream_request("m", "hi");
        let answer = super::client(&hale).post_json(super::MESSAGES, &[], &body);
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert_eq!(answer.json()["error"]["attempts"][0]["cause"], "stream_cut");
    }
}

/// All rows of this module for the page.
pub(crate) fn all_rows() -> Vec<crate::hostile_table::Row> {
    let mut all = rows();
    all.extend(streams::rows());
    all
}
