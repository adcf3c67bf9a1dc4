//! One line for each event (NDJSON): a second framing for the tests of the stream reader.

use bytes::{Bytes, BytesMut};

use super::frame::Data;

/// Cuts a byte stream at line ends.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    tail: BytesMut,
}

impl Splitter {
    pub(crate) fn push(&mut self, chunk: Bytes) -> Bytes {
        self.tail.extend_from_slice(&chunk);
        let end = memchr::memrchr(b'\n', &self.tail).map_or(0, |at| at + 1);
        self.tail.split_to(end).freeze()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.tail.len()
    }

    pub(crate) fn close(&mut self) -> Vec<u8> {
        let mut remainder = self.tail.split().to_vec();
        if !remainder.is_empty() {
            remainder.push(b'\n');
        }
        remainder
    }
}

pub(crate) fn line_end(block: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &block[start..]).map_or(block.len(), |at| start + at + 1)
}

pub(crate) fn data(line: &[u8]) -> Data {
    let end = line.trim_ascii_end().len();
    if end == 0 { Data::None } else { Data::Line(0..end) }
}
