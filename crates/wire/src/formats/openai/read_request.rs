//! Reads a chat completion request into the neutral form.
//!
//! Called if the provider speaks another wire. Always true: every field is in the neutral request, or the refusal
//! names it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::read_tools;
use crate::bytes::elements::elements;
use crate::bytes::fields::is_removed;
use crate::bytes::json::Str;
use crate::formats::arguments::{INPUT, as_object, wrapped};
use crate::formats::neutral::{
    Content, Format, Json, Part, Request, Role, Text, Thinking, Turn, Unfit, add, raw_json,
};
use crate::formats::read_source;
use crate::formats::room::Room;
use crate::formats::signed_call;
use crate::formats::thoughts::GOOGLES;
use crate::formats::unfit::{asks_nothing, field, flag_field, list_field, object_field};

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<Str<'a>>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    function_call: Option<&'a RawValue>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_call_id: Option<Str<'a>>,
    #[serde(borrow)]
    thinking_blocks: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    extra_content: Option<&'a RawValue>,
    #[serde(borrow)]
    provider_specific_fields: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    custom: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

/// A call of a tool whose input is a text.
#[derive(Deserialize)]
struct CalledCustom<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    input: Text<'a>,
}

#[derive(Deserialize)]
struct CalledFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
    #[serde(borrow)]
    provider_specific_fields: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ThinkingBlock<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    thinking: Option<Str<'a>>,
    #[serde(borrow)]
    signature: Option<Str<'a>>,
    #[serde(borrow)]
    data: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    refusal: Option<Str<'a>>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    #[serde(borrow)]
    file: Option<&'a RawValue>,
    #[serde(borrow)]
    input_audio: Option<&'a RawValue>,
    #[serde(borrow)]
    video_url: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

/// The neutral request in `fields`, without those that are meant for the gateway.
pub(crate) fn read<'a>(
    fields: impl Iterator<Item = (Text<'a>, &'a str)>,
    room: &Room,
) -> Result<Request<'a>, Unfit> {
    let mut request = Request::default();
    let mut most: [Option<Json<'_>>; 2] = [None, None];
    let mut allowed = None;
    for (name, raw) in fields {
        if raw == "null" || is_removed(&name) {
            continue;
        }
        match &*name {
            // `metadata` is LiteLLM's own; OpenAI's does not change the answer.
            "model" | "stream_options" | "metadata" => {}
            "messages" => {
                // Of two members of one name the last one counts.
                (request.turns, request.system) = (Vec::new(), Vec::new());
                messages(raw, room, &mut request)?;
            }
            "tools" => request.tools = read_tools::tools(raw, room, &mut request.left_out)?,
            "tool_choice" if read_tools::is_of_allowed(raw) => allowed = Some(raw),
            "tool_choice" => request.tool_choice = Some(read_tools::tool_choice(raw)?),
            "parallel_tool_calls" => {
                request.parallel_tools = flag_field("parallel_tool_calls", Some(raw))?;
            }
            "max_completion_tokens" => most[0] = Some(Cow::Borrowed(raw)),
            "max_tokens" => most[1] = Some(Cow::Borrowed(raw)),
            "temperature" => request.temperature = Some(Cow::Borrowed(raw)),
            "top_p" => request.top_p = Some(Cow::Borrowed(raw)),
            "stop" => request.stop = stop(raw, room)?,
            "stream" => request.stream = flag_field("stream", Some(raw))? == Some(true),
            "user" => request.user = Some(text_field("user", raw)?),
            "reasoning_effort" => request.effort = Some(effort(raw)?),
            "thinking" => request.thinking = Some(Thinking::Native(Cow::Borrowed(raw))),
            "response_format" => request.format = response_format(raw)?,
            // Without settings it asks for a search all the same.
            "web_search_options" => request.others.push((name, Cow::Borrowed(raw))),
            _ if asks_nothing(raw) => {}
            _ => {
                room.take(&name)?;
                request.others.push((name, Cow::Borrowed(raw)));
            }
        }
    }
    let [newer, older] = most;
    request.max_tokens = newer.or(older);
    if let Some(raw) = allowed {
        read_tools::allow(&mut request, raw, room)?;
    }
    Ok(request)
}

