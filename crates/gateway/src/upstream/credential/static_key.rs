//! Authorizes requests with a secret of the config: an API key, or a token of Azure.
//!
//! Called by [`crate::upstream::target`] when a target is made. Always true: the key is part of the target's header
//! template, so that a request costs nothing more; its headers are marked as sensitive.

use hale_core::deployment::Deployment;
use hale_core::provider::WireFormat;
use hale_core::secret::Secret;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::upstream::dialect::anthropic;

/// Stands for the key in a provider's header templates.
const PLACEHOLDER: &str = "{api_key}";

/// Adds the credential of `deployment` to `headers`.
pub(in crate::upstream) fn add_to(headers: &mut HeaderMap, deployment: &Deployment) {
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(mut value) = HeaderValue::from_str(text) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    };
    let provider = &deployment.endpoint.provider;
    if let Some(key) = deployment.credential.api_key.as_ref().map(Secret::expose) {
        match provider.wire {
            // Azure has a header of its own for keys, in a template below.
            WireFormat::Anthropic if provider.headers.values().any(|one| is_part(one)) => {}
            WireFormat::Anthropic => {
                anthropic::key_headers(key).for_each(|(name, value)| put(name, &value));
            }
            WireFormat::OpenAi
            | WireFormat::Gemini
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Converse
            | WireFormat::Ollama
                if provider.bearer =>
            {
                put(header::AUTHORIZATION, &format!("Bearer {key}"));
            }
            WireFormat::OpenAi
            | WireFormat::Gemini
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Converse
            | WireFormat::Ollama => {}
        }
        for (name, template) in &provider.headers {
            if template.contains(PLACEHOLDER)
                && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            {
                put(name, &template.replace(PLACEHOLDER, key));
            }
        }
    }
    if let Some(token) = deployment.endpoint.azure.as_ref().and_then(|azure| azure.token.as_ref()) {
        put(header::AUTHORIZATION, &format!("Bearer {}", token.expose()));
    }
}

/// Whether a header of the provider's holds the key, and so belongs to the credential.
pub(in crate::upstream) fn is_part(template: &str) -> bool {
    template.contains(PLACEHOLDER)
}
