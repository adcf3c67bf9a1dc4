//! Writes the tools of a request, and which of them the model must use.
//!
//! Called by [`super::write_request`]; the fit asks which tools are the provider's own. Always true: a tool has a description
//! and a schema of an object, without which the provider refuses it.

use super::cache::{self, Points};
use super::{FIX, Model};
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::formats::neutral::{Content, Request, Tool, ToolChoice, Unfit};
use crate::formats::order::Order;
use crate::formats::schema;

/// What the tools of Anthropic's begin with that the client runs and Bedrock takes beside its own format. Source:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-tool-use.html>.
const OF_CLAUDE: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];

/// Whose a tool is that is not the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native<'t> {
    /// Bedrock's, with its settings.
    Own(&'t str),
    /// Anthropic's, in its words.
    OfClaude,
}

/// Whether a tool, as JSON text, is one that `model` has here.
pub(crate) fn is_own(raw: &str, model: Model<'_>) -> bool {
    native(raw, model).is_some()
}

fn native<'t>(raw: &'t str, model: Model<'_>) -> Option<Native<'t>> {
    let [own, kind] = texts(raw, ["systemTool", "type"]).ok()?;
    let is_claudes = |kind: &str| {
        let kind = kind.trim_matches('"');
        model.is_claude() && OF_CLAUDE.iter().any(|start| kind.starts_with(start))
    };
    own.map(Native::Own).or_else(|| kind.filter(|kind| is_claudes(kind)).map(|_| Native::OfClaude))
}

/// The tools that are told in Anthropic's own words.
pub(super) fn of_claude<'r>(
    request: &'r Request<'_>,
    model: Model<'r>,
) -> impl Iterator<Item = &'r str> + use<'r> {
    request.tools.iter().filter_map(move |tool| match tool {
        Tool::Native(raw) if native(raw, model) == Some(Native::OfClaude) => Some(&**raw),
        Tool::Native(_) | Tool::Function { .. } => None,
    })
}

/// Whether the model is told to call one tool at a time in a place of its own.
pub(super) fn limits_calls(request: &Request<'_>) -> bool {
    request.parallel_tools == Some(false) && !request.tools.is_empty() && choice(request).is_some()
}

/// The choice, unless there is none to be made.
fn choice<'r>(request: &'r Request<'_>) -> Option<&'r ToolChoice<'r>> {
    match &request.tool_choice {
        Some(ToolChoice::Nothing) => None,
        Some(other) => Some(other),
        None => Some(&ToolChoice::Auto),
    }
}

/// Writes `toolConfig`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    (order, points): (&Order<'_>, &mut Points),
) -> Result<(), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    let is_none = request.tool_choice == Some(ToolChoice::Nothing);
    if is_none && !has_calls(request) {
        return Ok(());
    }
    if is_none && !order.drop_params {
        let fix = "the history has calls, with which the provider always offers its tools";
        return Err(Unfit::unsupported("tool_choice", provider, fix));
    }
    let model = Model(order.upstream_model);
    let mark = json.mark();
    json.key("toolConfig").open(b'{').key("tools").open(b'[');
    let marked = request.tools.iter().rposition(|tool| cache::mark_of(tool).is_some());
    for (i, tool) in request.tools.iter().enumerate() {
        match tool {
            Tool::Function { .. } => write_tool(json, (i, tool), model)?,
            Tool::Native(raw) => match native(raw, model) {
                Some(Native::Own(settings)) => {
                    json.open(b'{').raw_member("systemTool", settings).close(b'}');
                }
                Some(Native::OfClaude) | None => {}
            },
        }
        if let Some(cache) = cache::mark_of(tool).filter(|_| marked == Some(i)) {
            points.write(json, cache);
        }
    }
    if searches(request, order) {
        json.open(b'{').key("systemTool").open(b'{').member("name", "nova_grounding");
        json.close(b'}').close(b'}');
    }
    if json.is_at_start() {
        json.undo(mark);
        return Ok(());
    }
    json.close(b']');
    match &request.tool_choice {
        None | Some(ToolChoice::Nothing) => {}
        Some(ToolChoice::Auto) => {
            json.key("toolChoice").raw(r#"{"auto":{}}"#);
        }
        Some(ToolChoice::Any) => {
            json.key("toolChoice").raw(r#"{"any":{}}"#);
        }
        Some(ToolChoice::Named(name)) => {
            json.key("toolChoice").open(b'{').key("tool").open(b'{').member("name", name);
            json.close(b'}').close(b'}');
        }
    }
    json.close(b'}');
    Ok(())
}

/// Whether the request asks for a search that the model has.
pub(super) fn searches(request: &Request<'_>, order: &Order<'_>) -> bool {
    Model(order.upstream_model).is_nova()
        && request.others.iter().any(|(name, _)| name == "web_search_options")
        && !order.drops("web_search_options")
}

fn has_calls(request: &Request<'_>) -> bool {
    let is_call = |content: &Content<'_>| {
        matches!(content, Content::ToolCall { .. } | Content::ToolResult { .. })
    };
    let mut parts = request.turns.iter().flat_map(|turn| &turn.parts);
    parts.any(|part| is_call(&part.content))
}

