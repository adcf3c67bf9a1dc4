//! An answer that broke off, and another one that goes on behind it.
//!
//! Made by the gateway from the events that the client has, given to the reader of the other answer. Always true: what was said
//! is read by the same readers as any stream; of the other answer nothing is written before it has said all that was held back,
//! and that is not written again; ids, numbers and places go on.

use hale_core::provider::{ClientFormat, WireFormat};
use hale_core::rescue::{Cut, Echo, Met, No, RescueMode, Said, Seam};
use hale_core::usage::Usage;

use crate::bytes::framing::sse::{self, Data};
use crate::bytes::kept::Kept;
use crate::bytes::members::texts;
use crate::conversion::translation::{DeltaReader, DeltaWriter};
use crate::formats::event::EventError;
use crate::formats::neutral::Delta;
pub use crate::formats::prefixed::{is_prefilled, refuses};
use crate::formats::{anthropic, gemini, openai, responses};

/// An answer that broke off.
#[derive(Debug)]
pub struct Broken {
    format: WireFormat,
    kept: Kept,
    cut: Cut,
    /// The tokens that were charged for it.
    earlier: Usage,
}

impl Broken {
    /// Reads back what a client of `format` has, and cuts it.
    ///
    /// # Errors
    /// Why no other answer goes on behind it.
    pub fn read(format: WireFormat, kept: Kept, mode: RescueMode) -> Result<Broken, No> {
        if kept.is_lost() {
            return Err(No::TooLong);
        }
        let cut = said(format, &kept)?.cut(mode)?;
        writer(format, &kept)?;
        Ok(Broken { format, kept, cut, earlier: Usage::default() })
    }

    /// These tokens are charged for it.
    pub fn charged(&mut self, usage: Usage) {
        self.earlier = usage;
    }

    /// Where it is cut.
    #[must_use]
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The events that the client has.
    #[must_use]
    pub fn into_kept(self) -> Kept {
        self.kept
    }

    /// The writer of what goes on, and what is compared first.
    pub(super) fn go_on(&self, echo: Echo) -> Option<(DeltaWriter, Joint)> {
        let joint = Joint { seam: self.cut.seam(echo), earlier: self.earlier, compared: 0 };
        Some((writer(self.format, &self.kept).ok()?, joint))
    }
}

/// What the events say.
fn said(format: WireFormat, kept: &Kept) -> Result<Said, No> {
    let mut reader = DeltaReader::of(format);
    let mut said = Said::default();
    payloads(kept, |text| {
        match reader.read(text) {
            Ok(deltas) => deltas.iter().for_each(|delta| hear(&mut said, delta)),
            Err(EventError::Malformed) => {}
            Err(
                EventError::Provider(_)
                | EventError::Unreadable(_)
                | EventError::Unfinished
                | EventError::Differs,
            ) => {
                said.refuse(No::NotText);
            }
        }
        Ok(())
    })?;
    if reader.has_half() {
        said.refuse(No::BetweenParts);
    }
    Ok(said)
}

fn hear(said: &mut Said, delta: &Delta<'_>) {
    match delta {
        Delta::Text(text) => said.text(text),
        Delta::Thinking(_) | Delta::Signature(_) | Delta::Redacted(_) => said.reasoning(),
        Delta::ToolStart { .. } | Delta::ToolInput { .. } => said.refuse(No::ToolCall),
        Delta::Citation(_) => said.refuse(No::Citations),
        Delta::Refusal(_) | Delta::Image { .. } => said.refuse(No::NotText),
        // Nothing follows an end.
        Delta::Stop(..) | Delta::End => said.refuse(No::BetweenParts),
        Delta::Start(_) | Delta::Usage(_) | Delta::Ping => {}
    }
}

