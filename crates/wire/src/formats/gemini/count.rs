//! Reads the answer of `countTokens`.
//!
//! Called by the conversion for counts of clients of other formats.

use crate::bytes::members::texts;
use crate::formats::usage::count_of;

/// The tokens that the answer in `text` counts.
pub(crate) fn total(text: &str) -> Result<u64, String> {
    let found = texts(text, ["totalTokens"]).ok().and_then(|[total]| total);
    found.and_then(count_of).ok_or_else(|| "it has no count in `totalTokens`".to_owned())
}
