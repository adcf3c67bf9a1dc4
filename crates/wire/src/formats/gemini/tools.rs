//! Writes the tools of a request, and which of them the model must use.
//!
//! Called by [`super::write_request`]; the fit asks which tools are Google's own. Always true: schemas leave as the client
//! wrote them.

use super::{FIX, Model};
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::formats::neutral::{Request, Tool, ToolChoice, Unfit};
use crate::formats::order::Order;

/// The tools that Google runs. Its format takes both ways of writing their names.
const OWN: [&str; 14] = [
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "google_search_retrieval",
    "urlContext",
    "url_context",
    "codeExecution",
    "code_execution",
    "googleMaps",
    "google_maps",
    "fileSearch",
    "file_search",
    "enterpriseWebSearch",
    "retrieval",
];

/// Whether a tool, as JSON text, is one of Google's.
pub(crate) fn is_own(raw: &str) -> bool {
    own(raw).is_some()
}

/// The name of the tool of Google's and its settings.
fn own(raw: &str) -> Option<(&'static str, &str)> {
    let found = texts(raw, OWN).ok()?;
    OWN.into_iter().zip(found).find_map(|(name, settings)| Some((name, settings?)))
}

/// Writes `tools` and `toolConfig`.
pub(super) fn write(
    json: &mut JsonText,
    request: &Request<'_>,
    order: &Order<'_>,
) -> Result<(), Unfit> {
    let functions = request.tools.iter().filter(|tool| matches!(tool, Tool::Function { .. }));
    let functions = functions.count();
    let searches = request.others.iter().any(|(name, _)| name == "web_search_options")
        && !order.drops("web_search_options");
    let is_mixed = functions > 0 && (functions < request.tools.len() || searches);
    check(request, order, (functions, is_mixed))?;
    if request.tools.is_empty() && !searches {
        return Ok(());
    }
    json.key("tools").open(b'[');
    if functions > 0 {
        json.open(b'{').key("functionDeclarations").open(b'[');
        for tool in &request.tools {
            let Tool::Function { name, description, schema, strict: _, cache: _ } = tool else {
                continue;
            };
            json.open(b'{').member("name", name);
            if let Some(description) = description {
                json.member("description", description);
            }
            if let Some(schema) = schema {
                json.raw_member("parametersJsonSchema", schema);
            }
            json.close(b'}');
        }
        json.close(b']').close(b'}');
    }
    for tool in &request.tools {
        if let Tool::Native(raw) = tool
            && let Some((name, settings)) = own(raw)
        {
            json.open(b'{').raw_member(name, settings).close(b'}');
        }
    }
    if searches {
        json.open(b'{').raw_member("googleSearch", "{}").close(b'}');
    }
    json.close(b']');
    write_choice(json, request, (functions, is_mixed));
    Ok(())
}

/// Refuses what the model has no way to do.
fn check(
    request: &Request<'_>,
    order: &Order<'_>,
    (functions, is_mixed): (usize, bool),
) -> Result<(), Unfit> {
    let provider = &order.deployment.endpoint.provider.name;
    if is_mixed && !Model(order.upstream_model).is_newer() {
        let fix = "only newer models take tools of Google's beside those that the client runs";
        return Err(Unfit::unsupported("tools", provider, fix));
    }
    // A single tool may be called twice as well, but seldom is.
    if request.parallel_tools == Some(false) && functions > 1 && !order.drop_params {
        return Err(Unfit::unsupported("parallel_tool_calls", provider, FIX));
    }
    Ok(())
}

fn write_choice(json: &mut JsonText, request: &Request<'_>, (functions, is_mixed): (usize, bool)) {
    let choice = request.tool_choice.as_ref().filter(|_| functions > 0);
    if choice.is_none() && !is_mixed {
        return;
    }
    json.key("toolConfig").open(b'{');
    if let Some(choice) = choice {
        let mode = match choice {
            ToolChoice::Auto => "AUTO",
            ToolChoice::Nothing => "NONE",
            ToolChoice::Any | ToolChoice::Named(_) => "ANY",
        };
        json.key("functionCallingConfig").open(b'{').member("mode", mode);
        if let ToolChoice::Named(name) = choice {
            json.key("allowedFunctionNames").open(b'[').text(name).close(b']');
        }
        json.close(b'}');
    }
    if is_mixed {
        json.raw_member("includeServerSideToolInvocations", "true");
    }
    json.close(b'}');
}
