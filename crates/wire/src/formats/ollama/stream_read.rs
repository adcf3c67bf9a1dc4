//! Reads lines of Ollama's stream as neutral deltas.
//!
//! Called for clients of all formats, and by the tap. Always true: calls are numbered in the order in which they come, and come
//! whole; the line that is done is the last one.

use super::chunk::{self, Wrong};
use crate::formats::event::EventError;
use crate::formats::neutral::{Delta, Stop, check_call};

/// What was learned from earlier lines.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The id of the answer, once it began.
    id: Option<Box<str>>,
    /// Calls so far.
    calls: usize,
}

impl Reader {
    /// The deltas of the line `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let chunk = chunk::read(text).map_err(|wrong| match wrong {
            Wrong::NoObject | Wrong::NoAnswer => EventError::Malformed,
            Wrong::Broken(why) => EventError::Unreadable(why),
            Wrong::Refused(error) => error.into(),
        })?;
        let mut deltas = Vec::with_capacity(4);
        let id = match &self.id {
            Some(id) => id,
            None => {
                let id = chunk.id();
                deltas.push(Delta::Start(id.clone().into()));
                self.id.insert(id.into())
            }
        };
        if !chunk.thoughts.is_empty() {
            deltas.push(Delta::Thinking(chunk.thoughts));
        }
        if !chunk.text.is_empty() {
            deltas.push(Delta::Text(chunk.text));
        }
        for mut call in chunk.calls {
            let (place, call_id) = (self.calls, call.id_in(id, self.calls));
            check_call(place, &call_id, &call.name)?;
            self.calls += 1;
            deltas.push(Delta::ToolStart { call: place, id: call_id, name: call.name });
            deltas.push(Delta::ToolInput { call: place, json: call.input });
        }
        if let Some(end) = chunk.end {
            deltas.extend(chunk.usage.map(Delta::Usage));
            let stop = if end == Stop::End && self.calls > 0 { Stop::Tools } else { end };
            deltas.push(Delta::Stop(stop, None));
            deltas.push(Delta::End);
        }
        Ok(deltas)
    }
}
