//! Writes a neutral request as the body of a chat completion.
//!
//! Called for clients of another format. Always true: [`super::edits`] then edits the body, sets the model and
//! requests the usage of a stream; what cannot be expressed is refused, or left out if `drop_params` allows it.

use std::borrow::Cow;

use hale_core::health::Advice;
use hale_core::provider::{ThoughtsField, WireFormat};

use super::edits::{OFF, ON};
use super::sequence::{BETWEEN, Sequence, Speaker};
use crate::bytes::json::JsonText;
use crate::formats::neutral::{
    Content, Format, Part, Request, Role, Source, Thinking, Tool, ToolChoice, Turn, Unfit,
};
use crate::formats::order::Order;
use crate::formats::schema::{self, TooMuch};
use crate::formats::signed_call::{self, CallSigning};
use crate::formats::signing::Signing;

/// Longest `user`, in characters. Source: the provider's 400, "Expected a string with maximum length 64".
const USER_MAX: usize = 64;
/// The smallest budget of reasoning tokens for each effort. Source: LiteLLM.
const EFFORTS: [(u64, &str); 3] = [(10_000, "high"), (5_000, "medium"), (2_000, "low")];
/// Parameters of chats that clients of Google's format have, too.
const OF_CHATS: &[&str] = &["frequency_penalty", "modalities", "presence_penalty", "seed"];
/// Parameters of other formats that change no answer: hints about the cache, speed and price.
const ADVICE: &[&str] = &["cache_control", "output_config.task_budget", "service_tier", "speed"];
const FIX: &str = "leave it out, or set `drop_params: true`";

/// The body of `request`, which was read from that many bytes.
pub(crate) fn write(
    request: &Request<'_>,
    order: &Order<'_>,
    bytes: usize,
) -> Result<Vec<u8>, Unfit> {
    let mut json = JsonText::of_request(bytes, schema::GROWTH);
    json.open(b'{').member("model", order.upstream_model).key("messages").open(b'[');
    let mut sequence = Sequence::of(order);
    let signing = Signing::of(request, order);
    if !request.system.is_empty() {
        write_said(&mut json, (Speaker::System, false), &request.system, (order, &mut sequence))?;
    }
    for (i, turn) in request.turns.iter().enumerate() {
        let is_last = i + 1 == request.turns.len();
        match turn.role {
            Role::Assistant => {
                assistant(&mut json, &turn.parts, (order, signing.at(i)), &mut sequence)?;
            }
            Role::User | Role::System => {
                write_turn(&mut json, (turn, is_last), order, &mut sequence)?;
            }
        }
    }
    json.close(b']');
    parameters(&mut json, request, order);
    write_tools(&mut json, request, order)?;
    write_format(&mut json, request.format.as_ref())?;
    if let Some(effort) = effort(request) {
        json.member("reasoning_effort", &effort);
    }
    if order.deployment.endpoint.provider.quirks.thinking_switch
        && let Some(switch) = thinking_switch(request.thinking.as_ref())
    {
        json.raw_member("thinking", switch);
    }
    for (name, raw) in &request.others {
        // Several answers are translated where they come in one piece.
        let is_count = &**name == "n" && !request.stream;
        let is_of_chats = is_count || OF_CHATS.contains(&&**name);
        if order.operation.format() == WireFormat::Gemini && is_of_chats {
            json.raw_member(name, raw);
            continue;
        }
        if order.drop_params || order.drops(name) || ADVICE.contains(&&**name) {
            continue;
        }
        return Err(Unfit::unsupported(&**name, &order.deployment.endpoint.provider.name, FIX));
    }
    json.close(b'}');
    Ok(json.into_bytes())
}

fn parameters(json: &mut JsonText, request: &Request<'_>, order: &Order<'_>) {
    let raws = [
        ("max_tokens", &request.max_tokens),
        ("temperature", &request.temperature),
        ("top_p", &request.top_p),
    ];
    for (name, raw) in raws {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    if !request.stop.is_empty() {
        json.key("stop").open(b'[');
        for text in &request.stop {
            json.text(text);
        }
        json.close(b']');
    }
    if request.stream {
        json.raw_member("stream", "true");
    }
    if let Some(user) = request.user.as_ref().filter(|_| !order.known.refuses(Advice::USER)) {
        let cut: Cow<'_, str> = if user.chars().count() > USER_MAX {
            user.chars().take(USER_MAX).collect::<String>().into()
        } else {
            Cow::Borrowed(user)
        };
        json.member("user", &cut);
    }
}

