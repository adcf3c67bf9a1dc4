//! Bodies in Ollama's own format, and the answer of a healthy server that refuses what a real one refuses.
//!
//! Used by tests with `FakeUpstream::with(ollama::answer)` and to build their own answers.
//! Always true: the builders give what a server would send.

use serde_json::{Value, json};

use crate::{Request, Script};

/// The text of a default answer.
pub const TEXT: &str = "Hello from the fake Ollama.";
/// What it thinks before, if it is told to.
pub const THOUGHTS: &str = "let me see";

/// The members of a request for a chat.
const MEMBERS: [&str; 12] = [
    "model",
    "messages",
    "tools",
    "options",
    "format",
    "keep_alive",
    "think",
    "stream",
    "logprobs",
    "top_logprobs",
    "truncate",
    "shift",
];
/// The members of a message.
const OF_MESSAGES: [&str; 6] = ["role", "content", "thinking", "images", "tool_calls", "tool_name"];

/// The server's error.
pub fn refusal(status: u16, message: &str) -> Script {
    Script::with_status(status).json(&json!({"error": message}))
}

/// A line of a stream.
pub fn line(message: Value) -> Value {
    json!({"model": "up", "created_at": "2026-11-28T10:00:00.123456789Z", "message": message, "done": false})
}

/// What the model says.
pub fn said(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// The last line, or a full answer: 9 tokens of input, 7 of output.
pub fn last(message: Value, reason: &str) -> Value {
    let mut last = line(message);
    last["done"] = json!(true);
    last["done_reason"] = json!(reason);
    last["total_duration"] = json!(174560334);
    last["prompt_eval_count"] = json!(9);
    last["eval_count"] = json!(7);
    last
}

/// A head and these lines, each in its own write; the body ends.
pub fn stream(lines: &[Value]) -> Script {
    let script = Script::ok().chunked("application/x-ndjson");
    lines.iter().fold(script, |script, line| script.chunk(format!("{line}\n"))).end()
}

/// The message of an answer that calls the first tool.
pub fn call() -> Value {
    json!({"role": "assistant", "content": "",
        "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]})
}

/// Why a server refuses these messages, if it does. A server written in Go reads no text where an object belongs.
fn wrong_messages(messages: &[Value]) -> Option<String> {
    for message in messages {
        for (name, value) in message.as_object()? {
            let is_fit = match name.as_str() {
                "images" | "tool_calls" => value.is_array(),
                _ => value.is_string(),
            };
            if !OF_MESSAGES.contains(&name.as_str()) || !is_fit {
                return Some(format!(
                    "json: cannot unmarshal into Go struct field ChatRequest.messages.{name}"
                ));
            }
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            if !call["function"]["arguments"].is_object() {
                return Some(
                    "json: cannot unmarshal string into Go struct field .arguments".to_owned(),
                );
            }
        }
        let images = message["images"].as_array().into_iter().flatten();
        if images.into_iter().any(|image| image.as_str().is_none_or(|data| data.contains(':'))) {
            return Some("illegal base64 data at input byte 4".to_owned());
        }
    }
    None
}

/// The answer of a healthy server: by path; a call if there are tools and no result yet.
pub fn answer(request: &Request) -> Script {
    if request.path == "/api/tags" {
        let model = |name: &str| json!({"name": name, "model": name, "size": 1});
        return Script::ok().json(&json!({"models": [model("llama3.1:8b"), model("qwen3:8b")]}));
    }
    let body = request.json();
    let name = body["model"].as_str().unwrap_or_default();
    if name.starts_with("missing") {
        return refusal(404, &format!("model '{name}' not found"));
    }
    // An address may have a path of its own before it.
    let path = request.path.find("/api/").map_or(&*request.path, |at| &request.path[at..]);
    match path {
        "/api/embed" => {
            let count = body["input"].as_array().map_or(1, Vec::len);
            let embeddings: Vec<Value> = (0..count).map(|at| json!([0.5, at])).collect();
            let counted = json!({"model": name, "embeddings": embeddings, "prompt_eval_count": 4});
            Script::ok().json(&counted)
        }
        "/api/chat" => chat(&body),
        // Go's router.
        _ => Script::with_status(404).body("text/plain", "404 page not found"),
    }
}

fn chat(body: &Value) -> Script {
    let members = body.as_object().into_iter().flatten().map(|(name, _)| name);
    if let Some(name) = members.into_iter().find(|name| !MEMBERS.contains(&name.as_str())) {
        return refusal(400, &format!("a member that Ollama has not: {name}"));
    }
    let messages = body["messages"].as_array().cloned().unwrap_or_default();
    if let Some(why) = wrong_messages(&messages) {
        return refusal(400, &why);
    }
    let model = body["model"].as_str().unwrap_or_default();
    let thinks = !matches!(body["think"], Value::Null | Value::Bool(false));
    if thinks && model.starts_with("llama") {
        return refusal(400, &format!("\"{model}\" does not support thinking"));
    }
    let has_result = messages.iter().any(|message| message["role"] == "tool");
    let reason = if body["options"]["num_predict"] == 1 { "length" } else { "stop" };
    let message = match body["tools"].is_array() && !has_result {
        true => call(),
        false => said(TEXT),
    };
    let thoughts = json!({"role": "assistant", "content": "", "thinking": THOUGHTS});
    // A request that says nothing gets a stream.
    if body["stream"] != false {
        let mut lines: Vec<Value> = thinks.then(|| line(thoughts)).into_iter().collect();
        lines.extend([line(message), last(said(""), reason)]);
        return stream(&lines);
    }
    let mut whole = last(message, reason);
    if thinks {
        whole["message"]["thinking"] = json!(THOUGHTS);
    }
    Script::ok().json(&whole)
}
