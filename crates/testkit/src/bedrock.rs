//! Bodies and frames in Bedrock's own formats, and the answer of a healthy upstream that refuses what Bedrock refuses.
//!
//! Used by tests with `FakeUpstream::with(bedrock::answer)` and to build their own answers. Always true: the builders give what
//! Bedrock would send; the checksums are computed bit by bit, and not by what the gateway computes them with.

use serde_json::{Value, json};

use crate::{Request, Script};

/// The text of a default answer.
pub const TEXT: &str = "Hello from the fake Bedrock.";
/// The type of a stream.
pub const STREAM: &str = "application/vnd.amazon.eventstream";

/// The members of a request for Converse.
const MEMBERS: [&str; 11] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];

/// Bedrock's error of that class.
pub fn refusal(status: u16, class: &str, message: &str) -> Script {
    let url = format!("{class}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    Script::with_status(status)
        .header("x-amzn-errortype", &url)
        .header("x-amzn-requestid", "r-1")
        .json(&json!({"message": message}))
}

/// CRC-32 of IEEE, as the frames have it.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A frame with these headers of type string.
pub fn framed(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).expect("names of headers are short"));
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        let length = u16::try_from(value.len()).expect("values of headers are short");
        head.extend_from_slice(&length.to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let length = |length: usize| u32::try_from(length).expect("frames are short").to_be_bytes();
    let mut frame = Vec::new();
    frame.extend_from_slice(&length(head.len() + payload.len() + 16));
    frame.extend_from_slice(&length(head.len()));
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc(&frame).to_be_bytes());
    frame
}

