use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat::{Anthropic, OpenAi};
use hale_core::usage::Usage;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::conversion::answer::{self, Answer, Fault};
use crate::conversion::prepare::Conversion;
use crate::conversion::stream::Reader;
use crate::fixture::{body, data, deployment, order, sent, streamed, testdata, unclosed, view};

const CHAT_AT_ANTHROPIC: Conversion = Conversion { operation: Operation::Chat, wire: Anthropic };
const MESSAGES_AT_OPENAI: Conversion = Conversion { operation: Operation::Messages, wire: OpenAi };
const MESSAGES_AT_ANTHROPIC: Conversion =
    Conversion { operation: Operation::Messages, wire: Anthropic };

fn check(conversion: Conversion, body: &Value) -> Result<Answer, Fault> {
    answer::check(conversion, &Bytes::from(body.to_string()), &view())
}

fn seen(conversion: Conversion, body: &Value) -> Value {
    serde_json::from_slice(&check(conversion, body).unwrap().body).unwrap()
}

#[test]
fn an_anthropic_answer_reads_as_a_chat_completion() {
    let answer = seen(CHAT_AT_ANTHROPIC, &body("anthropic/message-tools.json"));
    let expected = json!({
        "id": "msg_01Aq9w938a90dw8q", "object": "chat.completion", "created": 7, "model": "mine",
        "choices": [{"index": 0, "message": {
            "role": "assistant", "content": "I'll check.", "refusal": null,
            "reasoning_content": "Two calls.",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "Two calls.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "EmwKAhgB"},
            ],
            "tool_calls": [
                {"id": "toolu_01A", "type": "function", "function": {"name": "get_weather",
                 "arguments": "{\"location\":\"San Francisco, CA\",\"days\":1.5}"}},
                {"id": "toolu_01B", "type": "function",
                 "function": {"name": "get_time", "arguments": "{}"}},
            ],
        }, "logprobs": null, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 400, "completion_tokens": 60, "total_tokens": 460,
            "prompt_tokens_details":
                {"cached_tokens": 0, "cache_write_tokens": 0, "cache_creation_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
            "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
    });
    assert_eq!(answer, expected);
    let refusal = seen(CHAT_AT_ANTHROPIC, &body("anthropic/message-refusal.json"));
    assert_eq!(refusal["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(refusal["choices"][0]["message"]["content"], Value::Null);
}

#[test]
fn thoughts_survive_the_round_trip_through_a_chat_client() {
    let answer = seen(CHAT_AT_ANTHROPIC, &body("anthropic/message-tools.json"));
    let message = answer["choices"][0]["message"].clone();
    let again = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, message]});
    let anthropic = deployment("anthropic");
    let out = sent(&again, &order(&anthropic, Operation::Chat, "claude-sonnet-4-5")).unwrap();
    let original = body("anthropic/message-tools.json");
    assert_eq!(out["messages"][1]["content"], original["content"]);
}

#[test]
fn a_chat_completion_reads_as_an_anthropic_answer() {
    let answer = seen(MESSAGES_AT_OPENAI, &body("openai/completion-tools.json"));
    let expected = json!({
        "id": "chatcmpl-abc123", "type": "message", "role": "assistant", "model": "mine",
        "content": [
            {"type": "tool_use", "id": "call_abc123", "name": "get_current_weather",
             "input": {"location": "Boston, MA"}},
            {"type": "tool_use", "id": "call_def", "name": "now", "input": {}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 82, "cache_creation_input_tokens": 0,
                  "cache_read_input_tokens": 0, "output_tokens": 17},
    });
    assert_eq!(answer, expected);
    let text = seen(MESSAGES_AT_OPENAI, &body("openai/completion-text.json"));
    assert_eq!(text["content"][0]["text"], "Hello! How can I assist you today?");
    assert_eq!(text["stop_reason"], "end_turn");
    assert_eq!(text["usage"]["input_tokens"], 15);
    assert_eq!(text["usage"]["cache_read_input_tokens"], 4);
    let refusal = seen(MESSAGES_AT_OPENAI, &body("openai/completion-refusal.json"));
    assert_eq!(refusal["content"][0]["text"], "I'm sorry, I cannot assist with that request.");
}

#[test]
fn an_anthropic_answer_to_its_own_client_keeps_its_bytes() {
    let text = body("anthropic/message-text.json").to_string();
    let answer = answer::check(MESSAGES_AT_ANTHROPIC, &Bytes::from(text.clone()), &view()).unwrap();
    assert_eq!(answer.body, text.replace("\"claude-sonnet-4-5\"", "\"mine\""));
    let expected = Usage {
        input: 5146,
        output: 503,
        cached_input: 1000,
        cache_creation: 2051,
        cache_creation_1h: 0,
        reasoning: 17,
        ..Usage::default()
    };
    assert_eq!(answer.usage, Some(expected));
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}});
    for conversion in [MESSAGES_AT_ANTHROPIC, CHAT_AT_ANTHROPIC] {
        assert!(matches!(check(conversion, &error), Err(Fault::Error(_))));
        assert!(matches!(check(conversion, &json!({})), Err(Fault::Malformed(_))));
    }
    let count = Conversion { operation: Operation::CountTokens, wire: Anthropic };
    assert_eq!(seen(count, &json!({"input_tokens": 14})), json!({"input_tokens": 14}));
    assert!(check(count, &json!({"content": []})).is_err());
}

