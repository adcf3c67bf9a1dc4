//! Answers and events of the Anthropic wire on their way to a client of the same format.
//!
//! Called by the conversion for messages and counts of tokens. Always true: only the model's name changes.

use std::ops::Range;

use hale_core::operation::Operation;
use serde::Deserialize;

use super::usage::Counts;
use crate::bytes::json::{Str, text_length};
use crate::bytes::members::{Place, places, texts};
use crate::formats::answer::{self, Fault, Observed};
use crate::formats::codec::OfMessages;
use crate::formats::errors;
use crate::formats::event::{Change, EventError, Progress, Seen};
use crate::formats::view::View;

/// Observes a full answer to `operation`: a list of blocks and the reason of its end, or a count.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfMessages,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let [model, content, stop_reason, usage, input_tokens, error] = answer::places(
        text,
        ["model", "content", "stop_reason", "usage", "input_tokens", "error"],
    )?;
    let is_answer = match expected {
        OfMessages::Counted => input_tokens.is_some(),
        OfMessages::Message => {
            content.is_some_and(|place| is_content(&text[place], stop_reason.is_some()))
        }
    };
    if !is_answer {
        return Err(Fault::without_content(operation, text, error));
    }
    let mut counts = Counts::default();
    if let Some(usage) = usage {
        counts.take(&text[usage]);
    }
    let patches = view.renamed(text, model).map(|place| view.model_patch(place));
    Ok(Observed { patches: patches.into_iter().collect(), usage: counts.usage() })
}

/// Whether `content` is a list that is not empty; the list of a `finished` answer may be empty.
fn is_content(content: &str, finished: bool) -> bool {
    content.strip_prefix('[').is_some_and(|list| finished || !list.trim_start().starts_with(']'))
}

/// A stream of events.
#[derive(Debug, Default)]
pub(crate) struct Events {
    counts: Counts,
}

impl Events {
    /// Takes the next event.
    pub(crate) fn observe_event(
        &mut self,
        text: &str,
        view: &View,
        progress: &mut Progress,
    ) -> Result<Seen, EventError> {
        let [kind, message, block, delta, usage, error] = places(
            text.as_bytes(),
            ["type", "message", "content_block", "delta", "usage", "error"],
        )?;
        let failed = || EventError::from(errors::parse_provider_error(text.as_bytes()));
        let Some(kind) = kind.map(|place| &text[place]) else {
            let is_error = error.is_some() || errors::is_error(text);
            return if is_error { Err(failed()) } else { Ok(Seen::Event(Change::None)) };
        };
        match kind {
            "\"message_start\"" => {
                if let Some(message) = message {
                    let model = self.start(text, message)?;
                    progress.usage = self.counts.usage();
                    progress.output_is_open = true;
                    if let Some(place) = view.renamed(text, model) {
                        return Ok(Seen::Event(Change::Model(place)));
                    }
                }
            }
            "\"content_block_start\"" if holds_content(block.clone().map(|place| &text[place])) => {
                progress.speaks();
            }
            "\"content_block_delta\"" => {
                let piece = delta.map(|place| &text[place]);
                progress.texts.piece(piece.map_or(0, length_of));
                if holds_content(piece) {
                    progress.speaks();
                }
            }
            "\"message_delta\"" => {
                if let Some(usage) = usage {
                    self.counts.take_end(&text[usage]);
                    progress.usage = self.counts.usage();
                    progress.output_is_open = false;
                }
                let names = ["stop_reason"];
                let delta = delta.map(|place| places(&text.as_bytes()[place], names));
                if delta.transpose()?.is_some_and(|[reason]| reason.is_some()) {
                    progress.stops();
                }
            }
            "\"message_stop\"" if progress.is_open() => return Err(EventError::Unfinished),
            "\"message_stop\"" => progress.done = true,
            "\"ping\"" => return Ok(Seen::Ping(Change::None)),
            "\"error\"" => return Err(failed()),
            other if !other.starts_with("\"content_block") && errors::is_error(text) => {
                return Err(failed());
            }
            _ => {}
        }
        Ok(Seen::Event(Change::None))
    }

    /// Takes the usage of a `message_start`; returns the range of the model's name.
    fn start(&mut self, text: &str, message: Range<usize>) -> Result<Place, EventError> {
        let from = message.start;
        let [model, usage] = places(&text.as_bytes()[message], ["model", "usage"])?;
        if let Some(usage) = usage {
            self.counts.take(&text[from + usage.start..from + usage.end]);
        }
        Ok(model.map(|model| from + model.start..from + model.end))
    }
}

