//! Full answers: reads them into the neutral form and writes them from it.
//!
//! Called by [`crate::conversion::answer`] when client and provider speak different formats.

use std::borrow::Cow;

use super::chunk::{self, Wrong};
use super::contents::OWN_ID;
use super::grounding::{self, Places};
use super::part::Said;
use super::said;
use crate::bytes::json::JsonText;
use crate::formats::answer::Fault;
use crate::formats::neutral::{Answer, Content, Part, Source, Text, check_call, cut_id};
use crate::formats::signed_call;
use crate::formats::thoughts::GOOGLES;
use crate::formats::view::View;

/// The answer in `text`.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let broken = |why: &dyn std::fmt::Display| Fault::Malformed(format!("a broken answer: {why}"));
    let chunk = chunk::read(text).map_err(|wrong| match wrong {
        Wrong::NoObject => Fault::not_json(text.as_bytes()),
        Wrong::Broken(why) => broken(&why),
        Wrong::Refused(error) => Fault::Error(error),
    })?;
    let mut parts: Vec<Part<'_>> = Vec::with_capacity(chunk.parts.len());
    let mut calls = 0;
    let mut places = Places::default();
    // Each call without an id repeats it.
    let answer_id = cut_id(chunk.id);
    for part in chunk.parts {
        let signature = part.signature;
        match part.said {
            Said::Call { id, name, input } => {
                let id = signed(own_id(id, calls, &answer_id), &signature);
                if check_call(calls, &id, &name).is_err() {
                    return Err(broken(
                        &"too many tool calls, or an id or a name that is too long",
                    ));
                }
                calls += 1;
                parts.push(Content::ToolCall { id, name, input }.into());
            }
            Said::Thought(text) => {
                let signature = match signature.is_empty() {
                    true => signature,
                    false => mark(&signature),
                };
                add_thought(&mut parts, text, signature);
            }
            said => {
                match said {
                    Said::Text(text) => {
                        if chunk.grounding.is_some() {
                            places.add(&text);
                        }
                        add_text(&mut parts, text);
                    }
                    Said::Data { media_type, data } => {
                        let source = Source::Base64 { media_type, data };
                        parts.push(Content::Image(source).into());
                    }
                    Said::Nothing | Said::Call { .. } | Said::Thought(_) => {}
                }
                if !signature.is_empty() {
                    let signature = mark(&signature);
                    parts.push(Content::Thinking { text: "".into(), signature }.into());
                }
            }
        }
    }
    let is_content = |part: &Part<'_>| !matches!(part.content, Content::Thinking { .. });
    let has_content = parts.iter().any(is_content);
    let stop = chunk.finish.map(|finish| finish.stop(calls, has_content));
    let stop = stop.transpose().map_err(|why| broken(&why))?;
    let citations = chunk.grounding.map(|raw| grounding::read(raw, &places)).unwrap_or_default();
    Ok(Answer { id: answer_id, parts, citations, stop, usage: chunk.usage, ..Answer::default() })
}

/// Joins neighbouring texts: one answer may have a part for each piece.
fn add_text<'a>(parts: &mut Vec<Part<'a>>, text: Text<'a>) {
    match parts.last_mut() {
        Some(Part { content: Content::Text(before), .. }) => before.to_mut().push_str(&text),
        _ => parts.push(Content::Text(text).into()),
    }
}

/// The same for thoughts, of which each part may be signed.
fn add_thought<'a>(parts: &mut Vec<Part<'a>>, text: Text<'a>, signature: Text<'a>) {
    match parts.last_mut() {
        Some(Part { content: Content::Thinking { text: before, signature: earlier }, .. })
            if earlier.is_empty() =>
        {
            before.to_mut().push_str(&text);
            *earlier = signature;
        }
        _ => parts.push(Content::Thinking { text, signature }.into()),
    }
}

/// A signature of Google's in the form in which it goes back to no other provider.
pub(super) fn mark(signature: &str) -> Text<'static> {
    Cow::Owned(format!("{GOOGLES}{signature}"))
}

/// The id of the call with that number in the answer `answer`: the provider's, else one of ours.
pub(super) fn own_id<'a>(id: Option<Text<'a>>, call: usize, answer: &str) -> Text<'a> {
    id.unwrap_or_else(|| match answer {
        "" => Cow::Owned(format!("{OWN_ID}{call}")),
        answer => Cow::Owned(format!("{OWN_ID}{call}_{answer}")),
    })
}

/// An id with the signature of its call behind it.
pub(super) fn signed<'a>(id: Text<'a>, signature: &str) -> Text<'a> {
    signed_call::with_signature(id, signature)
}

/// The body with the content of `answer`, as a client of this format reads it.
pub(crate) fn write(answer: &Answer<'_>, view: &View) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').key("candidates").open(b'[').open(b'{').key("content").open(b'{');
    json.member("role", "model");
    let mark = json.mark();
    json.key("parts").open(b'[');
    let shows_thoughts = said::shows_thoughts(view);
    for part in &answer.parts {
        match &part.content {
            Content::Text(text) | Content::Refusal(text) if !text.is_empty() => {
                said::text(&mut json, text);
            }
            Content::Thinking { text, signature } if shows_thoughts => {
                let signature = if signature.is_empty() { view.mark() } else { signature };
                said::thought(&mut json, text, signature);
            }
            Content::Redacted(data) if shows_thoughts => said::redacted(&mut json, data),
            Content::Image(Source::Base64 { media_type, data }) => {
                said::data(&mut json, media_type, data);
            }
            Content::ToolCall { id, name, input } => said::call(&mut json, (id, name), input),
            // The client did not ask for thoughts; models do not answer with the rest.
            Content::Text(_)
            | Content::Refusal(_)
            | Content::Thinking { .. }
            | Content::Redacted(_)
            | Content::Image(_)
            | Content::Media(_)
            | Content::Document { .. }
            | Content::ToolResult { .. } => {}
        }
    }
    match json.is_at_start() {
        true => json.undo(mark),
        false => {
            json.close(b']');
        }
    }
    json.close(b'}').member("finishReason", said::finish(answer.stop.as_ref()));
    json.raw_member("index", "0");
    said::citations(&mut json, &answer.citations);
    json.close(b'}').close(b']');
    let usage = answer.usage.unwrap_or_default();
    said::about(&mut json, Some(&usage), (&answer.id, view));
    json.close(b'}');
    json.into_bytes()
}
