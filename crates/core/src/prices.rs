//! The prices and capabilities of known models. Read by the config loader, once per deployment.
//!
//! Source: `data/prices.json`, embedded in `list`. Always true: a cost is never negative, and an unknown
//! price is `None`, never 0.

mod list;
mod owners;

use serde::Deserialize;

use self::list::TABLE;

use crate::takes::{Listed, Takes};
use crate::usage::{Quality, Units, Usage};

/// What is known about one model. Prices in USD.
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
    /// Whether it calls tools, if known.
    pub supports_function_calling: Option<bool>,
    /// Whether it sees images, if known.
    pub supports_vision: Option<bool>,
    /// Whether it answers by a JSON schema, if known.
    pub supports_response_schema: Option<bool>,
    /// Whether it goes on from words that a request puts into its mouth, if known.
    pub supports_assistant_prefill: Option<bool>,
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
    /// USD per reasoning token, if it differs from the answer's.
    pub output_cost_per_reasoning_token: Option<f64>,
    /// USD per audio token of the prompt, if it differs.
    pub input_cost_per_audio_token: Option<f64>,
    /// USD per audio token of the answer, if it differs.
    pub output_cost_per_audio_token: Option<f64>,
    /// Whether the model reasons before it answers.
    pub supports_reasoning: Option<bool>,
    /// The day on which the provider retires it, `2026-01-31`.
    pub deprecation_date: Option<Box<str>>,
    /// USD per image, as it is stated for models of some providers.
    pub input_cost_per_image: Option<f64>,
    /// USD per image, as it is stated for models of other providers.
    pub output_cost_per_image: Option<f64>,
    /// USD per pixel of an image.
    pub input_cost_per_pixel: Option<f64>,
    /// USD per character of text that is spoken.
    pub input_cost_per_character: Option<f64>,
    /// USD per search.
    pub input_cost_per_query: Option<f64>,
    /// USD per page.
    pub ocr_cost_per_page: Option<f64>,
    /// USD per second of audio input.
    pub input_cost_per_second: Option<f64>,
    /// The same, as it is stated for some models.
    pub output_cost_per_second: Option<f64>,
    /// USD per image of a size and a quality, if the list has it.
    #[serde(skip)]
    pub sized_images: Vec<SizedImage>,
}

/// The price of an image of one size and quality.
#[derive(Clone, Debug, PartialEq)]
pub struct SizedImage {
    /// The quality; `None` if the price is the same for all.
    pub quality: Option<Quality>,
    /// Width and height.
    pub size: (u32, u32),
    /// USD per image.
    pub usd: f64,
}

/// The price of a token that is cached for an hour, in prompt tokens, if it is not listed. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>.
const HOUR_FACTOR: f64 = 2.0;

impl ModelFacts {
    /// USD for `usage`, or `None` if the price is unknown: the price of units other than tokens if
    /// there are any with a price, else of the tokens.
    #[must_use]
    pub fn cost_usd(&self, usage: &Usage) -> Option<f64> {
        if usage.units.any() {
            if let Some(usd) = self.units_usd(&usage.units) {
                return Some(usd.max(0.0));
            }
            // Tokens pay for other units only if both kinds of them have a price.
            let priced = usage.output == 0 || self.output_cost_per_token.is_some();
            if usage.input + usage.output == 0 || !priced {
                return None;
            }
        }
        self.tokens_usd(usage)
    }

    /// What a model with these facts takes, under its name in the list.
    #[must_use]
    pub fn takes(&self, provider: &str, model: &str) -> Takes {
        let listed = Listed {
            is_listed: self.litellm_provider.is_some(),
            mode: self.mode.as_deref(),
            reasons: self.supports_reasoning,
        };
        Takes::of(provider, model, listed)
    }

    /// Whether anything that it does has a price.
    #[must_use]
    pub fn has_price(&self) -> bool {
        let prices = [
            self.input_cost_per_token,
            self.input_cost_per_image,
            self.output_cost_per_image,
            self.input_cost_per_pixel,
            self.input_cost_per_character,
            self.input_cost_per_query,
            self.ocr_cost_per_page,
        ];
        prices.iter().any(Option::is_some) || !self.sized_images.is_empty()
    }

