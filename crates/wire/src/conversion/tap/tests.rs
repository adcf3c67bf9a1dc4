//! A tap reports what the client gets, and changes none of it.

use hale_core::usage::Usage;

use super::*;
use crate::conversion::stream::Reader;
use crate::fixture::{body, testdata, view};
use crate::formats::neutral::Stop;

const CHAT: Conversion = Conversion { operation: Operation::Chat, wire: WireFormat::OpenAi };
const MESSAGES: Conversion =
    Conversion { operation: Operation::Messages, wire: WireFormat::Anthropic };
const RESPONSES: Conversion =
    Conversion { operation: Operation::Responses, wire: WireFormat::Responses };

/// What the client gets of a stream that is cut at `cut`, and the deltas of the tap.
fn streamed(conversion: Conversion, text: &str, cut: usize) -> (Vec<u8>, Vec<Delta<'static>>) {
    let mut reader = Reader::tapped(conversion, view());
    let (mut out, mut summary) = (Vec::new(), Vec::new());
    let (first, second) = text.as_bytes().split_at(cut);
    for part in [first, second] {
        reader.push(Bytes::copy_from_slice(part), &mut out).unwrap();
        summary.extend_from_slice(reader.tap().unwrap().deltas());
    }
    reader.finish(&mut out).unwrap();
    summary.extend_from_slice(reader.tap().unwrap().deltas());
    assert_eq!(reader.tap().unwrap().missed(), 0);
    (out, summary)
}

fn without_tap(conversion: Conversion, text: &str) -> Vec<u8> {
    let mut reader = Reader::new(conversion, view());
    let mut out = Vec::new();
    reader.push(Bytes::copy_from_slice(text.as_bytes()), &mut out).unwrap();
    reader.finish(&mut out).unwrap();
    assert!(reader.tap().is_none());
    out
}

/// A summary of deltas: texts joined, calls with their inputs.
#[derive(Debug, Default, PartialEq)]
struct Summary {
    starts: usize,
    text: String,
    thoughts: String,
    refusal: String,
    calls: Vec<(String, String)>,
    stop: Option<Stop>,
    usage: Option<Usage>,
    ends: usize,
}

