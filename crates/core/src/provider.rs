//! The providers that Hale can call, as rows of facts.
//!
//! Read by the config loader (base URL, key variables) and by `hale-wire` (renames, quirks). Always
//! true: a provider with the OpenAI wire format is one row in `data/openai_compatible.json`; one
//! with a wire format or an address of its own is a row in `data/native.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::operation::{Counterpart, Operation, WayOut};
pub use crate::wire_format::WireFormat;

/// How the path of a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// The operation's path, appended to the base.
    #[default]
    Plain,
    /// As in [`crate::azure`].
    Azure,
    /// The operation's path, appended to a base with a version: the request's [`Edition`], unless
    /// the base names one.
    Cohere,
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
    /// Environment variables with the key; the first one that is set is used.
    pub api_key_env: Vec<Box<str>>,
    /// Environment variable that replaces `base_url`.
    #[serde(default)]
    pub api_base_env: Option<Box<str>>,
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

/// Behaviour that differs from OpenAI's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Always send `"store": false`.
    pub force_store_false: bool,
    /// Join message content given as a list of text parts into one string.
    pub convert_content_list_to_string: bool,
}

/// Limits of parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constraints {
    /// Largest `temperature`; larger ones are lowered to it.
    pub temperature_max: Option<f64>,
}

impl Provider {
    /// The base of the paths of that edition, from the path of an `api_base`. Users write it with
    /// and without a version, or with the whole path of a request.
    #[must_use]
    pub fn base_path<'p>(&self, path: &'p str, edition: Edition) -> Cow<'p, str> {
        let base = self.wire.base_path(path);
        let base = base.strip_suffix(Operation::Rerank.upstream_path()).unwrap_or(base);
        let has_version = base.ends_with("/v1") || base.ends_with("/v2");
        match (self.addressing, edition) {
            (Addressing::Cohere, _) if has_version => Cow::Borrowed(base),
            (Addressing::Cohere, Edition::Current) => Cow::Owned(format!("{base}/v2")),
            (Addressing::Cohere, Edition::First) => Cow::Owned(format!("{base}/v1")),
            (Addressing::Plain | Addressing::Azure, _) => Cow::Borrowed(base),
        }
    }

    /// The path of its list of models, from the path of an `api_base`.
    #[must_use]
    pub fn list_path(&self, path: &str) -> String {
        let base = self.base_path(path, Edition::Current);
        match (self.wire, self.addressing) {
            // The list exists in the first version only.
            (WireFormat::OpenAi, Addressing::Cohere) => {
                format!("{}/v1/models", base.trim_end_matches("/v1").trim_end_matches("/v2"))
            }
            (WireFormat::OpenAi, Addressing::Plain | Addressing::Azure) => format!("{base}/models"),
            (WireFormat::Anthropic, _) => format!("{base}/v1/models"),
        }
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
        if let Some(listed) = operation.listed_as() {
            return self.endpoints.iter().any(|path| &**path == listed);
        }
        if self.serves_only_endpoints {
            let path = operation.upstream_path();
            return self.endpoints.iter().any(|listed| listed.strip_prefix("/v1") == Some(path));
        }
        match operation.counterpart(self.wire) {
            Counterpart::Same | Counterpart::Other(_) | Counterpart::Estimated => true,
            Counterpart::Missing => false,
        }
    }
}

fn yes() -> bool {
    true
}

/// The provider with that name.
#[must_use]
pub fn lookup(name: &str) -> Option<&'static Provider> {
    TABLE.get(name)
}

/// All providers, by name.
pub fn all() -> impl Iterator<Item = &'static Provider> {
    TABLE.values()
}

static TABLE: LazyLock<BTreeMap<Box<str>, Provider>> = LazyLock::new(|| {
    let read = |text| -> BTreeMap<Box<str>, Provider> {
        serde_json::from_str(text).expect("the embedded tables are checked by a test")
    };
    let mut table = read(include_str!("../data/openai_compatible.json"));
    table.extend(read(include_str!("../data/native.json")));
    for (name, row) in &mut table {
        row.name = name.clone();
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
        for path in ["", "/", "/v2", "/v2/rerank"] {
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
    fn a_rare_operation_goes_to_providers_that_list_it() {
        let serves = |name, operation| lookup(name).unwrap().serves(operation);
        for (name, operation, expected) in [
            ("cohere", Operation::Rerank, true),
            ("cohere", Operation::Chat, false),
            ("cohere", Operation::Ocr, false),
            ("jina_ai", Operation::Embedding, true),
            ("jina_ai", Operation::Speech, false),
            ("hosted_vllm", Operation::Rerank, true),
            ("openai", Operation::Rerank, false),
            ("openai", Operation::GenerateImage, true),
            ("azure", Operation::Speech, true),
            ("mistral", Operation::Ocr, true),
            ("groq", Operation::Ocr, false),
            ("anthropic", Operation::Speech, false),
        ] {
            assert_eq!(serves(name, operation), expected, "{name} {operation:?}");
        }
    }

    #[test]
    fn a_provider_that_lacks_an_operation_names_an_alternative() {
        let lacks = |name, operation| lookup(name).unwrap().lacks(operation);
        assert!(lacks("groq", Operation::Rerank).contains("`hosted_vllm/...`"));
        assert!(lacks("deepseek", Operation::Responses).ends_with("/v1/chat/completions"));
        let no_page = "provider anthropic has no /ocr; use a model of another provider";
        assert_eq!(lacks("anthropic", Operation::Ocr), no_page);
        assert!(!lacks("cohere", Operation::Completion).contains("chat"));
    }
}
