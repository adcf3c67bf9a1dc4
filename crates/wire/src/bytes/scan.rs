//! A strict JSON scanner: checks that a text is one JSON object and finds its top-level members.
//!
//! Called for every body and every event. Always true: it accepts exactly what RFC 8259 accepts, up to
//! [`MAX_DEPTH`] levels; it allocates nothing and does not recurse. It exists because the general parser takes
//! twice as long on texts as short as events (`docs/performance.md`).

use std::ops::Range;

use super::plain;

/// Deepest nesting that is accepted.
pub const MAX_DEPTH: usize = 256;

/// Why a text is not one JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanError {
    /// The text violates the grammar at this byte; what was expected there.
    Syntax(usize, &'static str),
    /// Nested deeper than [`MAX_DEPTH`] levels.
    Depth,
}

type Scan<T> = Result<T, ScanError>;

/// Calls `member` with the ranges of the key (quotes included) and the value of each top-level member.
///
/// `text` must be UTF-8.
///
/// # Errors
/// If `text` is not one JSON object.
pub fn members(text: &[u8], mut member: impl FnMut(Range<usize>, Range<usize>)) -> Scan<()> {
    let mut scanner = Scanner { text, at: 0, depth: 0, objects: [0; MAX_DEPTH / 64] };
    scanner.skip_space();
    scanner.expect(b'{', "an object")?;
    scanner.skip_space();
    if scanner.peek() == Some(b'}') {
        scanner.at += 1;
        return scanner.end();
    }
    loop {
        let key = scanner.key()?;
        scanner.colon()?;
        let start = scanner.at;
        scanner.value()?;
        member(key, start..scanner.at);
        if scanner.next_member()? {
            return scanner.end();
        }
    }
}

/// Continues in a text whose bytes before `value` are known to be the start of an object, up to the value of the
/// member with that `key`. The result is the same as that of [`members`].
///
/// # Errors
/// If the text is not one JSON object.
pub fn members_from(
    text: &[u8],
    key: Range<usize>,
    value: usize,
    mut member: impl FnMut(Range<usize>, Range<usize>),
) -> Scan<()> {
    let mut scanner = Scanner { text, at: value, depth: 0, objects: [0; MAX_DEPTH / 64] };
    // White space may come before the value, as after any colon.
    scanner.skip_space();
    let start = scanner.at;
    scanner.value()?;
    member(key, start..scanner.at);
    while !scanner.next_member()? {
        let key = scanner.key()?;
        scanner.colon()?;
        let start = scanner.at;
        scanner.value()?;
        member(key, start..scanner.at);
    }
    scanner.end()
}

/// The end of the value that starts at `from` in `text`.
///
/// # Errors
/// If there is no value.
pub(crate) fn value_end(text: &[u8], from: usize) -> Scan<usize> {
    let mut scanner = Scanner { text, at: from, depth: 0, objects: [0; MAX_DEPTH / 64] };
    scanner.value()?;
    Ok(scanner.at)
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    /// One bit for each open level: set for an object, clear for an array.
    objects: [u64; MAX_DEPTH / 64],
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fail<T>(&self, expected: &'static str) -> Scan<T> {
        Err(ScanError::Syntax(self.at, expected))
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Scan<()> {
        if self.peek() != Some(byte) {
            return self.fail(expected);
        }
        self.at += 1;
        Ok(())
    }

    fn key(&mut self) -> Scan<Range<usize>> {
        let start = self.at;
        self.string("a key in double quotes")?;
        Ok(start..self.at)
    }

    /// After a top-level member: true if it was the last one.
    fn next_member(&mut self) -> Scan<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(false)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(true)
            }
            _ => self.fail("`,` or `}`"),
        }
    }

    fn end(&mut self) -> Scan<()> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { self.fail("the end of the text") }
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn colon(&mut self) -> Scan<()> {
        // Most texts have no white space here.
        if self.peek() != Some(b':') {
            self.skip_space();
        }
        self.expect(b':', "`:`")?;
        self.skip_space();
        Ok(())
    }

    fn push(&mut self, is_object: bool) -> Scan<()> {
        // The top-level object is a level too, but not on this stack.
        if self.depth + 1 >= MAX_DEPTH {
            return Err(ScanError::Depth);
        }
        let (word, bit) = (self.depth / 64, 1u64 << (self.depth % 64));
        if is_object {
            self.objects[word] |= bit;
        } else {
            self.objects[word] &= !bit;
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn in_object(&self) -> bool {
        let level = self.depth - 1;
        self.objects[level / 64] & (1u64 << (level % 64)) != 0
    }

    /// One value of any kind at the current position.
    fn value(&mut self) -> Scan<()> {
        loop {
            let opened = self.value_or_opening()?;
            if opened {
                continue;
            }
            if self.close_levels()? {
                return Ok(());
            }
        }
    }

    /// A scalar or an empty container: false. The start of a container, up to its first value: true.
    fn value_or_opening(&mut self) -> Scan<bool> {
        match self.peek() {
            Some(b'"') => self.string("a string").map(|()| false),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| false),
            Some(b't') => self.literal(b"true").map(|()| false),
            Some(b'f') => self.literal(b"false").map(|()| false),
            Some(b'n') => self.literal(b"null").map(|()| false),
            Some(b'{') => {
                self.push(true)?;
                self.skip_space();
                if self.peek() == Some(b'}') {
                    return Ok(false);
                }
                self.string("a key in double quotes")?;
                self.colon()?;
                Ok(true)
            }
            Some(b'[') => {
                self.push(false)?;
                self.skip_space();
                Ok(self.peek() != Some(b']'))
            }
            _ => self.fail("a value"),
        }
    }

    /// After a value: closes the levels that end here. True if the outermost level is closed, false if another value
    /// follows.
    fn close_levels(&mut self) -> Scan<bool> {
        while self.depth > 0 {
            self.skip_space();
            let object = self.in_object();
            match (self.peek(), object) {
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    self.depth -= 1;
                }
                (Some(b','), true) => {
                    self.at += 1;
                    self.skip_space();
                    self.string("a key in double quotes")?;
                    self.colon()?;
                    return Ok(false);
                }
                (Some(b','), false) => {
                    self.at += 1;
                    self.skip_space();
                    return Ok(false);
                }
                (_, true) => return self.fail("`,` or `}`"),
                (_, false) => return self.fail("`,` or `]`"),
            }
        }
        Ok(true)
    }

    #[inline]
    fn string(&mut self, expected: &'static str) -> Scan<()> {
        self.expect(b'"', expected)?;
        self.at = plain_end(self.text, self.at);
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(());
        }
        self.string_with_escapes()
    }

    /// The part of a string from its first special byte on, unless that ends it.
    fn string_with_escapes(&mut self) -> Scan<()> {
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fail("an escaped control character"),
                None => return self.fail("the end of a string"),
            }
            self.at = plain_end(self.text, self.at);
        }
    }

    fn escape(&mut self) -> Scan<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.text.get(self.at + 1..self.at + 5);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    self.at += 5;
                    Ok(())
                } else {
                    self.fail("four hexadecimal digits")
                }
            }
            _ => self.fail("an escape sequence"),
        }
    }

    fn literal(&mut self, word: &'static [u8]) -> Scan<()> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            self.fail("a value")
        }
    }

    fn number(&mut self) -> Scan<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.fail("a digit") } else { Ok(()) }
    }
}

