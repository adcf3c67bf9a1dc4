//! Reads the tools of a chat request, and which of them the model must use.
//!
//! Called by [`super::read_request`]. Always true: a tool that takes a text becomes a function with that one input; a tool
//! that the provider runs stays as it is.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::bytes::json::Str;
use crate::bytes::members::texts;
use crate::formats::arguments::INPUT_SCHEMA;
use crate::formats::neutral::{Request, Text, Tool, ToolChoice, Unfit, raw_json};
use crate::formats::room::Room;
use crate::formats::unfit::{flag_field, list_field, object_field};

#[derive(Deserialize)]
struct GivenTool<'a> {
    // Google's own tools have no type.
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    custom: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Str<'a>>,
    #[serde(borrow)]
    format: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Str<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow)]
    strict: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_control: Option<&'a RawValue>,
}

/// The tools in the field `tools`.
pub(super) fn tools<'a>(
    raw: &'a str,
    room: &Room,
    left_out: &mut Vec<&'static str>,
) -> Result<Vec<Tool<'a>>, Unfit> {
    let mut tools = Vec::new();
    for (i, raw) in list_field("tools", raw, room)?.enumerate() {
        let raw = raw?;
        let given: GivenTool<'_> = object_field(&format!("tools[{i}]"), raw)?;
        if let Some(custom) = given.custom.filter(|_| &*given.kind == "custom") {
            let custom: Custom<'_> = object_field(&format!("tools[{i}].custom"), custom.get())?;
            const FORMAT: &str = "tools.custom.format";
            let is_free = |raw: &&RawValue| !raw.get().contains("\"grammar\"");
            if !custom.format.as_ref().is_none_or(is_free) && !left_out.contains(&FORMAT) {
                left_out.push(FORMAT);
            }
            tools.push(Tool::Function {
                name: custom.name,
                description: custom.description.map(Text::from),
                schema: Some(Cow::Borrowed(INPUT_SCHEMA)),
                strict: None,
                cache: raw_json(given.cache_control),
            });
            continue;
        }
        let Some(function) = given.function else {
            if &*given.kind == "function" {
                return Err(Unfit::malformed(format!("tools[{i}].function"), "it is missing"));
            }
            tools.push(Tool::Native(Cow::Borrowed(raw)));
            continue;
        };
        let function: Function<'_> = object_field(&format!("tools[{i}].function"), function.get())?;
        tools.push(Tool::Function {
            name: function.name,
            description: function.description.map(Text::from),
            schema: function.parameters.map(|raw| Cow::Borrowed(raw.get())),
            strict: flag_field("tools.function.strict", function.strict.map(RawValue::get))?,
            cache: raw_json(given.cache_control.or(function.cache_control)),
        });
    }
    Ok(tools)
}

/// Whether the field `tool_choice` says which of the tools may be called.
pub(super) fn is_of_allowed(raw: &str) -> bool {
    matches!(texts(raw, ["type"]), Ok([Some("\"allowed_tools\"")]))
}

/// Leaves in `request` the tools that its `tool_choice` allows, and chooses among them as it says.
pub(super) fn allow(request: &mut Request<'_>, raw: &str, room: &Room) -> Result<(), Unfit> {
    const AT: &str = "tool_choice.allowed_tools";
    #[derive(Deserialize)]
    struct Tools<'a> {
        #[serde(borrow)]
        function: Option<&'a RawValue>,
        #[serde(borrow)]
        custom: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }
    let missing = || Unfit::malformed(AT, "it needs `mode` and `tools`");
    let [given] = texts(raw, ["allowed_tools"]).map_err(|_| missing())?;
    let [mode, tools] =
        texts(given.ok_or_else(missing)?, ["mode", "tools"]).map_err(|_| missing())?;
    let mut names: HashSet<String> = HashSet::new();
    for tool in list_field(AT, tools.ok_or_else(missing)?, room)? {
        let tool: Tools<'_> = object_field(AT, tool?)?;
        if let Some(named) = tool.function.or(tool.custom) {
            let named: Named<'_> = object_field(AT, named.get())?;
            names.insert(named.name.into_owned());
        }
    }
    request.tools.retain(|tool| match tool {
        Tool::Function { name, .. } => names.contains(&**name),
        Tool::Native(_) => false,
    });
    request.tool_choice = match mode {
        Some("\"required\"") => Some(ToolChoice::Any),
        _ => Some(ToolChoice::Auto),
    };
    Ok(())
}

/// The choice in the field `tool_choice`.
pub(super) fn tool_choice(raw: &str) -> Result<ToolChoice<'_>, Unfit> {
    #[derive(Deserialize)]
    struct Chosen<'a> {
        #[serde(borrow)]
        #[serde(alias = "custom")]
        function: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }
    match raw {
        "\"auto\"" => Ok(ToolChoice::Auto),
        "\"none\"" => Ok(ToolChoice::Nothing),
        "\"required\"" | "\"any\"" => Ok(ToolChoice::Any),
        _ => {
            let chosen: Chosen<'_> = object_field("tool_choice", raw)?;
            let named: Named<'_> = object_field("tool_choice.function", chosen.function.get())?;
            Ok(ToolChoice::Named(named.name))
        }
    }
}
