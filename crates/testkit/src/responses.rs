//! Bodies of the Responses format, and the answer of a healthy upstream to any request of it.
//!
//! Used by tests with `FakeUpstream::with(responses::answer)` and to build their own answers.
//! Always true: the builders give what the provider would send, so that a gateway finds nothing to complain of.

use serde_json::{Value, json};

use crate::{Request, Script};

/// The id of every default response.
pub const ID: &str = "resp_fake0001";
/// The text of a default response.
pub const TEXT: &str = "Hello from the fake responder.";

/// A response that is complete.
pub fn response(model: &str, text: &str) -> Value {
    json!({
        "id": ID, "object": "response", "created_at": 1_700_000_000, "status": "completed",
        "error": null, "incomplete_details": null, "model": model, "previous_response_id": null,
        "output": [message(text)], "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "usage": {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2},
                  "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3},
                  "total_tokens": 16},
    })
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg_fake0001", "status": "completed", "role": "assistant",
           "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

/// The event that a response was created: no content yet.
pub fn created(model: &str) -> Value {
    let mut response = response(model, "");
    response["status"] = json!("in_progress");
    response["output"] = json!([]);
    response["usage"] = Value::Null;
    json!({"type": "response.created", "sequence_number": 0, "response": response})
}

/// A piece of text.
pub fn delta(number: u64, text: &str) -> Value {
    json!({"type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_fake0001",
           "output_index": 0, "content_index": 0, "delta": text, "logprobs": []})
}

/// The event that a response is complete.
pub fn completed(number: u64, model: &str) -> Value {
    json!({"type": "response.completed", "sequence_number": number, "response": response(model, TEXT)})
}

/// A whole stream.
pub fn events(model: &str) -> Vec<Value> {
    vec![created(model), delta(1, "Hello"), delta(2, " you"), completed(3, model)]
}

/// These events as a stream that goes on.
pub fn stream(events: &[Value]) -> Script {
    events.iter().fold(Script::ok().stream(), |script, event| {
        script.named_event(event["type"].as_str().unwrap_or_default(), event)
    })
}

/// What a healthy upstream answers: everything that it is asked about exists.
pub fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    let (_, below) = path.split_once("/responses").unwrap_or_default();
    let id = below.split('/').nth(1).unwrap_or_default();
    match (request.method.as_str(), below.rsplit('/').next().unwrap_or_default()) {
        ("POST", "cancel") => {
            let mut cancelled = response("up", "");
            cancelled["id"] = json!(id);
            cancelled["status"] = json!("cancelled");
            Script::ok().json(&cancelled)
        }
        ("POST", "input_tokens") => {
            Script::ok().json(&json!({"object": "response.input_tokens", "input_tokens": 42}))
        }
        ("POST", "compact") => {
            let mut compacted = response("up", TEXT);
            compacted["object"] = json!("response.compaction");
            Script::ok().json(&compacted)
        }
        ("POST", _) if request.wants_stream() => stream(&events("up")).end(),
        ("POST", _) => {
            let mut made = response("up", TEXT);
            made["previous_response_id"] = request.json()["previous_response_id"].clone();
            Script::ok().json(&made)
        }
        ("DELETE", _) => {
            Script::ok().json(&json!({"id": id, "object": "response", "deleted": true}))
        }
        (_, "input_items") => Script::ok().json(&json!({
            "object": "list", "data": [], "first_id": null, "last_id": null, "has_more": false,
        })),
        _ if request.path.contains("stream=true") => stream(&events("up")).end(),
        _ => {
            let mut kept = response("up", TEXT);
            kept["id"] = json!(id);
            Script::ok().json(&kept)
        }
    }
}