/// Where the plain part of a string ends that goes on at `at`: at a quote, a backslash, a control character, or the
/// end of the text.
#[inline]
fn plain_end(text: &[u8], at: usize) -> usize {
    at + text.get(at..).map_or(0, plain::length)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &str) -> bool {
        members(text.as_bytes(), |_, _| {}).is_ok()
    }

    fn is_object(text: &str) -> bool {
        // Values are not built, because a number that is too large for the parser is still JSON.
        serde_json::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(text).is_ok()
    }

    #[test]
    fn corner_cases_of_the_grammar_are_accepted_or_refused() {
        for text in [
            "{}",
            " { } ",
            "{\"a\":[]}",
            "{\"a\":{}}",
            "{\"a\":[[],{}]}",
            "{\"a\":-0.5e+10}",
            "{\"a\":\"\\u00e4\\n\"}",
            "{\"a\":true,\"b\":false,\"c\":null}",
            "{\"\":0}",
        ] {
            assert!(accepts(text), "{text}");
        }
        for text in [
            "",
            "{",
            "}",
            "[]",
            "null",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":[1,]}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":1e}",
            "{\"a\":+1}",
            "{\"a\":tru}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u12g4\"}",
            "{\"a\":\"",
            "{a:1}",
            "{\"a\":1}{",
            "{\"a\":[}]}",
            "{\"a\":{]}}",
            "{\"a\":NaN}",
            "{'a':1}",
            "{\"a\" 1}",
        ] {
            assert!(!accepts(text), "{text}");
        }
    }

    #[test]
    fn errors_name_the_position() {
        let error = members(b"{\"a\":tru}", |_, _| {});
        assert_eq!(error, Err(ScanError::Syntax(5, "a value")));
        let error = members(b"{\"a\":1} x", |_, _| {});
        assert_eq!(error, Err(ScanError::Syntax(8, "the end of the text")));
    }

    #[test]
    fn depth_is_bounded() {
        let nested =
            |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(accepts(&nested(MAX_DEPTH - 1)));
        let deep = members(nested(MAX_DEPTH).as_bytes(), |_, _| {});
        assert_eq!(deep, Err(ScanError::Depth));
        let objects = format!("{{\"a\":{}", "{\"a\":".repeat(100_000));
        assert_eq!(members(objects.as_bytes(), |_, _| {}), Err(ScanError::Depth));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            any::<i32>().prop_map(|n| n.to_string()),
            any::<f32>().prop_map(|n| serde_json::json!(n).to_string()),
            "[ -~ä\\n\\t]{0,40}".prop_map(|text| serde_json::json!(text).to_string()),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5)
                    .prop_map(|items| format!("[ {} ]", items.join(" ,"))),
                proptest::collection::vec(("[a-z\"\\\\]{0,20}", inner), 0..5).prop_map(|items| {
                    let items: Vec<String> = items
                        .iter()
                        .map(|(k, v)| format!("{}:{v}", serde_json::json!(k)))
                        .collect();
                    format!("{{{}}}", items.join(",\n"))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_general_parser_on_json(value in json(), cut in 0usize..200, byte in 0u8..128) {
            let text = format!("{{\"k\":{value}}}");
            prop_assert!(accepts(&text), "{}", text);
            // One byte changed or the text cut: still both must agree.
            let at = cut % text.len();
            if text.is_char_boundary(at) {
                let (start, end) = text.split_at(at);
                prop_assert_eq!(accepts(start), is_object(start), "{}", start);
                let mut changed = start.to_owned();
                changed.push(char::from(byte));
                changed.extend(end.chars().skip(1));
                prop_assert_eq!(accepts(&changed), is_object(&changed), "{}", changed);
            }
        }

        #[test]
        fn agrees_with_the_general_parser_on_noise(text in "[{}\\[\\]:,\"\\\\a0-9.eE+ tnul-]{0,24}") {
            let text = format!("{{{text}}}");
            prop_assert_eq!(accepts(&text), is_object(&text), "{}", text);
        }
    }
}
