//! Members and elements of JSON text, one after the other, by their places.
//!
//! Called by the files beside this one. Always true: nothing is read twice, unless the caller goes back.

use crate::bytes::elements::after_space;
use crate::bytes::scan;

/// A place in JSON text.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'s> {
    text: &'s str,
    at: usize,
}

impl<'s> Cursor<'s> {
    /// The start of `text`.
    pub(super) fn new(text: &'s str) -> Cursor<'s> {
        Cursor { text, at: after_space(text.as_bytes(), 0) }
    }

    /// The byte at the place.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes behind the bracket that opens an object or a list, or behind the comma between two of its parts. False at
    /// its end, behind which it then is.
    pub(super) fn next(&mut self) -> bool {
        self.skip_space();
        let byte = self.peek();
        if matches!(byte, Some(b'{' | b'[' | b',')) {
            self.step();
        }
        match (byte, self.peek()) {
            // A bracket or a comma has nothing behind it only in an empty list.
            (_, None) => false,
            (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'}' | b']'), _) => {
                self.step();
                false
            }
            _ => true,
        }
    }

    /// Takes the key of a member, with its quotes, and goes to its value.
    pub(super) fn key(&mut self) -> &'s str {
        let key = self.value();
        self.skip_space();
        // The colon.
        self.step();
        key
    }

    /// Takes a value.
    pub(super) fn value(&mut self) -> &'s str {
        let end = scan::value_end(self.text.as_bytes(), self.at).unwrap_or(self.text.len());
        let from = std::mem::replace(&mut self.at, end);
        self.text.get(from..end).unwrap_or_default()
    }

    fn step(&mut self) {
        self.at = (self.at + 1).min(self.text.len());
        self.skip_space();
    }

    fn skip_space(&mut self) {
        self.at = after_space(self.text.as_bytes(), self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_come_in_order() {
        let mut cursor =
            Cursor::new(r#" { "a" : [ 1 , "]" ] , "b":{},"c":[] , "d" : { "e" : 2 } } "#);
        let mut seen = Vec::new();
        while cursor.next() {
            let key = cursor.key();
            if key == "\"a\"" {
                while cursor.next() {
                    seen.push(cursor.value());
                }
            } else if key == "\"d\"" {
                while cursor.next() {
                    seen.push(cursor.key());
                    seen.push(cursor.value());
                }
            } else {
                seen.push(key);
                assert!(!cursor.next());
            }
        }
        assert_eq!(seen, ["1", "\"]\"", "\"b\"", "\"c\"", "\"e\"", "2"]);
        assert_eq!(cursor.peek(), None);
    }

    #[test]
    fn a_text_that_breaks_off_ends() {
        for text in ["", "{", "[", "{\"a\"", "{\"a\":", "[1,", "\"", "1"] {
            let mut cursor = Cursor::new(text);
            let mut steps = 0;
            while cursor.next() && steps < 9 {
                cursor.key();
                cursor.value();
                steps += 1;
            }
        }
    }
}
