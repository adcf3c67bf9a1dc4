//! Answers and streams that differ from the documentation of their format, but occur.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat::{Anthropic, OpenAi};
use serde_json::{Value, json};

use crate::conversion::answer::{self, Fault};
use crate::conversion::prepare::Conversion;
use crate::conversion::stream::{Broken, Reader};
use crate::fixture::{body, data, streamed, view};

const CHAT_AT_ANTHROPIC: Conversion = Conversion { operation: Operation::Chat, wire: Anthropic };
const MESSAGES_AT_OPENAI: Conversion = Conversion { operation: Operation::Messages, wire: OpenAi };

fn seen(given: &Value) -> Result<Value, Fault> {
    answer::check(MESSAGES_AT_OPENAI, &Bytes::from(given.to_string()), &view())
        .map(|answer| serde_json::from_slice(&answer.body).unwrap())
}

fn chunk(delta: Value, finish: Value) -> String {
    let chunk =
        json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// The error of the stream `text`.
fn broken(conversion: Conversion, text: &str) -> String {
    let (mut reader, mut out) = (Reader::new(conversion, view()), Vec::new());
    match reader.push(Bytes::copy_from_slice(text.as_bytes()), &mut out) {
        Err(Broken::Unreadable(why)) => why,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&out)),
    }
}

/// The texts of the deltas `name`, joined.
fn joined(out: &str, name: &str) -> String {
    data(out).iter().filter_map(|event| event["delta"][name].as_str()).collect()
}

#[test]
fn a_call_that_the_token_limit_cut_off_is_left_out() {
    let mut given = body("openai/completion-tools.json");
    given["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"] = json!("{\"x\":");
    given["choices"][0]["finish_reason"] = json!("length");
    let answer = seen(&given).unwrap();
    assert_eq!(answer["stop_reason"], "max_tokens");
    assert_eq!(answer["content"].as_array().unwrap().len(), 1);
    assert_eq!(answer["content"][0]["name"], "get_current_weather");
}

