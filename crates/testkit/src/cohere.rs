//! Bodies in Cohere's own format, and the answer of a healthy upstream that refuses what Cohere refuses.
//!
//! Used by tests with `FakeUpstream::with(cohere::answer)` and to build their own answers.
//! Always true: the builders give what Cohere would send.

use serde_json::{Value, json};

use crate::{Request, Script};

/// The key that the upstream takes.
pub const KEY: &str = "co-test";
/// The text of a default answer.
pub const TEXT: &str = "Hello from the fake Cohere.";
/// The plan before a call.
pub const PLAN: &str = "I will look it up.";

/// The members of a request for a chat.
const MEMBERS: [&str; 20] = [
    "citation_options",
    "documents",
    "frequency_penalty",
    "k",
    "logprobs",
    "max_tokens",
    "messages",
    "model",
    "p",
    "presence_penalty",
    "priority",
    "response_format",
    "safety_mode",
    "seed",
    "stop_sequences",
    "stream",
    "strict_tools",
    "temperature",
    "thinking",
    "tool_choice",
];

/// Cohere's error.
pub fn refusal(status: u16, message: &str) -> Script {
    Script::with_status(status).json(&json!({"id": "e-1", "message": message}))
}

/// 9 tokens of input, 2 of them from the cache; 7 of output. Fewer are billed.
pub fn usage() -> Value {
    json!({"billed_units": {"input_tokens": 3.0, "output_tokens": 7.0},
        "tokens": {"input_tokens": 9.0, "output_tokens": 7.0}, "cached_tokens": 2.0})
}

/// An answer with that message that ended for that reason.
pub fn chat(message: Value, finish: &str) -> Value {
    json!({"id": "c-1", "message": message, "finish_reason": finish, "usage": usage()})
}

/// A message that says so.
pub fn said(text: &str) -> Value {
    json!({"role": "assistant", "content": [{"type": "text", "text": text}]})
}

/// A message that calls the first tool.
pub fn call() -> Value {
    json!({"role": "assistant", "tool_plan": PLAN, "tool_calls": [
        {"id": "weather_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Rome\"}"}}]})
}

/// The document that a citation names.
pub fn citation() -> Value {
    json!({"start": 0, "end": 5, "text": "Hello", "type": "TEXT_CONTENT", "content_index": 0,
        "sources": [{"type": "document", "id": "doc:0", "document": {"id": "doc:0", "title": "Greetings", "snippet": "..."}}]})
}

fn event(kind: &str, index: Option<u64>, message: Value) -> Value {
    let mut event = json!({"type": kind, "delta": {"message": message}});
    if let Some(index) = index {
        event["index"] = json!(index);
    }
    event
}

/// The events of an answer with that message, a few letters each.
pub fn events(message: &Value, finish: &str) -> Vec<Value> {
    let mut events = vec![json!({"type": "message-start", "id": "c-1",
        "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}})];
    let pieces = |text: &str| -> Vec<String> {
        text.chars().collect::<Vec<_>>().chunks(4).map(|piece| piece.iter().collect()).collect()
    };
    for piece in pieces(message["tool_plan"].as_str().unwrap_or_default()) {
        events.push(event("tool-plan-delta", None, json!({"tool_plan": piece})));
    }
    for (index, content) in message["content"].as_array().into_iter().flatten().enumerate() {
        let index = Some(index as u64);
        let kind = content["type"].as_str().unwrap_or("text");
        let start = json!({"content": {"type": kind, kind: ""}});
        events.push(event("content-start", index, start));
        for piece in pieces(content[kind].as_str().unwrap_or_default()) {
            events.push(event("content-delta", index, json!({"content": {kind: piece}})));
        }
        events.push(json!({"type": "content-end", "index": index}));
    }
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let index = Some(index as u64);
        let mut start = call.clone();
        let given = call["function"]["arguments"].as_str().unwrap_or_default().to_owned();
        start["function"]["arguments"] = json!("");
        events.push(event("tool-call-start", index, json!({"tool_calls": start})));
        for piece in pieces(&given) {
            let piece = json!({"tool_calls": {"function": {"arguments": piece}}});
            events.push(event("tool-call-delta", index, piece));
        }
        events.push(json!({"type": "tool-call-end", "index": index}));
    }
    for (index, one) in message["citations"].as_array().into_iter().flatten().enumerate() {
        let index = Some(index as u64);
        events.push(event("citation-start", index, json!({"citations": one})));
        events.push(json!({"type": "citation-end", "index": index}));
    }
    events
        .push(json!({"type": "message-end", "delta": {"finish_reason": finish, "usage": usage()}}));
    events
}

/// A head and these events with their names, each in its own write; the body ends.
pub fn stream(events: &[Value]) -> Script {
    let script = Script::ok().stream();
    let named = |script: Script, event: &Value| {
        script.named_event(event["type"].as_str().unwrap_or_default(), event)
    };
    events.iter().fold(script, named).end()
}

/// That message, in one piece or as a stream, as the request wants it.
pub fn reply(request: &Request, message: Value, finish: &str) -> Script {
    match request.json()["stream"] == true {
        true => stream(&events(&message, finish)),
        false => Script::ok().json(&chat(message, finish)),
    }
}

/// Why Cohere refuses the messages, if it does.
fn wrong_messages(messages: &[Value]) -> Option<String> {
    let mut open: Vec<String> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if !matches!(role, "system" | "user" | "assistant" | "tool") {
            return Some(format!("invalid request: messages[{at}].role"));
        }
        if role == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|known| known == id) else {
                return Some(format!("tool call id not found in previous tool calls: {id}"));
            };
            open.remove(place);
            continue;
        }
        if !open.is_empty() {
            return Some("missing tool results for tool calls".to_owned());
        }
        if message["content"].is_null() && message["tool_calls"].is_null() {
            return Some("an assistant message must have content or tool calls".to_owned());
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            open.push(call["id"].as_str().unwrap_or_default().to_owned());
        }
    }
    None
}

