//! Reads a messages request into the neutral form.
//!
//! Called if the provider speaks another wire, and to estimate tokens. Always true: every field is in the neutral
//! request, or the refusal names it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::metadata::user_id;
use crate::bytes::fields::REMOVED;
use crate::bytes::json::Str;
use crate::bytes::peek::Peek;
use crate::formats::neutral::{
    Content, Format, Json, Part, Request, Role, Source, Text, Thinking, Tool, ToolChoice, Unfit,
    add, raw_json,
};
use crate::formats::unfit::field;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    source: Option<GivenSource<'a>>,
    #[serde(borrow)]
    title: Option<Str<'a>>,
    #[serde(borrow)]
    context: Option<Str<'a>>,
    #[serde(borrow)]
    citations: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Str<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    is_error: Option<bool>,
    #[serde(borrow)]
    thinking: Option<Str<'a>>,
    #[serde(borrow)]
    signature: Option<Str<'a>>,
    #[serde(borrow)]
    data: Option<Str<'a>>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct GivenSource<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    media_type: Option<Str<'a>>,
    #[serde(borrow)]
    data: Option<Str<'a>>,
    #[serde(borrow)]
    url: Option<Str<'a>>,
    #[serde(borrow)]
    file_id: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct GivenTool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    description: Option<Str<'a>>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

/// The neutral request in `peek`.
pub(crate) fn read(peek: &Peek) -> Result<Request<'_>, Unfit> {
    let mut request = Request::default();
    for (name, raw) in peek.fields() {
        if raw == "null" || REMOVED.has(&name) {
            continue;
        }
        match &*name {
            "model" => {}
            "messages" => messages(raw, &mut request)?,
            "system" => request.system = blocks(raw, "system")?,
            "max_tokens" => request.max_tokens = Some(Cow::Borrowed(raw)),
            "temperature" => request.temperature = Some(Cow::Borrowed(raw)),
            "top_p" => request.top_p = Some(Cow::Borrowed(raw)),
            "stop_sequences" => {
                let list: Vec<Str<'_>> = field("stop_sequences", raw)?;
                request.stop = list.into_iter().map(Text::from).collect();
            }
            "stream" => request.stream = field("stream", raw)?,
            "metadata" => request.user = user(raw)?,
            "tools" => request.tools = tools(raw)?,
            "tool_choice" => tool_choice(raw, &mut request)?,
            "thinking" => request.thinking = Some(thinking(raw)?),
            "output_config" => output_config(raw, &mut request)?,
            "output_format" => request.format = Some(format("output_format", raw)?),
            _ => request.others.push((name, Cow::Borrowed(raw))),
        }
    }
    Ok(request)
}

fn user(raw: &str) -> Result<Option<Text<'_>>, Unfit> {
    let id = user_id(raw).map_err(|why| Unfit::malformed("metadata", why))?;
    Ok(id.map(Text::from))
}

fn messages<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<(), Unfit> {
    let list: Vec<&'a RawValue> = field("messages", raw)?;
    for (i, raw) in list.into_iter().enumerate() {
        let at = format!("messages[{i}]");
        let message: Message<'a> = field(&at, raw.get())?;
        let role = match &*message.role {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => {
                let why = "it is none of user, assistant, system";
                return Err(Unfit::malformed(format!("{at}.role"), why));
            }
        };
        let parts = blocks(message.content.get(), &format!("{at}.content"))?;
        add(&mut request.turns, role, parts);
    }
    Ok(())
}

fn blocks<'a>(raw: &'a str, at: &str) -> Result<Vec<Part<'a>>, Unfit> {
    if raw.starts_with('"') {
        return Ok(vec![Content::Text(field::<Str<'a>>(at, raw)?.0).into()]);
    }
    let list: Vec<Block<'a>> = field(at, raw)?;
    let mut parts = Vec::with_capacity(list.len());
    for (i, block) in list.into_iter().enumerate() {
        let mark = raw_json(block.cache_control);
        block_parts(block, mark, &format!("{at}[{i}]"), &mut parts)?;
    }
    Ok(parts)
}

fn block_parts<'a>(
    block: Block<'a>,
    mark: Option<Json<'a>>,
    at: &str,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Unfit> {
    fn need<'a>(value: Option<Str<'a>>, at: &str, name: &str) -> Result<Text<'a>, Unfit> {
        value
            .map(Text::from)
            .ok_or_else(|| Unfit::malformed(format!("{at}.{name}"), "it is missing"))
    }
    let content = match &*block.kind {
        "text" => Content::Text(need(block.text, at, "text")?),
        "image" => Content::Image(source(block.source, at)?),
        "document" => {
            if block.citations.is_some_and(|raw| raw.get().contains("true")) {
                return Err(no_place(&format!("{at}.citations")));
            }
            let title = block.title.map(Text::from);
            let context = block.context.map(Text::from);
            Content::Document { source: source(block.source, at)?, title, context }
        }
        "tool_use" => Content::ToolCall {
            id: need(block.id, at, "id")?,
            name: need(block.name, at, "name")?,
            input: block.input.map_or(Cow::Borrowed("{}"), |raw| Cow::Borrowed(raw.get())),
        },
        "tool_result" => Content::ToolResult {
            id: need(block.tool_use_id, at, "tool_use_id")?,
            parts: match block.content {
                Some(raw) => blocks(raw.get(), &format!("{at}.content"))?,
                None => Vec::new(),
            },
            is_error: block.is_error == Some(true),
        },
        "thinking" => Content::Thinking {
            text: need(block.thinking, at, "thinking")?,
            signature: block.signature.unwrap_or_default().0,
        },
        "redacted_thinking" => Content::Redacted(need(block.data, at, "data")?),
        other => {
            return Err(no_place(&format!(
                "{at}.type: {}",
                crate::formats::errors::clean(other, 60)
            )));
        }
    };
    parts.push(Part { content, cache: mark });
    Ok(())
}

