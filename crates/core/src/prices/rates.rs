//! Rates besides the plain ones: for long prompts, for service tiers, for kinds of tokens that few models have.
//!
//! Kept by [`super::ModelFacts`], named in the price list and in configs; used by [`super::cost`]. Always true: a rate
//! is a finite number, and a name that is not known is no rate.

use crate::usage::ServiceTier;

/// What a rate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text of the prompt.
    Input,
    /// Text of the answer.
    Output,
    /// Prompt tokens read from the provider's cache.
    CacheRead,
    /// Prompt tokens written to it.
    CacheWrite,
    /// Prompt tokens written to it for an hour.
    CacheWriteHour,
    /// Reasoning.
    Reasoning,
    /// Audio of the prompt.
    AudioInput,
    /// Audio read from the cache.
    AudioCacheRead,
    /// Audio of the answer.
    AudioOutput,
    /// Images of the prompt.
    ImageInput,
    /// Images of the answer.
    ImageOutput,
}

impl Kind {
    /// All kinds and their names in the list.
    const NAMES: [(Kind, &'static str); 11] = [
        (Kind::Input, "input_cost_per_token"),
        (Kind::Output, "output_cost_per_token"),
        (Kind::CacheRead, "cache_read_input_token_cost"),
        (Kind::CacheWrite, "cache_creation_input_token_cost"),
        (Kind::CacheWriteHour, "cache_creation_input_token_cost_above_1hr"),
        (Kind::Reasoning, "output_cost_per_reasoning_token"),
        (Kind::AudioInput, "input_cost_per_audio_token"),
        (Kind::AudioCacheRead, "cache_read_input_audio_token_cost"),
        (Kind::AudioOutput, "output_cost_per_audio_token"),
        (Kind::ImageInput, "input_cost_per_image_token"),
        (Kind::ImageOutput, "output_cost_per_image_token"),
    ];

    /// The kind whose rate it has if it has none of its own.
    pub(super) const fn parent(self) -> Option<Kind> {
        match self {
            Kind::Input | Kind::Output => None,
            Kind::CacheRead
            | Kind::CacheWrite
            | Kind::CacheWriteHour
            | Kind::AudioInput
            | Kind::ImageInput => Some(Kind::Input),
            Kind::AudioCacheRead => Some(Kind::CacheRead),
            Kind::Reasoning | Kind::AudioOutput | Kind::ImageOutput => Some(Kind::Output),
        }
    }

    /// Whether it is of the prompt: `Input`, else `Output`.
    pub(super) const fn side(self) -> Kind {
        match self {
            Kind::Output | Kind::Reasoning | Kind::AudioOutput | Kind::ImageOutput => Kind::Output,
            Kind::Input
            | Kind::CacheRead
            | Kind::CacheWrite
            | Kind::CacheWriteHour
            | Kind::AudioInput
            | Kind::AudioCacheRead
            | Kind::ImageInput => Kind::Input,
        }
    }
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What it is for.
    pub kind: Kind,
    /// Of prompts with more tokens than that; 0 is all.
    pub above: u64,
    /// Of that tier.
    pub tier: ServiceTier,
    /// USD per token.
    pub usd: f64,
}

impl Rate {
    /// The rate of that name, as `input_cost_per_token_above_200k_tokens_priority`.
    #[must_use]
    pub fn named(name: &str, usd: f64) -> Option<Rate> {
        if !usd.is_finite() || usd < 0.0 {
            return None;
        }
        let (name, tier) = match name.rsplit_once('_') {
            Some((head, "priority")) => (head, ServiceTier::Priority),
            Some((head, "flex")) => (head, ServiceTier::Flex),
            Some((head, "batches")) => (head, ServiceTier::Batch),
            Some((head, "ultrafast")) => (head, ServiceTier::Ultrafast),
            _ => (name, ServiceTier::Standard),
        };
        let (name, above) = match name
            .strip_suffix("k_tokens")
            .and_then(|it| it.rsplit_once("_above_"))
        {
            Some((head, thousands)) => (head, thousands.parse::<u64>().ok()?.checked_mul(1_000)?),
            None => (name, 0),
        };
        let (kind, _) = Kind::NAMES.into_iter().find(|(_, known)| *known == name)?;
        Some(Rate { kind, above, tier, usd })
    }
}

/// Rates besides the plain ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates(pub Vec<Rate>);

impl Rates {
    /// Adds a rate; it replaces that of the same kind, threshold and tier.
    pub fn put(&mut self, rate: Rate) {
        let same = |known: &Rate| {
            (known.kind, known.above, known.tier) == (rate.kind, rate.above, rate.tier)
        };
        self.0.retain(|known| !same(known));
        self.0.push(rate);
    }

    /// Takes out all rates of a kind.
    pub(crate) fn forget(&mut self, kind: Kind) {
        self.0.retain(|known| known.kind != kind);
    }

    /// The rate for exactly that. Flex is billed as batches are where it has no rate of its own.
    pub(super) fn find(&self, kind: Kind, above: u64, tier: ServiceTier) -> Option<f64> {
        let of = |tier| {
            let found = self
                .0
                .iter()
                .find(|rate| (rate.kind, rate.above, rate.tier) == (kind, above, tier));
            found.map(|rate| rate.usd)
        };
        of(tier).or_else(|| if tier == ServiceTier::Flex { of(ServiceTier::Batch) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rates_are_read() {
        let of = |name| Rate::named(name, 1.0).map(|rate| (rate.kind, rate.above, rate.tier));
        let standard = ServiceTier::Standard;
        for (name, expected) in [
            ("input_cost_per_token", (Kind::Input, 0, standard)),
            ("input_cost_per_token_above_128k_tokens", (Kind::Input, 128_000, standard)),
            (
                "output_cost_per_token_above_272k_tokens_priority",
                (Kind::Output, 272_000, ServiceTier::Priority),
            ),
            ("cache_creation_input_token_cost_above_1hr", (Kind::CacheWriteHour, 0, standard)),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                (Kind::CacheWriteHour, 200_000, standard),
            ),
            ("cache_read_input_token_cost_batches", (Kind::CacheRead, 0, ServiceTier::Batch)),
            ("input_cost_per_audio_token_flex", (Kind::AudioInput, 0, ServiceTier::Flex)),
        ] {
            assert_eq!(of(name), Some(expected), "{name}");
        }
        for name in
            ["input_cost_per_video_token", "input_cost_per_token_above_xk_tokens", "priority", ""]
        {
            assert_eq!(of(name), None, "{name}");
        }
        assert_eq!(Rate::named("input_cost_per_token", f64::NAN), None);
        assert_eq!(Rate::named("input_cost_per_token", -1.0), None);
    }
}
