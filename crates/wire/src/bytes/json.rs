//! Writes JSON text without building a tree.
//!
//! Called by the writers of the formats. Always true: commas and colons are where they belong; raw text must be
//! JSON already and is not checked.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// `text` without the byte order mark that some servers write before it. RFC 8259, section 8.1, lets readers skip it.
#[must_use]
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// A string that is borrowed if it has no escapes. Unlike a bare `Cow` it also borrows inside an `Option`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Str<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A name or a word, which some servers write as a number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Word<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Word<'a>, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        if raw.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Ok(Word(Cow::Borrowed(raw)));
        }
        let text: Str<'de> = serde_json::from_str(raw).map_err(serde::de::Error::custom)?;
        Ok(Word(text.0))
    }
}

impl<'a> From<Word<'a>> for Cow<'a, str> {
    fn from(word: Word<'a>) -> Cow<'a, str> {
        word.0
    }
}

/// The text of the JSON string `raw`, which may hold half of a surrogate pair: some providers cut a character in
/// two and send its halves in two pieces. `half` is the half that the piece before ended with, and is set to the
/// one that this piece ends with. A half without its partner becomes U+FFFD. `None` if `raw` is not a string.
pub(crate) fn lossy<'a>(raw: &'a str, half: &mut Option<u16>) -> Option<Cow<'a, str>> {
    if half.is_none()
        && let Ok(Str(text)) = serde_json::from_str(raw)
    {
        return Some(text);
    }
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    let mut units: Vec<u16> = half.take().into_iter().collect();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
            continue;
        }
        units.push(match chars.next()? {
            'b' => 0x08,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'u' => {
                let tail = chars.as_str();
                chars = tail.get(4..)?.chars();
                u16::from_str_radix(&tail[..4], 16).ok()?
            }
            other => u16::try_from(u32::from(other)).ok()?,
        });
    }
    *half = units.pop_if(|last| (0xd800..0xdc00).contains(last));
    Some(Cow::Owned(String::from_utf16_lossy(&units)))
}

/// Bytes of the text of the JSON string `raw`, whose grammar has been checked; bytes of any other value as it is written.
pub(crate) fn text_length(raw: &str) -> usize {
    let inner = raw.strip_prefix('"').and_then(|tail| tail.strip_suffix('"'));
    inner.map_or(raw.len(), decoded_length)
}

/// Bytes of the text between the quotes of a JSON string.
pub(crate) fn decoded_length(inner: &str) -> usize {
    let (mut tail, mut length) = (inner.as_bytes(), 0);
    while let Some(at) = memchr::memchr(b'\\', tail) {
        let unit = tail.get(at + 1).filter(|kind| **kind == b'u').and_then(|_| {
            let digits = std::str::from_utf8(tail.get(at + 2..at + 6)?).ok()?;
            u16::from_str_radix(digits, 16).ok()
        });
        let (written, bytes) = match unit {
            None => (2, 1),
            Some(0..0x80) => (6, 1),
            // Half of a character of four bytes, or a character of two.
            Some(0x80..0x800 | 0xd800..0xe000) => (6, 2),
            Some(_) => (6, 3),
        };
        length += at + bytes;
        tail = tail.get(at + written..).unwrap_or_default();
    }
    length + tail.len()
}

impl<'a> From<Str<'a>> for Cow<'a, str> {
    fn from(text: Str<'a>) -> Cow<'a, str> {
        text.0
    }
}

/// JSON text that is being written.
#[derive(Debug, Default)]
pub(crate) struct JsonText {
    out: Vec<u8>,
    /// How long it may become where what is written is longer than what was read.
    most: Option<usize>,
}

impl JsonText {
    /// An empty text.
    pub(crate) fn new() -> JsonText {
        JsonText::with_room(0)
    }

    /// An empty text with room for some more than `bytes`.
    pub(crate) fn with_room(bytes: usize) -> JsonText {
        JsonText { out: Vec::with_capacity(bytes + 512), most: None }
    }

    /// The same for what is written anew of a request of so many bytes: it grows by at most a quarter and `more`.
    pub(crate) fn of_request(bytes: usize, more: usize) -> JsonText {
        JsonText {
            most: Some(bytes + bytes / 4 + more + 512),
            ..JsonText::with_room(bytes + bytes / 4)
        }
    }

    /// How long it may become, if that is bounded.
    pub(crate) fn most(&self) -> Option<usize> {
        self.most
    }

