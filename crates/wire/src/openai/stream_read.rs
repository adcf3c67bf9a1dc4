//! Chunks of the OpenAI wire as neutral deltas.
//!
//! Called by [`crate::stream`] for clients of another format. Always true: only the first choice counts;
//! a call begins where its index, or under an old index its id, is new.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::stop_of;
use crate::answer::parse_usage;
use crate::json::Str;
use crate::neutral::{Delta, NoDeltas, Stop, Text};

/// What is to be known of the chunks before.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    id: Option<Box<str>>,
    /// The calls so far: their index and id.
    calls: Vec<(u64, Box<str>)>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    delta: Option<Piece<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Str<'a>>,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow)]
    content: Option<Str<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Str<'a>>,
    #[serde(borrow)]
    reasoning: Option<Str<'a>>,
    #[serde(borrow)]
    refusal: Option<Str<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<Str<'a>>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    arguments: Option<Str<'a>>,
}

impl Reader {
    /// What the chunk in `text` says.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, NoDeltas> {
        if text.trim() == "[DONE]" {
            return Ok(vec![Delta::End]);
        }
        let chunk: Chunk<'t> = serde_json::from_str(text).map_err(|_| NoDeltas::Malformed)?;
        if chunk.error.is_some() {
            return Err(NoDeltas::Error);
        }
        let mut deltas = Vec::with_capacity(2);
        if self.id.is_none() {
            let id = chunk.id.unwrap_or_default().0;
            self.id = Some(Box::from(&*id));
            deltas.push(Delta::Start(id));
        }
        for choice in chunk.choices.into_iter().flatten().filter(|choice| choice.index == 0) {
            if let Some(piece) = choice.delta {
                self.piece(piece, &mut deltas);
            }
            let reason = choice.finish_reason.map(Text::from).filter(|reason| !reason.is_empty());
            if let Some(reason) = reason {
                let stop = match stop_of(&reason) {
                    // Some providers call it an ordinary end.
                    Stop::End if !self.calls.is_empty() => Stop::Tools,
                    stop => stop,
                };
                deltas.push(Delta::Stop(stop, None));
            }
        }
        let usage = chunk.usage.and_then(|usage| parse_usage(usage.get()));
        deltas.extend(usage.map(Delta::Usage));
        Ok(deltas)
    }

    fn piece<'t>(&mut self, piece: Piece<'t>, deltas: &mut Vec<Delta<'t>>) {
        let filled = |text: Option<Str<'t>>| text.map(Text::from).filter(|text| !text.is_empty());
        let thought = filled(piece.reasoning_content).or_else(|| filled(piece.reasoning));
        deltas.extend(thought.map(Delta::Thinking));
        deltas.extend(filled(piece.content).map(Delta::Text));
        deltas.extend(filled(piece.refusal).map(Delta::Refusal));
        for call in piece.tool_calls.into_iter().flatten() {
            self.call(call, deltas);
        }
    }

    fn call<'t>(&mut self, given: Call<'t>, deltas: &mut Vec<Delta<'t>>) {
        let (name, arguments) =
            given.function.map_or((None, None), |function| (function.name, function.arguments));
        let id = given.id.map(Text::from).filter(|id| !id.is_empty());
        let last = self.calls.last().map_or(0, |call| call.0);
        let index = given.index.unwrap_or(last);
        let known = self
            .calls
            .iter()
            .rposition(|call| call.0 == index && id.as_ref().is_none_or(|id| **id == *call.1));
        let call = known.unwrap_or_else(|| {
            let call = self.calls.len();
            let answer = self.id.as_deref().unwrap_or_default();
            let id = id.unwrap_or_else(|| Cow::Owned(format!("{answer}_{call}")));
            self.calls.push((index, Box::from(&*id)));
            let name = name.map(Text::from).unwrap_or_default();
            deltas.push(Delta::ToolStart { call, id, name });
            call
        });
        if let Some(json) = arguments.map(Text::from).filter(|json| !json.is_empty()) {
            deltas.push(Delta::ToolInput { call, json });
        }
    }
}