fn effort(raw: &str) -> Result<Text<'_>, Unfit> {
    #[derive(Deserialize)]
    struct Reasoning<'a> {
        #[serde(borrow)]
        effort: Text<'a>,
    }
    // Some SDKs send the object of the Responses API.
    if raw.starts_with('{') {
        return object_field::<Reasoning<'_>>("reasoning_effort", raw)
            .map(|reasoning| reasoning.effort);
    }
    text_field("reasoning_effort", raw)
}

/// A string, borrowed if it has no escapes.
fn text_field<'a>(name: &str, raw: &'a str) -> Result<Text<'a>, Unfit> {
    field::<Str<'a>>(name, raw).map(Text::from)
}

fn messages<'a>(raw: &'a str, room: &Room, request: &mut Request<'a>) -> Result<(), Unfit> {
    for (i, raw) in list_field("messages", raw, room)?.enumerate() {
        let at = format!("messages[{i}]");
        let message: Message<'a> = object_field(&at, raw?)?;
        if message.function_call.is_some() {
            return Err(Unfit::malformed(
                format!("{at}.function_call"),
                "it is no longer served; use `tool_calls`",
            ));
        }
        if message.audio.is_some() {
            let fix = "send its transcript as `content`";
            return Err(Unfit::unsupported(format!("{at}.audio"), "of another wire", fix));
        }
        let mut parts = match message.content {
            Some(content) => content_parts(content.get(), &format!("{at}.content"), room)?,
            None => Vec::new(),
        };
        if let (Some(last), Some(mark)) = (parts.last_mut(), raw_json(message.cache_control)) {
            last.cache.get_or_insert(mark);
        }
        match &*message.role {
            "system" | "developer" => request.system.extend(parts),
            "user" => add(&mut request.turns, Role::User, parts),
            "assistant" => {
                let parts = assistant_parts(message, parts, (&at, room))?;
                add(&mut request.turns, Role::Assistant, parts);
            }
            "tool" => add_result(&mut request.turns, message, parts, &at)?,
            other => {
                return Err(Unfit::malformed(
                    format!("{at}.role"),
                    format!("`{}` is no role; use system, user, assistant or tool", short(other)),
                ));
            }
        }
    }
    Ok(())
}

fn assistant_parts<'a>(
    message: Message<'a>,
    content: Vec<Part<'a>>,
    (at, room): (&str, &Room),
) -> Result<Vec<Part<'a>>, Unfit> {
    if message.thinking_blocks.is_none()
        && message.reasoning_content.is_none()
        && message.refusal.is_none()
        && message.tool_calls.is_none()
        && message.images.is_none()
    {
        return Ok(content);
    }
    let mut parts = Vec::with_capacity(content.len() + 1);
    let blocks = of_message((at, "thinking_blocks"), message.thinking_blocks, room)?;
    for (i, block) in blocks.enumerate() {
        let block: ThinkingBlock<'a> = object_field("thinking_blocks", block?)?;
        let content = match (&*block.kind, block.data) {
            ("thinking", _) => Content::Thinking {
                text: block.thinking.unwrap_or_default().0,
                signature: block.signature.unwrap_or_default().0,
            },
            ("redacted_thinking", Some(data)) => Content::Redacted(data.0),
            _ => {
                let place = format!("{at}.thinking_blocks[{i}]");
                return Err(Unfit::malformed(place, "it is no thinking block"));
            }
        };
        parts.push(content.into());
    }
    // The same text as that of the blocks, without its signature.
    let thoughts = message.reasoning_content.map(RawValue::get).filter(|_| parts.is_empty());
    if let Some(raw) = thoughts.filter(|raw| raw.len() > 2 && raw.starts_with('"')) {
        let text = text_field(&format!("{at}.reasoning_content"), raw)?;
        parts.push(Content::Thinking { text, signature: Cow::Borrowed("") }.into());
    }
    let images = images((at, room), message.images)?;
    let mut parts = signed_in_place(parts, content, images);
    parts.extend(message.refusal.map(|text| Part::from(Content::Refusal(text.0))));
    let calls = of_message((at, "tool_calls"), message.tool_calls, room)?;
    for (i, call) in calls.enumerate() {
        let mut call: Call<'a> = object_field("tool_calls", call?)?;
        if signed_call::split(&call.id).1.is_none() {
            call.id = signed_call::joined(call.id, call.extra_content);
        }
        if signed_call::split(&call.id).1.is_none() {
            call.id = signed_call::joined_of_fields(call.id, call.provider_specific_fields);
        }
        if let Some(custom) = call.custom {
            let custom: CalledCustom<'a> =
                object_field(&format!("{at}.tool_calls[{i}].custom"), custom.get())?;
            let input = wrapped(INPUT, &custom.input);
            let content =
                Content::ToolCall { id: call.id, name: custom.name, input: Cow::Owned(input) };
            parts.push(Part { content, cache: raw_json(call.cache_control) });
            continue;
        }
        let place = format!("{at}.tool_calls[{i}].function");
        let Some(function) = call.function else {
            return Err(Unfit::malformed(place, "only calls of functions can be passed on"));
        };
        let function: CalledFunction<'a> = object_field(&place, function.get())?;
        if signed_call::split(&call.id).1.is_none() {
            call.id = signed_call::joined_of_fields(call.id, function.provider_specific_fields);
        }
        // A model's mistake stays in the history of its client.
        let input = as_object(function.arguments);
        let content = Content::ToolCall { id: call.id, name: function.name, input };
        parts.push(Part { content, cache: raw_json(call.cache_control) });
    }
    Ok(parts)
}

