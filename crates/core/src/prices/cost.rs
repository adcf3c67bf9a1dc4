//! What a call costs.
//!
//! Called for every answer, and by estimates, through [`ModelFacts::cost`]. Always true: each token and each unit is charged once;
//! a cost is never negative, is rounded once, and an unknown price is `None`, never 0.

use super::rates::Kind;
use super::{ModelFacts, ReportedCost, SizedImage};
use crate::money::Money;
use crate::usage::{SearchContext, ServiceTier, Units, Usage};

/// The price of a token that is cached for an hour, in prompt tokens, if it is not listed. Source:
/// <https://platform.claude.com/docs/en/build-with-claude/prompt-caching>.
const HOUR_FACTOR: f64 = 2.0;
/// The price of a batch, if it is not listed.
const BATCH_FACTOR: f64 = 0.5;

impl ModelFacts {
    /// The cost of `usage`, or `None` if the price is unknown.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Option<Money> {
        let reported = usage.reported.filter(|_| self.reported_cost == ReportedCost::Billed);
        let adjust = self.adjust;
        if let Some(reported) = reported {
            let reported = reported.max(Money::ZERO);
            return if adjust.is_none() {
                Some(reported)
            } else {
                Money::of_usd(adjust.applied(reported.usd()))
            };
        }
        Money::of_usd(adjust.applied(self.usd(usage)?.max(0.0)).max(0.0))
    }

    /// The same in USD.
    #[must_use]
    pub fn cost_usd(&self, usage: &Usage) -> Option<f64> {
        self.cost(usage).map(Money::usd)
    }

    /// The price of units other than tokens if there are any with a price, else of the tokens.
    fn usd(&self, usage: &Usage) -> Option<f64> {
        if usage.units.any() && !self.bills_image_tokens(usage) {
            if let Some(usd) = self.units_usd(&usage.units) {
                return Some(usd);
            }
            // Tokens pay for other units only if both kinds of them have a price.
            let priced = usage.output == 0 || self.output_cost_per_token.is_some();
            if usage.input + usage.output == 0 || !priced {
                return None;
            }
        }
        self.tokens_usd(usage)
    }

    /// Whether images are billed by their tokens, which the provider counted.
    fn bills_image_tokens(&self, usage: &Usage) -> bool {
        usage.units.images > 0
            && usage.output > 0
            && self.rates.find(Kind::ImageOutput, 0, ServiceTier::Standard).is_some()
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
        let rates = Applied { facts: self, prompt: usage.input, tier: usage.tier };
        let input = rates.of(Kind::Input)?;
        let output = rates.of(Kind::Output).unwrap_or(0.0);
        // Most kinds have no tokens: their rates are not looked for.
        let part = |count: u64, kind: Kind| {
            let of_side = || if kind.side() == Kind::Input { input } else { output };
            if count == 0 { 0.0 } else { tokens(count) * rates.of(kind).unwrap_or_else(of_side) }
        };
        let cached = usage.cached_input.min(usage.input);
        let written = usage.cache_creation.min(usage.input - cached);
        let plain = usage.input - cached - written;
        let for_hour = usage.cache_creation_1h.min(written);
        let heard_cached = usage.sound.cached_input.min(cached);
        let heard = usage.sound.input.saturating_sub(usage.sound.cached_input).min(plain);
        let seen = usage.seen.min(plain - heard);
        let reasoning = usage.reasoning.min(usage.output);
        let spoken = usage.sound.output.min(usage.output - reasoning);
        let written_out = usage.output - reasoning - spoken;
        // An image has a price, or its tokens have theirs, or that of others.
        let per_image = self.output_cost_per_image.filter(|_| usage.drawn.images > 0);
        let drawn = self.drawn_tokens(usage).min(written_out);
        let usd_drawn = match per_image {
            Some(usd) => f64::from(usage.drawn.images) * usd,
            None => part(drawn, Kind::ImageOutput),
        };
        let web = self.web_search.map_or(0.0, |usd| {
            let place = match usage.web.context {
                SearchContext::Low => 0,
                SearchContext::Medium => 1,
                SearchContext::High => 2,
            };
            f64::from(usage.web.searches) * usd[place]
        });
        Some(
            tokens(plain - heard - seen) * input
                + part(heard, Kind::AudioInput)
                + part(seen, Kind::ImageInput)
                + part(cached - heard_cached, Kind::CacheRead)
                + part(heard_cached, Kind::AudioCacheRead)
                + part(written - for_hour, Kind::CacheWrite)
                + part(for_hour, Kind::CacheWriteHour)
                + tokens(written_out - drawn) * output
                + usd_drawn
                + part(spoken, Kind::AudioOutput)
                + part(reasoning, Kind::Reasoning)
                + web,
        )
    }

    /// The answer's tokens that are images. Of a model that makes nothing else all of them are, unless the provider tells them apart.
    fn drawn_tokens(&self, usage: &Usage) -> u64 {
        match (usage.drawn.tokens, self.bills_image_tokens(usage)) {
            (0, true) => usage.output,
            (counted, _) => counted,
        }
    }
}

