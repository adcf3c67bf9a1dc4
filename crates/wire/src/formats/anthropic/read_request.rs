//! Reads a messages request into the neutral form.
//!
//! Called if the provider speaks another wire, and to estimate tokens. Always true: every field is in the neutral
//! request, or the refusal names it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::metadata::user_id;
use super::read_tools;
use crate::bytes::fields::is_removed;
use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::bytes::object::{self, ObjectError};
use crate::formats::errors::clean;
use crate::formats::neutral::{
    Content, Format, Part, Request, Role, Source, Text, Thinking, Unfit, add, media_type, raw_json,
};
use crate::formats::room::Room;
use crate::formats::unfit::{asks_nothing, field, flag_field, list_field, object_field};

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
    source: Option<&'a RawValue>,
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
    tool_name: Option<Str<'a>>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    is_error: Option<&'a RawValue>,
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

/// The neutral request in `fields`.
pub(crate) fn read<'a>(
    fields: impl Iterator<Item = (Text<'a>, &'a str)>,
    room: &Room,
) -> Result<Request<'a>, Unfit> {
    let mut request = Request::default();
    for (name, raw) in fields {
        if raw == "null" || is_removed(&name) {
            continue;
        }
        match &*name {
            "model" => {}
            "messages" => {
                // Of two members of one name the last one counts.
                request.turns.clear();
                messages(raw, room, &mut request)?;
            }
            "system" => {
                request.system =
                    blocks(raw, "system", &mut Reading::of(room, &mut request.left_out))?
            }
            "max_tokens" => request.max_tokens = Some(Cow::Borrowed(raw)),
            "temperature" => request.temperature = Some(Cow::Borrowed(raw)),
            "top_p" => request.top_p = Some(Cow::Borrowed(raw)),
            "stop_sequences" => {
                let texts = list_field("stop_sequences", raw, room)?;
                let texts = texts.map(|text| field::<Str<'_>>("stop_sequences", text?));
                request.stop = texts.map(|text| text.map(Text::from)).collect::<Result<_, _>>()?;
            }
            "stream" => request.stream = flag_field("stream", Some(raw))? == Some(true),
            "metadata" => request.user = user(raw)?,
            "tools" => request.tools = read_tools::tools(raw, room)?,
            "tool_choice" => read_tools::tool_choice(raw, &mut request)?,
            "thinking" => request.thinking = Some(thinking(raw)?),
            "output_config" => output_config(raw, &mut request)?,
            "output_format" => request.format = Some(format("output_format", raw)?),
            "context_management" => context_management(raw, room, &mut request)?,
            _ if asks_nothing(raw) => {}
            _ => {
                room.take(&name)?;
                request.others.push((name, Cow::Borrowed(raw)));
            }
        }
    }
    Ok(request)
}

fn user(raw: &str) -> Result<Option<Text<'_>>, Unfit> {
    if !raw.starts_with('{') {
        return Err(Unfit::malformed("metadata", "it must be an object"));
    }
    let id = user_id(raw).map_err(|why| Unfit::malformed("metadata", why))?;
    Ok(id.map(Text::from))
}

fn messages<'a>(raw: &'a str, room: &Room, request: &mut Request<'a>) -> Result<(), Unfit> {
    for (i, raw) in list_field("messages", raw, room)?.enumerate() {
        let at = format!("messages[{i}]");
        let message: Message<'a> = object_field(&at, raw?)?;
        let role = match &*message.role {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            _ => {
                let why = "it is none of user, assistant, system";
                return Err(Unfit::malformed(format!("{at}.role"), why));
            }
        };
        let mut reading = Reading::of(room, &mut request.left_out);
        let parts = blocks(message.content.get(), &format!("{at}.content"), &mut reading)?;
        add(&mut request.turns, role, parts);
    }
    Ok(())
}

/// What blocks are read with.
struct Reading<'r> {
    room: &'r Room,
    left_out: &'r mut Vec<&'static str>,
}

