//! What one attempt asks of a deployment.
//!
//! Made by the gateway for each attempt, read by the edits and writers of the wires.

use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

/// What one attempt sends.
#[derive(Clone, Copy, Debug)]
pub struct Order<'o> {
    /// To whom.
    pub deployment: &'o Deployment,
    /// What for, in the client's words.
    pub operation: Operation,
    /// The model's name at the provider.
    pub upstream_model: &'o str,
    /// The provider's id of what the request refers to: the response to go on from, the file of a batch.
    pub kept: Option<&'o str>,
    /// Whether the answer is a stream whose usage must be asked for.
    pub ask_usage: bool,
    /// Whether parameters that the provider does not know are left out.
    pub drop_params: bool,
}

impl Order<'_> {
    /// The wire on which it goes out. A canned answer is one of the OpenAI wire.
    #[must_use]
    pub fn wire(&self) -> WireFormat {
        match self.deployment.endpoint.mock {
            Some(_) => WireFormat::OpenAi,
            None => self.deployment.endpoint.provider.wire,
        }
    }

    /// Whether the deployment's config says to leave `name` out.
    pub(crate) fn drops(&self, name: &str) -> bool {
        self.deployment.endpoint.dropped_params.iter().any(|dropped| **dropped == *name)
    }
}
