//! What a model takes of the parameters that differ from model to model: what the limit of its
//! answer is called, and how much it may be told to reason.
//!
//! Made by the config, and per request for deployments with many models; completed by what was
//! learned ([`crate::health::Known`]). Always true: what is not known is sent as it was written.

/// What the limit on the tokens of a chat's answer is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitName {
    /// As the client wrote it.
    #[default]
    AsWritten,
    /// `max_completion_tokens` only.
    Newer,
    /// `max_tokens` only.
    Older,
}

/// How much a model may be told to reason, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as there is.
    Minimal,
    /// Little.
    Low,
    /// As much as usual.
    Medium,
    /// Much.
    High,
    /// More.
    XHigh,
    /// As much as there is.
    Max,
}

impl Effort {
    /// All, from least to most; `Effort::ALL[e as usize] == e`.
    pub const ALL: [Effort; 7] = [
        Effort::None,
        Effort::Minimal,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::XHigh,
        Effort::Max,
    ];

    /// The word for it in requests.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::XHigh => "xhigh",
            Effort::Max => "max",
        }
    }

    /// The one that the word means.
    #[must_use]
    pub fn named(word: &str) -> Option<Effort> {
        Effort::ALL.into_iter().find(|effort| effort.word() == word)
    }
}

/// Some efforts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Efforts(u8);

impl Efforts {
    /// None of them: the model cannot be told.
    pub const NOTHING: Efforts = Efforts(0);

    /// These.
    #[must_use]
    pub const fn of(all: &[Effort]) -> Efforts {
        let (mut bits, mut at) = (0, 0);
        while at < all.len() {
            bits |= 1 << all[at] as u8;
            at += 1;
        }
        Efforts(bits)
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, effort: Effort) -> bool {
        self.0 & (1 << effort as u8) != 0
    }

    /// Each of them, from least to most.
    pub fn iter(self) -> impl Iterator<Item = Effort> {
        Effort::ALL.into_iter().filter(move |effort| self.has(*effort))
    }

    /// The nearest to `wanted`. A wish to reason is not answered with `none` where there is another one;
    /// of two that are as near, the one below is taken.
    #[must_use]
    pub fn nearest(self, wanted: Effort) -> Option<Effort> {
        let far = |effort: Effort| (effort as u8).abs_diff(wanted as u8);
        let reasons = |effort: &Effort| (*effort == Effort::None) == (wanted == Effort::None);
        let same_kind = self.iter().filter(reasons).min_by_key(|effort| far(*effort));
        same_kind.or_else(|| self.iter().min_by_key(|effort| far(*effort)))
    }

    /// As bits: the first is [`Effort::None`].
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Those with these bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Efforts {
        Efforts(bits & 0x7f)
    }
}

/// What one model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    /// What the limit of its answer is called.
    pub limit: LimitName,
    /// The efforts that it takes; `None` if that is not known.
    pub efforts: Option<Efforts>,
    /// Whether it takes no sampling parameters, such as `temperature`.
    pub fixed_sampling: bool,
}

/// What the price list, or the config, says of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed<'l> {
    /// Whether the list has it.
    pub is_listed: bool,
    /// Its mode, if that is known.
    pub mode: Option<&'l str>,
    /// Whether it reasons, if that is stated.
    pub reasons: Option<bool>,
}

/// Providers whose models are OpenAI's, under OpenAI's names or those of the price list.
const OF_OPEN_AI: [&str; 3] = ["openai", "azure", "azure_ai"];
/// Providers of which the price list marks every model that reasons.
const MARKED: [&str; 7] = ["openai", "azure", "xai", "groq", "cerebras", "cohere", "mistral"];
/// Providers whose models with this word in their names are Claude, in Anthropic's names.
const OF_CLAUDE: [&str; 3] = ["anthropic", "bedrock", "vertex_ai"];
/// Providers whose chats know the older name of the limit only, and of which some ignore the newer one. Source: their
/// pages, and LiteLLM's mapping.
const OLDER_LIMIT: [&str; 13] = [
    "baseten",
    "codestral",
    "deepinfra",
    "deepseek",
    "docker_model_runner",
    "featherless_ai",
    "fireworks_ai",
    "mistral",
    "nebius",
    "nvidia_nim",
    "perplexity",
    "sambanova",
    "wandb",
];

