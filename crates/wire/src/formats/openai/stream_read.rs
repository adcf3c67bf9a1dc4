//! Reads chunks of the OpenAI wire as neutral deltas.
//!
//! Called for clients of another format, and by the tap. Always true: only the first choice counts; a call starts when
//! its index is new, or its id under a known index; everything that a chunk adds is in its deltas, or the stream ends.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{HalfCharacters, MessageContent, Piece};
use super::stop_of;
use crate::bytes::json::{Str, Word, lossy};
use crate::bytes::members::texts;
use crate::formats::errors;
use crate::formats::event::EventError;
use crate::formats::neutral::{Delta, Stop, Text, check_call, cut_id};
use crate::formats::signed_call;
use crate::formats::usage::{of_tier, parse_usage};

/// What was learned from earlier chunks.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    id: Option<Box<str>>,
    halves: HalfCharacters,
    /// Calls so far.
    calls: usize,
    /// The newest call of each index, and the half of a character that its last piece ended with.
    newest: BTreeMap<u64, (usize, Option<u16>)>,
    /// All calls, by index and id.
    named: BTreeMap<(u64, Box<str>), usize>,
    last_index: u64,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<Word<'a>>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    finish_reason: Option<Word<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Calls<'a> {
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    id: Option<Word<'a>>,
    #[serde(borrow)]
    extra_content: Option<&'a RawValue>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Option<Str<'a>>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

impl Reader {
    /// Whether a text ended within a character.
    pub(crate) fn has_half(&self) -> bool {
        self.halves.are_open()
    }

    /// The deltas of the chunk `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        if text.trim() == "[DONE]" {
            return Ok(vec![Delta::End]);
        }
        let chunk: Chunk<'t> = serde_json::from_str(text).map_err(|why| no_chunk(text, &why))?;
        let is_bare = chunk.choices.is_none() && chunk.usage.is_none();
        if chunk.error.is_some() || (is_bare && errors::is_error(text)) {
            return Err(errors::parse_provider_error(text.as_bytes()).into());
        }
        let mut deltas = Vec::with_capacity(2);
        let choices = chunk.choices.unwrap_or_default();
        let id = cut_id(chunk.id.unwrap_or_default().0);
        // Azure first sends a chunk about the prompt, which has neither.
        if self.id.is_none() && !(id.is_empty() && choices.is_empty()) {
            self.id = Some(Box::from(&*id));
            deltas.push(Delta::Start(id));
        }
        // Moonshot's place for the usage, and Groq's.
        let mut usage = chunk.usage.map(RawValue::get);
        for choice in choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            usage = usage.or(choice.usage.map(RawValue::get));
            if let Some(piece) = choice.delta {
                self.piece(piece.get(), &mut deltas)?;
            }
            let reason = choice.finish_reason.map(Text::from).filter(|reason| !reason.is_empty());
            if let Some(reason) = reason {
                let stop = match stop_of(&reason, choice.error.map(RawValue::get))
                    .map_err(EventError::from)?
                {
                    // Some providers report an ordinary end.
                    Stop::End if self.calls > 0 => Stop::Tools,
                    stop => stop,
                };
                deltas.push(Delta::Stop(stop, None));
            }
        }
        let usage = usage.or_else(|| texts(chunk.x_groq?.get(), ["usage"]).ok()?[0]);
        let tier = chunk.service_tier.map(RawValue::get);
        let usage = usage.and_then(parse_usage).map(|usage| of_tier(usage, tier));
        deltas.extend(usage.map(Delta::Usage));
        Ok(deltas)
    }

    fn piece<'t>(&mut self, raw: &'t str, deltas: &mut Vec<Delta<'t>>) -> Result<(), EventError> {
        let unreadable = |why: serde_json::Error| EventError::Unreadable(why.to_string());
        let content: MessageContent<'t> = serde_json::from_str(raw).map_err(unreadable)?;
        let pieces = content.pieces(&mut self.halves).map_err(EventError::Unreadable)?;
        deltas.extend(pieces.into_iter().map(|piece| match piece {
            Piece::Text(text) => Delta::Text(text),
            Piece::Thinking(text) => Delta::Thinking(text),
            Piece::Refusal(text) => Delta::Refusal(text),
        }));
        let calls: Calls<'t> = serde_json::from_str(raw).map_err(unreadable)?;
        for call in calls.tool_calls.into_iter().flatten() {
            self.call(call, deltas)?;
        }
        Ok(())
    }

    fn call<'t>(&mut self, given: Call<'t>, deltas: &mut Vec<Delta<'t>>) -> Result<(), EventError> {
        let (name, arguments) =
            given.function.map_or((None, None), |function| (function.name, function.arguments));
        let id = given.id.map(Text::from).filter(|id| !id.is_empty());
        let index = given.index.unwrap_or(self.last_index);
        self.last_index = index;
        // A server that tells calls apart by nothing else names each of them once.
        let begins = given.index.is_none()
            && id.is_none()
            && name.as_ref().is_some_and(|name| !name.0.is_empty())
            && arguments.is_none_or(begins_input);
        let known = match &id {
            None if begins => None,
            None => self.newest.get(&index).map(|newest| newest.0),
            Some(id) => self.named.get(&(index, Box::from(&**id))).copied(),
        };
        let call = match known {
            Some(call) => call,
            None => {
                let call = self.calls;
                let answer = self.id.as_deref().unwrap_or_default();
                let id = id.unwrap_or_else(|| Cow::Owned(format!("{answer}_{call}")));
                let name = name.map(Text::from).unwrap_or_default();
                check_call(call, &id, &name)?;
                self.calls += 1;
                self.newest.insert(index, (call, None));
                self.named.insert((index, Box::from(&*id)), call);
                let id = signed_call::joined(id, given.extra_content);
                deltas.push(Delta::ToolStart { call, id, name });
                call
            }
        };
        let Some(arguments) = arguments else { return Ok(()) };
        let mut other = None;
        let half = match self.newest.get_mut(&index) {
            Some((newest, half)) if *newest == call => half,
            _ => &mut other,
        };
        // Some providers send the object itself.
        let json = lossy(arguments.get(), half).unwrap_or(Cow::Borrowed(arguments.get()));
        if !json.is_empty() {
            deltas.push(Delta::ToolInput { call, json });
        }
        Ok(())
    }
}

/// Whether the arguments of a call, or a piece of them, begin an object, or are empty.
fn begins_input(arguments: &RawValue) -> bool {
    let text = arguments.get().trim_start_matches('"').trim_start();
    text.is_empty() || text.starts_with('{')
}

/// Why `text` is not a chunk: it adds nothing to the answer, or it does and cannot be read.
fn no_chunk(text: &str, why: &serde_json::Error) -> EventError {
    let Ok([error, choices]) = texts(text, ["error", "choices"]) else {
        return EventError::Malformed;
    };
    match choices {
        None if errors::is_error(text) => errors::parse_provider_error(text.as_bytes()).into(),
        Some(_) if error.is_some() => errors::parse_provider_error(text.as_bytes()).into(),
        Some(choices) if choices != "[]" => EventError::Unreadable(why.to_string()),
        _ => EventError::Malformed,
    }
}
