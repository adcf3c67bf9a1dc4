//! Answers of real servers: where their usage is, how they tell calls apart, how they say that they ended.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat::OpenAi;
use serde_json::{Value, json};

use crate::conversion::answer::{self, Fault};
use crate::conversion::prepare::Conversion;
use crate::fixture::{data, streamed, view};

const CHAT: Conversion = Conversion { operation: Operation::Chat, wire: OpenAi };
const MESSAGES: Conversion = Conversion { operation: Operation::Messages, wire: OpenAi };

fn stream(chunks: &[Value]) -> String {
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    events.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

fn chunk(delta: Value) -> Value {
    json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn last(more: &Value) -> Value {
    let mut chunk = chunk(json!({}));
    chunk["choices"][0]["finish_reason"] = json!("stop");
    chunk["choices"][0]
        .as_object_mut()
        .unwrap()
        .extend(more["choice"].as_object().cloned().unwrap_or_default());
    chunk.as_object_mut().unwrap().extend(more["chunk"].as_object().cloned().unwrap_or_default());
    chunk
}

fn answered(conversion: Conversion, given: &Value) -> Result<Value, Fault> {
    answer::check(conversion, &Bytes::from(given.to_string()), &view())
        .map(|answer| serde_json::from_slice(&answer.body).unwrap())
}

/// The blocks of a stream to a client of messages: the start of each, and its text.
fn blocks(out: &str) -> Vec<(Value, String)> {
    let mut all: Vec<(Value, String)> = Vec::new();
    for event in data(out) {
        match event["type"].as_str() {
            Some("content_block_start") => {
                all.push((event["content_block"].clone(), String::new()))
            }
            Some("content_block_delta") => {
                let delta = event["delta"].as_object().unwrap();
                let texts = ["text", "partial_json", "thinking"];
                let text = texts.iter().find_map(|name| delta.get(*name)?.as_str()).unwrap_or("");
                all.last_mut().unwrap().1.push_str(text);
            }
            _ => {}
        }
    }
    all
}

#[test]
fn the_usage_of_a_stream_counts_wherever_a_server_writes_it() {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
    let fraction = json!({"prompt_tokens": 7.0, "completion_tokens": 3.0});
    for place in [
        json!({"chunk": {"usage": usage}}),
        json!({"choice": {"usage": usage}}),
        json!({"chunk": {"x_groq": {"id": "r", "usage": usage}}}),
        json!({"chunk": {"usage": fraction}}),
        json!({"choice": {"usage": fraction}}),
        json!({"chunk": {"usage": usage, "x_groq": {"usage": {"prompt_tokens": 1}}}}),
    ] {
        let text = stream(&[chunk(json!({"content": "hi"})), last(&place)]);
        for conversion in [MESSAGES, CHAT] {
            let (reader, out) = streamed(conversion, &text, &[]);
            let counted = reader.usage().map(|usage| (usage.input, usage.output));
            assert_eq!(counted, Some((7, 3)), "{place} {out}");
        }
    }
    let text = stream(&[chunk(json!({"content": "hi"})), last(&json!({}))]);
    assert_eq!(streamed(CHAT, &text, &[]).0.usage(), None);
}

#[test]
fn calls_without_ids_and_places_are_told_apart_by_their_names() {
    let call = |name: Value, arguments: Value| {
        chunk(json!({"tool_calls": [{"function": {"name": name, "arguments": arguments}}]}))
    };
    for (chunks, expected) in [
        (
            vec![call(json!("f"), json!("{\"a\":1}")), call(json!("f"), json!("{\"a\":2}"))],
            vec!["{\"a\":1}", "{\"a\":2}"],
        ),
        (
            vec![call(json!("f"), json!({"a": 1})), call(json!("g"), json!({"a": 2}))],
            vec!["{\"a\":1}", "{\"a\":2}"],
        ),
        (
            vec![
                call(json!("f"), json!("")),
                call(Value::Null, json!("{\"a\"")),
                call(Value::Null, json!(":1}")),
                call(json!("f"), json!("")),
                call(Value::Null, json!("{}")),
            ],
            vec!["{\"a\":1}", "{}"],
        ),
        // A server that repeats the name goes on with the same call.
        (
            vec![call(json!("f"), json!("{\"a\"")), call(json!("f"), json!(":1}"))],
            vec!["{\"a\":1}"],
        ),
    ] {
        let text = stream(&[&chunks[..], &[last(&json!({}))]].concat());
        let out = streamed(MESSAGES, &text, &[]).1;
        let calls = blocks(&out);
        let inputs: Vec<&str> = calls.iter().map(|(_, input)| &**input).collect();
        assert_eq!(inputs, expected, "{out}");
        let mut ids: Vec<&Value> = calls.iter().map(|(start, _)| &start["id"]).collect();
        ids.dedup();
        assert_eq!(ids.len(), expected.len(), "{out}");
    }
}

#[test]
fn white_space_before_a_call_makes_no_block() {
    let call = json!({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}]});
    let kinds = |chunks: &[Value]| {
        let out = streamed(MESSAGES, &stream(chunks), &[]).1;
        let all = blocks(&out).into_iter();
        all.map(|(start, text)| (start["type"].as_str().unwrap().to_owned(), text))
            .collect::<Vec<_>>()
    };
    let say = |text: &str| chunk(json!({"content": text}));
    let think = |text: &str| chunk(json!({"reasoning_content": text}));
    let is = |kind: &str, text: &str| (kind.to_owned(), text.to_owned());
    let end = || last(&json!({}));
    assert_eq!(
        kinds(&[think("hm"), say("\n"), say("\n"), chunk(call.clone()), end()]),
        [is("thinking", "hm"), is("tool_use", "{}")]
    );
    assert_eq!(
        kinds(&[
            think("hm"),
            say("\n\n"),
            say("yes "),
            say("\n"),
            chunk(call.clone()),
            say(" "),
            end()
        ]),
        [is("thinking", "hm"), is("text", "\n\nyes \n"), is("tool_use", "{}")]
    );
    assert_eq!(kinds(&[say(" "), end()]), [is("text", " ")]);
    let whole = |message: Value| {
        let given = json!({"id": "c", "choices": [{"message": message, "finish_reason": "stop"}]});
        let answer = answered(MESSAGES, &given).unwrap();
        let kinds = answer["content"].as_array().unwrap().iter().map(|block| block["type"].clone());
        kinds.collect::<Vec<_>>()
    };
    let message =
        json!({"reasoning_content": "hm", "content": "\n\n", "tool_calls": call["tool_calls"]});
    assert_eq!(whole(message), ["thinking", "tool_use"]);
    assert_eq!(whole(json!({"content": " "})), ["text"]);
}

