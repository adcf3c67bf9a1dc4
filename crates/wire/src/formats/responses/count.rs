//! Counts of the tokens of a request for a response, for providers that have no responses.
//!
//! Called by the conversion. Always true: an estimate says that it is one.

use crate::bytes::json::JsonText;

/// The answer with the tokens that a provider of another format counted.
pub(crate) fn counted(total: u64) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').member("object", "response.input_tokens").count_member("input_tokens", total);
    json.close(b'}');
    json.into_bytes()
}

/// The same for an estimate.
pub(crate) fn estimated(total: u64) -> Vec<u8> {
    let mut json = JsonText::new();
    json.open(b'{').member("object", "response.input_tokens").count_member("input_tokens", total);
    json.raw_member("estimated", "true").close(b'}');
    json.into_bytes()
}
