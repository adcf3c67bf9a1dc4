//! Reads the tools of a messages request, and which of them the model must use.
//!
//! Called by [`super::read_request`]. Always true: a tool that the provider runs stays as it is.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::Str;
use crate::formats::neutral::{Request, Text, Tool, ToolChoice, Unfit, raw_json};
use crate::formats::room::Room;
use crate::formats::unfit::{flag_field, list_field, object_field};

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
    #[serde(borrow)]
    strict: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

/// The tools in the field `tools`.
pub(super) fn tools<'a>(raw: &'a str, room: &Room) -> Result<Vec<Tool<'a>>, Unfit> {
    let mut tools = Vec::new();
    for (i, raw) in list_field("tools", raw, room)?.enumerate() {
        let raw = raw?;
        let given: GivenTool<'_> = object_field(&format!("tools[{i}]"), raw)?;
        if given.kind.as_ref().is_some_and(|kind| kind.0 != "custom") {
            tools.push(Tool::Native(Cow::Borrowed(raw)));
            continue;
        }
        let Some(Str(name)) = given.name else {
            return Err(Unfit::malformed(format!("tools[{i}].name"), "it is missing"));
        };
        tools.push(Tool::Function {
            name,
            description: given.description.map(Text::from),
            schema: given.input_schema.map(|raw| Cow::Borrowed(raw.get())),
            strict: flag_field(&format!("tools[{i}].strict"), given.strict.map(RawValue::get))?,
            cache: raw_json(given.cache_control),
        });
    }
    Ok(tools)
}

/// Reads the field `tool_choice`.
pub(super) fn tool_choice<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<(), Unfit> {
    #[derive(Deserialize)]
    struct Chosen<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        name: Option<Str<'a>>,
        #[serde(borrow)]
        disable_parallel_tool_use: Option<&'a RawValue>,
    }
    let chosen: Chosen<'a> = object_field("tool_choice", raw)?;
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
    let disabled = chosen.disable_parallel_tool_use.map(RawValue::get);
    let disabled = flag_field("tool_choice.disable_parallel_tool_use", disabled)?;
    request.parallel_tools = disabled.map(|disabled| !disabled);
    Ok(())
}
