//! Framing: how the events of a stream are cut from its bytes, and where their payloads are.
//!
//! Used by the stream reader, which knows no framing; [`crate::formats::framing`] says which one a wire has.
//! To add a framing, add a file here, a variant and its arms. Always true: a framing cuts the same frames in
//! whichever pieces the bytes arrive, changes no byte of what has the form of events already, and buffers the
//! incomplete frame only, whose bytes the stream reader bounds.

pub(crate) mod aws;
pub(crate) mod frame;
mod lines;
pub mod sse;

use bytes::Bytes;

use self::frame::Data;

/// The framing of one stream, with the bytes of its incomplete frame.
#[derive(Debug)]
pub(crate) enum Framing {
    /// Server-sent events.
    Sse(sse::Splitter),
    /// Frames of AWS, which leave as server-sent events.
    Aws(aws::Splitter),
    /// One line for each event.
    Lines(lines::Splitter),
}

impl Framing {
    /// Server-sent events, before the first one.
    pub(crate) fn sse() -> Framing {
        Framing::Sse(sse::Splitter::default())
    }

    /// Frames of AWS, before the first one.
    pub(crate) fn aws() -> Framing {
        Framing::Aws(aws::Splitter::default())
    }

    /// Lines, before the first one.
    pub(crate) fn lines() -> Framing {
        Framing::Lines(lines::Splitter::default())
    }

    /// The type of such a stream.
    pub(crate) fn media_type(&self) -> &'static str {
        match self {
            Framing::Sse(_) => "text/event-stream",
            Framing::Aws(_) => "application/vnd.amazon.eventstream",
            Framing::Lines(_) => "application/x-ndjson",
        }
    }

    /// Whether a body begins as such a stream does; `None` if more bytes are needed to tell.
    pub(crate) fn begins(&self, start: &[u8]) -> Option<bool> {
        match self {
            Framing::Sse(_) => sse::begins_as_events(start),
            Framing::Aws(_) => Some(false),
            Framing::Lines(_) => lines::begins(start),
        }
    }

    /// Takes the next bytes; returns whole frames only, possibly none.
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        match self {
            Framing::Sse(splitter) => splitter.push(chunk),
            Framing::Aws(splitter) => splitter.push(&chunk),
            Framing::Lines(splitter) => splitter.push(chunk),
        }
    }

    /// Bytes of the incomplete frame.
    pub(crate) fn waiting(&self) -> usize {
        match self {
            Framing::Sse(splitter) => splitter.waiting(),
            Framing::Aws(splitter) => splitter.waiting(),
            Framing::Lines(splitter) => splitter.waiting(),
        }
    }

    /// What is wrong with the bytes, from that point on; the frames before it were returned.
    pub(crate) fn broken(&self) -> Option<&'static str> {
        match self {
            Framing::Aws(splitter) => splitter.broken(),
            Framing::Sse(_) | Framing::Lines(_) => None,
        }
    }

    /// At the end of the stream: the last frame, if its own end is missing; else empty.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        match self {
            Framing::Sse(splitter) => splitter.close(),
            // A part of a frame is nothing.
            Framing::Aws(_) => Vec::new(),
            Framing::Lines(splitter) => splitter.close(),
        }
    }

    /// The end of the frame that starts at `start` in a block of whole frames.
    pub(crate) fn frame_end(&self, block: &[u8], start: usize) -> usize {
        match self {
            Framing::Sse(_) | Framing::Aws(_) => sse::event_end(block, start),
            Framing::Lines(_) => lines::line_end(block, start),
        }
    }

    /// The payload of a frame.
    pub(crate) fn data(&self, frame: &[u8]) -> Data {
        match self {
            Framing::Sse(_) | Framing::Aws(_) => sse::data(frame),
            Framing::Lines(_) => lines::data(frame),
        }
    }

    /// Whether a frame without a payload is a ping.
    pub(crate) fn is_ping(&self, frame: &[u8]) -> bool {
        match self {
            Framing::Sse(_) | Framing::Aws(_) => frame.trim_ascii_start().starts_with(b":"),
            Framing::Lines(_) => false,
        }
    }

    /// Whether the fields before a payload say that it is an error.
    pub(crate) fn names_an_error(&self, head: &[u8]) -> bool {
        match self {
            Framing::Sse(_) | Framing::Aws(_) => sse::names_an_error(head),
            Framing::Lines(_) => false,
        }
    }

    /// A frame with the payload `json`.
    pub(crate) fn frame(&self, json: &[u8]) -> Vec<u8> {
        match self {
            Framing::Sse(_) | Framing::Aws(_) => sse::one_line(json),
            Framing::Lines(_) => [json, b"\n"].concat(),
        }
    }
}
