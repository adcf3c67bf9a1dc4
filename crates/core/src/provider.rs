//! The providers that Hale can speak to, as rows of facts.
//!
//! Read by the config loader (base URL, key variables) and by `hale-wire` (renames, quirks). Always
//! true: a provider that speaks the OpenAI wire is one row in `data/openai_compatible.json`, one with a
//! wire or an address of its own a row in `data/native.json`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireFormat {
    /// `POST {base}/chat/completions` with a bearer key.
    #[default]
    OpenAi,
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
    /// Extra headers; `{api_key}` stands for the key.
    #[serde(default)]
    pub headers: BTreeMap<Box<str>, Box<str>>,
    /// Behaviour that differs from OpenAI's.
    #[serde(default)]
    pub quirks: Quirks,
    /// Bounds on parameters.
    #[serde(default)]
    pub constraints: Constraints,
    /// The paths the provider serves; empty means all that the wire format has.
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
    }
}
