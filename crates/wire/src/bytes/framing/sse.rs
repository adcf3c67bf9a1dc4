//! Server-sent events: cuts a byte stream into blocks of whole events.
//!
//! Called by the framing. Always true: the same events come out in whichever pieces the bytes arrive, no byte is
//! changed, and only the incomplete event is buffered.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::bytes::json::without_mark;

pub use super::frame::Data;

/// Cuts a byte stream where events end.
#[derive(Debug, Default)]
pub struct Splitter {
    tail: BytesMut,
}

impl Splitter {
    /// Takes the next bytes; returns whole events only, possibly none.
    pub fn push(&mut self, chunk: Bytes) -> Bytes {
        if self.tail.is_empty() {
            let end = last_boundary(&chunk);
            self.tail.extend_from_slice(&chunk[end..]);
            return chunk.slice(..end);
        }
        let known = self.tail.len();
        self.tail.extend_from_slice(&chunk);
        // A boundary can only be in the new bytes or across the seam.
        let from = known.saturating_sub(3);
        let end = match last_boundary(&self.tail[from..]) {
            0 => 0,
            end => from + end,
        };
        self.tail.split_to(end).freeze()
    }

    /// At the end of the stream: the bytes of an event whose end is missing.
    #[must_use]
    pub fn finish(&mut self) -> Bytes {
        self.tail.split().freeze()
    }

    /// The same, closed to a whole event; empty if only white space is left.
    pub(super) fn close(&mut self) -> Vec<u8> {
        let remainder = self.finish();
        if remainder.trim_ascii().is_empty() {
            Vec::new()
        } else {
            [&remainder[..], b"\n\n"].concat()
        }
    }

    /// The number of buffered bytes.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.tail.len()
    }
}

/// Whether a body begins as events do; `None` if more bytes are needed to tell. JSON, texts and pages do not begin so.
#[must_use]
pub fn begins_as_events(start: &[u8]) -> Option<bool> {
    const FIELDS: [&[u8]; 5] = [b"data:", b"event:", b"id:", b"retry:", b":"];
    /// Empty lines before the first field.
    const BLANK_MAX: usize = 1024;
    let text = without_mark(start).trim_ascii_start();
    if FIELDS.iter().any(|field| text.starts_with(field)) {
        return Some(true);
    }
    let may_become = start.len() <= BLANK_MAX && FIELDS.iter().any(|field| field.starts_with(text));
    if may_become { None } else { Some(false) }
}

/// The end of the last empty line in `text`; 0 if there is none.
fn last_boundary(text: &[u8]) -> usize {
    let mut end = text.len();
    while let Some(at) = memchr::memrchr2(b'\n', b'\r', &text[..end]) {
        // A carriage return at the very end may be the first half of CRLF.
        if text[at] == b'\r' && at + 1 == text.len() {
            end = at;
            continue;
        }
        let start = if text[at] == b'\n' && at > 0 && text[at - 1] == b'\r' { at - 1 } else { at };
        if start > 0 && matches!(text[start - 1], b'\n' | b'\r') {
            return at + 1;
        }
        end = start;
    }
    0
}

/// The ranges of the events in a block of whole events, each with the empty line that ends it.
pub fn events(block: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut from = 0;
    std::iter::from_fn(move || {
        if from >= block.len() {
            return None;
        }
        let start = from;
        from = event_end(block, start);
        Some(start..from)
    })
}

/// The end of the event that starts at `start` in a block of whole events.
pub(crate) fn event_end(block: &[u8], start: usize) -> usize {
    let mut line_start = start;
    while let Some(offset) = memchr::memchr2(b'\n', b'\r', &block[line_start..]) {
        let at = line_start + offset;
        let next =
            if block[at] == b'\r' && block.get(at + 1) == Some(&b'\n') { at + 2 } else { at + 1 };
        if at == line_start && at > start {
            return next;
        }
        line_start = next;
    }
    block.len()
}

/// The payload of an event.
#[must_use]
pub fn data(event: &[u8]) -> Data {
    let mut found = Data::None;
    let mut from = 0;
    // The first line may follow a byte order mark.
    if event.starts_with(b"\xef\xbb\xbf") {
        from = 3;
    }
    while from < event.len() {
        let end = memchr::memchr2(b'\n', b'\r', &event[from..]).map_or(event.len(), |at| from + at);
        if let Some(remainder) = event[from..end].strip_prefix(b"data:") {
            let skip = usize::from(remainder.first() == Some(&b' '));
            let place = end - remainder.len() + skip..end;
            found = match found {
                Data::None => Data::Line(place),
                Data::Line(first) => {
                    let mut joined = event[first].to_vec();
                    joined.push(b'\n');
                    joined.extend_from_slice(&event[place]);
                    Data::Lines(joined)
                }
                Data::Lines(mut joined) => {
                    joined.push(b'\n');
                    joined.extend_from_slice(&event[place]);
                    Data::Lines(joined)
                }
            };
        }
        from = end + 1;
    }
    found
}

