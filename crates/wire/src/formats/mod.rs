//! The middle layer: one module for each format, and the neutral form between them.
//!
//! Used by the conversion. Each format has the same shape: `observe_answer` and `observe_event` for what passes
//! unchanged, `edits` for request bodies, `read` and `write` for the neutral form. Always true: a format uses the
//! layer of bytes and the neutral form, and no other format, but for what a cloud tells the models of another provider.

pub(crate) mod advice;
pub mod affinity;
pub(crate) mod amount;
pub(crate) mod answer;
pub(crate) mod answer_tool;
pub(crate) mod anthropic;
pub(crate) mod arguments;
pub(crate) mod asked;
pub(crate) mod bedrock;
pub(crate) mod bounds;
pub(crate) mod by_address;
pub(crate) mod cache_points;
pub(crate) mod call_id;
pub(crate) mod codec;
pub(crate) mod cohere;
pub mod controls;
pub mod embedding_parts;
pub(crate) mod empty;
pub mod errors;
pub(crate) mod event;
pub(crate) mod extras;
pub mod fetched;
pub mod files;
pub(crate) mod fit;
pub(crate) mod gemini;
pub(crate) mod google_error;
pub(crate) mod guards;
pub mod history;
pub mod images;
pub(crate) mod left_out;
pub(crate) mod metadata;
pub mod mock;
pub mod modes;
pub mod neutral;
pub mod notes;
pub mod numbered;
pub(crate) mod ollama;
pub(crate) mod openai;
pub mod order;
pub(crate) mod prefixed;
pub mod probe;
pub(crate) mod read_source;
pub mod realtime;
pub(crate) mod responses;
pub mod retry_after;
pub mod reuse;
pub(crate) mod room;
pub(crate) mod schema;
pub(crate) mod signed_call;
pub(crate) mod signing;
pub(crate) mod thoughts;
pub(crate) mod unfit;
pub mod usage;
pub(crate) mod vectors;
pub(crate) mod view;

use hale_core::provider::WireFormat;

use crate::bytes::framing::Framing;

/// The framing of a wire's streams.
pub(crate) fn framing(wire: WireFormat) -> Framing {
    match wire {
        WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses => Framing::sse(),
        WireFormat::Converse => Framing::aws(),
        WireFormat::Ollama => Framing::lines(),
    }
}
