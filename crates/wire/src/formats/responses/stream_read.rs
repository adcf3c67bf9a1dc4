//! Reads events of a response as neutral deltas.
//!
//! Called by the tap. Always true: an item whose pieces were streamed is not read again when it is complete; tool calls
//! are numbered in the order in which they start.
//! Source: <https://platform.openai.com/docs/api-reference/responses-streaming>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Response;
use super::item::Item;
use crate::bytes::json::lossy;
use crate::formats::errors::{is_error, parse_provider_error};
use crate::formats::event::EventError;
use crate::formats::neutral::{CALLS_MAX, Content, Delta, Text, check_call, cut_id};

/// What was learned from earlier events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    started: bool,
    calls: usize,
    items: BTreeMap<u64, Streamed>,
}

/// What was read of an output item.
#[derive(Debug, Default)]
struct Streamed {
    /// The number of the call, if it is one.
    call: Option<usize>,
    /// Whether a piece of it was read.
    begun: bool,
    /// The half of a character that its last piece ended with.
    half: Option<u16>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Text<'a>,
    #[serde(default)]
    output_index: u64,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
}

impl Reader {
    /// Whether a text ended within a character.
    pub(crate) fn has_half(&self) -> bool {
        self.items.values().any(|item| item.half.is_some())
    }

    /// The deltas of the event `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let event: Event<'t> = serde_json::from_str(text).map_err(|_| EventError::Malformed)?;
        let mut deltas = Vec::with_capacity(2);
        match &*event.kind {
            "response.created" | "response.in_progress" => {
                self.start(response(event.response)?, &mut deltas);
            }
            "response.output_text.delta" => deltas.push(Delta::Text(self.piece(&event)?)),
            "response.refusal.delta" => deltas.push(Delta::Refusal(self.piece(&event)?)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                deltas.push(Delta::Thinking(self.piece(&event)?));
            }
            "response.function_call_arguments.delta" => {
                let json = self.piece(&event)?;
                let call = self.items.get(&event.output_index).and_then(|item| item.call);
                let call = call.ok_or_else(|| no_form("input of a call that has not begun"))?;
                deltas.push(Delta::ToolInput { call, json });
            }
            "response.output_item.added" => {
                let item = item(event.item)?;
                if item.is_call() {
                    self.whole(event.output_index, item, &mut deltas)?;
                }
            }
            "response.output_item.done" => {
                self.whole(event.output_index, item(event.item)?, &mut deltas)?;
            }
            "response.completed" | "response.incomplete" => {
                let answer = response(event.response)?.answer();
                deltas.extend(answer.usage.map(Delta::Usage));
                deltas.extend(answer.stop.map(|stop| Delta::Stop(stop, None)));
                deltas.push(Delta::End);
            }
            "response.failed" | "error" => {
                return Err(parse_provider_error(text.as_bytes()).into());
            }
            "keepalive" | "ping" => deltas.push(Delta::Ping),
            other if !other.starts_with("response.") && is_error(text) => {
                return Err(parse_provider_error(text.as_bytes()).into());
            }
            _ => {}
        }
        Ok(deltas)
    }

    fn start<'t>(&mut self, response: Response<'t>, deltas: &mut Vec<Delta<'t>>) {
        if !self.started {
            self.started = true;
            deltas.push(Delta::Start(cut_id(response.id.unwrap_or_default().0)));
        }
    }

    /// The piece of an item in `event`.
    fn piece<'t>(&mut self, event: &Event<'t>) -> Result<Text<'t>, EventError> {
        let raw = event.delta.ok_or(EventError::Malformed)?;
        let item = self.item(event.output_index)?;
        item.begun = true;
        lossy(raw.get(), &mut item.half)
            .ok_or_else(|| no_form("a piece of content that is no text"))
    }

    /// Takes an item that is complete or starts: everything in it that was not streamed.
    fn whole<'t>(
        &mut self,
        index: u64,
        item: Item<'t>,
        deltas: &mut Vec<Delta<'t>>,
    ) -> Result<(), EventError> {
        if item.is_custom_call() {
            return Err(no_form("a call whose input is text"));
        }
        let calls = self.calls;
        let streamed = self.item(index)?;
        for content in item.contents() {
            match content {
                Content::ToolCall { id, name, input } => {
                    let call = streamed.call.unwrap_or(calls);
                    if streamed.call.is_none() {
                        check_call(call, &id, &name)?;
                        streamed.call = Some(call);
                        deltas.push(Delta::ToolStart { call, id, name });
                    }
                    if !streamed.begun && !input.is_empty() {
                        streamed.begun = true;
                        deltas.push(Delta::ToolInput { call, json: input });
                    }
                }
                Content::Redacted(data) => deltas.push(Delta::Redacted(data)),
                _ if streamed.begun => {}
                content => deltas.extend(content.into_deltas()),
            }
        }
        if streamed.call == Some(calls) {
            self.calls += 1;
        }
        Ok(())
    }

    fn item(&mut self, index: u64) -> Result<&mut Streamed, EventError> {
        if self.items.len() >= CALLS_MAX && !self.items.contains_key(&index) {
            return Err(no_form("more output items than an answer has"));
        }
        Ok(self.items.entry(index).or_default())
    }
}

fn response(raw: Option<&RawValue>) -> Result<Response<'_>, EventError> {
    let raw = raw.ok_or(EventError::Malformed)?;
    serde_json::from_str(raw.get()).map_err(|why| EventError::Unreadable(why.to_string()))
}

fn item(raw: Option<&RawValue>) -> Result<Item<'_>, EventError> {
    let raw = raw.ok_or(EventError::Malformed)?;
    serde_json::from_str(raw.get()).map_err(|why| EventError::Unreadable(why.to_string()))
}

fn no_form(why: &str) -> EventError {
    EventError::Unreadable(why.to_owned())
}
