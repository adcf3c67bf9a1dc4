//! The providers that Hale can speak to, as rows of facts.
//!
//! Read by the config loader (base URL, key variables) and by `hale-wire` (renames, quirks). Always
//! true: a provider that speaks the OpenAI wire is one row in `data/openai_compatible.json`, one with a
//! wire or an address of its own a row in `data/native.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::endpoint::{Kind, Operation};

/// A wire format: what a provider speaks, and what a client of an endpoint speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// `POST {base}/chat/completions` with a bearer key.
    #[default]
    OpenAi,
    /// `POST {base}/v1/messages` with `x-api-key` and `anthropic-version`.
    Anthropic,
}

impl WireFormat {
    /// What a provider of this wire is asked when a client asks for `operation`; `None` when it has
    /// nothing of the kind.
    #[must_use]
    pub const fn upstream_operation(self, operation: Operation) -> Option<Operation> {
        match (self, operation) {
            (WireFormat::OpenAi, Operation::Messages) => Some(Operation::Chat),
            (WireFormat::OpenAi, Operation::CountTokens | Operation::CountPrompt) => None,
            (WireFormat::OpenAi, same) => Some(same),
            (WireFormat::Anthropic, Operation::Chat | Operation::Messages) => {
                Some(Operation::Messages)
            }
            (WireFormat::Anthropic, Operation::CountTokens | Operation::CountPrompt) => {
                Some(Operation::CountTokens)
            }
            (WireFormat::Anthropic, _) => None,
        }
    }

    /// The part of an `api_base`'s path that belongs to the base. Users write the base of an Anthropic
    /// provider with and without its version, or with the whole path.
    #[must_use]
    pub fn base_path(self, path: &str) -> &str {
        let path = path.trim_end_matches('/');
        match self {
            WireFormat::OpenAi => path,
            WireFormat::Anthropic => {
                let path = path.strip_suffix("/messages").unwrap_or(path);
                path.strip_suffix("/v1").unwrap_or(path)
            }
        }
    }
}

/// How the path of a request is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// The operation's path behind the base.
    #[default]
    Plain,
    /// As [`crate::azure`] says.
    Azure,
}

/// One provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The prefix in `litellm_params.model`; filled from the table's key.
    #[serde(skip)]
    pub name: Box<str>,
    /// How it is spoken to.
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
    /// Environment variables that hold the key; the first that is set counts.
    pub api_key_env: Vec<Box<str>>,
    /// Environment variable that replaces `base_url`.
    #[serde(default)]
    pub api_base_env: Option<Box<str>>,
    /// Whether requests go out without a key when none is set.
    #[serde(default)]
    pub key_optional: bool,
    /// Request parameters that this provider knows under another name.
    #[serde(default)]
    pub rename_params: BTreeMap<Box<str>, Box<str>>,
    /// Extra headers; `{api_key}` stands for the key, and such a header is only sent with one.
    #[serde(default)]
    pub headers: BTreeMap<Box<str>, Box<str>>,
    /// Behaviour that differs from OpenAI's.
    #[serde(default)]
    pub quirks: Quirks,
    /// Bounds on parameters.
    #[serde(default)]
    pub constraints: Constraints,
    /// The paths that the provider is known to serve. Only `/v1/responses`, `/v1/files` and `/v1/batches`
    /// are asked for here: few that speak the OpenAI wire have them.
    #[serde(default)]
    pub endpoints: Vec<Box<str>>,
}

/// Behaviour that differs from OpenAI's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Send `"store": false` always.
    pub force_store_false: bool,
    /// Join message content given as a list of text parts into one string.
    pub convert_content_list_to_string: bool,
}

/// Bounds on parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constraints {
    /// Largest `temperature`; larger ones are lowered to it.
    pub temperature_max: Option<f64>,
}

impl Provider {
    /// Whether clients can be served with `operation`: it has that or something that can be translated,
    /// or the gateway can estimate.
    #[must_use]
    pub fn serves(&self, operation: Operation) -> bool {
        let path = match operation.kind() {
            Some(Kind::Response) => Some("/v1/responses"),
            Some(Kind::File) => Some("/v1/files"),
            Some(Kind::Batch) => Some("/v1/batches"),
            None => None,
        };
        if let Some(path) = path {
            return self.endpoints.iter().any(|known| **known == *path);
        }
        let counts = matches!(operation, Operation::CountTokens | Operation::CountPrompt);
        counts || self.wire.upstream_operation(operation).is_some()
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
    fn an_anthropic_base_may_be_written_in_three_ways() {
        for path in ["", "/", "/v1", "/v1/", "/v1/messages"] {
            assert_eq!(WireFormat::Anthropic.base_path(path), "", "{path}");
        }
        assert_eq!(WireFormat::Anthropic.base_path("/anthropic/v1"), "/anthropic");
        assert_eq!(WireFormat::OpenAi.base_path("/v1/"), "/v1");
    }
}
