//! Bodies in the OpenAI wire format, and the answer of a healthy upstream to any request.
//!
//! Used by [`crate::FakeUpstream`] as its default behaviour and by tests to build their own.
//! Always true: the builders give what the provider would send, so that a gateway finds nothing to complain of.

use serde_json::{Map, Value, json};

use crate::{Request, Script};

/// The text of a default answer.
pub const TEXT: &str = "Hello from the fake upstream.";
/// The pieces in which a default stream sends [`TEXT`].
pub const PIECES: [&str; 5] = ["Hello", " from", " the", " fake", " upstream."];

/// A chat request with one user message.
pub fn chat_request(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// The same as a stream.
pub fn stream_request(model: &str, text: &str) -> Value {
    let mut body = chat_request(model, text);
    body["stream"] = json!(true);
    body
}

/// A chat completion with one choice that ended with `stop`.
pub fn chat_completion(model: &str, text: &str) -> Value {
    json!({
        "id": "chatcmpl-fake0001",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(9, 7),
        "system_fingerprint": "fp_fake",
    })
}

/// A usage object.
pub fn usage(prompt: u64, completion: u64) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    })
}

/// A chunk of a stream with this delta and finish reason (`None` is null).
pub fn chunk(model: &str, delta: &Value, finish_reason: Option<&str>) -> Value {
    json!({
        "id": "chatcmpl-fake0001",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    })
}

/// The first chunk of a stream: a role and no content.
pub fn role_chunk(model: &str) -> Value {
    chunk(model, &json!({"role": "assistant", "content": ""}), None)
}

/// A chunk with text.
pub fn content_chunk(model: &str, text: &str) -> Value {
    chunk(model, &json!({"content": text}), None)
}

/// The chunk that ends the choice.
pub fn finish_chunk(model: &str, reason: &str) -> Value {
    chunk(model, &json!({}), Some(reason))
}

/// The chunk without choices that carries the usage.
pub fn usage_chunk(model: &str, prompt: u64, completion: u64) -> Value {
    let mut body = chunk(model, &json!({}), None);
    body["choices"] = json!([]);
    body["usage"] = usage(prompt, completion);
    body
}

/// A whole stream: role, each piece, `stop`.
pub fn chunks(model: &str, pieces: &[&str]) -> Vec<Value> {
    let mut all = vec![role_chunk(model)];
    all.extend(pieces.iter().map(|piece| content_chunk(model, piece)));
    all.push(finish_chunk(model, "stop"));
    all
}

/// An error body.
pub fn error(message: &str, kind: &str, code: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// A legacy text completion.
pub fn text_completion(model: &str, text: &str) -> Value {
    json!({
        "id": "cmpl-fake0001",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": "stop"}],
        "usage": usage(5, 7),
    })
}

/// An embedding of four numbers for each input.
pub fn embeddings(model: &str, inputs: usize) -> Value {
    let entry =
        |index| json!({"object": "embedding", "index": index, "embedding": [0.1, 0.2, 0.3, 0.4]});
    json!({
        "object": "list",
        "data": (0..inputs).map(entry).collect::<Vec<_>>(),
        "model": model,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    })
}

/// The list of models.
pub fn models(ids: &[&str]) -> Value {
    let entry = |id: &&str| json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "fake"});
    json!({"object": "list", "data": ids.iter().map(entry).collect::<Vec<_>>()})
}

/// The answer of a healthy upstream: by path, and as a stream if the body asks for one.
pub fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    let body = request.json();
    let model = body["model"].as_str().unwrap_or("gpt-4o");
    let stream = body["stream"] == true;
    if path.ends_with("/chat/completions") {
        return if stream {
            chat_stream(model, &body)
        } else {
            Script::ok().json(&chat_completion(model, TEXT))
        };
    }
    if path.ends_with("/completions") {
        return if stream {
            text_stream(model)
        } else {
            Script::ok().json(&text_completion(model, TEXT))
        };
    }
    if path.ends_with("/embeddings") {
        let inputs = body["input"].as_array().map_or(1, Vec::len);
        return Script::ok().json(&embeddings(model, inputs));
    }
    if path.ends_with("/models") {
        return Script::ok().json(&models(&["gpt-4o", "gpt-4o-mini"]));
    }
    Script::with_status(404).json(&error(
        &format!("Invalid URL ({} {path})", request.method),
        "invalid_request_error",
        "unknown_url",
    ))
}

/// What was received, as JSON: method, path, headers (a list for a repeated name) and body.
pub fn echo(request: &Request) -> Value {
    let mut headers = Map::new();
    for (name, value) in request.headers.iter() {
        let name = name.to_ascii_lowercase();
        let value = match headers.remove(&name) {
            None => json!(value),
            Some(Value::Array(mut values)) => {
                values.push(json!(value));
                Value::Array(values)
            }
            Some(first) => json!([first, value]),
        };
        headers.insert(name, value);
    }
    let body = match request.json() {
        Value::Null => json!(request.text()),
        parsed => parsed,
    };
    json!({"method": request.method, "path": request.path, "headers": headers, "body": body})
}

fn chat_stream(model: &str, body: &Value) -> Script {
    let mut events = chunks(model, &PIECES);
    if body["stream_options"]["include_usage"] == true {
        events.push(usage_chunk(model, 9, 7));
    }
    Script::ok().sse(&events)
}

fn text_stream(model: &str) -> Script {
    let piece = |text: &&str| {
        let mut body = text_completion(model, text);
        body["choices"][0]["finish_reason"] = Value::Null;
        body["usage"] = Value::Null;
        body
    };
    let mut events: Vec<Value> = PIECES.iter().map(piece).collect();
    if let Some(last) = events.last_mut() {
        last["choices"][0]["finish_reason"] = json!("stop");
    }
    Script::ok().sse(&events)
}
