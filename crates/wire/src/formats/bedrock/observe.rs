//! Checks full answers of Bedrock's own operations, before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has content, or says why it has none.

use hale_core::operation::Operation;

use super::usage;
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
    let [output, total, counts] = texts(text, ["output", "inputTokens", "usage"])
        .map_err(|_| Fault::not_json(text.as_bytes()))?;
    let is_answer = match expected {
        OfBedrock::Conversed => {
            output.is_some_and(|raw| texts(raw, ["message"]).is_ok_and(|[it]| it.is_some()))
        }
        OfBedrock::Counted => total.and_then(count_of).is_some(),
    };
    if !is_answer {
        return Err(Fault::without_content(operation, text, None));
    }
    Ok(Observed { patches: Vec::new(), usage: counts.and_then(usage::read) })
}
