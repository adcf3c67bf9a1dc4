//! The headers that Bedrock reads where a model is called in its own format: the guardrail, how fast, in which tier.
//!
//! Used by [`crate::upstream::target`]. Always true: they say what the config of the deployment says, and no client changes them.
//!
//! Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>.

use hale_core::deployment::Deployment;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

/// Where a header's value stands: the parameter, which has the same name in both spellings but for its form, and its member.
const HEADERS: [([&str; 2], &str, &str); 6] = [
    (GUARDRAIL, "guardrailIdentifier", "x-amzn-bedrock-guardrailidentifier"),
    (GUARDRAIL, "guardrailVersion", "x-amzn-bedrock-guardrailversion"),
    (GUARDRAIL, "trace", "x-amzn-bedrock-trace"),
    (
        ["performanceConfig", "performance_config"],
        "latency",
        "x-amzn-bedrock-performanceconfig-latency",
    ),
    (["serviceTier", "serviceTier"], "type", "x-amzn-bedrock-service-tier"),
    // All of it, as JSON.
    (["requestMetadata", "request_metadata"], "", "x-amzn-bedrock-request-metadata"),
];
const GUARDRAIL: [&str; 2] = ["guardrailConfig", "guardrail_config"];

/// The headers for what the config of `deployment` says.
pub(in crate::upstream) fn invoke_headers(
    deployment: &Deployment,
) -> Box<[(HeaderName, HeaderValue)]> {
    let endpoint = &deployment.endpoint;
    if endpoint.aws.is_none() {
        return Box::default();
    }
    let of_config = |names: &[&str; 2]| {
        let mut defaults = endpoint.default_params.iter();
        let (_, raw) = defaults.find(|(name, _)| {
            names.contains(&&**name) && !endpoint.dropped_params.contains(name)
        })?;
        serde_json::from_str::<Value>(raw).ok()
    };
    let headers = HEADERS.iter().filter_map(|(names, member, header)| {
        let object = of_config(names)?;
        let value = if member.is_empty() { &object } else { object.get(member)? };
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // Converse has this word in small letters.
        let text = if *member == "trace" { text.to_ascii_uppercase() } else { text };
        Some((HeaderName::from_static(header), HeaderValue::from_str(&text).ok()?))
    });
    headers.collect()
}
