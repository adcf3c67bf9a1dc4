//! Full chat completions: reads them into the neutral form and writes them from it.
//!
//! Called by [`crate::conversion::answer`] when client and provider speak different formats.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{HalfCharacters, MessageContent, Piece};
use super::{finish_reason, stop_of, write_usage};
use crate::bytes::elements::elements;
use crate::bytes::json::{JsonText, Word, lossy};
use crate::formats::answer::Fault;
use crate::formats::arguments::input;
use crate::formats::neutral::{Answer, CALLS_MAX, Citation, Content, Part, Source, Stop, Text};
use crate::formats::signed_call;
use crate::formats::usage::{of_tier, parse_usage};
use crate::formats::view::View;

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    id: Option<Word<'a>>,
    #[serde(borrow)]
    choices: &'a RawValue,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: &'a RawValue,
    #[serde(borrow)]
    finish_reason: Option<Word<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Calls<'a> {
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Word<'a>>,
    #[serde(borrow)]
    extra_content: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// The answer in `text`. Only the first choice counts.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let broken = |why: &dyn std::fmt::Display| Fault::Malformed(format!("a broken answer: {why}"));
    let completion: Completion<'_> = serde_json::from_str(text).map_err(|why| broken(&why))?;
    let id = completion.id.unwrap_or_default().0;
    let mut choices = elements(completion.choices.get()).ok_or_else(|| broken(&"no choices"))?;
    let choice = choices.next().ok_or_else(|| broken(&"no choice"))?;
    let choice: Choice<'_> = serde_json::from_str(choice).map_err(|why| broken(&why))?;
    let mut stop = choice
        .finish_reason
        .map(|reason| stop_of(&reason.0, choice.error.map(RawValue::get)))
        .transpose()
        .map_err(Fault::Error)?;
    let message = choice.message.get();
    let message_content: MessageContent<'_> =
        serde_json::from_str(message).map_err(|why| broken(&why))?;
    let calls: Calls<'_> = serde_json::from_str(message).map_err(|why| broken(&why))?;
    let pieces =
        message_content.pieces(&mut HalfCharacters::default()).map_err(|why| broken(&why))?;
    let mut parts: Vec<Content<'_>> = pieces.into_iter().map(content).collect();
    let calls = calls.tool_calls.map_or("[]", RawValue::get);
    for (i, call) in elements(calls).ok_or_else(|| broken(&"no calls"))?.enumerate() {
        if i >= CALLS_MAX {
            return Err(broken(&format!("more than {CALLS_MAX} tool calls")));
        }
        let call: Call<'_> = serde_json::from_str(call).map_err(|why| broken(&why))?;
        let given = match call.function.arguments {
            Some(raw) => lossy(raw.get(), &mut None).unwrap_or(Cow::Borrowed(raw.get())),
            None => Cow::Borrowed(""),
        };
        let Some(input) = input(given, stop.as_ref()) else { continue };
        let call_id = call.id.map(Text::from).filter(|id| !id.is_empty());
        let call_id = call_id.unwrap_or_else(|| Cow::Owned(format!("{id}_{i}")));
        let call_id = signed_call::joined(call_id, call.extra_content);
        parts.push(Content::ToolCall { id: call_id, name: call.function.name, input });
        // Some providers report an ordinary end.
        if stop == Some(Stop::End) {
            stop = Some(Stop::Tools);
        }
    }
    let usage = completion.usage.and_then(|raw| parse_usage(raw.get()));
    let usage = usage.map(|usage| of_tier(usage, completion.service_tier.map(RawValue::get)));
    let parts = parts.into_iter().map(Part::from).collect();
    Ok(Answer { id, parts, stop, usage, ..Answer::default() })
}

fn content(piece: Piece<'_>) -> Content<'_> {
    match piece {
        Piece::Text(text) => Content::Text(text),
        Piece::Thinking(text) => Content::Thinking { text, signature: Cow::Borrowed("") },
        Piece::Refusal(text) => Content::Refusal(text),
    }
}

/// The body of a chat completion with the content of `answer`.
pub(crate) fn write(answer: &Answer<'_>, view: &View) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').member("id", &answer.id).member("object", "chat.completion");
    json.count_member("created", view.created).raw_member("model", &view.model_json);
    json.key("choices").open(b'[').open(b'{').count_member("index", 0).key("message");
    write_message(&mut json, &answer.parts, &answer.citations);
    json.raw_member("logprobs", "null").key("finish_reason");
    match &answer.stop {
        Some(stop) => json.text(finish_reason(stop)),
        None => json.raw("null"),
    };
    json.close(b'}').close(b']');
    if let Some(usage) = &answer.usage {
        json.key("usage");
        write_usage(&mut json, usage);
    }
    json.close(b'}');
    json.into_bytes()
}

