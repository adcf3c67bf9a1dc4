//! The events of a stream that a client has got, kept small: of most events only what differs from one that came before.
//!
//! Filled by the gateway with what leaves, read when the stream breaks. Always true: what is read is what was pushed, byte for
//! byte; the bytes kept are bounded, and beyond the bound nothing is kept and that is known; an event that is like those before
//! costs two comparisons.

use super::framing::sse;

/// Up to so many bytes, what is pushed at once is not split into events before it is compared.
const WHOLE: usize = 1024;

/// Bytes that there is room for after each new frame.
const FIRST: usize = 256;

/// The events of one stream.
#[derive(Debug, Default)]
pub struct Kept {
    /// For each piece: the length of what differs, twice, and one more if its frame is new; then the lengths of that frame; then
    /// what differs.
    packed: Vec<u8>,
    /// The last piece that had a new frame.
    model: Vec<u8>,
    /// How many bytes at the start and at the end of the model are those of the pieces since.
    frame: (usize, usize),
    is_lost: bool,
}

impl Kept {
    /// Takes whole events; `most` bounds the bytes that are kept.
    pub fn push(&mut self, events: &[u8], most: usize) {
        if self.is_lost {
            return;
        }
        if events.len() <= WHOLE {
            self.piece(events);
        } else {
            for event in sse::events(events) {
                self.piece(&events[event]);
            }
        }
        if self.bytes() > most {
            self.lose();
        }
    }

    /// Keeps nothing, from now on.
    pub fn lose(&mut self) {
        *self = Kept { is_lost: true, ..Kept::default() };
    }

    fn piece(&mut self, piece: &[u8]) {
        let (head, tail) = self.frame;
        let end = piece.len().wrapping_sub(tail);
        let is_alike = head > 0
            && piece.len() >= head + tail
            && piece[..head] == self.model[..head]
            && piece[end..] == self.model[self.model.len() - tail..];
        if !is_alike {
            self.in_new_frame(piece);
            return;
        }
        let middle = &piece[head..end];
        write(&mut self.packed, middle.len() << 1);
        self.packed.extend_from_slice(middle);
    }

    fn in_new_frame(&mut self, piece: &[u8]) {
        let head = common_start(piece, &self.model);
        let tail = common_end(&piece[head..], &self.model[head..]);
        let middle = &piece[head..piece.len() - tail];
        write(&mut self.packed, middle.len() << 1 | 1);
        write(&mut self.packed, head);
        write(&mut self.packed, tail);
        self.packed.extend_from_slice(middle);
        // Growing by a few bytes with each event would cost more than all else.
        self.packed.reserve(FIRST);
        self.frame = (head, tail);
        self.model.clear();
        self.model.extend_from_slice(piece);
    }

    /// Bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.packed.len() + self.model.len()
    }

    /// Whether there were too many.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Calls `each` with the events in order, until it returns false.
    pub fn events(&self, mut each: impl FnMut(&[u8]) -> bool) {
        let mut cursor = Cursor::default();
        while let Some(piece) = self.next(&mut cursor) {
            if !sse::events(&piece).all(|event| each(&piece[event])) {
                return;
            }
        }
    }

    /// The whole events at `cursor`, which goes on behind them; `None` at the end of what was pushed so far.
    #[must_use]
    pub fn next(&self, cursor: &mut Cursor) -> Option<Vec<u8>> {
        let mut packed = self.packed.get(cursor.at..)?;
        let length = read(&mut packed)?;
        let is_new = length & 1 == 1;
        let frame = if is_new { read(&mut packed).zip(read(&mut packed))? } else { cursor.frame };
        let (middle, behind) = packed.split_at_checked(length >> 1)?;
        let (head, tail) = frame;
        let end = cursor.model.len().checked_sub(tail)?;
        let piece = [cursor.model.get(..head)?, middle, &cursor.model[end..]].concat();
        cursor.at = self.packed.len() - behind.len();
        cursor.frame = frame;
        if is_new {
            cursor.model.clear();
            cursor.model.extend_from_slice(&piece);
        }
        Some(piece)
    }
}