/// The answer of a healthy upstream: by path; a call if there are tools and no result yet.
pub fn answer(request: &Request) -> Script {
    if request.header("authorization") != Some(&format!("Bearer {KEY}")) {
        return refusal(401, "invalid api token");
    }
    answer_to_any_key(request)
}

/// Like [`answer`], whatever the key is.
pub fn answer_to_any_key(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    // The address may have a path of its own before them.
    let at = path.rmatch_indices('/').nth(1).map_or(path, |(at, _)| &path[at..]);
    match at {
        "/v1/models" => Script::ok().json(&json!({"models": [
            {"name": "command-a-03-2025", "endpoints": ["chat"]}, {"name": "embed-v4.0", "endpoints": ["embed"]}]})),
        "/v2/embed" => embedded(&request.json()),
        "/v2/rerank" | "/v1/rerank" => Script::ok().json(&json!({"id": "r-1",
            "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}})),
        "/v2/chat" => chatted(request),
        _ => Script::with_status(404).body("text/plain", "404 page not found"),
    }
}

fn embedded(body: &Value) -> Script {
    let images = body["images"].as_array();
    let inputs = body["texts"].as_array().or(images).map_or(0, Vec::len);
    if body["input_type"].is_null() || body["embedding_types"].is_null() {
        return refusal(400, "invalid request: valid input_type must be provided");
    }
    if inputs > 96 {
        return refusal(400, "invalid request: total number of texts must be at most 96");
    }
    let vectors: Vec<Value> = (0..inputs).map(|at| json!([0.5, at])).collect();
    Script::ok().json(&json!({"id": "e-1", "response_type": "embeddings_by_type",
        "embeddings": {"float": vectors}, "texts": body["texts"],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 2 * inputs}}}))
}

fn chatted(request: &Request) -> Script {
    let body = request.json();
    let members = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    if let Some(name) = members.into_iter().find(|name| *name != "tools" && !MEMBERS.contains(name))
    {
        return refusal(400, &format!("unknown field: parameter '{name}' is not a valid field"));
    }
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    if let Some(why) = wrong_messages(&messages) {
        return refusal(400, &why);
    }
    let has_result = messages.iter().any(|message| message["role"] == "tool");
    if body["tools"].is_array() && !has_result && body["tool_choice"] != "NONE" {
        return reply(request, call(), "TOOL_CALL");
    }
    let mut message = said(TEXT);
    if body["documents"].is_array() {
        message["citations"] = json!([citation()]);
    }
    if body["thinking"]["type"] == "enabled" {
        message["content"] =
            json!([{"type": "thinking", "thinking": "let me see"}, {"type": "text", "text": TEXT}]);
    }
    reply(request, message, "COMPLETE")
}
