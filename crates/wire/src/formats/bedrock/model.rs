//! What a model's name at Bedrock says of it.
//!
//! Asked by the writers of this format and by the fit. Always true: a name that says nothing is a model without any of this.

use hale_core::aws;
use hale_core::prices;

use crate::formats::anthropic::effort;
use crate::formats::order::Order;

/// A model by its name at Bedrock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model<'m>(pub(crate) &'m str);

/// How a model is told how much to reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reasons {
    /// As Anthropic's format says it.
    Claude,
    /// By `reasoningConfig`.
    Nova,
    /// By the word `reasoning_effort`.
    Word,
    /// By `reasoning.effort`.
    Nested,
    /// Not at all.
    Never,
}

/// Words in the names of models that are told by `reasoning_effort`.
const BY_WORD: [&str; 5] = ["gpt-oss", "deepseek.v3", "qwen", "kimi-k2-thinking", "minimax"];

impl Model<'_> {
    /// Whether it is one of Anthropic's.
    pub(crate) fn is_claude(self) -> bool {
        aws::is_claude(self.0)
    }

    /// Whether it is one of Amazon's Nova.
    pub(crate) fn is_nova(self) -> bool {
        self.0.contains("nova")
    }

    /// Whether the number of its calls in one turn can be limited to one.
    pub(crate) fn can_limit_calls(self) -> bool {
        self.is_claude() || self.is_nova()
    }

    /// Whether it is one of OpenAI's that are not open.
    fn is_gpt(self) -> bool {
        self.0.contains("openai.gpt-") && !self.0.contains("gpt-oss")
    }

    /// Whether it is one of Mistral's.
    pub(crate) fn is_mistral(self) -> bool {
        self.0.contains("mistral")
    }

    /// How it is told how much to reason.
    pub(crate) fn reasons(self) -> Reasons {
        if self.is_claude() {
            Reasons::Claude
        } else if self.0.contains("nova-2") || self.0.contains("nova-premier-2") {
            Reasons::Nova
        } else if self.is_gpt() {
            Reasons::Nested
        } else if BY_WORD.iter().any(|word| self.0.contains(word)) {
            Reasons::Word
        } else {
            Reasons::Never
        }
    }

    /// Whether it cannot be told to reason.
    pub(crate) fn never_reasons(self) -> bool {
        self.reasons() == Reasons::Never
    }

    /// Whether it takes a `verbosity`.
    pub(crate) fn is_verbose(self) -> bool {
        self.is_gpt()
    }

    /// Whether its answers can have the shape of a schema by themselves.
    pub(crate) fn has_schemas(self) -> bool {
        self.is_claude() && effort::has_schemas(self.0)
    }

    /// Whether marks of the cache may last for an hour. Source:
    /// <https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>.
    pub(crate) fn caches_for_an_hour(self) -> bool {
        effort::is_since(self.0, (4, 5))
    }
}

/// Whether the model of `order` has a cache for prompts: the price list has a price for what is read from it. Others refuse a
/// request with a mark.
pub(super) fn has_cache(order: &Order<'_>) -> bool {
    let facts = &order.deployment.facts;
    let listed = || {
        let name = order.upstream_model;
        let model = aws::geography(name).map_or(name, |(_, model)| model);
        prices::lookup("bedrock", name).or_else(|| prices::lookup("bedrock", model))
    };
    facts.cache_read_input_token_cost.is_some()
        || listed().is_some_and(|facts| facts.cache_read_input_token_cost.is_some())
}
