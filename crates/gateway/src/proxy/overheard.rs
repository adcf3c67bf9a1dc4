//! What a stream of the cache says, for sinks that show it: one that is kept, or that of a request that was joined.
//!
//! Made by [`super::followed`] and [`super::reuse`], which pass the bytes on as they are. Always true: without a sink that
//! shows what was said nothing is parsed; what is gathered is bounded.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_wire::prepare::Conversion;
use hale_wire::stream::{Reader, View};

use super::attempt::StreamRoom;
use super::capture::Capture;

/// Gathers what a stream in the client's own format says.
pub(super) struct Overheard {
    reader: Reader,
    room: StreamRoom,
    /// What the reader would send to a client.
    passed: Vec<u8>,
}

impl Overheard {
    /// For a stream that answers `operation`, if a sink shows what was said.
    pub(super) fn of(capture: &Capture, operation: Operation) -> Option<Box<Overheard>> {
        let conversion = Conversion { operation, wire: operation.format() };
        let made = || Overheard {
            reader: Reader::tapped(conversion, View::default()),
            room: StreamRoom::default(),
            passed: Vec::new(),
        };
        capture.shows_messages().then(made).map(Box::new)
    }

    /// The next piece of the stream. What cannot be read is left out.
    pub(super) fn push(&mut self, piece: &Bytes) {
        let _left_out = self.reader.push(piece.clone(), &mut self.passed);
        self.room.gather(&self.reader);
        self.passed.clear();
    }

    /// The client got what was gathered.
    pub(super) fn tell(mut self: Box<Self>, capture: &mut Capture) {
        let _left_out = self.reader.finish(&mut self.passed);
        self.room.gather(&self.reader);
        capture.streamed(&mut self.room);
    }
}
