//! Why a request cannot be translated, and how the readers of requests report it.
//!
//! Used by the readers and writers of the formats; the gateway answers with it.

use serde::Deserialize;

use super::errors::clean;
use super::room::Room;
use crate::bytes::elements::elements;

/// Why a request cannot be expressed in the provider's format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unfit {
    /// The field that prevents it, with its path.
    pub field: String,
    /// What is wrong with it and what to do.
    pub message: String,
}

impl Unfit {
    /// The provider's format has no counterpart of `field`.
    #[must_use]
    pub fn unsupported(field: impl Into<String>, provider: &str, fix: &str) -> Unfit {
        let field = cut(field.into());
        let message = format!("`{field}` cannot be passed on to provider {provider}; {fix}");
        Unfit { field, message }
    }

    /// `field` does not follow the client's format.
    #[must_use]
    pub fn malformed(field: impl Into<String>, why: impl std::fmt::Display) -> Unfit {
        let field = cut(field.into());
        let message = format!("`{field}` cannot be read: {why}");
        Unfit { field, message }
    }
}

/// A field's path, cut if it contains a long name of the client's.
fn cut(field: String) -> String {
    if field.len() > PATH_MAX { clean(&field, PATH_MAX) } else { field }
}

/// Longest path of a field, in characters.
const PATH_MAX: usize = 200;

/// Whether a parameter, as JSON text, is a list or an object without anything in it.
pub(crate) fn asks_nothing(raw: &str) -> bool {
    let inner = |open: char, close: char| raw.strip_prefix(open)?.strip_suffix(close);
    let inner = inner('[', ']').or_else(|| inner('{', '}'));
    inner.is_some_and(|inner| inner.trim_ascii().is_empty())
}

/// The value of the field `name` of a request, from its JSON text. `T` is a text, or JSON that is not parsed: about
/// anything else the parser's error would repeat a text of any length. See [`object_field`] and [`flag_field`].
pub(crate) fn field<'a, T: Deserialize<'a>>(name: &str, raw: &'a str) -> Result<T, Unfit> {
    serde_json::from_str(raw).map_err(|why| Unfit::malformed(name, why))
}

/// The object in the field `name` of a request. Its members are texts, or JSON that is not parsed.
pub(crate) fn object_field<'a, T: Deserialize<'a>>(name: &str, raw: &'a str) -> Result<T, Unfit> {
    if !raw.starts_with('{') {
        return Err(Unfit::malformed(name, "it must be an object"));
    }
    field(name, raw)
}

/// The elements of the list in the field `name` of a request, each of which takes a place in `room`.
pub(crate) fn list_field<'a>(
    name: &str,
    raw: &'a str,
    room: &Room,
) -> Result<impl Iterator<Item = Result<&'a str, Unfit>>, Unfit> {
    let Some(elements) = elements(raw) else {
        return Err(Unfit::malformed(name, "it must be a list"));
    };
    Ok(elements.map(move |element| room.take(name).map(|()| element)))
}

/// The refusal of a request for embeddings of nothing. A provider's answer to it would be none.
pub(crate) fn no_input() -> Unfit {
    Unfit::malformed("input", "it is empty; send at least one text")
}

/// The truth in the field `name` of a request.
pub(crate) fn flag_field(name: &str, raw: Option<&str>) -> Result<Option<bool>, Unfit> {
    match raw {
        None | Some("null") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(Unfit::malformed(name, "it must be true or false")),
    }
}