fn effort(request: &Request<'_>) -> Option<Cow<'static, str>> {
    let named = request.effort.as_ref().map(|effort| match &**effort {
        // The highest effort has another name on this wire.
        "max" => Cow::Borrowed("xhigh"),
        other => Cow::Owned(other.to_owned()),
    });
    match &request.thinking {
        Some(Thinking::Off | Thinking::Native(_)) => None,
        None | Some(Thinking::Adaptive) => named,
        Some(Thinking::Budget(budget)) => named.or_else(|| {
            let found = EFFORTS.iter().find(|(from, _)| budget >= from);
            Some(Cow::Borrowed(found.map_or("minimal", |(_, effort)| *effort)))
        }),
    }
}

/// `thinking` of providers that turn it on and off by it.
fn thinking_switch(thinking: Option<&Thinking<'_>>) -> Option<&'static str> {
    match thinking {
        None | Some(Thinking::Native(_)) => None,
        Some(Thinking::Off) => Some(OFF),
        Some(Thinking::Adaptive | Thinking::Budget(_)) => Some(ON),
    }
}

fn write_turn(
    json: &mut JsonText,
    (turn, is_last): (&Turn<'_>, bool),
    order: &Order<'_>,
    sequence: &mut Sequence,
) -> Result<(), Unfit> {
    if turn.role == Role::System {
        return write_said(json, (Speaker::System, is_last), &turn.parts, (order, sequence));
    }
    // Images in a tool's result: a `tool` message holds text only.
    let mut tail: Vec<&Part<'_>> = Vec::with_capacity(turn.parts.len());
    for part in &turn.parts {
        if let Content::ToolResult { id, parts, is_error } = &part.content {
            let (texts, others): (Vec<_>, Vec<_>) =
                parts.iter().partition(|part| matches!(part.content, Content::Text(_)));
            sequence.next(Speaker::Tool, false);
            json.open(b'{').member("role", "tool").member("tool_call_id", id);
            let prefix = if *is_error { "Error: " } else { "" };
            json.key("content").joined(result_text(prefix, &texts, &others)).close(b'}');
            tail.extend(others);
        } else {
            tail.push(part);
        }
    }
    // The provider decides about an empty turn.
    if !tail.is_empty() || turn.parts.is_empty() {
        write_said(json, (Speaker::User, is_last), tail, (order, sequence))?;
    }
    Ok(())
}

/// A message that the model did not write.
fn write_said<'p, 'a: 'p>(
    json: &mut JsonText,
    (speaker, is_last): (Speaker, bool),
    parts: impl IntoIterator<Item = &'p Part<'a>>,
    (order, sequence): (&Order<'_>, &mut Sequence),
) -> Result<(), Unfit> {
    let step = sequence.next(speaker, is_last);
    if step.is_announced {
        json.open(b'{').member("role", "assistant").member("content", BETWEEN).close(b'}');
    }
    let is_system = speaker == Speaker::System && !step.is_users;
    json.open(b'{').member("role", if is_system { "system" } else { "user" });
    user_content(json, parts, order)?;
    json.close(b'}');
    Ok(())
}

/// The text of a tool's result, in pieces; `others` are its parts that are not text.
fn result_text<'p>(
    prefix: &'static str,
    texts: &'p [&Part<'_>],
    others: &[&Part<'_>],
) -> impl Iterator<Item = &'p str> {
    let is_elsewhere = texts.is_empty() && !others.is_empty();
    let note = is_elsewhere.then_some("(the result is in the next message)");
    let texts = texts.iter().enumerate().flat_map(|(i, part)| match &part.content {
        Content::Text(text) => [if i == 0 { "" } else { "\n" }, &**text],
        _ => [""; 2],
    });
    [prefix].into_iter().chain(note).chain(texts)
}

/// `content`: a single text as a string, anything else as a list.
fn user_content<'p, 'a: 'p>(
    json: &mut JsonText,
    parts: impl IntoIterator<Item = &'p Part<'a>>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let parts: Vec<&Part<'_>> = parts.into_iter().collect();
    if let [Part { content: Content::Text(text), .. }] = &parts[..] {
        json.member("content", text);
        return Ok(());
    }
    json.key("content").open(b'[');
    for part in parts {
        write_part(json, &part.content, order)?;
    }
    json.close(b']');
    Ok(())
}

