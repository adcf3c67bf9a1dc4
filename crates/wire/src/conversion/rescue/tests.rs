use bytes::Bytes;
use hale_core::operation::Operation;
use serde_json::{Value, json};

use super::*;
use crate::conversion::prepare::Conversion;
use crate::conversion::stream::{Broken as Failure, Reader};
use crate::fixture::{data, deployment, order, sent, view};

const ANSWER: &str = "The quick brown fox jumps over the lazy dog and runs away from it all.";
/// What the client of each test has got: it is cut behind `over`.
const SAID: &str = "The quick brown fox jumps over the lazy dog and runs";

fn chat(id: &str, pieces: &[&str]) -> String {
    let chunk = |delta: Value| {
        let chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": 5, "model": "up",
            "choices": [{"index": 0, "delta": delta, "finish_reason": null}],
        });
        format!("data: {chunk}\n\n")
    };
    let role = chunk(json!({"role": "assistant", "content": ""}));
    role + &pieces.iter().map(|piece| chunk(json!({"content": piece}))).collect::<String>()
}

fn chat_end(id: &str) -> String {
    let end = json!({"id": id, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let usage =
        json!({"id": id, "choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 9}});
    format!("data: {end}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn event(payload: &Value) -> String {
    format!("event: {}\ndata: {payload}\n\n", payload["type"].as_str().unwrap())
}

fn claude(id: &str, pieces: &[&str]) -> String {
    let start = json!({"type": "message_start", "message": {
        "id": id, "type": "message", "role": "assistant", "model": "up", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 20, "output_tokens": 1}}});
    let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let piece = |text: &&str| {
        event(
            &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
        )
    };
    event(&start) + &event(&block) + &pieces.iter().map(piece).collect::<String>()
}

fn claude_end() -> String {
    event(&json!({"type": "content_block_stop", "index": 0}))
        + &event(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        )
        + &event(&json!({"type": "message_stop"}))
}

fn response(id: &str, pieces: &[&str]) -> String {
    let object = json!({"id": id, "object": "response", "created_at": 5, "status": "in_progress", "model": "up",
        "output": [], "usage": null, "instructions": "be brief"});
    let item = json!({"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let mut events = vec![
        json!({"type": "response.created", "response": object}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
        json!({"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0, "content_index": 0,
            "part": {"type": "output_text", "text": "", "annotations": []}}),
    ];
    events.extend(pieces.iter().map(|piece| {
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": piece})
    }));
    let numbered = events.iter_mut().enumerate().map(|(number, one)| {
        one["sequence_number"] = number.into();
        event(one)
    });
    numbered.collect()
}

/// What the client of `operation` has got of an answer on `wire`.
fn kept(operation: Operation, wire: WireFormat, upstream: &str) -> (Kept, String) {
    let mut reader = Reader::new(Conversion { operation, wire }, view());
    let (mut kept, mut out) = (Kept::default(), Vec::new());
    reader.push(Bytes::copy_from_slice(upstream.as_bytes()), &mut out).unwrap();
    kept.push(&out, usize::MAX);
    (kept, String::from_utf8(out).unwrap())
}

fn broken(operation: Operation, wire: WireFormat, upstream: &str) -> Result<(Broken, String), No> {
    let (kept, got) = kept(operation, wire, upstream);
    let earlier = Usage { input: 100, output: 10, ..Usage::default() };
    let mut broken = Broken::read(operation.format(), kept, RescueMode::Text)?;
    broken.charged(earlier);
    Ok((broken, got))
}

/// What the client gets of the other answer.
fn goes_on(broken: &Broken, conversion: Conversion, upstream: &str) -> Result<String, Failure> {
    let mut reader = Reader::behind(broken, Echo::Never, (conversion, view())).unwrap();
    let mut out = Vec::new();
    for piece in upstream.as_bytes().chunks(7) {
        reader.push(Bytes::copy_from_slice(piece), &mut out)?;
        assert_eq!(reader.has_content(), !out.is_empty() || reader.has_content());
    }
    reader.finish(&mut out).unwrap();
    assert!(reader.is_complete());
    // Google's streams have no event of their end.
    reader.close(&mut out);
    assert_eq!(reader.usage().unwrap().output, 9, "the tokens of each are counted apart");
    Ok(String::from_utf8(out).unwrap())
}

/// The text of a client's stream.
fn text(operation: Operation, got: &str) -> String {
    let mut all = String::new();
    for event in data(got) {
        let piece = match operation {
            Operation::Chat => &event["choices"][0]["delta"]["content"],
            Operation::Messages => &event["delta"]["text"],
            Operation::GenerateContent => &event["candidates"][0]["content"]["parts"][0]["text"],
            _ if event["type"] == "response.output_text.delta" => &event["delta"],
            _ => &Value::Null,
        };
        all.push_str(piece.as_str().unwrap_or_default());
    }
    all
}

const OPERATIONS: [Operation; 4] =
    [Operation::Chat, Operation::Messages, Operation::Responses, Operation::GenerateContent];

fn google(id: &str, pieces: &[&str]) -> String {
    let chunk = |piece: &&str| {
        let chunk = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": piece}]}, "index": 0}],
            "usageMetadata": {"promptTokenCount": 30, "totalTokenCount": 30}, "modelVersion": "up", "responseId": id});
        format!("data: {chunk}\r\n\r\n")
    };
    pieces.iter().map(chunk).collect()
}

fn google_end(id: &str) -> String {
    let end = json!({"candidates": [{"content": {"role": "model"}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 9, "totalTokenCount": 39}, "responseId": id});
    format!("data: {end}\r\n\r\n")
}

fn upstream(wire: WireFormat, pieces: &[&str]) -> String {
    match wire {
        WireFormat::Anthropic => claude("first", pieces),
        WireFormat::Responses => response("first", pieces),
        WireFormat::Gemini => google("first", pieces),
        _ => chat("first", pieces),
    }
}

#[test]
fn an_answer_goes_on_in_every_format_behind_every_other() {
    let pieces = [&SAID[..10], &SAID[10..33], &SAID[33..]];
    for operation in OPERATIONS {
        for first in
            [WireFormat::OpenAi, WireFormat::Anthropic, WireFormat::Responses, WireFormat::Gemini]
        {
            for second in [WireFormat::OpenAi, WireFormat::Anthropic, WireFormat::Gemini] {
                let (broken, got) = broken(operation, first, &upstream(first, &pieces)).unwrap();
                assert_eq!(broken.cut().prefix(), "The quick brown fox jumps over the");
                let held = [" lazy", " dog and runs a", "way from it all."];
                let whole = match second {
                    WireFormat::Anthropic => claude("second", &held) + &claude_end(),
                    WireFormat::Gemini => google("second", &held) + &google_end("second"),
                    _ => chat("second", &held) + &chat_end("second"),
                };
                let more =
                    goes_on(&broken, Conversion { operation, wire: second }, &whole).unwrap();
                let name = format!("{operation:?} {first:?} {second:?}: {got}{more}");
                assert_eq!(text(operation, &(got.clone() + &more)), ANSWER, "{name}");
                assert!(!more.contains("second") && !more.contains("message_start"), "{name}");
                check_end(operation, &got, &more);
            }
        }
    }
}

/// Ids, numbers and places go on, and the counts are of both.
fn check_end(operation: Operation, got: &str, more: &str) {
    let (before, after) = (data(got), data(more));
    let last = after.last().unwrap();
    match operation {
        Operation::Chat => {
            for chunk in &after {
                for name in ["id", "object", "created", "model"] {
                    assert_eq!(chunk[name], before[0][name], "{more}");
                }
            }
            assert_eq!(last["usage"]["completion_tokens"], 19);
            assert!(more.ends_with("data: [DONE]\n\n"));
        }
        Operation::Messages => {
            assert_eq!(after[0]["index"], before.last().unwrap()["index"]);
            let end = &after[after.len() - 2];
            assert_eq!(
                (&end["delta"]["stop_reason"], &end["usage"]["output_tokens"]),
                (&json!("end_turn"), &json!(19))
            );
        }
        Operation::GenerateContent => {
            for chunk in &after {
                for name in ["responseId", "modelVersion"] {
                    assert_eq!(chunk[name], before[0][name], "{more}");
                }
            }
            let ends = after.iter().filter(|one| one["candidates"][0]["finishReason"] == "STOP");
            assert_eq!(
                (ends.count(), &last["usageMetadata"]["candidatesTokenCount"]),
                (1, &json!(19))
            );
        }
        _ => {
            let all: Vec<u64> = before
                .iter()
                .chain(&after)
                .map(|one| one["sequence_number"].as_u64().unwrap())
                .collect();
            assert_eq!(all, (0..all.len() as u64).collect::<Vec<_>>());
            let whole = &last["response"];
            assert_eq!(
                (&last["type"], &whole["status"]),
                (&json!("response.completed"), &json!("completed"))
            );
            assert_eq!(whole["id"], before[0]["response"]["id"]);
            assert_eq!(
                whole["output"][0]["id"],
                before.iter().find(|one| one["type"] == "response.output_item.added").unwrap()["item"]
                    ["id"]
            );
            assert_eq!(whole["output"][0]["content"][0]["text"], ANSWER);
            assert_eq!(whole["usage"]["output_tokens"], 19);
            assert_eq!(whole["instructions"], before[0]["response"]["instructions"]);
        }
    }
}

#[test]
fn another_answer_is_refused_and_nothing_of_it_is_written() {
    let (broken, _) = broken(Operation::Chat, WireFormat::OpenAi, &chat("first", &[SAID])).unwrap();
    let conversion = Conversion { operation: Operation::Chat, wire: WireFormat::OpenAi };
    let held = broken.cut().held().to_owned();
    let others = [
        format!(" {held}"),
        held.trim_start().to_owned(),
        held.replace("lazy", "sleepy"),
        SAID.to_owned(),
        held.to_uppercase(),
        held[..held.len() - 1].to_owned(),
    ];
    for other in others {
        let whole = chat("second", &[&other]) + &chat_end("second");
        let mut reader = Reader::behind(&broken, Echo::Never, (conversion, view())).unwrap();
        let mut out = Vec::new();
        let pushed = reader.push(Bytes::from(whole), &mut out);
        assert_eq!((pushed, out), (Err(Failure::Differs), Vec::new()), "{other}");
        assert!(!reader.has_content());
    }
}

#[test]
fn what_is_thought_before_it_goes_on_is_left_out_and_a_call_behind_it_stays() {
    let (broken, got) =
        broken(Operation::Messages, WireFormat::Anthropic, &claude("first", &[SAID])).unwrap();
    let held = broken.cut().held().to_owned();
    let thought = event(
        &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "hm", "signature": ""}}),
    );
    let block = json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": held}});
    let call = json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}});
    let whole =
        claude("second", &[]).split("event: content_block_start").next().unwrap().to_owned()
            + &thought
            + &event(&block)
            + &event(&call)
            + &event(&json!({"type": "content_block_stop", "index": 2}))
            + &claude_end();
    let more = goes_on(
        &broken,
        Conversion { operation: Operation::Messages, wire: WireFormat::Anthropic },
        &whole,
    )
    .unwrap();
    assert!(!more.contains("hm") && more.contains("\"tool_use\""), "{more}");
    assert_eq!(text(Operation::Messages, &(got + &more)), SAID);
    assert!(more.starts_with("event: content_block_stop"), "{more}");
}

