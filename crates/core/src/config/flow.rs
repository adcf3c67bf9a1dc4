//! Lists in `[]` and mappings in `{}` whose further lines begin no further right than their key.
//!
//! Asked by [`super::tree`] about a file that its parser refuses: PyYAML ignores the indentation of such lines, and the parser
//! demands it. Always true: only spaces are added, at the beginnings of lines within brackets, where they mean nothing.

use std::collections::HashMap;

/// A text whose lines within brackets are indented.
pub(super) struct Reindented {
    /// The text.
    pub(super) text: String,
    /// By how many spaces a line is longer, by its number from 1.
    pub(super) shifts: HashMap<usize, usize>,
}

/// `text` with such lines indented; `None` if it has none.
pub(super) fn reindent(text: &str) -> Option<Reindented> {
    let mut scan = Scan::default();
    let mut made = Reindented { text: String::with_capacity(text.len()), shifts: HashMap::new() };
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let is_empty = line.trim().is_empty();
        if scan.depth > 0 && !is_empty && indent <= scan.opener {
            let shift = scan.opener + 1 - indent;
            made.text.extend(std::iter::repeat_n(' ', shift));
            made.shifts.insert(number + 1, shift);
        }
        made.text.push_str(line);
        if !is_empty {
            scan.line(line, indent);
        }
    }
    (!made.shifts.is_empty()).then_some(made)
}

/// What is open at the end of a line.
#[derive(Default)]
struct Scan {
    /// How many brackets are open.
    depth: usize,
    /// The column of the first of them.
    opener: usize,
    /// The quote that is open.
    quote: Option<char>,
    /// The indentation of the line whose value is a block of text.
    block: Option<usize>,
}

impl Scan {
    fn line(&mut self, line: &str, indent: usize) {
        if self.block.is_some_and(|parent| indent > parent) {
            return;
        }
        self.block = None;
        let mut may_begin = true;
        let mut before = ' ';
        let mut chars = line.chars().enumerate().peekable();
        while let Some((column, c)) = chars.next() {
            let next = chars.peek().map_or('\n', |(_, c)| *c);
            if let Some(quote) = self.quote {
                let is_escaped =
                    (quote == '"' && c == '\\') || (quote == '\'' && c == '\'' && next == '\'');
                if is_escaped {
                    chars.next();
                } else if c == quote {
                    self.quote = None;
                    may_begin = false;
                }
            } else if c == '#' && before.is_whitespace() {
                return;
            } else if self.depth > 0 {
                self.within_brackets(c, before);
            } else if may_begin {
                may_begin = match c {
                    ' ' => true,
                    '-' | '?' => next.is_whitespace(),
                    '&' | '*' | '!' => {
                        while chars.next_if(|(_, c)| !c.is_whitespace()).is_some() {}
                        true
                    }
                    '"' | '\'' => {
                        self.quote = Some(c);
                        false
                    }
                    '[' | '{' => {
                        (self.depth, self.opener) = (1, column);
                        false
                    }
                    '|' | '>' => {
                        self.block = Some(indent);
                        return;
                    }
                    _ => false,
                };
            } else {
                may_begin = c == ':' && next.is_whitespace();
            }
            before = c;
        }
    }

    fn within_brackets(&mut self, c: char, before: char) {
        match c {
            '[' | '{' => self.depth += 1,
            ']' | '}' => self.depth -= 1,
            // Within a word it is an apostrophe.
            '"' | '\'' if before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':') => {
                self.quote = Some(c);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(text: &str) -> String {
        reindent(text).map(|made| made.text).unwrap_or_default()
    }

    #[test]
    fn lines_within_brackets_are_indented_and_others_are_not() {
        assert_eq!(made("a: {\n}\nb: 1\n"), "a: {\n    }\nb: 1\n");
        assert_eq!(made("- a: [\n  b,\n  c ]\n"), "- a: [\n      b,\n      c ]\n");
        assert_eq!(
            made("a: &x [\n'b]',\n\"c\\\"]\"\n]\nd: e\n"),
            "a: &x [\n       'b]',\n       \"c\\\"]\"\n       ]\nd: e\n"
        );
        assert_eq!(made("a: [ # not ]\nb]\n"), "a: [ # not ]\n    b]\n");
        for plain in [
            "a: |\n  [\n  b\nc: 1\n",
            "a: it's [\nb: 1\n",
            "a: 'x [\n  y'\nb: 1\n",
            "a: b [c\nd: 1\n",
            "# [\na: 1\n",
            "a: [1, 2]\nb: {c: d}\n",
            "- [a]\n- [b]\n",
            "a: [\n    b\n    ]\n",
        ] {
            assert!(reindent(plain).is_none(), "{plain}");
        }
        assert_eq!(reindent("a: [\n]\n").unwrap().shifts, HashMap::from([(2, 4)]));
        assert_eq!(made("a: [it's, {b: c\n}, d]\ne: f\n"), "a: [it's, {b: c\n    }, d]\ne: f\n");
    }
}
