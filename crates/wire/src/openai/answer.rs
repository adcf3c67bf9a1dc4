//! Full chat completions: to the neutral form and from it.
//!
//! Called by [`crate::answer`] when client and provider speak different formats.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{finish_reason, stop_of, write_usage};
use crate::answer::parse_usage;
use crate::json::{JsonText, Str, is_object};
use crate::neutral::{Answer, Content, Part, Stop, Text};
use crate::stream::View;

#[derive(Deserialize)]
struct Completion<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(borrow)]
    finish_reason: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: Option<Str<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Str<'a>>,
    #[serde(borrow)]
    reasoning: Option<Str<'a>>,
    #[serde(borrow)]
    refusal: Option<Str<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<Str<'a>>,
}

/// The answer in `text`: its first choice.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, String> {
    let completion: Completion<'_> = serde_json::from_str(text).map_err(|why| why.to_string())?;
    let id = completion.id.unwrap_or_default().0;
    let choice = completion.choices.into_iter().next().ok_or("no choice")?;
    let message = choice.message;
    let mut parts = Vec::new();
    let thought = message.reasoning_content.or(message.reasoning);
    let signature = || Cow::Borrowed("");
    parts.extend(filled(thought).map(|text| Content::Thinking { text, signature: signature() }));
    parts.extend(filled(message.content).map(Content::Text));
    parts.extend(filled(message.refusal).map(Content::Refusal));
    let mut stop = choice.finish_reason.map(|reason| stop_of(&reason.0));
    for (i, call) in message.tool_calls.into_iter().flatten().enumerate() {
        let given = call.function.arguments.unwrap_or_default().0;
        let input = match given.trim() {
            "" => Cow::Borrowed("{}"),
            _ if is_object(&given) => given,
            _ => return Err("tool call arguments that are no JSON object".to_owned()),
        };
        let call_id = call.id.map(Text::from).filter(|id| !id.is_empty());
        let call_id = call_id.unwrap_or_else(|| Cow::Owned(format!("{id}_{i}")));
        parts.push(Content::ToolCall { id: call_id, name: call.function.name, input });
        // Some providers call it an ordinary end.
        if stop == Some(Stop::End) {
            stop = Some(Stop::Tools);
        }
    }
    let usage = completion.usage.and_then(|raw| parse_usage(raw.get()));
    let parts = parts.into_iter().map(Part::from).collect();
    Ok(Answer { id, parts, stop, stop_sequence: None, usage })
}

fn filled(text: Option<Str<'_>>) -> Option<Text<'_>> {
    text.map(Text::from).filter(|text| !text.is_empty())
}

/// The body of a chat completion that says `answer`.
pub(crate) fn write(answer: &Answer<'_>, view: &View) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').member("id", &answer.id).member("object", "chat.completion");
    json.count_member("created", view.created).raw_member("model", &view.model_json);
    json.key("choices").open(b'[').open(b'{').count_member("index", 0).key("message");
    write_message(&mut json, &answer.parts);
    json.raw_member("logprobs", "null").key("finish_reason");
    match answer.stop {
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

fn write_message(json: &mut JsonText, parts: &[Part<'_>]) {
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
        Content::Thinking { text, .. } => Some(text.to_string()),
        _ => None,
    }) {
        json.member("reasoning_content", &thoughts);
    }
    write_thinking_blocks(json, parts);
    write_calls(json, parts);
    json.close(b'}');
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

fn write_calls(json: &mut JsonText, parts: &[Part<'_>]) {
    let mut any = false;
    for part in parts {
        let Content::ToolCall { id, name, input } = &part.content else { continue };
        if !any {
            json.key("tool_calls").open(b'[');
        }
        any = true;
        json.open(b'{').member("id", id).member("type", "function").key("function").open(b'{');
        json.member("name", name).member("arguments", input).close(b'}').close(b'}');
    }
    if any {
        json.close(b']');
    }
}
