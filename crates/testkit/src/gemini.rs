//! Bodies in Google's own format, and the answer of a healthy upstream that refuses what Google refuses.
//!
//! Used by tests with `FakeUpstream::with(gemini::answer)` and to build their own answers.
//! Always true: the builders give what Google would send.

use serde_json::{Value, json};

use crate::{Request, Script};

/// The key that the upstream takes.
pub const KEY: &str = "AIza-test";
/// The text of a default answer.
pub const TEXT: &str = "Hello from the fake Gemini.";
/// A signature as Google writes it.
pub const SIGNATURE: &str = "CiQB4/8Vc+Zk3Q==";
/// The same as it stands behind the id of a call.
pub const TAIL: &str = "CiQB4_8Vc-Zk3Q";

/// The members of a request for content.
const MEMBERS: [&str; 9] = [
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
    "cachedContent",
    "labels",
    "serviceTier",
];

/// Google's error.
pub fn refusal(status: u16, word: &str, message: &str, details: Value) -> Script {
    let error = json!({"code": status, "message": message, "status": word, "details": details});
    Script::with_status(status).json(&json!({"error": error}))
}

fn invalid(message: &str) -> Script {
    refusal(400, "INVALID_ARGUMENT", message, json!([]))
}

/// An answer with these parts that ended for that reason.
pub fn candidate(parts: Value, finish: &str) -> Value {
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}],
        "usageMetadata": usage(),
        "modelVersion": "gemini-fake",
        "responseId": "resp-1",
    })
}

/// 9 tokens of input, 2 of them from the cache; 7 of output, 3 of them thoughts.
pub fn usage() -> Value {
    json!({"promptTokenCount": 9, "cachedContentTokenCount": 2, "candidatesTokenCount": 4,
        "thoughtsTokenCount": 3, "totalTokenCount": 16})
}

/// A chunk of a stream, with counts of the answer so far.
pub fn chunk(parts: Value) -> Value {
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
        "modelVersion": "gemini-fake",
        "responseId": "resp-1",
    })
}

/// A head and these chunks, each in its own write; the body ends.
pub fn stream(chunks: &[Value]) -> Script {
    let script = Script::ok().stream();
    chunks.iter().fold(script, |script, chunk| script.event(chunk)).end()
}

/// The parts of an answer that calls the first tool.
pub fn call() -> Value {
    json!([{"functionCall": {"name": "weather", "args": {"city": "Rome"}}, "thoughtSignature": SIGNATURE}])
}

/// Why Google refuses these contents, if it does.
fn wrong_contents(model: &str, contents: &[Value]) -> Option<&'static str> {
    let has = |content: &Value, name: &str| {
        content["parts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|part| part[name].is_object())
            .count()
    };
    for (at, content) in contents.iter().enumerate() {
        if content["parts"].as_array().is_none_or(Vec::is_empty) {
            return Some("contents.parts must not be empty.");
        }
        if at > 0 && contents[at - 1]["role"] == content["role"] {
            return Some("Please ensure that roles alternate.");
        }
        let calls = has(content, "functionCall");
        let responses = contents.get(at + 1).map_or(0, |next| has(next, "functionResponse"));
        if calls != responses {
            return Some(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
            );
        }
    }
    let says = |content: &Value| content["role"] == "user" && has(content, "functionResponse") == 0;
    let current = contents.iter().rposition(says).unwrap_or(0);
    let unsigned = contents[current..].iter().any(|content| {
        let first = content["parts"].as_array().into_iter().flatten();
        let first = first.into_iter().find(|part| part["functionCall"].is_object());
        first.is_some_and(|part| part["thoughtSignature"].is_null())
    });
    if model.starts_with("gemini-3") && unsigned {
        return Some("Function call is missing a thought_signature in functionCall parts.");
    }
    None
}

/// Why Google refuses the request, if it does.
fn wrong(request: &Request) -> Option<Script> {
    if request.header("x-goog-api-key") != Some(KEY) || request.path.contains("key=") {
        let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
        let message = "API key not valid. Please pass a valid API key.";
        return Some(refusal(400, "INVALID_ARGUMENT", message, details));
    }
    None
}

/// The answer of a healthy upstream: by path; a call if there are tools and no result yet.
pub fn answer(request: &Request) -> Script {
    wrong(request).unwrap_or_else(|| answer_to_any_key(request))
}

/// Like [`answer`], whatever the key is.
pub fn answer_to_any_key(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    if path.ends_with("/models") {
        let model = |name: &str| json!({"name": format!("models/{name}"), "supportedGenerationMethods": ["generateContent"]});
        return Script::ok()
            .json(&json!({"models": [model("gemini-2.5-flash"), model("gemini-3-pro-preview")]}));
    }
    let body = request.json();
    let Some((resource, method)) = path.rsplit_once(':') else {
        return Script::with_status(404).body("text/html", format!("<html>no {path}</html>"));
    };
    let model = resource.rsplit('/').next().unwrap_or_default();
    match method {
        "batchEmbedContents" => {
            let count = body["requests"].as_array().map_or(0, Vec::len);
            let embeddings: Vec<Value> = (0..count).map(|at| json!({"values": [0.5, at]})).collect();
            Script::ok().json(&json!({"embeddings": embeddings}))
        }
        "countTokens" => Script::ok().json(&json!({"totalTokens": 42})),
        "predict" => Script::ok().json(
            &json!({"predictions": [{"bytesBase64Encoded": "iVBORw0KGgo=", "mimeType": "image/png"}]}),
        ),
        "generateContent" | "streamGenerateContent" => generated(request, model, &body),
        _ => refusal(404, "NOT_FOUND", "no such method", json!([])),
    }
}

fn generated(request: &Request, model: &str, body: &Value) -> Script {
    let members = body.as_object().into_iter().flatten().map(|(name, _)| name);
    if let Some(name) = members.into_iter().find(|name| !MEMBERS.contains(&name.as_str())) {
        let text =
            format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field.");
        return invalid(&text);
    }
    let contents = body["contents"].as_array().cloned().unwrap_or_default();
    if let Some(why) = wrong_contents(model, &contents) {
        return invalid(why);
    }
    let is_stream = request.path.contains(":streamGenerateContent?alt=sse");
    let has_result = request.text().contains("functionResponse");
    let parts = match body["tools"].is_array() && !has_result {
        true => call(),
        false => json!([{"text": "let me see", "thought": true}, {"text": TEXT}]),
    };
    match is_stream {
        true => {
            let mut last = candidate(json!([{"text": ""}]), "STOP");
            last["candidates"][0]["content"]["parts"] = json!([{"text": ""}]);
            let pieces = parts.as_array().cloned().unwrap_or_default();
            let mut chunks: Vec<Value> =
                pieces.into_iter().map(|part| chunk(json!([part]))).collect();
            chunks.push(last);
            stream(&chunks)
        }
        false => Script::ok().json(&candidate(parts, "STOP")),
    }
}
