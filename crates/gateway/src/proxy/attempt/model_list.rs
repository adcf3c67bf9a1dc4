//! The provider's list of models. No model runs for it.
//!
//! Called by [`super`] for [`super::call::Call::ModelList`], and by the prober to judge the list. Always
//! true: the number of bytes read is bounded.

use bytes::Bytes;
use hale_core::health::outcome::Observation;
use hale_wire::without_mark;
use serde_json::Value;

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
    let found = match serde_json::from_slice(without_mark(text)) {
        Ok(Value::Array(_)) => return Ok(()),
        Ok(Value::Object(fields)) if fields.get("error").is_some_and(|error| !error.is_null()) => {
            "an error"
        }
        Ok(Value::Object(fields)) if !fields.is_empty() => return Ok(()),
        // The list is longer than what was read.
        Err(error) if error.is_eof() && text.len() >= LIST_MAX => return Ok(()),
        Ok(_) => "empty",
        Err(_) => "not JSON",
    };
    let message = format!("the answer for the list of models is {found}");
    Err(Failed::because(&Observation::Malformed, Some(200), message))
}