/// Bytes of the text that a delta adds.
fn length_of(delta: &str) -> usize {
    let of = texts(delta, ["text", "thinking", "partial_json"]).unwrap_or_default();
    of.into_iter().flatten().map(text_length).sum()
}

/// Whether a block or a delta holds content. Blocks of text and reasoning start empty; any other block is content.
fn holds_content(text: Option<&str>) -> bool {
    #[derive(Deserialize)]
    struct Piece<'a> {
        #[serde(borrow, rename = "type")]
        kind: Str<'a>,
        #[serde(borrow)]
        text: Option<Str<'a>>,
        #[serde(borrow)]
        thinking: Option<Str<'a>>,
    }
    let Some(Ok(piece)) = text.map(serde_json::from_str::<Piece<'_>>) else { return false };
    let is_filled = |text: Option<Str<'_>>| text.is_some_and(|text| !text.0.is_empty());
    match &*piece.kind.0 {
        "text" | "text_delta" => is_filled(piece.text),
        "thinking" | "thinking_delta" => is_filled(piece.thinking),
        "signature_delta" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::view;

    #[derive(Debug, PartialEq)]
    enum Is {
        Start(Option<Range<usize>>),
        Content,
        Finish,
        Stop,
        Ping,
        Error,
        Other,
    }

    fn event(text: &str, events: &mut Events) -> Result<Is, EventError> {
        let mut progress = Progress::default();
        Ok(match events.observe_event(text, &view(), &mut progress) {
            Ok(Seen::Ping(_)) => Is::Ping,
            Ok(Seen::Event(Change::Model(place))) => Is::Start(Some(place)),
            Err(EventError::Provider(_)) => Is::Error,
            Err(other) => return Err(other),
            Ok(Seen::Event(_)) if progress.finished => Is::Finish,
            Ok(Seen::Event(_)) if progress.content => Is::Content,
            Ok(Seen::Event(_)) if progress.done => Is::Stop,
            Ok(Seen::Event(_)) if text.contains("message_start") => Is::Start(None),
            Ok(Seen::Event(_)) => Is::Other,
        })
    }

    #[test]
    fn events_are_distinguished() {
        let mut events = Events::default();
        for (text, expected) in [
            (r#"{"type":"message_start","message":{"usage":{"input_tokens":5}}}"#, Is::Start(None)),
            (r#"{"type":"message_start","message":{"model":"m"}}"#, Is::Start(Some(43..46))),
            (
                r#"{"type":"content_block_start","content_block":{"type":"text","text":""}}"#,
                Is::Other,
            ),
            (
                r#"{"type":"content_block_start","content_block":{"type":"tool_use","id":"t"}}"#,
                Is::Content,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}"#,
                Is::Content,
            ),
            (
                r#"{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"s"}}"#,
                Is::Other,
            ),
            (r#"{"type":"message_delta","delta":{"stop_reason":null}}"#, Is::Other),
            (
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#,
                Is::Finish,
            ),
            (r#"{"type":"message_stop"}"#, Is::Stop),
            (r#"{"type":"ping"}"#, Is::Ping),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#, Is::Error),
            (r#"{"error":{"message":"m"}}"#, Is::Error),
            (r#"{"type":"new_event"}"#, Is::Other),
        ] {
            assert_eq!(event(text, &mut events).unwrap(), expected, "{text}");
        }
        let usage = events.counts.usage().unwrap();
        assert_eq!((usage.input, usage.output), (5, 9));
        assert_eq!(event("{", &mut events), Err(EventError::Malformed));
    }

    #[test]
    fn an_answer_has_content_or_a_stop_reason() {
        let is_answer = |text: &str| {
            observe_answer(Operation::Messages, OfMessages::Message, text, &view()).is_ok()
        };
        assert!(is_answer(r#"{"content":[{"type":"text"}]}"#));
        assert!(is_answer(r#"{"content":[ ],"stop_reason":"end_turn"}"#));
        for text in [r#"{"content":[]}"#, "{}", r#"{"content":"x","stop_reason":"a"}"#] {
            assert!(!is_answer(text), "{text}");
        }
    }
}
