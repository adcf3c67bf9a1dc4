//! The top-level members of a JSON object as places in its text.
//!
//! Called by [`crate::peek`], [`crate::answer`] and [`crate::stream`]. Always true: the whole text has
//! been checked to be JSON, yet nothing below the first level was built.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting that is accepted.
pub const MAX_DEPTH: usize = 256;

/// One member: where its key (quotes included) and its value stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    key: (u32, u32),
    value: (u32, u32),
}

impl Member {
    /// The key's place, quotes included.
    #[must_use]
    pub fn key(&self) -> Range<usize> {
        self.key.0 as usize..self.key.1 as usize
    }

    /// The value's place.
    #[must_use]
    pub fn value(&self) -> Range<usize> {
        self.value.0 as usize..self.value.1 as usize
    }
}

/// Why a text is not a JSON object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Not UTF-8.
    #[error("invalid UTF-8 at byte {0}")]
    Utf8(usize),
    /// Not JSON, or JSON that is no object.
    #[error("{0}")]
    Syntax(String),
    /// Nested too deeply.
    #[error("nesting deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Larger than places can say.
    #[error("larger than 4 GiB")]
    Size,
}

/// The members of the object that `text` is, in order.
///
/// # Errors
/// When `text` is not one JSON object, with the place.
pub fn members(text: &[u8]) -> Result<Vec<Member>, ObjectError> {
    if u32::try_from(text.len()).is_err() {
        return Err(ObjectError::Size);
    }
    if too_deep(text) {
        return Err(ObjectError::Depth);
    }
    let text = std::str::from_utf8(text).map_err(|e| ObjectError::Utf8(e.valid_up_to()))?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let found = parser
        .deserialize_map(Members { base: text.as_ptr() as usize })
        .and_then(|found| parser.end().map(|()| found))
        .map_err(|e| ObjectError::Syntax(e.to_string()))?;
    Ok(found)
}

/// Whether the key at `member` reads `name`.
#[must_use]
pub fn key_is(text: &[u8], member: &Member, name: &str) -> bool {
    let range = member.key();
    let Some(raw) = text.get(range.start + 1..range.end.saturating_sub(1)) else {
        return false;
    };
    if raw == name.as_bytes() {
        return true;
    }
    // A key may be written with escapes; only then is it worth decoding.
    memchr::memchr(b'\\', raw).is_some()
        && text
            .get(range)
            .and_then(|quoted| serde_json::from_slice::<String>(quoted).ok())
            .is_some_and(|key| key == name)
}

/// The text of the member called `name`.
#[must_use]
pub fn value<'t>(text: &'t [u8], members: &[Member], name: &str) -> Option<&'t [u8]> {
    members
        .iter()
        .find(|member| key_is(text, member, name))
        .and_then(|member| text.get(member.value()))
}

/// Whether `text` nests deeper than [`MAX_DEPTH`].
fn too_deep(text: &[u8]) -> bool {
    // Most bodies have fewer brackets than the limit, and then no order of them can break it.
    if memchr::memchr2_iter(b'{', b'[', text).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let mut depth = 0usize;
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                while let Some(inner) = rest.next() {
                    match inner {
                        b'\\' => {
                            rest.next();
                        }
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    false
}

struct Members {
    base: usize,
}

impl Members {
    fn place(&self, part: &RawValue) -> (u32, u32) {
        let text = part.get();
        let start = text.as_ptr() as usize - self.base;
        // The text's length was checked to fit.
        (clamp(start), clamp(start + text.len()))
    }
}

fn clamp(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Member>, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            members.push(Member { key: self.place(key), value: self.place(value) });
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_places_in_the_text() {
        let text = br#" { "a" : 1 , "b\u0063": {"x":[1,2]} } "#;
        let found = members(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(value(text, &found, "a"), Some(&b"1"[..]));
        assert_eq!(value(text, &found, "bc"), Some(&br#"{"x":[1,2]}"#[..]));
        assert_eq!(value(text, &found, "c"), None);
        assert_eq!(&text[found[0].key()], br#""a""#);
    }

    #[test]
    fn what_is_no_object_says_why() {
        assert!(matches!(members(b"[1]"), Err(ObjectError::Syntax(_))));
        assert!(matches!(members(b"{\"a\":1} x"), Err(ObjectError::Syntax(_))));
        assert!(matches!(members(b"{\"a\":tru}"), Err(ObjectError::Syntax(_))));
        assert_eq!(members(b"{\"a\":\"\xff\"}"), Err(ObjectError::Utf8(6)));
        assert_eq!(members(b"{}"), Ok(Vec::new()));
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_strings_do_not_count() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(members(deep.as_bytes()), Err(ObjectError::Depth));
        let text = format!("{{\"a\":\"{}\\\"{}\"}}", "[".repeat(500), "{".repeat(500));
        assert!(members(text.as_bytes()).is_ok());
        let flat = format!("{{\"a\":[{}0]}}", "[],".repeat(1000));
        assert!(members(flat.as_bytes()).is_ok());
    }
}
