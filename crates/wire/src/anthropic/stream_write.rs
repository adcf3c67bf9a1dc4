//! Neutral deltas as events of the Anthropic wire.
//!
//! Called by [`crate::stream`] for clients of `/v1/messages` in front of another wire. Always true: one
//! `message_start` first; blocks follow each other, each with its start and stop; one `message_delta`
//! with the stop reason and the usage, then `message_stop`, once.

use hale_core::usage::Usage;

use super::answer::write_stop;
use super::write_usage;
use crate::json::JsonText;
use crate::neutral::{Delta, Stop};
use crate::stream::View;

/// What was written so far.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    started: bool,
    /// The block that is open, and what it holds.
    open: Option<(u64, Kind)>,
    /// Blocks so far.
    blocks: u64,
    /// The block of each call.
    calls: Vec<u64>,
    stop: Option<(Stop, Option<String>)>,
    usage: Usage,
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call,
}

impl Writer {
    /// Adds what says `delta` to `out`.
    pub(crate) fn write(&mut self, delta: &Delta<'_>, view: &View, out: &mut Vec<u8>) {
        match delta {
            Delta::Start(id) => self.start(id, view, out),
            Delta::Usage(usage) => self.usage = *usage,
            // Before the start nobody knows that a message is coming.
            Delta::Ping if self.started => event(out, "ping", |_| {}),
            Delta::Ping => {}
            Delta::Stop(stop, sequence) => {
                self.stop = Some((*stop, sequence.as_deref().map(str::to_owned)));
            }
            Delta::End => self.close(view, out),
            Delta::Text(text) | Delta::Refusal(text) => {
                if !text.is_empty() {
                    let index = self.block(Kind::Text, view, out);
                    piece(out, index, "text_delta", "text", text);
                }
            }
            Delta::Thinking(text) => {
                if !text.is_empty() {
                    let index = self.block(Kind::Thinking, view, out);
                    piece(out, index, "thinking_delta", "thinking", text);
                }
            }
            Delta::Signature(signature) => {
                let index = self.block(Kind::Thinking, view, out);
                piece(out, index, "signature_delta", "signature", signature);
            }
            Delta::Redacted(data) => {
                self.begin(view, out);
                self.close_block(out);
                let index = self.next();
                block_start(out, index, |json| {
                    json.member("type", "redacted_thinking").member("data", data);
                });
                block_stop(out, index);
            }
            Delta::ToolStart { id, name, .. } => {
                self.begin(view, out);
                self.close_block(out);
                let index = self.next();
                self.calls.push(index);
                self.open = Some((index, Kind::Call));
                block_start(out, index, |json| {
                    json.member("type", "tool_use").member("id", id).member("name", name);
                    json.raw_member("input", "{}");
                });
            }
            Delta::ToolInput { call, json } => {
                if let Some(index) = self.calls.get(*call) {
                    piece(out, *index, "input_json_delta", "partial_json", json);
                }
            }
        }
    }

    /// Says that nothing more comes, unless it was said.
    pub(crate) fn close(&mut self, view: &View, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        self.begin(view, out);
        self.close_block(out);
        self.closed = true;
        let (stop, sequence) = match &self.stop {
            Some((stop, sequence)) => (Some(*stop), sequence.as_deref()),
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
        // Anthropic itself says so after each start, and clients wait for a sign of life.
        event(out, "ping", |_| {});
    }

    /// The index of the open block of that kind; opens one where there is none.
    fn block(&mut self, kind: Kind, view: &View, out: &mut Vec<u8>) -> u64 {
        if let Some((index, open)) = self.open
            && open == kind
        {
            return index;
        }
        self.begin(view, out);
        self.close_block(out);
        let index = self.next();
        self.open = Some((index, kind));
        block_start(out, index, |json| {
            if kind == Kind::Thinking {
                json.member("type", "thinking").member("thinking", "").member("signature", "");
            } else {
                json.member("type", "text").member("text", "");
            }
        });
        index
    }

    fn next(&mut self) -> u64 {
        let index = self.blocks;
        self.blocks += 1;
        index
    }

    fn close_block(&mut self, out: &mut Vec<u8>) {
        if let Some((index, _)) = self.open.take() {
            block_stop(out, index);
        }
    }
}

/// One event; `fill` adds to its data, which has its type already.
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

fn piece(out: &mut Vec<u8>, index: u64, kind: &str, name: &str, text: &str) {
    event(out, "content_block_delta", |json| {
        json.count_member("index", index).key("delta").open(b'{');
        json.member("type", kind).member(name, text).close(b'}');
    });
}
