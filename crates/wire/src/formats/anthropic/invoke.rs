//! Requests of this format at Bedrock: the model stands in the path, the version in the body, and how the answer comes in the path.
//!
//! Called by [`super::edits`] for each request. Always true: only what Bedrock takes is sent; a version that the client names in its
//! body stays.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>.

use std::borrow::Cow;

use crate::bytes::edit::{Edit, json_string};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::peek::Peek;
use crate::formats::notes::Notes;
use crate::formats::order::Order;

/// The version of requests whose client names none, or one that is as old as the first. Source: LiteLLM.
const VERSION: &str = "bedrock-2023-05-31";
/// Members that Bedrock refuses, and that change nothing but how fast or where.
const REFUSED: [&str; 14] = [
    // A mark for all of a request; those of its blocks stay.
    "cache_control",
    "model",
    "stream",
    "container",
    "mcp_servers",
    "inference_geo",
    "service_tier",
    "speed",
    // Of Converse, which deployments may have as defaults. Those that Bedrock knows here too are headers.
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
];
/// The edits of a context that Bedrock has, and the beta of each.
const CONTEXT_EDITS: [(&str, &str); 2] = [
    ("\"compact_20260112\"", "\"compact-2026-01-12\""),
    ("\"clear_tool_uses_20250919\"", "\"context-management-2025-06-27\""),
];

/// Betas that Bedrock has; it refuses a request with another one. Sources:
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>, LiteLLM.
const BETAS: [&str; 14] = [
    "compact-2026-01-12",
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "dev-full-thinking-2025-05-14",
    "effort-2025-11-24",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19",
    "token-efficient-tools-2025-02-19",
    "tool-examples-2025-10-29",
    "tool-search-tool-2025-10-19",
];

/// The betas of the client's headers that Bedrock has. They stand in the body there.
pub(crate) fn betas<'o>(order: &Order<'o>) -> impl Iterator<Item = &'o str> {
    let all = order.client_betas.unwrap_or_default().split(',').map(str::trim);
    all.filter(|beta| BETAS.contains(beta))
}

/// The edits; none where the provider is another one.
pub(super) fn edits<'e>(peek: &Peek, order: &Order<'_>) -> Vec<Edit<'e>> {
    if order.deployment.endpoint.aws.is_none() {
        return Vec::new();
    }
    let mut edits: Vec<Edit<'_>> = REFUSED.iter().map(|name| Edit::Remove(name)).collect();
    if peek.raw("anthropic_version").is_none() {
        let version = order.client_version.unwrap_or(VERSION);
        edits.push(Edit::Set("anthropic_version", Cow::Owned(json_string(version))));
    }
    let given = peek.raw("anthropic_beta").and_then(elements).into_iter().flatten();
    let mut betas: Vec<String> = given.map(str::to_owned).collect();
    let before = betas.len();
    let mut more: Vec<String> = self::betas(order).map(json_string).collect();
    if let Some(raw) = peek.raw("context_management") {
        let (kept, of_edits) = context(raw);
        more.extend(of_edits.into_iter().map(str::to_owned));
        edits.push(match kept {
            Some(kept) => Edit::Set("context_management", Cow::Owned(kept)),
            None => Edit::Remove("context_management"),
        });
    }
    for beta in more {
        if !betas.contains(&beta) {
            betas.push(beta);
        }
    }
    if betas.len() > before {
        let list = format!("[{}]", betas.join(","));
        edits.push(Edit::Set("anthropic_beta", Cow::Owned(list)));
    }
    if let Some(kept) = peek.raw("tools").and_then(without_hosted) {
        edits.push(match &*kept {
            "[]" => Edit::Remove("tools"),
            _ => Edit::Set("tools", Cow::Owned(kept)),
        });
    }
    edits
}

/// Names what is left out and could have mattered.
pub(super) fn note(peek: &Peek, order: &Order<'_>, notes: &mut Notes) {
    if order.deployment.endpoint.aws.is_none() {
        return;
    }
    for name in ["container", "mcp_servers"].into_iter().filter(|name| peek.is_set(name)) {
        notes.leave_out(name);
    }
    if peek.raw("tools").is_some_and(|raw| without_hosted(raw).is_some()) {
        notes.leave_out("tools");
    }
}

/// The list `tools` without those that the provider would run, which Bedrock does not; `None` if there are none.
fn without_hosted(tools: &str) -> Option<String> {
    const HOSTED: [&str; 5] =
        ["\"web_search_", "\"web_fetch_", "\"code_execution_", "\"advisor_", "\"mcp_toolset\""];
    if !HOSTED
        .iter()
        .any(|start| memchr::memmem::find(tools.as_bytes(), start.as_bytes()).is_some())
    {
        return None;
    }
    let is_hosted = |tool: &&str| {
        let Ok([Some(kind)]) = texts(tool, ["type"]) else { return false };
        HOSTED.iter().any(|start| kind.starts_with(start))
    };
    let all: Vec<&str> = elements(tools)?.collect();
    let kept: Vec<&str> = all.iter().filter(|tool| !is_hosted(tool)).copied().collect();
    (kept.len() < all.len()).then(|| format!("[{}]", kept.join(",")))
}

/// `context_management` with the edits that Bedrock has, and their betas; `None` if none is left.
fn context(raw: &str) -> (Option<String>, Vec<&'static str>) {
    let Ok([Some(all)]) = texts(raw, ["edits"]) else { return (None, Vec::new()) };
    let (mut kept, mut betas) = (Vec::new(), Vec::new());
    for edit in elements(all).into_iter().flatten() {
        let kind = texts(edit, ["type"]).ok().and_then(|[kind]| kind);
        if let Some((_, beta)) = CONTEXT_EDITS.iter().find(|(known, _)| kind == Some(known)) {
            kept.push(edit);
            betas.push(*beta);
        }
    }
    let kept = (!kept.is_empty()).then(|| format!("{{\"edits\":[{}]}}", kept.join(",")));
    (kept, betas)
}
