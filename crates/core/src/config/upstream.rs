//! Which provider an entry means, and the provider's name for the model.
//!
//! Called by [`super::deployments`] for each entry. Always true: an entry has a provider even if it
//! cannot be served, so that it can be shown with its name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::operation::Operation;
use crate::prices;
use crate::provider::{self, Addressing, Constraints, Provider, Quirks, WireFormat};

use super::problem::shown;
use super::suggest::{did_you_mean, nearest};

/// Further names of providers in the table.
const ALIASES: [(&str, &str); 2] =
    [("custom_openai", "openai"), ("text-completion-openai", "openai")];

/// Providers that exist and are not in the table.
#[rustfmt::skip]
const NOT_SERVED: &[&str] = &[
    "ai21", "ai21_chat", "aleph_alpha", "anthropic_text", "anyscale",
    "auto_router", "aws_polly", "azure_text", "bedrock", "bedrock_converse",
    "bedrock_mantle", "black_forest_labs", "bytez", "chatgpt", "clarifai", "cloudflare",
    "cohere_chat", "custom", "deepgram", "elevenlabs", "fal_ai", "gemini", "gigachat",
    "github_copilot", "langflow", "langgraph", "manus", "maritalk", "nlp_cloud",
    "oci", "ollama", "ollama_chat", "oobabooga", "palm", "petals", "predibase", "ragflow",
    "recraft", "replicate", "runwayml", "sagemaker", "sagemaker_chat", "sagemaker_nova", "sap",
    "snowflake", "soniox", "stability", "text-completion-codestral", "topaz", "triton",
    "vertex_ai", "vertex_ai_beta", "vllm", "voyage", "watsonx", "watsonx_text",
];

/// The name shown if no provider is known.
const UNKNOWN: &str = "unknown";

static STANDINS: LazyLock<BTreeMap<&str, Provider>> = LazyLock::new(|| {
    NOT_SERVED.iter().copied().chain([UNKNOWN]).map(|name| (name, standin(name))).collect()
});

fn standin(name: &str) -> Provider {
    Provider {
        name: name.into(),
        wire: WireFormat::OpenAi,
        addressing: Addressing::Plain,
        bearer: true,
        base_url: None,
        hosts: Vec::new(),
        api_key_env: Vec::new(),
        api_base_env: None,
        key_optional: false,
        rename_params: BTreeMap::new(),
        headers: BTreeMap::new(),
        quirks: Quirks::default(),
        constraints: Constraints::default(),
        endpoints: Vec::new(),
        serves_only_endpoints: false,
    }
}

/// What an entry means.
#[derive(Debug)]
pub(super) struct Upstream<'m> {
    /// The provider, or a placeholder for it.
    pub(super) provider: &'static Provider,
    /// The model's name at the provider.
    pub(super) model: &'m str,
    /// Why it cannot be served: the problem and the hint.
    pub(super) refusal: Option<(String, String)>,
}

/// The provider of `model`: the one that is named, else its prefix, else the price list's.
pub(super) fn find<'m>(model: &'m str, named: Option<&str>) -> Upstream<'m> {
    if let Some(name) = named {
        let tail = model.strip_prefix(name).and_then(|m| m.strip_prefix('/')).unwrap_or(model);
        let found = of_name(name, tail).unwrap_or_else(|| unknown_provider(name, tail));
        let keeps = found.provider.quirks.own_models_keep_prefix && !tail.contains(['/', '*']);
        return if keeps { Upstream { model, ..found } } else { found };
    }
    if let Some((prefix, tail)) = model.split_once('/')
        && let Some(found) = of_name(prefix, tail)
    {
        let keeps = found.provider.quirks.own_models_keep_prefix && !tail.contains(['/', '*']);
        return if keeps { Upstream { model, ..found } } else { found };
    }
    let listed = prices::exact(model).and_then(|facts| facts.litellm_provider.as_deref());
    match listed {
        // The list splits some providers: `vertex_ai-language-models`.
        Some(name) => of_name(name, model)
            .or_else(|| of_name(name.split_once('-').map_or(name, |(first, _)| first), model))
            .unwrap_or_else(|| not_served(name, model)),
        None => match model.split_once('/') {
            Some((prefix, tail)) => unknown_prefix(prefix, tail, model),
            None => no_provider(model),
        },
    }
}

/// The name of a model that is written as LiteLLM writes one that is called with responses.
pub(super) fn for_responses<'m>(provider: &Provider, model: &'m str) -> Option<&'m str> {
    let tail = model.strip_prefix("responses/").filter(|tail| !tail.is_empty());
    tail.filter(|_| provider.serves(Operation::Responses))
}

fn of_name<'m>(name: &str, model: &'m str) -> Option<Upstream<'m>> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
    if let Some(provider) = provider::lookup(name) {
        return Some(Upstream { provider, model, refusal: other_mode(provider, model) });
    }
    STANDINS.contains_key(name).then(|| not_served(name, model)).filter(|_| name != UNKNOWN)
}