/// Thoughts, content and pictures of a message, with the signatures of Google's that are of no thought behind what they sign: a
/// picture, else the text.
fn signed_in_place<'a>(
    blocks: Vec<Part<'a>>,
    content: Vec<Part<'a>>,
    images: Vec<Content<'a>>,
) -> Vec<Part<'a>> {
    let is_of_a_part = |part: &Part<'_>| {
        matches!(&part.content, Content::Thinking { text, signature }
            if text.is_empty() && signature.starts_with(GOOGLES))
    };
    let (mut of_parts, mut parts): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_of_a_part);
    let of_images = of_parts.split_off(of_parts.len().saturating_sub(images.len()));
    parts.extend(content);
    parts.extend(of_parts);
    let mut of_images = of_images.into_iter();
    for image in images {
        parts.push(image.into());
        parts.extend(of_images.next());
    }
    parts
}

/// The pictures of an answer, as it was written for the client. What is none is left out: nothing locks a session.
fn images<'a>(
    (at, room): (&str, &Room),
    raw: Option<&'a RawValue>,
) -> Result<Vec<Content<'a>>, Unfit> {
    #[derive(Deserialize)]
    struct Image<'a> {
        #[serde(borrow)]
        image_url: &'a RawValue,
    }
    let Some(list) = raw.and_then(|raw| elements(raw.get())) else { return Ok(Vec::new()) };
    let place = format!("{at}.images");
    let mut images = Vec::new();
    for raw in list {
        room.take(&place)?;
        let given = object_field::<Image<'a>>(&place, raw);
        let found = given.and_then(|given| read_source::image(given.image_url.get(), &place));
        images.extend(found.ok().map(Content::Image));
    }
    Ok(images)
}

/// The elements of a message's list, which may be absent.
fn of_message<'a>(
    (at, name): (&str, &str),
    raw: Option<&'a RawValue>,
    room: &Room,
) -> Result<impl Iterator<Item = Result<&'a str, Unfit>>, Unfit> {
    let place = format!("{at}.{name}");
    let Some(elements) = elements(raw.map_or("[]", RawValue::get)) else {
        return Err(Unfit::malformed(place, "it must be a list"));
    };
    Ok(elements.map(move |element| room.take(&place).map(|()| element)))
}

