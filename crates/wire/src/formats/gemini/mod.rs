//! The wire of Google's Gemini: contents with parts, in one piece and as a stream.
//!
//! Used by the conversion and by the fit. Clients of this format are only passed through, so that nothing here reads their
//! requests or writes their answers. Source of the format: <https://ai.google.dev/api/generate-content>.

pub(crate) mod answer;
mod chunk;
mod contents;
pub(crate) mod count;
pub(crate) mod embeddings;
mod generation;
mod grounding;
pub(crate) mod images;
mod model;
pub(crate) mod observe;
mod part;
pub(crate) mod stream_read;
#[cfg(test)]
mod tests;
pub(crate) mod tools;
mod usage;
pub(crate) mod write_request;

pub(crate) use self::chunk::{is_empty, is_stopped};
pub(crate) use self::contents::reads_address;
pub(crate) use self::model::Model;

/// What a request lacks a place for can be left out, or sent to another provider.
const FIX: &str = "leave it out, or set `drop_params: true`";
