//! The wire of Cohere: messages with contents, in one piece and as a stream, and embeddings.
//!
//! Used by the conversion and by the fit. Always true: clients of this format are only passed through, but for rerank, whose
//! one shape is Cohere's. Source of the format: <https://docs.cohere.com/v2/reference/chat>.

pub(crate) mod answer;
mod citation;
pub(crate) mod embeddings;
mod finish;
mod messages;
pub(crate) mod observe;
mod parameters;
pub(crate) mod stream_read;
#[cfg(test)]
mod tests;
mod tools;
mod usage;
pub(crate) mod write_request;

pub(crate) use self::answer::is_empty;

pub(crate) use self::embeddings::{INPUT_TYPE, INPUTS_MAX, vectors_of};

/// What a request lacks a place for can be left out, or sent to another provider.
const FIX: &str = "leave it out, or set `drop_params: true`";