/// A place in the events of one stream.
#[derive(Debug, Default)]
pub struct Cursor {
    /// In what is packed.
    at: usize,
    /// The last piece before it that had a new frame, and that frame.
    model: Vec<u8>,
    frame: (usize, usize),
}

/// Bytes that are compared at once.
const STEP: usize = 32;

/// How many bytes at the start are the same.
fn common_start(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let same = STEP * pairs.take_while(|(one, other)| one == other).count();
    let tails = one[same..].iter().zip(&other[same..]);
    same + tails.take_while(|(one, other)| one == other).count()
}

/// How many bytes at the end are the same.
fn common_end(one: &[u8], other: &[u8]) -> usize {
    let pairs = one.rchunks_exact(STEP).zip(other.rchunks_exact(STEP));
    let same = STEP * pairs.take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[..one.len() - same], &other[..other.len() - same]);
    let heads = one.iter().rev().zip(other.iter().rev());
    same + heads.take_while(|(one, other)| one == other).count()
}

/// Writes a number in groups of seven bits.
fn write(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads a number; `None` at the end.
fn read(packed: &mut &[u8]) -> Option<usize> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (first, behind) = packed.split_first()?;
        *packed = behind;
        number |= usize::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(kept: &Kept) -> Vec<u8> {
        let mut out = Vec::new();
        kept.events(|event| {
            out.extend_from_slice(event);
            true
        });
        out
    }

    #[test]
    fn a_token_costs_little_more_than_its_letters() {
        let mut kept = Kept::default();
        let mut text = Vec::new();
        for i in 0..1000 {
            let event = format!(
                "data: {{\"id\":\"chatcmpl-123456789\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
                 \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" w{i}\"}},\"finish_reason\":null}}]}}\n\n"
            );
            kept.push(event.as_bytes(), 1 << 20);
            text.extend_from_slice(event.as_bytes());
        }
        assert_eq!(all(&kept), text);
        assert!(kept.bytes() < 8_000, "{} of {}", kept.bytes(), text.len());
    }

    #[test]
    fn a_cursor_at_the_end_goes_on_with_what_is_pushed_later() {
        let (mut kept, mut cursor) = (Kept::default(), Cursor::default());
        for text in ["data: a\n\n", "data: b\n\n", ": c\n\n", "data: b\n\n"] {
            assert_eq!(kept.next(&mut cursor), None);
            kept.push(text.as_bytes(), 100);
            assert_eq!(kept.next(&mut cursor).as_deref(), Some(text.as_bytes()));
        }
        kept.lose();
        assert_eq!(kept.next(&mut cursor), None);
    }

    #[test]
    fn beyond_the_bound_nothing_is_kept_and_that_is_known() {
        let mut kept = Kept::default();
        kept.push(b"data: a\n\n", 100);
        assert!(!kept.is_lost());
        kept.push(&[b"data: ", &[b'x'; 100][..], b"\n\n"].concat(), 100);
        assert!(kept.is_lost() && kept.bytes() == 0 && all(&kept).is_empty());
        kept.push(b"data: a\n\n", 100);
        assert!(kept.is_lost() && kept.bytes() == 0);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_pushed(
            events in proptest::collection::vec("(data: [ab]{0,300}\n\n|: [ab]{0,3}\n\n|event: a\ndata: [ab]{0,9}\n\n)", 0..30),
            sizes in proptest::collection::vec(1usize..4, 1..10),
        ) {
            let mut kept = Kept::default();
            let (mut at, mut sizes) = (0, sizes.iter().cycle());
            while at < events.len() {
                let end = (at + sizes.next().copied().unwrap_or(1)).min(events.len());
                kept.push(events[at..end].concat().as_bytes(), usize::MAX);
                at = end;
            }
            prop_assert_eq!(all(&kept), events.concat().into_bytes());
        }
    }
}
