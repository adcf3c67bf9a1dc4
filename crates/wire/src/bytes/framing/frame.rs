//! What all framings share: the payload of a frame.
//!
//! Used by each framing and by the stream reader.

use std::ops::Range;

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
