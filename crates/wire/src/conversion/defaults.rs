//! The parameters that a deployment adds to requests, and those that it drops.
//!
//! Called by [`super::prepare`] and [`super::portions`] for requests that are translated.

use std::borrow::Cow;

use hale_core::provider::ClientFormat;

use crate::bytes::edit::Edit;
use crate::bytes::peek::Peek;
use crate::formats::order::Order;
use crate::formats::responses;

/// The edits that add the deployment's defaults to `peek` and remove the parameters that it drops.
pub(super) fn defaults<'e>(peek: &Peek, order: &Order<'e>) -> Vec<Edit<'e>> {
    let deployment = order.deployment;
    if order.operation.format().of_clients() == ClientFormat::Responses {
        return responses::edits::defaults(peek, deployment);
    }
    let mut edits: Vec<Edit<'_>> =
        deployment.endpoint.dropped_params.iter().map(|name| Edit::Remove(name)).collect();
    for (name, value) in &deployment.endpoint.default_params {
        // The client may have said the same by another name.
        let other = match &**name {
            "max_tokens" => "max_completion_tokens",
            "thinking" => "reasoning_effort",
            "reasoning_effort" => "thinking",
            _ => "",
        };
        if peek.raw(other).is_some() {
            continue;
        }
        match peek.has(name) && peek.raw(name).is_none() {
            // null means absent here, so the default applies.
            true => edits.push(Edit::Set(name, Cow::Borrowed(value))),
            false => edits.push(Edit::Default(name, value)),
        }
    }
    edits
}
