//! OpenAI's Responses format: bodies that pass, and responses in front of providers of other wires.
//!
//! Used by the conversion. [`edits`] and [`observe`] serve what passes: of a request only what `edits` names changes, of an
//! answer only the model's name and the ids of responses. The other modules translate to and from [`crate::formats::neutral`].
//! Source of the format: <https://platform.openai.com/docs/api-reference/responses>.

pub(crate) mod answer;
pub(crate) mod behind;
mod call;
pub(crate) mod count;
pub(crate) mod edits;
mod events;
mod item;
mod message;
pub(crate) mod observe;
mod output;
mod read_items;
mod read_parts;
pub(crate) mod read_request;
mod read_tools;
mod reasoning;
mod response;
mod sealed;
pub(crate) mod stream_read;
pub(crate) mod stream_write;
#[cfg(test)]
mod tests;
pub(crate) mod write_request;
