//! Reasoning as a client of responses keeps it for the next request: what was thought, with the signatures of its provider.
//!
//! Written by [`super::reasoning`], read by [`super::read_items`]. Always true: what does not open is no error; it is as if
//! nothing had been thought.

use std::borrow::Cow;

use serde::Deserialize;

use crate::bytes::id::IdKey;
use crate::bytes::json::JsonText;
use crate::bytes::seal::Use;
use crate::formats::neutral::Content;

/// The reasoning of one item, while it comes.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// JSON text of the blocks so far, without the brackets around them.
    json: JsonText,
    /// The text of the block that is open.
    text: String,
    has_text: bool,
}

impl Blocks {
    /// A piece of the block that is open.
    pub(super) fn think(&mut self, text: &str) {
        self.has_text = true;
        self.text.push_str(text);
    }

    /// Ends that block with its signature.
    pub(super) fn sign(&mut self, signature: &str) {
        let text = std::mem::take(&mut self.text);
        self.has_text = false;
        self.json.open(b'{').member("t", &text).member("s", signature).close(b'}');
    }

    /// Reasoning that only its provider can read.
    pub(super) fn redacted(&mut self, data: &str) {
        self.json.open(b'{').member("r", data).close(b'}');
    }

    /// The letters behind the id of a call, which sign it.
    pub(super) fn call(&mut self, id: &str, tail: &str) {
        self.json.open(b'{').member("c", id).member("s", tail).close(b'}');
    }

    /// All of it, sealed; a block without a signature gets `mark`. `None` if there is nothing, or too much.
    pub(super) fn sealed(mut self, key: &IdKey, mark: &str) -> Option<String> {
        if self.has_text {
            self.sign(mark);
        }
        let json = self.json.into_bytes();
        if json.is_empty() {
            return None;
        }
        let text = String::from_utf8([b"[", &json[..], b"]"].concat()).ok()?;
        key.seal_text(Use::Reasoning, &text)
    }
}

#[derive(Deserialize)]
struct Block {
    t: Option<String>,
    s: Option<String>,
    r: Option<String>,
    c: Option<String>,
}

/// Reasoning that was opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// What was thought.
    pub(super) contents: Vec<Content<'static>>,
    /// Ids of calls, each with the letters that sign it.
    pub(super) calls: Vec<(String, String)>,
}

/// The reasoning in `sealed`; nothing if it does not open.
pub(super) fn open(key: &IdKey, sealed: &str) -> Opened {
    let text = key.open_text(Use::Reasoning, sealed);
    let blocks = text.and_then(|text| serde_json::from_str::<Vec<Block>>(&text).ok());
    let mut opened = Opened::default();
    for block in blocks.unwrap_or_default() {
        match block {
            Block { c: Some(id), s: Some(tail), .. } => opened.calls.push((id, tail)),
            Block { r: Some(data), .. } => opened.contents.push(Content::Redacted(data.into())),
            Block { t: Some(text), s, .. } => opened.contents.push(Content::Thinking {
                text: Cow::Owned(text),
                signature: Cow::Owned(s.unwrap_or_default()),
            }),
            Block { .. } => {}
        }
    }
    opened
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_thought_comes_back_with_its_signatures() {
        let key = IdKey::new(b"secret");
        let mut blocks = Blocks::default();
        blocks.think("let ");
        blocks.think("me \"see\"\n");
        blocks.sign("EqRk");
        blocks.redacted("gAAA");
        blocks.call("call_1", "Q2lR");
        blocks.think("more");
        let sealed = blocks.sealed(&key, "hale:qwen").unwrap();
        let opened = open(&key, &sealed);
        let thought = |text: &str, signature: &str| Content::Thinking {
            text: Cow::Owned(text.to_owned()),
            signature: Cow::Owned(signature.to_owned()),
        };
        let expected = [
            thought("let me \"see\"\n", "EqRk"),
            Content::Redacted("gAAA".into()),
            thought("more", "hale:qwen"),
        ];
        assert_eq!(opened.contents, expected);
        assert_eq!(opened.calls, [("call_1".to_owned(), "Q2lR".to_owned())]);
        assert!(Blocks::default().sealed(&key, "m").is_none());
        for foreign in ["", "gAAAAABo", &sealed[..30]] {
            assert!(open(&key, foreign).contents.is_empty(), "{foreign}");
        }
    }
}
