//! A message of a response that is written: its parts, text and refusals.
//!
//! Called by [`super::stream_write`]. Always true: a part is added before its text and done after it.

use super::events::{Events, Place, written};
use super::output::End;
use crate::bytes::json::JsonText;
use crate::formats::neutral::Citation;

/// A message that is open.
#[derive(Debug)]
pub(super) struct Message {
    place: Place,
    /// Its parts that are done, as the elements of a list.
    parts: JsonText,
    count: u64,
    kind: PartKind,
    text: String,
    /// What the text of the open part cites, as the elements of a list.
    cited: JsonText,
    citations: u64,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// Text.
    Text,
    /// A refusal.
    Refusal,
}

impl PartKind {
    /// The type, and the name of its text.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            PartKind::Text => ("output_text", "text"),
            PartKind::Refusal => ("refusal", "refusal"),
        }
    }

    fn write(self, json: &mut JsonText, text: &str, cited: &JsonText) {
        let (kind, member) = self.names();
        json.open(b'{').member("type", kind).member(member, text);
        if self == PartKind::Text {
            json.key("annotations").open(b'[');
            written(json, cited);
            json.close(b']').raw_member("logprobs", "[]");
        }
        json.close(b'}');
    }

    /// What only events about text have.
    fn write_logprobs(self, json: &mut JsonText) {
        if self == PartKind::Text {
            json.raw_member("logprobs", "[]");
        }
    }
}

impl Message {
    /// Begins with a part of that kind.
    pub(super) fn begin(kind: PartKind, serial: u128, events: &mut Events) -> Message {
        let place = events.place("msg", serial);
        let message = Message {
            place,
            parts: JsonText::default(),
            count: 0,
            kind,
            text: String::new(),
            cited: JsonText::default(),
            citations: 0,
        };
        events.added(&message.place, |json| message.write(json, "in_progress"));
        message.begin_part(events);
        message
    }

    /// A message whose last part, a text, has begun in another stream.
    pub(super) fn behind(place: (String, usize), parts: &[Box<str>], text: String) -> Message {
        let mut done = JsonText::default();
        for part in parts {
            done.raw(part);
        }
        Message {
            place: Events::place_of(place),
            parts: done,
            count: parts.len() as u64,
            kind: PartKind::Text,
            text,
            cited: JsonText::default(),
            citations: 0,
        }
    }

    /// Adds a piece of text.
    pub(super) fn say(&mut self, kind: PartKind, text: &str, events: &mut Events) {
        if kind != self.kind {
            self.end_part(events);
            self.kind = kind;
            self.begin_part(events);
        }
        self.text.push_str(text);
        let name = match kind {
            PartKind::Text => "response.output_text.delta",
            PartKind::Refusal => "response.refusal.delta",
        };
        events.about(name, &self.place, |json| {
            json.count_member("content_index", self.count).member("delta", text);
            kind.write_logprobs(json);
        });
    }

    /// Adds where a passage of its text comes from.
    pub(super) fn cite(&mut self, one: &Citation<'_>, events: &mut Events) {
        if self.kind != PartKind::Text {
            return;
        }
        let write = |json: &mut JsonText| {
            json.open(b'{').member("type", "url_citation");
            json.count_member("start_index", one.start).count_member("end_index", one.end);
            json.member("url", &one.url).member("title", &one.title).close(b'}');
        };
        events.about("response.output_text.annotation.added", &self.place, |json| {
            json.count_member("content_index", self.count);
            json.count_member("annotation_index", self.citations).key("annotation");
            write(json);
        });
        write(&mut self.cited);
        self.citations += 1;
    }

    /// Ends it.
    pub(super) fn end(mut self, end: End, events: &mut Events) {
        self.end_part(events);
        let mut json = JsonText::default();
        self.write(&mut json, end.status());
        events.done(&self.place, json);
    }

    fn begin_part(&self, events: &mut Events) {
        events.about("response.content_part.added", &self.place, |json| {
            json.count_member("content_index", self.count).key("part");
            self.kind.write(json, "", &self.cited);
        });
    }

    fn end_part(&mut self, events: &mut Events) {
        let text = std::mem::take(&mut self.text);
        let cited = std::mem::take(&mut self.cited);
        self.citations = 0;
        let (_, member) = self.kind.names();
        let name = match self.kind {
            PartKind::Text => "response.output_text.done",
            PartKind::Refusal => "response.refusal.done",
        };
        events.about(name, &self.place, |json| {
            json.count_member("content_index", self.count).member(member, &text);
            self.kind.write_logprobs(json);
        });
        events.about("response.content_part.done", &self.place, |json| {
            json.count_member("content_index", self.count).key("part");
            self.kind.write(json, &text, &cited);
        });
        self.kind.write(&mut self.parts, &text, &cited);
        self.count += 1;
    }

    fn write(&self, json: &mut JsonText, status: &str) {
        json.open(b'{').member("id", &self.place.id).member("type", "message");
        json.member("status", status).member("role", "assistant").key("content").open(b'[');
        written(json, &self.parts);
        json.close(b']').close(b'}');
    }
}
