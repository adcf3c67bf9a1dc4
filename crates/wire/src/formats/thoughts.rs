//! Reasoning that no provider signed: whose it is, and to which targets it may go.
//!
//! Called by [`super::fit`], by the edits of the Anthropic wire and by the writers of its answers. Always true: reasoning
//! goes only to the family that made it, or unsigned to one that demands it.

use hale_core::aws;
use hale_core::provider::{Provider, WireFormat};

use super::order::Order;
use super::signed_call;

/// What the signature of marked reasoning begins with; the family follows.
pub(crate) const MARK: &str = "hale:";

/// What the signature of reasoning that Google signed begins with here; Google's own follows.
pub(crate) const GOOGLES: &str = "gemini:";

/// Words in the names of models, and the family that they stand for. The first that occurs counts.
const BY_MODEL: &[(&str, &str)] = &[
    ("deepseek", "deepseek"),
    ("kimi", "kimi"),
    ("nemotron", "nemotron"),
    ("qwen", "qwen"),
    ("qwq", "qwen"),
    ("glm-", "glm"),
    ("minimax", "minimax"),
    ("gpt-oss", "gpt-oss"),
    ("magistral", "mistral"),
    ("mistral", "mistral"),
    ("mixtral", "mistral"),
    ("ministral", "mistral"),
    ("devstral", "mistral"),
    ("codestral", "mistral"),
    ("pixtral", "mistral"),
    ("voxtral", "mistral"),
    ("grok", "grok"),
    ("gemini", "gemini"),
    ("claude", "claude"),
    ("hunyuan", "hunyuan"),
    ("ernie", "ernie"),
    ("granite", "granite"),
];

/// Providers with models of one family.
const BY_PROVIDER: &[(&str, &str)] = &[
    ("deepseek", "deepseek"),
    ("moonshot", "kimi"),
    ("dashscope", "qwen"),
    ("zai", "glm"),
    ("minimax", "minimax"),
    ("mistral", "mistral"),
    ("codestral", "mistral"),
    ("xai", "grok"),
    ("anthropic", "claude"),
    ("gemini", "gemini"),
    ("vertex_ai", "gemini"),
    ("cohere", "cohere"),
];

/// Families that refuse a call of theirs without the reasoning before it. Source:
/// <https://api-docs.deepseek.com/guides/thinking_mode>, <https://platform.moonshot.ai/docs/guide/use-kimi-k2-thinking-model>.
const DEMANDING: &[&str] = &["deepseek", "kimi"];

/// The signature of reasoning that `model` at `provider` did not sign.
fn mark(provider: &Provider, model: &str) -> String {
    let model = model.to_ascii_lowercase();
    if let Some((_, family)) = BY_MODEL.iter().find(|(word, _)| model.contains(word)) {
        return format!("{MARK}{family}");
    }
    if let Some((_, family)) = BY_PROVIDER.iter().find(|(name, _)| *name == &*provider.name) {
        return format!("{MARK}{family}");
    }
    // The model's own name, without its maker, size and version.
    let own = model.rsplit('/').next().unwrap_or_default();
    let own: String = own.chars().take_while(char::is_ascii_alphabetic).collect();
    format!("{MARK}{}.{own}", provider.name)
}

/// Whether the models with that mark show a summary of what they thought, not all of it.
pub(crate) fn is_summarized(mark: &str) -> bool {
    matches!(mark.strip_prefix(MARK), Some("claude" | "gemini"))
}

/// Where reasoning comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// A provider signed it.
    Signed,
    /// Google signed it.
    Google,
    /// Hale marked it; the whole mark.
    Marked(&'a str),
    /// Nothing is known.
    Unsigned,
}

impl Origin<'_> {
    /// The origin of reasoning with that signature.
    pub(crate) fn of(signature: &str) -> Origin<'_> {
        if signature.is_empty() {
            Origin::Unsigned
        } else if signature.starts_with(MARK) {
            Origin::Marked(signature)
        } else if signature.starts_with(GOOGLES) {
            Origin::Google
        } else {
            Origin::Signed
        }
    }
}

/// What a target does with reasoning. Its family is only looked for where there is some.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'o> {
    wire: WireFormat,
    provider: &'o Provider,
    model: &'o str,
}