/// The frame of an event.
pub fn frame(kind: &str, payload: &Value) -> Vec<u8> {
    let headers =
        [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    framed(&headers, payload.to_string().as_bytes())
}

/// The frame of an exception.
pub fn exception(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [
        (":exception-type", kind),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    framed(&headers, payload.to_string().as_bytes())
}

/// A head and these frames, each in its own write; the body ends.
pub fn stream(frames: &[Vec<u8>]) -> Script {
    let script = Script::ok().chunked(STREAM);
    frames.iter().fold(script, |script, frame| script.chunk(frame)).end()
}

/// 9 tokens of input, of which 2 were read from the cache and 3 written to it; 7 of output.
pub fn usage() -> Value {
    json!({"inputTokens": 4, "outputTokens": 7, "totalTokens": 16, "cacheReadInputTokens": 2,
        "cacheWriteInputTokens": 3})
}

/// An answer with these blocks that ended for that reason.
pub fn message(content: Value, stop: &str) -> Value {
    json!({"output": {"message": {"role": "assistant", "content": content}}, "stopReason": stop,
        "usage": usage(), "metrics": {"latencyMs": 1}})
}

/// The frames of an answer with these blocks, texts and inputs of calls in pieces.
pub fn frames(content: &Value, stop: &str) -> Vec<Vec<u8>> {
    let mut frames = vec![frame("messageStart", &json!({"role": "assistant"}))];
    for (at, block) in content.as_array().into_iter().flatten().enumerate() {
        let delta = |delta: Value| {
            frame(
                "contentBlockDelta",
                &json!({"contentBlockIndex": at, "delta": delta, "p": "abc"}),
            )
        };
        if let Some(text) = block["text"].as_str() {
            for piece in pieces(text) {
                frames.push(delta(json!({"text": piece})));
            }
        } else if let Some(call) = block["toolUse"].as_object() {
            let start = json!({"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}});
            let start = json!({"contentBlockIndex": at, "start": start});
            frames.push(frame("contentBlockStart", &start));
            for piece in pieces(&call["input"].to_string()) {
                frames.push(delta(json!({"toolUse": {"input": piece}})));
            }
        } else if let Some(thought) = block["reasoningContent"]["reasoningText"].as_object() {
            frames.push(delta(json!({"reasoningContent": {"text": thought["text"]}})));
            frames.push(delta(json!({"reasoningContent": {"signature": thought["signature"]}})));
        }
        frames.push(frame("contentBlockStop", &json!({"contentBlockIndex": at})));
    }
    frames.push(frame("messageStop", &json!({"stopReason": stop})));
    frames.push(frame("metadata", &json!({"usage": usage(), "metrics": {"latencyMs": 1}})));
    frames
}

fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(7).map(|piece| piece.iter().collect()).collect()
}

/// Why Bedrock refuses these messages, if it does.
fn wrong_messages(messages: &[Value]) -> Option<&'static str> {
    let ids = |message: &Value, name: &str| -> Vec<String> {
        let blocks = message["content"].as_array().into_iter().flatten();
        let ids = blocks.filter_map(|block| block[name]["toolUseId"].as_str().map(str::to_owned));
        ids.collect()
    };
    if messages.first().is_none_or(|first| first["role"] != "user") {
        return Some("A conversation must start with a user message.");
    }
    for (at, message) in messages.iter().enumerate() {
        let blocks = message["content"].as_array().map(Vec::as_slice).unwrap_or_default();
        if blocks.is_empty() {
            return Some("The content field in the Message object is empty.");
        }
        let is_blank =
            |block: &Value| block["text"].as_str().is_some_and(|it| it.trim().is_empty());
        if blocks.iter().any(is_blank) {
            return Some("messages: text content blocks must be non-empty");
        }
        if at > 0 && messages[at - 1]["role"] == message["role"] {
            return Some("roles must alternate between user and assistant");
        }
        let results = messages.get(at + 1).map(|next| ids(next, "toolResult")).unwrap_or_default();
        if ids(message, "toolUse") != results {
            return Some("Expected toolResult blocks for the following Ids");
        }
    }
    None
}

/// Why Bedrock refuses the request, if it does.
fn wrong(request: &Request) -> Option<Script> {
    let invalid = |message: &str| Some(refusal(400, "ValidationException", message));
    let signed = request.header("authorization").unwrap_or_default();
    if !signed.starts_with("AWS4-HMAC-SHA256 ") && !signed.starts_with("Bearer ") {
        return Some(refusal(403, "MissingAuthenticationTokenException", "Missing Token"));
    }
    let body = request.json();
    let unknown = body.as_object()?.keys().find(|name| !MEMBERS.contains(&name.as_str()));
    if let Some(name) = unknown {
        return invalid(&format!("extraneous key [{name}] is not permitted"));
    }
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(why) = wrong_messages(messages) {
        return invalid(why);
    }
    let has_calls = body["messages"].to_string().contains("\"toolUse\"");
    if has_calls && body["toolConfig"]["tools"].as_array().is_none_or(Vec::is_empty) {
        return invalid("The toolConfig field must be defined when using toolUse and toolResult.");
    }
    None
}

/// The answer of Claude in its own format, whose events come in base64, with padding.
fn invoked(request: &Request, is_whole: bool) -> Script {
    let body = request.json();
    let members = body.as_object().map(|body| body.keys().cloned().collect::<Vec<_>>());
    let unknown = |name: &String| matches!(name.as_str(), "model" | "stream" | "service_tier");
    if members.iter().flatten().any(unknown) || body["anthropic_version"].is_null() {
        return refusal(400, "ValidationException", "extraneous key is not permitted");
    }
    let text = json!([{"type": "text", "text": TEXT}]);
    let usage = json!({"input_tokens": 9, "output_tokens": 7});
    if is_whole {
        return Script::ok().json(&json!({"id": "msg_bdrk_1", "type": "message", "role": "assistant",
            "model": "claude", "content": text, "stop_reason": "end_turn", "stop_sequence": null, "usage": usage}));
    }
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_bdrk_1", "type": "message", "role": "assistant",
            "model": "claude", "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
            "usage": {"output_tokens": 7}}),
        json!({"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 9, "outputTokenCount": 7}}),
    ];
    let chunk = |event: &Value| {
        frame("chunk", &json!({"bytes": base64(event.to_string().as_bytes()), "p": "abcdef"}))
    };
    stream(&events.iter().map(chunk).collect::<Vec<_>>())
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = char::from(LETTERS[bits >> (18 - 6 * at) & 63]);
            out.push(if at <= group.len() { letter } else { '=' });
        }
    }
    out
}

