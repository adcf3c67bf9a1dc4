//! The events of a response as they are written, and the items that are done.
//!
//! Called by the writers of items and by [`super::stream_write`]. Always true: events are numbered from 0 without a gap; an item
//! that is done stands at its place.

use crate::bytes::json::JsonText;

/// The events of one response.
#[derive(Debug, Default)]
pub(super) struct Events {
    shows: Shows,
    /// The number of the next event.
    next: u64,
    /// The items, each at its place; empty for one that is not done.
    items: Vec<Vec<u8>>,
    /// What was written since the last time that it was taken.
    out: Vec<u8>,
    /// The response as another stream began it, JSON text.
    begun: Option<Box<str>>,
}

/// Whether events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shows {
    /// Each.
    #[default]
    Events,
    /// None: the response is all that the client gets.
    Nothing,
}

/// An item by its id and its place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: String,
    number: usize,
}

impl Events {
    /// Events that are not shown.
    pub(super) fn hidden() -> Events {
        Events { shows: Shows::Nothing, ..Events::default() }
    }

    /// Events behind those of another stream: the number of the next one, the items that are done, and the response.
    pub(super) fn behind(next: u64, items: Vec<Vec<u8>>, response: Box<str>) -> Events {
        Events { next, items, begun: Some(response), ..Events::default() }
    }

    /// The response as another stream began it.
    pub(super) fn begun(&self) -> Option<&str> {
        self.begun.as_deref()
    }

    /// Moves what was written to `out`.
    pub(super) fn take(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
    }

    /// A comment, which keeps the connection alive.
    pub(super) fn comment(&mut self) {
        if self.shows == Shows::Events {
            self.out.extend_from_slice(b": keepalive\n\n");
        }
    }

    /// The place of a new item, whose id begins with `prefix`, in the response with that serial number.
    pub(super) fn place(&mut self, prefix: &str, serial: u128) -> Place {
        let number = self.items.len();
        self.items.push(Vec::new());
        Place { id: format!("{prefix}_{:016x}{number:08x}", serial >> 64), number }
    }

    /// The place of an item that another stream has begun.
    pub(super) fn place_of((id, number): (String, usize)) -> Place {
        Place { id, number }
    }

    /// An item begins.
    pub(super) fn added(&mut self, place: &Place, fill: impl FnOnce(&mut JsonText)) {
        self.send("response.output_item.added", |json| {
            json.count_member("output_index", place.number as u64).key("item");
            fill(json);
        });
    }

    /// An item is complete.
    pub(super) fn done(&mut self, place: &Place, item: JsonText) {
        self.send("response.output_item.done", |json| {
            json.count_member("output_index", place.number as u64).key("item");
            written(json, &item);
        });
        self.items[place.number] = item.into_bytes();
    }

    /// An event about an item.
    pub(super) fn about(&mut self, name: &str, place: &Place, fill: impl FnOnce(&mut JsonText)) {
        self.send(name, |json| {
            json.member("item_id", &place.id).count_member("output_index", place.number as u64);
            fill(json);
        });
    }

    /// Any event.
    pub(super) fn send(&mut self, name: &str, fill: impl FnOnce(&mut JsonText)) {
        if self.shows == Shows::Nothing {
            return;
        }
        let mut json = JsonText::new();
        json.open(b'{').member("type", name).count_member("sequence_number", self.next);
        fill(&mut json);
        json.close(b'}');
        self.next += 1;
        for piece in [b"event: ", name.as_bytes(), b"\ndata: ", json.as_bytes(), b"\n\n"] {
            self.out.extend_from_slice(piece);
        }
    }

    /// The items that are done, as the elements of a list.
    pub(super) fn write_items(&self, json: &mut JsonText) {
        for item in self.items.iter().filter(|item| !item.is_empty()) {
            // Items are written here, as JSON.
            json.raw(std::str::from_utf8(item).unwrap_or("{}"));
        }
    }

    /// Another event behind the last one, for a stream that broke.
    pub(super) fn last(&self, name: &str, fill: impl FnOnce(&mut JsonText)) -> Vec<u8> {
        let mut events = Events { next: self.next, ..Events::default() };
        events.send(name, fill);
        events.out
    }
}

/// A value that was written before, or the elements of a list.
pub(super) fn written(json: &mut JsonText, value: &JsonText) {
    if let Ok(text) = std::str::from_utf8(value.as_bytes())
        && !text.is_empty()
    {
        json.raw(text);
    }
}
