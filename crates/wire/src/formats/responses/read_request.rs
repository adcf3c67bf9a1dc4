//! Reads a request for a response into the neutral form.
//!
//! Called if the provider speaks another wire. Always true: what changes the answer is in the neutral request, or the refusal
//! names it; what only advises, and fields that no version of the format has, are left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use hale_core::operation::Operation;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::read_items::{Items, tools_within};
use super::read_tools::Tools;
use crate::bytes::fields::is_removed;
use crate::bytes::id::IdKey;
use crate::bytes::json::{JsonText, Str};
use crate::formats::asked::{Asked, Compacting, Thoughts};
use crate::formats::errors::clean;
use crate::formats::neutral::{Content, Format, Request, Role, Text, Unfit, add};
use crate::formats::room::Room;
use crate::formats::unfit::{asks_nothing, field, flag_field, object_field};

/// Fields that a response repeats, with what stands for them where they are absent.
const ECHOED: [(&str, &str); 13] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("service_tier", "\"auto\""),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];
/// How many bytes of a request a response repeats: it holds them to its end, and repeats them three times in a stream.
const ECHO_MAX: usize = 8 << 10;

/// What the model is told that shall make a summary.
const SUMMARIZE: &str = "Summarize the conversation so far for the model that will go on with it and sees nothing else of it. \
    Write down: what the user wants, with the user's own words where they matter; decisions and their reasons; files, commands \
    and names as they are; what is done, what is left and what comes next. Answer with the summary alone.";

/// Fields that are read besides those that a response repeats.
const READ: [&str; 8] = [
    "background",
    "context_management",
    "conversation",
    "input",
    "model",
    "previous_response_id",
    "prompt",
    "stream",
];

/// Whether a field of that name is read, or only advises. Others are left out: no version of the format has them.
pub(crate) fn has_place(name: &str) -> bool {
    let is_repeated = ECHOED.iter().any(|(repeated, _)| *repeated == name);
    is_repeated
        || READ.contains(&name)
        || FORMAT_ONLY.contains(&name)
        || name == MOST_CALLS
        || is_removed(name)
}

/// The neutral request of `operation` in `fields`, without those that are meant for the gateway. `seals` opens what was sealed for
/// the client.
pub(crate) fn read<'a>(
    fields: impl Iterator<Item = (Text<'a>, &'a str)>,
    room: &Room,
    (operation, seals): (Operation, Option<&IdKey>),
) -> Result<Request<'a>, Unfit> {
    let mut request = Request::default();
    let (mut input, mut tools, mut choice, mut thoughts) = ("[]", None, None, Thoughts::Sealed);
    let mut instructions = None;
    let mut echoed: [Option<&str>; ECHOED.len()] = [None; ECHOED.len()];
    for (name, raw) in fields {
        if raw == "null" || is_removed(&name) && name != "metadata" {
            continue;
        }
        if let Some(at) = ECHOED.iter().position(|(echoed, _)| *echoed == name) {
            echoed[at] = Some(raw);
        }
        match &*name {
            "input" => input = raw,
            "instructions" => instructions = Some(raw),
            "tools" => tools = Some(raw),
            "tool_choice" => choice = Some(raw),
            "parallel_tool_calls" => {
                request.parallel_tools = flag_field("parallel_tool_calls", Some(raw))?;
            }
            "max_output_tokens" => request.max_tokens = Some(Cow::Borrowed(raw)),
            "temperature" => request.temperature = Some(Cow::Borrowed(raw)),
            "top_p" => request.top_p = Some(Cow::Borrowed(raw)),
            "stream" => request.stream = flag_field("stream", Some(raw))? == Some(true),
            "user" => request.user = Some(field::<Str<'a>>("user", raw)?.0),
            "reasoning" => thoughts = reasoning(raw, &mut request)?,
            "text" => request.format = text(raw)?,
            "background" if raw != "false" => return Err(refused("background", BACKGROUND)),
            "conversation" | "previous_response_id" => return Err(refused(&name, HISTORY)),
            "prompt" => return Err(refused("prompt", "send its text as `instructions`")),
            "truncation" if raw != "\"disabled\"" => {
                return Err(refused("truncation", "shorten `input` and leave it out"));
            }
            name if FORMAT_ONLY.contains(&name) && !asks_nothing(raw) && raw != "0" => {
                request.others.push((Cow::Owned(name.to_owned()), Cow::Borrowed(raw)));
            }
            MOST_CALLS if !asks_nothing(raw) && raw != "0" => request.left_out.push(MOST_CALLS),
            "context_management" if !asks_nothing(raw) => {
                request.left_out.push("context_management")
            }
            _ => {}
        }
    }
    instruct(&mut request, instructions)?;
    let mut names = Tools::default();
    if let Some(raw) = tools {
        names.take("tools", raw, room)?;
    }
    tools_within(input, &mut names, room)?;
    let signed = BTreeMap::new();
    let compacting = match operation {
        Operation::CompactResponses => Compacting::Alone,
        _ => Compacting::Not,
    };
    let mut items =
        Items { room, seals, tools: &mut names, request: &mut request, signed, compacting };
    items.take(input)?;
    let compacting = items.compacting;
    names.choose(choice, &mut request)?;
    request.tools = names.offered;
    if compacting != Compacting::Not {
        // It is the words that matter.
        (request.tools, request.tool_choice, request.format) = (Vec::new(), None, None);
        let asked = Content::Text(Cow::Borrowed(SUMMARIZE));
        add(&mut request.turns, Role::User, vec![asked.into()]);
    }
    says_something(&request)?;
    let echo = echo(&mut echoed).into();
    let asked = Asked { echo, thoughts, tools: names.declared, compacting };
    request.asked = Some(Box::new(asked));
    Ok(request)
}