#[test]
fn a_stream_of_anthropic_passes_to_its_own_client() {
    let text = testdata("anthropic/stream-text.sse");
    let (reader, out) = streamed(MESSAGES_AT_ANTHROPIC, &text, &[]);
    assert_eq!(out, text.replace("\"claude-opus-4-1-20250805\"", "\"mine\""));
    assert!(reader.has_content() && reader.is_done());
    assert_eq!(reader.events(), 7, "a ping is no event");
    let expected = Usage {
        input: 325,
        output: 15,
        cached_input: 200,
        cache_creation: 100,
        cache_creation_1h: 0,
        reasoning: 0,
        ..Usage::default()
    };
    assert_eq!(reader.usage(), Some(expected));
    let (reader, out) =
        streamed(MESSAGES_AT_ANTHROPIC, &testdata("anthropic/stream-error.sse"), &[]);
    assert_eq!(reader.error().unwrap().message, "Overloaded");
    assert!(!out.contains("Overloaded") && !reader.is_complete());
}

/// The deltas of a chat stream, without the parts that are in every chunk.
fn deltas(out: &str) -> Vec<(Value, Value)> {
    data(out)
        .iter()
        .map(|chunk| {
            assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
            assert_eq!((&chunk["model"], &chunk["created"]), (&json!("mine"), &json!(7)));
            let choice = &chunk["choices"][0];
            (choice["delta"].clone(), choice["finish_reason"].clone())
        })
        .collect()
}

#[test]
fn a_stream_of_anthropic_reads_as_chunks() {
    let (reader, out) = streamed(CHAT_AT_ANTHROPIC, &testdata("anthropic/stream-tools.sse"), &[]);
    assert!(reader.is_done() && out.ends_with("data: [DONE]\n\n"), "{out}");
    let call = |index: u64, more: Value| {
        let mut call = json!({"index": index});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (json!({"tool_calls": [call]}), Value::Null)
    };
    let start = |index, id: &str, name: &str| {
        call(
            index,
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": ""}}),
        )
    };
    let piece = |index, text: &str| call(index, json!({"function": {"arguments": text}}));
    let expected = [
        (json!({"role": "assistant", "content": ""}), Value::Null),
        (json!({"content": "Okay, let's check the weather."}), Value::Null),
        start(0, "toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather"),
        piece(0, "{\"location\":"),
        piece(0, " \"San Francisco, CA\"}"),
        start(1, "toolu_02", "now"),
        piece(1, "{}"),
        (json!({}), json!("tool_calls")),
        (Value::Null, Value::Null),
    ];
    assert_eq!(deltas(&out), expected);
    let last = data(&out).pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"]["total_tokens"], 561);
    assert!(out.contains(": ping\n\n"));
}

