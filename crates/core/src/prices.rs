//! The price and capability facts of known models. Read by the config loader, once per deployment.
//!
//! Source: `data/prices.json`, embedded. Always true: a cost is never negative and an unknown price
//! is `None`, never 0.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::usage::Usage;

/// What is known about one model. Prices in USD per token.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct ModelFacts {
    /// The provider's name.
    pub litellm_provider: Option<Box<str>>,
    /// `chat`, `embedding`, `completion`, ...
    pub mode: Option<Box<str>>,
    /// Largest prompt in tokens.
    pub max_input_tokens: Option<f64>,
    /// Largest answer in tokens.
    pub max_output_tokens: Option<f64>,
    /// Whether it calls tools, where that is known.
    pub supports_function_calling: Option<bool>,
    /// Whether it sees images, where that is known.
    pub supports_vision: Option<bool>,
    /// Whether it answers by a JSON schema, where that is known.
    pub supports_response_schema: Option<bool>,
    /// USD per prompt token.
    pub input_cost_per_token: Option<f64>,
    /// USD per answer token.
    pub output_cost_per_token: Option<f64>,
    /// USD per prompt token that came from the provider's cache.
    pub cache_read_input_token_cost: Option<f64>,
    /// USD per prompt token written to the provider's cache.
    pub cache_creation_input_token_cost: Option<f64>,
    /// USD per prompt token written to the provider's cache for an hour.
    pub cache_creation_input_token_cost_above_1hr: Option<f64>,
    /// USD per reasoning token, where it differs from the answer's.
    pub output_cost_per_reasoning_token: Option<f64>,
    /// Whether the model reasons before it answers.
    pub supports_reasoning: Option<bool>,
    /// The day from which the provider has it no more, `2026-01-31`.
    pub deprecation_date: Option<Box<str>>,
}

/// What a token that is cached for an hour costs, in prompt tokens, where no price is known. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>.
const HOUR_FACTOR: f64 = 2.0;

impl ModelFacts {
    /// USD for `usage`, or `None` when the price of the prompt is not known.
    #[must_use]
    pub fn cost_usd(&self, usage: &Usage) -> Option<f64> {
        let input = self.input_cost_per_token?;
        let output = self.output_cost_per_token.unwrap_or(0.0);
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_creation.min(usage.input - cached);
        let plain = usage.input - cached - written;
        let for_hour = usage.cache_creation_1h.min(written);
        let hour_price =
            self.cache_creation_input_token_cost_above_1hr.unwrap_or(input * HOUR_FACTOR);
        let reasoning = usage.reasoning.min(usage.output);
        let cost = tokens(plain) * input
            + tokens(cached) * self.cache_read_input_token_cost.unwrap_or(input)
            + tokens(written - for_hour) * self.cache_creation_input_token_cost.unwrap_or(input)
            + tokens(for_hour) * hour_price
            + tokens(usage.output - reasoning) * output
            + tokens(reasoning) * self.output_cost_per_reasoning_token.unwrap_or(output);
        Some(cost.max(0.0))
    }
}

/// Looks up a model: `provider/model` first, then `model`, as the list names models both ways.
#[must_use]
pub fn lookup(provider: &str, model: &str) -> Option<&'static ModelFacts> {
    TABLE.get(format!("{provider}/{model}").as_str()).or_else(|| TABLE.get(model))
}

/// The facts under exactly this name in the list.
#[must_use]
pub fn exact(name: &str) -> Option<&'static ModelFacts> {
    TABLE.get(name)
}

/// All models of a provider, by their name in the list.
pub fn of_provider(provider: &str) -> impl Iterator<Item = (&'static str, &'static ModelFacts)> {
    let of = move |facts: &ModelFacts| facts.litellm_provider.as_deref() == Some(provider);
    TABLE.iter().filter(move |(_, facts)| of(facts)).map(|(name, facts)| (&**name, facts))
}

#[allow(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn tokens(count: u64) -> f64 {
    count as f64
}

static TABLE: LazyLock<HashMap<Box<str>, ModelFacts>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/prices.json"))
        .expect("the embedded list is checked by a test")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_list_loads() {
        assert!(TABLE.len() > 4000);
        assert_eq!(lookup("openai", "gpt-4o").unwrap().mode.as_deref(), Some("chat"));
    }

    #[test]
    fn cost_counts_each_token_once() {
        let facts = ModelFacts {
            input_cost_per_token: Some(2.0),
            output_cost_per_token: Some(10.0),
            cache_read_input_token_cost: Some(1.0),
            ..ModelFacts::default()
        };
        let usage = Usage { input: 10, output: 3, cached_input: 4, ..Usage::default() };
        assert_eq!(facts.cost_usd(&usage), Some(6.0 * 2.0 + 4.0 + 30.0));
        assert_eq!(ModelFacts::default().cost_usd(&usage), None);
        let hour = Usage { cache_creation: 5, cache_creation_1h: 3, ..usage };
        let five_minutes =
            ModelFacts { cache_creation_input_token_cost: Some(2.5), ..facts.clone() };
        assert_eq!(five_minutes.cost_usd(&hour), Some(2.0 + 4.0 + 2.0 * 2.5 + 3.0 * 4.0 + 30.0));
        let named =
            ModelFacts { cache_creation_input_token_cost_above_1hr: Some(5.0), ..five_minutes };
        assert_eq!(named.cost_usd(&hour), Some(2.0 + 4.0 + 2.0 * 2.5 + 3.0 * 5.0 + 30.0));
        let lying = Usage { input: 1, cached_input: 99, cache_creation: 99, ..Usage::default() };
        assert_eq!(facts.cost_usd(&lying), Some(1.0));
    }
}
