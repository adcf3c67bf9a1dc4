//! Full answers of Ollama's format, before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has a message or embeddings.

use hale_core::operation::Operation;
use hale_core::usage::Usage;

use super::chunk::{self, Wrong};
use crate::bytes::members::texts;
use crate::formats::answer::{Fault, Observed, is_filled_list};
use crate::formats::codec::OfOllama;
use crate::formats::usage::count_of;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfOllama,
    text: &str,
) -> Result<Observed, Fault> {
    let usage = match expected {
        OfOllama::Said => match chunk::read(text) {
            Ok(chunk) => chunk.usage,
            Err(Wrong::NoObject) => return Err(Fault::not_json(text.as_bytes())),
            Err(Wrong::NoAnswer) => return Err(Fault::without_content(operation, text, None)),
            Err(Wrong::Broken(why)) => {
                return Err(Fault::Malformed(format!("a broken answer: {why}")));
            }
            Err(Wrong::Refused(error)) => return Err(Fault::Error(error)),
        },
        OfOllama::Embedded => {
            let [embeddings, prompt, error] =
                texts(text, ["embeddings", "prompt_eval_count", "error"])
                    .map_err(|_| Fault::not_json(text.as_bytes()))?;
            if !embeddings.is_some_and(is_filled_list) {
                // Bytes of no content have no place that could be named.
                let place = error.map(|_| 0..0);
                return Err(Fault::without_content(operation, text, place));
            }
            prompt.and_then(count_of).map(|input| Usage { input, ..Usage::default() })
        }
    };
    Ok(Observed { patches: Vec::new(), usage })
}