    /// Whether it is known to cost nothing, whatever is asked of it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        let prices = [
            self.input_cost_per_token,
            self.output_cost_per_token,
            self.cache_read_input_token_cost,
            self.cache_creation_input_token_cost,
            self.cache_creation_input_token_cost_above_1hr,
            self.output_cost_per_reasoning_token,
            self.input_cost_per_audio_token,
            self.output_cost_per_audio_token,
            self.input_cost_per_image,
            self.output_cost_per_image,
            self.input_cost_per_pixel,
            self.input_cost_per_character,
            self.input_cost_per_query,
            self.ocr_cost_per_page,
            self.input_cost_per_second,
            self.output_cost_per_second,
        ];
        let costs = |usd: &f64| *usd != 0.0;
        self.has_price()
            && !prices.iter().flatten().any(costs)
            && !self.sized_images.iter().any(|image| costs(&image.usd))
    }

    /// Whether the price is one of `provider`, by the name that the list gives: it has several for the parts of one. A proxy
    /// calls models of all providers, and Azure sells those of OpenAI.
    #[must_use]
    pub fn is_priced_by(&self, provider: &str) -> bool {
        let Some(listed) = self.litellm_provider.as_deref() else { return false };
        let starts = listed
            .strip_prefix(provider)
            .is_some_and(|tail| tail.is_empty() || tail.starts_with(['-', '_']));
        starts
            || listed.strip_suffix(provider).is_some_and(|head| head.ends_with('-'))
            || provider == "litellm_proxy"
            || (provider.starts_with("azure") && listed == "openai")
    }

    /// The facts other than prices.
    #[must_use]
    pub fn without_prices(self) -> ModelFacts {
        ModelFacts {
            litellm_provider: self.litellm_provider,
            mode: self.mode,
            max_input_tokens: self.max_input_tokens,
            max_output_tokens: self.max_output_tokens,
            supports_function_calling: self.supports_function_calling,
            supports_vision: self.supports_vision,
            supports_response_schema: self.supports_response_schema,
            supports_assistant_prefill: self.supports_assistant_prefill,
            supports_reasoning: self.supports_reasoning,
            deprecation_date: self.deprecation_date,
            ..ModelFacts::default()
        }
    }

    fn units_usd(&self, units: &Units) -> Option<f64> {
        let priced =
            |count: u64, usd: Option<f64>| usd.filter(|_| count > 0).map(|usd| tokens(count) * usd);
        let images = if units.images > 0 { self.image_usd(units) } else { None };
        priced(units.images.into(), images)
            .or(priced(units.characters, self.input_cost_per_character))
            .or(priced(units.searches.into(), self.input_cost_per_query))
            .or(priced(units.pages.into(), self.ocr_cost_per_page))
            .or(priced(units.heard_ms, self.second_usd().map(|usd| usd / 1000.0)))
    }

    /// USD per second of audio: the list states it as the price of one side or of both.
    fn second_usd(&self) -> Option<f64> {
        let input = self.input_cost_per_second.filter(|usd| *usd > 0.0);
        input.or(self.output_cost_per_second)
    }

    /// USD for one of the images.
    fn image_usd(&self, units: &Units) -> Option<f64> {
        let of_size = |image: &&SizedImage| Some(image.size) == units.size;
        let mut sized = self.sized_images.iter().filter(of_size);
        let sized = sized.find(|image| image.quality == units.quality);
        let pixels = |usd: f64| {
            let (width, height) = units.size?;
            Some(f64::from(width) * f64::from(height) * usd)
        };
        sized
            .map(|image| image.usd)
            .or(self.output_cost_per_image)
            .or(self.input_cost_per_image)
            .or_else(|| self.input_cost_per_pixel.and_then(pixels))
    }

    fn tokens_usd(&self, usage: &Usage) -> Option<f64> {
        let input = self.input_cost_per_token?;
        let output = self.output_cost_per_token.unwrap_or(0.0);
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_creation.min(usage.input - cached);
        let plain = usage.input - cached - written;
        let for_hour = usage.cache_creation_1h.min(written);
        let hour_price =
            self.cache_creation_input_token_cost_above_1hr.unwrap_or(input * HOUR_FACTOR);
        let reasoning = usage.reasoning.min(usage.output);
        let heard = usage.sound.input.saturating_sub(usage.sound.cached_input).min(plain);
        let spoken = usage.sound.output.min(usage.output - reasoning);
        let written_out = usage.output - reasoning - spoken;
        // An image has a price, or its tokens have that of others.
        let per_image = self.output_cost_per_image.filter(|_| usage.drawn.images > 0);
        let drawn = per_image.map_or(0, |_| usage.drawn.tokens.min(written_out));
        let cost = tokens(plain - heard) * input
            + tokens(heard) * self.input_cost_per_audio_token.unwrap_or(input)
            + tokens(cached) * self.cache_read_input_token_cost.unwrap_or(input)
            + tokens(written - for_hour) * self.cache_creation_input_token_cost.unwrap_or(input)
            + tokens(for_hour) * hour_price
            + tokens(written_out - drawn) * output
            + f64::from(usage.drawn.images) * per_image.unwrap_or(0.0)
            + tokens(spoken) * self.output_cost_per_audio_token.unwrap_or(output)
            + tokens(reasoning) * self.output_cost_per_reasoning_token.unwrap_or(output);
        Some(cost.max(0.0))
    }
}

