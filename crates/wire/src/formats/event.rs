//! What each format says about an event of a stream: how far the stream is, and what becomes of the event.
//!
//! Made by the `observe_event` and `read` of each format, used by the stream reader. Always true: what was
//! learned once stays; later counts of tokens replace earlier ones.

use std::ops::Range;

use hale_core::health::outcome::ProviderError;
use hale_core::usage::Usage;

use crate::bytes::edit::Patch;
use crate::bytes::scan::ScanError;

/// How far a stream has come.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether content was seen: text, reasoning, a refusal, a tool call, audio or a finish reason.
    pub(crate) content: bool,
    /// Whether a finish reason was seen.
    pub(crate) finished: bool,
    /// Whether its end was seen.
    pub(crate) done: bool,
    /// Tokens, once the provider said.
    pub(crate) usage: Option<Usage>,
}

/// What an event is.
#[derive(Debug)]
pub(crate) enum Seen {
    /// An event, and what becomes of it.
    Event(Change),
    /// A sign of life, which passes without resetting the stall timer.
    Ping(Change),
}

/// What becomes of an event on its way to a client of the same format.
#[derive(Debug)]
pub(crate) enum Change {
    /// It passes as it is.
    None,
    /// It is left out.
    Omit,
    /// The client's name for the model goes to this place of its payload.
    Model(Range<usize>),
    /// Its payload gets these patches.
    Patch(Vec<Patch>),
}

/// Why an event is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventError {
    /// It is not JSON, or nothing that adds to the answer; the stream goes on without it.
    Malformed,
    /// It is an error.
    Provider(ProviderError),
    /// It adds to the answer, but not in a way that can be passed on: the stream ends here.
    Unreadable(String),
}

impl From<ScanError> for EventError {
    fn from(_: ScanError) -> EventError {
        EventError::Malformed
    }
}
