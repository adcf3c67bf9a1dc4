//! Full answers of Google's format, before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has content, or says why it has none.

use hale_core::operation::Operation;

use super::{chunk, usage};
use crate::bytes::members::texts;
use crate::formats::answer::{Fault, Observed, is_filled_list};
use crate::formats::codec::OfContents;
use crate::formats::usage::count_of;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfContents,
    text: &str,
) -> Result<Observed, Fault> {
    let names =
        ["candidates", "embeddings", "totalTokens", "predictions", "usageMetadata", "error"];
    let [candidates, embeddings, total, predictions, counts, error] =
        texts(text, names).map_err(|_| Fault::not_json(text.as_bytes()))?;
    let is_answer = match expected {
        OfContents::Generated => {
            candidates.is_some_and(is_filled_list)
                || (error.is_none() && chunk::read(text).is_ok_and(|chunk| chunk.is_answer))
        }
        OfContents::Embedded => embeddings.is_some_and(is_filled_list),
        OfContents::Counted => total.and_then(count_of).is_some(),
        OfContents::Predicted => {
            predictions.is_some_and(is_filled_list) || candidates.is_some_and(is_filled_list)
        }
    };
    if !is_answer {
        // Bytes of no content have no place that could be named.
        let place = error.map(|_| 0..0);
        return Err(Fault::without_content(operation, text, place));
    }
    Ok(Observed { patches: Vec::new(), usage: counts.and_then(usage::read) })
}
