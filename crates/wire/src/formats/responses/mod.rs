//! The format of OpenAI's responses, as it passes between clients and providers that speak it.
//!
//! Called by [`crate::conversion::prepare`], [`crate::conversion::answer`] and [`crate::conversion::stream`]. Always true: bytes pass; of a request
//! what `edits` names changes, of an answer the model's name and the ids of responses. Source of the
//! format: <https://platform.openai.com/docs/api-reference/responses>.

pub(crate) mod answer;
pub(crate) mod edits;
mod item;
pub(crate) mod observe;
pub(crate) mod stream_read;
