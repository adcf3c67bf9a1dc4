//! Which provider an entry means, and the provider's name for the model.
//!
//! Called by [`super::deployments`] for each entry. Always true: an entry has a provider even if it
//! cannot be served, so that it can be shown with its name.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::aws::{self, Named};
use crate::operation::Operation;
use crate::prices::{self, ModelFacts};
use crate::provider::{self, Addressing, Constraints, Provider, Quirks, WireFormat};

use super::problem::shown;
use super::suggest::{did_you_mean, nearest};
use super::unserved::{self, NOT_SERVED};

/// The name shown if no provider is known.
const UNKNOWN: &str = "unknown";

static STANDINS: LazyLock<BTreeMap<&str, Provider>> = LazyLock::new(|| {
    let names = NOT_SERVED.iter().map(|(name, _)| *name);
    names.chain([UNKNOWN]).map(|name| (name, standin(name))).collect()
});

fn standin(name: &str) -> Provider {
    Provider {
        name: name.into(),
        wire: WireFormat::OpenAi,
        addressing: Addressing::Plain,
        bearer: true,
        base_url: None,
        bases_by_key: BTreeMap::new(),
        hosts: Vec::new(),
        api_key_env: Vec::new(),
        api_base_env: Vec::new(),
        host_env: None,
        tokens: None,
        key_optional: false,
        rename_params: BTreeMap::new(),
        headers: BTreeMap::new(),
        quirks: Quirks::default(),
        cache_minutes: 5,
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

/// What an entry says about its upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written<'w> {
    /// `custom_llm_provider`.
    pub(super) provider: Option<&'w str>,
    /// Its address, if it names one.
    pub(super) address: Option<&'w str>,
    /// `model_info.mode`.
    pub(super) mode: Option<&'w str>,
    /// `aws_region_name`.
    pub(super) region: Option<&'w str>,
    /// Whether it or its credential has a key of its own.
    pub(super) has_key: bool,
}

/// The provider of `model`: the one that is named, else its prefix, else the one with that address, else the owner of the name.
pub(super) fn find<'m>(model: &'m str, written: Written<'_>) -> Upstream<'m> {
    let mut found = whose(model, written);
    if found.refusal.is_none() {
        found.refusal = other_mode(found.provider, found.model, written.mode)
            .or_else(|| other_service(&found))
            .or_else(|| other_format(&found, written));
    }
    if let Some((_, hint)) = found.refusal.as_mut()
        && unserved::is_bedrock(&found.provider.name)
    {
        *hint = unserved::of_bedrock(found.model, written.region);
    }
    found
}

fn whose<'m>(model: &'m str, written: Written<'_>) -> Upstream<'m> {
    let keeps = |found: Upstream<'m>, tail: &str| {
        let keeps = found.provider.quirks.own_models_keep_prefix && !tail.contains(['/', '*']);
        if keeps { Upstream { model, ..found } } else { found }
    };
    if let Some(name) = written.provider {
        let tail = model.strip_prefix(name).and_then(|m| m.strip_prefix('/')).unwrap_or(model);
        return keeps(of_name(name, tail).unwrap_or_else(|| unknown_provider(name, tail)), tail);
    }
    if let Some((prefix, tail)) = model.split_once('/')
        && let Some(found) = of_name(prefix, tail)
    {
        return keeps(found, tail);
    }
    let by_address = written.address.and_then(|base| provider::at_host(provider::host_of(base)));
    if let Some(provider) = by_address {
        return Upstream { provider, model, refusal: None };
    }
    match prices::owner(model) {
        // The list splits some providers: `vertex_ai-language-models`.
        Some(name) => of_name(name, model)
            .or_else(|| of_name(name.split_once('-').map_or(name, |(first, _)| first), model))
            .unwrap_or_else(|| not_served(name, model)),
        // LiteLLM takes it for OpenAI's.
        None if model == "*" && written.address.is_some() => {
            of_name("openai", model).unwrap_or_else(|| no_provider(model))
        }
        None => match model.split_once('/') {
            Some((prefix, tail)) => unknown_prefix(prefix, tail, model),
            None => no_provider(model),
        },
    }
}

