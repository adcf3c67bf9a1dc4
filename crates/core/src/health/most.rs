//! The greatest limit of an answer that a refusal names.
//!
//! Called by [`super::lesson`]. Always true: it is a number that stands where providers write it, after the name of the limit;
//! what is about the length of the whole context is no such limit, because that depends on the request.

use super::learned::MOST_MAX;
use super::outcome::ProviderError;

/// What providers call the limit of an answer.
const NAMES: [&str; 7] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "maxoutputtokens",
    "max_new_tokens",
    "maximum tokens",
    "max tokens",
];
/// What is said of the context. Groq compares its limit with its `context_window`.
const OF_CONTEXT: [&str; 8] = [
    "context length",
    "context limit",
    "context window",
    "context size",
    "input tokens",
    "input length",
    // text-generation-inference adds both.
    "tokens + `max_new_tokens`",
    "tokens + max_new_tokens",
];
/// What stands before the number. Sources: OpenAI, Cohere, Groq, pydantic (Mistral, Fireworks), Bedrock, Google, vLLM.
const BEFORE: [&str; 15] = [
    "at most",
    "less than or equal to",
    "<=",
    "maximum value of",
    "maximum value is",
    "maximum of",
    "maximum is",
    "model limit of",
    "limit is",
    "up to",
    "cannot exceed",
    "can't exceed",
    "must not exceed",
    "no more than",
    "cannot be greater than",
];
/// What stands before a range. Sources: DeepSeek, DashScope, Google, Zhipu.
const RANGES: [(&str, &str); 3] = [("[", ","), ("between ", " and "), ("from ", " to ")];

/// The greatest limit that `error` names, tokens; `text` is its message in small letters. `None` if it is about something else.
pub(super) fn named(error: &ProviderError, text: &str) -> Option<u32> {
    let is_param = |name: &&str| error.param.as_deref().is_some_and(|param| param.ends_with(*name));
    let begins = match NAMES.iter().any(is_param) {
        true => 0,
        false => NAMES.iter().filter_map(|name| text.find(name)).min()?,
    };
    if OF_CONTEXT.iter().any(|words| text.contains(words)) {
        return None;
    }
    let text = text.get(begins..)?;
    let most = compared(text).or_else(|| ranged(text)).or_else(|| after(text))?;
    u32::try_from(most).ok().filter(|most| (1..=MOST_MAX).contains(most))
}

/// Anthropic: `max_tokens: 4096 > 2048, which is the maximum allowed number of output tokens for x`.
fn compared(text: &str) -> Option<u64> {
    let (head, _) = text.split_once(", which is the maximum")?;
    number(head.rsplit_once('>')?.1)
}

/// "the valid range of max_tokens is [1, 8192]", "from 1 (inclusive) to 8193 (exclusive)".
fn ranged(text: &str) -> Option<u64> {
    let is_range = ["range", "between", "["].iter().any(|word| text.contains(word));
    let (_, tail) = RANGES.iter().filter(|_| is_range).find_map(|(opens, parts)| {
        let (_, tail) = text.split_once(opens)?;
        let (first, last) = tail.split_once(parts)?;
        Some((number(first)?, last))
    })?;
    let most = number(tail)?;
    let is_excluded = tail.split_once(|c: char| !c.is_ascii_digit() && c != ' ');
    let is_excluded = is_excluded.is_some_and(|(_, after)| after.starts_with("exclusive"));
    Some(if is_excluded { most.saturating_sub(1) } else { most })
}

/// "supports at most 16384 completion tokens".
fn after(text: &str) -> Option<u64> {
    BEFORE.iter().find_map(|words| number(text.split_once(words)?.1))
}

/// The number at the beginning of `text`, behind spaces and quotation marks.
fn number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches([' ', '`', '\'', '"', ':']);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(text.len());
    let digits: String = text[..end].chars().filter(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(message: &str, param: Option<&str>) -> Option<u32> {
        let error = ProviderError {
            message: message.to_owned(),
            param: param.map(str::to_owned),
            ..ProviderError::default()
        };
        named(&error, &message.to_ascii_lowercase())
    }

    #[test]
    fn the_greatest_limit_is_read_where_providers_write_it() {
        for (message, expected) in [
            (
                "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.",
                16_384,
            ),
            ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
            ("Range of max_tokens should be [1, 8192]", 8192),
            (
                "max_tokens: 4096 > 2048, which is the maximum allowed number of output tokens for claude-x",
                2048,
            ),
            (
                "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the `context_window` for this model",
                8192,
            ),
            (
                "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096.",
                4096,
            ),
            (
                "Unable to submit request because it has a maxOutputTokens value of 65536 but the supported range is from 1 (inclusive) to 8193 (exclusive). Update the value and try again.",
                8192,
            ),
            ("too many tokens: max tokens must be less than or equal to 4,000, got 5000", 4000),
            ("max_tokens must be between 1 and 4096", 4096),
            ("'max_completion_tokens' cannot exceed 100000", 100_000),
        ] {
            assert_eq!(most(message, None), Some(expected), "{message}");
        }
        let of_pydantic = "Input should be less than or equal to 8192";
        assert_eq!(most(of_pydantic, Some("max_tokens")), Some(8192));
    }

    #[test]
    fn other_numbers_are_no_limit() {
        for message in [
            "max_tokens must be at least 16",
            "max_tokens is too large",
            "at most 4 images may be sent with max_tokens",
            "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
            "'max_tokens' is too large: 32000. This model's maximum context length is 8192 tokens and your request has 16 input tokens (32000 > 8192 - 16).",
            "max_tokens must be at most 0",
            "max_tokens must be at most 99999999999999999999",
            "temperature must be at most 2",
            "tools: at most 128 tools",
            "",
        ] {
            assert_eq!(most(message, None), None, "{message}");
        }
        assert_eq!(most("Input should be at most 2", Some("temperature")), None);
    }
}
