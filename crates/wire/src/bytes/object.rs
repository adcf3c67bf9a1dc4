//! The top-level members of a JSON object as ranges of its text.
//!
//! Called for request bodies. Always true: the whole text was checked to be JSON, and nothing below the first
//! level was built.

use std::ops::Range;

use crate::bytes::scan::{self, MAX_DEPTH, ScanError};

/// Maximum number of top-level members.
pub const MEMBERS_MAX: usize = 10_000;

/// One member: the ranges of its key (quotes included) and of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    key: (u32, u32),
    value: (u32, u32),
    /// Whether the key contains escapes.
    escaped: bool,
}

impl Member {
    /// The range of the key, quotes included.
    #[must_use]
    pub fn key(&self) -> Range<usize> {
        self.key.0 as usize..self.key.1 as usize
    }

    /// Whether the key contains escapes.
    #[must_use]
    pub fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// The range of the value.
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
    /// Not JSON, or not an object.
    #[error("{0}")]
    Syntax(String),
    /// Nested too deeply.
    #[error("nesting deeper than {MAX_DEPTH} levels")]
    Depth,
    /// More than [`MEMBERS_MAX`] members.
    #[error("more than {MEMBERS_MAX} fields")]
    Members,
    /// Longer than a range can express.
    #[error("larger than 4 GiB")]
    Size,
}

/// The members of the object `text`, in order.
///
/// # Errors
/// If `text` is not one JSON object; the error says where.
pub fn members(text: &[u8]) -> Result<Vec<Member>, ObjectError> {
    if u32::try_from(text.len()).is_err() {
        return Err(ObjectError::Size);
    }
    std::str::from_utf8(text).map_err(|e| ObjectError::Utf8(e.valid_up_to()))?;
    let mut found = Vec::with_capacity(8);
    let mut count = 0;
    scan::members(text, |key, value| {
        count += 1;
        if count > MEMBERS_MAX {
            return;
        }
        let escaped = memchr::memchr(b'\\', &text[key.clone()]).is_some();
        found.push(Member { key: place(&key), value: place(&value), escaped });
    })
    .map_err(|error| explain(text, error))?;
    if count > MEMBERS_MAX { Err(ObjectError::Members) } else { Ok(found) }
}

/// The scanner's error in words.
fn explain(text: &[u8], error: ScanError) -> ObjectError {
    match error {
        ScanError::Depth => ObjectError::Depth,
        ScanError::Syntax(at, expected) => {
            let before = &text[..at.min(text.len())];
            let line = memchr::memchr_iter(b'\n', before).count() + 1;
            let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |nl| nl + 1) + 1;
            ObjectError::Syntax(format!("expected {expected} at line {line} column {column}"))
        }
    }
}

fn place(range: &Range<usize>) -> (u32, u32) {
    // The length of the text was checked before.
    let clamp = |position: usize| u32::try_from(position).unwrap_or(u32::MAX);
    (clamp(range.start), clamp(range.end))
}

/// Whether the key of `member` is `name`.
#[inline]
#[must_use]
pub fn key_is(text: &[u8], member: &Member, name: &str) -> bool {
    if member.escaped {
        return escaped_key_is(text, member, name);
    }
    let (start, end) = (member.key.0 as usize + 1, member.key.1 as usize - 1);
    end - start == name.len() && text.get(start..end) == Some(name.as_bytes())
}

/// The same for a key with escapes. They are decoded one by one, up to the first that differs: a key costs no more
/// than the name that it is compared with.
#[cold]
fn escaped_key_is(text: &[u8], member: &Member, name: &str) -> bool {
    let (start, end) = (member.key.0 as usize + 1, member.key.1 as usize - 1);
    let mut written = text.get(start..end).unwrap_or_default();
    let mut name = name.as_bytes();
    while let Some((byte, tail)) = written.split_first() {
        let mut room = [0; 4];
        let (part, after) = if *byte == b'\\' {
            let Some((character, after)) = unescaped(tail) else { return false };
            (character.encode_utf8(&mut room).as_bytes(), after)
        } else {
            (&written[..1], tail)
        };
        let Some(tail) = name.strip_prefix(part) else { return false };
        (name, written) = (tail, after);
    }
    name.is_empty()
}

