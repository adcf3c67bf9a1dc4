//! Full answers of Google's format, before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has content, or says why it has none.

use hale_core::operation::Operation;
use hale_core::usage::Usage;

use super::{chunk, embeddings, usage};
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
    let names = [
        "candidates",
        "embeddings",
        "embedding",
        "totalTokens",
        "predictions",
        "usageMetadata",
        "error",
    ];
    let [candidates, all, embedding, total, predictions, counts, error] =
        texts(text, names).map_err(|_| Fault::not_json(text.as_bytes()))?;
    let is_answer = match expected {
        OfContents::Generated => {
            candidates.is_some_and(is_filled_list)
                || (error.is_none() && chunk::read(text).is_ok_and(|chunk| chunk.is_answer))
        }
        // Vertex AI has other words for the same.
        OfContents::Embedded => {
            all.or(predictions).is_some_and(is_filled_list) || embedding.is_some()
        }
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
    let counted = || Some(embeddings::counted(predictions?)).filter(|usage| usage.input > 0);
    let usage = counts.and_then(usage::read).or_else(|| match expected {
        OfContents::Embedded => counted(),
        OfContents::Generated | OfContents::Counted | OfContents::Predicted => None,
    });
    // Images are counted among the parts.
    let has_images = |usage: &Usage| usage.drawn.tokens > 0;
    let usage = match usage.filter(has_images) {
        Some(_) => chunk::read(text).ok().and_then(|chunk| chunk.usage),
        None => usage,
    };
    Ok(Observed { patches: Vec::new(), usage })
}
