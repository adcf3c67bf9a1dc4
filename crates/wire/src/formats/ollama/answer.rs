//! Reads full answers into the neutral form.
//!
//! Called by [`crate::conversion::answer`] for clients of all formats.

use std::borrow::Cow;

use super::chunk::{self, Wrong};
use crate::formats::answer::Fault;
use crate::formats::neutral::{Answer, Content, Part, Stop, check_call};

/// The answer in `text`.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let broken = |why: &str| Fault::Malformed(format!("a broken answer: {why}"));
    let chunk = chunk::read(text).map_err(|wrong| match wrong {
        Wrong::NoObject | Wrong::NoAnswer => Fault::not_json(text.as_bytes()),
        Wrong::Broken(why) => broken(&why),
        Wrong::Refused(error) => Fault::Error(error),
    })?;
    let id = chunk.id();
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(chunk.calls.len() + 2);
    if !chunk.thoughts.is_empty() {
        let signature = Cow::Borrowed("");
        parts.push(Content::Thinking { text: chunk.thoughts, signature }.into());
    }
    if !chunk.text.is_empty() {
        parts.push(Content::Text(chunk.text).into());
    }
    let has_calls = !chunk.calls.is_empty();
    for (place, mut call) in chunk.calls.into_iter().enumerate() {
        let call_id = call.id_in(&id, place);
        if check_call(place, &call_id, &call.name).is_err() {
            return Err(broken("too many tool calls, or an id or a name that is too long"));
        }
        parts.push(Content::ToolCall { id: call_id, name: call.name, input: call.input }.into());
    }
    let stop = match chunk.end {
        Some(Stop::End) if has_calls => Some(Stop::Tools),
        Some(stop) => Some(stop),
        None => return Err(broken("it is not done")),
    };
    Ok(Answer {
        id: id.into(),
        parts,
        stop,
        stop_sequence: None,
        usage: chunk.usage,
        citations: Vec::new(),
    })
}