/// A model's name without what LiteLLM writes before it, and what that says of the model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Routed<'m> {
    /// The name that the provider knows.
    pub(super) model: &'m str,
    /// Whether `responses/` stands before it.
    pub(super) is_for_responses: bool,
    /// The region before the name.
    pub(super) region: Option<&'m str>,
    /// Whether it is said to reason, whatever its name says: a deployment at Azure has any name.
    pub(super) reasons: bool,
}

impl Routed<'_> {
    /// What the price list says of the model in the region before its name, and of the model of a cross-region profile
    /// that it does not have.
    pub(super) fn in_region(&self, provider: &str) -> Option<ModelFacts> {
        let of_region =
            || prices::exact_priced(&format!("{provider}/{}/{}", self.region?, self.model));
        let of_profile = || {
            let (_, model) = aws::geography(self.model)?;
            prices::priced(provider, self.model).or_else(|| prices::priced(provider, model))
        };
        if provider != "bedrock" {
            return None;
        }
        of_region().or_else(of_profile)
    }
}

/// Words before the name of a model of Azure OpenAI that reasons.
const REASONING: [&str; 2] = ["o_series/", "gpt5_series/"];
/// The same for a router of Azure AI.
const ROUTER: [&str; 2] = ["model_router/", "model-router/"];

/// Takes apart the name of a model as LiteLLM does.
pub(super) fn routed<'m>(provider: &Provider, model: &'m str) -> Routed<'m> {
    let without = |model: &'m str, word: &str| {
        model.strip_prefix(word).filter(|tail| !tail.is_empty() && !tail.contains('*'))
    };
    if provider.addressing == Addressing::Bedrock {
        let Named { region, model, .. } = Named::of(model);
        return Routed { model, is_for_responses: false, region, reasons: false };
    }
    let tail = without(model, "responses/").filter(|_| provider.lists(Operation::Responses));
    let (model, is_for_responses) = (tail.unwrap_or(model), tail.is_some());
    let after = |words: [&str; 2]| words.into_iter().find_map(|word| without(model, word));
    let (tail, reasons) = match &*provider.name {
        "azure" => (after(REASONING), after(REASONING).is_some()),
        "azure_ai" => (after(ROUTER), false),
        "cohere" => (without(model, "v2/"), false),
        _ => (None, false),
    };
    Routed { model: tail.unwrap_or(model), is_for_responses, region: None, reasons }
}

fn of_name<'m>(name: &str, model: &'m str) -> Option<Upstream<'m>> {
    if let Some(provider) = provider::lookup(name) {
        return Some(Upstream { provider, model, refusal: None });
    }
    STANDINS.contains_key(name).then(|| not_served(name, model)).filter(|_| name != UNKNOWN)
}

/// Modes of models that answer chats too, or whose name says nothing certain.
const MODES_OF_TEXT: [&str; 5] = ["chat", "completion", "responses", "anthropic_messages", "batch"];

/// The operations of a mode.
fn of_mode(mode: &str) -> impl Iterator<Item = Operation> {
    let of_mode = Operation::ALL.into_iter().filter(move |operation| operation.mode() == mode);
    of_mode.chain(Operation::probing(mode))
}

