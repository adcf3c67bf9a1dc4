//! What each format reports about an event of a stream: the progress of the stream, and what happens to the event.
//!
//! Returned by the `observe_event` and `read` of each format, used by the stream reader. Always true: a flag that is
//! set stays set; later token counts replace earlier ones.

use std::ops::Range;

use hale_core::health::outcome::ProviderError;
use hale_core::usage::Usage;

use crate::bytes::edit::Patch;
use crate::bytes::scan::ScanError;

/// The progress of a stream.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Whether content was seen: text, reasoning, a refusal, a tool call, audio or a finish reason.
    pub(crate) content: bool,
    /// Whether a finish reason was seen.
    pub(crate) finished: bool,
    /// Whether its end was seen.
    pub(crate) done: bool,
    /// Tokens, once the provider has reported them.
    pub(crate) usage: Option<Usage>,
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
