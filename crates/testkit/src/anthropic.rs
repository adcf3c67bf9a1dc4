//! Bodies in the Anthropic wire format, and the answer of a healthy upstream to any request.
//!
//! Used by tests with `FakeUpstream::with(anthropic::answer)` and to build their own answers.
//! Always true: the builders give what the provider would send, so that a gateway finds nothing to complain of.

use serde_json::{Value, json};

use crate::{Request, Script};

/// The text of a default answer.
pub const TEXT: &str = "Hello from the fake Claude.";
/// The tokens that a healthy upstream counts.
pub const TOKENS: u64 = 42;

/// A messages request with one user message.
pub fn request(model: &str, text: &str) -> Value {
    json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": text}]})
}

/// The same as a stream.
pub fn stream_request(model: &str, text: &str) -> Value {
    let mut body = request(model, text);
    body["stream"] = json!(true);
    body
}

/// A message with one text that ended its turn.
pub fn message(model: &str, text: &str) -> Value {
    json!({
        "id": "msg_fake0001",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": null,
        "usage": usage(7),
    })
}

/// A usage object: 9 tokens of input, 2 of them read from the cache and 3 written to it.
pub fn usage(output: u64) -> Value {
    json!({
        "input_tokens": 4,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "output_tokens": output,
    })
}

/// `message_start`: the first event, without content.
pub fn start(model: &str) -> Value {
    let mut message = message(model, "");
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    message["usage"] = usage(1);
    json!({"type": "message_start", "message": message})
}

/// The beginning of the text block with index 0.
pub fn text_start() -> Value {
    json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
}

/// A piece of its text.
pub fn text_delta(text: &str) -> Value {
    json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
}

/// The end of the block, and of the message.
pub fn finish(stop_reason: &str) -> Vec<Value> {
    vec![
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null},
               "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop"}),
    ]
}

/// A whole stream that says these pieces.
pub fn events(model: &str, pieces: &[&str]) -> Vec<Value> {
    let mut all = vec![start(model), text_start(), json!({"type": "ping"})];
    all.extend(pieces.iter().map(|piece| text_delta(piece)));
    all.extend(finish("end_turn"));
    all
}

/// An error body.
pub fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_fake"})
}

/// A head and these events, each named and in its own write; the body stays open.
pub fn stream(events: &[Value]) -> Script {
    events.iter().fold(Script::ok().stream(), |script, event| {
        script.named_event(event["type"].as_str().unwrap_or_default(), event)
    })
}

/// The answer of a healthy upstream: by path, and as a stream if the body asks for one.
pub fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    let body = request.json();
    let model = body["model"].as_str().unwrap_or("claude");
    if path.ends_with("/v1/messages/count_tokens") {
        return Script::ok().json(&json!({"input_tokens": TOKENS}));
    }
    if !path.ends_with("/v1/messages") {
        return Script::with_status(404).json(&error("not_found_error", "Not found"));
    }
    if body["stream"] == true {
        return stream(&events(model, &["Hello", " from the", " fake Claude."])).end();
    }
    Script::ok().json(&message(model, TEXT))
}
