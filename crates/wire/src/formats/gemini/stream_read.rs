//! Reads events of Google's stream as neutral deltas.
//!
//! Called for clients of other formats, and by the tap. Always true: calls are numbered in the order in which they come, and
//! come whole; the counts of each event replace those of the one before.

use super::answer::{mark, own_id, signed};
use super::chunk::{self, Wrong};
use super::grounding::{self, Places};
use super::part::{Part, Said};
use crate::formats::errors;
use crate::formats::event::EventError;
use crate::formats::neutral::{Delta, check_call, cut_id};

/// What was learned from earlier events.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The provider's id of the answer, once it began.
    id: Option<Box<str>>,
    /// Calls so far.
    calls: usize,
    /// Where the characters of its text stand.
    places: Places,
    /// Citations so far.
    cited: usize,
    /// Images so far.
    images: u32,
    /// Whether something was said besides thoughts.
    has_content: bool,
}

impl Reader {
    /// The deltas of the event `text`.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        let chunk = chunk::read(text).map_err(|wrong| match wrong {
            _ if errors::is_error(text) => errors::parse_provider_error(text.as_bytes()).into(),
            Wrong::NoObject => EventError::Malformed,
            Wrong::Broken(why) => EventError::Unreadable(why),
            Wrong::Refused(error) => error.into(),
        })?;
        if !chunk.is_answer && errors::is_error(text) {
            return Err(errors::parse_provider_error(text.as_bytes()).into());
        }
        let mut deltas = Vec::with_capacity(chunk.parts.len() + 2);
        if self.id.is_none() && chunk.is_answer {
            let id = cut_id(chunk.id);
            self.id = Some(Box::from(&*id));
            deltas.push(Delta::Start(id));
        }
        for part in chunk.parts {
            self.images = self.images.saturating_add(u32::from(part.is_image()));
            self.part(part, &mut deltas)?;
        }
        if let Some(metadata) = chunk.grounding {
            // An event has the citations of those before it, too.
            let found = grounding::read(metadata, &self.places);
            let before = self.cited;
            self.cited = before.max(found.len());
            let new = found.into_iter().skip(before);
            deltas.extend(new.map(|one| Delta::Citation(Box::new(one))));
        }
        deltas.extend(chunk.usage.map(|mut usage| {
            usage.drawn.images = self.images;
            Delta::Usage(usage)
        }));
        if let Some(finish) = chunk.finish {
            let stop = finish.stop(self.calls, self.has_content);
            deltas.push(Delta::Stop(stop.map_err(EventError::Unreadable)?, None));
        }
        Ok(deltas)
    }

    fn part<'t>(&mut self, part: Part<'t>, deltas: &mut Vec<Delta<'t>>) -> Result<(), EventError> {
        let signature = part.signature;
        match part.said {
            Said::Call { id, name, input } => {
                let call = self.calls;
                let id = own_id(id, call, self.id.as_deref().unwrap_or_default());
                let id = signed(id, &signature);
                check_call(call, &id, &name)?;
                self.calls += 1;
                deltas.push(Delta::ToolStart { call, id, name });
                deltas.push(Delta::ToolInput { call, json: input });
                return Ok(());
            }
            Said::Text(text) => {
                self.has_content = true;
                self.places.add(&text);
                deltas.push(Delta::Text(text));
            }
            Said::Thought(text) => deltas.push(Delta::Thinking(text)),
            Said::Data { media_type, data } => {
                self.has_content = true;
                deltas.push(Delta::Image { media_type, data });
            }
            Said::Nothing => {}
        }
        if !signature.is_empty() {
            deltas.push(Delta::Signature(mark(&signature)));
        }
        Ok(())
    }
}
