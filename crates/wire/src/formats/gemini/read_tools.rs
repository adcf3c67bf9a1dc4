//! Reads the tools of a request of Google's clients, and which of them the model must use.
//!
//! Called by [`super::read_request`]. Always true: a tool that Google runs is mapped where other providers have one like it; else
//! it is left out beside tools of the client's own, and refused alone.

use std::borrow::Cow;

use super::fields::{self, Fields};
use super::read_schema;
use crate::bytes::elements::elements;
use crate::formats::errors::clean;
use crate::formats::neutral::{Request, Tool, ToolChoice, Unfit};
use crate::formats::room::Room;

/// Google's tools that search the web.
const SEARCHES: [&str; 3] = ["googleSearch", "googleSearchRetrieval", "enterpriseWebSearch"];

/// Reads `tools` into `request`.
pub(super) fn tools<'a>(raw: &'a str, room: &Room, request: &mut Request<'a>) -> Result<(), Unfit> {
    let one = [raw];
    let all: Box<dyn Iterator<Item = &'a str>> = match elements(raw) {
        Some(list) => Box::new(list),
        // A client may leave the list out where there is one.
        None => Box::new(one.into_iter()),
    };
    let mut own = None;
    for (i, raw) in all.enumerate() {
        let at = format!("tools[{i}]");
        for (name, raw) in Fields::of(&at, raw)?.iter() {
            match name {
                "functionDeclarations" => declarations(raw, (&at, room), request)?,
                name if SEARCHES.contains(&name) => {
                    let asked = "web_search_options";
                    if !request.others.iter().any(|(name, _)| name == asked) {
                        request.others.push((Cow::Borrowed(asked), Cow::Borrowed("{}")));
                    }
                }
                name => own = own.or_else(|| Some(format!("{at}.{}", clean(name, 60)))),
            }
        }
    }
    match own {
        Some(field) if request.tools.is_empty() => {
            let fix = "Google runs it, and no other provider: leave it out";
            Err(Unfit::unsupported(field, "of another wire", fix))
        }
        Some(_) => {
            request.left_out.push("tools");
            Ok(())
        }
        None => Ok(()),
    }
}

fn declarations<'a>(
    raw: &'a str,
    (at, room): (&str, &Room),
    request: &mut Request<'a>,
) -> Result<(), Unfit> {
    let place = format!("{at}.functionDeclarations");
    let Some(list) = elements(raw) else {
        return Err(Unfit::malformed(place, "it must be a list"));
    };
    for (i, raw) in list.enumerate() {
        room.take(&place)?;
        let at = format!("{place}[{i}]");
        let function = Fields::of(&at, raw)?;
        let Some(name) = function.text(&at, "name")? else {
            return Err(Unfit::malformed(format!("{at}.name"), "it is missing"));
        };
        let schema = match (function.get("parametersJsonSchema"), function.get("parameters")) {
            (Some(schema), _) => Some(Cow::Borrowed(schema)),
            (None, Some(schema)) => Some(Cow::Owned(read_schema::json_schema(schema))),
            (None, None) => None,
        };
        request.tools.push(Tool::Function {
            name,
            description: function.text(&at, "description")?,
            schema,
            strict: None,
            cache: None,
        });
    }
    Ok(())
}

/// Reads `toolConfig` into `request`, whose tools were read before.
pub(super) fn choose<'a>(raw: &'a str, request: &mut Request<'a>) -> Result<(), Unfit> {
    const AT: &str = "toolConfig.functionCallingConfig";
    let config = Fields::of("toolConfig", raw)?;
    let Some(raw) = config.get("functionCallingConfig") else { return Ok(()) };
    let config = Fields::of(AT, raw)?;
    let mode = config.text(AT, "mode")?.unwrap_or_default().to_ascii_uppercase();
    let names = config.get("allowedFunctionNames").and_then(elements).into_iter().flatten();
    let at = "toolConfig.functionCallingConfig.allowedFunctionNames";
    let names = names.map(|raw| fields::text(at, raw)).collect::<Result<Vec<_>, _>>()?;
    if request.tools.is_empty() {
        return Ok(());
    }
    if !names.is_empty() && matches!(&*mode, "ANY" | "VALIDATED") {
        let is_allowed = |tool: &Tool<'_>| match tool {
            Tool::Function { name, .. } => names.contains(name),
            Tool::Native(_) => false,
        };
        if !request.tools.iter().any(is_allowed) {
            return Err(Unfit::malformed(at, "it names no function that is declared"));
        }
        request.tools.retain(is_allowed);
    }
    request.tool_choice = match (&*mode, &names[..]) {
        ("" | "MODE_UNSPECIFIED", _) => None,
        ("AUTO" | "VALIDATED", _) => Some(ToolChoice::Auto),
        ("NONE", _) => Some(ToolChoice::Nothing),
        ("ANY", [name]) => Some(ToolChoice::Named(name.clone())),
        ("ANY", _) => Some(ToolChoice::Any),
        (other, _) => {
            let why = format!("`{}` is none of AUTO, ANY, NONE, VALIDATED", clean(other, 60));
            return Err(Unfit::malformed("toolConfig.functionCallingConfig.mode", why));
        }
    };
    Ok(())
}
