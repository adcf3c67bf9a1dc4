//! The providers that Hale can call, as rows of facts.
//!
//! Read by the config loader (base URL, key variables) and by `hale-wire` (renames, quirks). Always
//! true: a provider with the OpenAI wire format is one row in `data/openai_compatible.json`; one
//! with a wire format or an address of its own is a row in `data/native.json`.

mod account;
mod quirks;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::operation::{Counterpart, Operation, WayOut};
pub use account::{HostVariable, TokenSource};
pub use quirks::{CallIds, Constraints, Quirks, ThoughtsField};

pub use crate::wire_format::{ClientFormat, WireFormat};

/// The end of Google's OpenAI-compatible address.
const OF_GOOGLE: &str = "/openai";
/// The end of Cohere's.
const OF_COHERE: &str = "/compatibility/v1";
/// The end of Ollama's OpenAI-compatible address.
const OF_OLLAMA: &str = "/v1";
/// The version of Google's own format.
const VERSION_OF_GOOGLE: &str = "/v1beta";

/// How the path of a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// The operation's path, appended to the base.
    #[default]
    Plain,
    /// As in [`crate::azure`].
    Azure,
    /// The same, of the models of a resource of Azure AI.
    AzureModels,
    /// The same, of one model with an address of its own.
    AzureServerless,
    /// The same, of Claude.
    AzureClaude,
    /// The operation's path, appended to a base that ends with `/v1`, which is added where it is
    /// missing.
    Versioned,
    /// The operation's path, appended to a base with a version: the request's [`Edition`], unless
    /// the base names one.
    Cohere,
    /// In Google's own format the name of the model and the method, appended to a base with a version, which is added where
    /// there is none; in OpenAI's the operation's path, appended to the address below that base.
    Google,
    /// The operation's path, appended to the address of the server; in OpenAI's format to that address with `/v1`.
    Ollama,
    /// As in [`crate::aws`].
    Bedrock,
    /// As in [`crate::vertex`].
    Vertex,
}

/// The version of a provider's interface that a request needs, for paths with a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Edition {
    /// The current one.
    #[default]
    Current,
    /// The first one: it has features that later ones lack.
    First,
}

/// Whose a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostOwner {
    /// The provider's: it has prices, and its keys belong there.
    Provider,
    /// The operator's own, or another company's that speaks the same wire.
    Operator,
}

/// What a provider is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Called {
    /// The operation.
    pub operation: Operation,
    /// The version that has what the request needs.
    pub edition: Edition,
}

impl From<Operation> for Called {
    fn from(operation: Operation) -> Called {
        Called { operation, edition: Edition::Current }
    }
}

/// One provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The prefix in `litellm_params.model`; filled from the table's key.
    #[serde(skip)]
    pub name: Box<str>,
    /// Its wire format.
    #[serde(default)]
    pub wire: WireFormat,
    /// How paths are made.
    #[serde(default)]
    pub addressing: Addressing,
    /// Whether the key goes into `authorization`.
    #[serde(default = "yes")]
    pub bearer: bool,
    /// Default `api_base`; `None` means that the config must name one.
    pub base_url: Option<Box<str>>,
    /// Defaults of `api_base` for keys that begin so.
    #[serde(default)]
    pub bases_by_key: BTreeMap<Box<str>, Box<str>>,
    /// Its hosts besides that of `base_url`; with a dot before it the end of their names, where each account has one of its
    /// own.
    #[serde(default)]
    pub hosts: Vec<Box<str>>,
    /// Environment variables with the key; the first one that is set is used.
    pub api_key_env: Vec<Box<str>>,
    /// Environment variables that replace `base_url`; the first one that is set is used.
    #[serde(default)]
    pub api_base_env: Vec<Box<str>>,
    /// An environment variable with its host, and the path of the base there.
    #[serde(default)]
    pub host_env: Option<HostVariable>,
    /// How its server gives tokens in place of a key.
    #[serde(default)]
    pub tokens: Option<TokenSource>,
    /// Whether requests are sent without a key if none is set.
    #[serde(default)]
    pub key_optional: bool,
    /// Request parameters that have another name at this provider.
    #[serde(default)]
    pub rename_params: BTreeMap<Box<str>, Box<str>>,
    /// Extra headers. `{api_key}` is replaced by the key; such a header is only sent with a key.
    #[serde(default)]
    pub headers: BTreeMap<Box<str>, Box<str>>,
    /// Behaviour that differs from OpenAI's.
    #[serde(default)]
    pub quirks: Quirks,
    /// How long it keeps the beginning of a prompt that it has read, minutes.
    #[serde(default = "five")]
    pub cache_minutes: u64,
    /// Limits of parameters.
    #[serde(default)]
    pub constraints: Constraints,
    /// The paths that the provider is known to serve. Operations that not every provider of this
    /// wire format has are called only if they are listed here ([`Operation::listed_as`]).
    #[serde(default)]
    pub endpoints: Vec<Box<str>>,
    /// Whether it serves nothing but [`Provider::endpoints`].
    #[serde(default)]
    pub serves_only_endpoints: bool,
}

