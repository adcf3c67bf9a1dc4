//! The key of an answer.
//!
//! Made by the proxy for each request that the cache serves. Always true: it says nothing of the request to those who see it.

use std::fmt;

use sha2::{Digest, Sha256};

/// The key of an answer: a digest of what decides about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of what `feed` feeds.
    pub(crate) fn of(feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> CacheKey {
        let mut digest = Sha256::new();
        feed(&mut |piece| digest.update(piece));
        CacheKey(digest.finalize().into())
    }

    /// The key of what `feed` feeds, within a scope whose key this is.
    pub(crate) fn within(self, feed: impl FnOnce(&mut dyn FnMut(&[u8]))) -> CacheKey {
        CacheKey::of(|out| {
            out(&self.0);
            feed(out);
        })
    }

    /// The key that [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<CacheKey> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(CacheKey(bytes))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> CacheKey {
        CacheKey::of(|feed| feed(text.as_bytes()))
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let one = key("one");
        assert_eq!(CacheKey::parse(&one.to_string()), Some(one));
        assert_ne!(one, key("two"));
        for wrong in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            assert_eq!(CacheKey::parse(wrong), None, "{wrong}");
        }
    }
}
