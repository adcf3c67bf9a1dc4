//! The format of OpenAI's responses, as it passes between clients and providers that speak it.
//!
//! Called by [`crate::way`], [`crate::answer`] and [`crate::stream`]. Always true: bytes pass; of a request
//! what `edits` names changes, of an answer the model's name and the ids of responses. Source of the
//! format: <https://platform.openai.com/docs/api-reference/responses>.

pub(crate) mod edits;
pub(crate) mod look;