impl<'r> Reading<'r> {
    fn of(room: &'r Room, left_out: &'r mut Vec<&'static str>) -> Reading<'r> {
        Reading { room, left_out }
    }

    fn leave_out(&mut self, what: &'static str) {
        if !self.left_out.contains(&what) {
            self.left_out.push(what);
        }
    }
}

fn blocks<'a>(raw: &'a str, at: &str, reading: &mut Reading<'_>) -> Result<Vec<Part<'a>>, Unfit> {
    if raw.starts_with('"') {
        return Ok(vec![Content::Text(field::<Str<'a>>(at, raw)?.0).into()]);
    }
    let mut parts = Vec::new();
    let room = reading.room;
    for (i, block) in list_field(at, raw, room)?.enumerate() {
        let block: Block<'a> = object_field(at, block?)?;
        let cache = raw_json(block.cache_control);
        match &*block.kind {
            // What the provider's own tools did. The model's text about it stays.
            kind if OF_OWN_TOOLS.contains(&kind) => {
                reading.leave_out("messages.content: blocks of the provider's tools");
            }
            kind if !KNOWN.contains(&kind) && block.is_bare() => {
                reading.leave_out("messages.content: blocks of an unknown type");
            }
            "document" if block.is_of_blocks() => {
                document(block, &format!("{at}[{i}]"), reading, &mut parts)?;
            }
            "search_result" => search_result(block, &format!("{at}[{i}]"), reading, &mut parts)?,
            _ => {
                let content = block_content(block, &format!("{at}[{i}]"), reading)?;
                parts.push(Part { content, cache });
            }
        }
    }
    Ok(parts)
}

/// The wish to have the passages of a document cited. A session is never locked by one in its history.
const CITATIONS: &str = "messages.content.citations";

/// Types of blocks that have a neutral form, or are refused by name.
const KNOWN: &[&str] = &[
    "text",
    "image",
    "document",
    "tool_use",
    "tool_result",
    "tool_reference",
    "thinking",
    "redacted_thinking",
    "search_result",
    "compaction",
    "container_upload",
];

/// Types of blocks about tools that the provider runs.
const OF_OWN_TOOLS: &[&str] = &[
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "advisor_tool_result",
    "mcp_tool_use",
    "mcp_tool_result",
];

impl Block<'_> {
    /// Whether nothing in it could be content.
    fn is_bare(&self) -> bool {
        let texts = [&self.text, &self.thinking, &self.data];
        let values = [self.source, self.input, self.content];
        texts.iter().all(|text| text.is_none()) && values.iter().all(Option::is_none)
    }

    /// Whether its source is a list of blocks.
    fn is_of_blocks(&self) -> bool {
        let kind = self.source.and_then(|raw| texts(raw.get(), ["type"]).ok());
        matches!(kind, Some([Some("\"content\"")]))
    }

    /// Whether its passages are to be cited, which only advises.
    fn wants_citations(&self) -> bool {
        self.citations.is_some_and(|raw| raw.get().contains("true"))
    }
}

/// A document of blocks: its title and its context, then the blocks.
fn document<'a>(
    block: Block<'a>,
    at: &str,
    reading: &mut Reading<'_>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Unfit> {
    if block.wants_citations() {
        reading.leave_out(CITATIONS);
    }
    let source = block.source.map_or("{}", RawValue::get);
    let head = [block.title.map(Text::from), block.context.map(Text::from)];
    parts.extend(head.into_iter().flatten().map(|text| Part::from(Content::Text(text))));
    let [content] = texts(source, ["content"])
        .map_err(|_| Unfit::malformed(format!("{at}.source"), "it must be an object"))?;
    parts.extend(blocks(content.unwrap_or("[]"), &format!("{at}.source.content"), reading)?);
    Ok(())
}

/// What a search of the client's found: its title and its source, then its texts.
fn search_result<'a>(
    block: Block<'a>,
    at: &str,
    reading: &mut Reading<'_>,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), Unfit> {
    let source = block.source.map(|raw| field::<Str<'a>>(&format!("{at}.source"), raw.get()));
    let source = source.transpose()?.map(Text::from);
    let head = [block.title.map(Text::from), source];
    parts.extend(head.into_iter().flatten().map(|text| Part::from(Content::Text(text))));
    let content = block.content.map_or("[]", RawValue::get);
    parts.extend(blocks(content, &format!("{at}.content"), reading)?);
    Ok(())
}

fn block_content<'a>(
    block: Block<'a>,
    at: &str,
    reading: &mut Reading<'_>,
) -> Result<Content<'a>, Unfit> {
    fn need<'a>(value: Option<Str<'a>>, at: &str, name: &str) -> Result<Text<'a>, Unfit> {
        value
            .map(Text::from)
            .ok_or_else(|| Unfit::malformed(format!("{at}.{name}"), "it is missing"))
    }
    Ok(match &*block.kind {
        "text" => Content::Text(need(block.text, at, "text")?),
        "image" => Content::Image(source(block.source, at)?),
        "document" => {
            if block.wants_citations() {
                reading.leave_out(CITATIONS);
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
                Some(raw) => blocks(raw.get(), &format!("{at}.content"), reading)?,
                None => Vec::new(),
            },
            is_error: flag_field("is_error", block.is_error.map(RawValue::get))? == Some(true),
        },
        "thinking" => Content::Thinking {
            text: need(block.thinking, at, "thinking")?,
            signature: block.signature.unwrap_or_default().0,
        },
        // The tool's definition stands among the tools.
        "tool_reference" => {
            let name = need(block.tool_name, at, "tool_name")?;
            Content::Text(Cow::Owned(format!("The tool {name} is available.")))
        }
        // A summary of what came before.
        "compaction" => {
            let raw = block.content.map_or("\"\"", RawValue::get);
            Content::Text(field::<Str<'a>>(&format!("{at}.content"), raw)?.0)
        }
        "redacted_thinking" => Content::Redacted(need(block.data, at, "data")?),
        other => {
            return Err(no_place(&format!("{at}.type: {}", clean(other, 60))));
        }
    })
}

