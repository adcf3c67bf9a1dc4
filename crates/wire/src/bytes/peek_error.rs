//! What can be wrong with a request body.
//!
//! Returned by the readers of JSON bodies and forms; the gateway reports it to clients.

use super::object::ObjectError;

/// What is wrong with a request body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// No bytes at all.
    #[error("the request body is empty; send a JSON object")]
    Empty,
    /// Not a JSON object.
    #[error("Invalid JSON payload: {0}")]
    Json(#[from] ObjectError),
    /// A field that the gateway reads occurs twice.
    #[error("the field `{0}` stands twice; send it once")]
    Duplicate(&'static str),
    /// A field that the gateway reads or refuses is written in other letters.
    #[error(
        "the field `{0}` is written in other letters; write it as `{0}`: some servers do not heed case"
    )]
    Letters(&'static str),
    /// A field that the gateway reads is longer than any that makes sense.
    #[error("the field `{0}` is larger than 64 KiB; shorten it or leave it out")]
    Large(&'static str),
    /// A field has the wrong type.
    #[error("`{field}` must be {expected}")]
    Type {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl PeekError {
    /// The field to name in an error's `param`.
    #[must_use]
    pub fn param(&self) -> &'static str {
        match self {
            PeekError::Empty | PeekError::Json(_) => "request_body",
            PeekError::Duplicate(field)
            | PeekError::Letters(field)
            | PeekError::Large(field)
            | PeekError::Type { field, .. } => field,
        }
    }
}