/// The refusal of a model for something that its provider is not served for.
fn other_mode(provider: &Provider, model: &str) -> Option<(String, String)> {
    let mode = prices::lookup(&provider.name, model)?.mode.as_deref()?;
    let mut of_mode = Operation::ALL.into_iter().filter(|operation| operation.mode() == mode);
    if !provider.serves_only_endpoints || of_mode.any(|operation| provider.serves(operation)) {
        return None;
    }
    let (name, served) = (&provider.name, provider.endpoints.join(", "));
    let problem = format!("provider `{name}` is served for {served} only, `{model}` is for {mode}");
    Some((problem, "use it through a provider that speaks the OpenAI wire".to_owned()))
}

fn not_served<'m>(name: &str, model: &'m str) -> Upstream<'m> {
    refuse(
        name,
        model,
        format!("provider `{name}` is not served by this version"),
        "this version serves Anthropic and providers that speak the OpenAI wire; if there is an \
         OpenAI-compatible address, write `openai/...` and set `api_base`"
            .to_owned(),
    )
}

fn unknown_provider<'m>(name: &str, model: &'m str) -> Upstream<'m> {
    refuse(UNKNOWN, model, format!("unknown provider `{}`", shown(name)), suggestion(name))
}

fn unknown_prefix<'m>(prefix: &str, tail: &'m str, whole: &'m str) -> Upstream<'m> {
    let near = suggestion(prefix);
    if near.is_empty() {
        let hint = format!(
            "write `provider/{0}`, for an OpenAI-compatible server `openai/{0}` with `api_base`",
            shown(whole)
        );
        let problem = format!("`{}` names no known provider", shown(whole));
        return refuse(UNKNOWN, whole, problem, hint);
    }
    refuse(UNKNOWN, tail, format!("unknown provider `{}`", shown(prefix)), near)
}

fn no_provider(model: &str) -> Upstream<'_> {
    if model.contains('*') {
        let problem = format!("`{}` names no provider", shown(model));
        let hint =
            format!("a deployment has one provider: write `openai/{}` or such", shown(model));
        return refuse(UNKNOWN, model, problem, hint);
    }
    let problem =
        format!("no provider: `{}` has no prefix and is not in the price list", shown(model));
    let hint = format!("write `openai/{0}` or `groq/{0}` or such", shown(model));
    refuse(UNKNOWN, model, problem, hint)
}

fn suggestion(name: &str) -> String {
    let names = provider::all().map(|row| &*row.name);
    did_you_mean(&nearest(name, names.chain(NOT_SERVED.iter().copied())))
}

fn refuse<'m>(name: &str, model: &'m str, problem: String, hint: String) -> Upstream<'m> {
    static LAST_RESORT: LazyLock<Provider> = LazyLock::new(|| standin(UNKNOWN));
    let provider = STANDINS.get(name).or_else(|| STANDINS.get(UNKNOWN)).unwrap_or(&LAST_RESORT);
    Upstream { provider, model, refusal: Some((problem, hint)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(model: &str, named: Option<&str>) -> (String, String, bool) {
        let upstream = find(model, named);
        let served = upstream.refusal.is_none();
        (upstream.provider.name.to_string(), upstream.model.to_owned(), served)
    }

    fn served(provider: &str, model: &str) -> (String, String, bool) {
        (provider.to_owned(), model.to_owned(), true)
    }

    #[test]
    fn the_provider_is_named_or_the_prefix_or_in_the_price_list() {
        assert_eq!(found("openai/gpt-4o", None), served("openai", "gpt-4o"));
        assert_eq!(found("together_ai/meta/llama", None), served("together_ai", "meta/llama"));
        assert_eq!(found("gpt-4o", None), served("openai", "gpt-4o"));
        assert_eq!(found("meta/llama", Some("hosted_vllm")), served("hosted_vllm", "meta/llama"));
        assert_eq!(found("groq/llama", Some("groq")), served("groq", "llama"));
        assert_eq!(found("openai/*", None), served("openai", "*"));
        assert_eq!(found("custom_openai/x", None), served("openai", "x"));
        // The provider's own models have its prefix in their names.
        assert_eq!(found("openrouter/auto", None), served("openrouter", "openrouter/auto"));
        let named = found("openrouter/auto", Some("openrouter"));
        assert_eq!(named, served("openrouter", "openrouter/auto"));
        assert_eq!(
            found("openrouter/openrouter/auto", None),
            served("openrouter", "openrouter/auto")
        );
        assert_eq!(found("openrouter/meta/llama", None), served("openrouter", "meta/llama"));
        assert_eq!(found("openrouter/*", None), served("openrouter", "*"));
    }

    #[test]
    fn what_is_not_served_keeps_its_name_and_says_why() {
        let (name, model, is_served) = found("bedrock/claude-3-opus", None);
        assert_eq!((&*name, &*model, is_served), ("bedrock", "claude-3-opus", false));
        let problem = |model, named| find(model, named).refusal.unwrap();
        assert_eq!(
            problem("bedrock/x", None).0,
            "provider `bedrock` is not served by this version"
        );
        assert_eq!(found("azure/my-gpt", None), served("azure", "my-gpt"));
        assert_eq!(problem("opnai/gpt-4o", None).1, "did you mean `openai`?");
        assert_eq!(problem("x", Some("grok")).1, "did you mean `groq`?");
        assert!(problem("org/some-model", None).1.contains("openai/org/some-model"));
        assert!(problem("my-model", None).0.contains("no provider"));
        assert!(problem("*", None).1.contains("write `openai/*`"));
        assert!(!found("unknown/x", None).2);
    }
}