#[test]
fn what_is_no_plain_text_says_why() {
    let chunk = |delta: Value| {
        format!("data: {}\n\n", json!({"id": "c", "choices": [{"index": 0, "delta": delta}]}))
    };
    let text = chunk(json!({"content": SAID}));
    let half =
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ud83d\"}}]}\n\n"
            .to_owned();
    for (more, why) in [
        (
            chunk(
                json!({"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}]}),
            ),
            No::ToolCall,
        ),
        (chunk(json!({"reasoning_content": "hm"})), No::Reasoning),
        (chunk(json!({"audio": {"data": "AA"}})), No::NotText),
        (chunk(json!({"refusal": "no"})), No::NotText),
        (half, No::BetweenParts),
    ] {
        let upstream = format!("{text}{more}");
        let refused = broken(Operation::Chat, WireFormat::OpenAi, &upstream).err();
        assert_eq!(refused, Some(why), "{more}");
    }
    let search = json!({"type": "content_block_start", "index": 1, "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}});
    let refused = broken(
        Operation::Messages,
        WireFormat::Anthropic,
        &(claude("a", &[SAID]) + &event(&search)),
    );
    assert_eq!(refused.err(), Some(No::NotText));
    let done = json!({"type": "response.output_text.done", "sequence_number": 9, "output_index": 0, "text": SAID});
    let refused = broken(
        Operation::Responses,
        WireFormat::Responses,
        &(response("r", &[SAID]) + &event(&done)),
    );
    assert_eq!(refused.err(), Some(No::BetweenParts));
}

#[test]
fn fields_that_ask_for_more_than_text_say_why_ahead() {
    use crate::bytes::peek::Peek;
    let refused = |operation, body: Value| {
        refuses(&Peek::parse(Bytes::from(body.to_string())).unwrap(), operation)
    };
    let schema = json!({"type": "json_schema", "json_schema": {}});
    for (operation, body, why) in [
        (Operation::Chat, json!({"response_format": {"type": "json_object"}}), Some(No::Schema)),
        (
            Operation::Chat,
            json!({"response_format": {"type": "text"}, "n": 1, "logprobs": false}),
            None,
        ),
        (Operation::Chat, json!({"n": 2}), Some(No::N)),
        (Operation::Chat, json!({"logprobs": true}), Some(No::Logprobs)),
        (Operation::Chat, json!({"audio": {"voice": "a"}}), Some(No::NotText)),
        (Operation::Messages, json!({"output_config": {"format": schema}}), Some(No::Schema)),
        (Operation::Messages, json!({"output_format": schema}), Some(No::Schema)),
        (Operation::Messages, json!({"max_tokens": 1}), None),
        (Operation::Responses, json!({"text": {"format": schema}}), Some(No::Schema)),
        (
            Operation::Responses,
            json!({"include": ["message.output_text.logprobs"]}),
            Some(No::Logprobs),
        ),
        (Operation::Responses, json!({"background": true}), Some(No::NotText)),
        (Operation::Responses, json!({"input": "hi"}), None),
    ] {
        assert_eq!(refused(operation, body.clone()), why, "{body}");
    }
}

/// What is sent to `provider` for a request that goes on from `so far`.
fn prefixed(provider: &str, operation: Operation, body: &Value) -> Value {
    let deployment = deployment(provider);
    let order = crate::formats::order::Order {
        prefix: Some("so far"),
        ..order(&deployment, operation, "up")
    };
    sent(body, &order).unwrap()
}

#[test]
fn every_format_tells_the_model_what_it_said() {
    let user = json!({"role": "user", "content": "hi"});
    let said = json!({"role": "assistant", "content": "so far"});
    let chat =
        json!({"model": "m", "messages": [user], "stream": true, "reasoning_effort": "high"});
    let message = json!({"model": "m", "max_tokens": 9, "messages": [user], "stream": true,
        "thinking": {"type": "enabled", "budget_tokens": 1024}});
    let response =
        json!({"model": "m", "input": "hi", "stream": true, "reasoning": {"effort": "high"}});
    let plain = prefixed("openai", Operation::Chat, &chat);
    assert_eq!(plain["messages"], json!([user, said]));
    assert!(plain.get("reasoning_effort").is_none());
    let native = prefixed("anthropic", Operation::Messages, &message);
    assert_eq!(native["messages"], json!([user, said]));
    assert!(native.get("thinking").is_none());
    for (operation, body) in [(Operation::Chat, &chat), (Operation::Responses, &response)] {
        let claude = prefixed("anthropic", operation, body);
        let last = claude["messages"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last["role"], "assistant", "{claude}");
        assert!(last["content"] == "so far" || last["content"][0]["text"] == "so far", "{claude}");
        assert!(claude.get("thinking").is_none(), "{claude}");
    }
    let google = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 2048}, "topP": 0.5}});
    let own = prefixed("gemini", Operation::GenerateContent, &google);
    assert_eq!(own["contents"][1], json!({"role": "model", "parts": [{"text": "so far"}]}));
    assert_eq!(own["generationConfig"], json!({"topP": 0.5}));
    let claude = prefixed("anthropic", Operation::GenerateContent, &google);
    assert_eq!(claude["messages"][1]["role"], "assistant", "{claude}");
    assert!(claude.get("thinking").is_none(), "{claude}");
    let bodies = [
        (Operation::Chat, &chat),
        (Operation::Messages, &message),
        (Operation::Responses, &response),
        (Operation::GenerateContent, &google),
    ];
    for (operation, body) in bodies {
        for provider in ["mistral", "deepseek"] {
            let marked = prefixed(provider, operation, body);
            let last = marked["messages"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last["prefix"], true, "{provider} {marked}");
            assert_eq!(last["content"], "so far");
        }
        // Its own form of responses has no such fields.
        if operation != Operation::Responses {
            let vllm = prefixed("hosted_vllm", operation, body);
            assert_eq!(vllm["continue_final_message"], true, "{vllm}");
            assert_eq!(vllm["add_generation_prompt"], false, "{vllm}");
        }
    }
}