fn write_part(json: &mut JsonText, content: &Content<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    match content {
        Content::Text(text) | Content::Refusal(text) => {
            json.open(b'{').member("type", "text").member("text", text).close(b'}');
        }
        Content::Image(source) => {
            json.open(b'{').member("type", "image_url").key("image_url").open(b'{').key("url");
            match source {
                Source::Base64 { media_type, data } => {
                    json.joined(["data:", media_type, ";base64,", data])
                }
                Source::Url(url) => json.text(url),
                Source::Plain(_) | Source::File(_) => return Err(elsewhere("image", order)),
            };
            json.close(b'}').close(b'}');
        }
        Content::Media(source) => write_media(json, source, order)?,
        Content::Document { source, title, context } => {
            if let Some(context) = context {
                json.open(b'{').member("type", "text").member("text", context).close(b'}');
            }
            match source {
                Source::Plain(text) => {
                    if let Some(title) = title {
                        json.open(b'{').member("type", "text").member("text", title).close(b'}');
                    }
                    json.open(b'{').member("type", "text").member("text", text).close(b'}');
                }
                Source::Base64 { media_type, data } => {
                    let name = title.as_deref().unwrap_or("document.pdf");
                    json.open(b'{').member("type", "file").key("file").open(b'{');
                    json.member("filename", name);
                    json.key("file_data").joined(["data:", media_type, ";base64,", data]);
                    json.close(b'}').close(b'}');
                }
                Source::Url(_) | Source::File(_) => return Err(elsewhere("document", order)),
            }
        }
        // The user does not reason.
        Content::Thinking { .. } | Content::Redacted(_) => {}
        Content::ToolCall { .. } | Content::ToolResult { .. } => {
            return Err(Unfit::malformed("messages", "a tool call stands in a user's turn"));
        }
    }
    Ok(())
}

/// Sound is the one medium of this format.
fn write_media(json: &mut JsonText, source: &Source<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    let Source::Base64 { media_type, data } = source else {
        return Err(elsewhere("audio or video", order));
    };
    let Some(format) = media_type.strip_prefix("audio/") else {
        return Err(elsewhere("video", order));
    };
    json.open(b'{').member("type", "input_audio").key("input_audio").open(b'{');
    json.member("data", data).member("format", format).close(b'}').close(b'}');
    Ok(())
}

fn elsewhere(what: &str, order: &Order<'_>) -> Unfit {
    let field = format!("{what}.source");
    Unfit::unsupported(
        field,
        &order.deployment.endpoint.provider.name,
        "send the data itself in base64",
    )
}