    /// Makes room for `more` bytes, once for all that may come: a text that grows by itself takes twice the room.
    pub(crate) fn make_room(&mut self, more: usize) {
        let left = self.out.capacity() - self.out.len();
        if let Some(most) = self.most
            && left < more
        {
            self.out.reserve_exact(most.saturating_sub(self.out.len()));
        }
    }

    /// The text.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// The text so far.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Its length, to come back to.
    pub(crate) fn mark(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written behind `mark`.
    pub(crate) fn undo(&mut self, mark: usize) {
        self.out.truncate(mark);
    }

    /// Whether the object or list that was opened last has nothing in it.
    pub(crate) fn is_at_start(&self) -> bool {
        matches!(self.out.last(), Some(b'{' | b'['))
    }

    /// Opens an object or a list.
    pub(crate) fn open(&mut self, bracket: u8) -> &mut JsonText {
        self.separate();
        self.out.push(bracket);
        self
    }

    /// Closes it.
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

    /// The name of the next member, which is JSON text with its quotes.
    pub(crate) fn raw_key(&mut self, key: &str) -> &mut JsonText {
        self.raw(key);
        self.out.push(b':');
        self
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str) -> &mut JsonText {
        self.separate();
        // Writing to memory cannot fail, and any string is valid.
        let written = serde_json::to_writer(&mut self.out, text);
        debug_assert!(written.is_ok());
        self
    }

    /// A string that consists of `pieces`.
    pub(crate) fn joined<'t>(
        &mut self,
        pieces: impl IntoIterator<Item = &'t str>,
    ) -> &mut JsonText {
        self.continued("", pieces)
    }

    /// A string that begins as `inner`, which is JSON text without its quotes, and goes on with `pieces`.
    pub(crate) fn continued<'t>(
        &mut self,
        inner: &str,
        pieces: impl IntoIterator<Item = &'t str>,
    ) -> &mut JsonText {
        self.separate();
        self.out.push(b'"');
        self.out.extend_from_slice(inner.as_bytes());
        for piece in pieces {
            let start = self.out.len();
            let written = serde_json::to_writer(&mut self.out, piece);
            debug_assert!(written.is_ok());
            // Without its quotes.
            self.out.remove(start);
            self.out.pop();
        }
        self.out.push(b'"');
        self
    }

    /// A value that is already JSON text.
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

    /// A member that is already JSON text.
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
    fn commas_and_colons_are_where_they_belong() {
        let mut json = JsonText::new();
        json.open(b'{').member("a", "x\"\n{").raw_member("b", "[1,{}]").key("c").open(b'[');
        json.count(1).text("[").open(b'{').close(b'}').close(b']').count_member("d", 7).close(b'}');
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert_eq!(text, r#"{"a":"x\"\n{","b":[1,{}],"c":[1,"[",{}],"d":7}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        let mut json = JsonText::new();
        json.open(b'[').joined(["a\"", "", "\n"]).joined([]).close(b']');
        assert_eq!(json.as_bytes(), br#"["a\"\n",""]"#);
    }

    #[test]
    fn a_character_cut_in_two_pieces_is_joined() {
        let mut half = None;
        assert_eq!(lossy(r#""plain\u00e9""#, &mut half).unwrap(), "plain\u{e9}");
        assert_eq!(lossy(r#""\"a\n\ud83d""#, &mut half).unwrap(), "\"a\n");
        assert_eq!(half, Some(0xd83d));
        assert_eq!(lossy("\"\"", &mut half).unwrap(), "");
        assert_eq!(lossy(r#""\ude00b""#, &mut half).unwrap(), "\u{1f600}b");
        assert_eq!(half, None);
        assert_eq!(lossy(r#""x\ude00y""#, &mut half).unwrap(), "x\u{fffd}y");
        assert_eq!(lossy("[1]", &mut half), None);
    }

    #[test]
    fn objects_are_recognised() {
        assert!(
            is_object(" {\"a\":1}") && !is_object("{") && !is_object("[]") && !is_object("{} x")
        );
    }

    #[test]
    fn the_length_of_a_text_is_that_of_its_characters() {
        for text in ["", "plain", "a\"b\\c\n\t/", "\u{1}", "é", "漢", "😀", "x😀\\u00e9"] {
            let raw = serde_json::to_string(text).unwrap();
            assert_eq!(text_length(&raw), text.len(), "{raw}");
            let escaped: String =
                text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            assert_eq!(text_length(&format!("\"{escaped}\"")), text.len(), "{escaped}");
        }
        assert_eq!(text_length("12.5"), 4);
    }
}
