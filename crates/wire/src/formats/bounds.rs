//! How long the ids and names of an answer may be, and how many calls it may have.
//!
//! Used by the readers of answers and streams, through the neutral form. Always true: what is cut stays valid text; what
//! cannot be cut is refused.

use std::borrow::Cow;

use super::event::EventError;
use super::signed_call;

/// Longest id of an answer, in bytes. A longer one is cut, because every chunk of a stream repeats it.
const ID_MAX: usize = 256;
/// Longest id of a tool call in a stream, in bytes, without a signature behind it.
const CALL_ID_MAX: usize = 4096;
/// Longest name of a called tool in a stream, in bytes. The formats allow 64 and 128.
const CALL_NAME_MAX: usize = 512;
/// Maximum number of tool calls in a streamed answer. The formats allow 128 tools.
pub(crate) const CALLS_MAX: usize = 1024;

/// `id`, cut to [`ID_MAX`].
pub(crate) fn cut_id(mut id: Cow<'_, str>) -> Cow<'_, str> {
    if id.len() > ID_MAX {
        let end = (0..=ID_MAX).rev().find(|end| id.is_char_boundary(*end)).unwrap_or(0);
        id.to_mut().truncate(end);
    }
    id
}

/// Checks that one more call after `calls` is within the limits of a streamed answer.
pub(crate) fn check_call(calls: usize, id: &str, name: &str) -> Result<(), EventError> {
    let why = if calls >= CALLS_MAX {
        format!("more than {CALLS_MAX} tool calls")
    } else if signed_call::split(id).0.len() > CALL_ID_MAX {
        format!("the id of a tool call is longer than {CALL_ID_MAX} bytes")
    } else if name.len() > CALL_NAME_MAX {
        format!("the name of a called tool is longer than {CALL_NAME_MAX} bytes")
    } else {
        return Ok(());
    };
    Err(EventError::Unreadable(why))
}
