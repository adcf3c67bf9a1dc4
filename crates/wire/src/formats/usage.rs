//! Token counts of the OpenAI wire, in completions and in responses.
//!
//! Called for every full answer or event that has a usage. Always true: a negative or invalid count is ignored, and a
//! usage without counts is none.

use hale_core::money::Money;
use hale_core::usage::{ServiceTier, Usage};

use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::scan::{self, ScanError};

/// The names of the counts in a `usage` object, quotes included.
struct Words {
    input: &'static [u8],
    output: &'static [u8],
    input_details: &'static [u8],
    output_details: &'static [u8],
}

/// The tokens in a `usage` object of OpenAI's format, of a completion or of a response; `None` if it has no counts.
#[must_use]
pub fn of_openai(text: &str) -> Option<Usage> {
    parse_usage(text).or_else(|| parse_response_usage(text))
}

/// The tokens in a completion's `usage` object; `None` if it has no counts.
pub(crate) fn parse_usage(text: &str) -> Option<Usage> {
    let words = Words {
        input: b"\"prompt_tokens\"",
        output: b"\"completion_tokens\"",
        input_details: b"\"prompt_tokens_details\"",
        output_details: b"\"completion_tokens_details\"",
    };
    counts(text, &words)
}

/// The tokens in a response's `usage` object.
pub(crate) fn parse_response_usage(text: &str) -> Option<Usage> {
    let words = Words {
        input: b"\"input_tokens\"",
        output: b"\"output_tokens\"",
        input_details: b"\"input_tokens_details\"",
        output_details: b"\"output_tokens_details\"",
    };
    counts(text, &words)
}

fn counts(text: &str, words: &Words) -> Option<Usage> {
    let bytes = text.as_bytes();
    let mut usage = Usage::default();
    let (mut counted, mut hits) = (false, 0);
    scan::members(bytes, |key, value| {
        let value = &text[value];
        match &bytes[key] {
            key if key == words.input => counted |= count(value, &mut usage.input),
            key if key == words.output => counted |= count(value, &mut usage.output),
            key if key == words.input_details => details(value, |name, value| match name {
                b"\"cached_tokens\"" => count(value, &mut usage.cached_input),
                b"\"audio_tokens\"" => count(value, &mut usage.sound.input),
                b"\"image_tokens\"" => count(value, &mut usage.seen),
                b"\"cached_tokens_details\"" => {
                    details(value, |name, value| {
                        name == b"\"audio_tokens\"" && count(value, &mut usage.sound.cached_input)
                    });
                    false
                }
                // The first is OpenAI's name, the second LiteLLM's.
                b"\"cache_write_tokens\"" | b"\"cache_creation_tokens\"" => {
                    count(value, &mut usage.cache_creation)
                }
                _ => false,
            }),
            key if key == words.output_details => details(value, |name, value| match name {
                b"\"reasoning_tokens\"" => count(value, &mut usage.reasoning),
                b"\"audio_tokens\"" => count(value, &mut usage.sound.output),
                b"\"image_tokens\"" => count(value, &mut usage.drawn.tokens),
                _ => false,
            }),
            // OpenRouter's, and a LiteLLM proxy's.
            b"\"cost\"" => {
                let usd: Option<f64> = value.parse().ok().filter(|usd: &f64| *usd >= 0.0);
                usage.reported = usd.and_then(Money::of_usd).or(usage.reported);
            }
            b"\"service_tier\"" => usage.tier = tier(value),
            // DeepSeek's older form.
            b"\"prompt_cache_hit_tokens\"" => {
                count(value, &mut hits);
            }
            _ => {}
        }
    })
    .ok()?;
    usage.cached_input = usage.cached_input.max(hits);
    counted.then_some(usage)
}

/// The tier of service that an answer names, quotes included.
pub(crate) fn tier(text: &str) -> ServiceTier {
    ServiceTier::named(text.trim_matches('"'))
}

/// The usage of an answer that names its tier of service beside its usage.
pub(crate) fn of_tier(usage: Usage, named: Option<&str>) -> Usage {
    named.map_or(usage, |named| Usage { tier: tier(named), ..usage })
}

/// The searches of the web among the items of a response.
pub(crate) fn searches(output: &str) -> u32 {
    const SEARCH: &str = "\"web_search_call\"";
    // Nearly no answer has one, and answers are long.
    if memchr::memmem::find(output.as_bytes(), SEARCH.as_bytes()).is_none() {
        return 0;
    }
    let is_search =
        |item: &&str| matches!(texts(item, ["type"]), Ok([Some(kind)]) if kind == SEARCH);
    let count = elements(output).map_or(0, |items| items.filter(is_search).count());
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn count(text: &str, into: &mut u64) -> bool {
    // A negative or invalid count is ignored.
    let parsed = count_of(text);
    *into = parsed.unwrap_or(*into);
    parsed.is_some()
}

/// The count that is written so; `7.0`, as some libraries write a whole number, is 7.
pub(crate) fn count_of(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let (whole, zeros) = text.split_once('.')?;
        let is_whole = zeros.bytes().all(|byte| byte == b'0');
        is_whole.then(|| whole.parse().ok()).flatten()
    })
}

/// Calls `read` with the name, in quotes, and the value of each detail.
fn details(text: &str, mut read: impl FnMut(&[u8], &str) -> bool) {
    // Details that are null or not an object have no counts.
    let _none: Result<(), ScanError> = scan::members(text.as_bytes(), |key, value| {
        read(&text.as_bytes()[key], &text[value]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_and_invalid_counts_are_ignored() {
        let text = r#"{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12,"x":{},
            "prompt_tokens_details":{"cached_tokens":2,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":3}}"#;
        let expected = Usage {
            input: 5,
            output: 7,
            cached_input: 2,
            cache_creation: 0,
            cache_creation_1h: 0,
            reasoning: 3,
            ..Usage::default()
        };
        assert_eq!(parse_usage(text), Some(expected));
        for text in ["{}", "null", "[]", r#"{"prompt_tokens":-1}"#, r#"{"prompt_tokens":1.5}"#] {
            assert_eq!(parse_usage(text), None, "{text}");
        }
        for details in ["null", "{}", r#"{"cached_tokens":3}"#] {
            let older = format!(
                r#"{{"prompt_tokens":5,"prompt_cache_hit_tokens":3,"prompt_cache_miss_tokens":2,"prompt_tokens_details":{details}}}"#
            );
            assert_eq!(parse_usage(&older).unwrap().cached_input, 3, "{details}");
        }
        let fractions = r#"{"prompt_tokens":7.0,"completion_tokens":3.00}"#;
        assert_eq!(parse_usage(fractions).map(|usage| (usage.input, usage.output)), Some((7, 3)));
        let null_details = r#"{"prompt_tokens":1,"prompt_tokens_details":null}"#;
        assert_eq!(parse_usage(null_details).unwrap().input, 1);
    }
}
