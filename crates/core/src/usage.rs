//! Tokens of one answer, as the provider reported them, and other units that are charged for.
//!
//! Filled by `hale-wire`, priced by [`crate::prices`], kept in the request's record.

mod counts;

use crate::money::Money;

/// Bytes of text for a token, as estimates have it.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Where a count comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountedBy {
    /// The provider.
    Provider,
    /// This gateway, at least in part.
    Estimate,
}

/// Tokens of one answer, and other units. Absent counts are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input: u64,
    /// Tokens of the answer, reasoning included.
    pub output: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_creation: u64,
    /// Those of them that are cached for an hour, not for five minutes.
    pub cache_creation_1h: u64,
    /// Answer tokens spent on reasoning.
    pub reasoning: u64,
    /// Audio tokens, which have prices of their own.
    pub sound: Sound,
    /// Images within an answer, which have prices of their own.
    pub drawn: Drawn,
    /// Image tokens of the prompt, which have prices of their own.
    pub seen: u64,
    /// Searches of the web that the provider made for the answer.
    pub web: Web,
    /// The tier that served it.
    pub tier: ServiceTier,
    /// The cost that the provider reported.
    pub reported: Option<Money>,
    /// Units that are charged for besides tokens.
    pub units: Units,
}

/// The tier of a provider's service, which has prices of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceTier {
    /// The ordinary one.
    #[default]
    Standard,
    /// Faster and dearer.
    Priority,
    /// Slower and cheaper.
    Flex,
    /// At the provider's leisure.
    Batch,
    /// Faster still.
    Ultrafast,
}

impl ServiceTier {
    /// The tier as an answer names it; what is not known is the ordinary one.
    #[must_use]
    pub fn named(name: &str) -> ServiceTier {
        match name {
            "priority" => ServiceTier::Priority,
            "flex" => ServiceTier::Flex,
            "batch" => ServiceTier::Batch,
            "ultrafast" => ServiceTier::Ultrafast,
            _ => ServiceTier::Standard,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ServiceTier::Standard => "default",
            ServiceTier::Priority => "priority",
            ServiceTier::Flex => "flex",
            ServiceTier::Batch => "batch",
            ServiceTier::Ultrafast => "ultrafast",
        }
    }
}

/// Searches of the web.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// How many.
    pub searches: u32,
    /// How much of what was found the model read.
    pub context: SearchContext,
}

/// How much of what was found a model reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchContext {
    /// Little.
    Low,
    /// What providers do by default.
    #[default]
    Medium,
    /// Much.
    High,
}

impl Usage {
    /// The counts of one answer, if `self` came after `earlier`: a later count replaces an earlier one, but nothing
    /// does not.
    #[must_use]
    pub fn after(self, earlier: Option<Usage>) -> Usage {
        let Some(earlier) = earlier else { return self };
        let mut usage = self;
        if usage.input == 0 {
            usage.input = earlier.input;
            usage.cached_input = earlier.cached_input;
            usage.cache_creation = earlier.cache_creation;
            usage.cache_creation_1h = earlier.cache_creation_1h;
            usage.sound.input = earlier.sound.input;
            usage.sound.cached_input = earlier.sound.cached_input;
            usage.seen = earlier.seen;
        }
        if usage.output == 0 {
            usage.output = earlier.output;
            usage.reasoning = earlier.reasoning;
            usage.sound.output = earlier.sound.output;
            usage.drawn.tokens = earlier.drawn.tokens;
        }
        usage.drawn.images = usage.drawn.images.max(earlier.drawn.images);
        usage.web.searches = usage.web.searches.max(earlier.web.searches);
        usage.reported = usage.reported.or(earlier.reported);
        if usage.tier == ServiceTier::Standard {
            usage.tier = earlier.tier;
        }
        usage
    }

    /// Adds the usage of another answer of the same session. Units are not changed.
    pub fn add(&mut self, other: &Usage) {
        let more = |count: &mut u64, by: u64| *count = count.saturating_add(by);
        more(&mut self.input, other.input);
        more(&mut self.output, other.output);
        more(&mut self.cached_input, other.cached_input);
        more(&mut self.cache_creation, other.cache_creation);
        more(&mut self.cache_creation_1h, other.cache_creation_1h);
        more(&mut self.reasoning, other.reasoning);
        more(&mut self.sound.input, other.sound.input);
        more(&mut self.sound.cached_input, other.sound.cached_input);
        more(&mut self.sound.output, other.sound.output);
        more(&mut self.drawn.tokens, other.drawn.tokens);
        more(&mut self.seen, other.seen);
        self.web.searches = self.web.searches.saturating_add(other.web.searches);
        self.drawn.images = self.drawn.images.saturating_add(other.drawn.images);
    }
}

/// Audio tokens, which the other counts include. Absent counts are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// Audio tokens of the prompt, cached ones included.
    pub input: u64,
    /// Those of them that were read from the provider's cache.
    pub cached_input: u64,
    /// Audio tokens of the answer.
    pub output: u64,
}

/// Images within an answer that has texts too. Absent counts are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// How many there are.
    pub images: u32,
    /// Their tokens, which those of the answer include.
    pub tokens: u64,
}

/// Units that are charged for besides tokens, or instead of them. Absent counts are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// Images made.
    pub images: u32,
    /// Width and height of each, if known.
    pub size: Option<(u32, u32)>,
    /// Their quality, if known.
    pub quality: Option<Quality>,
    /// Characters of text that was spoken.
    pub characters: u64,
    /// Searches, as providers of rerank models count them.
    pub searches: u32,
    /// Pages read.
    pub pages: u32,
    /// Audio input, milliseconds.
    pub heard_ms: u64,
}

impl Units {
    /// Whether there is anything.
    #[must_use]
    pub fn any(&self) -> bool {
        self.images > 0
            || self.characters > 0
            || self.searches > 0
            || self.pages > 0
            || self.heard_ms > 0
    }

    /// These values, completed from `other`.
    #[must_use]
    pub fn or(self, other: Units) -> Units {
        let pick = |own: u32, other: u32| if own > 0 { own } else { other };
        Units {
            images: pick(self.images, other.images),
            size: self.size.or(other.size),
            quality: self.quality.or(other.quality),
            characters: if self.characters > 0 { self.characters } else { other.characters },
            searches: pick(self.searches, other.searches),
            pages: pick(self.pages, other.pages),
            heard_ms: if self.heard_ms > 0 { self.heard_ms } else { other.heard_ms },
        }
    }
}

/// The quality of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// `low`.
    Low,
    /// `medium`.
    Medium,
    /// `high`.
    High,
    /// `standard`.
    Standard,
    /// `hd`.
    Hd,
}

impl Quality {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Quality::Low => "low",
            Quality::Medium => "medium",
            Quality::High => "high",
            Quality::Standard => "standard",
            Quality::Hd => "hd",
        }
    }

    /// The quality of that name; `None` for `auto` and unknown names.
    #[must_use]
    pub fn named(name: &str) -> Option<Quality> {
        Some(match name {
            "low" => Quality::Low,
            "medium" => Quality::Medium,
            "high" => Quality::High,
            "standard" => Quality::Standard,
            "hd" => Quality::Hd,
            _ => return None,
        })
    }
}
