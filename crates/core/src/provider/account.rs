//! How a provider whose accounts have hosts of their own is called, and how it knows a service principal.
//!
//! Part of the rows of [`super::Provider`]. Always true: facts of the provider; what an account is called is in the environment.

use serde::Deserialize;

/// A host in the environment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostVariable {
    /// The variable.
    pub variable: Box<str>,
    /// What is appended to it.
    pub path: Box<str>,
}

/// How a provider's server gives tokens to a service principal: client credentials of OAuth 2.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSource {
    /// The path on the host of the models.
    pub path: Box<str>,
    /// The scope of the tokens.
    pub scope: Box<str>,
    /// The environment variable of `client_id`.
    pub client_id_env: Box<str>,
    /// That of `client_secret`.
    pub client_secret_env: Box<str>,
}

/// The row of a model of Azure AI that has another one than the serverless addresses: by the model's name, by the host, or by
/// the end of the address.
pub(super) fn at_azure_ai(base: &str, host: &str, model: &str) -> Option<&'static str> {
    let host = host.to_ascii_lowercase();
    if model.to_ascii_lowercase().contains("claude") {
        Some("azure_ai/claude")
    } else if host.ends_with(".openai.azure.com") {
        Some("azure")
    } else if host.ends_with(".services.ai.azure.com")
        || base.trim_end_matches('/').ends_with("/models")
    {
        Some("azure_ai/models")
    } else {
        None
    }
}
