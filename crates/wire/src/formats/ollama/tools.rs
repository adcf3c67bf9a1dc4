//! Writes the tools of a request.
//!
//! Called by [`super::write_request`]. Always true: schemas leave as the client wrote them; a choice that a server cannot keep
//! is refused.

use super::FIX;
use crate::bytes::json::JsonText;
use crate::formats::neutral::{Request, Tool, ToolChoice, Unfit};
use crate::formats::order::Order;

/// Whether the model may call tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    Nothing,
    Tools,
}

/// Writes `tools`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<Offered, Unfit> {
    let functions = || request.tools.iter().filter(|tool| matches!(tool, Tool::Function { .. }));
    let refused =
        |field| Err(Unfit::unsupported(field, &order.deployment.endpoint.provider.name, FIX));
    match &request.tool_choice {
        Some(ToolChoice::Nothing) => return Ok(Offered::Nothing),
        _ if functions().next().is_none() => return Ok(Offered::Nothing),
        Some(ToolChoice::Any | ToolChoice::Named(_)) if !order.drop_params => {
            return refused("tool_choice");
        }
        None | Some(ToolChoice::Auto | ToolChoice::Any | ToolChoice::Named(_)) => {}
    }
    // A single tool may be called twice as well, but seldom is.
    let is_single = functions().nth(1).is_none();
    if request.parallel_tools == Some(false) && !is_single && !order.drop_params {
        return refused("parallel_tool_calls");
    }
    json.key("tools").open(b'[');
    for tool in functions() {
        let Tool::Function { name, description, schema, strict: _, cache: _ } = tool else {
            continue;
        };
        json.open(b'{').member("type", "function").key("function").open(b'{');
        json.member("name", name);
        if let Some(description) = description {
            json.member("description", description);
        }
        json.raw_member("parameters", schema.as_deref().unwrap_or(r#"{"type":"object"}"#));
        json.close(b'}').close(b'}');
    }
    json.close(b']');
    Ok(Offered::Tools)
}
