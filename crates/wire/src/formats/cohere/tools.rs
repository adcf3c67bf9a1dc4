//! Writes the tools of a request, and which of them the model must use.
//!
//! Called by [`super::write_request`]. Always true: schemas leave as the client wrote them; a tool that must be called is the
//! only one that is sent.

use super::FIX;
use crate::bytes::json::JsonText;
use crate::formats::neutral::{Request, Text, Tool, ToolChoice, Unfit};
use crate::formats::order::Order;

/// A tool that the client runs.
struct Function<'r, 'a> {
    name: &'r Text<'a>,
    description: Option<&'r Text<'a>>,
    schema: Option<&'r Text<'a>>,
    strict: Option<bool>,
}

/// Writes `tools`, `strict_tools` and `tool_choice`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let named = match &request.tool_choice {
        Some(ToolChoice::Named(name)) => Some(name),
        Some(ToolChoice::Auto | ToolChoice::Nothing | ToolChoice::Any) | None => None,
    };
    let functions = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function { name, description, schema, strict, cache: _ } => {
            let (description, schema) = (description.as_ref(), schema.as_ref());
            Some(Function { name, description, schema, strict: *strict })
        }
        // The fit has left out those of other providers.
        Tool::Native(_) => None,
    });
    let functions: Vec<Function<'_, '_>> =
        functions.filter(|function| named.is_none_or(|name| name == function.name)).collect();
    if named.is_some() && functions.is_empty() {
        return Err(Unfit::malformed("tool_choice", "no tool has the name that it chooses"));
    }
    // A single tool may be called twice as well, but seldom is.
    if request.parallel_tools == Some(false) && functions.len() > 1 && !order.drop_params {
        let provider = &order.deployment.endpoint.provider.name;
        return Err(Unfit::unsupported("parallel_tool_calls", provider, FIX));
    }
    if functions.is_empty() {
        return Ok(());
    }
    json.key("tools").open(b'[');
    for Function { name, description, schema, strict: _ } in &functions {
        json.open(b'{').member("type", "function").key("function").open(b'{').member("name", name);
        if let Some(description) = description {
            json.member("description", description);
        }
        if let Some(schema) = schema {
            json.raw_member("parameters", schema);
        }
        json.close(b'}').close(b'}');
    }
    json.close(b']');
    let is_said = request.others.iter().any(|(name, _)| name == "strict_tools");
    if !is_said && functions.iter().all(|function| function.strict == Some(true)) {
        json.raw_member("strict_tools", "true");
    }
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::Nothing) => {
            json.member("tool_choice", "NONE");
        }
        Some(ToolChoice::Any | ToolChoice::Named(_)) => {
            json.member("tool_choice", "REQUIRED");
        }
    }
    Ok(())
}
