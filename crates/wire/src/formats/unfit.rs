//! Why a request cannot be translated, and how the readers of requests report it.
//!
//! Used by the readers and writers of the formats; the gateway answers with it.

use serde::Deserialize;

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
        let field = field.into();
        let message = format!("`{field}` cannot be passed on to provider {provider}; {fix}");
        Unfit { field, message }
    }

    /// `field` does not follow the client's format.
    #[must_use]
    pub fn malformed(field: impl Into<String>, why: impl std::fmt::Display) -> Unfit {
        let field = field.into();
        let message = format!("`{field}` cannot be read: {why}");
        Unfit { field, message }
    }
}

/// The value of the field `name` of a request, from its JSON text.
pub(crate) fn field<'a, T: Deserialize<'a>>(name: &str, raw: &'a str) -> Result<T, Unfit> {
    serde_json::from_str(raw).map_err(|why| Unfit::malformed(name, why))
}
