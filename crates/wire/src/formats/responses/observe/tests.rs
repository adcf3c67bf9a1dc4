//! What is observed in responses, and what changes in them.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::provider::WireFormat;
use hale_core::tenancy::Owner;
use serde_json::{Value, json};

use super::*;
use crate::bytes::id::{IdKey, Issuer};
use crate::conversion::answer::{Answer, check, stopped_by_policy};
use crate::conversion::prepare::Conversion;
use crate::conversion::stream::Reader;
use crate::fixture::{body, data, testdata};

fn view() -> View {
    let issuer = Issuer {
        key: IdKey::new(b"k"),
        deployment: Arc::from("d"),
        owner: Owner::NONE,
        named: None,
    };
    View { issuer: Some(issuer), ..crate::fixture::view() }
}

fn sealed(id: &str) -> Value {
    json!(IdKey::new(b"k").seal(Kind::Response, "d", id, &Owner::NONE))
}

fn conversion(operation: Operation) -> Conversion {
    Conversion { operation, wire: WireFormat::Responses }
}

fn checked(operation: Operation, body: &Value) -> Result<Answer, Fault> {
    check(conversion(operation), &Bytes::from(body.to_string()), &view())
}

fn streamed(operation: Operation, text: &str, cut: usize) -> (Reader, String) {
    let mut reader = Reader::new(conversion(operation), view());
    let mut out = Vec::new();
    let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
    for part in [first, second] {
        reader.push(Bytes::copy_from_slice(part), &mut out).unwrap();
    }
    reader.finish(&mut out).unwrap();
    (reader, String::from_utf8(out).unwrap())
}

#[test]
fn only_model_and_ids_change_in_a_full_answer() {
    let mut theirs = body("openai/response-text.json");
    theirs["previous_response_id"] = json!("resp_before");
    let answer = checked(Operation::Responses, &theirs).unwrap();
    let mut expected = theirs.clone();
    expected["id"] = sealed(theirs["id"].as_str().unwrap());
    expected["previous_response_id"] = sealed("resp_before");
    expected["model"] = json!("mine");
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap(), expected);
    let usage = answer.usage.unwrap();
    assert_eq!((usage.input, usage.cached_input, usage.output, usage.reasoning), (36, 4, 87, 12));
    let again = checked(Operation::GetResponse, &theirs).unwrap();
    assert_eq!(again.body, answer.body);
    assert_eq!(again.usage, None, "it was counted when it was made");
    let own = View { model_json: "".into(), ..view() };
    let kept =
        check(conversion(Operation::GetResponse), &Bytes::from(theirs.to_string()), &own).unwrap();
    let kept: Value = serde_json::from_slice(&kept.body).unwrap();
    assert_eq!(kept["model"], theirs["model"]);
}

#[test]
fn a_failed_response_is_a_failure_when_it_is_made_and_an_answer_when_it_is_read_again() {
    let failed = body("openai/response-failed.json");
    let Err(Fault::Error(error)) = checked(Operation::Responses, &failed) else { panic!() };
    assert_eq!(error.code.as_deref(), Some("server_error"));
    assert!(checked(Operation::GetResponse, &failed).is_ok());
    let incomplete = body("openai/response-incomplete.json");
    assert!(checked(Operation::Responses, &incomplete).is_ok());
    assert!(stopped_by_policy(incomplete.to_string().as_bytes()));
}

#[test]
fn each_operation_requires_its_own_answer() {
    let all = [
        (Operation::DeleteResponse, "openai/response-deleted.json"),
        (Operation::ListInputItems, "openai/response-input-items.json"),
        (Operation::CountResponses, "openai/response-input-tokens.json"),
        (Operation::CompactResponses, "openai/response-compaction.json"),
    ];
    for (operation, name) in all {
        let theirs = body(name);
        let answer = checked(operation, &theirs).unwrap();
        let ours: Value = serde_json::from_slice(&answer.body).unwrap();
        match theirs["id"].as_str() {
            Some(id) => assert_eq!(ours["id"], sealed(id), "{name}"),
            None => assert_eq!(ours, theirs, "{name}"),
        }
        assert_eq!(answer.usage.is_some(), operation == Operation::CompactResponses, "{name}");
        assert!(matches!(checked(operation, &json!({})), Err(Fault::Malformed(_))));
    }
    for text in ["{}", "[]", "<html>", r#"{"id":"r","output":null}"#, r#"{"output":[]}"#] {
        let found =
            check(conversion(Operation::Responses), &Bytes::from_static(text.as_bytes()), &view());
        assert!(matches!(found, Err(Fault::Malformed(_))), "{text}");
    }
}

