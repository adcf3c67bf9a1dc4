//! What one attempt requests from a deployment.
//!
//! Made by the gateway for each attempt, read by the edits and writers of the formats.

use hale_core::deployment::Deployment;
use hale_core::health::Known;
use hale_core::operation::{Counterpart, Operation};
use hale_core::prices;
use hale_core::provider::WireFormat;
use hale_core::takes::Takes;
use hale_core::vertex;

use super::fetched::Fetched;
use crate::bytes::id::IdKey;

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
    /// The version of its format that a client of Anthropic's names, if it is newer than the first.
    pub client_version: Option<&'o str>,
    /// The betas that a client of Anthropic's asks for in its headers, with commas between them.
    pub client_betas: Option<&'o str>,
    /// Whether the answer is a stream whose usage must be requested.
    pub ask_usage: bool,
    /// Whether parameters that the provider does not support are left out.
    pub drop_params: bool,
    /// What its provider refused to be told about this model.
    pub known: Known,
    /// What the model is told that it said already, where another answer broke off.
    pub prefix: Option<&'o str>,
    /// Opens what was sealed for a client, where its format has such.
    pub seals: Option<&'o IdKey>,
    /// What was found at the addresses of the request; `None` if addresses are not fetched.
    pub fetched: Option<&'o Fetched>,
}

impl Order<'_> {
    /// The wire of the request.
    #[must_use]
    pub fn wire(&self) -> WireFormat {
        self.deployment.wire(self.operation, self.upstream_model)
    }

    /// The model's name in a body, where the body has one.
    pub(crate) fn model_in_body(&self) -> &str {
        match self.deployment.endpoint.vertex {
            Some(_) => vertex::name_in_body(self.upstream_model),
            None => self.upstream_model,
        }
    }

    /// Whether client and provider speak different formats. Some operations have one shape in several formats.
    #[must_use]
    pub(crate) fn translates(&self) -> bool {
        let is_shared = self.operation.counterpart(self.wire()) == Counterpart::Same;
        self.operation.format() != self.wire() && !is_shared
    }

    /// The provider's operation.
    pub(crate) fn upstream_operation(&self) -> Option<Operation> {
        self.operation.upstream(self.wire())
    }

    /// Whether the provider is asked for a chat of the OpenAI format.
    pub(crate) fn asks_for_chat(&self) -> bool {
        let open_ai = self.wire() == WireFormat::OpenAi;
        open_ai && self.upstream_operation().is_some_and(|operation| operation.requires("messages"))
    }

    /// What the model takes.
    pub(crate) fn takes(&self) -> Takes {
        let endpoint = &self.deployment.endpoint;
        self.known.complete(endpoint.takes.unwrap_or_else(|| {
            let (provider, model) = (&endpoint.provider.name, self.upstream_model);
            let facts = prices::lookup(provider, model).unwrap_or(&self.deployment.facts);
            facts.takes(provider, model)
        }))
    }

    /// `tokens`, or the greatest limit of an answer that the provider named when it refused more.
    pub(crate) fn within(&self, tokens: u64) -> u64 {
        self.known.most().map_or(tokens, |most| tokens.min(most))
    }

    /// The JSON text of a limit as the model takes it; `None` if `raw` is taken.
    pub(crate) fn bounded(&self, raw: &str) -> Option<String> {
        let most = self.known.most().and_then(|most| u32::try_from(most).ok())?;
        let is_beyond = raw.parse::<f64>().is_ok_and(|wanted| wanted > f64::from(most));
        is_beyond.then(|| most.to_string())
    }

    /// Whether the deployment's config drops the parameter `name`.
    pub(crate) fn drops(&self, name: &str) -> bool {
        self.deployment.endpoint.dropped_params.iter().any(|dropped| **dropped == *name)
    }
}