/// The character of an escape whose backslash stands before `text`, and what follows. `None` for half a character.
pub(super) fn unescaped(text: &[u8]) -> Option<(char, &[u8])> {
    let (kind, tail) = text.split_first()?;
    let character = match kind {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescaped_units(tail),
        other => char::from(*other),
    };
    Some((character, tail))
}

/// The same for `\u`, which needs a second one for characters beyond 16 bits.
fn unescaped_units(text: &[u8]) -> Option<(char, &[u8])> {
    fn unit(text: &[u8]) -> Option<(u16, &[u8])> {
        let (digits, tail) = text.split_at_checked(4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        Some((u16::from_str_radix(digits, 16).ok()?, tail))
    }
    let (first, tail) = unit(text)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, tail));
    }
    let (second, tail) = unit(tail.strip_prefix(b"\\u")?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, tail))
}

/// The text of the value of the member `name`. Of several the last one counts, as for the readers of providers.
#[must_use]
pub fn value<'t>(text: &'t [u8], members: &[Member], name: &str) -> Option<&'t [u8]> {
    members
        .iter()
        .rev()
        .find(|member| key_is(text, member, name))
        .and_then(|member| text.get(member.value()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_ranges_of_the_text() {
        let text = br#" { "a" : 1 , "b\u0063": {"x":[1,2]} } "#;
        let found = members(text).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(value(text, &found, "a"), Some(&b"1"[..]));
        assert_eq!(value(text, &found, "bc"), Some(&br#"{"x":[1,2]}"#[..]));
        assert_eq!(value(text, &found, "c"), None);
        assert_eq!(&text[found[0].key()], br#""a""#);
    }

    #[test]
    fn an_escaped_key_is_the_name_that_it_spells() {
        for (key, name, expected) in [
            (r"mod\u0065l", "model", true),
            (r"\u006d\u006f\u0064\u0065\u006c", "model", true),
            (r"mod\u0065l", "mode", false),
            (r"mod\u0065", "model", false),
            (r"mod\u0065ls", "model", false),
            (r"mod\u0045l", "model", false),
            (r"\ud83d\ude00\n", "\u{1f600}\n", true),
            (r"\ud83d", "\u{fffd}", false),
            (r"\ude00\ud83d", "x", false),
            (r"\ud83dx", "x", false),
            (r#"\"\\\/\b\f\r\t"#, "\"\\/\u{8}\u{c}\r\t", true),
            (r"h\u00e9é", "hé\u{e9}", true),
            (r"\u0000", "", false),
        ] {
            let text = format!("{{\"{key}\":1}}");
            let found = members(text.as_bytes()).unwrap();
            assert!(found[0].is_escaped());
            assert_eq!(key_is(text.as_bytes(), &found[0], name), expected, "{key}");
            let decoded = serde_json::from_str::<String>(&format!("\"{key}\"")).ok();
            assert_eq!(decoded.as_deref() == Some(name), expected, "{key}");
        }
    }

    #[test]
    fn a_body_that_is_not_an_object_says_why() {
        assert!(matches!(members(b"[1]"), Err(ObjectError::Syntax(_))));
        assert!(matches!(members(b"{\"a\":1} x"), Err(ObjectError::Syntax(_))));
        assert!(matches!(members(b"{\"a\":tru}"), Err(ObjectError::Syntax(_))));
        assert_eq!(members(b"{\"a\":\"\xff\"}"), Err(ObjectError::Utf8(6)));
        assert_eq!(members(b"{}"), Ok(Vec::new()));
        let many = format!("{{{}\"a\":0}}", "\"a\":0,".repeat(MEMBERS_MAX));
        assert_eq!(members(many.as_bytes()), Err(ObjectError::Members));
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
