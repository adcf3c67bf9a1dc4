//! What each format reports about a full answer: what changes in it for the client, or what is wrong with it.
//!
//! Returned by the `observe_answer` and `read` of each format, used by the conversion.

use hale_core::health::outcome::ProviderError;
use hale_core::operation::Operation;
use hale_core::usage::Usage;

use super::errors;
use crate::bytes::edit::Patch;
use crate::bytes::members::{self, Place};

/// What was observed in a valid answer.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// What changes for the client.
    pub(crate) patches: Vec<Patch>,
    /// Tokens, if the provider reports them.
    pub(crate) usage: Option<Usage>,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not follow the wire format; why.
    Malformed(String),
    /// It is an error body under a 2xx status.
    Error(ProviderError),
}

impl Fault {
    /// An answer that is not one JSON object.
    pub(crate) fn not_json(body: &[u8]) -> Fault {
        if std::str::from_utf8(body).is_ok_and(errors::is_error) {
            return Fault::Error(errors::parse_provider_error(body));
        }
        let is_html = errors::is_html(body);
        let why = if is_html { "an HTML page" } else { "a body that is no JSON object" };
        Fault::Malformed(why.to_owned())
    }

    /// A JSON object without the content that `operation` needs; `error` is its member of that name.
    pub(crate) fn without_content(operation: Operation, text: &str, error: Place) -> Fault {
        match error.is_some() || errors::is_error(text) {
            true => Fault::Error(errors::parse_provider_error(text.as_bytes())),
            false => Fault::Malformed(format!("JSON without `{}`", operation.content_field())),
        }
    }
}

/// The ranges of an answer's members with these `names`.
///
/// # Errors
/// If the answer is not one JSON object.
pub(crate) fn places<const N: usize>(text: &str, names: [&str; N]) -> Result<[Place; N], Fault> {
    members::places(text.as_bytes(), names).map_err(|_| Fault::not_json(text.as_bytes()))
}

/// Whether a JSON text is a list that is not empty.
pub(crate) fn is_filled_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|tail| !tail.trim_start().starts_with(']'))
}
