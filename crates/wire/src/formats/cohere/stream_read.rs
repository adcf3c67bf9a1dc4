//! Reads events of Cohere's stream as neutral deltas.
//!
//! Called for clients of other formats, and by the tap. Always true: calls are numbered in the order in which they begin; an
//! event that adds a content of an unknown kind is an error; nothing is read behind the end.

use super::answer::own_id;
use super::citation::{self, CITATIONS_MAX, Starts};
use super::finish::{self, Failure};
use super::usage;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::formats::errors::{self, clean};
use crate::formats::event::EventError;
use crate::formats::neutral::{Delta, Text, check_call, cut_id};
use crate::formats::usage::count_of;

/// What was learned from earlier events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The provider's id of the answer, once it began.
    id: Option<Box<str>>,
    /// The calls so far, in order.
    calls: Vec<Called>,
    /// Where the texts begin.
    starts: Starts,
    /// Citations so far.
    citations: usize,
    /// The halves of characters that the last pieces ended with: of texts, of thoughts, of arguments.
    halves: [Option<u16>; 3],
}

/// A call that began.
#[derive(Debug)]
struct Called {
    /// The provider's number of it.
    index: u64,
    /// Whether a piece of its input came.
    has_input: bool,
}

/// The kinds of text, by the place of their half.
#[derive(Clone, Copy)]
enum Kind {
    Text = 0,
    Thought = 1,
    Input = 2,
}

fn unreadable(why: &str) -> EventError {
    EventError::Unreadable(why.to_owned())
}

