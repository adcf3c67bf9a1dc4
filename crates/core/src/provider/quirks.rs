//! In what a provider of OpenAI's wire differs from OpenAI.
//!
//! Part of the rows of [`super::Provider`], read by `hale-wire`. Always true: without a word in its row it does not differ.

use serde::Deserialize;

/// Behaviour that differs from OpenAI's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// Always send `"store": false`.
    pub force_store_false: bool,
    /// Join message content given as a list of text parts into one string.
    pub convert_content_list_to_string: bool,
    /// The field of a message that takes the model's own reasoning back.
    pub thoughts_field: ThoughtsField,
    /// Whether `thinking` turns reasoning on and off, besides `reasoning_effort`.
    pub thinking_switch: bool,
    /// Whether the names of the provider's own models begin with its prefix, and all others have a slash.
    pub own_models_keep_prefix: bool,
    /// Whether `response_format` has no `json_schema`.
    pub lacks_json_schema: bool,
    /// The ids of calls that it takes.
    pub call_ids: CallIds,
    /// Whether it knows the role `developer`, which is `system` elsewhere.
    pub takes_developer: bool,
    /// Whether its messages have LiteLLM's `thinking_blocks`.
    pub takes_thinking_blocks: bool,
    /// Whether it refuses `encoding_format: float`, which is what it does without a word.
    pub lacks_float_format: bool,
}

/// The ids of calls that a provider takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallIds {
    /// Any.
    #[default]
    Any,
    /// Those of at most 40 bytes.
    Forty,
    /// Nine letters or digits.
    NineLetters,
}

/// The field of a message that takes the model's own reasoning back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThoughtsField {
    /// `reasoning_content`.
    #[default]
    ReasoningContent,
    /// `reasoning`.
    Reasoning,
    /// It refuses both.
    None,
}

/// Limits of parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Constraints {
    /// Largest `temperature`; larger ones are lowered to it.
    pub temperature_max: Option<f64>,
}