impl<'o> Target<'o> {
    /// The target of `order`.
    pub(crate) fn of(order: &Order<'o>) -> Target<'o> {
        let provider = order.deployment.endpoint.provider;
        Target { wire: order.wire(), provider, model: order.upstream_model }
    }

    /// The signature of reasoning that it does not sign.
    pub(crate) fn mark(self) -> String {
        mark(self.provider, self.model)
    }

    /// Whether its models are Anthropic's.
    pub(crate) fn is_claude(self) -> bool {
        self.mark().strip_prefix(MARK) == Some("claude")
    }

    /// Whether it is told about thinking as Anthropic's format says it.
    pub(crate) fn thinks_as_claude(self) -> bool {
        match self.wire {
            WireFormat::Anthropic => true,
            WireFormat::Converse => aws::is_claude(self.model),
            WireFormat::OpenAi
            | WireFormat::Gemini
            | WireFormat::Cohere
            | WireFormat::Responses
            | WireFormat::Ollama => false,
        }
    }

    /// Whether its models are Google's Gemini.
    pub(crate) fn is_gemini(self) -> bool {
        self.mark().strip_prefix(MARK) == Some("gemini")
    }

    /// Whether it refuses calls of the current turn without a signature: the model does, and Google serves it.
    pub(crate) fn demands_signatures(self) -> bool {
        matches!(&*self.provider.name, "gemini" | "vertex_ai")
            && signed_call::is_demanded(self.model)
    }

    /// Whether its model is one of Mistral's.
    pub(crate) fn is_mistral(self) -> bool {
        self.mark().strip_prefix(MARK) == Some("mistral")
    }

    /// Whether it refuses calls of its own without the reasoning before them.
    pub(crate) fn demands(self) -> bool {
        self.mark().strip_prefix(MARK).is_some_and(|family| DEMANDING.contains(&family))
    }

    /// Whether it gets reasoning of that origin.
    pub(crate) fn takes(self, origin: Origin<'_>) -> bool {
        match (origin, self.wire) {
            (Origin::Signed, _) => self.thinks_as_claude(),
            (Origin::Google, wire) => wire == WireFormat::Gemini,
            // It takes no reasoning that it did not sign.
            (_, WireFormat::Converse) => false,
            // A model of Google's that did not sign its thoughts does not want them back.
            (_, WireFormat::Gemini) => false,
            (Origin::Unsigned, _) => self.demands(),
            (
                Origin::Marked(mark),
                WireFormat::OpenAi
                | WireFormat::Cohere
                | WireFormat::Responses
                | WireFormat::Ollama,
            ) => mark == self.mark(),
            // A provider of this wire signs what it makes.
            (Origin::Marked(mark), WireFormat::Anthropic) => mark == self.mark() && self.demands(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use hale_core::provider;

    use super::*;
    use crate::fixture::{deployment, order};

    #[test]
    fn a_family_is_the_models_else_the_providers_else_its_own() {
        for (at, model, expected) in [
            ("deepseek", "x", "hale:deepseek"),
            ("hosted_vllm", "deepseek-ai/DeepSeek-V3.2", "hale:deepseek"),
            ("openai", "deepseek-reasoner", "hale:deepseek"),
            ("moonshot", "latest", "hale:kimi"),
            ("openrouter", "moonshotai/kimi-k2-thinking", "hale:kimi"),
            ("hosted_vllm", "Qwen/Qwen3-32B", "hale:qwen"),
            ("hosted_vllm", "x", "hale:hosted_vllm.x"),
            ("hosted_vllm", "maker/tulu-3-8b", "hale:hosted_vllm.tulu"),
            ("openai", "x", "hale:openai.x"),
            ("anthropic", "x", "hale:claude"),
            ("hosted_vllm", "", "hale:hosted_vllm."),
        ] {
            assert_eq!(mark(provider::lookup(at).unwrap(), model), expected, "{at} {model}");
        }
    }

    #[test]
    fn reasoning_goes_to_its_family_only() {
        let takes = |at: &str, model: &str, signature: &str| {
            let deployment = deployment(at);
            Target::of(&order(&deployment, Operation::Messages, model)).takes(Origin::of(signature))
        };
        for (at, model, signature, expected) in [
            ("deepseek", "x", "hale:deepseek", true),
            ("hosted_vllm", "deepseek-v3", "hale:deepseek", true),
            ("hosted_vllm", "x", "hale:hosted_vllm.x", true),
            ("hosted_vllm", "y", "hale:hosted_vllm.x", false),
            ("deepseek", "x", "hale:qwen", false),
            ("deepseek", "x", "hale:", false),
            ("deepseek", "x", "", true),
            ("hosted_vllm", "x", "", false),
            ("deepseek", "x", "EqRkLmNo", false),
            ("anthropic", "x", "EqRkLmNo", true),
            ("anthropic", "x", "", false),
            ("anthropic", "x", "hale:claude", false),
            ("anthropic", "x", "gemini:CiQB", false),
            ("deepseek", "x", "gemini:CiQB", false),
            ("gemini", "x", "gemini:CiQB", true),
            ("gemini", "x", "hale:gemini", false),
            ("gemini", "x", "EqRkLmNo", false),
            ("gemini", "x", "", false),
            ("anthropic", "x", "hale:deepseek", false),
            ("anthropic", "kimi-k2", "hale:kimi", true),
            ("anthropic", "kimi-k2", "", true),
            ("ollama", "qwen3:8b", "hale:qwen", true),
            ("ollama", "qwen3:8b", "", false),
            ("ollama", "qwen3:8b", "EqRkLmNo", false),
            ("ollama", "llama3:8b", "hale:ollama.llama", true),
        ] {
            assert_eq!(takes(at, model, signature), expected, "{at} {model} {signature}");
        }
    }
}
