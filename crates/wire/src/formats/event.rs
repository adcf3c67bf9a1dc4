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

/// How long the texts of an answer are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Texts {
    bytes: u64,
    pieces: u64,
}

impl Texts {
    /// Counts a text that came in any number of pieces.
    pub(crate) fn text(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Counts a text that an event adds. One that is empty adds nothing.
    pub(crate) fn piece(&mut self, bytes: usize) {
        self.text(bytes);
        self.pieces += u64::from(bytes > 0);
    }

    /// About how many tokens they are. A piece has one token at least.
    pub(crate) fn tokens(&self) -> u64 {
        self.bytes.div_ceil(BYTES_PER_TOKEN).max(self.pieces)
    }
}

impl Progress {
    /// Content came other than a finish reason.
    pub(crate) fn speaks(&mut self) {
        (self.content, self.empty) = (true, false);
    }

    /// Whether an answer has begun and not ended. An end of the stream cuts it off.
    pub(crate) fn is_open(&self) -> bool {
        self.content && !self.finished
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
    /// It is the end of an answer that has not ended: no reason came.
    Unfinished,
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
    fn four_bytes_are_a_token_and_a_piece_is_one_at_least() {
        let mut texts = Texts::default();
        assert_eq!(texts.tokens(), 0);
        for _ in 0..3 {
            texts.piece(1);
        }
        texts.piece(0);
        assert_eq!(texts.tokens(), 3, "short pieces, and one that adds nothing");
        texts.piece(36_000);
        assert_eq!(texts.tokens(), 9_001, "36,003 bytes");
        texts.text(1);
        assert_eq!(texts.tokens(), 9_001);
    }
}
