//! Text that must never reach a log, an error or a page. Used for keys and tokens everywhere.
//!
//! Always true: neither `Debug` nor `Display` shows the content; only [`Secret::expose`] does.

use std::fmt;
use std::sync::Arc;

/// A credential. Cloning is cheap and shares the text.
#[derive(Clone, PartialEq, Eq, Hash)]
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

#[cfg(test)]
mod tests {
    use super::Secret;

    /// Fails to compile, for want of a unique answer, when `$type` implements `$trait`.
    macro_rules! assert_not {
        ($type:ty: $trait:path) => {
            const _: fn() = || {
                trait Unless<Marker> {
                    fn is_not() {}
                }
                struct Implements;
                impl<T: ?Sized> Unless<()> for T {}
                impl<T: ?Sized + $trait> Unless<Implements> for T {}
                let _unique = <$type as Unless<_>>::is_not;
            };
        };
    }

    assert_not!(Secret: std::fmt::Display);
    assert_not!(Secret: std::ops::Deref);
    assert_not!(Secret: AsRef<str>);
    assert_not!(Secret: serde::Serialize);
    assert_not!(Secret: Into<String>);

    #[test]
    fn its_debug_form_says_nothing_of_it() {
        let secret = Secret::new("sk-canary");
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "[secret] Some([secret])");
        assert_eq!(format!("{secret:#?}"), "[secret]");
    }
}