#[test]
fn the_words_for_an_end_are_known_in_capitals_too() {
    for (word, expected) in [
        ("STOP", "end_turn"),
        ("eos_token", "end_turn"),
        ("EOS", "end_turn"),
        ("MAX_TOKENS", "max_tokens"),
        ("Length", "max_tokens"),
        ("SAFETY", "refusal"),
        ("stop_sequence", "stop_sequence"),
        ("Other_Word", "Other_Word"),
    ] {
        let given =
            json!({"id": "c", "choices": [{"message": {"content": "x"}, "finish_reason": word}]});
        assert_eq!(answered(MESSAGES, &given).unwrap()["stop_reason"], expected);
        let text = stream(&[
            chunk(json!({"content": "x"})),
            last(&json!({"choice": {"finish_reason": word}})),
        ]);
        assert!(
            streamed(MESSAGES, &text, &[]).1.contains(&format!("\"stop_reason\":\"{expected}\""))
        );
    }
    let failed =
        json!({"id": "c", "choices": [{"message": {"content": "x"}, "finish_reason": "ERROR"}]});
    assert!(answered(MESSAGES, &failed).is_err());
}

#[test]
fn a_whole_answer_that_broke_off_is_a_failure() {
    let error = json!({"code": 502, "message": "Provider disconnected", "metadata": {"raw": "x".repeat(600)}});
    let message = json!({"role": "assistant", "content": "a part of it, with \"error\""});
    for choice in [
        json!({"index": 0, "message": message, "finish_reason": "error", "error": error}),
        json!({"error": error, "finish_reason": "error", "index": 0, "message": message}),
        json!({"index": 0, "message": message, "error": {"message": "Provider disconnected"}, "finish_reason": "error"}),
    ] {
        let given =
            json!({"id": "c", "model": "up", "choices": [choice], "usage": {"prompt_tokens": 3}});
        for conversion in [CHAT, MESSAGES] {
            match answered(conversion, &given) {
                Err(Fault::Error(error)) => assert_eq!(error.message, "Provider disconnected"),
                other => panic!("{other:?}"),
            }
        }
    }
    for (reason, more) in [
        ("stop", Value::Null),
        ("length", json!({"error": null})),
        ("tool_calls", json!({"x": {"error": 1}})),
    ] {
        let mut choice = json!({"index": 0, "message": message, "finish_reason": reason});
        choice.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let given = json!({"id": "c", "model": "up", "choices": [choice]});
        assert_eq!(answered(CHAT, &given).unwrap()["choices"][0]["finish_reason"], reason);
    }
}
