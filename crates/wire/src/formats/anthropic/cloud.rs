//! Requests of this format at a cloud: the model stands in the path, and the version in the body.
//!
//! Called by [`super::edits`] for each request. Always true: a version that the client names in its body stays.
//!
//! Source: <https://docs.claude.com/en/api/claude-on-vertex-ai>.

use std::borrow::Cow;

use hale_core::operation::Operation;

use crate::bytes::edit::{Edit, json_string};
use crate::bytes::peek::Peek;
use crate::formats::order::Order;

/// The version of requests whose client names none, or one that is as old as the first. Source: LiteLLM.
const OF_VERTEX: &str = "vertex-2023-10-16";
/// Where the version stands.
const VERSION: &str = "anthropic_version";

/// The edits that say which model is called, and in which version of the format.
pub(super) fn edits<'e>(peek: &Peek, order: &Order<'_>) -> impl Iterator<Item = Edit<'e>> {
    let is_at_cloud = order.deployment.endpoint.vertex.is_some();
    // The path of a count names no model.
    let has_path =
        is_at_cloud && !matches!(order.operation, Operation::CountTokens | Operation::CountPrompt);
    let model = match has_path {
        true => Edit::Remove("model"),
        false => Edit::Set("model", Cow::Owned(json_string(order.upstream_model))),
    };
    let lacks_version = is_at_cloud && peek.raw(VERSION).is_none();
    let version = lacks_version.then(|| {
        Edit::Set(VERSION, Cow::Owned(json_string(order.client_version.unwrap_or(OF_VERTEX))))
    });
    [Some(model), version].into_iter().flatten()
}
