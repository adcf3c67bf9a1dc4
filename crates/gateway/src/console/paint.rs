//! Colours, widths and lines of a terminal.
//!
//! Used by the commands that print tables and problems. Always true: without a terminal, and with `NO_COLOR`, text is unchanged; widths are
//! counted in characters.

use std::os::fd::AsFd;

use crate::logging;

/// Rows of a terminal that does not say how many it has.
const ROWS: usize = 24;
/// Columns without a terminal.
const COLUMNS: usize = 100;
/// The fewest and the most columns that are used, whatever the terminal has.
const NARROWEST: usize = 60;
const WIDEST: usize = 140;

/// Colours text.
pub(crate) struct Paint {
    is_on: bool,
}

impl Paint {
    /// Colours, whatever the environment says.
    #[cfg(test)]
    pub(crate) const COLOURED: Paint = Paint { is_on: true };

    /// Colours for a terminal.
    pub(crate) fn on(is_terminal: bool) -> Paint {
        Paint { is_on: logging::has_colours(is_terminal) }
    }

    pub(crate) fn green(&self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn red(&self, text: &str) -> String {
        self.with("31", text)
    }

    pub(crate) fn yellow(&self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn faint(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The columns and rows that a terminal really has, or usual ones if it does not say.
pub(crate) fn size(out: impl AsFd) -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(out).ok();
    let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((COLUMNS, ROWS))
}

/// The number of columns: the terminal's, else `COLUMNS`.
pub(crate) fn columns(out: impl AsFd) -> usize {
    let size = rustix::termios::tcgetwinsize(out).ok().map(|size| usize::from(size.ws_col));
    let variable = || std::env::var("COLUMNS").ok()?.parse().ok();
    size.filter(|columns| *columns > 0)
        .or_else(variable)
        .unwrap_or(COLUMNS)
        .clamp(NARROWEST, WIDEST)
}

/// `text` in exactly so many columns: padded, or with its middle left out.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let count = text.chars().count();
    if count <= columns {
        return format!("{text:columns$}");
    }
    let kept = columns.saturating_sub(1);
    let (head, tail) = (kept - kept / 2, kept / 2);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// `text` in lines of at most so many columns, broken between words; each starts with `indent`.
pub(crate) fn wrapped(text: &str, columns: usize, indent: &str) -> String {
    let room = columns.saturating_sub(indent.chars().count()).max(20);
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length <= room {
            lines.push(' ');
            used += 1 + length;
        } else {
            lines.push_str(if used > 0 { "\n" } else { "" });
            lines.push_str(indent);
            used = length;
        }
        lines.push_str(word);
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_their_columns() {
        assert_eq!(fitted("abc", 5), "abc  ");
        assert_eq!(fitted("abcdefgh", 5), "ab…gh");
        assert_eq!(fitted("äöüäöü", 4), "äö…ü");
        let text = "one two three four five six seven";
        assert_eq!(wrapped(text, 22, "  "), "  one two three four\n  five six seven\n");
        assert_eq!(wrapped(&"x".repeat(30), 10, ""), format!("{}\n", "x".repeat(30)));
    }

    #[test]
    fn without_a_terminal_nothing_is_coloured() {
        assert_eq!(Paint { is_on: false }.red("x"), "x");
        assert_eq!(Paint { is_on: true }.red("x"), "\x1b[31mx\x1b[0m");
    }
}