impl Provider {
    /// The base of the paths of that edition, from the path of an `api_base`. Users write it with
    /// and without a version, or with the whole path of a request.
    #[must_use]
    pub fn base_path<'p>(&self, path: &'p str, edition: Edition) -> Cow<'p, str> {
        if self.addressing == Addressing::Vertex {
            return Cow::Borrowed(path.trim_end_matches('/'));
        }
        let base = self.wire.base_path(path);
        let base = base.strip_suffix(Operation::Rerank.upstream_path()).unwrap_or(base);
        let has_version = base.ends_with("/v1") || base.ends_with("/v2");
        match (self.addressing, edition) {
            (Addressing::Cohere, _) if has_version => Cow::Borrowed(base),
            (Addressing::Cohere, Edition::Current) => Cow::Owned(format!("{base}/v2")),
            (Addressing::Cohere, Edition::First) => Cow::Owned(format!("{base}/v1")),
            (Addressing::Versioned, _) if base.ends_with("/v1") => Cow::Borrowed(base),
            (Addressing::Versioned, _) => Cow::Owned(format!("{base}/v1")),
            (Addressing::Google, _) if self.wire == WireFormat::Gemini => match base {
                "" => Cow::Borrowed(VERSION_OF_GOOGLE),
                base => Cow::Borrowed(base),
            },
            (Addressing::Google, _) if base.ends_with(OF_GOOGLE) => Cow::Borrowed(base),
            (Addressing::Google, _) => {
                let versions = ["/v1beta", "/v1alpha", "/v1"];
                let host = versions.iter().find_map(|version| base.strip_suffix(version));
                Cow::Owned(format!("{}{VERSION_OF_GOOGLE}{OF_GOOGLE}", host.unwrap_or(base)))
            }
            (
                Addressing::Plain
                | Addressing::Azure
                | Addressing::Ollama
                | Addressing::AzureModels
                | Addressing::AzureServerless
                | Addressing::AzureClaude
                | Addressing::Bedrock
                | Addressing::Vertex,
                _,
            ) => Cow::Borrowed(base),
        }
    }

    /// The base of the path of what is called, from the path of an `api_base`.
    #[must_use]
    pub fn base_of<'p>(&self, path: &'p str, called: Called) -> Cow<'p, str> {
        let base = self.base_path(path, called.edition);
        match (self.wire, called.operation.format()) {
            // The paths of Anthropic's format begin with the version, at servers of the OpenAI wire too.
            (WireFormat::OpenAi, format @ WireFormat::Anthropic) => {
                format.base_path(&base).to_owned().into()
            }
            (WireFormat::Ollama, WireFormat::OpenAi) => format!("{base}{OF_OLLAMA}").into(),
            // Rerank has two versions, the rest of Cohere's format one.
            (WireFormat::Cohere, WireFormat::Cohere) => match base.strip_suffix("/v1") {
                Some(host) => format!("{host}/v2").into(),
                None => base,
            },
            _ => base,
        }
    }

    /// The path of its list of models, from the path of an `api_base`.
    #[must_use]
    pub fn list_path(&self, path: &str) -> String {
        let base = self.base_path(path, Edition::Current);
        match (self.wire, self.addressing) {
            // The list exists in the first version only.
            (WireFormat::Cohere, _)
            | (WireFormat::OpenAi | WireFormat::Responses, Addressing::Cohere) => {
                format!("{}/v1/models", base.trim_end_matches("/v1").trim_end_matches("/v2"))
            }
            (
                WireFormat::OpenAi | WireFormat::Responses,
                Addressing::Plain
                | Addressing::Azure
                | Addressing::AzureModels
                | Addressing::AzureServerless
                | Addressing::AzureClaude
                | Addressing::Versioned
                | Addressing::Google
                | Addressing::Ollama
                | Addressing::Bedrock
                | Addressing::Vertex,
            ) => format!("{base}/models"),
            (WireFormat::Anthropic, _) => format!("{base}/v1/models"),
            // A page has 50 models, if none says how many.
            (WireFormat::Gemini, _) => format!("{base}/models?pageSize=1000"),
            (WireFormat::Converse, _) => format!("{base}/foundation-models"),
            (WireFormat::Ollama, _) => format!("{base}/api/tags"),
        }
    }

    /// The provider as it is called at `base`: Google, Cohere and Ollama serve their models in OpenAI's format too, at an address
    /// that says so; at Azure AI the host and the model say which service it is.
    #[must_use]
    pub fn at_base(&'static self, base: &str, model: &str) -> &'static Provider {
        let end = match self.addressing {
            Addressing::Google => OF_GOOGLE,
            Addressing::Cohere => OF_COHERE,
            Addressing::Ollama => OF_OLLAMA,
            Addressing::AzureServerless => {
                let host = without_port(host_of(base));
                let row = account::at_azure_ai(base, host, model);
                return row.and_then(|row| TABLE.get(row)).unwrap_or(self);
            }
            Addressing::Plain
            | Addressing::Azure
            | Addressing::AzureModels
            | Addressing::AzureClaude
            | Addressing::Versioned
            | Addressing::Bedrock
            | Addressing::Vertex => return self,
        };
        match base.trim_end_matches('/').ends_with(end) {
            true => TABLE.get(&*format!("{}/openai", self.name)).unwrap_or(self),
            false => self,
        }
    }

    /// The name of a model in requests, from the id in the provider's list.
    #[must_use]
    pub fn listed_name<'i>(&self, id: &'i str) -> &'i str {
        match self.addressing {
            // The list has the names of resources.
            Addressing::Google => id.strip_prefix("models/").unwrap_or(id),
            Addressing::Plain
            | Addressing::Azure
            | Addressing::AzureModels
            | Addressing::AzureServerless
            | Addressing::AzureClaude
            | Addressing::Versioned
            | Addressing::Cohere
            | Addressing::Ollama
            | Addressing::Bedrock => id,
            Addressing::Vertex => id.rsplit('/').next().unwrap_or(id),
        }
    }

    /// Whose server `host` is: `api.example.com`, `localhost:8000`.
    #[must_use]
    pub fn host_owner(&self, host: &str) -> HostOwner {
        let name = without_port(host);
        let lower = name.to_ascii_lowercase();
        let is_own = match self.base_url.as_deref().map(|url| without_port(host_of(url))) {
            // A program that operators run themselves.
            Some("localhost" | "127.0.0.1") => self.has_host(&lower),
            Some(own) => domain(own) == domain(&lower) || self.has_host(&lower),
            None if self.hosts.is_empty() => !self.key_optional,
            None => self.has_host(&lower),
        };
        if is_own { HostOwner::Provider } else { HostOwner::Operator }
    }

    /// Whether `host` is a server of others, so that the provider's key is not for it. A program
    /// without an address of its own is always somewhere else.
    #[must_use]
    pub fn is_foreign(&self, host: &str) -> bool {
        let has_home = self.base_url.is_some() || !self.hosts.is_empty();
        has_home && self.host_owner(host) == HostOwner::Operator
    }

    /// Whether that is one of [`Provider::hosts`].
    fn has_host(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| match host.strip_prefix('.') {
            Some(_) => name.ends_with(&**host),
            None => *name == **host,
        })
    }

    /// Whether its server may count the tokens of a prompt of Anthropic's format, though its wire is
    /// OpenAI's: llama.cpp, vLLM and LiteLLM do.
    #[must_use]
    pub fn may_count(&self, owner: HostOwner) -> bool {
        let lists = self.endpoints.iter().any(|path| &**path == "/v1/messages");
        self.wire == WireFormat::OpenAi && (owner == HostOwner::Operator || lists)
    }

    /// The message for a request for `operation` that it does not have, and the alternative.
    #[must_use]
    pub fn lacks(&self, operation: Operation) -> String {
        let (name, path) = (&self.name, operation.upstream_path());
        let way_out = match operation.way_out() {
            WayOut::OwnServer(prefix) if self.wire == operation.format() => {
                format!("; for your own server that has it write `{prefix}/...` as its model")
            }
            WayOut::Operation(other) if self.serves(other) => {
                format!(", or use {}", other.paths()[0])
            }
            WayOut::OwnServer(_) | WayOut::Operation(_) | WayOut::Provider => String::new(),
        };
        format!("provider {name} has no {path}; use a model of another provider{way_out}")
    }

    /// Whether clients can be served with `operation`: it has the operation, or one that can be
    /// converted, or the gateway can estimate.
    #[must_use]
    pub fn serves(&self, operation: Operation) -> bool {
        match operation.counterpart(self.wire) {
            _ if self.lists(operation) => true,
            // What not every provider has is called only where it is listed.
            Counterpart::Same if operation.listed_as().is_some() => false,
            Counterpart::Same => self.has_path(operation),
            Counterpart::Other(other) => self.has_path(other),
            // What is estimated is the prompt of a chat.
            Counterpart::Estimated => self.has_path(Operation::Chat),
            Counterpart::Missing => false,
        }
    }

    /// Whether its row lists `operation`, which not every provider has.
    #[must_use]
    pub fn lists(&self, operation: Operation) -> bool {
        let listed = operation.listed_as();
        listed.is_some_and(|listed| self.endpoints.iter().any(|path| &**path == listed))
    }

    /// Whether it has the path of `operation`, as far as that is known.
    fn has_path(&self, operation: Operation) -> bool {
        let path = operation.upstream_path();
        let mut listed = self.endpoints.iter().map(|listed| listed.strip_prefix("/v1"));
        !self.serves_only_endpoints || listed.any(|listed| listed == Some(path))
    }
}

