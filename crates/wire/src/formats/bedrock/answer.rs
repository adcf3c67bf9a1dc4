//! Reads full answers into the neutral form.
//!
//! Called by [`crate::conversion::answer`] for clients of other formats. Always true: the format has no id of an answer, so that
//! the client sees one of the gateway's.

use super::{block, usage};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::formats::answer::Fault;
use crate::formats::neutral::{Answer, CALLS_MAX, Content, Part, Text, check_call};

/// Parts that an answer of any size may have, and beyond them one for so many bytes: a part takes more room than its text.
const PARTS_ALWAYS: usize = 4096;
const BYTES_PER_PART: usize = 256;

/// The answer in `text`.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let broken = |why: &dyn std::fmt::Display| Fault::Malformed(format!("a broken answer: {why}"));
    let [output, word, counts] = texts(text, ["output", "stopReason", "usage"])
        .map_err(|_| Fault::not_json(text.as_bytes()))?;
    let message = texts(output.unwrap_or("{}"), ["message"]).ok().and_then(|[message]| message);
    let content = texts(message.unwrap_or("{}"), ["content"]).ok().and_then(|[content]| content);
    let blocks = elements(content.unwrap_or("[]")).ok_or_else(|| broken(&"content is no list"))?;
    let most = PARTS_ALWAYS + text.len() / BYTES_PER_PART;
    let (mut parts, mut calls): (Vec<Part<'_>>, usize) = (Vec::new(), 0);
    for raw in blocks {
        let Some(content) = block::read(raw).map_err(|why| broken(&why))? else { continue };
        if parts.len() >= most {
            return Err(broken(&format!("more than {most} blocks")));
        }
        match content {
            Content::Text(text) => add_text(&mut parts, text),
            Content::ToolCall { .. } if calls >= CALLS_MAX => {
                return Err(broken(&"too many tool calls"));
            }
            Content::ToolCall { id, name, input } => {
                if check_call(calls, &id, &name).is_err() {
                    return Err(broken(&"an id or a name of a call that is too long"));
                }
                calls += 1;
                parts.push(Content::ToolCall { id, name, input }.into());
            }
            content => parts.push(content.into()),
        }
    }
    let word = word.map(|raw| block::string(raw, "stopReason")).transpose();
    let word = word.map_err(|why| broken(&why))?.filter(|word| !word.is_empty());
    let stop = word.map(|word| block::stop(&word, calls)).transpose();
    let stop = stop.map_err(|why| broken(&why))?;
    Ok(Answer {
        id: Text::default(),
        parts,
        stop,
        stop_sequence: None,
        usage: counts.and_then(usage::read),
        citations: Vec::new(),
    })
}

/// Joins neighbouring texts: an answer may have a block for each piece.
fn add_text<'a>(parts: &mut Vec<Part<'a>>, text: Text<'a>) {
    match parts.last_mut() {
        Some(Part { content: Content::Text(before), .. }) => before.to_mut().push_str(&text),
        _ => parts.push(Content::Text(text).into()),
    }
}

/// Whether a full answer says that it is complete, and has no content but reasoning.
pub(crate) fn is_empty(text: &str) -> bool {
    let Ok(answer) = read(text) else { return false };
    let is_silent = |part: &Part<'_>| match &part.content {
        Content::Thinking { .. } | Content::Redacted(_) => true,
        Content::Text(text) => text.is_empty(),
        _ => false,
    };
    answer.stop == Some(crate::formats::neutral::Stop::End) && answer.parts.iter().all(is_silent)
}