#[test]
fn arguments_that_are_not_an_object_are_the_clients_to_judge() {
    let mut given = body("openai/completion-tools.json");
    given["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = json!("{\"x\":");
    given["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"] = json!("null");
    let answer = seen(&given).unwrap();
    assert_eq!(answer["content"][0]["input"], json!({"invalid_arguments": "{\"x\":"}));
    assert_eq!(answer["content"][1]["input"], json!({}));
}

#[test]
fn a_failure_as_finish_reason_is_an_error_and_an_unknown_reason_is_kept() {
    let mut given = body("openai/completion-text.json");
    for (reason, error, expected) in [
        ("error", json!({"code": 502, "message": "upstream died"}), "upstream died"),
        ("error", Value::Null, "finish_reason `error`"),
        ("insufficient_system_resource", Value::Null, "`insufficient_system_resource`"),
    ] {
        given["choices"][0]["finish_reason"] = json!(reason);
        given["choices"][0]["error"] = error.clone();
        let Err(Fault::Error(fault)) = seen(&given) else { panic!("{reason}") };
        assert!(fault.message.contains(expected), "{fault:?}");
        let text = chunk(json!({"content": "Hi"}), Value::Null)
            + &format!(
                "data: {}\n\n",
                json!({"id": "c", "choices": [
                {"delta": {}, "finish_reason": reason, "error": error}]})
            );
        let (reader, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
        assert!(reader.error().unwrap().message.contains(expected), "{reason}");
        assert!(!reader.is_complete() && !out.contains("end_turn"), "{out}");
    }
    given["choices"][0]["finish_reason"] = json!("model_mood");
    assert_eq!(seen(&given).unwrap()["stop_reason"], "model_mood");
    let text = chunk(json!({"content": "Hi"}), json!("model_mood")) + "data: [DONE]\n\n";
    let (_, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    assert_eq!(joined(&out, "stop_reason"), "model_mood");
    let text = concat!(
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
        "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"mood\"}}\n\n",
        "data: {\"type\":\"message_stop\"}\n\n",
    );
    let (_, out) = streamed(CHAT_AT_ANTHROPIC, text, &[]);
    assert_eq!(data(&out).last().unwrap()["choices"][0]["finish_reason"], "mood");
}

/// The shape in <https://github.com/braintrustdata/braintrust-sdk-javascript/issues/1857>.
#[test]
fn content_in_parts_is_read() {
    let thought = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]);
    let text =
        json!([{"type": "text", "text": "Yes"}, {"type": "reference", "reference_ids": [1]}]);
    let stream = chunk(json!({"content": thought}), Value::Null)
        + &chunk(json!({"content": text}), json!("stop"));
    let (reader, out) = streamed(MESSAGES_AT_OPENAI, &stream, &[]);
    assert_eq!((joined(&out, "thinking"), joined(&out, "text")), ("Hm.".into(), "Yes".into()));
    assert_eq!(reader.skipped(), 0);
    let mut given = body("openai/completion-text.json");
    given["choices"][0]["message"]["content"] =
        json!([thought[0], {"type": "text", "text": "Yes"}]);
    let answer = seen(&given).unwrap();
    assert_eq!(answer["content"][0]["thinking"], "Hm.");
    assert_eq!(answer["content"][1]["text"], "Yes");
}

#[test]
fn unknown_content_ends_the_stream() {
    for (delta, expected) in [
        (json!({"content": [{"type": "hologram", "hologram": "x"}]}), "`hologram`"),
        (json!({"content": 7}), "`content`"),
        (json!({"audio": {"data": "AAAA"}}), "`audio`"),
        (json!({"tool_calls": [{"index": "0"}]}), "invalid type"),
    ] {
        let why = broken(MESSAGES_AT_OPENAI, &chunk(delta, Value::Null));
        assert!(why.contains(expected), "{why}");
    }
    broken(MESSAGES_AT_OPENAI, "data: {\"id\":\"1\",\"choices\":[{\"delta\":7}]}\n\n");
    let odd = "data: {\"type\":\"content_block_delta\",\"index\":\"0\",\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
    broken(CHAT_AT_ANTHROPIC, odd);
    let odd = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":7}}\n\n";
    broken(CHAT_AT_ANTHROPIC, odd);
}

#[test]
fn a_character_cut_in_two_is_joined() {
    let piece = |name: &str, text: &str| {
        format!("data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"{name}\":\"{text}\"}}}}]}}\n\n")
    };
    let text = piece("reasoning_content", "h\\ud83d")
        + &piece("reasoning_content", "\\ude00")
        + &piece("content", "a\\ud83d")
        + &piece("content", "\\ude00b\\udc00");
    let (reader, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    assert_eq!(joined(&out, "text"), "a\u{1f600}b\u{fffd}");
    assert_eq!(joined(&out, "thinking"), "h\u{1f600}");
    assert_eq!(reader.skipped(), 0);
    let piece = |text: &str| {
        format!(
            "data: {{\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let (_, out) = streamed(CHAT_AT_ANTHROPIC, &(piece("a\\ud83d") + &piece("\\ude00b")), &[]);
    let text: String = data(&out)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "a\u{1f600}b");
}

#[test]
fn a_huge_id_is_not_repeated() {
    let id = "i".repeat(900 << 10);
    let start = json!({"type": "message_start", "message": {"id": id}});
    let piece =
        json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}});
    let text = format!("data: {start}\n\n") + &format!("data: {piece}\n\n").repeat(4_000);
    let (_, out) = streamed(CHAT_AT_ANTHROPIC, &text, &[]);
    assert!(out.len() < 4_000 * 600, "{}", out.len());
    let text = chunk(json!({"content": "a"}), Value::Null).replace("\"c\"", &format!("\"{id}\""));
    let (_, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    assert!(out.len() < 2_000 && joined(&out, "text") == "a", "{}", out.len());
}

#[test]
fn the_output_for_one_piece_is_bounded() {
    let call = "{\"index\":0,\"function\":{\"arguments\":\"a\"}},";
    let calls = call.repeat((1 << 20) / call.len() - 10);
    let event = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{}]}}}}]}}\n\n",
        calls.trim_end_matches(',')
    );
    assert!(broken(MESSAGES_AT_OPENAI, &event.repeat(8)).contains("bytes"));
}

