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
use crate::formats::order::Order;

/// The version of requests whose client names none, or one that is as old as the first. Source: LiteLLM.
const VERSION: &str = "bedrock-2023-05-31";
/// Members that Bedrock refuses, and that change nothing but how fast or where.
const REFUSED: [&str; 13] = [
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
    let mut betas: Vec<&str> =
        peek.raw("anthropic_beta").and_then(elements).into_iter().flatten().collect();
    if let Some(raw) = peek.raw("context_management") {
        let (kept, more) = context(raw);
        betas.extend(more.into_iter().filter(|beta| !betas.contains(beta)).collect::<Vec<_>>());
        edits.push(match kept {
            Some(kept) => Edit::Set("context_management", Cow::Owned(kept)),
            None => Edit::Remove("context_management"),
        });
        if !betas.is_empty() {
            let list = format!("[{}]", betas.join(","));
            edits.push(Edit::Set("anthropic_beta", Cow::Owned(list)));
        }
    }
    edits
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
