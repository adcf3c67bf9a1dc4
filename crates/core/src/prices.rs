//! The prices and capabilities of known models. Read by the config loader, once per deployment.
//!
//! Source: `data/prices.json`, embedded in `list`. Always true: a cost is never negative, and an unknown
//! price is `None`, never 0.

mod adjust;
mod cost;
pub mod dated;
mod list;
mod off_peak;
mod owners;
mod rates;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::adjust::Adjust;
use self::list::TABLE;
pub use self::off_peak::OffPeak;
pub use self::rates::{Kind, Rate, Rates};

use crate::money::Money;
use crate::takes::{Listed, Takes};
use crate::usage::{Quality, ServiceTier};

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
    /// Rates for long prompts, service tiers and rare kinds of tokens; [`priced`] fills them in.
    #[serde(skip)]
    pub rates: Rates,
    /// USD per search of the web, with a low, a medium and a high context; [`priced`] fills it in.
    #[serde(skip)]
    pub web_search: Option<[f64; 3]>,
    /// Whether the cost that the provider reports is believed.
    #[serde(skip)]
    pub reported_cost: ReportedCost,
    /// Hours in which it costs less; [`priced`] fills it in.
    #[serde(skip)]
    pub off_peak: Option<Box<OffPeak>>,
    /// What is taken off its costs and put on them.
    #[serde(skip)]
    pub adjust: Adjust,
    /// The name in the list under which all of its prices stand, if the config states none.
    #[serde(skip)]
    pub listed_as: Option<Box<str>>,
}

/// What is thought of a cost that a provider reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportedCost {
    /// The price list knows better.
    #[default]
    Ignored,
    /// It is what is billed.
    Billed,
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

impl ModelFacts {
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
            && self.adjust.fixed == Money::ZERO
            && !prices.iter().flatten().any(costs)
            && !self.rates.0.iter().any(|rate| costs(&rate.usd))
            && !self.web_search.iter().flatten().any(costs)
            && !self.sized_images.iter().any(|image| costs(&image.usd))
    }

    /// The prices at a moment, milliseconds since 1970: those of the hours in which it costs less, in these. A rate of such hours is for
    /// prompts of all lengths and for all tiers.
    #[must_use]
    pub fn at(&self, unix_ms: u64) -> Cow<'_, ModelFacts> {
        let Some(off_peak) = self.off_peak.as_ref().filter(|it| it.is_open(unix_ms)) else {
            return Cow::Borrowed(self);
        };
        let mut facts = self.clone();
        off_peak.rates.iter().for_each(|rate| facts.rates.forget(rate.kind));
        for rate in &off_peak.rates {
            match plain(&mut facts, rate) {
                Some(place) => *place = Some(rate.usd),
                None => facts.rates.put(*rate),
            }
        }
        Cow::Owned(facts)
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

/// The facts of a model with all of its prices. Looked up as in [`lookup`].
#[must_use]
pub fn priced(provider: &str, model: &str) -> Option<ModelFacts> {
    find(provider, model).map(with_all_prices)
}

/// The same under exactly this name in the list.
#[must_use]
pub fn exact_priced(name: &str) -> Option<ModelFacts> {
    TABLE.get_key_value(name).map(|(name, entry)| with_all_prices((name, entry)))
}

/// The facts of an entry with all prices. Few models are ever called, so the rare prices are not kept for all.
fn with_all_prices((name, entry): (&str, &list::Entry)) -> ModelFacts {
    let mut facts = ModelFacts { listed_as: Some(name.into()), ..entry.facts.clone() };
    complete(&mut facts, entry.text);
    facts
}

