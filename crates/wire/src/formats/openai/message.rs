//! The text in a message of the OpenAI wire, or in a delta of one: a string, or a list of parts.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: all content is returned, or the error names
//! what cannot be.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::lossy;
use crate::formats::errors::clean;
use crate::formats::neutral::Text;

/// One piece of text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(Text<'a>),
    Thinking(Text<'a>),
    Refusal(Text<'a>),
}

/// What a string or a list of parts holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

/// The halves of characters that the last pieces ended with.
#[derive(Debug, Default)]
pub(super) struct HalfCharacters {
    text: Option<u16>,
    reasoning: Option<u16>,
    refusal: Option<u16>,
}

impl HalfCharacters {
    /// Whether there is one.
    pub(super) fn are_open(&self) -> bool {
        self.text.is_some() || self.reasoning.is_some() || self.refusal.is_some()
    }
}

/// The members of a message, or of a delta of one, that hold content.
#[derive(Debug, Deserialize)]
pub(super) struct MessageContent<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
}

impl<'a> MessageContent<'a> {
    /// All texts that are not empty.
    ///
    /// # Errors
    /// The content that has no neutral form.
    pub(super) fn pieces(&self, halves: &mut HalfCharacters) -> Result<Vec<Piece<'a>>, String> {
        let foreign =
            [("audio", self.audio), ("images", self.images), ("function_call", self.function_call)];
        for (name, value) in foreign {
            if value.is_some_and(|raw| !matches!(raw.get(), "{}" | "[]" | "\"\"")) {
                return Err(format!("`{name}`, which has no place in the client's format"));
            }
        }
        let mut pieces = Vec::with_capacity(1);
        let reasoning = [self.reasoning_content, self.reasoning]
            .into_iter()
            .flatten()
            .find(|raw| raw.get() != "\"\"");
        if let Some(raw) = reasoning {
            parts(raw, Kind::Reasoning, halves, &mut pieces)?;
        }
        if let Some(raw) = self.content {
            parts(raw, Kind::Text, halves, &mut pieces)?;
        }
        if let Some(raw) = self.refusal {
            let text =
                lossy(raw.get(), &mut halves.refusal).ok_or("a `refusal` that is no text")?;
            pieces.push(Piece::Refusal(text));
        }
        pieces.retain(|piece| match piece {
            Piece::Text(text) | Piece::Thinking(text) | Piece::Refusal(text) => !text.is_empty(),
        });
        Ok(pieces)
    }
}

/// A string, or a list of parts: `text`, `thinking` (with a list of its own), `refusal`, `reference`. Source of the
/// other kinds: <https://github.com/braintrustdata/braintrust-sdk-javascript/issues/1857>,
/// <https://github.com/spring-projects/spring-ai/pull/5020>.
fn parts<'a>(
    raw: &'a RawValue,
    kind: Kind,
    halves: &mut HalfCharacters,
    pieces: &mut Vec<Piece<'a>>,
) -> Result<(), String> {
    let raw = raw.get();
    if raw.starts_with('"') {
        let half = match kind {
            Kind::Text => &mut halves.text,
            Kind::Reasoning => &mut halves.reasoning,
        };
        let text = lossy(raw, half).ok_or("a broken text")?;
        pieces.push(match kind {
            Kind::Text => Piece::Text(text),
            Kind::Reasoning => Piece::Thinking(text),
        });
        return Ok(());
    }
    let list: Vec<Part<'a>> = serde_json::from_str(raw)
        .map_err(|why| format!("`content` that is neither a text nor a list of parts: {why}"))?;
    for part in list {
        match (&*part.kind, part.text, part.thinking, part.refusal) {
            ("text", Some(text), _, _) if text.get().starts_with('"') => {
                parts(text, kind, halves, pieces)?;
            }
            ("thinking", _, Some(thinking), _) if kind == Kind::Text => {
                parts(thinking, Kind::Reasoning, halves, pieces)?;
            }
            ("refusal", _, _, Some(refusal)) => {
                let text = lossy(refusal.get(), &mut halves.refusal).ok_or("a broken text")?;
                pieces.push(Piece::Refusal(text));
            }
            // Numbers of sources, which mean nothing to a client of another format.
            ("reference", ..) => {}
            (other, ..) => {
                return Err(format!("a part of type `{}` in `content`", clean(other, 60)));
            }
        }
    }
    Ok(())
}
