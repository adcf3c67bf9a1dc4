//! The provider's list of models: an answer for which no model runs.
//!
//! Called by [`super`] for [`super::call::Call::ModelList`], and by the prober to judge the list. Always
//! true: what is read of it is bounded.

use bytes::Bytes;
use hale_core::health::outcome::Observation;
use serde_json::Value;

use super::failed::Failed;
use crate::upstream::AnswerBody;

/// How much of a list is read, bytes.
const LIST_MAX: usize = 1 << 20;

/// The list, or its beginning.
pub(super) async fn read(mut body: AnswerBody) -> Bytes {
    let mut text = Vec::new();
    while text.len() < LIST_MAX
        && let Some(Ok(piece)) = body.piece().await
    {
        text.extend_from_slice(&piece);
    }
    Bytes::from(text)
}

/// Whether `text` is a list of models, as far as can be told for every provider.
///
/// # Errors
/// It is a page, empty, or an error under 200. Such a provider may have no list, so this proves nothing.
pub(crate) fn expect_list(text: &[u8]) -> Result<(), Failed> {
    let found = match serde_json::from_slice(text) {
        Ok(Value::Array(_)) => return Ok(()),
        Ok(Value::Object(fields)) if fields.get("error").is_some_and(|error| !error.is_null()) => {
            "an error"
        }
        Ok(Value::Object(fields)) if !fields.is_empty() => return Ok(()),
        // The list goes on beyond what was read.
        Err(error) if error.is_eof() && text.len() >= LIST_MAX => return Ok(()),
        Ok(_) => "nothing",
        Err(_) => "no JSON",
    };
    let message = format!("where the list of models should be there is {found}");
    Err(Failed::because(&Observation::Malformed, Some(200), message))
}
