//! Reads events of the Anthropic wire as neutral deltas.
//!
//! Called for clients of another format, and by the tap. Always true: tool calls are numbered in the order in which
//! they start, whatever the indexes of their blocks; everything that an event adds is in its deltas, or the stream
//! ends. Blocks of the provider's own tools are not part of the answer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stop_of;
use super::usage::Counts;
use crate::bytes::json::{Str, lossy};
use crate::bytes::members::places;
use crate::formats::errors;
use crate::formats::event::EventError;
use crate::formats::neutral::{Delta, Text, check_call, cut_id};

/// What was learned from earlier events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    counts: Counts,
    /// Calls so far.
    calls: usize,
    /// The newest call in the block of each index.
    blocks: BTreeMap<u64, Call>,
    /// The halves of characters that the last text and the last reasoning ended with.
    text_half: Option<u16>,
    thought_half: Option<u16>,
}

#[derive(Debug)]
struct Call {
    number: usize,
    /// Whether its input has started.
    begun: bool,
    half: Option<u16>,
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
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
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
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    thinking: Option<&'a RawValue>,
    #[serde(borrow)]
    signature: Option<Str<'a>>,
    #[serde(borrow)]
    partial_json: Option<&'a RawValue>,
    #[serde(borrow)]
    stop_reason: Option<Str<'a>>,
    #[serde(borrow)]
    stop_sequence: Option<Str<'a>>,
}

impl Reader {
    /// Whether a text ended within a character.
    pub(crate) fn has_half(&self) -> bool {
        self.text_half.is_some()
    }

    /// The deltas of the event `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let event: Event<'t> = serde_json::from_str(text).map_err(|why| no_event(text, &why))?;
        if event.error.is_some() || event.kind == "error" {
            return Err(errors::parse_provider_error(text.as_bytes()).into());
        }
        self.deltas(text, event)
    }

    fn deltas<'t>(&mut self, text: &str, event: Event<'t>) -> Result<Vec<Delta<'t>>, EventError> {
        const BARE: EventError = EventError::Malformed;
        let mut deltas = Vec::with_capacity(2);
        match &*event.kind {
            "message_start" => {
                let start = event.message.ok_or(BARE)?;
                deltas.push(Delta::Start(cut_id(start.id.unwrap_or_default().0)));
                self.count(start.usage, &mut deltas);
            }
            "content_block_start" => {
                self.block(event.content_block.ok_or(BARE)?, event.index, &mut deltas)?;
            }
            "content_block_delta" => {
                deltas.extend(self.piece(&event.delta.ok_or(BARE)?, event.index)?);
            }
            "content_block_stop" => {
                // A client that joins the pieces must get valid JSON.
                if let Some(call) = self.blocks.get_mut(&event.index).filter(|call| !call.begun) {
                    call.begun = true;
                    deltas.push(Delta::ToolInput { call: call.number, json: "{}".into() });
                }
            }
            "message_delta" => {
                let delta = event.delta.ok_or(BARE)?;
                if let Some(usage) = event.usage {
                    self.counts.take_end(usage.get());
                    deltas.extend(self.counts.usage().map(Delta::Usage));
                }
                if let Some(Str(reason)) = delta.stop_reason {
                    let sequence = delta.stop_sequence.map(Text::from);
                    deltas.push(Delta::Stop(stop_of(&reason), sequence));
                }
            }
            "message_stop" => deltas.push(Delta::End),
            "ping" => deltas.push(Delta::Ping),
            _ if errors::is_error(text) => {
                return Err(errors::parse_provider_error(text.as_bytes()).into());
            }
            _ => {}
        }
        Ok(deltas)
    }

    fn count(&mut self, usage: Option<&RawValue>, deltas: &mut Vec<Delta<'_>>) {
        if let Some(usage) = usage {
            self.counts.take(usage.get());
            deltas.extend(self.counts.usage().map(Delta::Usage));
        }
    }

    fn block<'t>(
        &mut self,
        block: Block<'t>,
        index: u64,
        deltas: &mut Vec<Delta<'t>>,
    ) -> Result<(), EventError> {
        match &*block.kind {
            "text" => {
                let text = block.text.map(|raw| whole(raw, &mut self.text_half)).transpose()?;
                deltas.extend(text.map(Delta::Text));
            }
            "thinking" => {
                let text = block.thinking.map(|raw| whole(raw, &mut self.thought_half));
                deltas.extend(text.transpose()?.map(Delta::Thinking));
            }
            "redacted_thinking" => deltas.extend(block.data.map(|data| Delta::Redacted(data.0))),
            "tool_use" => {
                let call = self.calls;
                let id = block.id.unwrap_or_default().0;
                let name = block.name.unwrap_or_default().0;
                check_call(call, &id, &name)?;
                self.calls += 1;
                deltas.push(Delta::ToolStart { call, id, name });
                let whole = block.input.map(RawValue::get).filter(|raw| *raw != "{}");
                let begun = whole.is_some();
                self.blocks.insert(index, Call { number: call, begun, half: None });
                deltas.extend(whole.map(|raw| Delta::ToolInput { call, json: raw.into() }));
            }
            _ => {}
        }
        // Blocks start empty, and an empty piece adds nothing.
        deltas.retain(|delta| match delta {
            Delta::Text(text) | Delta::Thinking(text) => !text.is_empty(),
            _ => true,
        });
        Ok(())
    }

    fn piece<'t>(
        &mut self,
        piece: &Piece<'t>,
        index: u64,
    ) -> Result<Option<Delta<'t>>, EventError> {
        let Some(Str(kind)) = &piece.kind else { return Err(EventError::Malformed) };
        Ok(match (&**kind, piece.text, piece.thinking, piece.partial_json) {
            ("text_delta", Some(raw), ..) => Some(Delta::Text(whole(raw, &mut self.text_half)?)),
            ("thinking_delta", _, Some(raw), _) => {
                Some(Delta::Thinking(whole(raw, &mut self.thought_half)?))
            }
            ("signature_delta", ..) => {
                piece.signature.as_ref().map(|signature| Delta::Signature(signature.0.clone()))
            }
            ("input_json_delta", _, _, Some(raw)) => {
                // The input of the provider's own tools is not for the client.
                let Some(call) = self.blocks.get_mut(&index) else { return Ok(None) };
                let json = whole(raw, &mut call.half)?;
                if json.is_empty() {
                    return Ok(None);
                }
                call.begun = true;
                Some(Delta::ToolInput { call: call.number, json })
            }
            _ => None,
        })
    }
}

fn whole<'t>(raw: &'t RawValue, half: &mut Option<u16>) -> Result<Cow<'t, str>, EventError> {
    lossy(raw.get(), half)
        .ok_or_else(|| EventError::Unreadable("a piece of content that is no text".to_owned()))
}

/// Why `text` is not an event: it adds nothing to the answer, or it does and cannot be read.
fn no_event(text: &str, why: &serde_json::Error) -> EventError {
    if errors::is_error(text) {
        return errors::parse_provider_error(text.as_bytes()).into();
    }
    let names = ["content_block", "delta", "message"];
    let Ok([block, delta, message]) = places(text.as_bytes(), names) else {
        return EventError::Malformed;
    };
    if block.is_some() || delta.is_some() || message.is_some() {
        return EventError::Unreadable(why.to_string());
    }
    EventError::Malformed
}
