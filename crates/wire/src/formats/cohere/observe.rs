//! Full answers of Cohere's format, before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has a message or embeddings.

use hale_core::operation::Operation;

use super::usage;
use crate::bytes::members::texts;
use crate::formats::answer::{Fault, Observed};
use crate::formats::codec::OfCohere;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfCohere,
    text: &str,
) -> Result<Observed, Fault> {
    let names = ["message", "embeddings", "usage", "meta", "error"];
    let [message, embeddings, counts, meta, error] =
        texts(text, names).map_err(|_| Fault::not_json(text.as_bytes()))?;
    let (is_answer, usage) = match expected {
        // An error has a text in its place.
        OfCohere::Message => {
            (message.is_some_and(|raw| raw.starts_with('{')), counts.and_then(usage::read))
        }
        OfCohere::Embedded => {
            let is_filled = embeddings.is_some_and(|raw| raw.starts_with(['{', '[']));
            (is_filled, meta.and_then(usage::billed))
        }
    };
    if !is_answer {
        // Bytes of no content have no place that could be named.
        return Err(Fault::without_content(operation, text, error.map(|_| 0..0)));
    }
    Ok(Observed { patches: Vec::new(), usage })
}