/// Providers refuse a request without a word, in the names of their own fields.
fn says_something(request: &Request<'_>) -> Result<(), Unfit> {
    match request.turns.is_empty() && request.system.is_empty() {
        true => Err(Unfit::malformed("input", "it is empty: send a text or at least one item")),
        false => Ok(()),
    }
}

/// Adds the instructions, if they say something.
fn instruct<'a>(request: &mut Request<'a>, instructions: Option<&'a str>) -> Result<(), Unfit> {
    let Some(raw) = instructions else { return Ok(()) };
    let said = Content::Text(field::<Str<'a>>("instructions", raw)?.0);
    request.system.extend((!said.is_blank()).then(|| said.into()));
    Ok(())
}

/// Fields that change the answer and that no other format has.
const FORMAT_ONLY: [&str; 4] = ["access_programs", "image", "moderation", "top_logprobs"];
/// How many calls of tools the provider may run. No other format has such tools, so that there is nothing to limit.
const MOST_CALLS: &str = "max_tool_calls";
const HISTORY: &str = "no provider keeps this conversation; send the whole conversation in `input`";
const BACKGROUND: &str = "no provider keeps the answer; ask for a stream";

fn refused(field: &str, fix: &str) -> Unfit {
    Unfit::unsupported(field, "of another wire", fix)
}

fn reasoning<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<Thoughts, Unfit> {
    #[derive(Deserialize)]
    struct Reasoning<'a> {
        #[serde(borrow)]
        effort: Option<Str<'a>>,
        #[serde(borrow)]
        summary: Option<Str<'a>>,
        #[serde(borrow)]
        generate_summary: Option<Str<'a>>,
    }
    let given: Reasoning<'a> = object_field("reasoning", raw)?;
    request.effort = given.effort.map(Text::from);
    let summary = given.summary.or(given.generate_summary);
    Ok(match summary.as_ref().map(|word| &*word.0) {
        None | Some("none") => Thoughts::Sealed,
        Some(_) => Thoughts::Shown,
    })
}

fn text(raw: &str) -> Result<Option<Format<'_>>, Unfit> {
    #[derive(Deserialize)]
    struct Shape<'a> {
        #[serde(borrow)]
        format: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct OfFormat<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        name: Option<Str<'a>>,
        #[serde(borrow)]
        schema: Option<&'a RawValue>,
        #[serde(borrow)]
        strict: Option<&'a RawValue>,
    }
    const AT: &str = "text.format";
    let shape: Shape<'_> = object_field("text", raw)?;
    let Some(raw) = shape.format else { return Ok(None) };
    let format: OfFormat<'_> = object_field(AT, raw.get())?;
    match (&*format.kind, format.schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Format::JsonObject)),
        ("json_schema", Some(schema)) => Ok(Some(Format::Schema {
            name: format.name.map(Text::from),
            schema: Cow::Borrowed(schema.get()),
            strict: flag_field("text.format.strict", format.strict.map(RawValue::get))?,
        })),
        ("json_schema", None) => Err(Unfit::malformed("text.format.schema", "it is missing")),
        (other, _) => {
            Err(refused(&format!("{AT}.type: {}", clean(other, 60)), "ask for it in the prompt"))
        }
    }
}

/// The members of a response that repeat the request. The longest are left out where all of them are too long.
fn echo(given: &mut [Option<&str>; ECHOED.len()]) -> String {
    let length = |given: &Option<&str>| given.map_or(0, str::len);
    while given.iter().map(length).sum::<usize>() > ECHO_MAX {
        let Some(longest) = given.iter_mut().max_by_key(|one| length(one)) else { break };
        *longest = None;
    }
    let mut json = JsonText::new();
    for ((name, absent), given) in ECHOED.iter().zip(given) {
        json.raw_member(name, given.unwrap_or(absent));
    }
    // What was read was UTF-8.
    String::from_utf8(json.into_bytes()).unwrap_or_default()
}

/// What a response repeats of a request about which nothing is known.
pub(super) fn echo_of_nothing() -> String {
    echo(&mut [None; ECHOED.len()])
}
