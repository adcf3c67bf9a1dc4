//! Text that must never reach a log, an error or a page. Used for keys and tokens everywhere.
//!
//! Always true: neither `Debug` nor `Display` shows the content; only [`Secret::expose`] does.

use std::fmt;
use std::sync::Arc;

/// A credential. Cloning is cheap and shares the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: &str) -> Secret {
        Secret(Arc::from(text))
    }

    /// The text itself, for the one place that sends or compares it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
