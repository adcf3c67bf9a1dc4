//! Forms as clients send them, and the answers of a provider that takes them: transcripts, images, files
//! and batches.
//!
//! Used by tests of what is no JSON. Always true: the reader here shares nothing with the gateway's, and a
//! field that the provider does not know is refused, as it refuses it.
//! Source: <https://platform.openai.com/docs/api-reference>.

use serde_json::{Value, json};

use crate::{Request, Script, openai};

/// The boundary of every form here.
pub const BOUNDARY: &str = "form-boundary-0001";
/// The transcript of any sound.
pub const TRANSCRIPT: &str = "hello from the tape";
/// A fake's own ids.
pub const FILE: &str = "file-fake0001";
/// The file with a batch's results.
pub const OUTPUT: &str = "file-fake0002";
/// The id of its batches.
pub const BATCH: &str = "batch_fake0001";

/// One part: its name, the name of its file, its content.
pub type Part<'p> = (&'p str, Option<&'p str>, &'p [u8]);

/// The `content-type` of a form.
pub fn content_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

/// A form.
pub fn form(parts: &[Part<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let mut head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"");
        if let Some(file) = file {
            head.push_str(&format!(
                "; filename=\"{file}\"\r\nContent-Type: application/octet-stream"
            ));
        }
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

/// The parts of the form that `request` is: names and contents.
///
/// # Panics
/// When it is none.
#[track_caller]
pub fn parts(request: &Request) -> Vec<(String, Vec<u8>)> {
    let content_type = request.header("content-type").unwrap_or_default();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=");
    let Some(boundary) = boundary else { panic!("no form: {content_type}") };
    let delimiter = format!("\r\n--{}", boundary.trim_matches('"'));
    let mut tail = [b"\r\n", &request.body[..]].concat();
    let mut parts = Vec::new();
    let opens = [delimiter.as_bytes(), b"\r\n"].concat();
    assert!(tail.starts_with(&opens), "the form begins with its boundary");
    tail.drain(..delimiter.len());
    while let Some(at) = find(&tail, &opens) {
        parts.push(tail[..at].to_vec());
        tail.drain(..at + delimiter.len());
    }
    let Some(at) = find(&tail, &[delimiter.as_bytes(), b"--"].concat()) else {
        panic!("the form has no end")
    };
    parts.push(tail[..at].to_vec());
    parts.into_iter().map(|part| taken_apart(&part)).collect()
}

fn taken_apart(part: &[u8]) -> (String, Vec<u8>) {
    let at = find(part, b"\r\n\r\n").expect("a part has a head");
    let head = String::from_utf8_lossy(&part[..at]).into_owned();
    let name = head.split("name=\"").nth(1).and_then(|tail| tail.split('"').next());
    (name.unwrap_or_default().to_owned(), part[at + 4..].to_vec())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// The text of the part with that name.
pub fn field(request: &Request, name: &str) -> Option<String> {
    let found = parts(request).into_iter().find(|(own, _)| own == name);
    found.map(|(_, content)| String::from_utf8_lossy(&content).into_owned())
}

/// What a healthy provider answers: by path, and as the form asks.
pub fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    let below = path.rsplit_once("/v1").map_or(path, |(_, below)| below);
    let below = below.strip_prefix("/openai").unwrap_or(below);
    if path.ends_with("/audio/transcriptions") {
        return refusal(&names(request), &TRANSCRIPTION).unwrap_or_else(|| transcript(request));
    }
    if path.ends_with("/images/edits") {
        let image = json!({
            "created": 1_700_000_000, "data": [{"b64_json": "aGk="}],
            "usage": {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12},
        });
        return refusal(&names(request), &EDIT).unwrap_or_else(|| Script::ok().json(&image));
    }
    if let ("GET", "/files" | "/batches") = (request.method.as_str(), below)
        && let Some(refused) = refusal(&query(request), &LIST)
    {
        return refused;
    }
    match (request.method.as_str(), below) {
        ("POST", "/files") => refusal(&names(request), &UPLOAD).unwrap_or_else(|| {
            let purpose = field(request, "purpose").unwrap_or_default();
            Script::ok().json(&file(FILE, &purpose))
        }),
        ("GET", "/files") => Script::ok().json(&json!({
            "object": "list", "data": [file(FILE, "batch"), file(OUTPUT, "batch_output")],
            "first_id": FILE, "last_id": OUTPUT, "has_more": false,
        })),
        ("POST", "/batches") => refusal(&members(request), &START)
            .unwrap_or_else(|| Script::ok().json(&batch("validating"))),
        ("GET", "/batches") => Script::ok().json(&json!({
            "object": "list", "data": [batch("completed")], "first_id": BATCH, "last_id": BATCH,
            "has_more": false,
        })),
        ("POST", path) if path.ends_with("/cancel") => Script::ok().json(&batch("cancelling")),
        ("GET", path) if path.ends_with("/content") => {
            let lines = "{\"custom_id\":\"1\"}\n{\"custom_id\":\"2\"}\n";
            Script::ok().body("application/octet-stream", lines)
        }
        ("GET", path) if path.starts_with("/batches/") => Script::ok().json(&batch("completed")),
        ("GET", _) => Script::ok().json(&file(FILE, "batch")),
        ("DELETE", _) => Script::ok().json(&json!({"id": FILE, "object": "file", "deleted": true})),
        _ => openai::answer(request),
    }
}

/// The fields of a request: what must be there, and what may. A list `name[]` is there as `name`, too.
struct Fields {
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const TRANSCRIPTION: Fields = Fields {
    required: &["file", "model"],
    optional: &[
        "chunking_strategy",
        "include[]",
        "language",
        "prompt",
        "response_format",
        "stream",
        "temperature",
        "timestamp_granularities[]",
    ],
};
const EDIT: Fields = Fields {
    required: &["image", "prompt"],
    optional: &[
        "background",
        "image[]",
        "input_fidelity",
        "mask",
        "model",
        "n",
        "output_compression",
        "output_format",
        "quality",
        "response_format",
        "size",
        "user",
    ],
};
const UPLOAD: Fields = Fields {
    required: &["file", "purpose"],
    optional: &["expires_after[anchor]", "expires_after[seconds]"],
};
const START: Fields = Fields {
    required: &["input_file_id", "endpoint", "completion_window"],
    optional: &["metadata", "output_expires_after"],
};
const LIST: Fields =
    Fields { required: &[], optional: &["after", "api-version", "limit", "order", "purpose"] };

/// The refusal of a request with the fields `given`, where it is none of that operation.
fn refusal(given: &[String], fields: &Fields) -> Option<Script> {
    let known = |name: &str| fields.required.contains(&name) || fields.optional.contains(&name);
    if let Some(unknown) = given.iter().find(|name| !known(name)) {
        return Some(Script::error(400, &format!("Unknown parameter: '{unknown}'.")));
    }
    let is_given = |name: &str| given.iter().any(|own| own.trim_end_matches("[]") == name);
    let missing = fields.required.iter().find(|name| !is_given(name));
    missing.map(|name| Script::error(400, &format!("Missing required parameter: '{name}'.")))
}

/// The names of a form's parts.
fn names(request: &Request) -> Vec<String> {
    parts(request).into_iter().map(|(name, _)| name).collect()
}

/// The names of an object's members.
fn members(request: &Request) -> Vec<String> {
    let body = request.json();
    body.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// The names in the query.
fn query(request: &Request) -> Vec<String> {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split('=').next().unwrap_or_default().to_owned()).collect()
}

fn transcript(request: &Request) -> Script {
    if field(request, "stream").as_deref() == Some("true") {
        let words = TRANSCRIPT.split_inclusive(' ');
        let delta = |word| json!({"type": "transcript.text.delta", "delta": word});
        let mut events: Vec<Value> = words.map(delta).collect();
        let usage = json!({"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19,
                           "input_token_details": {"text_tokens": 0, "audio_tokens": 14}});
        events.push(json!({"type": "transcript.text.done", "text": TRANSCRIPT, "usage": usage}));
        return Script::ok().sse(&events);
    }
    match field(request, "response_format").as_deref() {
        Some("text") => Script::ok().body("text/plain; charset=utf-8", format!("{TRANSCRIPT}\n")),
        Some("srt") => Script::ok()
            .body("text/plain", format!("1\n00:00:00,000 --> 00:00:01,000\n{TRANSCRIPT}\n")),
        Some("vtt") => Script::ok().body("text/vtt", format!("WEBVTT\n\n{TRANSCRIPT}\n")),
        Some("verbose_json") => Script::ok().json(&json!({
            "task": "transcribe", "language": "english", "duration": 1.5, "text": TRANSCRIPT,
        })),
        _ => Script::ok()
            .json(&json!({"text": TRANSCRIPT, "usage": {"type": "duration", "seconds": 2}})),
    }
}

fn file(id: &str, purpose: &str) -> Value {
    json!({"id": id, "object": "file", "bytes": 120, "created_at": 1_700_000_000,
           "filename": "a.jsonl", "purpose": purpose, "status": "processed"})
}

fn batch(status: &str) -> Value {
    let output = if status == "completed" { json!(OUTPUT) } else { Value::Null };
    json!({"id": BATCH, "object": "batch", "endpoint": "/v1/chat/completions", "errors": null,
           "input_file_id": FILE, "completion_window": "24h", "status": status,
           "output_file_id": output, "error_file_id": null, "created_at": 1_700_000_000,
           "request_counts": {"total": 2, "completed": 2, "failed": 0}, "metadata": null})
}
