//! JSON text in the making, without a tree.
//!
//! Called by the writers of the wires. Always true: commas and colons stand where they must; what is
//! put in as raw text must be JSON already, and is not looked at again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A string that is borrowed where it has no escapes, also where it is optional.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Str<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl<'a> From<Str<'a>> for Cow<'a, str> {
    fn from(text: Str<'a>) -> Cow<'a, str> {
        text.0
    }
}

/// JSON text in the making.
#[derive(Debug, Default)]
pub(crate) struct JsonText {
    out: Vec<u8>,
}

impl JsonText {
    /// An empty text.
    pub(crate) fn new() -> JsonText {
        JsonText { out: Vec::with_capacity(512) }
    }

    /// The text.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The text so far.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Begins an object or a list.
    pub(crate) fn open(&mut self, bracket: u8) -> &mut JsonText {
        self.separate();
        self.out.push(bracket);
        self
    }

    /// Ends it.
    pub(crate) fn close(&mut self, bracket: u8) -> &mut JsonText {
        self.out.push(bracket);
        self
    }

    /// The name of the next member.
    pub(crate) fn key(&mut self, name: &str) -> &mut JsonText {
        self.text(name);
        self.out.push(b':');
        self
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) -> &mut JsonText {
        self.separate();
        // Writing to memory does not fail, and any string can be written.
        let written = serde_json::to_writer(&mut self.out, text);
        debug_assert!(written.is_ok());
        self
    }

    /// A value that is JSON text already.
    pub(crate) fn raw(&mut self, json: &str) -> &mut JsonText {
        self.separate();
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    /// A count.
    pub(crate) fn count(&mut self, count: u64) -> &mut JsonText {
        self.raw(itoa::Buffer::new().format(count))
    }

    /// A member that is a string.
    pub(crate) fn member(&mut self, name: &str, text: &str) -> &mut JsonText {
        self.key(name).text(text)
    }

    /// A member that is JSON text already.
    pub(crate) fn raw_member(&mut self, name: &str, json: &str) -> &mut JsonText {
        self.key(name).raw(json)
    }

    /// A member that is a count.
    pub(crate) fn count_member(&mut self, name: &str, count: u64) -> &mut JsonText {
        self.key(name).count(count)
    }

    fn separate(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }
}

/// Whether `text` is one JSON object.
pub(crate) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_and_colons_stand_where_they_must() {
        let mut json = JsonText::new();
        json.open(b'{').member("a", "x\"\n{").raw_member("b", "[1,{}]").key("c").open(b'[');
        json.count(1).text("[").open(b'{').close(b'}').close(b']').count_member("d", 7).close(b'}');
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert_eq!(text, r#"{"a":"x\"\n{","b":[1,{}],"c":[1,"[",{}],"d":7}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn an_object_is_told_from_the_rest() {
        assert!(
            is_object(" {\"a\":1}") && !is_object("{") && !is_object("[]") && !is_object("{} x")
        );
    }
}
