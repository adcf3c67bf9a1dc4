//! What all framings share: the size limit of a frame, and the payload of one.
//!
//! Used by each framing and by the stream reader.

use std::ops::Range;

/// Largest incomplete frame that is buffered, in bytes.
pub const TAIL_MAX: usize = 1 << 20;

/// A frame grew beyond [`TAIL_MAX`] without ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is larger than {TAIL_MAX} bytes")]
pub struct TooLong;

/// The payload of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// It has none: a comment, a ping, an empty line.
    None,
    /// The payload is this range of the frame.
    Line(Range<usize>),
    /// The payload spans several lines, joined here by line feeds.
    Lines(Vec<u8>),
}
