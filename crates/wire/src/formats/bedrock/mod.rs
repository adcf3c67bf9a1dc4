//! The wire of Amazon Bedrock's Converse: one format for the models of all makers.
//!
//! Used by the conversion and by the fit. Clients of this format are only passed through, so that nothing here reads their
//! requests or writes their answers. What Claude is told in its maker's own words (`additionalModelRequestFields`) is planned by
//! [`crate::formats::anthropic::effort`]. Source of the format:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

pub(crate) mod answer;
mod block;
mod cache;
pub(crate) mod count;
pub(crate) mod embeddings;
pub(crate) mod images;
mod media;
mod messages;
mod model;
#[cfg(test)]
mod modes_tests;
pub(crate) mod observe;
pub(crate) mod rerank;
mod settings;
pub(crate) mod stream_read;
#[cfg(test)]
mod tests;
pub(crate) mod tools;
mod usage;
pub(crate) mod write_request;

pub(crate) use self::answer::is_empty;
pub(crate) use self::block::is_stopped;
pub(crate) use self::model::Model;

/// What a request lacks a place for can be left out, or sent to another provider.
const FIX: &str = "leave it out, or set `drop_params: true`";
