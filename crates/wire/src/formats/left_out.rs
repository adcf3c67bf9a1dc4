//! What a body that passes leaves out because the model has nothing for it, or its provider refused it.
//!
//! Called by the conversion for the notes of an attempt. Always true: it names only what the client sent, in its own words,
//! and what only advises; the rules are those by which the bodies are made.

use hale_core::takes::Efforts;

use super::codec::{self, Codec};
use super::notes::Notes;
use super::order::Order;
use crate::bytes::peek::Peek;

/// The fields that say how much the model should reason.
pub(crate) fn about_reasoning(order: &Order<'_>) -> &'static [&'static str] {
    match order.upstream_operation().map(codec::of) {
        Some(Codec::Completions(_)) => &["reasoning_effort", "reasoning", "thinking"],
        Some(Codec::Responses(_)) => &["reasoning"],
        Some(Codec::Messages(_)) => &["thinking"],
        None
        | Some(
            Codec::Modes(_) | Codec::Files(_) | Codec::Batches(_) | Codec::Opaque | Codec::Counter,
        ) => &[],
    }
}

/// Notes the fields of `peek` that the attempt leaves out.
pub(crate) fn left_out(peek: &Peek, order: &Order<'_>, notes: &mut Notes) {
    if order.takes().efforts == Some(Efforts::NOTHING) {
        let fields = about_reasoning(order);
        fields.iter().filter(|name| peek.is_set(name)).for_each(|name| notes.leave_out(name));
    }
    let asks = order.ask_usage && order.known.has_no_stream_options();
    if asks && peek.wants_usage().unwrap_or(false) {
        notes.leave_out("stream_options");
    }
}