fn assistant(
    json: &mut JsonText,
    parts: &[Part<'_>],
    (order, signing): (&Order<'_>, CallSigning),
    sequence: &mut Sequence,
) -> Result<(), Unfit> {
    let mut texts: Vec<&str> = Vec::new();
    let mut thoughts: Vec<&str> = Vec::new();
    let mut calls = Vec::new();
    for part in parts {
        match &part.content {
            Content::Text(more) | Content::Refusal(more) => texts.push(more),
            Content::ToolCall { id, name, input } => calls.push((id, name, input)),
            Content::Thinking { text, .. } => thoughts.push(text),
            Content::Redacted(_) => {}
            Content::Image(_)
            | Content::Media(_)
            | Content::Document { .. }
            | Content::ToolResult { .. } => {
                let provider = &order.deployment.endpoint.provider.name;
                return Err(Unfit::unsupported(
                    "messages: an image, a document or a tool's result in an assistant's turn",
                    provider,
                    "move it to a user's turn",
                ));
            }
        }
    }
    texts.retain(|text| !text.is_empty());
    if texts.is_empty() && calls.is_empty() {
        return Ok(());
    }
    sequence.next(Speaker::Assistant, false);
    json.open(b'{').member("role", "assistant").key("content");
    if texts.is_empty() {
        json.raw("null");
    } else {
        json.joined(texts);
    }
    let field = match order.deployment.endpoint.provider.quirks.thoughts_field {
        ThoughtsField::ReasoningContent => Some("reasoning_content"),
        ThoughtsField::Reasoning => Some("reasoning"),
        ThoughtsField::None => None,
    };
    if let Some(field) = field.filter(|_| !thoughts.is_empty()) {
        json.key(field).joined(thoughts);
    }
    if !calls.is_empty() {
        json.key("tool_calls").open(b'[');
        for (nth, (id, name, input)) in calls.into_iter().enumerate() {
            let (id, tail) = signed_call::split(id);
            json.open(b'{').member("id", id).member("type", "function").key("function");
            json.open(b'{').member("name", name).member("arguments", input);
            json.close(b'}');
            if let Some(signature) = signing.signature(nth, tail) {
                json.key("extra_content").open(b'{').key("google").open(b'{');
                json.member("thought_signature", &signature).close(b'}').close(b'}');
            }
            json.close(b'}');
        }
        json.close(b']');
    }
    json.close(b'}');
    Ok(())
}

fn write_tools(json: &mut JsonText, request: &Request<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    if request.tools.is_empty() {
        return Ok(());
    }
    json.key("tools").open(b'[');
    for (i, tool) in request.tools.iter().enumerate() {
        let Tool::Function { name, description, schema, strict, cache: _ } = tool else {
            return Err(Unfit::unsupported(
                format!("tools[{i}]"),
                &order.deployment.endpoint.provider.name,
                "only tools that the client runs can be",
            ));
        };
        json.open(b'{').member("type", "function").key("function").open(b'{').member("name", name);
        if let Some(description) = description {
            json.member("description", description);
        }
        write_parameters(json, schema.as_deref(), *strict)
            .map_err(|why| Unfit::malformed(format!("tools[{i}]: the schema"), why))?;
        json.close(b'}').close(b'}');
    }
    json.close(b']');
    match &request.tool_choice {
        None => {}
        Some(ToolChoice::Auto) => {
            json.member("tool_choice", "auto");
        }
        Some(ToolChoice::Nothing) => {
            json.member("tool_choice", "none");
        }
        Some(ToolChoice::Any) => {
            json.member("tool_choice", "required");
        }
        Some(ToolChoice::Named(name)) => {
            json.key("tool_choice").open(b'{').member("type", "function").key("function");
            json.open(b'{').member("name", name).close(b'}').close(b'}');
        }
    }
    if let Some(parallel) = request.parallel_tools {
        json.raw_member("parallel_tool_calls", if parallel { "true" } else { "false" });
    }
    Ok(())
}

fn write_format(json: &mut JsonText, format: Option<&Format<'_>>) -> Result<(), Unfit> {
    match format {
        None => {}
        Some(Format::JsonObject) => {
            json.raw_member("response_format", r#"{"type":"json_object"}"#);
        }
        Some(Format::Schema { name, schema, strict }) => {
            json.key("response_format").open(b'{').member("type", "json_schema");
            json.key("json_schema").open(b'{');
            json.member("name", name.as_deref().unwrap_or("response")).key("schema");
            let strict = strict.map(|strict| strict && schema::conforms(schema));
            match strict {
                Some(true) => schema::write_closed(json, schema)
                    .map_err(|why| Unfit::malformed("output_config.format.schema", why))?,
                Some(false) | None => {
                    json.raw(schema);
                }
            }
            write_strict(json, strict);
            json.close(b'}').close(b'}');
        }
    }
    Ok(())
}

/// The schema of a tool's input, and whether inputs must follow it.
fn write_parameters(
    json: &mut JsonText,
    schema: Option<&str>,
    strict: Option<bool>,
) -> Result<(), TooMuch> {
    let strict = strict.map(|strict| strict && schema.is_none_or(schema::conforms));
    if let Some(schema) = schema {
        json.key("parameters");
        match strict {
            Some(true) => schema::write_closed(json, schema)?,
            Some(false) | None => schema::write_input(json, schema)?,
        }
    }
    write_strict(json, strict);
    Ok(())
}

/// `strict`, if the client says something about it. A schema that this wire's strict mode refuses is only advice.
fn write_strict(json: &mut JsonText, strict: Option<bool>) {
    if let Some(strict) = strict {
        json.raw_member("strict", if strict { "true" } else { "false" });
    }
}