/// The refusal of a model for something that its provider is not served for.
fn other_mode(provider: &Provider, model: &str, named: Option<&str>) -> Option<(String, String)> {
    let is_known_whole = match provider.wire {
        WireFormat::OpenAi | WireFormat::Anthropic | WireFormat::Responses => {
            provider.serves_only_endpoints
        }
        WireFormat::Gemini | WireFormat::Cohere | WireFormat::Converse | WireFormat::Ollama => true,
    };
    if !is_known_whole {
        let mode = named.filter(|mode| !MODES_OF_TEXT.contains(mode))?;
        let mut operations = of_mode(mode).peekable();
        operations.peek()?;
        if operations.any(|operation| provider.serves(operation)) {
            return None;
        }
        let problem = format!("`mode: {mode}`, and provider `{}` has no {mode}", provider.name);
        let hint = "use a model of another provider for this, or correct `mode`";
        return Some((problem, hint.to_owned()));
    }
    let listed = || prices::lookup(&provider.name, model)?.mode.as_deref();
    let has_no_chat = !provider.serves(Operation::Chat) && provider.serves(Operation::Embedding);
    let by_name = || match model.contains("rerank") {
        true => "rerank",
        false if model.contains("embed") || has_no_chat => "embedding",
        false => "chat",
    };
    let mode = named.or_else(listed).unwrap_or_else(by_name);
    if model.contains('*') || of_mode(mode).any(|operation| provider.serves(operation)) {
        return None;
    }
    let (name, served) = (&provider.name, provider.endpoints.join(", "));
    let problem =
        format!("provider `{name}` is served for {served} only, `{}` is for {mode}", shown(model));
    Some((problem, "use a model of another provider for this".to_owned()))
}

/// The refusal of something that LiteLLM writes as a model of Azure and that is another service there.
fn other_service(found: &Upstream<'_>) -> Option<(String, String)> {
    let (word, what) = match &*found.provider.name {
        "voyage" => return of_groups(found.model),
        "azure" => ("speech/", "Azure's speech service"),
        "azure_ai" => ("agents/", "agents of Azure AI"),
        "cohere" => ("v1/", "the first version of Cohere's chat"),
        "bedrock" => return other_route(found.model),
        _ => return None,
    };
    found.model.strip_prefix(word)?;
    let problem = format!("`{word}` stands for {what}, which is not served");
    Some((problem, format!("write the name of a model without `{word}`")))
}

/// Words before the name of a model of Bedrock that stand for another address or service.
const ROUTES: [&str; 7] = [
    "agent/",
    "agentcore/",
    "async_invoke/",
    "converse_like/",
    "mantle/",
    "chat_completions/",
    "claude_platform/",
];

/// The refusal of a way to call Bedrock that is not served.
fn other_route(model: &str) -> Option<(String, String)> {
    let word = ROUTES.iter().find(|word| model.starts_with(**word))?;
    let problem = format!("`{word}` stands for another service of Bedrock, which is not served");
    Some((problem, format!("write the name of the model without `{word}`: Converse serves it")))
}

/// The same of models of Voyage's that take groups of texts, or texts and pictures.
fn of_groups(model: &str) -> Option<(String, String)> {
    let kinds = ["voyage-context", "voyage-multimodal"];
    kinds.iter().find(|kind| model.starts_with(**kind))?;
    let problem =
        format!("`{}` has an address and a form of its own, which are not served", shown(model));
    Some((problem, "use another model of Voyage's, such as `voyage-3.5`".to_owned()))
}

/// The refusal of an address of Anthropic's format at a provider that is called in another.
fn other_format(found: &Upstream<'_>, written: Written<'_>) -> Option<(String, String)> {
    let (provider, base) = (found.provider, written.address?.trim_end_matches('/'));
    let is_anthropics = ["/anthropic", "/anthropic/v1", "/v1/messages"];
    let end = is_anthropics.into_iter().find(|end| base.ends_with(end))?;
    match provider.at_base(base, found.model).wire {
        WireFormat::OpenAi | WireFormat::Ollama | WireFormat::Responses => {}
        WireFormat::Anthropic | WireFormat::Gemini | WireFormat::Cohere | WireFormat::Converse => {
            return None;
        }
    }
    let base = base.trim_end_matches("/v1/messages").trim_end_matches("/v1");
    let host = provider::host_of(base);
    // A key goes only to the server that it is for.
    let own = Some(provider).filter(|provider| !provider.is_foreign(host));
    let variable = provider::at_host(host).or(own).and_then(|owner| owner.api_key_env.first());
    let key = if written.has_key {
        "and the `api_key` that it has".to_owned()
    } else if let Some(name) = variable {
        format!("`api_key: os.environ/{name}`")
    } else {
        format!("and the key of {} as `api_key`", shown(host))
    };
    let problem = format!(
        "`{end}` is an address of Anthropic's format, and `{}` is called in another",
        provider.name
    );
    let hint = format!(
        "write `model: anthropic/{}`, `api_base: {}`, {key}",
        shown(found.model),
        shown(base)
    );
    Some((problem, hint))
}