/// Looks up a model: `provider/model` first, then `model`, because the list uses both.
#[must_use]
pub fn lookup(provider: &str, model: &str) -> Option<&'static ModelFacts> {
    find(provider, model).map(|(_, entry)| &entry.facts)
}

fn find(provider: &str, model: &str) -> Option<(&'static str, &'static list::Entry)> {
    let named = TABLE.get_key_value(format!("{provider}/{model}").as_str());
    named.or_else(|| TABLE.get_key_value(model)).map(|(name, entry)| (*name, entry))
}

/// Everything that the list says of a model, and its name there: a JSON object. Looked up as in [`lookup`].
#[must_use]
pub fn everything(provider: &str, model: &str) -> Option<(&'static str, &'static str)> {
    find(provider, model).map(|(name, entry)| (name, entry.text))
}

/// The facts under exactly this name in the list.
#[must_use]
pub fn exact(name: &str) -> Option<&'static ModelFacts> {
    TABLE.get(name).map(|entry| &entry.facts)
}

/// The provider of the model `name`, which has no provider before it, as LiteLLM calls it; `None` if that is not known.
#[must_use]
pub fn owner(name: &str) -> Option<&'static str> {
    let listed = || exact(name).and_then(|facts| facts.litellm_provider.as_deref());
    owners::in_table(name).or_else(listed).or_else(|| owners::by_rule(name))
}

/// The prices of the images of `model` by size and quality: the list names them
/// `quality/1024-x-1024/model`, with or without the provider in front.
#[must_use]
pub fn sized_images(provider: &str, model: &str) -> Vec<SizedImage> {
    let of = |name: &str, facts: &ModelFacts| {
        let tail = name.strip_suffix(model)?.strip_suffix('/')?;
        let own = facts.litellm_provider.as_deref() == Some(provider);
        let tail = tail.strip_prefix(provider).and_then(|it| it.strip_prefix('/')).unwrap_or(tail);
        let (quality, size) = match tail.split_once('/') {
            Some((quality, size)) => (Some(Quality::named(quality)?), size),
            None => (None, tail),
        };
        let (width, height) = size.split_once("-x-")?;
        let size = (width.parse().ok()?, height.parse().ok()?);
        let usd = facts.output_cost_per_image.or(facts.input_cost_per_image).filter(|_| own)?;
        Some(SizedImage { quality, size, usd })
    };
    TABLE.iter().filter_map(|(name, entry)| of(name, &entry.facts)).collect()
}

/// All models of a provider, by their name in the list.
pub fn of_provider(provider: &str) -> impl Iterator<Item = (&'static str, &'static ModelFacts)> {
    let of = move |facts: &ModelFacts| facts.litellm_provider.as_deref() == Some(provider);
    let all = TABLE.iter().map(|(name, entry)| (*name, &entry.facts));
    all.filter(move |(_, facts)| of(facts))
}

