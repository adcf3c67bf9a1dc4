//! OpenAI's Responses format. It passes only between clients and providers that both speak it.
//!
//! Used by the conversion. Always true: of a request only what `edits` names changes, of an answer only the model's
//! name and the ids of responses; the neutral form serves the tap. Source of the format:
//! <https://platform.openai.com/docs/api-reference/responses>.

pub(crate) mod answer;
pub(crate) mod edits;
mod item;
pub(crate) mod observe;
pub(crate) mod stream_read;
