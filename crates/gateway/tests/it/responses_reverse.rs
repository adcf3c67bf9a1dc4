//! Clients of chats and of messages in front of a model that has responses alone, as the config says.

use hale_testkit::{FakeUpstream, Request, Script, responses};
use serde_json::{Value, json};

use crate::sessions::{MESSAGES, ask, chat, last, message, served, user, with};
use crate::support::{CHAT, Config, client};

/// What the stream of a healthy upstream says.
const STREAMED: &str = "Hello you";

fn config(upstream: &FakeUpstream) -> Config {
    Config::new().with("m", "a", upstream, json!({"model": "openai/responses/gpt-5-pro"}))
}

fn tools() -> [Value; 2] {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    [
        json!([{"type": "function", "function": {"name": "weather", "parameters": schema}}]),
        json!([{"name": "weather", "input_schema": schema}]),
    ]
}

/// A model that calls a tool if there is one and no result yet.
fn calling() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| {
        let body = request.json();
        if !body["tools"].is_array() || request.text().contains("function_call_output") {
            return responses::answer(request);
        }
        let call = |status: &str, arguments: &str| {
            json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather",
                "arguments": arguments, "status": status})
        };
        let mut whole = responses::response("up", "");
        whole["output"] = json!([call("completed", "{\"city\":\"Rome\"}")]);
        if body["stream"] != true {
            return Script::ok().json(&whole);
        }
        let place = json!({"item_id": "fc_1", "output_index": 0});
        responses::stream(&[
            responses::created("up"),
            json!({"type": "response.output_item.added", "output_index": 0, "item": call("in_progress", "")}),
            with(json!({"type": "response.function_call_arguments.delta", "delta": "{\"city\":\"Rome\"}"}), place.clone()),
            with(json!({"type": "response.function_call_arguments.done", "arguments": "{\"city\":\"Rome\"}"}), place),
            json!({"type": "response.output_item.done", "output_index": 0, "item": whole["output"][0]}),
            json!({"type": "response.completed", "response": whole}),
        ])
        .end()
    })
}

#[test]
fn chats_and_messages_are_asked_as_responses_and_answered_as_what_they_are() {
    let upstream = FakeUpstream::with(responses::answer);
    let hale = config(&upstream).start();
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let more = json!({"max_tokens": 99, "reasoning_effort": "low", "response_format": {"type": "json_object"},
        "messages": [{"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "look"}, image]}]});
    let answer = served(&hale, CHAT, &chat("m", more));
    assert_eq!(answer["choices"][0]["message"]["content"], responses::TEXT);
    assert_eq!((&answer["model"], &answer["usage"]["prompt_tokens"]), (&json!("m"), &json!(9)));
    let sent = last(&upstream);
    assert_eq!(sent.path, "/v1/responses");
    let body = sent.json();
    assert_eq!(
        body["input"][0],
        json!({"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be kind."}]})
    );
    assert_eq!(body["input"][1]["content"][1]["image_url"], "data:image/png;base64,AAAA");
    assert_eq!(
        (&body["max_output_tokens"], &body["reasoning"]),
        (&json!(99), &json!({"effort": "low"}))
    );
    assert_eq!(
        (&body["text"]["format"]["type"], &body["store"]),
        (&json!("json_object"), &json!(false))
    );
    assert_eq!((&body["model"], body.get("messages")), (&json!("gpt-5-pro"), None));
    let mut streaming = client(&hale);
    let mut stream = streaming.stream(CHAT, &[], &chat("m", json!({"stream": true})));
    assert_eq!(stream.content(), STREAMED);
    for streamed in [false, true] {
        let text = if streamed { STREAMED } else { responses::TEXT };
        let answer = message(&hale, &ask("m", json!({"system": "be kind"})), streamed);
        assert_eq!(
            (&answer["content"][0]["text"], &answer["stop_reason"]),
            (&json!(text), &json!("end_turn"))
        );
    }
    let refused = client(&hale).post_json(CHAT, &[], &chat("m", json!({"n": 2})));
    assert_eq!(refused.status, 400, "{}", refused.text());
}

#[test]
fn a_loop_of_tools_goes_on_in_both_formats() {
    let upstream = calling();
    let hale = config(&upstream).start();
    let first =
        served(&hale, CHAT, &chat("m", json!({"tools": tools()[0], "tool_choice": "required"})));
    let choice = &first["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{first}");
    let call = choice["message"]["tool_calls"][0].clone();
    assert_eq!(call["function"], json!({"name": "weather", "arguments": "{\"city\":\"Rome\"}"}));
    assert_eq!(last(&upstream).json()["tool_choice"], "required");
    let messages = json!([user("hi"), {"role": "assistant", "content": "Look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]);
    served(&hale, CHAT, &chat("m", json!({"tools": tools()[0], "messages": messages})));
    let input = last(&upstream).json()["input"].clone();
    assert_eq!(input[1]["content"][0], json!({"type": "output_text", "text": "Look."}));
    assert_eq!(
        (&input[2]["type"], &input[2]["arguments"]),
        (&json!("function_call"), &json!("{\"city\":\"Rome\"}"))
    );
    assert_eq!(
        (&input[3]["type"], &input[3]["call_id"]),
        (&json!("function_call_output"), &input[2]["call_id"])
    );
    for streamed in [false, true] {
        let first = message(&hale, &ask("m", json!({"tools": tools()[1]})), streamed);
        assert_eq!(first["stop_reason"], "tool_use", "{first}");
        let block = first["content"][0].clone();
        assert_eq!(block["input"], json!({"city": "Rome"}));
        let messages = json!([user("hi"), {"role": "assistant", "content": [block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block["id"], "content": "sunny"}]}]);
        let next =
            message(&hale, &ask("m", json!({"tools": tools()[1], "messages": messages})), streamed);
        let text = if streamed { STREAMED } else { responses::TEXT };
        assert_eq!(next["content"][0]["text"], text);
    }
    let count = format!("{MESSAGES}/count_tokens");
    assert_eq!(
        served(&hale, &count, &json!({"model": "m", "messages": [user("hi")]}))["estimated"],
        true
    );
}
