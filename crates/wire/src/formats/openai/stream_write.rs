//! Writes neutral deltas as chunks of the OpenAI wire.
//!
//! Called for clients of chat completions whose provider speaks another wire. Always true: a chunk with the role comes
//! first, one with the finish behind all content, `[DONE]` last and once; the usage has a chunk of its own.

use hale_core::usage::Usage;

use super::answer::{write_citation, write_signature};
use super::{finish_reason, write_usage};
use crate::bytes::json::JsonText;
use crate::bytes::members::texts;
use crate::formats::neutral::{Delta, Stop};
use crate::formats::view::View;

/// The state of the output.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The start of each chunk, up to `choices`.
    start: Vec<u8>,
    usage: Option<Usage>,
    /// Why the answer ended, until nothing can follow: some providers say so in each event, and clients stop at the first.
    stop: Option<Stop>,
    closed: bool,
    listed: Listed,
}

/// The places of what was written into lists. OpenAI's library merges the entries of a list by their index, and refuses
/// those that have none.
#[derive(Debug, Default)]
struct Listed {
    /// The next block of reasoning, and the one that is open.
    blocks: u64,
    block: Option<u64>,
    citations: u64,
    images: u64,
}

impl Listed {
    /// The block that takes the next reasoning.
    fn block(&mut self) -> u64 {
        *self.block.get_or_insert_with(|| next(&mut self.blocks))
    }

    /// Other content ends the block that is open.
    fn take(&mut self, delta: &Delta<'_>) {
        if delta.is_content() && !matches!(delta, Delta::Thinking(_) | Delta::Signature(_)) {
            self.block = None;
        }
    }
}

/// The next index of a list.
fn next(count: &mut u64) -> u64 {
    let index = *count;
    *count = index.saturating_add(1);
    index
}

impl Writer {
    /// A writer behind another stream, of which `chunk` is one: its id, its time and its model go on.
    pub(crate) fn behind(chunk: &str) -> Option<Writer> {
        const SAME: [&str; 5] = ["id", "object", "created", "model", "system_fingerprint"];
        let mut json = JsonText::new();
        json.open(b'{');
        for (name, value) in SAME.iter().zip(texts(chunk, SAME).ok()?) {
            if let Some(value) = value {
                json.raw_member(name, value);
            }
        }
        json.key("choices");
        Some(Writer { start: json.into_bytes(), ..Writer::default() })
    }

    /// Appends the chunks for `delta` to `out`.
    pub(crate) fn write(&mut self, delta: &Delta<'_>, view: &View, out: &mut Vec<u8>) {
        self.listed.take(delta);
        match delta {
            Delta::Start(id) => self.begin(id, view, out),
            Delta::Usage(usage) => self.usage = Some(usage.after(self.usage)),
            Delta::Ping => out.extend_from_slice(b": ping\n\n"),
            Delta::End => self.close(view, out),
            Delta::Stop(stop, _) => {
                self.begin("", view, out);
                self.stop = Some(stop.clone());
            }
            Delta::Text(text) => self.piece(view, out, |json| {
                json.member("content", text);
            }),
            Delta::Refusal(text) => self.piece(view, out, |json| {
                json.member("refusal", text);
            }),
            Delta::Thinking(text) => {
                let index = self.listed.block();
                self.piece(view, out, |json| {
                    json.member("reasoning_content", text);
                    write_block(json, index, [("type", "thinking"), ("thinking", text)]);
                });
            }
            Delta::Signature(signature) => {
                let index = self.listed.block();
                // What follows a signature is another block.
                self.listed.block = None;
                let block = [("type", "thinking"), ("thinking", ""), ("signature", signature)];
                self.piece(view, out, |json| write_block(json, index, block));
            }
            Delta::Redacted(data) => {
                let index = next(&mut self.listed.blocks);
                let block = [("type", "redacted_thinking"), ("data", data)];
                self.piece(view, out, |json| write_block(json, index, block));
            }
            Delta::Image { media_type, data } => {
                let index = next(&mut self.listed.images);
                self.piece(view, out, |json| {
                    json.key("images").open(b'[').open(b'{').member("type", "image_url");
                    json.count_member("index", index).key("image_url").open(b'{');
                    json.key("url").joined(["data:", media_type, ";base64,", data]);
                    json.close(b'}').close(b'}').close(b']');
                });
            }
            Delta::Citation(one) => {
                let index = next(&mut self.listed.citations);
                self.piece(view, out, |json| {
                    json.key("annotations").open(b'[').open(b'{').count_member("index", index);
                    write_citation(json, one);
                    json.close(b'}').close(b']');
                });
            }
            Delta::ToolStart { call, id, name } => self.piece(view, out, |json| {
                json.key("tool_calls").open(b'[').open(b'{').count_member("index", *call as u64);
                json.member("id", id).member("type", "function").key("function").open(b'{');
                json.member("name", name).member("arguments", "").close(b'}');
                write_signature(json, id);
                json.close(b'}').close(b']');
            }),
            Delta::ToolInput { call, json: piece } => self.piece(view, out, |json| {
                json.key("tool_calls").open(b'[').open(b'{').count_member("index", *call as u64);
                json.key("function").open(b'{').member("arguments", piece);
                json.close(b'}').close(b'}').close(b']');
            }),
        }
    }

    /// Appends the end of the stream, once.
    pub(crate) fn close(&mut self, view: &View, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        self.closed = true;
        if let Some(stop) = self.stop.take() {
            self.chunk(out, |_| {}, Some(finish_reason(&stop)));
        }
        if let Some(usage) = self.usage.filter(|_| view.show_usage) {
            self.begin("", view, out);
            let mut json = JsonText::new();
            json.open(b'[').close(b']').key("usage");
            write_usage(&mut json, &usage);
            self.event(out, json.as_bytes());
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn begin(&mut self, id: &str, view: &View, out: &mut Vec<u8>) {
        if !self.start.is_empty() {
            return;
        }
        let mut json = JsonText::new();
        json.open(b'{').member("id", id).member("object", "chat.completion.chunk");
        json.count_member("created", view.created).raw_member("model", &view.model_json);
        json.key("choices");
        self.start = json.into_bytes();
        self.chunk(
            out,
            |json| {
                json.member("role", "assistant").member("content", "");
            },
            None,
        );
    }

    fn piece(&mut self, view: &View, out: &mut Vec<u8>, fill: impl FnOnce(&mut JsonText)) {
        self.begin("", view, out);
        self.chunk(out, fill, None);
    }

    fn chunk(&self, out: &mut Vec<u8>, fill: impl FnOnce(&mut JsonText), finish: Option<&str>) {
        let mut json = JsonText::new();
        json.open(b'[').open(b'{').count_member("index", 0).key("delta").open(b'{');
        fill(&mut json);
        json.close(b'}').key("finish_reason");
        match finish {
            Some(reason) => json.text(reason),
            None => json.raw("null"),
        };
        json.close(b'}').close(b']');
        self.event(out, json.as_bytes());
    }

    fn event(&self, out: &mut Vec<u8>, tail: &[u8]) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.start);
        out.extend_from_slice(tail);
        out.extend_from_slice(b"}\n\n");
    }
}

/// A piece of the block of reasoning with this index.
fn write_block<const N: usize>(json: &mut JsonText, index: u64, members: [(&str, &str); N]) {
    json.key("thinking_blocks").open(b'[').open(b'{').count_member("index", index);
    for (name, value) in members {
        json.member(name, value);
    }
    json.close(b'}').close(b']');
}
