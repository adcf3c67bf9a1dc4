//! The charged units that a request asks for, as far as the request itself tells.
//!
//! Called by the gateway once per request and by probes. Always true: the units in an answer take precedence.

use hale_core::operation::{Billing, Operation};
use hale_core::usage::{Quality, Units};

use crate::bytes::peek::Peek;

/// The units of a request that goes well. Fields of a wrong type count as absent: they are the
/// provider's to judge.
#[must_use]
pub fn requested(operation: Operation, peek: &Peek) -> Units {
    match operation.billing() {
        Billing::Images => Units {
            images: peek.count("n").ok().flatten().unwrap_or(1).max(1),
            size: peek.word("size").and_then(|size| parse_size(&size)),
            quality: peek.word("quality").and_then(|quality| Quality::named(&quality)),
            ..Units::default()
        },
        Billing::Characters => {
            let characters = peek.raw("input").map_or(0, characters);
            Units { characters, ..Units::default() }
        }
        Billing::Searches => Units { searches: 1, ..Units::default() },
        Billing::Pages => Units { pages: 1, ..Units::default() },
        Billing::Tokens | Billing::Heard => Units::default(),
    }
}

/// The characters of a JSON string, which may be long; 0 for any other value.
fn characters(raw: &str) -> u64 {
    let Some(text) = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return 0;
    };
    let mut count = text.chars().count() as u64;
    let mut bytes = text.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', bytes) {
        let escape = &bytes[at..];
        // The second half of a character belongs to the first.
        let is_half = escape.get(2).is_some_and(|digit| digit.eq_ignore_ascii_case(&b'd'))
            && escape.get(3).is_some_and(|digit| b"cdefCDEF".contains(digit));
        let (length, extra) = match escape.get(1) {
            Some(b'u') => (6, if is_half { 6 } else { 5 }),
            _ => (2, 1),
        };
        count -= extra;
        bytes = escape.get(length..).unwrap_or_default();
    }
    count
}

/// `1024x1536` as width and height; `None` for `auto`.
pub(super) fn parse_size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_request_says_how_much_it_is() {
        let requested = |operation, body: &'static str| {
            requested(operation, &Peek::parse(Bytes::from_static(body.as_bytes())).unwrap())
        };
        let none = Units::default();
        assert_eq!(requested(Operation::Speech, r#"{"input":"h\u00e9llo"}"#).characters, 5);
        assert_eq!(
            requested(Operation::Speech, r#"{"input":"\ud83d\ude00\n\\ü\/x"}"#).characters,
            6
        );
        assert_eq!(requested(Operation::Speech, r#"{"input":["a"]}"#), none);
        let image =
            requested(Operation::GenerateImage, r#"{"n":3,"size":"256x512","quality":"hd"}"#);
        let expected =
            Units { images: 3, size: Some((256, 512)), quality: Some(Quality::Hd), ..none };
        assert_eq!(image, expected);
        let auto = requested(Operation::GenerateImage, r#"{"size":"auto","quality":"auto"}"#);
        assert_eq!(auto, Units { images: 1, ..none });
        assert_eq!(requested(Operation::Chat, "{}"), none);
    }
}