fn yes() -> bool {
    true
}

fn five() -> u64 {
    5
}

/// Host and port of an address.
#[must_use]
pub fn host_of(address: &str) -> &str {
    let tail = address.split_once("://").map_or(address, |(_, tail)| tail);
    tail.split_once('/').map_or(tail, |(host, _)| host)
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|tail| tail.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    }
}

/// The last two labels of a host's name: what one company has. An address is a whole.
fn domain(name: &str) -> &str {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return name;
    }
    let mut dots = name.rmatch_indices('.');
    dots.nth(1).map_or(name, |(at, _)| &name[at + 1..])
}

/// Further names of providers in the table.
const ALIASES: [(&str, &str); 6] = [
    ("custom_openai", "openai"),
    ("text-completion-openai", "openai"),
    // Two names for one interface.
    ("cohere_chat", "cohere"),
    // LiteLLM completes texts for the one and chats for the other; a server has chats for both.
    ("ollama_chat", "ollama"),
    // The price list has another name for the models that Converse serves.
    ("bedrock_converse", "bedrock"),
    ("vertex_ai_beta", "vertex_ai"),
];

/// The provider with that name.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Provider> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    TABLE.get(alias.map_or(name, |(_, name)| name))
}

/// The provider whose server `host` is, by its whole name. A host of an operator's own is no provider's.
#[must_use]
pub fn at_host(host: &str) -> Option<&'static Provider> {
    let name = without_port(host).to_ascii_lowercase();
    let is_local = |name: &str| matches!(name, "localhost" | "127.0.0.1");
    let own =
        |row: &Provider| row.base_url.as_deref().map(|url| without_port(host_of(url)) == name);
    let mut rows = all().filter(|_| !is_local(&name));
    rows.find(|row| own(row) == Some(true) || row.hosts.iter().any(|host| **host == *name))
}

