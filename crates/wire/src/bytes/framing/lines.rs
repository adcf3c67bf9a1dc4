//! One line for each event (NDJSON): cuts a byte stream where lines end.
//!
//! Called by the framing. Always true: the same lines come out in whichever pieces the bytes arrive, no byte is changed, and
//! only the incomplete line is buffered.

use bytes::{Bytes, BytesMut};

use super::frame::Data;
use crate::bytes::json::without_mark;

/// Cuts a byte stream at line ends.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    tail: BytesMut,
}

impl Splitter {
    /// Takes the next bytes; returns whole lines only, possibly none.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        // What is buffered has no line end.
        let end = memchr::memrchr(b'\n', &chunk).map_or(0, |at| at + 1);
        if self.tail.is_empty() {
            self.tail.extend_from_slice(&chunk[end..]);
            return chunk.slice(..end);
        }
        let known = self.tail.len();
        self.tail.extend_from_slice(&chunk);
        match end {
            0 => Bytes::new(),
            end => self.tail.split_to(known + end).freeze(),
        }
    }

    /// The number of buffered bytes.
    pub(crate) fn waiting(&self) -> usize {
        self.tail.len()
    }

    /// At the end of the stream: the line whose end is missing, with one; empty if only white space is left.
    pub(crate) fn close(&mut self) -> Vec<u8> {
        let remainder = self.tail.split();
        match remainder.trim_ascii().is_empty() {
            true => Vec::new(),
            false => [&remainder[..], b"\n"].concat(),
        }
    }
}

/// The end of the line that starts at `start` in a block of whole lines.
pub(crate) fn line_end(block: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &block[start..]).map_or(block.len(), |at| start + at + 1)
}

/// The payload of a line. An empty one has none.
pub(crate) fn data(line: &[u8]) -> Data {
    let end = line.trim_ascii_end().len();
    let start = line.len() - without_mark(line).trim_ascii_start().len();
    if start < end { Data::Line(start..end) } else { Data::None }
}

/// Whether a body begins as lines of objects do; `None` if more bytes are needed to tell. One object in one piece is a
/// line, too.
pub(crate) fn begins(start: &[u8]) -> Option<bool> {
    /// Empty lines before the first object.
    const BLANK_MAX: usize = 1024;
    match without_mark(start).trim_ascii_start().first() {
        Some(first) => Some(*first == b'{'),
        None if start.len() <= BLANK_MAX => None,
        None => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::default();
        let mut blocks: Vec<Vec<u8>> = pieces
            .iter()
            .map(|piece| splitter.push(Bytes::copy_from_slice(piece)).into())
            .collect();
        blocks.push(splitter.close());
        assert_eq!(splitter.waiting(), 0);
        let all = blocks.concat();
        let (mut found, mut start) = (Vec::new(), 0);
        while start < all.len() {
            let end = line_end(&all, start);
            if let Data::Line(place) = data(&all[start..end]) {
                found.push(all[start..end][place].to_vec());
            }
            start = end;
        }
        found
    }

    #[test]
    fn the_same_lines_come_out_wherever_the_bytes_are_cut() {
        let text = b"\xef\xbb\xbf{\"a\":1}\r\n\n  \n {\"b\":\"\\n\"}\n{\"c\":3}";
        let whole: [&[u8]; 3] = [b"{\"a\":1}", b"{\"b\":\"\\n\"}", b"{\"c\":3}"];
        assert_eq!(lines(&[text]), whole);
        for cut in 0..text.len() {
            assert_eq!(lines(&[&text[..cut], &text[cut..]]), whole, "{cut}");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines(&bytes), whole);
        assert_eq!(lines(&[b" \n\n", b"\t"]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_body_of_lines_begins_with_an_object() {
        for (start, expected) in [
            (&b"{\"a\""[..], Some(true)),
            (b"\r\n {", Some(true)),
            (b"\xef\xbb\xbf{", Some(true)),
            (b"", None),
            (b" \n", None),
            (b"<html>", Some(false)),
            (b"data: {}", Some(false)),
            (b"[1]", Some(false)),
            (&[b' '; 2000], Some(false)),
        ] {
            assert_eq!(begins(start), expected, "{start:?}");
        }
    }
}
