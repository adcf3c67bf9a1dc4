//! Conversations of responses, as chats and back.

use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bytes::peek::Peek;
use crate::conversion::answer;
use crate::conversion::prepare::Conversion;
use crate::fixture::{deployment, order, sent, view};

/// What the model is asked, says, calls and gets in one step of a conversation.
#[derive(Clone, Debug)]
struct Step {
    asked: String,
    said: Option<String>,
    /// The inputs of its calls, and their results.
    calls: Vec<(i64, String)>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let word = "[a-z\"\\\\\u{e9}\u{1f600}\n]{1,12}x";
    let calls = proptest::collection::vec((any::<i64>(), word), 0..3);
    let step = (word, proptest::option::of(word), calls).prop_map(|(asked, said, calls)| Step {
        asked,
        said,
        calls,
    });
    proptest::collection::vec(step, 1..4)
}

/// The items of a conversation as a client of responses writes them.
fn items(steps: &[Step]) -> Vec<Value> {
    let mut items = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        items.push(json!({"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": step.asked}]}));
        if let Some(said) = &step.said {
            items.push(json!({"type": "message", "role": "assistant",
                "content": [{"type": "output_text", "text": said, "annotations": []}]}));
        }
        let id = |nth: usize| format!("call_{at}_{nth}");
        for (nth, (input, _)) in step.calls.iter().enumerate() {
            items.push(json!({"type": "function_call", "call_id": id(nth), "name": "f",
                "arguments": json!({"a": input}).to_string()}));
        }
        for (nth, (_, result)) in step.calls.iter().enumerate() {
            items.push(
                json!({"type": "function_call_output", "call_id": id(nth), "output": result}),
            );
        }
    }
    items.push(json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "end"}]}));
    items
}

/// The texts, calls and results in a request for a response, in order.
fn said(items: &Value) -> Vec<String> {
    let parts = |content: &Value| match content {
        Value::String(text) => text.clone(),
        other => other
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|part| part["text"].as_str())
            .collect(),
    };
    let one = |item: &Value| match item["type"].as_str() {
        Some("function_call") => {
            format!("call {} {} {}", item["call_id"], item["name"], item["arguments"])
        }
        Some("function_call_output") => {
            format!("result {} {}", item["call_id"], parts(&item["output"]))
        }
        _ => format!("{} {}", item["role"], parts(&item["content"])),
    };
    items.as_array().unwrap().iter().map(one).collect()
}

proptest! {
    #[test]
    fn a_conversation_is_the_same_after_it_was_a_chat(steps in steps()) {
        let given = json!({"model": "m", "input": items(&steps),
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]});
        let chats = deployment("deepseek");
        let chat = sent(&given, &order(&chats, Operation::Responses, "up")).unwrap();
        let mut responses = deployment("openai");
        responses.endpoint.is_for_responses = true;
        let back = sent(&chat, &order(&responses, Operation::Chat, "up")).unwrap();
        // Neighbours of one author are one message of a chat.
        let joined = |items: &Value| said(items).concat().replace("\"user\" ", "");
        prop_assert_eq!(joined(&back["input"]), joined(&given["input"]), "{}", chat);
        prop_assert_eq!(&back["tools"][0]["name"], "f");
    }

    #[test]
    fn an_answer_is_the_same_after_it_was_one_of_a_chat(text in "[a-z\"\\\\\u{1f600}]{1,20}", call in any::<bool>()) {
        let mut message = json!({"role": "assistant", "content": text});
        if call {
            message["tool_calls"] = json!([{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]);
        }
        let finish = if call { "tool_calls" } else { "stop" };
        let chat = json!({"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}});
        let checked = |operation, wire, body: &Value| -> Value {
            let body = bytes::Bytes::from(body.to_string());
            let answer = answer::check(Conversion { operation, wire }, &body, &view()).unwrap();
            assert!(Peek::parse(answer.body.clone()).is_ok());
            serde_json::from_slice(&answer.body).unwrap()
        };
        let response = checked(Operation::Responses, WireFormat::OpenAi, &chat);
        let back = checked(Operation::Chat, WireFormat::Responses, &response);
        let (given, got) = (&chat["choices"][0], &back["choices"][0]);
        prop_assert_eq!(&got["message"]["content"], &given["message"]["content"]);
        let calls = |one: &Value| one["message"]["tool_calls"][0]["function"].clone();
        prop_assert_eq!(calls(got), calls(given));
        prop_assert_eq!(&got["finish_reason"], &given["finish_reason"]);
        prop_assert_eq!(&back["usage"]["prompt_tokens"], &chat["usage"]["prompt_tokens"]);
    }
}