fn no_place(field: &str) -> Unfit {
    Unfit::unsupported(field, "of another wire", "leave it out, or use an Anthropic deployment")
}

fn source<'a>(given: Option<GivenSource<'a>>, at: &str) -> Result<Source<'a>, Unfit> {
    let wrong = |why: &str| Unfit::malformed(format!("{at}.source"), why);
    let given = given.ok_or_else(|| wrong("it is missing"))?;
    let missing = || wrong("it lacks what its type promises");
    match &*given.kind {
        "base64" => Ok(Source::Base64 {
            media_type: given.media_type.ok_or_else(missing)?.0,
            data: given.data.ok_or_else(missing)?.0,
        }),
        "text" => Ok(Source::Plain(given.data.ok_or_else(missing)?.0)),
        "url" => Ok(Source::Url(given.url.ok_or_else(missing)?.0)),
        "file" => Ok(Source::File(given.file_id.ok_or_else(missing)?.0)),
        other => Err(no_place(&format!(
            "{at}.source.type: {}",
            crate::formats::errors::clean(other, 60)
        ))),
    }
}

fn tools(raw: &str) -> Result<Vec<Tool<'_>>, Unfit> {
    let list: Vec<&RawValue> = field("tools", raw)?;
    let mut tools = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        let given: GivenTool<'_> = field(&format!("tools[{i}]"), raw.get())?;
        if given.kind.as_ref().is_some_and(|kind| kind.0 != "custom") {
            tools.push(Tool::Native(Cow::Borrowed(raw.get())));
            continue;
        }
        let Some(Str(name)) = given.name else {
            return Err(Unfit::malformed(format!("tools[{i}].name"), "it is missing"));
        };
        tools.push(Tool::Function {
            name,
            description: given.description.map(Text::from),
            schema: given.input_schema.map(|raw| Cow::Borrowed(raw.get())),
            strict: given.strict,
            cache: raw_json(given.cache_control),
        });
    }
    Ok(tools)
}

fn tool_choice<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<(), Unfit> {
    #[derive(Deserialize)]
    struct Chosen<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        name: Option<Str<'a>>,
        disable_parallel_tool_use: Option<bool>,
    }
    let chosen: Chosen<'a> = field("tool_choice", raw)?;
    request.tool_choice = Some(match (&*chosen.kind, chosen.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Any,
        ("none", _) => ToolChoice::Nothing,
        ("tool", Some(Str(name))) => ToolChoice::Named(name),
        _ => {
            let why = "it is none of auto, any, none, or a tool with its name";
            return Err(Unfit::malformed("tool_choice", why));
        }
    });
    request.parallel_tools = chosen.disable_parallel_tool_use.map(|disabled| !disabled);
    Ok(())
}

fn thinking(raw: &str) -> Result<Thinking<'_>, Unfit> {
    #[derive(Deserialize)]
    struct Config<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        budget_tokens: Option<u64>,
    }
    let config: Config<'_> = field("thinking", raw)?;
    match (&*config.kind, config.budget_tokens) {
        ("disabled", _) => Ok(Thinking::Off),
        ("enabled", Some(budget)) => Ok(Thinking::Budget(budget)),
        ("enabled", None) => Err(Unfit::malformed("thinking.budget_tokens", "it is missing")),
        ("adaptive", _) => Ok(Thinking::Adaptive),
        (other, _) => {
            Err(no_place(&format!("thinking.type: {}", crate::formats::errors::clean(other, 60))))
        }
    }
}

fn output_config<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<(), Unfit> {
    let config: BTreeMap<String, &'a RawValue> = field("output_config", raw)?;
    for (name, raw) in config {
        match (&*name, raw.get()) {
            (_, "null") => {}
            ("effort", raw) => {
                request.effort = Some(field::<Str<'a>>("output_config.effort", raw)?.0);
            }
            ("format", raw) => request.format = Some(format("output_config.format", raw)?),
            (other, raw) => {
                let name = format!("output_config.{}", crate::formats::errors::clean(other, 60));
                request.others.push((Cow::Owned(name), Cow::Borrowed(raw)));
            }
        }
    }
    Ok(())
}

fn format<'a>(name: &str, raw: &'a str) -> Result<Format<'a>, Unfit> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Str<'a>>,
        #[serde(borrow)]
        schema: &'a RawValue,
    }
    let shape: Shape<'a> = field(name, raw)?;
    if let Some(Str(kind)) = shape.kind.filter(|kind| kind.0 != "json_schema") {
        return Err(no_place(&format!(
            "{name}.type: {}",
            crate::formats::errors::clean(&kind, 60)
        )));
    }
    let schema = Cow::Borrowed(shape.schema.get());
    Ok(Format::Schema { name: None, schema, strict: Some(true) })
}
