//! Text that must never reach a log, an error or a page. Used for keys and tokens everywhere.
//!
//! Always true: neither `Debug` nor `Display` shows the content; only [`Secret::expose`] does.

use std::fmt;
use std::sync::Arc;

use crate::placeholder;

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

/// Shortest credential that is searched for in a provider's text, bytes: a shorter one would remove
/// ordinary words.
const HIDDEN_MIN: usize = 8;

impl Secret {
    /// Whether published documents use it, or it is a placeholder that was not filled in, so that it keeps no secret.
    #[must_use]
    pub fn is_published(&self) -> bool {
        placeholder::is_no_secret(&self.0)
    }

    /// Removes it from `text`: whole, and its start where the text was cut. Of a header's value
    /// `Bearer TOKEN` a provider repeats the token alone, so each word of it counts.
    pub fn hide_in(&self, text: &mut String) {
        for word in self.0.split_whitespace().filter(|word| word.len() >= HIDDEN_MIN) {
            hide(text, word);
        }
    }
}

fn hide(text: &mut String, secret: &str) {
    if text.contains(secret) {
        *text = text.replace(secret, "***");
    }
    let ends = secret.char_indices().map(|(at, _)| at).filter(|at| *at >= HIDDEN_MIN);
    for end in ends.rev() {
        if secret.get(..end).is_some_and(|begin| text.ends_with(begin)) {
            text.truncate(text.len() - end);
            text.push_str("***");
            return;
        }
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

    #[test]
    fn a_credential_is_blacked_out_whole_and_where_the_text_was_cut() {
        let hidden = |text: &str| {
            let mut text = text.to_owned();
            Secret::new("Bearer gsk_0123456789").hide_in(&mut text);
            text
        };
        assert_eq!(
            hidden("bad key gsk_0123456789, twice: gsk_0123456789"),
            "bad key ***, twice: ***"
        );
        assert_eq!(hidden("and the end is gsk_012345"), "and the end is ***");
        assert_eq!(hidden("gsk_012 is too little to tell"), "gsk_012 is too little to tell");
        assert_eq!(hidden("Bearer of bad news"), "Bearer of bad news");
        assert_eq!(hidden(""), "");
    }

    /// Does not compile, because of an ambiguity, if `$type` implements `$trait`.
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