fn not_served<'m>(name: &str, model: &'m str) -> Upstream<'m> {
    let problem = format!("provider `{name}` is not served by this version");
    refuse(name, model, problem, unserved::hint(name, &shown(model)))
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
        let hint = match model {
            "*" => {
                "set the key of a provider in the environment, such as OPENAI_API_KEY: then the \
                    models of that provider are served; or write `openai/*` or such"
                    .to_owned()
            }
            _ => format!("a deployment has one provider: write `openai/{}` or such", shown(model)),
        };
        return refuse(UNKNOWN, model, problem, hint);
    }
    let problem =
        format!("no provider: `{}` has no prefix and is not in the price list", shown(model));
    let likely =
        [("claude", "anthropic"), ("gemini", "gemini"), ("mistral", "mistral"), ("grok", "xai")];
    let lower = model.to_ascii_lowercase();
    let likely = likely.into_iter().find(|(word, _)| lower.contains(word));
    let hint = match likely {
        Some((_, provider)) => format!("write `{provider}/{}`", shown(model)),
        None => format!("write `openai/{0}` or `groq/{0}` or such", shown(model)),
    };
    refuse(UNKNOWN, model, problem, hint)
}

fn suggestion(name: &str) -> String {
    let names = provider::all().map(|row| &*row.name);
    did_you_mean(&nearest(name, names.chain(NOT_SERVED.iter().map(|(name, _)| *name))))
}

