//! Reads one block of an answer's content, and why an answer ended.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: a block adds something to the answer, is known to add
//! nothing, or is an error: no content gets lost.

use std::borrow::Cow;

use crate::bytes::elements::elements;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::bytes::scan::{self, ScanError};
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Source, Stop, Text};

/// Blocks that say what the provider's own tools were asked and said, and marks: the text about them stays.
const ABOUT: [&[u8]; 4] =
    [b"\"toolResult\"", b"\"cachePoint\"", b"\"searchResult\"", b"\"guardContent\""];

/// The content of the block in `raw`; `None` if it adds nothing.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(raw: &str) -> Result<Option<Content<'_>>, String> {
    let mut found: Option<(&[u8], &str)> = None;
    let scanned: Result<(), ScanError> = scan::members(raw.as_bytes(), |key, value| {
        if &raw[value.clone()] != "null" {
            found = Some((&raw.as_bytes()[key], &raw[value]));
        }
    });
    scanned.map_err(|_| "a block that is no object".to_owned())?;
    let Some((key, value)) = found else { return Ok(None) };
    match key {
        b"\"text\"" => Ok(Some(Content::Text(string(value, "text")?))),
        b"\"toolUse\"" => call(value),
        b"\"reasoningContent\"" => reasoning(value).map(Some),
        b"\"image\"" => image(value).map(Some),
        b"\"citationsContent\"" => cited(value),
        key if ABOUT.contains(&key) => Ok(None),
        key => Err(unknown("a block", key)),
    }
}

/// The error about something that has no place in the client's format.
pub(super) fn unknown(what: &str, key: &[u8]) -> String {
    let name = clean(&String::from_utf8_lossy(key), 60);
    format!("{what} with {name}, which has no place in this format")
}

/// The text of the JSON string `raw`.
pub(super) fn string<'a>(raw: &'a str, what: &str) -> Result<Text<'a>, String> {
    lossy(raw, &mut None).ok_or_else(|| format!("a `{what}` that is no text"))
}

fn call(raw: &str) -> Result<Option<Content<'_>>, String> {
    let Ok([id, name, input, kind]) = texts(raw, ["toolUseId", "name", "input", "type"]) else {
        return Err("a call that is no object".to_owned());
    };
    if kind == Some(SERVERS) {
        return Ok(None);
    }
    let id = string(id.ok_or("a call without an id")?, "toolUseId")?;
    let name = string(name.ok_or("a call without a name")?, "name")?;
    let input = input.unwrap_or("{}");
    if !input.starts_with('{') {
        return Err("a call whose input is no object".to_owned());
    }
    Ok(Some(Content::ToolCall { id, name, input: Cow::Borrowed(input) }))
}

/// The type of a call that the provider carries out itself.
pub(super) const SERVERS: &str = "\"server_tool_use\"";

fn reasoning(raw: &str) -> Result<Content<'_>, String> {
    let Ok([text, redacted]) = texts(raw, ["reasoningText", "redactedContent"]) else {
        return Err("reasoning that is no object".to_owned());
    };
    if let Some(data) = redacted {
        return Ok(Content::Redacted(string(data, "redactedContent")?));
    }
    let Ok([text, signature]) = texts(text.unwrap_or("{}"), ["text", "signature"]) else {
        return Err("reasoning that is no object".to_owned());
    };
    let text = text.map(|raw| string(raw, "text")).transpose()?.unwrap_or_default();
    let signature = signature.map(|raw| string(raw, "signature")).transpose()?.unwrap_or_default();
    Ok(Content::Thinking { text, signature })
}

fn image(raw: &str) -> Result<Content<'_>, String> {
    let Ok([Some(format), Some(source)]) = texts(raw, ["format", "source"]) else {
        return Err("an image without its format".to_owned());
    };
    let Ok([Some(data)]) = texts(source, ["bytes"]) else {
        return Err("an image without its data".to_owned());
    };
    let media_type = Cow::Owned(format!("image/{}", string(format, "format")?));
    Ok(Content::Image(Source::Base64 { media_type, data: string(data, "bytes")? }))
}

/// The text of a block that says where it was found.
fn cited(raw: &str) -> Result<Option<Content<'_>>, String> {
    let Ok([content]) = texts(raw, ["content"]) else {
        return Err("citations that are no object".to_owned());
    };
    let mut all = String::new();
    for piece in content.and_then(elements).into_iter().flatten() {
        let [text] = texts(piece, ["text"]).map_err(|_| "a cited text that is no object")?;
        all.push_str(&text.map(|raw| string(raw, "text")).transpose()?.unwrap_or_default());
    }
    Ok((!all.is_empty()).then_some(Content::Text(Cow::Owned(all))))
}

/// Why an answer ended, by its word; with calls it waits for their results.
///
/// # Errors
/// If the model spoilt its answer: it is none, even if a text or a call came with it.
pub(super) fn stop(word: &str, calls: usize) -> Result<Stop, String> {
    Ok(match word {
        "end_turn" if calls > 0 => Stop::Tools,
        "end_turn" => Stop::End,
        "tool_use" => Stop::Tools,
        "max_tokens" => Stop::Length,
        "stop_sequence" => Stop::Sequence,
        "model_context_window_exceeded" => Stop::ContextWindow,
        "guardrail_intervened" | "content_filtered" => Stop::Refusal,
        "malformed_model_output" | "malformed_tool_use" => {
            return Err(format!("the model spoilt its answer: {word}"));
        }
        other => Stop::other(other),
    })
}

/// Whether a full answer was stopped by the provider's rules.
pub(crate) fn is_stopped(text: &str) -> bool {
    let word = texts(text, ["stopReason"]).ok().and_then(|[word]| word);
    matches!(word, Some("\"guardrail_intervened\"" | "\"content_filtered\""))
}