#[test]
fn words_of_the_model_at_the_end_of_a_conversation_are_not_joined_with_others() {
    let deployment = deployment("openai");
    let order = crate::formats::order::Order {
        prefix: Some("so far"),
        ..order(&deployment, Operation::Chat, "up")
    };
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "{"}]});
    assert!(sent(&body, &order).unwrap_err().message.contains("ends with words of the model"));
}

/// What became of an answer that was cut at byte `at` of the upstream's stream, and of a model that goes on as `how` says.
fn cut_at(
    operation: Operation,
    wire: WireFormat,
    (stream, at): (&str, usize),
    how: usize,
) -> Option<(String, String)> {
    let mut reader = Reader::new(Conversion { operation, wire }, view());
    let (mut kept, mut out) = (Kept::default(), Vec::new());
    for piece in stream.as_bytes()[..at].chunks(1 + at % 57) {
        reader.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    kept.push(&out, usize::MAX);
    let got = text(operation, &String::from_utf8(out).unwrap());
    let broken = Broken::read(operation.format(), kept, RescueMode::Text).ok()?;
    let prefix = broken.cut().prefix().len();
    let on = &LONG[prefix..];
    let says = match how {
        0 => on.to_owned(),
        1 => format!(" {on}"),
        2 => LONG.to_owned(),
        _ => on.replacen(|c: char| c.is_ascii_lowercase(), "Q", 1),
    };
    let pieces: Vec<String> = says
        .chars()
        .collect::<Vec<_>>()
        .chunks(1 + at % 5)
        .map(|piece| piece.iter().collect())
        .collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let whole = chat("second", &pieces) + &chat_end("second");
    let conversion = Conversion { operation, wire: WireFormat::OpenAi };
    let mut other = Reader::behind(&broken, Echo::Never, (conversion, view())).unwrap();
    let mut more = Vec::new();
    let joined = other.push(Bytes::from(whole), &mut more).is_ok();
    assert_eq!(joined, other.has_content());
    assert!(joined || more.is_empty());
    Some((
        got,
        if joined { text(operation, &String::from_utf8(more).unwrap()) } else { String::new() },
    ))
}

const LONG: &str = "Ströme brechen manchmal ab 🙂; then another deployment goes on, 続けて, with exactly the words that were held back. \
                    Not one of them is said twice, and none is lost: that is what this text, which is cut at every byte, has to show.";

#[test]
fn a_stream_that_is_cut_anywhere_is_continued_exactly_or_not_at_all() {
    let pieces: Vec<String> =
        LONG.chars().collect::<Vec<_>>().chunks(9).map(|piece| piece.iter().collect()).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let mut continued = 0;
    for operation in OPERATIONS {
        for wire in [WireFormat::OpenAi, WireFormat::Anthropic, WireFormat::Responses] {
            let stream = upstream(wire, &pieces);
            for at in (0..stream.len()).step_by(211) {
                for how in 0..4 {
                    let Some((got, more)) = cut_at(operation, wire, (&stream, at), how) else {
                        continue;
                    };
                    let name = format!("{operation:?} {wire:?} {at} {how}");
                    assert!(LONG.starts_with(&got), "{name}");
                    match more.is_empty() && got != LONG {
                        true => assert_ne!(how, 0, "{name}: it goes on, and is refused"),
                        false => assert_eq!(format!("{got}{more}"), LONG, "{name}"),
                    }
                    continued += usize::from(!more.is_empty());
                }
            }
        }
    }
    assert!(continued > 50, "{continued}");
}