fn refuse<'m>(name: &str, model: &'m str, problem: String, hint: String) -> Upstream<'m> {
    static LAST_RESORT: LazyLock<Provider> = LazyLock::new(|| standin(UNKNOWN));
    let provider = STANDINS.get(name).or_else(|| STANDINS.get(UNKNOWN)).unwrap_or(&LAST_RESORT);
    Upstream { provider, model, refusal: Some((problem, hint)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_named<'m>(model: &'m str, named: Option<&str>) -> Upstream<'m> {
        find(model, Written { provider: named, ..Written::default() })
    }

    fn found(model: &str, named: Option<&str>) -> (String, String, bool) {
        let upstream = find_named(model, named);
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
        assert_eq!(found("gemini-2.5-pro", None), served("vertex_ai", "gemini-2.5-pro"));
        assert_eq!(found("vertex_ai_beta/claude-x", None), served("vertex_ai", "claude-x"));
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
        let (name, model, is_served) = found("replicate/claude-3-opus", None);
        assert_eq!((&*name, &*model, is_served), ("replicate", "claude-3-opus", false));
        let problem = |model, named| find_named(model, named).refusal.unwrap();
        assert_eq!(
            problem("replicate/x", None).0,
            "provider `replicate` is not served by this version"
        );
        assert_eq!(found("azure/my-gpt", None), served("azure", "my-gpt"));
        assert_eq!(problem("opnai/gpt-4o", None).1, "did you mean `openai`?");
        assert_eq!(problem("x", Some("grok")).1, "did you mean `groq`?");
        assert!(problem("org/some-model", None).1.contains("openai/org/some-model"));
        assert!(problem("my-model", None).0.contains("no provider"));
        assert!(problem("*", None).1.contains("OPENAI_API_KEY"));
        assert!(!found("unknown/x", None).2);
    }

    #[test]
    fn an_address_says_whose_model_it_is_where_nothing_else_does() {
        let at = |model, base| {
            let upstream = find(model, Written { address: Some(base), ..Written::default() });
            let served = upstream.refusal.is_none();
            (upstream.provider.name.to_string(), upstream.model.to_owned(), served)
        };
        let groq = "https://api.groq.com/openai/v1";
        assert_eq!(at("llama-3.3-70b", groq), served("groq", "llama-3.3-70b"));
        assert_eq!(at("gpt-4o", groq), served("groq", "gpt-4o"));
        assert_eq!(at("meta-llama/x", groq), served("groq", "meta-llama/x"));
        assert_eq!(at("openai/gpt-oss-20b", groq), served("openai", "gpt-oss-20b"));
        for (base, provider) in [
            ("https://api.together.xyz/v1/", "together_ai"),
            ("https://api.together.ai/v1", "together_ai"),
            ("https://API.Mistral.ai/v1", "mistral"),
            ("https://api.deepseek.com/v1", "deepseek"),
            ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope"),
            ("https://api.minimaxi.com/v1", "minimax"),
            ("https://ollama.com", "ollama"),
            ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini"),
            ("https://api.anthropic.com", "anthropic"),
        ] {
            assert_eq!(at("x", base), served(provider, "x"), "{base}");
        }
        for base in [
            "http://localhost:8000/v1",
            "http://localhost:11434/v1",
            "https://evil.example/api.groq.com/openai/v1",
            "https://api.groq.com.evil.example/openai/v1",
            "https://evilollama.com",
        ] {
            assert!(!at("x", base).2, "{base}");
        }
        assert_eq!(at("*", "http://vllm:8000/v1"), served("openai", "*"));
    }

    #[test]
    fn an_address_of_anthropics_format_is_told_with_the_lines_to_write() {
        for (model, base, lines) in [
            (
                "minimax/m",
                "https://api.minimax.io/anthropic/v1/messages",
                "write `model: anthropic/m`, `api_base: https://api.minimax.io/anthropic`, `api_key: os.environ/MINIMAX_API_KEY`",
            ),
            (
                "deepseek/x",
                "https://api.deepseek.com/anthropic/",
                "write `model: anthropic/x`, `api_base: https://api.deepseek.com/anthropic`, `api_key: os.environ/DEEPSEEK_API_KEY`",
            ),
            (
                "hosted_vllm/a/b",
                "http://gpu:8000/v1/messages",
                "write `model: anthropic/a/b`, `api_base: http://gpu:8000`, `api_key: os.environ/HOSTED_VLLM_API_KEY`",
            ),
        ] {
            let upstream = find(model, Written { address: Some(base), ..Written::default() });
            assert_eq!(upstream.refusal.unwrap().1, lines);
        }
        for (model, base) in [
            ("anthropic/m", "https://api.minimax.io/anthropic/v1/messages"),
            ("openai/m", "https://proxy.example/anthropic-models/v1"),
            ("azure_ai/claude-x", "https://r.services.ai.azure.com/anthropic/v1/messages"),
        ] {
            let upstream = find(model, Written { address: Some(base), ..Written::default() });
            assert_eq!(upstream.refusal, None, "{model} {base}");
        }
    }

    #[test]
    fn each_provider_that_is_not_served_comes_with_what_to_write_and_that_is_served() {
        for (name, _) in NOT_SERVED {
            let (_, hint) = find_named(&format!("{name}/gemini-x"), None).refusal.unwrap();
            let mut quoted = hint.split('`').skip(1).step_by(2);
            let model = quoted.clone().find_map(|text| text.strip_prefix("model: "));
            if let Some(model) = model {
                let base = quoted.find_map(|text| text.strip_prefix("api_base: "));
                let upstream = find(model, Written { address: base, ..Written::default() });
                assert_eq!(upstream.refusal, None, "{name}: {hint}");
            }
        }
        let hint = |model| find_named(model, None).refusal.unwrap().1;
        assert!(hint("palm/gemini-2.5-pro").contains("`model: gemini/gemini-2.5-pro`"));
        assert!(!hint("palm/bison").contains("model: gemini"));
        assert_eq!(find_named("cohere/rerank-new", None).refusal, None);
        let of_mode = Written { mode: Some("rerank"), ..Written::default() };
        assert_eq!(find("cohere/my-own", of_mode).refusal, None);
        assert!(hint("auto_router/x").contains("model_group_alias"));
        assert!(hint("my-claude").contains("`anthropic/my-claude`"));
    }
}