fn write_message(json: &mut JsonText, parts: &[Part<'_>], citations: &[Citation<'_>]) {
    let join = |pick: fn(&Content<'_>) -> Option<String>| {
        parts.iter().filter_map(|part| pick(&part.content)).reduce(|all, more| all + &more)
    };
    json.open(b'{').member("role", "assistant").key("content");
    match join(|content| match content {
        Content::Text(text) => Some(text.to_string()),
        _ => None,
    }) {
        Some(text) => json.text(&text),
        None => json.raw("null"),
    };
    json.key("refusal");
    match join(|content| match content {
        Content::Refusal(text) => Some(text.to_string()),
        _ => None,
    }) {
        Some(text) => json.text(&text),
        None => json.raw("null"),
    };
    if let Some(thoughts) = join(|content| match content {
        Content::Thinking { text, .. } if !text.is_empty() => Some(text.to_string()),
        _ => None,
    }) {
        json.member("reasoning_content", &thoughts);
    }
    write_thinking_blocks(json, parts);
    write_images(json, parts);
    write_calls(json, parts);
    write_citations(json, citations);
    json.close(b'}');
}

/// What the text cites.
fn write_citations(json: &mut JsonText, citations: &[Citation<'_>]) {
    if citations.is_empty() {
        return;
    }
    json.key("annotations").open(b'[');
    for citation in citations {
        json.open(b'{');
        write_citation(json, citation);
        json.close(b'}');
    }
    json.close(b']');
}

/// The members of a citation.
pub(super) fn write_citation(json: &mut JsonText, citation: &Citation<'_>) {
    let Citation { start, end, url, title } = citation;
    json.member("type", "url_citation").key("url_citation").open(b'{');
    json.count_member("start_index", *start).count_member("end_index", *end);
    json.member("url", url).member("title", title).close(b'}');
}

/// The images of an answer, in the form of LiteLLM and OpenRouter.
fn write_images(json: &mut JsonText, parts: &[Part<'_>]) {
    let images = || {
        parts.iter().filter_map(|part| match &part.content {
            Content::Image(Source::Base64 { media_type, data }) => Some((media_type, data)),
            _ => None,
        })
    };
    if images().next().is_none() {
        return;
    }
    json.key("images").open(b'[');
    for (index, (media_type, data)) in images().enumerate() {
        json.open(b'{').member("type", "image_url").count_member("index", index as u64);
        json.key("image_url").open(b'{').key("url");
        json.joined(["data:", media_type, ";base64,", data]).close(b'}').close(b'}');
    }
    json.close(b']');
}

fn write_thinking_blocks(json: &mut JsonText, parts: &[Part<'_>]) {
    let is_thought =
        |part: &&Part<'_>| matches!(part.content, Content::Thinking { .. } | Content::Redacted(_));
    if !parts.iter().any(|part| is_thought(&part)) {
        return;
    }
    json.key("thinking_blocks").open(b'[');
    for part in parts {
        match &part.content {
            Content::Thinking { text, signature } => {
                json.open(b'{').member("type", "thinking").member("thinking", text);
                json.member("signature", signature).close(b'}');
            }
            Content::Redacted(data) => {
                json.open(b'{').member("type", "redacted_thinking").member("data", data);
                json.close(b'}');
            }
            _ => {}
        }
    }
    json.close(b']');
}

/// The signature behind the id of a call, where clients of Google's address in this format look for it.
pub(super) fn write_signature(json: &mut JsonText, id: &str) {
    if let Some(tail) = signed_call::split(id).1 {
        json.key("extra_content").open(b'{').key("google").open(b'{');
        json.member("thought_signature", &signed_call::signature(tail)).close(b'}').close(b'}');
    }
}

fn write_calls(json: &mut JsonText, parts: &[Part<'_>]) {
    let mut any = false;
    for part in parts {
        let Content::ToolCall { id, name, input } = &part.content else { continue };
        if !any {
            json.key("tool_calls").open(b'[');
        }
        any = true;
        json.open(b'{').member("id", id).member("type", "function").key("function").open(b'{');
        json.member("name", name).member("arguments", input).close(b'}');
        write_signature(json, id);
        json.close(b'}');
    }
    if any {
        json.close(b']');
    }
}
