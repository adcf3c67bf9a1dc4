//! Checks full answers of Bedrock's own operations, before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has content, or says why it has none.

use hale_core::operation::Operation;
use hale_core::usage::{Units, Usage};

use super::{embeddings, images, usage};
use crate::bytes::members::texts;
use crate::formats::answer::{Fault, Observed};
use crate::formats::codec::OfBedrock;
use crate::formats::usage::count_of;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfBedrock,
    text: &str,
) -> Result<Observed, Fault> {
    let names = ["output", "inputTokens", "usage", operation.content_field(), "error"];
    let [output, total, counts, content, error] =
        texts(text, names).map_err(|_| Fault::not_json(text.as_bytes()))?;
    let (is_answer, usage) = match expected {
        OfBedrock::Conversed => {
            let has_message =
                output.is_some_and(|raw| texts(raw, ["message"]).is_ok_and(|[it]| it.is_some()));
            (has_message, counts.and_then(usage::read))
        }
        OfBedrock::Counted => (total.and_then(count_of).is_some(), None),
        OfBedrock::Embedded => embedded(text),
        OfBedrock::Ranked => {
            let units = Units { searches: 1, ..Units::default() };
            let usage = Usage { units, ..Usage::default() };
            (content.is_some_and(|raw| raw.starts_with('[')), Some(usage))
        }
        OfBedrock::Drawn => {
            let images = content.map_or(0, images::count);
            if images == 0 && error.is_some() {
                return Err(images::missing(error));
            }
            let units = Units { images, ..Units::default() };
            (images > 0, Some(Usage { units, ..Usage::default() }))
        }
    };
    if !is_answer {
        return Err(Fault::without_content(operation, text, None));
    }
    Ok(Observed { patches: Vec::new(), usage })
}

/// Whether an answer has embeddings, and the tokens that it counts: families of models have formats of their own.
fn embedded(text: &str) -> (bool, Option<Usage>) {
    let names = ["embedding", "embeddings", "embeddingsByType", "inputTextTokenCount"];
    let Ok([one, all, by_type, count]) = texts(text, names) else { return (false, None) };
    let is_filled = |raw: &str| raw.starts_with(['[', '{']) && raw.len() > 2;
    let is_answer = [one, all, by_type].into_iter().flatten().any(is_filled);
    (is_answer, embeddings::counted(count))
}