/// The efforts that Gemini's OpenAI-compatible address knows. Source: <https://ai.google.dev/gemini-api/docs/openai>.
const OF_GEMINI: Efforts =
    Efforts::of(&[Effort::Minimal, Effort::Low, Effort::Medium, Effort::High]);

impl Takes {
    /// What `model` of `provider` takes, under its name in the price list.
    #[must_use]
    pub fn of(provider: &str, model: &str, listed: Listed<'_>) -> Takes {
        let is_open_ai = OF_OPEN_AI.contains(&provider);
        let family = if is_open_ai { Family::of(model) } else { Family::Other };
        let is_text = matches!(listed.mode, None | Some("chat" | "responses"));
        let lists_all = MARKED.contains(&provider) && listed.is_listed;
        let efforts = match (listed.reasons, family) {
            _ if !is_text => None,
            (Some(false), _) => Some(Efforts::NOTHING),
            (_, Family::O | Family::Gpt5(_)) => family.efforts(model),
            (Some(true), Family::Other) if provider == "gemini" => Some(OF_GEMINI),
            (None, Family::Other) if never_thinks(provider, model) => Some(Efforts::NOTHING),
            (None, Family::Other) if lists_all => Some(Efforts::NOTHING),
            (None | Some(true), Family::Other) => None,
        };
        let renames = is_text && family != Family::Other;
        let limit = match is_text && OLDER_LIMIT.contains(&provider) {
            true => LimitName::Older,
            false if renames => LimitName::Newer,
            false => LimitName::AsWritten,
        };
        Takes { limit, efforts, fixed_sampling: renames && efforts != Some(Efforts::NOTHING) }
    }

    /// The same of a model of OpenAI that is said to reason and whose name may not say so.
    #[must_use]
    pub fn of_one_that_reasons(self) -> Takes {
        Takes { limit: LimitName::Newer, fixed_sampling: true, ..self }
    }
}

/// A family of OpenAI's models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// `o1`, `o3-mini`, `o4-mini-2025-04-16`, ...
    O,
    /// GPT-5 and later; ten times its number.
    Gpt5(u32),
    /// Any other model.
    Other,
}

impl Family {
    /// The family of a model, by its name without regions and the mark of a fine-tuned one.
    fn of(model: &str) -> Family {
        let name = plain(model);
        let number = |text: &str| {
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            text.get(..end)?.parse::<u32>().ok()
        };
        let is_o = name.strip_prefix('o').is_some_and(|tail| {
            let tail = tail.split('-').next().unwrap_or_default();
            !tail.is_empty() && tail.len() <= 2 && tail.bytes().all(|byte| byte.is_ascii_digit())
        });
        if is_o {
            return Family::O;
        }
        let Some(tail) = name.strip_prefix("gpt-") else { return Family::Other };
        let Some(major) = number(tail) else { return Family::Other };
        // `gpt-35-turbo` is Azure's name of 3.5.
        if !(5..30).contains(&major) || name.contains("search") {
            return Family::Other;
        }
        let minor = tail.split_once('.').and_then(|(_, minor)| number(minor)).unwrap_or(0);
        Family::Gpt5(major * 10 + minor.min(9))
    }