/// The result of a tool comes before everything else in the user's turn.
fn add_result<'a>(
    turns: &mut Vec<Turn<'a>>,
    message: Message<'a>,
    mut parts: Vec<Part<'a>>,
    at: &str,
) -> Result<(), Unfit> {
    let Some(Str(id)) = message.tool_call_id else {
        return Err(Unfit::malformed(format!("{at}.tool_call_id"), "it is missing"));
    };
    // The cache hint belongs to the outer block.
    let mark = parts.last_mut().and_then(|part| part.cache.take());
    let content = Content::ToolResult { id, parts, is_error: false };
    let part = Part { content, cache: mark };
    match turns.last_mut() {
        Some(last) if last.role == Role::User => {
            let is_result = |part: &Part<'_>| matches!(part.content, Content::ToolResult { .. });
            // The results come first, so that the last one is near the end.
            let place = last.parts.iter().rposition(is_result).map_or(0, |at| at + 1);
            last.parts.insert(place, part);
        }
        _ => turns.push(Turn { role: Role::User, parts: vec![part] }),
    }
    Ok(())
}

fn content_parts<'a>(raw: &'a str, at: &str, room: &Room) -> Result<Vec<Part<'a>>, Unfit> {
    if raw.starts_with('"') {
        let text = text_field(at, raw)?;
        let is_empty = text.is_empty();
        return Ok(if is_empty { Vec::new() } else { vec![Content::Text(text).into()] });
    }
    let mut parts = Vec::new();
    for (i, part) in list_field(at, raw, room)?.enumerate() {
        let part: ContentPart<'a> = object_field(at, part?)?;
        let place = || format!("{at}[{i}]");
        let missing = |name: &str| Unfit::malformed(format!("{at}[{i}].{name}"), "it is missing");
        let content = match &*part.kind {
            "text" | "input_text" => Content::Text(part.text.ok_or_else(|| missing("text"))?.0),
            "refusal" => Content::Refusal(part.refusal.ok_or_else(|| missing("refusal"))?.0),
            "image_url" => {
                let image = part.image_url.ok_or_else(|| missing("image_url"))?;
                Content::Image(read_source::image(image.get(), &place())?)
            }
            "input_audio" => {
                let sound = part.input_audio.ok_or_else(|| missing("input_audio"))?;
                Content::Media(read_source::sound(sound.get(), &place())?)
            }
            "video_url" => {
                let video = part.video_url.ok_or_else(|| missing("video_url"))?;
                Content::Media(read_source::image(video.get(), &place())?)
            }
            "file" => {
                let file = part.file.ok_or_else(|| missing("file"))?;
                read_source::document(file.get(), &place())?
            }
            other => {
                let field = format!("{}.type: {}", place(), short(other));
                return Err(Unfit::unsupported(field, "of another wire", "leave it out"));
            }
        };
        if !matches!(&content, Content::Text(text) if text.is_empty()) {
            parts.push(Part { content, cache: raw_json(part.cache_control) });
        }
    }
    Ok(parts)
}

fn stop<'a>(raw: &'a str, room: &Room) -> Result<Vec<Text<'a>>, Unfit> {
    if raw.starts_with('"') {
        return Ok(vec![text_field("stop", raw)?]);
    }
    list_field("stop", raw, room)?.map(|text| text_field("stop", text?)).collect()
}

fn response_format(raw: &str) -> Result<Option<Format<'_>>, Unfit> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        json_schema: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Schema<'a> {
        #[serde(borrow)]
        name: Option<Str<'a>>,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        #[serde(borrow)]
        strict: Option<&'a RawValue>,
    }
    let shape: Shape<'_> = object_field("response_format", raw)?;
    let of_schema = shape.json_schema.filter(|_| &*shape.kind == "json_schema");
    let of_schema = of_schema.map(|raw| object_field("response_format.json_schema", raw.get()));
    match (&*shape.kind, of_schema.transpose()?) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Format::JsonObject)),
        ("json_schema", Some(Schema { name, schema: Some(schema), strict })) => {
            let schema = Cow::Borrowed(schema.get());
            let strict =
                flag_field("response_format.json_schema.strict", strict.map(RawValue::get))?;
            Ok(Some(Format::Schema { name: name.map(Text::from), schema, strict }))
        }
        ("json_schema", _) => {
            Err(Unfit::malformed("response_format.json_schema.schema", "it is missing"))
        }
        (other, _) => Err(Unfit::malformed(
            "response_format.type",
            format!("`{}` is none of text, json_object, json_schema", short(other)),
        )),
    }
}

/// A client's text, cut for an error message.
fn short(text: &str) -> String {
    crate::formats::errors::clean(text, 60)
}
