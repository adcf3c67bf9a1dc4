//! The numbers of the events of a stream, by which a client that lost its connection says what it has.
//!
//! Used by the gateway on whole events that leave. Always true: the same events have the same numbers, in whichever pieces they
//! are pushed; only events with data have a number, and numbers grow; but for a line `id: <number>` no byte is changed.

use hale_core::operation::Operation;

use crate::bytes::framing::frame::Data;
use crate::bytes::framing::sse;
use crate::bytes::members::texts;

/// What numbers the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberedBy {
    /// A line `id:` that each of them gets, from 1 on.
    Lines,
    /// Their own `sequence_number`.
    Themselves,
}

impl NumberedBy {
    /// What numbers the events of that operation's streams; `None` if these have no numbers: clients of Google's format take no line
    /// besides `data:`.
    #[must_use]
    pub const fn of(operation: Operation) -> Option<NumberedBy> {
        match operation {
            Operation::Chat | Operation::Completion | Operation::Messages => {
                Some(NumberedBy::Lines)
            }
            Operation::Responses => Some(NumberedBy::Themselves),
            _ => None,
        }
    }
}

/// The numbers of the events of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    by: NumberedBy,
    last: Option<u64>,
}

impl Numbers {
    /// Before the first event.
    #[must_use]
    pub const fn new(by: NumberedBy) -> Numbers {
        Numbers { by, last: None }
    }

    /// The number of the last event.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// Passes `event`, one whole event.
    pub fn pass(&mut self, event: &[u8]) {
        let data = sse::data(event);
        if matches!(data, Data::None) {
            return;
        }
        match self.by {
            NumberedBy::Lines => self.last = Some(self.last.unwrap_or(0) + 1),
            NumberedBy::Themselves => self.last = own(&data, event).or(self.last),
        }
    }

    /// Passes whole events, and adds them to `out` with their numbers.
    pub fn write(&mut self, events: &[u8], out: &mut Vec<u8>) {
        if self.by == NumberedBy::Themselves {
            sse::events(events).for_each(|event| self.pass(&events[event]));
            out.extend_from_slice(events);
            return;
        }
        for event in sse::events(events).map(|event| &events[event]) {
            let before = self.last;
            self.pass(event);
            let Some(number) = self.last.filter(|_| self.last != before) else {
                out.extend_from_slice(event);
                continue;
            };
            // The last line of this name counts, so that it comes behind a provider's own.
            let (lines, empty) = event.split_at(event.len() - last_line_end(event));
            out.extend_from_slice(lines);
            out.extend_from_slice(format!("id: {number}\n").as_bytes());
            out.extend_from_slice(empty);
        }
    }
}

/// The id of the response whose first event is the first of `events`, as the client sees it.
#[must_use]
pub fn response_id(events: &[u8]) -> Option<String> {
    let event = &events[sse::events(events).next()?];
    let Data::Line(place) = sse::data(event) else { return None };
    let json = std::str::from_utf8(event.get(place)?).ok()?;
    let [response] = texts(json, ["response"]).ok()?;
    let [id] = texts(response?, ["id"]).ok()?;
    serde_json::from_str(id?).ok()
}

/// The length of the line end with which an event ends.
fn last_line_end(event: &[u8]) -> usize {
    if event.ends_with(b"\r\n") { 2 } else { 1.min(event.len()) }
}

/// The number that an event has of its own.
fn own(data: &Data, event: &[u8]) -> Option<u64> {
    let json = match data {
        Data::None => return None,
        Data::Line(place) => std::str::from_utf8(event.get(place.clone())?).ok()?,
        Data::Lines(joined) => std::str::from_utf8(joined).ok()?,
    };
    let [number] = texts(json, ["sequence_number"]).ok()?;
    number?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAT: &[u8] =
        b"data: {\"a\":1}\n\n: ping\n\nevent: x\r\ndata: b\r\n\r\nid: 70\ndata: c\n\ndata: [DONE]\n\n";

    #[test]
    fn each_event_with_data_gets_a_line_and_comments_get_none() {
        let mut numbers = Numbers::new(NumberedBy::Lines);
        let mut out = Vec::new();
        numbers.write(CHAT, &mut out);
        let expected = "data: {\"a\":1}\nid: 1\n\n: ping\n\nevent: x\r\ndata: b\r\nid: 2\n\r\n\
                        id: 70\ndata: c\nid: 3\n\ndata: [DONE]\nid: 4\n\n";
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        assert_eq!(numbers.last(), Some(4));
    }

    #[test]
    fn the_same_events_have_the_same_numbers_in_whichever_pieces() {
        let mut whole = Vec::new();
        Numbers::new(NumberedBy::Lines).write(CHAT, &mut whole);
        let mut numbers = Numbers::new(NumberedBy::Lines);
        let mut pieces = Vec::new();
        for event in sse::events(CHAT) {
            numbers.write(&CHAT[event], &mut pieces);
        }
        assert_eq!(pieces, whole);
    }

    #[test]
    fn responses_keep_their_bytes_and_are_numbered_by_themselves() {
        let events = b"event: a\ndata: {\"type\":\"a\",\"response\":{\"sequence_number\":9},\"sequence_number\":0}\n\n\
            : ping\n\ndata: {\"type\":\"b\"}\n\ndata: {\"sequence_number\":4}\n\n";
        let mut numbers = Numbers::new(NumberedBy::Themselves);
        let mut out = Vec::new();
        let mut seen = Vec::new();
        for event in sse::events(events) {
            numbers.write(&events[event], &mut out);
            seen.push(numbers.last());
        }
        assert_eq!(out, events);
        assert_eq!(seen, [Some(0), Some(0), Some(0), Some(4)]);
    }

    #[test]
    fn the_first_event_of_a_response_has_its_id() {
        let id = |text: &str| response_id(text.as_bytes());
        let first = "event: response.created\ndata: {\"type\":\"x\",\"response\":{\"id\":\"resp_1\"}}\n\ndata: {}\n\n";
        assert_eq!(id(first).as_deref(), Some("resp_1"));
        for other in
            ["", ": ping\n\n", "data: {}\n\n", "data: {\"response\":{\"id\":7}}\n\n", "data: x\n\n"]
        {
            assert_eq!(id(other), None, "{other}");
        }
    }
}
