//! A stream as one JSON list, whose elements are its events: what Google's clients get that do not ask for events.
//!
//! Called by [`super::stream`] with what is written for a client. Always true: what leaves is a list as far as it goes, and a whole
//! one at the end, also if that is an error; an element is what an event carries, unchanged.

use crate::bytes::framing::Framing;
use crate::bytes::framing::frame::Data;

/// The list so far.
#[derive(Debug, Default)]
pub(super) struct Listing {
    has_begun: bool,
    has_ended: bool,
}

impl Listing {
    /// Makes elements of the events in `out` behind `from`.
    pub(super) fn apply(&mut self, out: &mut Vec<u8>, from: usize) {
        if from == out.len() {
            return;
        }
        let events = out.split_off(from);
        out.reserve(events.len() + 8);
        let framing = Framing::sse();
        let mut start = 0;
        while start < events.len() {
            let end = framing.frame_end(&events, start);
            let frame = &events[start..end];
            match framing.data(frame) {
                Data::None => {}
                Data::Line(place) => self.element(out, &frame[place]),
                Data::Lines(joined) => self.element(out, &joined),
            }
            start = end;
        }
    }

    fn element(&mut self, out: &mut Vec<u8>, data: &[u8]) {
        let before: &[u8] =
            if std::mem::replace(&mut self.has_begun, true) { b",\r\n" } else { b"[" };
        out.extend_from_slice(before);
        out.extend_from_slice(data);
    }

    /// Ends the list.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        out.extend_from_slice(if self.has_begun { b"]" } else { b"[]" });
    }

    /// The event that reports a broken stream as the last element, and the end of the list.
    pub(super) fn failure(&self, event: Vec<u8>) -> Vec<u8> {
        let mut list = Listing { has_begun: self.has_begun, has_ended: false };
        let mut out = event;
        list.apply(&mut out, 0);
        list.end(&mut out);
        out
    }
}