fn no_place(field: &str) -> Unfit {
    Unfit::unsupported(field, "of another wire", "leave it out, or use an Anthropic deployment")
}

fn source<'a>(given: Option<&'a RawValue>, at: &str) -> Result<Source<'a>, Unfit> {
    let wrong = |why: &str| Unfit::malformed(format!("{at}.source"), why);
    let given = given.ok_or_else(|| wrong("it is missing"))?;
    let given: GivenSource<'a> = object_field(&format!("{at}.source"), given.get())?;
    let missing = || wrong("it lacks what its type promises");
    match &*given.kind {
        "base64" => Ok(Source::Base64 {
            media_type: media_type(given.media_type.ok_or_else(missing)?.0),
            data: given.data.ok_or_else(missing)?.0,
        }),
        "text" => Ok(Source::Plain(given.data.ok_or_else(missing)?.0)),
        "url" => Ok(Source::Url(given.url.ok_or_else(missing)?.0)),
        "file" => Ok(Source::File(given.file_id.ok_or_else(missing)?.0)),
        other => Err(no_place(&format!("{at}.source.type: {}", clean(other, 60)))),
    }
}

/// Edits that only make the context shorter are advice: another provider gets all of it.
fn context_management<'a>(
    raw: &'a str,
    room: &Room,
    request: &mut Request<'a>,
) -> Result<(), Unfit> {
    #[derive(Deserialize)]
    struct Management<'a> {
        #[serde(borrow)]
        edits: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct ContextEdit<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
    }
    const NAME: &str = "context_management";
    let given: Management<'a> = object_field(NAME, raw)?;
    for edit in list_field(NAME, given.edits.map_or("[]", RawValue::get), room)? {
        let edit: ContextEdit<'a> = object_field(NAME, edit?)?;
        if !["clear_thinking_", "clear_tool_uses_", "compact_"]
            .iter()
            .any(|kind| edit.kind.starts_with(kind))
        {
            request.others.push((Cow::Borrowed(NAME), Cow::Borrowed(raw)));
            return Ok(());
        }
    }
    if !request.left_out.contains(&NAME) {
        request.left_out.push(NAME);
    }
    Ok(())
}

fn thinking(raw: &str) -> Result<Thinking<'_>, Unfit> {
    #[derive(Deserialize)]
    struct Config<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        budget_tokens: Option<&'a RawValue>,
    }
    const BUDGET: &str = "thinking.budget_tokens";
    let config: Config<'_> = object_field("thinking", raw)?;
    let count = |raw: &RawValue| {
        raw.get().parse().map_err(|_| Unfit::malformed(BUDGET, "it must be a whole number"))
    };
    match (&*config.kind, config.budget_tokens.map(count).transpose()?) {
        ("disabled", _) => Ok(Thinking::Off),
        ("enabled", Some(budget)) => Ok(Thinking::Budget(budget)),
        ("enabled", None) => Err(Unfit::malformed(BUDGET, "it is missing")),
        ("adaptive", _) => Ok(Thinking::Adaptive),
        (other, _) => Err(no_place(&format!("thinking.type: {}", clean(other, 60)))),
    }
}

fn output_config<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<(), Unfit> {
    let wrong = |why: ObjectError| Unfit::malformed("output_config", why);
    for member in object::members(raw.as_bytes()).map_err(wrong)? {
        let name = &raw[member.key()];
        match (name, &raw[member.value()]) {
            (_, "null") => {}
            (_, raw) if asks_nothing(raw) => {}
            ("\"effort\"", raw) => {
                request.effort = Some(field::<Str<'a>>("output_config.effort", raw)?.0);
            }
            ("\"format\"", raw) => request.format = Some(format("output_config.format", raw)?),
            (other, raw) => {
                let other = clean(other.trim_matches('"'), 60);
                request
                    .others
                    .push((Cow::Owned(format!("output_config.{other}")), Cow::Borrowed(raw)));
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
    let shape: Shape<'a> = object_field(name, raw)?;
    if let Some(Str(kind)) = shape.kind.filter(|kind| kind.0 != "json_schema") {
        return Err(no_place(&format!("{name}.type: {}", clean(&kind, 60))));
    }
    let schema = Cow::Borrowed(shape.schema.get());
    Ok(Format::Schema { name: None, schema, strict: Some(true) })
}