/// The writer of what follows the events.
fn writer(format: WireFormat, kept: &Kept) -> Result<DeltaWriter, No> {
    match format.of_clients() {
        ClientFormat::OpenAi => {
            let mut last = None;
            payloads(kept, |text| {
                let [choices] = texts(text, ["choices"]).map_err(|_| No::NotText)?;
                if choices.is_some_and(|choices| choices != "[]") {
                    last = Some(text.to_owned());
                }
                Ok(())
            })?;
            let writer = openai::stream_write::Writer::behind(&last.ok_or(No::BetweenParts)?);
            writer.map(DeltaWriter::OpenAi).ok_or(No::NotText)
        }
        ClientFormat::Anthropic => {
            let mut behind = anthropic::behind::Behind::default();
            payloads(kept, |text| behind.take(text))?;
            Ok(DeltaWriter::Anthropic(behind.writer()?))
        }
        ClientFormat::Responses => {
            let mut behind = responses::behind::Behind::default();
            payloads(kept, |text| behind.take(text))?;
            Ok(DeltaWriter::Responses(behind.writer()?))
        }
        ClientFormat::Gemini => {
            let mut behind = gemini::behind::Behind::default();
            payloads(kept, |text| behind.take(text))?;
            Ok(DeltaWriter::Gemini(behind.writer()?))
        }
    }
}

/// Calls `each` with the payloads of the events.
fn payloads(kept: &Kept, mut each: impl FnMut(&str) -> Result<(), No>) -> Result<(), No> {
    let mut result = Ok(());
    kept.events(|event| {
        let joined;
        let payload = match sse::data(event) {
            Data::None => return true,
            Data::Line(place) => &event[place],
            Data::Lines(lines) => {
                joined = lines;
                &joined[..]
            }
        };
        result = match std::str::from_utf8(payload) {
            Ok(text) => each(text),
            Err(_) => Err(No::NotText),
        };
        result.is_ok()
    });
    result
}

/// Where another answer meets the one that broke off.
#[derive(Debug)]
pub(crate) struct Joint {
    seam: Seam,
    earlier: Usage,
    /// Bytes of texts that were compared and not written, and not yet counted.
    compared: usize,
}

impl Joint {
    /// Whether the other answer has said all that was held back.
    pub(crate) fn has_met(&self) -> bool {
        self.seam.has_met()
    }

    /// Bytes of texts that were compared since the last time.
    pub(crate) fn take_compared(&mut self) -> usize {
        std::mem::take(&mut self.compared)
    }

    /// The tokens of both answers, as far as the other one's are counted.
    pub(crate) fn sum(&self, own: &Usage) -> Usage {
        let mut sum = *own;
        let Usage { output, reasoning, .. } = self.earlier;
        if own.input > 0 {
            sum.add(&Usage { output: 0, reasoning: 0, ..self.earlier });
        }
        if own.output > 0 {
            sum.add(&Usage { output, reasoning, ..Usage::default() });
        }
        sum
    }

    /// Leaves out what is compared only.
    ///
    /// # Errors
    /// If it is another answer.
    pub(crate) fn filter(&mut self, deltas: &mut Vec<Delta<'_>>) -> Result<(), EventError> {
        let mut differs = false;
        deltas.retain_mut(|delta| {
            let keeps = !differs && self.keeps(delta);
            differs |= keeps && !self.seam.has_met() && !matches!(delta, Delta::Usage(_));
            keeps
        });
        if differs { Err(EventError::Differs) } else { Ok(()) }
    }

    /// Whether the delta stays. One that stays before both met is of another answer.
    fn keeps(&mut self, delta: &mut Delta<'_>) -> bool {
        match delta {
            Delta::Start(_) => false,
            Delta::Text(text) => match self.seam.take(text) {
                Met::Differs => {
                    self.compared += text.len();
                    true
                }
                Met::NotYet => {
                    self.compared += text.len();
                    false
                }
                Met::Passed(tail) if tail.len() == text.len() => !tail.is_empty(),
                Met::Passed(tail) => {
                    self.compared += text.len() - tail.len();
                    let tail = tail.to_owned();
                    let says = !tail.is_empty();
                    *text = tail.into();
                    says
                }
            },
            // What it thinks before it goes on is no part of the answer.
            Delta::Thinking(text) | Delta::Redacted(text) if !self.seam.has_met() => {
                self.compared += text.len();
                false
            }
            Delta::Signature(_) | Delta::Ping => self.seam.has_met(),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests;
