//! Writes neutral deltas as events of the Anthropic wire.
//!
//! Called for clients of `/v1/messages` whose provider speaks another wire. Always true: one `message_start` comes
//! first; blocks follow each other, each with its start and stop; one `message_delta` with the stop reason and the
//! usage, then `message_stop`, once. Blocks wait until the input of the call before them is complete, because other
//! wires may mix the pieces of several calls.

use std::borrow::Cow;
use std::collections::VecDeque;

use hale_core::usage::Usage;

use super::answer::{PICTURE, write_stop};
use super::write_usage;
use crate::bytes::json::JsonText;
use crate::formats::call_id::Calls;
use crate::formats::neutral::{Delta, Stop};
use crate::formats::view::View;

/// The state of the output.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    started: bool,
    /// The block that is open.
    open: Option<Open>,
    /// Blocks so far.
    blocks: u64,
    /// Blocks that wait until the open one is complete.
    waiting: VecDeque<Waiting>,
    /// The number of blocks that have waited and were written.
    released: usize,
    /// For each call its number among all blocks that ever waited, if it did.
    places: Vec<Option<usize>>,
    /// Bytes of the blocks that wait.
    held: usize,
    /// White space that begins a text, if one follows: a provider of this wire refuses a text without a word when it comes
    /// back.
    blank: Box<str>,
    stop: Option<(Stop, Option<String>)>,
    usage: Usage,
    closed: bool,
    /// The calls of the conversation, once the answer has one.
    calls: Option<Calls>,
}

/// Maximum bytes of the blocks that wait.
const HELD_MAX: usize = 4 << 20;
/// The longest white space that waits for a word, bytes.
const BLANK_MAX: usize = 64 << 10;
/// Bytes that a waiting block counts besides its text.
const WAITING_COST: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call(usize),
}

#[derive(Debug)]
struct Open {
    index: u64,
    kind: Kind,
    input: Brackets,
    /// Whether it is reasoning whose signature was written.
    is_signed: bool,
}

#[derive(Debug)]
struct Waiting {
    kind: Kind,
    /// Of a call.
    id: Box<str>,
    /// Of a call.
    name: Box<str>,
    text: String,
}

/// Follows a JSON object that arrives in pieces, to know when it is complete.
#[derive(Debug, Default)]
struct Brackets {
    depth: usize,
    in_text: bool,
    escaped: bool,
    whole: bool,
}