fn write_tool(
    json: &mut JsonText,
    (i, tool): (usize, &Tool<'_>),
    model: Model<'_>,
) -> Result<(), Unfit> {
    let Tool::Function { name, description, schema, strict, cache: _ } = tool else {
        return Ok(());
    };
    json.open(b'{').key("toolSpec").open(b'{').member("name", name);
    let description = description.as_deref().filter(|text| !text.trim().is_empty());
    json.member("description", description.unwrap_or(name));
    json.key("inputSchema").open(b'{').key("json");
    let schema = schema.as_deref().unwrap_or("{}");
    let is_enforced = *strict == Some(true)
        && model.has_schemas()
        && schema::is_plain(schema)
        && !schema::is_circular(schema)
        && !schema::is_composed(schema);
    let mut whole = JsonText::with_room(schema.len());
    // Definitions that are referred to have no other place.
    let is_cut = model.is_nova() && !schema.contains("\"$ref\"");
    let written = match (is_enforced, is_cut) {
        (true, _) => schema::write_strict(json, schema),
        (false, false) => schema::write_input(json, schema),
        (false, true) => schema::write_input(&mut whole, schema),
    };
    written.map_err(|why| Unfit::malformed(format!("tools[{i}]: the schema"), why))?;
    if !is_enforced && is_cut {
        write_for_nova(json, whole.as_bytes());
    }
    json.close(b'}');
    if is_enforced {
        json.raw_member("strict", "true");
    }
    json.close(b'}').close(b'}');
    Ok(())
}

/// Nova refuses other members at the first level of a schema. Source:
/// <https://docs.aws.amazon.com/nova/latest/userguide/tool-use-definition.html>.
fn write_for_nova(json: &mut JsonText, schema: &[u8]) {
    const KNOWN: [&str; 3] = ["type", "properties", "required"];
    let text = std::str::from_utf8(schema).unwrap_or("{}");
    let found = texts(text, KNOWN).unwrap_or_default();
    json.open(b'{');
    for (name, raw) in KNOWN.iter().zip(found) {
        if let Some(raw) = raw {
            json.raw_member(name, raw);
        }
    }
    json.close(b'}');
}

/// Refuses what the model has no way to do.
pub(super) fn check(request: &Request<'_>, order: &Order<'_>) -> Result<(), Unfit> {
    let can_limit = Model(order.upstream_model).can_limit_calls();
    if limits_calls(request) && !can_limit && request.tools.len() > 1 && !order.drop_params {
        let provider = &order.deployment.endpoint.provider.name;
        return Err(Unfit::unsupported("parallel_tool_calls", provider, FIX));
    }
    Ok(())
}
