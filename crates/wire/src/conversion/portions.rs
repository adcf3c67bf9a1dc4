//! Requests for embeddings, and those of more inputs than one call of a provider takes.
//!
//! Called by [`super::prepare`]. Always true: each input is in one body, in the client's order; nothing else of a request is copied for
//! each of them.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

use super::defaults::defaults;
use crate::bytes::edit::Edit;
use crate::bytes::payload::Payload;
use crate::bytes::peek::Peek;
use crate::formats::embedding_parts;
use crate::formats::neutral::Unfit;
use crate::formats::notes::Notes;
use crate::formats::order::Order;
use crate::formats::{bedrock, cohere, gemini, ollama};

/// One of several bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portion {
    /// The body.
    pub body: Payload,
    /// How many of the client's inputs it has.
    pub inputs: usize,
}

/// A request for embeddings with `edits`.
pub(super) fn vectors(
    peek: &Peek,
    edits: &[Edit<'_>],
    order: &Order<'_>,
) -> Result<(Vec<u8>, Notes), Unfit> {
    match order.wire() {
        WireFormat::Cohere => cohere::embeddings::write(peek, edits, order),
        WireFormat::Ollama => ollama::embeddings::write(peek, edits, order),
        WireFormat::Converse => bedrock::embeddings::write(peek, edits, order),
        // The other wires have OpenAI's shape, or none.
        WireFormat::Gemini | WireFormat::OpenAi | WireFormat::Anthropic | WireFormat::Responses => {
            gemini::embeddings::write(peek, edits, order)
        }
    }
}

/// The bodies for the inputs of a request for embeddings, if it has more than one call of its provider takes.
pub(super) fn portions(
    peek: &Peek,
    order: &Order<'_>,
) -> Result<Option<(Vec<Portion>, Notes)>, Unfit> {
    if order.operation != Operation::Embedding {
        return Ok(None);
    }
    let most = match order.wire() {
        WireFormat::Gemini => gemini::embeddings::inputs_max(order),
        WireFormat::Cohere => cohere::INPUTS_MAX,
        WireFormat::Converse => bedrock::embeddings::inputs_max(order.upstream_model),
        WireFormat::Ollama | WireFormat::OpenAi | WireFormat::Anthropic | WireFormat::Responses => {
            return Ok(None);
        }
    };
    let Some(inputs) = embedding_parts::inputs(peek).filter(|all| all.len() > most) else {
        return Ok(None);
    };
    let (mut all, mut noted) = (Vec::with_capacity(inputs.len().div_ceil(most)), Notes::default());
    for some in inputs.chunks(most) {
        // The first edit that names a member wins.
        let mut edits = vec![Edit::Set("input", Cow::Owned(format!("[{}]", some.join(","))))];
        edits.extend(defaults(peek, order));
        let (written, notes) = vectors(peek, &edits, order)?;
        noted.embeddings.form = notes.embeddings.form;
        noted.embeddings.estimated += notes.embeddings.estimated;
        all.push(Portion { body: Bytes::from(written).into(), inputs: some.len() });
    }
    // What is estimated is so for each answer.
    noted.embeddings.estimated /= all.len() as u64;
    Ok(Some((all, noted)))
}
