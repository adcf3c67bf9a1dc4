//! Events of the Anthropic wire as neutral deltas.
//!
//! Called by [`crate::stream`] for clients of another format. Always true: calls of tools are counted in
//! the order in which they begin, whatever the blocks' indexes.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stop_of;
use super::usage::Counts;
use crate::json::Str;
use crate::neutral::{Delta, NoDeltas, Text};

/// What is to be known of the events before.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counts: Counts,
    /// The calls so far: the index of their block, and whether their input has begun.
    calls: Vec<(u64, bool)>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    message: Option<Start<'a>>,
    #[serde(borrow)]
    content_block: Option<Block<'a>>,
    #[serde(borrow)]
    delta: Option<Piece<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Start<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    thinking: Option<Str<'a>>,
    #[serde(borrow)]
    data: Option<Str<'a>>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Str<'a>>,
    #[serde(borrow)]
    text: Option<Str<'a>>,
    #[serde(borrow)]
    thinking: Option<Str<'a>>,
    #[serde(borrow)]
    signature: Option<Str<'a>>,
    #[serde(borrow)]
    partial_json: Option<Str<'a>>,
    #[serde(borrow)]
    stop_reason: Option<Str<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Str<'a>>,
}

impl Reader {
    /// What the event in `text` says.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, NoDeltas> {
        let event: Event<'t> = serde_json::from_str(text).map_err(|_| NoDeltas::Malformed)?;
        if event.error.is_some() {
            return Err(NoDeltas::Error);
        }
        self.deltas(event).ok_or(NoDeltas::Malformed)
    }

    fn deltas<'t>(&mut self, event: Event<'t>) -> Option<Vec<Delta<'t>>> {
        let mut deltas = Vec::with_capacity(2);
        match &*event.kind {
            "message_start" => {
                let start = event.message?;
                deltas.push(Delta::Start(start.id.unwrap_or_default().0));
                self.count(start.usage, &mut deltas);
            }
            "content_block_start" => self.block(event.content_block?, event.index, &mut deltas),
            "content_block_delta" => deltas.extend(self.piece(event.delta?, event.index)),
            "content_block_stop" => {
                // A client that joins the pieces must get JSON.
                let call = self.calls.iter().position(|call| *call == (event.index, false));
                deltas.extend(call.map(|call| Delta::ToolInput { call, json: "{}".into() }));
            }
            "message_delta" => {
                let delta = event.delta?;
                self.count(event.usage, &mut deltas);
                if let Some(Str(reason)) = delta.stop_reason {
                    let sequence = delta.stop_sequence.map(Text::from);
                    deltas.push(Delta::Stop(stop_of(&reason), sequence));
                }
            }
            "message_stop" => deltas.push(Delta::End),
            "ping" => deltas.push(Delta::Ping),
            _ => {}
        }
        Some(deltas)
    }

    fn count(&mut self, usage: Option<&RawValue>, deltas: &mut Vec<Delta<'_>>) {
        if let Some(usage) = usage {
            self.counts.take(usage.get());
            deltas.extend(self.counts.usage().map(Delta::Usage));
        }
    }

    fn block<'t>(&mut self, block: Block<'t>, index: u64, deltas: &mut Vec<Delta<'t>>) {
        match &*block.kind {
            "text" => deltas.extend(block.text.map(|text| Delta::Text(text.0))),
            "thinking" => deltas.extend(block.thinking.map(|text| Delta::Thinking(text.0))),
            "redacted_thinking" => deltas.extend(block.data.map(|data| Delta::Redacted(data.0))),
            "tool_use" => {
                let call = self.calls.len();
                let id = block.id.unwrap_or_default().0;
                let name = block.name.unwrap_or_default().0;
                deltas.push(Delta::ToolStart { call, id, name });
                let whole = block.input.map(RawValue::get).filter(|raw| *raw != "{}");
                self.calls.push((index, whole.is_some()));
                deltas.extend(whole.map(|raw| Delta::ToolInput { call, json: raw.into() }));
            }
            _ => {}
        }
        // Blocks begin empty; an empty piece says nothing.
        deltas.retain(|delta| match delta {
            Delta::Text(text) | Delta::Thinking(text) => !text.is_empty(),
            _ => true,
        });
    }

    fn piece<'t>(&mut self, piece: Piece<'t>, index: u64) -> Option<Delta<'t>> {
        match &*piece.kind?.0 {
            "text_delta" => Some(Delta::Text(piece.text?.0)),
            "thinking_delta" => Some(Delta::Thinking(piece.thinking?.0)),
            "signature_delta" => Some(Delta::Signature(piece.signature?.0)),
            "input_json_delta" => {
                let json = piece.partial_json?.0;
                // The input of the provider's own tools concerns nobody else.
                let call = self.calls.iter().rposition(|call| call.0 == index)?;
                if json.is_empty() {
                    return None;
                }
                self.calls.get_mut(call)?.1 = true;
                Some(Delta::ToolInput { call, json })
            }
            _ => None,
        }
    }
}