/// Whether an event is named `error`, by the lines before its data.
pub(super) fn names_an_error(head: &[u8]) -> bool {
    let is_error = |name: &[u8]| {
        let tail = name.trim_ascii_start().strip_prefix(b"error");
        tail.is_some_and(|tail| tail.first().is_none_or(u8::is_ascii_whitespace))
    };
    // Most events have no name, and of most others it is the first line.
    if let Some(name) = head.strip_prefix(b"event:") {
        return is_error(name);
    }
    let mut lines = head.split(|byte| matches!(byte, b'\n' | b'\r'));
    head.len() > b"data: ".len()
        && lines.any(|line| line.strip_prefix(b"event:").is_some_and(is_error))
}

/// An event with the payload `json` in one line. A line feed would need a `data:` of its own, and JSON does not
/// need line feeds.
pub(super) fn one_line(json: &[u8]) -> Vec<u8> {
    let mut text = b"data: ".to_vec();
    text.extend(json.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    text.extend_from_slice(b"\n\n");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_are_known_by_their_beginning() {
        for (start, expected) in [
            ("data: {}", Some(true)),
            (": ping\n", Some(true)),
            ("\n\r\nevent: x", Some(true)),
            ("\u{feff}id:1", Some(true)),
            ("retry:", Some(true)),
            ("da", None),
            ("", None),
            (" \n", None),
            ("{\"data:\": 1}", Some(false)),
            ("dataset", Some(false)),
            ("<html>", Some(false)),
        ] {
            assert_eq!(begins_as_events(start.as_bytes()), expected, "{start:?}");
        }
        assert_eq!(begins_as_events(&[b' '; 2000]), Some(false));
    }

    fn split(text: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<Vec<u8>>) {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        let mut all = Vec::new();
        let mut from = 0;
        for &cut in cuts.iter().chain([&text.len()]) {
            let cut = cut.clamp(from, text.len());
            let block = splitter.push(Bytes::copy_from_slice(&text[from..cut]));
            all.extend(events(&block).map(|range| block[range].to_vec()));
            out.extend_from_slice(&block);
            from = cut;
        }
        (out, splitter.finish().to_vec(), all)
    }

    #[test]
    fn blocks_end_where_events_end() {
        let (whole, remainder, all) = split(b"data: a\n\ndata: b\n\nda", &[3, 10]);
        assert_eq!(whole, b"data: a\n\ndata: b\n\n");
        assert_eq!(remainder, b"da");
        assert_eq!(all, vec![b"data: a\n\n".to_vec(), b"data: b\n\n".to_vec()]);
    }

    #[test]
    fn every_line_ending_is_understood() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = format!("event: x{ending}data: a{ending}{ending}data: b{ending}{ending}:");
            let (_, remainder, all) = split(text.as_bytes(), &[]);
            assert_eq!(all.len(), 2, "{ending:?}");
            assert_eq!(remainder, b":");
            assert!(matches!(data(&all[0]), Data::Line(range) if &all[0][range.clone()] == b"a"));
        }
    }

    #[test]
    fn data_lines_join_and_comments_have_none() {
        assert_eq!(data(b": ping\n\n"), Data::None);
        assert_eq!(data(b"data: {\ndata:  1}\n\n"), Data::Lines(b"{\n 1}".to_vec()));
        assert_eq!(data(b"\xef\xbb\xbfdata:x\n\n"), Data::Line(8..9));
        assert_eq!(data(b"data\n\n"), Data::None);
    }

    #[test]
    fn what_waits_is_the_incomplete_event() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(Bytes::from_static(b"data: a\n\ndata: b")).len(), 9);
        assert_eq!(splitter.waiting(), 7);
        assert_eq!(splitter.push(Bytes::from_static(b"\n\n")).len(), 9);
        assert_eq!(splitter.waiting(), 0);
    }

    proptest! {
        #[test]
        fn no_byte_changes_wherever_the_stream_is_cut(
            text in "(data: [ab]{0,3}|: c|event: e|\n|\r\n|\r|\n\n){0,12}",
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (mut one, remainder_one, _) = split(text.as_bytes(), &[]);
            let (mut many, remainder_many, _) = split(text.as_bytes(), &cuts);
            one.extend(remainder_one);
            many.extend(remainder_many);
            prop_assert_eq!(&one, text.as_bytes());
            prop_assert_eq!(&many, text.as_bytes());
        }

        #[test]
        fn events_are_the_same_in_one_piece_and_in_many(
            lines in proptest::collection::vec("data: [a-c]{0,4}", 1..6),
            ending in prop_oneof![Just("\n"), Just("\r\n")],
            cuts in proptest::collection::vec(0usize..120, 0..8),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}{ending}{ending}")).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let (_, _, one) = split(text.as_bytes(), &[]);
            let (_, _, many) = split(text.as_bytes(), &cuts);
            prop_assert_eq!(one.len(), lines.len());
            prop_assert_eq!(one, many);
        }
    }
}