/// A price for prompts of some length.
#[derive(Deserialize)]
struct Range {
    range: Option<[f64; 2]>,
    #[serde(flatten)]
    rates: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Search {
    search_context_size_low: f64,
    search_context_size_medium: f64,
    search_context_size_high: f64,
}

/// Adds what the entry `text` of the list says besides the plain prices.
fn complete(facts: &mut ModelFacts, text: &str) {
    let Ok(all) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(text) else { return };
    for (name, value) in all {
        match name {
            "search_context_cost_per_query" => {
                let search = serde_json::from_str::<Search>(value.get()).ok();
                facts.web_search = search.map(|it| {
                    [
                        it.search_context_size_low,
                        it.search_context_size_medium,
                        it.search_context_size_high,
                    ]
                });
            }
            "off_peak_pricing" => {
                let terms = serde_json::from_str(value.get()).ok();
                facts.off_peak = terms.and_then(|it| OffPeak::parse(&it).ok()).map(Box::new);
            }
            "tiered_pricing" => {
                let ranges = serde_json::from_str::<Vec<Range>>(value.get()).unwrap_or_default();
                ranges.iter().for_each(|range| add_range(facts, range));
            }
            _ => {
                let rate = value.get().parse().ok().and_then(|usd| Rate::named(name, usd));
                if let Some(rate) = rate.filter(|rate| plain(facts, rate).is_none()) {
                    facts.rates.put(rate);
                }
            }
        }
    }
}

/// The place of a rate that is a plain one.
fn plain<'f>(facts: &'f mut ModelFacts, rate: &Rate) -> Option<&'f mut Option<f64>> {
    if rate.above > 0 || rate.tier != ServiceTier::Standard {
        return None;
    }
    Some(match rate.kind {
        Kind::Input => &mut facts.input_cost_per_token,
        Kind::Output => &mut facts.output_cost_per_token,
        Kind::CacheRead => &mut facts.cache_read_input_token_cost,
        Kind::CacheWrite => &mut facts.cache_creation_input_token_cost,
        Kind::CacheWriteHour => &mut facts.cache_creation_input_token_cost_above_1hr,
        Kind::Reasoning => &mut facts.output_cost_per_reasoning_token,
        Kind::AudioInput => &mut facts.input_cost_per_audio_token,
        Kind::AudioOutput => &mut facts.output_cost_per_audio_token,
        Kind::AudioCacheRead | Kind::ImageInput | Kind::ImageOutput => return None,
    })
}

fn add_range(facts: &mut ModelFacts, range: &Range) {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates"
    )]
    let above = range.range.map_or(0, |[from, _]| from as u64);
    for (name, value) in &range.rates {
        let Some(rate) = value.as_f64().and_then(|usd| Rate::named(name, usd)) else { continue };
        match plain(facts, &rate).filter(|_| above == 0) {
            Some(place) => *place = place.or(Some(rate.usd)),
            None => facts.rates.put(Rate { above, ..rate }),
        }
    }
}

/// Everything that the list says of a model, and its name there: a JSON object. Looked up as in [`lookup`].
#[must_use]
pub fn everything(provider: &str, model: &str) -> Option<(&'static str, &'static str)> {
    find(provider, model).map(|(name, entry)| (name, entry.text))
}

/// The whole list, a JSON object.
#[must_use]
pub fn text() -> &'static str {
    list::text().trim_end()
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn hours_in_which_a_model_costs_less_are_read_from_the_list_and_end_on_time() {
        let facts = priced("deepseek", "deepseek-v4-pro").unwrap();
        let at = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            let facts = facts.at(u64::try_from(at.as_millisecond()).unwrap());
            (facts.input_cost_per_token, facts.cache_read_input_token_cost)
        };
        let (peak, off_peak) = ((Some(1.32e-6), Some(4.4e-8)), (Some(6.6e-7), Some(2.2e-8)));
        // 2026-11-30 is a Monday.
        for (time, expected) in [
            ("2026-11-29T23:59:59Z", off_peak),
            ("2026-11-30T00:59:59Z", off_peak),
            ("2026-11-30T01:00:00Z", peak),
            ("2026-11-30T09:59:59Z", peak),
            ("2026-11-30T10:00:00Z", off_peak),
            ("2026-12-05T09:00:00Z", off_peak),
        ] {
            assert_eq!(at(time), expected, "{time}");
        }
    }

    #[test]
    fn what_few_models_have_a_price_for_is_read_when_it_is_asked_for() {
        let known = priced("anthropic", "claude-sonnet-4-5-20250929").unwrap();
        assert_eq!(known.web_search, Some([0.01; 3]));
        let tiered = priced("dashscope", "qwen-flash").unwrap();
        assert_eq!(tiered.input_cost_per_token, Some(5e-8));
        let long =
            Rate { kind: Kind::Input, above: 256_000, tier: ServiceTier::Standard, usd: 2.5e-7 };
        assert!(tiered.rates.0.contains(&long), "{:?}", tiered.rates);
        assert!(priced("openai", "no-such-model").is_none());
    }
}
