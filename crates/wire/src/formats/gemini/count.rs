//! The answer of `countTokens`: reads it, and writes it for clients of this format.
//!
//! Called by the conversion for counts where client and provider speak different formats.

use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::formats::usage::count_of;

/// The tokens that the answer in `text` counts.
pub(crate) fn total(text: &str) -> Result<u64, String> {
    let found = texts(text, ["totalTokens"]).ok().and_then(|[total]| total);
    found.and_then(count_of).ok_or_else(|| "it has no count in `totalTokens`".to_owned())
}

/// The answer with the tokens that a provider of another format counted.
pub(crate) fn counted(total: u64) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').count_member("totalTokens", total).close(b'}');
    json.into_bytes()
}

/// The same for an estimate, which says so.
pub(crate) fn estimated(total: u64) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').count_member("totalTokens", total).raw_member("estimated", "true").close(b'}');
    json.into_bytes()
}
