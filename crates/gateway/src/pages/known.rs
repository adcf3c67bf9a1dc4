//! What is known about a model: all that the price list says, completed by the config.
//!
//! Used by the pages that describe models. Always true: what the config says wins; it contains no secret.

use hale_core::deployment::Deployment;
use hale_core::prices::{self, ModelFacts};
use hale_core::provider::HostOwner;
use hale_core::takes::Efforts;
use serde_json::{Map, Value, json};

/// Parameters of a chat that every model takes.
const CHAT: [&str; 17] = [
    "extra_headers",
    "logit_bias",
    "max_completion_tokens",
    "max_retries",
    "max_tokens",
    "metadata",
    "modalities",
    "n",
    "prediction",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "user",
];
/// Those of models that can be told how to choose words.
const SAMPLING: [&str; 6] =
    ["frequency_penalty", "logprobs", "presence_penalty", "temperature", "top_logprobs", "top_p"];
/// Those of models that call tools.
const TOOLS: [&str; 5] =
    ["function_call", "functions", "parallel_tool_calls", "tool_choice", "tools"];

/// The facts of `deployment`, as `/model/info` shows them; `model` is the one meant where it stands for many.
pub(super) fn model_info(deployment: &Deployment, model: Option<&str>) -> Map<String, Value> {
    let own: Map<String, Value> =
        serde_json::from_str(&deployment.display.model_info).unwrap_or_default();
    let provider = &*deployment.endpoint.provider.name;
    let base = own.get("base_model").and_then(Value::as_str);
    let name = model.or(base).unwrap_or(&deployment.endpoint.upstream_model);
    let listed = prices::everything(provider, name);
    let mut info = Map::new();
    for key in ["id", "db_model"] {
        info.extend(own.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    if let Some((key, text)) = listed {
        info.insert("key".to_owned(), json!(key));
        info.extend(serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default());
        let facts = facts(deployment, model);
        let is_own = deployment.endpoint.owner() == HostOwner::Operator && base.is_none();
        if is_own && !facts.is_priced_by(provider) {
            info.retain(|name, _| !name.contains("cost"));
        }
        let params = supported_params(deployment, name, facts);
        if !params.is_empty() {
            info.insert("supported_openai_params".to_owned(), json!(params));
        }
    }
    info.extend(own);
    info
}

/// The facts of the model that is meant: the list's, if the deployment stands for many.
pub(super) fn facts<'d>(deployment: &'d Deployment, model: Option<&str>) -> &'d ModelFacts {
    let provider = &*deployment.endpoint.provider.name;
    let listed = model.filter(|_| deployment.endpoint.takes.is_none());
    listed.and_then(|model| prices::lookup(provider, model)).unwrap_or(&deployment.facts)
}

/// The parameters of OpenAI's format that the model takes, by what is known of it.
fn supported_params(deployment: &Deployment, name: &str, facts: &ModelFacts) -> Vec<&'static str> {
    let takes = facts.takes(&deployment.endpoint.provider.name, name);
    match facts.mode.as_deref() {
        Some("chat" | "responses") => {
            let mut all = CHAT.to_vec();
            if !takes.fixed_sampling {
                all.extend(SAMPLING);
            }
            if facts.supports_function_calling == Some(true) {
                all.extend(TOOLS);
            }
            let reasons = facts.supports_reasoning == Some(true);
            if reasons && takes.efforts != Some(Efforts::NOTHING) {
                all.push("reasoning_effort");
            }
            all.sort_unstable();
            all
        }
        Some("embedding") => vec!["dimensions", "encoding_format", "user"],
        _ => Vec::new(),
    }
}
