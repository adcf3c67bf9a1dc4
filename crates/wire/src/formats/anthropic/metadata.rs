//! `metadata` of a messages request: the provider accepts one field of it.
//!
//! Called by the edits and by the reader of requests.

use serde::Deserialize;

use crate::bytes::json::Str;

/// The client's user in the JSON text `raw`.
///
/// # Errors
/// If it is not an object, or the user is not a string.
pub(super) fn user_id(raw: &str) -> serde_json::Result<Option<Str<'_>>> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow)]
        user_id: Option<Str<'a>>,
    }
    serde_json::from_str::<Metadata<'_>>(raw).map(|metadata| metadata.user_id)
}