/// The rates that apply to one call.
struct Applied<'f> {
    facts: &'f ModelFacts,
    /// Tokens of the prompt.
    prompt: u64,
    tier: ServiceTier,
}

impl Applied<'_> {
    /// USD per token of that kind.
    fn of(&self, kind: Kind) -> Option<f64> {
        let Some(plain) = self.plain(kind) else {
            let factor = if kind == Kind::CacheWriteHour { HOUR_FACTOR } else { 1.0 };
            return self.of(kind.parent()?).map(|usd| usd * factor);
        };
        let rates = &self.facts.rates;
        if rates.0.is_empty() && self.tier == ServiceTier::Standard {
            return Some(plain);
        }
        let above = self.threshold(kind.side());
        if let Some(usd) = rates
            .find(kind, above, self.tier)
            .filter(|_| above > 0 || self.tier != ServiceTier::Standard)
        {
            return Some(usd);
        }
        let length =
            if above > 0 { self.scale(kind, above, ServiceTier::Standard) } else { Some(1.0) };
        let tier = match self.tier {
            ServiceTier::Standard => Some(1.0),
            tier => {
                self.scale(kind, 0, tier).or((tier == ServiceTier::Batch).then_some(BATCH_FACTOR))
            }
        };
        Some(plain * length.unwrap_or(1.0) * tier.unwrap_or(1.0))
    }

    /// By how much a rate, or that of its parent, is larger there than the plain one.
    fn scale(&self, kind: Kind, above: u64, tier: ServiceTier) -> Option<f64> {
        let own = self.facts.rates.find(kind, above, tier).zip(self.plain(kind));
        match own.filter(|(_, plain)| *plain > 0.0) {
            Some((usd, plain)) => Some(usd / plain),
            None => self.scale(kind.parent()?, above, tier),
        }
    }

    /// The highest threshold of that side that the prompt is beyond; 0 if none.
    fn threshold(&self, side: Kind) -> u64 {
        // xAI's begin at the number itself.
        let is_inclusive = self.facts.litellm_provider.as_deref() == Some("xai");
        let is_beyond = |above: u64| self.prompt > above || is_inclusive && self.prompt == above;
        let all = self.facts.rates.0.iter().filter(|rate| rate.kind.side() == side);
        all.map(|rate| rate.above)
            .filter(|above| *above > 0 && is_beyond(*above))
            .max()
            .unwrap_or(0)
    }

    fn plain(&self, kind: Kind) -> Option<f64> {
        let facts = self.facts;
        match kind {
            Kind::Input => facts.input_cost_per_token,
            Kind::Output => facts.output_cost_per_token,
            Kind::CacheRead => facts.cache_read_input_token_cost,
            Kind::CacheWrite => facts.cache_creation_input_token_cost,
            Kind::CacheWriteHour => facts.cache_creation_input_token_cost_above_1hr,
            Kind::Reasoning => facts.output_cost_per_reasoning_token,
            Kind::AudioInput => facts.input_cost_per_audio_token,
            Kind::AudioOutput => facts.output_cost_per_audio_token,
            Kind::AudioCacheRead | Kind::ImageInput | Kind::ImageOutput => {
                facts.rates.find(kind, 0, ServiceTier::Standard)
            }
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn tokens(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