#[test]
fn the_calls_of_a_stream_and_their_names_are_bounded() {
    let call = |index: usize, id: &str, name: &str| {
        let call = json!({"index": index, "id": id, "function": {"name": name, "arguments": "{}"}});
        chunk(json!({"tool_calls": [call]}), Value::Null)
    };
    let many: String = (0..1_025).map(|i| call(i, &format!("c{i}"), "f")).collect();
    assert!(broken(MESSAGES_AT_OPENAI, &many).contains("1024 tool calls"));
    let long = "x".repeat(5_000);
    assert!(broken(MESSAGES_AT_OPENAI, &call(0, &long, "f")).contains("id of a tool call"));
    assert!(broken(MESSAGES_AT_OPENAI, &call(0, "c", &long)).contains("name of a called tool"));
    let block = |index: usize, name: &str| {
        let block = json!({"type": "tool_use", "id": format!("t{index}"), "name": name});
        let event = json!({"type": "content_block_start", "index": index, "content_block": block});
        format!("data: {event}\n\n")
    };
    let many: String = (0..1_025).map(|i| block(i, "f")).collect();
    assert!(broken(CHAT_AT_ANTHROPIC, &many).contains("1024 tool calls"));
    assert!(broken(CHAT_AT_ANTHROPIC, &block(0, &long)).contains("name of a called tool"));
}

/// As in <https://github.com/openai/openai-agents-js/issues/92>.
#[test]
fn azures_chunk_about_the_prompt_does_not_start_the_answer() {
    let first = "data: {\"choices\":[],\"created\":0,\"id\":\"\",\"model\":\"\",\"object\":\"\",\
                 \"prompt_filter_results\":[{\"prompt_index\":0,\"content_filter_results\":{}}]}\n\n";
    let (_, out) = streamed(MESSAGES_AT_OPENAI, first, &[]);
    assert_eq!(out, "");
    let text = first.to_owned() + &chunk(json!({"content": "a"}), Value::Null);
    let (_, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    assert_eq!(data(&out)[0]["message"]["id"], "c");
}

/// The blocks as the official SDK joins them; panics on a delta for a block that is not open.
fn blocks(out: &str) -> Vec<(Value, String)> {
    let mut blocks: Vec<(Value, String)> = Vec::new();
    let mut open = None;
    for event in data(out) {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(open.is_none(), "{event}");
                assert_eq!(index, Some(blocks.len() as u64));
                open = index;
                blocks.push((event["content_block"].clone(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(open, index, "{event}");
                let delta = &event["delta"];
                let piece = ["partial_json", "text"].iter().find_map(|name| delta[*name].as_str());
                blocks.last_mut().unwrap().1.push_str(piece.unwrap());
            }
            "content_block_stop" => assert_eq!(open.take(), index, "{event}"),
            _ => {}
        }
    }
    blocks
}

#[test]
fn mixed_calls_are_written_one_after_the_other() {
    let call = |index: u64, id: &str, text: &str| {
        let mut call = json!({"index": index, "function": {"arguments": text}});
        if !id.is_empty() {
            call["id"] = json!(id);
            call["function"]["name"] = json!(id);
        }
        chunk(json!({"tool_calls": [call]}), Value::Null)
    };
    let text = [
        call(0, "a", "{\"x\":\"}"),
        call(1, "b", "{"),
        call(2, "c", ""),
        chunk(json!({"content": "meanwhile"}), Value::Null),
        call(0, "", "\\\"\"}"),
        call(2, "", "{}"),
        call(1, "", "}"),
        chunk(json!({}), json!("tool_calls")),
    ]
    .concat();
    let (mut reader, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    let mut tail = Vec::new();
    reader.close(&mut tail);
    let blocks = blocks(&(out + std::str::from_utf8(&tail).unwrap()));
    let got: Vec<(&str, &str)> = blocks
        .iter()
        .map(|(block, text)| (block["id"].as_str().unwrap_or("text"), text.as_str()))
        .collect();
    assert_eq!(got, [("a", "{\"x\":\"}\\\"\"}"), ("b", "{}"), ("c", "{}"), ("text", "meanwhile")]);
    let late = [call(0, "a", "{}"), call(1, "b", "{}"), call(0, "", " x")].concat();
    assert!(broken(MESSAGES_AT_OPENAI, &late).contains("was complete"));
    let hoard = call(0, "a", "{") + &call(1, "b", &"x".repeat(1 << 19)).repeat(9);
    assert!(broken(MESSAGES_AT_OPENAI, &hoard).contains("wait"));
}
