//! The edits of a request body in the Anthropic format, for an upstream that speaks it.
//!
//! Called once per attempt, for bodies of clients and for those that [`super::write_request`] wrote. Always true:
//! only top-level members change.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use crate::bytes::edit::{Edit, json_string};
use crate::bytes::json::Str;
use crate::bytes::peek::Peek;
use crate::formats::order::Order;

/// The body for the upstream. `defaults` says whether the body still needs the deployment's defaults.
pub(crate) fn request_body(peek: &Peek, order: &Order<'_>, defaults: bool) -> Bytes {
    let deployment = order.deployment;
    let mut edits = Vec::with_capacity(8);
    edits.push(Edit::Set("model", Cow::Owned(json_string(order.upstream_model))));
    edits.extend(deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)));
    for name in peek.removed() {
        edits.push(Edit::Remove(name));
    }
    if let Some(raw) = peek.raw("metadata") {
        edits.extend(metadata(raw));
    }
    for (from, to) in &deployment.endpoint.provider.rename_params {
        edits.push(Edit::Rename(from, to));
    }
    if defaults {
        for (name, value) in &deployment.endpoint.default_params {
            edits.push(Edit::Default(name, value));
        }
    }
    peek.edited(&edits)
}

/// `metadata` with the one field that the provider accepts; clients of LiteLLM put more into it.
fn metadata(raw: &str) -> Option<Edit<'static>> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        user_id: Option<Str<'a>>,
    }
    let keys = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(raw).ok()?;
    if keys.keys().all(|key| key == "user_id") {
        return None;
    }
    let known: Metadata<'_> = serde_json::from_str(raw).ok()?;
    Some(match known.user_id {
        Some(Str(id)) => {
            Edit::Set("metadata", Cow::Owned(format!("{{\"user_id\":{}}}", json_string(&id))))
        }
        None => Edit::Remove("metadata"),
    })
}
