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
    let text = |name| peek.string(name).ok().flatten();
    match operation.billing() {
        Billing::Images => Units {
            images: peek.count("n").ok().flatten().unwrap_or(1).max(1),
            size: text("size").and_then(|size| parse_size(&size)),
            quality: text("quality").and_then(|quality| Quality::named(&quality)),
            ..Units::default()
        },
        Billing::Characters => {
            let characters = text("input").map_or(0, |input| input.chars().count() as u64);
            Units { characters, ..Units::default() }
        }
        Billing::Searches => Units { searches: 1, ..Units::default() },
        Billing::Pages => Units { pages: 1, ..Units::default() },
        Billing::Tokens | Billing::Heard => Units::default(),
    }
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