impl Brackets {
    fn take(&mut self, piece: &str) {
        for byte in piece.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_text => self.escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.whole |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

impl Open {
    fn new(index: u64, kind: Kind) -> Open {
        Open { index, kind, input: Brackets::default(), is_signed: false }
    }
}

impl Writer {
    /// A writer behind another stream that had so many blocks, with the text block that is open.
    pub(super) fn behind(blocks: u64, open: Option<u64>) -> Writer {
        let open = open.map(|index| Open::new(index, Kind::Text));
        Writer { started: true, blocks, open, ..Writer::default() }
    }

    /// Appends the events for `delta` to `out`.
    ///
    /// # Errors
    /// Why it cannot be expressed.
    pub(crate) fn write(
        &mut self,
        delta: &Delta<'_>,
        view: &View,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        match delta {
            Delta::Start(id) => self.start(id, view, out),
            Delta::Usage(usage) => self.usage = usage.after(Some(self.usage)),
            // Before `message_start` a client expects no other event.
            Delta::Ping if self.started => event(out, "ping", |_| {}),
            Delta::Ping => {}
            Delta::Stop(stop, sequence) => {
                self.stop = Some((stop.clone(), sequence.as_deref().map(str::to_owned)));
            }
            Delta::End => self.close(view, out),
            Delta::Text(text) | Delta::Refusal(text) => self.say(Kind::Text, text, view, out)?,
            Delta::Thinking(text) => self.say(Kind::Thinking, text, view, out)?,
            Delta::Signature(signature) => {
                let index = self.block(Kind::Thinking, view, out);
                if let Some(open) = &mut self.open {
                    open.is_signed |= !signature.is_empty();
                }
                piece(out, index, SIGNATURE, signature);
            }
            // This format has citations of documents only.
            Delta::Citation(_) => {}
            // A picture has no place in this format; the text beside it stays.
            Delta::Image { .. } => self.say(Kind::Text, PICTURE, view, out)?,
            Delta::Redacted(data) => {
                self.begin(view, out);
                self.close_block(view, out);
                let index = self.next();
                block_start(out, index, |json| {
                    json.member("type", "redacted_thinking").member("data", data);
                });
                block_stop(out, index);
            }
            Delta::ToolStart { call, id, name } if self.is_busy() => {
                self.places.push(Some(self.released + self.waiting.len()));
                let id = self.show(id, view);
                self.hold(Kind::Call(*call), &id, name, "")?;
            }
            Delta::ToolStart { call, id, name } => {
                self.places.push(None);
                self.begin(view, out);
                self.close_block(view, out);
                let id = self.show(id, view);
                self.open_call(*call, &id, name, out);
            }
            Delta::ToolInput { call, json } => self.input((*call, json), view, out)?,
        }
        Ok(())
    }

    /// Whether the open block is a call whose input is not complete.
    fn is_busy(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| matches!(open.kind, Kind::Call(_)) && !open.input.whole)
    }

    fn say(
        &mut self,
        kind: Kind,
        text: &str,
        view: &View,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        if !self.is_busy() {
            if !self.waits_for_a_word(kind, text) {
                self.speak(kind, text, view, out);
            }
            return Ok(());
        }
        match self.waiting.back_mut() {
            Some(last) if last.kind == kind => last.text.push_str(text),
            _ => return self.hold(kind, "", "", text),
        }
        self.count(text.len())
    }

    /// Writes a piece of a block, and what its text began with.
    fn speak(&mut self, kind: Kind, text: &str, view: &View, out: &mut Vec<u8>) {
        let blank = std::mem::take(&mut self.blank);
        let index = self.block(kind, view, out);
        if kind == Kind::Text && !blank.is_empty() {
            say_piece(out, index, kind, &blank);
        }
        if !text.is_empty() {
            say_piece(out, index, kind, text);
        }
    }

    /// Keeps the text, if it is white space that begins a block.
    fn waits_for_a_word(&mut self, kind: Kind, text: &str) -> bool {
        let is_open = self.open.as_ref().is_some_and(|open| open.kind == Kind::Text);
        let has_room = self.blank.len() + text.len() <= BLANK_MAX;
        let waits = kind == Kind::Text && !is_open && has_room && text.trim().is_empty();
        if waits {
            self.blank = [&*self.blank, text].concat().into();
        }
        waits
    }

    /// The id of a call as the client sees it.
    fn show<'t>(&mut self, id: &'t str, view: &View) -> Cow<'t, str> {
        self.calls.get_or_insert_with(|| view.calls()).show(Cow::Borrowed(id))
    }

    fn input(
        &mut self,
        (call, json): (usize, &str),
        view: &View,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if let Some(open) = self.open.as_mut().filter(|open| open.kind == Kind::Call(call)) {
            piece(out, open.index, INPUT, json);
            open.input.take(json);
            self.release(view, out);
            return Ok(());
        }
        let place = self.places.get(call).copied().flatten();
        let waiting = place
            .and_then(|place| place.checked_sub(self.released))
            .and_then(|place| self.waiting.get_mut(place));
        match waiting {
            Some(waiting) => waiting.text.push_str(json),
            None if json.trim().is_empty() => return Ok(()),
            None => return Err("input for a tool call that was complete".to_owned()),
        }
        self.count(json.len())
    }

    fn hold(&mut self, kind: Kind, id: &str, name: &str, text: &str) -> Result<(), String> {
        self.waiting.push_back(Waiting {
            kind,
            id: id.into(),
            name: name.into(),
            text: text.to_owned(),
        });
        self.count(WAITING_COST + id.len() + name.len() + text.len())
    }

    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.held += bytes;
        if self.held > HELD_MAX {
            return Err(format!(
                "tool calls whose pieces are mixed, and of which more than {HELD_MAX} bytes wait"
            ));
        }
        Ok(())
    }

    /// Writes waiting blocks as long as the one before is complete.
    fn release(&mut self, view: &View, out: &mut Vec<u8>) {
        while !self.is_busy() && self.release_one(view, out) {}
    }

    /// Writes the next waiting block; false if there is none.
    fn release_one(&mut self, view: &View, out: &mut Vec<u8>) -> bool {
        let Some(next) = self.waiting.pop_front() else { return false };
        if self.waiting.is_empty() {
            self.held = 0;
        }
        self.released += 1;
        self.close_block(view, out);
        if self.waits_for_a_word(next.kind, &next.text) {
            return true;
        }
        let index = self.blocks;
        match next.kind {
            Kind::Call(call) => self.open_call(call, &next.id, &next.name, out),
            kind => self.open_block(kind, out),
        }
        if !next.text.is_empty() {
            say_piece(out, index, next.kind, &next.text);
        }
        if let Some(open) = &mut self.open {
            open.input.take(&next.text);
        }
        true
    }

    fn open_call(&mut self, call: usize, id: &str, name: &str, out: &mut Vec<u8>) {
        let index = self.next();
        self.open = Some(Open::new(index, Kind::Call(call)));
        block_start(out, index, |json| {
            json.member("type", "tool_use").member("id", id).member("name", name);
            json.raw_member("input", "{}");
        });
    }

    fn open_block(&mut self, kind: Kind, out: &mut Vec<u8>) {
        let index = self.next();
        self.open = Some(Open::new(index, kind));
        block_start(out, index, |json| {
            if kind == Kind::Thinking {
                json.member("type", "thinking").member("thinking", "").member("signature", "");
            } else {
                json.member("type", "text").member("text", "");
            }
        });
    }

    /// Appends the end of the stream, once.
    pub(crate) fn close(&mut self, view: &View, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        self.begin(view, out);
        while self.release_one(view, out) {}
        if self.blocks == 0 && !self.blank.is_empty() {
            // An answer of white space alone is what the model said.
            self.speak(Kind::Text, "", view, out);
        }
        self.close_block(view, out);
        self.closed = true;
        let (stop, sequence) = match &self.stop {
            Some((stop, sequence)) => (Some(stop), sequence.as_deref()),
            None => (None, None),
        };
        event(out, "message_delta", |json| {
            json.key("delta").open(b'{').key("stop_reason");
            write_stop(json, stop, sequence);
            json.close(b'}').key("usage");
            write_usage(json, &self.usage);
        });
        event(out, "message_stop", |_| {});
    }

    fn begin(&mut self, view: &View, out: &mut Vec<u8>) {
        if !self.started {
            self.start("", view, out);
        }
    }

    fn start(&mut self, id: &str, view: &View, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        event(out, "message_start", |json| {
            json.key("message").open(b'{').member("id", id).member("type", "message");
            json.member("role", "assistant").raw_member("model", &view.model_json);
            json.key("content").open(b'[').close(b']').key("stop_reason");
            write_stop(json, None, None);
            json.key("usage");
            write_usage(json, &self.usage);
            json.close(b'}');
        });
        // Anthropic sends a ping after each start, and clients wait for it.
        event(out, "ping", |_| {});
    }

    /// The index of the open block of that kind; opens one if there is none.
    fn block(&mut self, kind: Kind, view: &View, out: &mut Vec<u8>) -> u64 {
        if let Some(open) = self.open.as_ref().filter(|open| open.kind == kind) {
            return open.index;
        }
        self.begin(view, out);
        self.close_block(view, out);
        self.open_block(kind, out);
        self.blocks - 1
    }

    fn next(&mut self) -> u64 {
        self.blank = Box::default();
        let index = self.blocks;
        self.blocks += 1;
        index
    }

    fn close_block(&mut self, view: &View, out: &mut Vec<u8>) {
        let Some(open) = self.open.take() else { return };
        let is_unsigned = open.kind == Kind::Thinking && !open.is_signed;
        if is_unsigned && !view.mark().is_empty() {
            piece(out, open.index, SIGNATURE, view.mark());
        }
        block_stop(out, open.index);
    }
}

