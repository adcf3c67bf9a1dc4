//! Full answers of the Anthropic wire: reads them into the neutral form and writes them from it.
//!
//! Called by [`crate::conversion::answer`] when client and provider speak different formats.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::usage::Counts;
use super::{stop_of, stop_reason, write_usage};
use crate::bytes::json::{JsonText, Str};
use crate::formats::answer::Fault;
use crate::formats::call_id::Calls;
use crate::formats::neutral::{Answer, Content, Part, Stop, Text};
use crate::formats::view::View;

/// What stands in the place of a picture, for which an answer of this format has none.
pub(super) const PICTURE: &str = "[an image, which an answer of this format cannot hold; clients of chats and of responses get it]";

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Str<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Str<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<Str<'a>>,
    #[serde(borrow)]
    signature: Option<Str<'a>>,
    #[serde(borrow)]
    data: Option<Str<'a>>,
}

/// The answer in `text`. Blocks of the provider's own tools have no neutral form and are left out; the text about
/// them stays.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let message: Message<'_> = serde_json::from_str(text)
        .map_err(|why| Fault::Malformed(format!("a broken answer: {why}")))?;
    let mut parts = Vec::with_capacity(message.content.len());
    for block in message.content {
        let content = match &*block.kind {
            "text" => Content::Text(block.text.unwrap_or_default().0),
            "thinking" => Content::Thinking {
                text: block.thinking.unwrap_or_default().0,
                signature: block.signature.unwrap_or_default().0,
            },
            "redacted_thinking" => Content::Redacted(block.data.unwrap_or_default().0),
            "tool_use" => Content::ToolCall {
                id: block.id.unwrap_or_default().0,
                name: block.name.unwrap_or_default().0,
                input: block.input.map_or(Cow::Borrowed("{}"), |raw| Cow::Borrowed(raw.get())),
            },
            _ => continue,
        };
        parts.push(Part::from(content));
    }
    let mut counts = Counts::default();
    if let Some(usage) = message.usage {
        counts.take(usage.get());
    }
    Ok(Answer {
        id: message.id.unwrap_or_default().0,
        parts,
        stop: message.stop_reason.map(|reason| stop_of(&reason.0)),
        stop_sequence: message.stop_sequence.map(Text::from),
        usage: counts.usage(),
        ..Answer::default()
    })
}

/// The body of a message with the content of `answer`.
pub(crate) fn write(answer: &Answer<'_>, view: &View) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').member("id", &answer.id).member("type", "message");
    json.member("role", "assistant").raw_member("model", &view.model_json);
    json.key("content").open(b'[');
    let mut calls = view.calls();
    // A provider of this wire refuses a text without a word when it comes back.
    let has_words = answer.parts.iter().any(|part| !part.content.is_blank());
    for part in answer.parts.iter().filter(|part| !(has_words && part.content.is_blank())) {
        write_block(&mut json, &part.content, (view.mark(), &mut calls));
    }
    json.close(b']').key("stop_reason");
    write_stop(&mut json, answer.stop.as_ref(), answer.stop_sequence.as_deref());
    json.key("usage");
    write_usage(&mut json, &answer.usage.unwrap_or_default());
    json.close(b'}');
    json.into_bytes()
}

/// Writes the value of `stop_reason`, and `stop_sequence` with its value.
pub(super) fn write_stop(json: &mut JsonText, stop: Option<&Stop>, sequence: Option<&str>) {
    match stop {
        Some(stop) => json.text(stop_reason(stop)),
        None => json.raw("null"),
    };
    match sequence {
        Some(sequence) => json.member("stop_sequence", sequence),
        None => json.raw_member("stop_sequence", "null"),
    };
}

/// A block. Reasoning without a signature gets `mark`, and each call an id that none of `calls` has.
fn write_block(json: &mut JsonText, content: &Content<'_>, (mark, calls): (&str, &mut Calls)) {
    match content {
        Content::Text(text) | Content::Refusal(text) => {
            json.open(b'{').member("type", "text").member("text", text);
        }
        Content::Thinking { text, signature } => {
            json.open(b'{').member("type", "thinking").member("thinking", text);
            json.member("signature", if signature.is_empty() { mark } else { signature });
        }
        Content::Redacted(data) => {
            json.open(b'{').member("type", "redacted_thinking").member("data", data);
        }
        Content::ToolCall { id, name, input } => {
            let id = calls.show(Cow::Borrowed(id));
            json.open(b'{').member("type", "tool_use").member("id", &id).member("name", name);
            json.raw_member("input", input);
        }
        // The text beside it stays.
        Content::Image(_) => {
            json.open(b'{').member("type", "text").member("text", PICTURE);
        }
        // Models do not answer with these.
        Content::Media(_) | Content::Document { .. } | Content::ToolResult { .. } => return,
    }
    json.close(b'}');
}
