//! Answers of the Anthropic wire on their way to a client of the same format.
//!
//! Called by [`crate::conversion::answer`] and [`crate::conversion::stream`]. Always true: what passes is looked at, and nothing
//! but the model's name changes.

use std::ops::Range;

use hale_core::operation::Operation;
use serde::Deserialize;

use super::usage::Counts;
use crate::bytes::json::Str;
use crate::bytes::scan::{self, ScanError};

/// The members that the gateway looks at, as places in the text; `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Top {
    pub(crate) kind: Option<Range<usize>>,
    pub(crate) model: Option<Range<usize>>,
    pub(crate) content: Option<Range<usize>>,
    pub(crate) stop_reason: Option<Range<usize>>,
    pub(crate) usage: Option<Range<usize>>,
    pub(crate) message: Option<Range<usize>>,
    pub(crate) delta: Option<Range<usize>>,
    pub(crate) block: Option<Range<usize>>,
    pub(crate) input_tokens: Option<Range<usize>>,
    pub(crate) error: Option<Range<usize>>,
}

impl Top {
    /// Looks at `text`, which must be UTF-8.
    pub(crate) fn of(text: &[u8]) -> Result<Top, ScanError> {
        let mut top = Top::default();
        scan::members(text, |key, value| {
            let place = match &text[key] {
                b"\"type\"" => &mut top.kind,
                b"\"model\"" => &mut top.model,
                b"\"content\"" => &mut top.content,
                b"\"stop_reason\"" => &mut top.stop_reason,
                b"\"usage\"" => &mut top.usage,
                b"\"message\"" => &mut top.message,
                b"\"delta\"" => &mut top.delta,
                b"\"content_block\"" => &mut top.block,
                b"\"input_tokens\"" => &mut top.input_tokens,
                b"\"error\"" => &mut top.error,
                _ => return,
            };
            *place = (&text[value.clone()] != b"null").then_some(value);
        })?;
        Ok(top)
    }

    /// Whether a full answer to `operation` says something: a list of blocks and why it ended, or a
    /// count.
    pub(crate) fn is_answer(&self, text: &str, operation: Operation) -> bool {
        if operation == Operation::CountTokens {
            return self.input_tokens.is_some();
        }
        self.content.clone().is_some_and(|place| {
            let list = &text[place];
            let is_empty = list[1..].trim_start().starts_with(']');
            list.starts_with('[') && (!is_empty || self.stop_reason.is_some())
        })
    }
}

/// What an event of a stream is, as far as the gateway cares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `message_start`, with the place of the model's name.
    Start(Option<Range<usize>>),
    /// It adds content.
    Content,
    /// It says why the answer ended.
    Finish,
    /// `message_stop`.
    Stop,
    /// `ping`.
    Ping,
    /// `error`.
    Error,
    /// Anything else.
    Other,
}

/// What the event in `text` is; its usage goes to `counts`.
pub(crate) fn event(text: &str, counts: &mut Counts) -> Result<Event, ScanError> {
    let top = Top::of(text.as_bytes())?;
    let Some(kind) = top.kind.map(|place| &text[place]) else {
        return Ok(if top.error.is_some() { Event::Error } else { Event::Other });
    };
    Ok(match kind {
        "\"message_start\"" => {
            let Some(message) = top.message else { return Ok(Event::Start(None)) };
            let inner = Top::of(&text.as_bytes()[message.clone()])?;
            let from = message.start;
            if let Some(usage) = inner.usage {
                counts.take(&text[from + usage.start..from + usage.end]);
            }
            Event::Start(inner.model.map(|model| from + model.start..from + model.end))
        }
        "\"content_block_start\"" => content(top.block.map(|place| &text[place])),
        "\"content_block_delta\"" => content(top.delta.map(|place| &text[place])),
        "\"message_delta\"" => {
            if let Some(usage) = top.usage {
                counts.take(&text[usage]);
            }
            let delta = top.delta.map(|place| Top::of(&text.as_bytes()[place])).transpose()?;
            match delta.and_then(|delta| delta.stop_reason) {
                Some(_) => Event::Finish,
                None => Event::Other,
            }
        }
        "\"message_stop\"" => Event::Stop,
        "\"ping\"" => Event::Ping,
        "\"error\"" => Event::Error,
        _ => Event::Other,
    })
}

/// Whether a block or a delta holds what the contract (section 4, streams) calls content. The blocks of
/// text and thoughts begin empty; all others are content by being there.
fn content(text: Option<&str>) -> Event {
    #[derive(Deserialize)]
    struct Piece<'a> {
        #[serde(borrow, rename = "type")]
        kind: Str<'a>,
        #[serde(borrow)]
        text: Option<Str<'a>>,
        #[serde(borrow)]
        thinking: Option<Str<'a>>,
    }
    let Some(Ok(piece)) = text.map(serde_json::from_str::<Piece<'_>>) else { return Event::Other };
    let is_filled = |text: Option<Str<'_>>| text.is_some_and(|text| !text.0.is_empty());
    let filled = match &*piece.kind.0 {
        "text" | "text_delta" => is_filled(piece.text),
        "thinking" | "thinking_delta" => is_filled(piece.thinking),
        "signature_delta" => false,
        _ => true,
    };
    if filled { Event::Content } else { Event::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_apart() {
        let mut counts = Counts::default();
        for (text, expected) in [
            (
                r#"{"type":"message_start","message":{"usage":{"input_tokens":5}}}"#,
                Event::Start(None),
            ),
            (r#"{"type":"message_start","message":{"model":"m"}}"#, Event::Start(Some(43..46))),
            (
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                Event::Other,
            ),
            (
                r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t"}}"#,
                Event::Content,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
                Event::Content,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"s"}}"#,
                Event::Other,
            ),
            (r#"{"type":"message_delta","delta":{"stop_reason":null}}"#, Event::Other),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
                Event::Finish,
            ),
            (r#"{"type":"message_stop"}"#, Event::Stop),
            (r#"{"type":"ping"}"#, Event::Ping),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, Event::Error),
            (r#"{"error":{"message":"m"}}"#, Event::Error),
            (r#"{"type":"new_event"}"#, Event::Other),
        ] {
            assert_eq!(event(text, &mut counts).unwrap(), expected, "{text}");
        }
        let usage = counts.usage().unwrap();
        assert_eq!((usage.input, usage.output), (5, 9));
        assert!(event("{", &mut counts).is_err());
    }

    #[test]
    fn an_answer_says_something_or_why_it_says_nothing() {
        let is_answer =
            |text: &str| Top::of(text.as_bytes()).unwrap().is_answer(text, Operation::Messages);
        assert!(is_answer(r#"{"content":[{"type":"text"}]}"#));
        assert!(is_answer(r#"{"content":[ ],"stop_reason":"end_turn"}"#));
        for text in [r#"{"content":[]}"#, "{}", r#"{"content":"x","stop_reason":"a"}"#] {
            assert!(!is_answer(text), "{text}");
        }
    }
}
