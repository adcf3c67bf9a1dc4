//! The text of a key, and what is kept of it.
//!
//! Used by the authentication and by the pages about keys. Always true: only the hash of a key is kept; what is shown of one is
//! its last four characters; a hash is never taken for a key.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// How every key begins.
const BEGIN: &str = "sk-";
/// The shortest key that a client of the admin API may choose, characters.
pub const CUSTOM_MIN: usize = 16;
/// The longest, bytes: longer ones do not fit a header of some clients.
const CUSTOM_MAX: usize = 256;

/// What is kept of a key: SHA-256 of its whole text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a key.
    #[must_use]
    pub fn of(key: &str) -> KeyHash {
        KeyHash(Sha256::digest(key.as_bytes()).into())
    }

    /// A hash as databases and the admin API write it: 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<KeyHash> {
        let digit =
            |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: &[u8; 64] = text.as_bytes().try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(KeyHash(hash))
    }

    /// The hash of those bytes, which [`KeyHash::bytes`] gave.
    #[must_use]
    pub const fn of_bytes(bytes: [u8; 32]) -> KeyHash {
        KeyHash(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// The hash that the admin API means: it takes a key or its hash.
    #[must_use]
    pub fn named(text: &str) -> KeyHash {
        match KeyHash::parse(text) {
            Some(hash) if !is_key(text) => hash,
            Some(_) | None => KeyHash::of(text),
        }
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(to, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{self}")
    }
}

/// Whether a text has the form of a key. Authentication takes nothing else.
#[must_use]
pub fn is_key(text: &str) -> bool {
    text.starts_with(BEGIN)
}

/// A new key, of 16 random bytes.
#[must_use]
pub fn new_key(random: [u8; 16]) -> String {
    format!("{BEGIN}{}", URL_SAFE_NO_PAD.encode(random))
}

/// What is shown of a key: `sk-...` and its last four characters.
#[must_use]
pub fn masked(key: &str) -> String {
    let from = key.char_indices().rev().nth(3).map_or(0, |(at, _)| at);
    format!("{BEGIN}...{}", &key[from..])
}

/// Why a text that a client of the admin API chose cannot be a key.
///
/// # Errors
/// The fault, in words.
pub fn check_custom(key: &str) -> Result<(), String> {
    if !is_key(key) {
        return Err("a key must start with 'sk-'".to_owned());
    }
    if key.chars().count() < CUSTOM_MIN {
        return Err(format!("a key must have at least {CUSTOM_MIN} characters"));
    }
    if key.len() > CUSTOM_MAX {
        return Err(format!("a key must have at most {CUSTOM_MAX} characters"));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key must be of visible ASCII characters, without spaces".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The vector of the reference's schema: key and token.
    const KEY: &str = "sk-hale-test-key-0001";
    const TOKEN: &str = "738cfe3475315764b19b429b121b456d50ab9e5249d08a4b387d76af971faef3";

    #[test]
    fn a_key_is_kept_as_the_hash_that_the_reference_keeps() {
        assert_eq!(KeyHash::of(KEY).to_string(), TOKEN);
        assert_eq!(KeyHash::named(KEY), KeyHash::named(TOKEN));
    }

    #[test]
    fn a_hash_is_no_key() {
        assert!(is_key(KEY) && !is_key(TOKEN));
        for wrong in ["", "sk", &TOKEN[1..], &TOKEN.replace('7', "g"), &format!("{TOKEN}0")] {
            assert_eq!(KeyHash::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_is_shown_by_its_end() {
        assert_eq!(masked("sk-abcdefgh"), "sk-...efgh");
        assert_eq!(masked("sk-"), "sk-...sk-");
        assert_eq!(masked("sk-\u{e9}\u{e9}\u{e9}\u{e9}"), "sk-...\u{e9}\u{e9}\u{e9}\u{e9}");
    }

    #[test]
    fn a_key_that_a_client_chose_is_long_enough_and_fits_a_header() {
        assert_eq!(check_custom("sk-0123456789abc"), Ok(()));
        let long = format!("sk-{}", "a".repeat(300));
        for wrong in [
            "",
            "key-0123456789abc",
            "sk-0123456789ab",
            "sk-0123456789 abc",
            "sk-0123456789\u{7}ab",
            &long,
        ] {
            assert!(check_custom(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn new_keys_are_keys_and_hashes_are_read_back(random: [u8; 16]) {
            let key = new_key(random);
            prop_assert_eq!(key.len(), 25);
            prop_assert!(check_custom(&key).is_ok());
            let hash = KeyHash::of(&key);
            prop_assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
        }
    }
}
