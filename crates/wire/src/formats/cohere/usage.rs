//! Token counts of Cohere's format.
//!
//! Called for full answers and for the last event of a stream. Always true: a chat counts the tokens that the model read and
//! wrote, an embedding those that are billed; a count that is no number is ignored.

use hale_core::usage::Usage;

use crate::bytes::members::texts;
use crate::formats::usage::count_of;

/// The tokens in a chat's `usage`; `None` if it has no counts.
pub(super) fn read(text: &str) -> Option<Usage> {
    let [tokens, billed, cached] = texts(text, ["tokens", "billed_units", "cached_tokens"]).ok()?;
    let (input, output) = tokens.and_then(counts).or_else(|| billed.and_then(counts))?;
    let cached_input = cached.and_then(count_of).unwrap_or(0).min(input);
    Some(Usage { input, output, cached_input, ..Usage::default() })
}

fn counts(text: &str) -> Option<(u64, u64)> {
    let found = texts(text, ["input_tokens", "output_tokens"]).ok()?;
    let [input, output] = found.map(|raw| raw.and_then(count_of));
    (input.is_some() || output.is_some()).then(|| (input.unwrap_or(0), output.unwrap_or(0)))
}

/// The tokens that an embedding's `meta` bills.
pub(super) fn billed(text: &str) -> Option<Usage> {
    let [billed] = texts(text, ["billed_units"]).ok()?;
    let found = texts(billed?, ["input_tokens", "image_tokens"]).ok()?;
    let [texts, images] = found.map(|raw| raw.and_then(count_of));
    let input = texts.unwrap_or(0).saturating_add(images.unwrap_or(0));
    (input > 0).then(|| Usage { input, ..Usage::default() })
}
