//! What a place of answers says about a key.
//!
//! Used by [`super`] and its places. Always true: it is there within [`LIMIT`], or not at all.

use std::time::Duration;

/// How long a request waits.
pub(super) const LIMIT: Duration = Duration::from_millis(20);

/// Why nothing is known of what it keeps.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotReached(pub(super) String);

/// What there is under a key.
pub(super) enum Found {
    Nothing,
    /// Bytes, and how much longer they are kept; by their own word if that is not known.
    Value {
        bytes: Vec<u8>,
        left_ms: Option<u64>,
    },
    /// What no replica wrote.
    Garbage,
}
