//! The headers that all good answers of one deployment share, made once for each config.
//!
//! Made with the config in force, completed by `proxy::answer_headers` for each answer.

use hale_core::deployment::Deployment;
use http::{HeaderName, HeaderValue, header};

use crate::http::COMPATIBLE_VERSION;

pub(crate) const MODEL_ID: HeaderName = HeaderName::from_static("x-litellm-model-id");
/// The model as the config names it, behind its provider.
pub(crate) const MODEL_NAME: HeaderName = HeaderName::from_static("x-litellm-model-name");
const REGION: HeaderName = HeaderName::from_static("x-litellm-model-region");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-litellm-version");
pub(crate) const RETRIES: HeaderName = HeaderName::from_static("x-litellm-attempted-retries");
pub(crate) const FALLBACKS: HeaderName = HeaderName::from_static("x-litellm-attempted-fallbacks");

/// The value of [`MODEL_NAME`] for a model of `deployment`; `None` if it cannot be a header.
pub(crate) fn model_name(deployment: &Deployment, model: &str) -> Option<HeaderValue> {
    let name = format!("{}/{model}", deployment.endpoint.provider.name);
    HeaderValue::try_from(name).ok()
}

/// The headers that the answers of one deployment share.
pub(crate) struct AnswerTemplate {
    /// The headers that every client sees, each once. A list: a copied map would have to grow for every answer.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Its address as a header value.
    pub(crate) base: Option<HeaderValue>,
    /// Whether its model depends on the request.
    pub(crate) has_many_models: bool,
}

impl AnswerTemplate {
    /// The template of `deployment`.
    pub(super) fn new(deployment: &Deployment) -> AnswerTemplate {
        let mut headers = Vec::new();
        let id = HeaderValue::from_str(&deployment.id)
            .unwrap_or(HeaderValue::from_static("unprintable"));
        headers.push((MODEL_ID, id));
        // A pattern's model depends on the request.
        let has_many_models = deployment.endpoint.upstream_model.contains('*');
        if !has_many_models
            && let Some(name) = model_name(deployment, &deployment.endpoint.upstream_model)
        {
            headers.push((MODEL_NAME, name));
        }
        if let Some(region) = deployment
            .routing
            .region
            .as_deref()
            .and_then(|region| HeaderValue::from_str(region).ok())
        {
            headers.push((REGION, region));
        }
        headers.extend([
            (VERSION, HeaderValue::from_static(COMPATIBLE_VERSION)),
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (RETRIES, HeaderValue::from_static("0")),
            (FALLBACKS, HeaderValue::from_static("0")),
        ]);
        let base = HeaderValue::from_str(&deployment.endpoint.api_base).ok();
        AnswerTemplate { headers, base: base.filter(|value| !value.is_empty()), has_many_models }
    }
}
