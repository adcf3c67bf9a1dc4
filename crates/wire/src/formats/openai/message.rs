//! What a message of the OpenAI wire, or a piece of one, says: a text, or a list of parts.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: what is said is given back whole, or
//! named in the refusal.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::lossy;
use crate::formats::errors::clean;
use crate::formats::neutral::Text;

/// One thing that is said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Text(Text<'a>),
    Thinking(Text<'a>),
    Refusal(Text<'a>),
}

/// Halves of characters with which the last pieces ended.
#[derive(Debug, Default)]
pub(super) struct Halves {
    text: Option<u16>,
    thought: Option<u16>,
    refusal: Option<u16>,
}

/// The members of a message, or of a piece of one, that say something.
#[derive(Debug, Deserialize)]
pub(super) struct Speech<'a> {
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

impl<'a> Speech<'a> {
    /// All of it, without what is empty.
    ///
    /// # Errors
    /// What it holds that has no neutral form.
    pub(super) fn said(&self, halves: &mut Halves) -> Result<Vec<Said<'a>>, String> {
        let foreign =
            [("audio", self.audio), ("images", self.images), ("function_call", self.function_call)];
        for (name, value) in foreign {
            if value.is_some_and(|raw| !matches!(raw.get(), "{}" | "[]" | "\"\"")) {
                return Err(format!("`{name}`, which has no place in the client's format"));
            }
        }
        let mut said = Vec::with_capacity(1);
        let thought = [self.reasoning_content, self.reasoning]
            .into_iter()
            .flatten()
            .find(|raw| raw.get() != "\"\"");
        if let Some(raw) = thought {
            parts(raw, true, halves, &mut said)?;
        }
        if let Some(raw) = self.content {
            parts(raw, false, halves, &mut said)?;
        }
        if let Some(raw) = self.refusal {
            let text =
                lossy(raw.get(), &mut halves.refusal).ok_or("a `refusal` that is no text")?;
            said.push(Said::Refusal(text));
        }
        said.retain(|said| match said {
            Said::Text(text) | Said::Thinking(text) | Said::Refusal(text) => !text.is_empty(),
        });
        Ok(said)
    }
}

/// A text, or a list: `text`, `thinking` with a list of its own, `refusal`, `reference`. Source of the
/// other kinds: <https://github.com/braintrustdata/braintrust-sdk-javascript/issues/1857>,
/// <https://github.com/spring-projects/spring-ai/pull/5020>.
fn parts<'a>(
    raw: &'a RawValue,
    is_thought: bool,
    halves: &mut Halves,
    said: &mut Vec<Said<'a>>,
) -> Result<(), String> {
    let raw = raw.get();
    if raw.starts_with('"') {
        let half = if is_thought { &mut halves.thought } else { &mut halves.text };
        let text = lossy(raw, half).ok_or("a broken text")?;
        said.push(if is_thought { Said::Thinking(text) } else { Said::Text(text) });
        return Ok(());
    }
    let list: Vec<Part<'a>> = serde_json::from_str(raw)
        .map_err(|why| format!("`content` that is neither a text nor a list of parts: {why}"))?;
    for part in list {
        match (&*part.kind, part.text, part.thinking, part.refusal) {
            ("text", Some(text), _, _) if text.get().starts_with('"') => {
                parts(text, is_thought, halves, said)?;
            }
            ("thinking", _, Some(thinking), _) if !is_thought => {
                parts(thinking, true, halves, said)?;
            }
            ("refusal", _, _, Some(refusal)) => {
                let text = lossy(refusal.get(), &mut halves.refusal).ok_or("a broken text")?;
                said.push(Said::Refusal(text));
            }
            // Numbers of sources, which say nothing to a client of another format.
            ("reference", ..) => {}
            (other, ..) => {
                return Err(format!("a part of type `{}` in `content`", clean(other, 60)));
            }
        }
    }
    Ok(())
}