    /// The efforts of its model. Source: <https://platform.openai.com/docs/guides/reasoning>, and the models' pages.
    fn efforts(self, model: &str) -> Option<Efforts> {
        use Effort::{High, Low, Medium, Minimal, None as No, XHigh};
        let has = |part: &str| plain(model).contains(part);
        let all: &[Effort] = match self {
            Family::Other => return None,
            Family::O if has("o1-mini") || has("o1-preview") => &[],
            Family::O => &[Low, Medium, High],
            Family::Gpt5(50) if has("chat") => &[],
            Family::Gpt5(_) if has("chat") => &[Medium],
            Family::Gpt5(50) if has("pro") => &[High],
            Family::Gpt5(_) if has("pro") => &[Medium, High, XHigh],
            Family::Gpt5(50 | 51) if has("codex") && !has("codex-max") => &[Low, Medium, High],
            Family::Gpt5(_) if has("codex") => &[Low, Medium, High, XHigh],
            Family::Gpt5(50) => &[Minimal, Low, Medium, High],
            Family::Gpt5(51) => &[No, Low, Medium, High],
            Family::Gpt5(52) => &[No, Low, Medium, High, XHigh],
            // What later ones take is theirs to say.
            Family::Gpt5(_) => return None,
        };
        Some(Efforts::of(all))
    }
}

/// Whether the model is a Claude from before 3.7, which cannot be told to think. Their names have the number before the family.
/// Source: <https://platform.claude.com/docs/en/build-with-claude/extended-thinking>.
fn never_thinks(provider: &str, model: &str) -> bool {
    let Some((_, tail)) = model.split_once("claude-") else { return false };
    let is_older = ["1", "2", "3-5", "3.5", "3-haiku", "3-sonnet", "3-opus", "instant", "v1", "v2"]
        .iter()
        .any(|start| tail.starts_with(start));
    is_older && OF_CLAUDE.contains(&provider)
}