/// All providers, by name.
pub fn all() -> impl Iterator<Item = &'static Provider> {
    // The second format of a provider is no provider of its own.
    TABLE.iter().filter(|(key, _)| !key.contains('/')).map(|(_, row)| row)
}

static TABLE: LazyLock<BTreeMap<Box<str>, Provider>> = LazyLock::new(|| {
    let read = |text| -> BTreeMap<Box<str>, Provider> {
        serde_json::from_str(text).expect("the embedded tables are checked by a test")
    };
    let mut table = read(include_str!("../data/openai_compatible.json"));
    table.extend(read(include_str!("../data/native.json")));
    for (name, row) in &mut table {
        row.name = name.split('/').next().unwrap_or(name).into();
    }
    table
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_table_loads_and_has_openai() {
        assert!(all().count() >= 93);
        let openai = lookup("openai").unwrap();
        assert_eq!(openai.base_url.as_deref(), Some("https://api.openai.com/v1"));
        assert_eq!(&*openai.name, "openai");
        let anthropic = lookup("anthropic").unwrap();
        assert_eq!(anthropic.wire, WireFormat::Anthropic);
        assert_eq!(anthropic.base_url.as_deref(), Some("https://api.anthropic.com"));
    }

    #[test]
    fn an_address_of_cohere_may_name_its_version_or_the_whole_path() {
        let cohere = lookup("cohere").unwrap();
        let base = |path| cohere.base_path(path, Edition::Current).into_owned();
        for path in ["", "/", "/v2", "/v2/rerank", "/v2/chat", "/v2/embed/"] {
            assert_eq!(base(path), "/v2", "{path}");
            assert_eq!(cohere.list_path(path), "/v1/models", "{path}");
        }
        assert_eq!(base("/v1/rerank"), "/v1");
        assert_eq!(cohere.base_path("", Edition::First), "/v1");
        assert_eq!(cohere.base_path("/v2", Edition::First), "/v2", "what is written counts");
        let vllm = lookup("hosted_vllm").unwrap();
        assert_eq!(vllm.base_path("/v1/rerank", Edition::Current), "/v1");
    }

    #[test]
    fn a_version_is_added_to_the_address_of_providers_that_have_one() {
        for (name, path, expected) in [
            ("huggingface", "", "/v1"),
            ("huggingface", "/v1/", "/v1"),
            ("huggingface", "/models/x", "/models/x/v1"),
            ("docker_model_runner", "/engines/llama.cpp", "/engines/llama.cpp/v1"),
            ("heroku", "", "/v1"),
            ("gradient_ai", "", "/v1"),
            ("hosted_vllm", "/api", "/api"),
        ] {
            let provider = lookup(name).unwrap();
            assert_eq!(provider.base_path(path, Edition::Current), expected, "{name} {path}");
        }
        assert_eq!(lookup("huggingface").unwrap().list_path(""), "/v1/models");
    }

    #[test]
    fn addresses_of_gemini_and_ollama_may_be_those_of_their_own_formats() {
        for (name, path, expected) in [
            ("gemini", "", "/v1beta"),
            ("gemini", "/v1beta/", "/v1beta"),
            ("gemini", "/v1alpha", "/v1alpha"),
            ("gemini", "/proxy/google", "/proxy/google"),
            ("gemini", "/v1beta/openai/", "/v1beta/openai"),
            ("gemini", "/proxy/openai", "/proxy/openai"),
            ("ollama", "", ""),
            ("ollama", "/v1/", "/v1"),
            ("ollama", "/ollama/v1", "/ollama/v1"),
            ("ollama", "/api", ""),
            ("ollama", "/ollama/api/chat", "/ollama"),
            ("ollama", "/api/generate/", ""),
            ("ollama", "/api/embed", ""),
        ] {
            let provider = lookup(name).unwrap().at_base(&format!("http://host{path}"), "m");
            assert_eq!(provider.base_path(path, Edition::Current), expected, "{name} {path}");
            assert_eq!(&*provider.name, name);
            let is_open_ai = path.contains("openai") || path.contains("/v1") && name == "ollama";
            assert_eq!(provider.wire == WireFormat::OpenAi, is_open_ai, "{path}");
        }
        let gemini = lookup("gemini").unwrap();
        assert_eq!(gemini.list_path(""), "/v1beta/models?pageSize=1000");
        let ollama = lookup("ollama_chat").unwrap();
        assert_eq!(ollama.list_path("/api/"), "/api/tags");
        assert_eq!(ollama.base_of("/api/", Operation::Completion.into()), "/v1");
        assert_eq!(ollama.base_of("/api/", Operation::OllamaChat.into()), "");
        assert_eq!(ollama.at_base("http://host/v1", "m").list_path("/v1"), "/v1/models");
        assert!(all().all(|row| !row.name.contains('/')));
        assert_eq!(gemini.listed_name("models/gemini-2.5-flash"), "gemini-2.5-flash");
        assert_eq!(lookup("openai").unwrap().listed_name("models/x"), "models/x");
    }

    #[test]
    fn host_and_model_say_which_service_of_azure_ai_it_is() {
        use Addressing::{Azure, AzureClaude, AzureModels, AzureServerless};
        let at = |base, model| lookup("azure_ai").unwrap().at_base(base, model);
        for (base, model, expected) in [
            ("https://r.services.ai.azure.com", "mistral-large", AzureModels),
            ("https://R.services.ai.azure.com/models", "deepseek", AzureModels),
            ("http://proxy/models/", "m", AzureModels),
            ("https://m.eastus2.models.ai.azure.com", "m", AzureServerless),
            ("https://services.ai.azure.com.evil.example", "m", AzureServerless),
            ("https://r.openai.azure.com", "gpt-4o", Azure),
            ("https://r.services.ai.azure.com", "Claude-sonnet-4-5", AzureClaude),
        ] {
            assert_eq!(at(base, model).addressing, expected, "{base} {model}");
        }
        let claude = at("https://r.services.ai.azure.com/anthropic", "claude-x");
        assert_eq!((claude.wire, &*claude.name), (WireFormat::Anthropic, "azure_ai"));
    }

    #[test]
    fn a_host_is_the_providers_or_the_operators() {
        use HostOwner::{Operator, Provider};
        for (name, host, expected) in [
            ("openai", "api.openai.com", Provider),
            ("openai", "eu.api.openai.com:443", Provider),
            ("openai", "api.openai.com.example.org", Operator),
            ("openai", "notopenai.com", Operator),
            ("openai", "10.0.0.5:8000", Operator),
            ("openai", "[::1]:8000", Operator),
            ("anthropic", "localhost:4000", Operator),
            ("dashscope", "dashscope-intl.aliyuncs.com", Provider),
            ("azure", "east.openai.azure.com", Provider),
            ("azure", "gw.azure-api.net", Provider),
            ("azure", "azure.com.example.org", Operator),
            ("azure", "127.0.0.1:9", Operator),
            ("databricks", "adb-1.azuredatabricks.net", Provider),
            ("litellm_proxy", "proxy:4000", Provider),
            ("hosted_vllm", "gpu:8000", Operator),
            ("openai_like", "api.openai.com", Operator),
            ("lemonade", "localhost:8000", Operator),
            ("huggingface", "router.huggingface.co", Provider),
            ("huggingface", "tgi:8080", Operator),
            ("gemini", "generativelanguage.googleapis.com", Provider),
            ("gemini", "proxy:8080", Operator),
            ("ollama", "localhost:11434", Operator),
            ("ollama", "ollama:11434", Operator),
        ] {
            assert_eq!(lookup(name).unwrap().host_owner(host), expected, "{name} {host}");
        }
    }

    #[test]
    fn no_variable_holds_the_key_of_two_companies() {
        let mut owners: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for provider in all() {
            for variable in &provider.api_key_env {
                owners.entry(variable).or_default().push(&provider.name);
            }
        }
        owners.retain(|_, names| names.len() > 1);
        // One company's cloud under three names.
        let shared = ("DASHSCOPE_API_KEY", vec!["dashscope", "qwen_ai_platform", "qwencloud"]);
        assert_eq!(owners.into_iter().collect::<Vec<_>>(), [shared]);
    }

    #[test]
    fn a_rare_operation_goes_to_providers_that_list_it() {
        let serves = |name, operation| lookup(name).unwrap().serves(operation);
        for (name, operation, expected) in [
            ("cohere", Operation::Rerank, true),
            ("cohere", Operation::Chat, true),
            ("cohere", Operation::Embedding, true),
            ("cohere", Operation::Completion, false),
            ("cohere", Operation::Ocr, false),
            ("jina_ai", Operation::Embedding, true),
            ("jina_ai", Operation::Speech, false),
            ("voyage", Operation::Embedding, true),
            ("voyage", Operation::Rerank, true),
            ("voyage", Operation::Chat, false),
            ("hosted_vllm", Operation::Rerank, true),
            ("openai", Operation::Rerank, false),
            ("openai", Operation::GenerateImage, true),
            ("azure", Operation::Speech, true),
            ("mistral", Operation::Ocr, true),
            ("groq", Operation::Ocr, false),
            ("azure_ai", Operation::Rerank, true),
            ("azure_ai", Operation::Chat, true),
            ("anthropic", Operation::Speech, false),
            ("cohere", Operation::Messages, true),
            ("cohere", Operation::CountTokens, true),
            ("gemini", Operation::Chat, true),
            ("gemini", Operation::Messages, true),
            ("gemini", Operation::CountTokens, true),
            ("gemini", Operation::Embedding, true),
            ("gemini", Operation::GenerateImage, true),
            ("gemini", Operation::Completion, false),
            ("gemini", Operation::Responses, true),
            ("anthropic", Operation::Responses, true),
            ("groq", Operation::Responses, true),
            ("cohere", Operation::Responses, true),
            ("deepseek", Operation::CompactResponses, true),
            ("deepseek", Operation::CountResponses, true),
            ("deepseek", Operation::GetResponse, false),
            ("gemini", Operation::Speech, false),
            ("ollama", Operation::Completion, true),
            ("ollama", Operation::Messages, true),
            ("ollama", Operation::Embedding, true),
            ("ollama", Operation::GenerateImage, false),
        ] {
            assert_eq!(serves(name, operation), expected, "{name} {operation:?}");
        }
    }

    #[test]
    fn a_provider_that_lacks_an_operation_names_an_alternative() {
        let lacks = |name, operation| lookup(name).unwrap().lacks(operation);
        assert!(lacks("groq", Operation::Rerank).contains("`hosted_vllm/...`"));
        assert!(lacks("deepseek", Operation::GetResponse).ends_with("/v1/chat/completions"));
        let no_page = "provider anthropic has no /ocr; use a model of another provider";
        assert_eq!(lacks("anthropic", Operation::Ocr), no_page);
        assert!(lacks("cohere", Operation::Completion).ends_with("/v1/chat/completions"));
    }
}