#[test]
fn a_stream_passes_with_model_and_ids_changed_wherever_it_is_cut() {
    let text = testdata("openai/response-stream-text.sse");
    let id = "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654";
    let expected = text
        .replace(&format!("\"{id}\""), &sealed(id).to_string())
        .replace("\"gpt-4.1-2025-04-14\"", "\"mine\"");
    for cut in (0..text.len()).step_by(7) {
        let (reader, out) = streamed(Operation::Responses, &text, cut);
        assert_eq!(out, expected, "{cut}");
        assert!(reader.is_done() && reader.has_content() && reader.skipped() == 0);
        let usage = reader.usage().unwrap();
        assert_eq!((usage.input, usage.output), (37, 11));
    }
    let (replayed, out) = streamed(Operation::GetResponse, &text, 0);
    assert_eq!(out, expected);
    assert_eq!(replayed.usage(), None);
}

#[test]
fn content_starts_with_its_first_piece() {
    let content_at = |name: &str| {
        let mut reader = Reader::new(conversion(Operation::Responses), view());
        for (i, event) in testdata(name).split_inclusive("\n\n").enumerate() {
            reader.push(Bytes::copy_from_slice(event.as_bytes()), &mut Vec::new()).unwrap();
            if reader.has_content() {
                return Some(i);
            }
        }
        None
    };
    // The first is the comment with the source.
    assert_eq!(content_at("openai/response-stream-text.sse"), Some(5));
    assert_eq!(content_at("openai/response-stream-tools.sse"), Some(2));
    assert_eq!(content_at("openai/response-stream-failed.sse"), None);
}

#[test]
fn events_are_distinguished() {
    let event = |text: &str| {
        let mut progress = Progress::default();
        let mut events = Events::of(Operation::Responses);
        let seen = events.observe_event(text, &view(), &mut progress)?;
        let is_ping = matches!(seen, Seen::Ping(_));
        Ok::<_, EventError>((progress.content, progress.done && progress.finished, is_ping))
    };
    let (other, content) = ((false, false, false), (true, false, false));
    for (text, expected) in [
        (r#"{"type":"response.queued","response":{"id":"r"}}"#, other),
        (r#"{"type":"response.output_item.added","item":{"type":"reasoning"}}"#, other),
        (r#"{"type":"response.output_item.added","item":{"type":"web_search_call"}}"#, content),
        (r#"{"type":"response.reasoning_summary_text.delta","delta":"a"}"#, content),
        (r#"{"type":"response.refusal.delta","delta":"no"}"#, content),
        (r#"{"type":"response.output_text.delta","delta":""}"#, other),
        (r#"{"type":"response.incomplete","response":{"id":"r"}}"#, (true, true, false)),
        (r#"{"type":"keepalive","sequence_number":3}"#, (false, false, true)),
        (r#"{"type":"response.new_thing"}"#, other),
    ] {
        assert_eq!(event(text).unwrap(), expected, "{text}");
    }
    assert_eq!(event("{"), Err(EventError::Malformed));
}

#[test]
fn a_failure_has_the_shape_of_the_responses_format() {
    let (reader, out) =
        streamed(Operation::Responses, &testdata("openai/response-stream-failed.sse"), 0);
    let error = reader.error().unwrap();
    assert_eq!(error.code.as_deref(), Some("rate_limit_exceeded"));
    assert!(!out.contains("response.failed"));
    let reply = ErrorReply { message: "broke".into(), code: "502".into(), ..ErrorReply::default() };
    let event = String::from_utf8(reader.failure(&reply)).unwrap();
    assert!(event.starts_with("event: error\ndata: "), "{event}");
    let [event] = &data(&event)[..] else { panic!("{event}") };
    assert_eq!(event["type"], "error");
    assert_eq!((&event["sequence_number"], &event["code"]), (&json!(3), &json!("502")));
    assert_eq!((&event["message"], &event["param"]), (&json!("broke"), &Value::Null));
    assert_eq!(event["error"]["message"], "broke");

    let (reader, _) =
        streamed(Operation::Responses, &testdata("openai/response-stream-error.sse"), 0);
    let error = reader.error().unwrap();
    assert_eq!((error.message.as_str(), error.kind.as_deref()), ("Something went wrong", None));
    let (replayed, out) =
        streamed(Operation::GetResponse, &testdata("openai/response-stream-failed.sse"), 0);
    assert!(replayed.is_done() && out.contains("response.failed"), "{out}");
}
