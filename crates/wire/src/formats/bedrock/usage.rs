//! Token counts of Converse.
//!
//! Called for each full answer, and for the last event of a stream. Always true: what was read from the cache or written to it
//! is part of the prompt, which the provider counts without both.

use hale_core::usage::Usage;

use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::formats::usage::count_of;

/// The tokens in a `usage`; `None` if it has no counts.
pub(super) fn read(text: &str) -> Option<Usage> {
    const NAMES: [&str; 5] = [
        "inputTokens",
        "outputTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        "cacheDetails",
    ];
    let [input, output, read, written, details] = texts(text, NAMES).ok()?;
    let [input, output] = [input, output].map(|raw| raw.and_then(count_of));
    if input.is_none() && output.is_none() {
        return None;
    }
    let [read, written] = [read, written].map(|raw| raw.and_then(count_of).unwrap_or(0));
    Some(Usage {
        input: input.unwrap_or(0).saturating_add(read).saturating_add(written),
        output: output.unwrap_or(0),
        cached_input: read,
        cache_creation: written,
        cache_creation_1h: for_an_hour(details).min(written),
        ..Usage::default()
    })
}

/// The tokens that were written to the cache for an hour.
fn for_an_hour(details: Option<&str>) -> u64 {
    let details = details.and_then(elements).into_iter().flatten();
    let counts = details.filter_map(|detail| match texts(detail, ["ttl", "inputTokens"]) {
        Ok([Some("\"1h\""), Some(count)]) => count_of(count),
        _ => None,
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_part_of_the_prompt() {
        let text = r#"{"inputTokens":10,"outputTokens":4,"totalTokens":44,"cacheReadInputTokens":20,
            "cacheWriteInputTokens":10,"cacheDetails":[{"ttl":"5m","inputTokens":3},{"ttl":"1h","inputTokens":7}]}"#;
        let usage = read(text).unwrap();
        assert_eq!((usage.input, usage.output), (40, 4));
        let cached = (usage.cached_input, usage.cache_creation, usage.cache_creation_1h);
        assert_eq!(cached, (20, 10, 7));
        for nothing in ["{}", "[]", "null", r#"{"inputTokens":-1}"#, r#"{"totalTokens":3}"#] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
