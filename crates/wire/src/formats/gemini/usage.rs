//! Token counts of Google's format.
//!
//! Called for each full answer, and for each event, whose counts are those of the answer so far. Always true: thoughts count
//! as output once, whether the provider counts them among the candidates or beside them.

use hale_core::usage::{Drawn, ServiceTier, Sound, Usage};

use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::formats::usage::count_of;

/// The tokens in a `usageMetadata`; `None` if it has no counts.
pub(super) fn read(text: &str) -> Option<Usage> {
    const NAMES: [&str; 10] = [
        "promptTokenCount",
        "candidatesTokenCount",
        "totalTokenCount",
        "cachedContentTokenCount",
        "thoughtsTokenCount",
        "toolUsePromptTokenCount",
        "promptTokensDetails",
        "candidatesTokensDetails",
        "cacheTokensDetails",
        "trafficType",
    ];
    let [
        prompt,
        candidates,
        total,
        cached,
        thoughts,
        tools,
        of_prompt,
        of_answer,
        of_cache,
        traffic,
    ] = texts(text, NAMES).ok()?;
    let prompt = prompt.and_then(count_of);
    let candidates = candidates.and_then(count_of);
    if prompt.is_none() && candidates.is_none() {
        return None;
    }
    let count = |raw: Option<&str>| raw.and_then(count_of).unwrap_or(0);
    let (thoughts, tools) = (count(thoughts), count(tools));
    let input = prompt.unwrap_or(0).saturating_add(tools);
    let candidates = candidates.unwrap_or(0);
    // Some servers count thoughts among the candidates.
    let is_inclusive = thoughts <= candidates && input.saturating_add(candidates) == count(total);
    let output = if is_inclusive { candidates } else { candidates.saturating_add(thoughts) };
    Some(Usage {
        input,
        output,
        cached_input: count(cached).min(input),
        reasoning: thoughts,
        sound: Sound {
            input: of_kind(AUDIO, of_prompt),
            cached_input: of_kind(AUDIO, of_cache),
            output: of_kind(AUDIO, of_answer),
        },
        drawn: Drawn { images: 0, tokens: of_kind(IMAGE, of_answer) },
        seen: of_kind(IMAGE, of_prompt),
        tier: match traffic {
            Some("\"ON_DEMAND_PRIORITY\"") => ServiceTier::Priority,
            Some("\"ON_DEMAND_FLEX\"") => ServiceTier::Flex,
            _ => ServiceTier::Standard,
        },
        ..Usage::default()
    })
}

const AUDIO: &str = "\"AUDIO\"";
const IMAGE: &str = "\"IMAGE\"";

/// The tokens of that kind of content in a list of counts by kind.
fn of_kind(kind: &str, details: Option<&str>) -> u64 {
    let details = details.and_then(elements).into_iter().flatten();
    let counts = details.filter_map(|detail| match texts(detail, ["modality", "tokenCount"]) {
        Ok([Some(found), Some(count)]) if found == kind => count_of(count),
        _ => None,
    });
    counts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_output_once_and_the_cache_is_part_of_the_prompt() {
        let counted = |text: &str| {
            let usage = read(text).unwrap();
            (usage.input, usage.output, usage.cached_input, usage.reasoning)
        };
        let beside = r#"{"promptTokenCount":100,"candidatesTokenCount":20,"thoughtsTokenCount":30,
            "cachedContentTokenCount":40,"totalTokenCount":150}"#;
        assert_eq!(counted(beside), (100, 50, 40, 30));
        let among = r#"{"promptTokenCount":100,"candidatesTokenCount":50,"thoughtsTokenCount":30,
            "totalTokenCount":150}"#;
        assert_eq!(counted(among), (100, 50, 0, 30));
        let tools =
            r#"{"promptTokenCount":10,"toolUsePromptTokenCount":5,"candidatesTokenCount":1}"#;
        assert_eq!(counted(tools), (15, 1, 0, 0));
        assert_eq!(counted(r#"{"promptTokenCount":4,"totalTokenCount":4}"#), (4, 0, 0, 0));
        for nothing in
            ["{}", "[]", "null", r#"{"promptTokenCount":-1}"#, r#"{"totalTokenCount":3}"#]
        {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn sound_has_counts_of_its_own() {
        let text = r#"{"promptTokenCount":30,"candidatesTokenCount":9,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":5},{"modality":"AUDIO","tokenCount":25}],
            "cacheTokensDetails":[{"modality":"AUDIO","tokenCount":4}],
            "candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":9}]}"#;
        let sound = Sound { input: 25, cached_input: 4, output: 9 };
        assert_eq!(read(text).unwrap().sound, sound);
    }
}
