//! What each format reports about an event of a stream: the progress of the stream, and what happens to the event.
//!
//! Returned by the `observe_event` and `read` of each format, used by the stream reader. Always true: a flag that is
//! set stays set, but for `empty`; later token counts replace earlier ones.

use std::ops::Range;

use hale_core::health::outcome::ProviderError;
use hale_core::usage::{BYTES_PER_TOKEN, Usage};

use crate::bytes::edit::Patch;
use crate::bytes::scan::ScanError;

/// The progress of a stream.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether content was seen: text, reasoning, a refusal, a tool call, audio or a finish reason.
    pub(crate) content: bool,
    /// Whether a finish reason is all the content so far.
    pub(crate) empty: bool,
    /// Whether that reason says that the answer is complete. Only seen where events are translated.
    pub(crate) says_end: bool,
    /// Whether a finish reason was seen.
    pub(crate) finished: bool,
    /// Whether its end was seen.
    pub(crate) done: bool,
    /// Tokens, once the provider has reported them.
    pub(crate) usage: Option<Usage>,
    /// Whether that count was made before the answer.
    pub(crate) output_is_open: bool,
    /// The texts of the answer so far.
    pub(crate) texts: Texts,
}

/// How long the texts of an answer are, as far as that can be told without reading each event.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Texts {
    /// Bytes of the texts whose length is known.
    plain: u64,
    /// Bytes of the pieces of JSON that hold a text each, their number, and the shortest of them.
    framed: u64,
    pieces: u64,
    shortest: Option<u64>,
}

impl Texts {
    /// Counts a text.
    pub(crate) fn text(&mut self, bytes: usize) {
        self.plain = self.plain.saturating_add(bytes as u64);
    }

    /// Counts a piece of JSON whose text is not read. What all pieces have is not text.
    pub(crate) fn framed(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.framed = self.framed.saturating_add(bytes);
        self.pieces += 1;
        self.shortest = Some(self.shortest.map_or(bytes, |shortest| shortest.min(bytes)));
    }

    /// About how many tokens they are. A piece has one token at least.
    pub(crate) fn tokens(&self) -> u64 {
        let frames = self.pieces.saturating_mul(self.shortest.unwrap_or(0));
        let of_pieces = (self.framed.saturating_sub(frames) / BYTES_PER_TOKEN).max(self.pieces);
        of_pieces.saturating_add(self.plain.div_ceil(BYTES_PER_TOKEN))
    }
}

impl Progress {
    /// Content came other than a finish reason.
    pub(crate) fn speaks(&mut self) {
        (self.content, self.empty) = (true, false);
    }

    /// A finish reason came.
    pub(crate) fn stops(&mut self) {
        self.empty |= !self.content;
        (self.content, self.finished) = (true, true);
    }
}

/// What an event is.
#[derive(Debug)]
pub(crate) enum Seen {
    /// An event, and what happens to it.
    Event(Change),
    /// A ping. It passes, but does not reset the stall timer.
    Ping(Change),
}

/// What happens to an event on its way to a client of the same format.
#[derive(Debug)]
pub(crate) enum Change {
    /// It passes as it is.
    None,
    /// It is left out.
    Omit,
    /// The model's name at this range of its payload is replaced by the client's.
    Model(Range<usize>),
    /// Its payload gets these patches.
    Patch(Vec<Patch>),
}

/// Why an event is not forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventError {
    /// It is not JSON, or adds nothing to the answer. The stream continues without it.
    Malformed,
    /// It is an error. Boxed, so that the result of each event stays small.
    Provider(Box<ProviderError>),
    /// It adds to the answer, but cannot be expressed for the client. The stream ends here.
    Unreadable(String),
    /// It does not go on from what the client has.
    Differs,
}

impl From<ProviderError> for EventError {
    fn from(error: ProviderError) -> EventError {
        EventError::Provider(Box::new(error))
    }
}

impl From<ScanError> for EventError {
    fn from(_: ScanError) -> EventError {
        EventError::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_count_a_token_each_and_long_ones_by_their_bytes() {
        let mut texts = Texts::default();
        assert_eq!(texts.tokens(), 0);
        texts.framed(100);
        assert_eq!(texts.tokens(), 1);
        texts.framed(103);
        assert_eq!(texts.tokens(), 2, "a word more");
        texts.framed(500);
        assert_eq!(texts.tokens(), 100, "3 + 400 bytes");
        texts.text(5);
        assert_eq!(texts.tokens(), 102);
    }
}