fn in_short(deltas: &[Delta<'_>]) -> Summary {
    let mut summary = Summary::default();
    for delta in deltas {
        match delta {
            Delta::Start(_) => summary.starts += 1,
            Delta::Text(text) => summary.text.push_str(text),
            Delta::Thinking(text) => summary.thoughts.push_str(text),
            Delta::Refusal(text) => summary.refusal.push_str(text),
            Delta::ToolStart { call, name, .. } => {
                assert_eq!(*call, summary.calls.len());
                summary.calls.push((name.to_string(), String::new()));
            }
            Delta::ToolInput { call, json } => summary.calls[*call].1.push_str(json),
            Delta::Stop(stop, _) => summary.stop = Some(stop.clone()),
            Delta::Usage(usage) => summary.usage = Some(*usage),
            Delta::End => summary.ends += 1,
            Delta::Signature(_)
            | Delta::Redacted(_)
            | Delta::Image { .. }
            | Delta::Citation(_)
            | Delta::Ping => {}
        }
    }
    summary
}

#[test]
fn the_bytes_are_the_same_with_a_tap_and_without_wherever_a_stream_is_cut() {
    let anthropic = Conversion { operation: Operation::Messages, wire: WireFormat::OpenAi };
    for (conversion, name) in [
        (CHAT, "openai/stream-text.sse"),
        (CHAT, "openai/stream-tools.sse"),
        (anthropic, "openai/stream-tools.sse"),
        (MESSAGES, "anthropic/stream-text.sse"),
        (MESSAGES, "anthropic/stream-tools.sse"),
        (MESSAGES, "anthropic/stream-thinking.sse"),
        (RESPONSES, "openai/response-stream-text.sse"),
        (RESPONSES, "openai/response-stream-tools.sse"),
    ] {
        let text = testdata(name);
        let expected = without_tap(conversion, &text);
        let summary = in_short(&streamed(conversion, &text, 0).1);
        assert_eq!((summary.starts, summary.ends), (1, 1), "{name}");
        assert!(summary.stop.is_some() && summary.usage.is_some(), "{name}: {summary:?}");
        assert!(!summary.text.is_empty() || !summary.calls.is_empty(), "{name}");
        for cut in (0..text.len()).step_by(13) {
            let (out, deltas) = streamed(conversion, &text, cut);
            assert!(out == expected, "{name} cut at {cut}");
            assert_eq!(in_short(&deltas), summary, "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_full_answer_gives_the_deltas_of_a_stream() {
    let completion = Bytes::from(body("openai/completion-tools.json").to_string());
    let summary = in_short(&answer(CHAT, &completion).unwrap());
    assert_eq!((summary.starts, summary.ends, summary.stop), (1, 1, Some(Stop::Tools)));
    assert!(!summary.calls.is_empty() && summary.usage.is_some(), "{:?}", summary.calls);

    let message = Bytes::from(body("anthropic/message-tools.json").to_string());
    let summary = in_short(&answer(MESSAGES, &message).unwrap());
    assert!(!summary.calls.is_empty() && summary.stop == Some(Stop::Tools), "{summary:?}");

    let response = Bytes::from(body("openai/response-text.json").to_string());
    let summary = in_short(&answer(RESPONSES, &response).unwrap());
    assert!(summary.text.contains("unicorn") && summary.stop == Some(Stop::End), "{summary:?}");
    assert_eq!(summary.usage.unwrap().output, 87);
    let incomplete = Bytes::from(body("openai/response-incomplete.json").to_string());
    assert_eq!(in_short(&answer(RESPONSES, &incomplete).unwrap()).stop, Some(Stop::Refusal));

    let embedding = Conversion { operation: Operation::Embedding, ..CHAT };
    assert_eq!(answer(embedding, &completion), Ok(Vec::new()), "it has no neutral form");
    assert!(answer(CHAT, &Bytes::from_static(b"{}")).is_err());
}

#[test]
fn an_event_without_a_neutral_form_passes_and_is_counted() {
    let audio = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"audio\":{\"data\":\"AAAA\"}}}]}\n\n";
    let mut reader = Reader::tapped(CHAT, view());
    let mut out = Vec::new();
    reader.push(Bytes::from_static(audio.as_bytes()), &mut out).unwrap();
    assert_eq!(out, audio.as_bytes());
    assert_eq!(reader.tap().unwrap().missed(), 1);
    let embedding = Conversion { operation: Operation::Embedding, ..CHAT };
    assert!(Reader::tapped(embedding, view()).tap().is_none());
}

#[test]
fn the_deltas_are_those_of_the_last_push() {
    let chunk = |text: &str| {
        Bytes::from(format!(
            "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
        ))
    };
    let mut reader = Reader::tapped(CHAT, view());
    for text in ["a", "b"] {
        reader.push(chunk(text), &mut Vec::new()).unwrap();
        assert_eq!(in_short(reader.tap().unwrap().deltas()).text, text);
    }
    reader.finish(&mut Vec::new()).unwrap();
    assert!(reader.tap().unwrap().deltas().is_empty());
}

#[test]
fn items_of_a_response_are_read_once_in_pieces_or_complete() {
    let event = |json: &str| format!("data: {json}\n\n");
    let text = [
        r#"{"type":"response.created","response":{"id":"r"}}"#,
        r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"x"}}"#,
        r#"{"type":"response.output_text.delta","output_index":1,"delta":"streamed \ud83d"}"#,
        r#"{"type":"response.output_text.delta","output_index":1,"delta":"\ude00"}"#,
        r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"message","content":[{"type":"output_text","text":"streamed"}]}}"#,
        r#"{"type":"response.output_item.done","output_index":2,"item":{"type":"message","content":[{"type":"output_text","text":", whole"},{"type":"refusal","refusal":"no"}]}}"#,
        r#"{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}}"#,
        r#"{"type":"response.output_item.added","output_index":4,"item":{"type":"function_call","call_id":"d","name":"g","arguments":""}}"#,
        r#"{"type":"response.output_item.done","output_index":4,"item":{"type":"function_call","call_id":"d","name":"g","arguments":"{\"a\":1}"}}"#,
        r#"{"type":"response.output_item.done","output_index":5,"item":{"type":"web_search_call"}}"#,
        r#"{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":1,"output_tokens":2}}}"#,
    ]
    .map(event)
    .concat();
    let (_, deltas) = streamed(RESPONSES, &text, 0);
    let expected = Summary {
        starts: 1,
        text: "streamed \u{1f600}, whole".to_owned(),
        thoughts: "hm".to_owned(),
        refusal: "no".to_owned(),
        calls: vec![("f".into(), "{}".into()), ("g".into(), "{\"a\":1}".into())],
        stop: Some(Stop::Length),
        usage: Some(Usage { input: 1, output: 2, ..Usage::default() }),
        ends: 1,
    };
    assert_eq!(in_short(&deltas), expected);
}
