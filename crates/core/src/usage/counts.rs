//! Usage as a JSON object of the ledger, and back: what a call cost can be computed again.
//!
//! Always true: what is read is what was written; counts that are 0 have no member.

use serde_json::{Map, Value};

use super::{Drawn, Quality, SearchContext, ServiceTier, Sound, Units, Usage, Web};
use crate::money::Money;

impl Usage {
    /// All counts, one JSON object.
    #[must_use]
    pub fn counts(&self) -> Value {
        let mut counts = Map::new();
        let mut put = |name: &str, count: u64| {
            if count > 0 {
                counts.insert(name.to_owned(), count.into());
            }
        };
        put("input", self.input);
        put("output", self.output);
        put("cache_read", self.cached_input);
        put("cache_write", self.cache_creation);
        put("cache_write_1h", self.cache_creation_1h);
        put("reasoning", self.reasoning);
        put("audio_input", self.sound.input);
        put("audio_cache_read", self.sound.cached_input);
        put("audio_output", self.sound.output);
        put("images_in_answer", self.drawn.images.into());
        put("image_output", self.drawn.tokens);
        put("image_input", self.seen);
        put("web_searches", self.web.searches.into());
        put("images", self.units.images.into());
        put("characters", self.units.characters);
        put("searches", self.units.searches.into());
        put("pages", self.units.pages.into());
        put("heard_ms", self.units.heard_ms);
        let mut word = |name: &str, word: &str| counts.insert(name.to_owned(), word.into());
        if self.tier != ServiceTier::Standard {
            word("tier", self.tier.name());
        }
        match self.web.context {
            SearchContext::Low => drop(word("search_context", "low")),
            SearchContext::Medium => {}
            SearchContext::High => drop(word("search_context", "high")),
        }
        if let Some(quality) = self.units.quality {
            word("quality", quality.name());
        }
        if let Some((width, height)) = self.units.size {
            word("size", &format!("{width}x{height}"));
        }
        if let Some(reported) = self.reported {
            counts.insert("reported_nano".to_owned(), reported.parts().into());
        }
        Value::Object(counts)
    }

    /// The same the other way; what is not known is left out.
    #[must_use]
    pub fn of_counts(counts: &Value) -> Usage {
        let count = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or(0);
        let small = |name: &str| u32::try_from(count(name)).unwrap_or(u32::MAX);
        let word = |name: &str| counts.get(name).and_then(Value::as_str);
        let size = word("size").and_then(|size| {
            let (width, height) = size.split_once('x')?;
            Some((width.parse().ok()?, height.parse().ok()?))
        });
        Usage {
            input: count("input"),
            output: count("output"),
            cached_input: count("cache_read"),
            cache_creation: count("cache_write"),
            cache_creation_1h: count("cache_write_1h"),
            reasoning: count("reasoning"),
            sound: Sound {
                input: count("audio_input"),
                cached_input: count("audio_cache_read"),
                output: count("audio_output"),
            },
            drawn: Drawn { images: small("images_in_answer"), tokens: count("image_output") },
            seen: count("image_input"),
            web: Web {
                searches: small("web_searches"),
                context: match word("search_context") {
                    Some("low") => SearchContext::Low,
                    Some("high") => SearchContext::High,
                    _ => SearchContext::Medium,
                },
            },
            tier: ServiceTier::named(word("tier").unwrap_or_default()),
            reported: counts.get("reported_nano").and_then(Value::as_i64).map(Money::of_parts),
            units: Units {
                images: small("images"),
                size,
                quality: word("quality").and_then(Quality::named),
                characters: count("characters"),
                searches: small("searches"),
                pages: small("pages"),
                heard_ms: count("heard_ms"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn usage_comes_back_as_it_was_written(
            counts in prop::array::uniform16(0_u64..1_000_000), tier in 0_usize..5, other in 0_usize..4, reported in prop::option::of(0_i64..1_000),
        ) {
            let small = |at: usize| u32::try_from(counts[at]).unwrap();
            let tiers = [ServiceTier::Standard, ServiceTier::Priority, ServiceTier::Flex, ServiceTier::Batch, ServiceTier::Ultrafast];
            let contexts = [SearchContext::Low, SearchContext::Medium, SearchContext::High, SearchContext::Medium];
            let usage = Usage {
                input: counts[0], output: counts[1], cached_input: counts[2], cache_creation: counts[3],
                cache_creation_1h: counts[4], reasoning: counts[5],
                sound: Sound { input: counts[6], cached_input: counts[7], output: counts[8] },
                drawn: Drawn { images: small(9), tokens: counts[10] }, seen: counts[11],
                web: Web { searches: small(12), context: contexts[other] }, tier: tiers[tier],
                reported: reported.map(Money::of_parts),
                units: Units {
                    images: small(13), size: (other > 1).then_some((1024, 512)),
                    quality: (other > 2).then_some(Quality::Hd), characters: counts[14], searches: small(15),
                    pages: small(3), heard_ms: counts[2],
                },
            };
            prop_assert_eq!(Usage::of_counts(&usage.counts()), usage);
        }
    }
}