/// The embeddings or images of a model that Invoke calls in its own format. The first number of an embedding is the length of its
/// text.
fn made(request: &Request) -> Script {
    let body = request.json();
    let invalid = |message: &str| refusal(400, "ValidationException", message);
    let length = |text: &Value| text.as_str().map_or(0, str::len);
    if !body["texts"].is_null() {
        let texts = body["texts"].as_array().cloned().unwrap_or_default();
        if texts.is_empty() || texts.len() > 96 || body["input_type"].is_null() {
            return invalid("Malformed input request: texts: 1 to 96, input_type is required");
        }
        let all: Vec<Value> = texts.iter().map(|text| json!([length(text), 0.5])).collect();
        let count = texts.len() * 2;
        return Script::ok()
            .header("x-amzn-bedrock-input-token-count", &count.to_string())
            .json(&json!({"id": "e", "response_type": "embeddings_floats", "embeddings": all, "texts": texts}));
    }
    if !body["inputText"].is_null() {
        let known = [
            "inputText",
            "dimensions",
            "normalize",
            "embeddingTypes",
            "inputImage",
            "embeddingConfig",
        ];
        let unknown =
            body.as_object().and_then(|it| it.keys().find(|key| !known.contains(&key.as_str())));
        if unknown.is_some() || !body["inputText"].is_string() {
            return invalid("Malformed input request: one inputText");
        }
        let vector = json!([length(&body["inputText"]), 0.5]);
        return Script::ok().json(&json!({"embedding": vector, "inputTextTokenCount": 3}));
    }
    if body["taskType"] != "TEXT_IMAGE" || !body["textToImageParams"]["text"].is_string() {
        return invalid("Malformed input request: taskType");
    }
    let count = body["imageGenerationConfig"]["numberOfImages"].as_u64().unwrap_or(1);
    let images: Vec<&str> = (0..count).map(|_| "iVBORw0KGgo=").collect();
    Script::ok().json(&json!({"images": images, "error": null}))
}

/// Ranks by the length of the texts.
fn ranked(request: &Request) -> Script {
    let body = request.json();
    let of_model = &body["rerankingConfiguration"]["bedrockRerankingConfiguration"];
    let arn = of_model["modelConfiguration"]["modelArn"].as_str().unwrap_or_default();
    let sources = body["sources"].as_array().cloned().unwrap_or_default();
    if !arn.starts_with("arn:")
        || sources.is_empty()
        || body["queries"][0]["textQuery"]["text"].is_null()
    {
        return refusal(400, "ValidationException", "Malformed input request");
    }
    let length = |source: &Value| source["inlineDocumentSource"].to_string().len();
    let mut places: Vec<usize> = (0..sources.len()).collect();
    places.sort_by_key(|at| std::cmp::Reverse(length(&sources[*at])));
    let count = of_model["numberOfResults"].as_u64().and_then(|count| usize::try_from(count).ok());
    let results: Vec<Value> = places
        .iter()
        .take(count.unwrap_or(1))
        .map(|at| json!({"index": at, "relevanceScore": 0.5}))
        .collect();
    Script::ok().json(&json!({"results": results}))
}

/// The answer of the service that grants keys: those of the session `token`, until the year 2099.
pub fn granted(token: &str) -> Script {
    Script::ok().body(
        "text/xml",
        format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>AKIDEXAMPLE</AccessKeyId>\
             <SecretAccessKey>granted-secret</SecretAccessKey><SessionToken>{token}</SessionToken>\
             <Expiration>2099-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ),
    )
}

/// A healthy upstream: it calls the first tool that it is offered, unless it has a result already.
pub fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    if path.ends_with("/count-tokens") {
        return Script::ok().json(&json!({"inputTokens": 42}));
    }
    if path.ends_with("/rerank") {
        return ranked(request);
    }
    let is_other = |name: &str| !request.json()[name].is_null();
    if path.ends_with("/invoke") && ["inputText", "texts", "taskType"].into_iter().any(is_other) {
        return made(request);
    }
    if path.ends_with("/invoke") || path.ends_with("/invoke-with-response-stream") {
        return invoked(request, path.ends_with("/invoke"));
    }
    if !path.ends_with("/converse") && !path.ends_with("/converse-stream") {
        return refusal(404, "UnknownOperationException", "");
    }
    if let Some(refused) = wrong(request) {
        return refused;
    }
    let body = request.json();
    let tool = &body["toolConfig"]["tools"][0]["toolSpec"]["name"];
    let is_answered = body["messages"].to_string().contains("\"toolResult\"");
    let (content, stop) = match tool.as_str().filter(|_| !is_answered) {
        Some(name) => {
            let call = json!({"toolUseId": "tooluse_1", "name": name, "input": {"city": "Rome"}});
            (json!([{"text": "Let me look."}, {"toolUse": call}]), "tool_use")
        }
        None => {
            let thought = json!({"text": "let me see", "signature": "c2ln"});
            let thought = json!({"reasoningContent": {"reasoningText": thought}});
            (json!([thought, {"text": TEXT}]), "end_turn")
        }
    };
    match path.ends_with("/converse-stream") {
        true => stream(&frames(&content, stop)),
        false => Script::ok().header("x-amzn-requestid", "r-1").json(&message(content, stop)),
    }
}