#[allow(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn tokens(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Drawn, Sound};

    #[test]
    fn the_embedded_list_loads() {
        assert!(TABLE.len() > 4000);
        assert_eq!(lookup("openai", "gpt-4o").unwrap().mode.as_deref(), Some("chat"));
        let (name, text) = everything("azure", "gpt-4o").unwrap();
        assert!(name == "azure/gpt-4o" && text.contains("\"supports_vision\""), "{text}");
    }

    #[test]
    fn a_model_is_free_only_if_everything_that_it_does_is_known_to_cost_nothing() {
        let free = ModelFacts {
            input_cost_per_token: Some(0.0),
            output_cost_per_token: Some(0.0),
            ..ModelFacts::default()
        };
        assert!(free.is_free());
        assert!(!ModelFacts::default().is_free(), "its price is not known");
        let speaks = ModelFacts { output_cost_per_audio_token: Some(1e-6), ..free.clone() };
        let draws = ModelFacts { output_cost_per_image: Some(0.04), ..free.clone() };
        let sized = SizedImage { quality: None, size: (1, 1), usd: 0.01 };
        let sized = ModelFacts { sized_images: vec![sized], ..free };
        assert!(!speaks.is_free() && !draws.is_free() && !sized.is_free());
        // A request without a token of its own is not free for that.
        assert!(!lookup("openai", "gpt-realtime").unwrap().is_free());
    }

    #[test]
    fn images_within_an_answer_have_their_own_price() {
        let facts = lookup("gemini", "gemini-2.5-flash-image").unwrap();
        let drawn = Drawn { images: 2, tokens: 2580 };
        let usage = Usage { input: 1000, output: 2600, drawn, ..Usage::default() };
        let expected = 1000.0 * 3e-7 + 20.0 * 2.5e-6 + 2.0 * 0.039;
        assert!((facts.cost_usd(&usage).unwrap() - expected).abs() < 1e-9);
        // A model whose images have no price: its tokens have one.
        let plain = ModelFacts { output_cost_per_image: None, ..facts.clone() };
        let expected = 1000.0 * 3e-7 + 2600.0 * 2.5e-6;
        assert!((plain.cost_usd(&usage).unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn tokens_of_sound_have_their_own_price() {
        let facts = ModelFacts {
            input_cost_per_token: Some(1.0),
            output_cost_per_token: Some(2.0),
            cache_read_input_token_cost: Some(0.5),
            ..ModelFacts::default()
        };
        let sound = Sound { input: 6, cached_input: 2, output: 3 };
        let usage = Usage { input: 10, output: 4, cached_input: 3, sound, ..Usage::default() };
        assert_eq!(facts.cost_usd(&usage), Some(7.0 + 3.0 * 0.5 + 4.0 * 2.0));
        let facts = ModelFacts {
            input_cost_per_audio_token: Some(10.0),
            output_cost_per_audio_token: Some(20.0),
            ..facts
        };
        assert_eq!(facts.cost_usd(&usage), Some(3.0 + 4.0 * 10.0 + 3.0 * 0.5 + 2.0 + 3.0 * 20.0));
        let sound = Sound { input: 99, cached_input: 0, output: 99 };
        let lying = Usage { input: 1, output: 1, sound, ..Usage::default() };
        assert_eq!(facts.cost_usd(&lying), Some(10.0 + 20.0));
        assert!(lookup("openai", "gpt-realtime").is_some_and(|facts| {
            facts.input_cost_per_audio_token > facts.input_cost_per_token
        }));
    }

    #[test]
    fn units_other_than_tokens_have_their_own_price() {
        let cost = |provider, model, units| {
            let mut facts = lookup(provider, model).unwrap().clone();
            facts.sized_images = sized_images(provider, model);
            let usd = facts.cost_usd(&Usage { units, ..Usage::default() });
            usd.map(|usd| (usd * 1e9).round() / 1e9)
        };
        let none = Units::default();
        let speech = Units { characters: 1000, ..none };
        assert_eq!(cost("openai", "tts-1", speech), Some(0.015));
        assert_eq!(cost("cohere", "rerank-v3.5", Units { searches: 2, ..none }), Some(0.004));
        assert_eq!(cost("mistral", "mistral-ocr-latest", Units { pages: 3, ..none }), Some(0.012));
        let size = Some((1024, 1024));
        let image = Units { images: 2, size, quality: Some(Quality::Low), ..none };
        assert_eq!(cost("openai", "gpt-image-1", image), Some(0.022));
        // A quality that was not named has no known price.
        assert_eq!(cost("openai", "gpt-image-1", Units { quality: None, ..image }), None);
        assert_eq!(cost("openai", "gpt-4o-mini-tts", speech), None);
        assert_eq!(cost("openai", "whisper-1", Units { heard_ms: 90_000, ..none }), Some(0.009));
        let pixels = ModelFacts { input_cost_per_pixel: Some(2.0), ..ModelFacts::default() };
        let small = Units { images: 1, size: Some((2, 3)), ..none };
        assert_eq!(pixels.cost_usd(&Usage { units: small, ..Usage::default() }), Some(12.0));
    }

    #[test]
    fn images_with_tokens_cost_them_where_both_kinds_have_a_price() {
        let units = Units { images: 1, ..Units::default() };
        let usage = Usage { input: 1, output: 2, units, ..Usage::default() };
        let half = ModelFacts { input_cost_per_token: Some(1.0), ..ModelFacts::default() };
        assert_eq!(half.cost_usd(&usage), None);
        let both = ModelFacts { output_cost_per_token: Some(10.0), ..half };
        assert_eq!(both.cost_usd(&usage), Some(21.0));
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
        let heard = ModelFacts { input_cost_per_audio_token: Some(5.0), ..facts.clone() };
        assert_eq!(
            heard.cost_usd(&Usage { sound: Sound { input: 5, ..Sound::default() }, ..usage }),
            Some(2.0 + 4.0 + 25.0 + 30.0)
        );
        let lying = Usage { input: 1, cached_input: 99, cache_creation: 99, ..Usage::default() };
        assert_eq!(facts.cost_usd(&lying), Some(1.0));
    }
}
