//! The provider's list of models. No model runs for it.
//!
//! Called by [`super`] for [`super::call::Call::ModelList`], and by the prober to judge the list. Always
//! true: the number of bytes read is bounded.

use bytes::Bytes;
use hale_core::health::outcome::Observation;
use hale_wire::{object, without_mark};
use serde::de::IgnoredAny;

use super::failed::Failed;
use crate::upstream::AnswerBody;

/// Lists are read up to this size, bytes.
const LIST_MAX: usize = 1 << 20;

/// Reads the list, or its beginning.
pub(super) async fn read(mut body: AnswerBody) -> Bytes {
    let mut text = Vec::new();
    while text.len() < LIST_MAX
        && let Some(Ok(piece)) = body.piece().await
    {
        text.extend_from_slice(&piece);
    }
    Bytes::from(text)
}

/// Accepts `text` if it may be a list of models. Providers' formats differ, so the test is loose.
///
/// # Errors
/// It is a page, empty, or an error under 200. The provider may have no list, so this proves nothing.
pub(crate) fn expect_list(text: &[u8]) -> Result<(), Failed> {
    let text = without_mark(text);
    let start = text.trim_ascii_start();
    // A longer list is known by its beginning only.
    let is_cut = text.len() >= LIST_MAX && matches!(start.first(), Some(b'[' | b'{'));
    let found = match (start.first(), object::members(text)) {
        (Some(b'['), _) if is_cut || is_list(text) => return Ok(()),
        (Some(b'{'), Err(_)) if is_cut => return Ok(()),
        (Some(b'{'), Ok(members)) if members.is_empty() => "empty",
        (Some(b'{'), Ok(members)) => match object::value(text, &members, "error") {
            None | Some(b"null") => return Ok(()),
            Some(_) => "an error",
        },
        (_, _) => "not JSON",
    };
    let message = format!("the answer for the list of models is {found}");
    Err(Failed::because(&Observation::Malformed, Some(200), message))
}

/// Whether `text` is a JSON list; nothing is built of it.
fn is_list(text: &[u8]) -> bool {
    serde_json::from_slice::<Vec<IgnoredAny>>(text).is_ok()
}