/// One event. `fill` adds to its payload, which has its type already.
fn event(out: &mut Vec<u8>, kind: &str, fill: impl FnOnce(&mut JsonText)) {
    let mut json = JsonText::new();
    json.open(b'{').member("type", kind);
    fill(&mut json);
    json.close(b'}');
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(json.as_bytes());
    out.extend_from_slice(b"\n\n");
}

fn block_start(out: &mut Vec<u8>, index: u64, fill: impl FnOnce(&mut JsonText)) {
    event(out, "content_block_start", |json| {
        json.count_member("index", index).key("content_block").open(b'{');
        fill(json);
        json.close(b'}');
    });
}

fn block_stop(out: &mut Vec<u8>, index: u64) {
    event(out, "content_block_stop", |json| {
        json.count_member("index", index);
    });
}

/// The type of a delta, and the name of its text.
type Shape = (&'static str, &'static str);

const TEXT: Shape = ("text_delta", "text");
const THINKING: Shape = ("thinking_delta", "thinking");
const SIGNATURE: Shape = ("signature_delta", "signature");
const INPUT: Shape = ("input_json_delta", "partial_json");

fn piece(out: &mut Vec<u8>, index: u64, (kind, name): Shape, text: &str) {
    event(out, "content_block_delta", |json| {
        json.count_member("index", index).key("delta").open(b'{');
        json.member("type", kind).member(name, text).close(b'}');
    });
}

/// A delta of a block of that kind.
fn say_piece(out: &mut Vec<u8>, index: u64, kind: Kind, text: &str) {
    match kind {
        Kind::Text => piece(out, index, TEXT, text),
        Kind::Thinking => piece(out, index, THINKING, text),
        Kind::Call(_) => piece(out, index, INPUT, text),
    }
}
