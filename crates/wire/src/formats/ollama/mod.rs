//! The wire of Ollama: chats whose stream is one JSON object a line, and embeddings.
//!
//! Used by the conversion. No client speaks it, so that nothing here reads requests or writes answers. Source of the format:
//! <https://docs.ollama.com/api/chat>.

pub(crate) mod answer;
mod chunk;
pub(crate) mod embeddings;
mod messages;
pub(crate) mod observe;
mod settings;
pub(crate) mod stream_read;
#[cfg(test)]
mod tests;
mod tools;
pub(crate) mod write_request;

pub(crate) use self::chunk::is_empty;

/// What a request lacks a place for can be left out, or sent to another provider.
const FIX: &str = "leave it out, or set `drop_params: true`";