/// A name of the price list without its provider, its region and `ft:`.
fn plain(model: &str) -> &str {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("ft:").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices;

    fn takes(provider: &str, model: &str) -> Takes {
        let facts = prices::lookup(provider, model).cloned().unwrap_or_default();
        facts.takes(provider, model)
    }

    fn words(takes: Takes) -> Option<Vec<&'static str>> {
        takes.efforts.map(|efforts| efforts.iter().map(Effort::word).collect())
    }

    #[test]
    fn models_that_take_the_newer_name_only_are_known_by_their_names() {
        for (provider, model) in [
            ("openai", "gpt-5-mini"),
            ("openai", "gpt-5.2"),
            ("openai", "gpt-6-sol"),
            ("openai", "o4-mini"),
            ("openai", "ft:o4-mini-2025-04-16"),
            ("azure", "gpt-5-mini"),
            ("azure", "eu/gpt-5"),
            ("azure", "azure/us/o1"),
            ("azure_ai", "gpt-5"),
            ("openai", "gpt-9-not-listed-yet"),
        ] {
            assert_eq!(takes(provider, model).limit, LimitName::Newer, "{provider}/{model}");
        }
        for (provider, model) in [
            ("openai", "gpt-4o"),
            ("openai", "gpt-3.5-turbo"),
            ("azure", "gpt-35-turbo"),
            ("azure", "my-deployment"),
            ("openai", "omni-moderation-latest"),
            ("openai", "gpt-image-1"),
            ("openai", "gpt-audio"),
            ("openrouter", "openai/gpt-5"),
            ("hosted_vllm", "openai/gpt-oss-120b"),
            ("mistral", "mistral-embed"),
        ] {
            assert_eq!(takes(provider, model).limit, LimitName::AsWritten, "{provider}/{model}");
        }
        for (provider, model) in [
            ("deepseek", "deepseek-chat"),
            ("fireworks_ai", "x"),
            ("perplexity", "sonar"),
            ("mistral", "mistral-large-latest"),
            ("nvidia_nim", "not/listed"),
        ] {
            assert_eq!(takes(provider, model).limit, LimitName::Older, "{provider}/{model}");
        }
    }

    #[test]
    fn a_model_that_cannot_reason_is_not_told_to_wherever_it_is() {
        for (provider, model) in [
            ("bedrock", "anthropic.claude-3-5-sonnet-20240620-v1:0"),
            ("bedrock", "eu.anthropic.claude-3-5-sonnet-20241022-v2:0"),
            ("bedrock", "anthropic.claude-3-haiku-20240307-v1:0"),
            ("anthropic", "claude-3-5-haiku-20241022"),
            ("vertex_ai", "claude-3-opus@20240229"),
            ("cohere", "command-a-03-2025"),
            ("cohere", "command-r-plus-08-2024"),
            ("mistral", "mistral-large-latest"),
        ] {
            assert_eq!(words(takes(provider, model)), Some(vec![]), "{provider}/{model}");
        }
        for (provider, model) in [
            ("bedrock", "anthropic.claude-3-7-sonnet-20250219-v1:0"),
            ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("bedrock", "anthropic.claude-not-listed-yet"),
            ("cohere", "command-a-reasoning-08-2025"),
            ("cohere", "command-a-plus-05-2026"),
            ("mistral", "magistral-medium-latest"),
            ("hosted_vllm", "claude-3-haiku"),
        ] {
            assert_eq!(words(takes(provider, model)), None, "{provider}/{model}");
        }
    }

    #[test]
    fn efforts_are_those_of_the_model() {
        assert_eq!(words(takes("openai", "gpt-4o")), Some(vec![]));
        assert_eq!(words(takes("azure", "gpt-4.1")), Some(vec![]));
        assert_eq!(words(takes("openai", "o4-mini")), Some(vec!["low", "medium", "high"]));
        let minimal = Some(vec!["minimal", "low", "medium", "high"]);
        assert_eq!(words(takes("openai", "gpt-5-nano")), minimal);
        assert_eq!(words(takes("azure", "us/gpt-5")), minimal);
        assert_eq!(words(takes("openai", "gpt-5.1")), Some(vec!["none", "low", "medium", "high"]));
        assert_eq!(words(takes("openai", "gpt-5-chat-latest")), Some(vec![]));
        assert_eq!(words(takes("xai", "grok-4.20-non-reasoning")), Some(vec![]));
        for (provider, model) in [
            ("openai", "gpt-9-not-listed-yet"),
            ("openai", "my-own-model"),
            ("azure", "my-deployment"),
            ("deepinfra", "Qwen/QwQ-32B"),
            ("hosted_vllm", "gpt-4o"),
            ("deepseek", "deepseek-reasoner"),
        ] {
            assert_eq!(words(takes(provider, model)), None, "{provider}/{model}");
        }
        let own = Listed { reasons: Some(false), ..Listed::default() };
        assert_eq!(words(Takes::of("hosted_vllm", "mine", own)), Some(vec![]));
        // A mode that the config names says nothing of reasoning.
        let own = Listed { mode: Some("chat"), ..Listed::default() };
        assert_eq!(words(Takes::of("openai", "mine", own)), None);
    }

    #[test]
    fn the_nearest_effort_is_taken_and_a_wish_to_reason_stays_one() {
        use Effort::{High, Low, Max, Medium, Minimal, None as No, XHigh};
        let rows = [
            (&[Low, Medium, High][..], Max, Some(High)),
            (&[Low, Medium, High], Minimal, Some(Low)),
            (&[Low, Medium, High], No, Some(Low)),
            (&[No, Low, Medium], Minimal, Some(Low)),
            (&[No, High], Minimal, Some(High)),
            (&[Minimal, Low], No, Some(Minimal)),
            (&[Medium], XHigh, Some(Medium)),
            (&[Low, High], Medium, Some(Low)),
            (&[], High, None),
            (&[No], High, Some(No)),
        ];
        for (has, wanted, expected) in rows {
            assert_eq!(Efforts::of(has).nearest(wanted), expected, "{has:?} for {wanted:?}");
        }
    }

    #[test]
    fn words_and_bits_are_read_back() {
        for effort in Effort::ALL {
            assert_eq!(Effort::named(effort.word()), Some(effort));
            let only = Efforts::of(&[effort]);
            assert_eq!(Efforts::from_bits(only.bits()), only);
        }
        assert_eq!(Effort::named("bogus"), None);
    }
}