#[test]
fn ids_and_reasons_that_are_numbers_are_read() {
    let call = json!([{"index": 0, "id": 5, "type": "function",
        "function": {"name": "f", "arguments": "{}"}}]);
    let body = json!({"id": 1, "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "hi", "tool_calls": call}}]});
    let answer = seen(MESSAGES_AT_OPENAI, &body);
    assert_eq!(
        (&answer["id"], &answer["content"][1]["id"]),
        (&json!("1"), &json!("5")),
        "{answer}"
    );
    let odd = json!({"id": 1, "choices": [{"index": 0, "finish_reason": 0,
        "message": {"role": "assistant", "content": "hi"}}]});
    assert_eq!(seen(MESSAGES_AT_OPENAI, &odd)["content"][0]["text"], "hi");
    let chunk = |delta: Value, finish: Value| {
        let one =
            json!({"id": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        format!("data: {one}\n\n")
    };
    let text = chunk(json!({"tool_calls": call}), Value::Null) + &chunk(json!({}), json!("stop"));
    let (reader, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    assert!(reader.is_complete() && out.contains("\"id\":\"5\""), "{out}");
}

#[test]
fn thoughts_stream_with_their_signatures() {
    let (_, out) = streamed(CHAT_AT_ANTHROPIC, &testdata("anthropic/stream-thinking.sse"), &[]);
    let deltas: Vec<Value> = deltas(&out).into_iter().map(|(delta, _)| delta).collect();
    let thoughts: String =
        deltas.iter().filter_map(|delta| delta["reasoning_content"].as_str()).collect();
    assert!(thoughts.starts_with("Let me solve") && thoughts.ends_with("50 + 3"));
    let blocks: Vec<&Value> = deltas.iter().map(|delta| &delta["thinking_blocks"][0]).collect();
    assert!(blocks.iter().any(
        |block| block["signature"] == "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds=="
    ));
    assert!(blocks.iter().any(|block| block["data"] == "EmwKAhgBEgy3va3pzix/LafPsn4a"));
}

#[test]
fn the_entries_of_each_list_in_a_stream_have_the_index_by_which_openais_library_merges_them() {
    let (_, out) = streamed(CHAT_AT_ANTHROPIC, &testdata("anthropic/stream-thinking.sse"), &[]);
    let mut merged: Vec<[String; 4]> = Vec::new();
    for (delta, _) in deltas(&out) {
        for block in delta["thinking_blocks"].as_array().into_iter().flatten() {
            let index = usize::try_from(block["index"].as_u64().unwrap()).unwrap();
            assert!(index <= merged.len(), "{block}");
            merged.resize(merged.len().max(index + 1), Default::default());
            let text = |name: &str| block[name].as_str().unwrap_or_default();
            merged[index][0] = text("type").to_owned();
            for (at, name) in [(1, "thinking"), (2, "signature"), (3, "data")] {
                merged[index][at].push_str(text(name));
            }
        }
    }
    let whole = |blocks: &[[String; 4]]| {
        blocks.iter().all(|[kind, thinking, signature, data]| match &**kind {
            "thinking" => !thinking.is_empty() && !signature.is_empty() && data.is_empty(),
            _ => kind == "redacted_thinking" && !data.is_empty() && thinking.is_empty(),
        })
    };
    assert!(merged.len() == 2 && whole(&merged), "{merged:?}");
}

#[test]
fn chunks_read_as_a_stream_of_anthropic() {
    let (reader, out) = streamed(MESSAGES_AT_OPENAI, &testdata("openai/stream-tools.sse"), &[]);
    assert!(reader.is_done() && reader.has_content());
    assert!(!out.contains("[DONE]"));
    let start = |index: u64, id: &str, name: &str| {
        json!({"type": "content_block_start", "index": index,
               "content_block": {"type": "tool_use", "id": id, "name": name, "input": {}}})
    };
    let piece = |index: u64, text: &str| {
        json!({"type": "content_block_delta", "index": index,
               "delta": {"type": "input_json_delta", "partial_json": text}})
    };
    let stop = |index: u64| json!({"type": "content_block_stop", "index": index});
    let expected = vec![
        json!({"type": "message_start", "message": {"id": "chatcmpl-123", "type": "message",
            "role": "assistant", "model": "mine", "content": [], "stop_reason": null,
            "stop_sequence": null, "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 0}}}),
        json!({"type": "ping"}),
        start(0, "call_DdmO9pD3xa9XTPNJ32zg2hcA", "get_weather"),
        piece(0, "{\"location\":"),
        piece(0, "\"Paris, France\"}"),
        stop(0),
        start(1, "call_2", "now"),
        piece(1, "{}"),
        stop(1),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"input_tokens": 82, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 17}}),
        json!({"type": "message_stop"}),
    ];
    assert_eq!(data(&out), expected);
    for block in out.split_terminator("\n\n") {
        let (name, data) = block.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
    }
}

#[test]
fn a_stream_that_only_stops_is_closed_once_with_its_usage() {
    let text = testdata("openai/stream-text.sse").replace("data: [DONE]\n\n", "");
    let (mut reader, mut out) = unclosed(MESSAGES_AT_OPENAI, &text, &[]);
    assert!(reader.is_complete() && !reader.is_done());
    assert!(!out.contains("message_delta"), "the usage may still come");
    let mut tail = Vec::new();
    reader.close(&mut tail);
    reader.close(&mut tail);
    out.push_str(std::str::from_utf8(&tail).unwrap());
    let events = data(&out);
    assert_eq!(events[events.len() - 2]["usage"]["cache_read_input_tokens"], 4);
    assert_eq!(events.iter().filter(|event| event["type"] == "message_stop").count(), 1);
}

#[test]
fn an_error_in_a_translated_stream_ends_it() {
    let (reader, out) = streamed(CHAT_AT_ANTHROPIC, &testdata("anthropic/stream-error.sse"), &[]);
    assert_eq!(reader.error().unwrap().kind.as_deref(), Some("overloaded_error"));
    assert!(
        !reader.is_complete() && !out.contains("finish_reason\":\"") && !out.contains("[DONE]")
    );
    let (reader, out) =
        streamed(MESSAGES_AT_OPENAI, "data: {\"error\":{\"message\":\"boom\"}}\n\n", &[]);
    assert_eq!((reader.error().unwrap().message.as_str(), out.as_str()), ("boom", ""));
}

#[test]
fn malformed_and_unknown_events_are_skipped() {
    let text = testdata("anthropic/stream-text.sse");
    let odd = text.replace(
        "event: ping",
        "data: {broken\n\ndata: {\"type\":\"later_invention\",\"index\":0}\n\nevent: ping",
    );
    let (whole, expected) = streamed(CHAT_AT_ANTHROPIC, &text, &[]);
    let (reader, out) = streamed(CHAT_AT_ANTHROPIC, &odd, &[]);
    assert_eq!(out, expected);
    assert_eq!((whole.skipped(), reader.skipped()), (0, 1));
}

#[test]
fn tool_calls_are_identified_by_index_or_id() {
    let chunk = |calls: Value| {
        format!(
            "data: {}\n\n",
            json!({"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": calls}}]})
        )
    };
    let text = [
        chunk(json!([{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}])),
        chunk(json!([{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{\"x\""}}])),
        chunk(json!([{"index": 0, "function": {"arguments": ":1}"}}])),
        chunk(json!([{"index": 7, "function": {"name": "h"}}])),
    ]
    .concat();
    let (_, out) = streamed(MESSAGES_AT_OPENAI, &text, &[]);
    let events = data(&out);
    let ids: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "content_block_start")
        .map(|event| &event["content_block"]["id"])
        .collect();
    assert_eq!(ids, ["a", "b", "c_2"]);
    let second: String = events
        .iter()
        .filter(|event| event["index"] == 1)
        .filter_map(|event| event["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(second, "{\"x\":1}");
}

/// Some part of a user's or an assistant's turn in the Anthropic format.
fn block(of_user: bool) -> BoxedStrategy<Value> {
    // A text without a word is left out.
    let text = "[!-~\u{e9}][ -~\u{e9}\u{1f600}\n\"\\\\]{0,11}";
    let words = text.prop_map(|text| json!({"type": "text", "text": text}));
    if of_user {
        let image = "[A-Za-z0-9+/]{4}".prop_map(|data| {
            json!({"type": "image", "source":
                {"type": "base64", "media_type": "image/png", "data": data}})
        });
        return prop_oneof![words, image].boxed();
    }
    let call = ("[a-z]{1,8}", "[a-z]{1,5}", any::<i64>(), text).prop_map(|(id, name, n, text)| {
        json!({"type": "tool_use", "id": id, "name": name, "input": {"n": n, "t": text}})
    });
    prop_oneof![words, call].boxed()
}

proptest! {
    /// A request of an Anthropic client survives the round trip through the OpenAI format, except that texts are
    /// joined.
    #[test]
    fn a_request_survives_the_round_trip(
        system in proptest::option::of("[a-z ]{1,9}"),
        turns in proptest::collection::vec(
            (proptest::collection::vec(block(true), 1..4), proptest::collection::vec(block(false), 1..4)),
            1..4,
        ),
        temperature in 0u8..100,
        most in 1u32..100_000,
    ) {
        let mut messages = Vec::new();
        for (user, assistant) in turns {
            messages.push(json!({"role": "user", "content": user}));
            // The other format keeps one text, before the calls.
            let texts: String =
                assistant.iter().filter_map(|block| block["text"].as_str()).collect();
            let mut blocks: Vec<Value> = Vec::new();
            if !texts.is_empty() {
                blocks.push(json!({"type": "text", "text": texts}));
            }
            let calls = assistant.iter().filter(|block| block["type"] == "tool_use");
            blocks.extend(calls.clone().cloned().enumerate().map(|(i, mut call)| {
                call["id"] = json!(format!("t{}-{i}", messages.len()));
                call
            }));
            let result = |i| {
                let id = format!("t{}-{i}", messages.len());
                json!({"type": "tool_result", "tool_use_id": id, "content": "done"})
            };
            let results: Vec<Value> = (0..calls.count()).map(result).collect();
            messages.push(json!({"role": "assistant", "content": blocks}));
            if !results.is_empty() {
                messages.push(json!({"role": "user", "content": results}));
            }
        }
        // White space at the end of the model's last words does not.
        messages.push(json!({"role": "user", "content": [{"type": "text", "text": "on"}]}));
        // Neighbours of one role become one.
        let mut messages: Vec<Value> = messages.into_iter().fold(Vec::new(), |mut all, next| {
            match all.last_mut().filter(|last| last["role"] == next["role"]) {
                Some(last) => {
                    let more = next["content"].as_array().unwrap().clone();
                    last["content"].as_array_mut().unwrap().extend(more);
                }
                None => all.push(next),
            }
            all
        });
        messages.retain(|message| !message["content"].as_array().unwrap().is_empty());
        let mut request = json!({"model": "m", "max_tokens": most, "messages": messages,
            "temperature": f64::from(temperature) / 100.0});
        if let Some(system) = &system {
            request["system"] = json!(system);
        }
        let (openai, anthropic) = (deployment("openai"), deployment("anthropic"));
        let there = sent(&request, &order(&openai, Operation::Messages, "m")).unwrap();
        let mut back = sent(&there, &order(&anthropic, Operation::Chat, "m")).unwrap();
        // Tools that only the history calls are declared, and not offered.
        if let Some(tools) = back.as_object_mut().unwrap().remove("tools") {
            prop_assert!(tools.as_array().is_some_and(|tools| !tools.is_empty()));
            prop_assert_eq!(&back.as_object_mut().unwrap().remove("tool_choice").unwrap(), &json!({"type": "none"}));
        }
        prop_assert_eq!(listed(back), listed(request));
    }

    /// The client gets the same output wherever the bytes are cut.
    #[test]
    fn translated_streams_do_not_depend_on_the_cuts(
        which in 0usize..5,
        cuts in proptest::collection::vec(0usize..2_500, 0..9),
    ) {
        let files = ["stream-text", "stream-tools", "stream-thinking", "stream-error"];
        let (conversion, text) = match files.get(which) {
            Some(name) => (CHAT_AT_ANTHROPIC, testdata(&format!("anthropic/{name}.sse"))),
            None => (MESSAGES_AT_OPENAI, testdata("openai/stream-tools.sse")),
        };
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (one, expected) = streamed(conversion, &text, &[]);
        let (many, out) = streamed(conversion, &text, &cuts);
        prop_assert_eq!(out, expected);
        prop_assert_eq!(one.usage(), many.usage());
    }

    /// No bytes of an upstream make the gateway panic, whatever format was expected.
    #[test]
    fn any_answer_is_judged_and_any_event_is_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
        text in "(\\{\"(type|choices|content|delta|index|error|usage)\":(\\[|\\{|\"message_start\"|1|null|\\]|\\}|,){0,6}){0,4}",
    ) {
        for conversion in [CHAT_AT_ANTHROPIC, MESSAGES_AT_OPENAI, MESSAGES_AT_ANTHROPIC] {
            for body in [&bytes[..], text.as_bytes()] {
                let _judged = answer::check(conversion, &Bytes::copy_from_slice(body), &view());
            }
            // An event that cannot be passed on breaks only the stream.
            let mut reader = Reader::new(conversion, view());
            let event = Bytes::from(format!("data: {text}\n\n"));
            let _broken = reader.push(event, &mut Vec::new());
        }
    }
}

/// The request with every content as a list of blocks: a single text may be written either way.
fn listed(mut request: Value) -> Value {
    let as_list = |content: &mut Value| {
        if let Value::String(text) = content {
            *content = json!([{"type": "text", "text": text}]);
        }
    };
    request.as_object_mut().unwrap().sort_keys();
    for message in request["messages"].as_array_mut().unwrap() {
        as_list(&mut message["content"]);
    }
    request
}