impl Reader {
    /// The deltas of the event `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let [kind, index, delta, id] = texts(text, ["type", "index", "delta", "id"])?;
        let Some(kind) = kind else {
            return Err(match errors::is_error(text) {
                true => errors::parse_provider_error(text.as_bytes()).into(),
                false => EventError::Malformed,
            });
        };
        let index = index.and_then(count_of).unwrap_or(0);
        let mut deltas = Vec::with_capacity(2);
        if self.id.is_none() && kind != "\"error\"" {
            let id = cut_id(id.and_then(|raw| lossy(raw, &mut None)).unwrap_or_default());
            self.id = Some(Box::from(&*id));
            deltas.push(Delta::Start(id));
        }
        let message = || -> Result<&'t str, EventError> {
            let [message] = texts(delta.unwrap_or("{}"), ["message"])?;
            Ok(message.unwrap_or("{}"))
        };
        match kind {
            "\"message-start\"" | "\"content-end\"" | "\"citation-end\"" | "\"debug\"" => {}
            "\"content-start\"" | "\"content-delta\"" => {
                self.content(index, message()?, &mut deltas)?;
            }
            "\"tool-plan-delta\"" => {
                let [plan] = texts(message()?, ["tool_plan"])?;
                deltas.extend(self.piece(plan, Kind::Thought)?.map(Delta::Thinking));
            }
            "\"tool-call-start\"" => self.call(index, message()?, &mut deltas)?,
            "\"tool-call-delta\"" => self.input(index, message()?, &mut deltas)?,
            "\"tool-call-end\"" => deltas.extend(self.end_of_call(index)),
            "\"citation-start\"" => self.cite(message()?, &mut deltas)?,
            "\"message-end\"" => self.end(delta.unwrap_or("{}"), &mut deltas)?,
            "\"error\"" => return Err(errors::parse_provider_error(text.as_bytes()).into()),
            // What has no delta adds nothing.
            other if delta.is_some() => {
                let other = clean(other, 60);
                return Err(EventError::Unreadable(format!("an event of type {other}")));
            }
            _ => {}
        }
        Ok(deltas)
    }

    fn content<'t>(
        &mut self,
        index: u64,
        message: &'t str,
        deltas: &mut Vec<Delta<'t>>,
    ) -> Result<(), EventError> {
        let [content] = texts(message, ["content"])?;
        let Some(content) = content else { return Ok(()) };
        let [kind, text, thinking] = texts(content, ["type", "text", "thinking"])?;
        if let Some(kind) = kind.filter(|kind| !matches!(*kind, "\"text\"" | "\"thinking\"")) {
            let kind = clean(kind, 60);
            return Err(EventError::Unreadable(format!("a content of type {kind}")));
        }
        if let Some(text) = self.piece(text, Kind::Text)? {
            self.starts.text(index, &text);
            deltas.push(Delta::Text(text));
        }
        deltas.extend(self.piece(thinking, Kind::Thought)?.map(Delta::Thinking));
        Ok(())
    }

    /// A piece of text; `None` if it is empty.
    fn piece<'t>(
        &mut self,
        raw: Option<&'t str>,
        kind: Kind,
    ) -> Result<Option<Text<'t>>, EventError> {
        let Some(raw) = raw else { return Ok(None) };
        let text = lossy(raw, &mut self.halves[kind as usize]);
        let text = text.ok_or_else(|| unreadable("a piece of the answer that is no text"))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn call<'t>(
        &mut self,
        index: u64,
        message: &'t str,
        deltas: &mut Vec<Delta<'t>>,
    ) -> Result<(), EventError> {
        let [id, function] = called(message, ["id", "function"])?;
        let [name, given] = texts(function.unwrap_or("{}"), ["name", "arguments"])?;
        let name = name.and_then(|raw| lossy(raw, &mut None));
        let name = name.ok_or_else(|| unreadable("a call without a name"))?;
        let call = self.calls.len();
        let id = id.and_then(|raw| lossy(raw, &mut None));
        let id = own_id(id, call, self.id.as_deref().unwrap_or_default());
        check_call(call, &id, &name)?;
        if self.calls.iter().any(|known| known.index == index) {
            return Err(unreadable("a call that began before"));
        }
        deltas.push(Delta::ToolStart { call, id, name });
        let given = self.piece(given, Kind::Input)?;
        self.calls.push(Called { index, has_input: given.is_some() });
        deltas.extend(given.map(|json| Delta::ToolInput { call, json }));
        Ok(())
    }

    fn input<'t>(
        &mut self,
        index: u64,
        message: &'t str,
        deltas: &mut Vec<Delta<'t>>,
    ) -> Result<(), EventError> {
        let [function] = called(message, ["function"])?;
        let [given] = texts(function.unwrap_or("{}"), ["arguments"])?;
        let Some(json) = self.piece(given, Kind::Input)? else { return Ok(()) };
        let call = self.calls.iter().position(|known| known.index == index);
        let call = call.ok_or_else(|| unreadable("a piece of a call that did not begin"))?;
        self.calls[call].has_input = true;
        deltas.push(Delta::ToolInput { call, json });
        Ok(())
    }

    /// A call without any input gets an empty one.
    fn end_of_call(&mut self, index: u64) -> Option<Delta<'static>> {
        let call = self.calls.iter().position(|known| known.index == index && !known.has_input)?;
        self.calls[call].has_input = true;
        Some(Delta::ToolInput { call, json: "{}".into() })
    }

    fn cite<'t>(
        &mut self,
        message: &'t str,
        deltas: &mut Vec<Delta<'t>>,
    ) -> Result<(), EventError> {
        let [citation] = texts(message, ["citations"])?;
        for one in citation.map(|raw| citation::read(raw, &self.starts)).unwrap_or_default() {
            self.citations += 1;
            if self.citations > CITATIONS_MAX {
                return Err(unreadable("too many citations"));
            }
            deltas.push(Delta::Citation(Box::new(one)));
        }
        Ok(())
    }

    fn end<'t>(&mut self, delta: &'t str, deltas: &mut Vec<Delta<'t>>) -> Result<(), EventError> {
        let [reason, error, counts] = texts(delta, ["finish_reason", "error", "usage"])?;
        let stop =
            finish::stop(reason, error, self.calls.len()).map_err(|failure| match failure {
                Failure::Spoilt(why) => EventError::Unreadable(why),
                Failure::Provider(error) => error.into(),
            })?;
        let open: Vec<u64> = self.calls.iter().map(|call| call.index).collect();
        deltas.extend(open.into_iter().filter_map(|index| self.end_of_call(index)));
        deltas.extend(counts.and_then(usage::read).map(Delta::Usage));
        if let Some(stop) = stop {
            deltas.push(Delta::Stop(stop, None));
            deltas.push(Delta::End);
        }
        Ok(())
    }
}

/// Members of the one call in a message's `tool_calls`.
fn called<'t, const N: usize>(
    message: &'t str,
    names: [&str; N],
) -> Result<[Option<&'t str>; N], EventError> {
    let [call] = texts(message, ["tool_calls"])?;
    Ok(texts(call.unwrap_or("{}"), names)?)
}
