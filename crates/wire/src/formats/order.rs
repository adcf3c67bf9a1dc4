//! What one attempt requests from a deployment.
//!
//! Made by the gateway for each attempt, read by the edits and writers of the formats.

use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

/// What one attempt sends.
#[derive(Clone, Copy, Debug)]
pub struct Order<'o> {
    /// The deployment that it is sent to.
    pub deployment: &'o Deployment,
    /// The operation that the client requests.
    pub operation: Operation,
    /// The model's name at the provider.
    pub upstream_model: &'o str,
    /// The provider's id of the stored object that the request refers to: the previous response, the file of a batch.
    pub kept: Option<&'o str>,
    /// Whether the answer is a stream whose usage must be requested.
    pub ask_usage: bool,
    /// Whether parameters that the provider does not support are left out.
    pub drop_params: bool,
}

impl Order<'_> {
    /// The wire of the request. A canned answer uses the OpenAI wire.
    #[must_use]
    pub fn wire(&self) -> WireFormat {
        match self.deployment.endpoint.mock {
            Some(_) => WireFormat::OpenAi,
            None => self.deployment.endpoint.provider.wire,
        }
    }

    /// Whether the deployment's config drops the parameter `name`.
    pub(crate) fn drops(&self, name: &str) -> bool {
        self.deployment.endpoint.dropped_params.iter().any(|dropped| **dropped == *name)
    }
}
