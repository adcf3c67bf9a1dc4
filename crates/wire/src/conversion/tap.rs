//! The tap: the content of an answer as neutral deltas, also if its bytes pass unchanged.
//!
//! For code that has to know an answer while it passes, such as a check of its content, or a second attempt that
//! continues a broken stream. Always true: the client gets the same bytes with and without a tap; without a tap
//! nothing is parsed for it; a tap holds the deltas of one push only.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

use crate::conversion::prepare::Conversion;
use crate::conversion::translation::DeltaReader;
use crate::formats::answer::Fault;
use crate::formats::event::EventError;
use crate::formats::neutral::Delta;
use crate::formats::{anthropic, bedrock, cohere, gemini, ollama, openai, responses};

/// The tap of one stream.
#[derive(Debug)]
pub struct Tap {
    reader: DeltaReader,
    deltas: Vec<Delta<'static>>,
    missed: u64,
}

impl Tap {
    /// A tap for an answer of this conversion; `None` if such answers have no neutral form.
    pub(crate) fn of(conversion: Conversion) -> Option<Tap> {
        let reader = match conversion.operation {
            Operation::Chat
            | Operation::Messages
            | Operation::Responses
            | Operation::GenerateContent => DeltaReader::of(conversion.wire),
            Operation::GetResponse => {
                DeltaReader::Responses(responses::stream_read::Reader::default())
            }
            _ => return None,
        };
        Some(Tap { reader, deltas: Vec::new(), missed: 0 })
    }

    /// What the events of the last push added to the answer. Of several choices only the first counts.
    #[must_use]
    pub fn deltas(&self) -> &[Delta<'static>] {
        &self.deltas
    }

    /// The number of events so far that added something without a neutral form, such as audio.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    pub(crate) fn clear(&mut self) {
        self.deltas.clear();
    }

    /// Takes an event that passes unchanged.
    pub(crate) fn event(&mut self, text: &str) {
        match self.reader.read(text) {
            Ok(deltas) => self.deltas.extend(deltas.into_iter().map(Delta::into_owned)),
            // The observer of the stream reports errors and skips malformed events.
            Err(EventError::Provider(_) | EventError::Malformed) => {}
            Err(EventError::Unreadable(_) | EventError::Unfinished | EventError::Differs) => {
                self.missed += 1;
            }
        }
    }

    /// Takes what a translated event added.
    pub(crate) fn translated(&mut self, deltas: &[Delta<'_>]) {
        self.deltas.extend(deltas.iter().cloned().map(Delta::into_owned));
    }
}

/// The content of the full answer `body` as the deltas of a stream; none if it has no neutral form.
///
/// # Errors
/// If it does not follow the wire format.
pub fn answer(conversion: Conversion, body: &Bytes) -> Result<Vec<Delta<'static>>, Fault> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Fault::Malformed("a body that is not UTF-8".to_owned()));
    };
    let answer = match conversion.operation {
        Operation::Chat
        | Operation::Messages
        | Operation::Responses
        | Operation::GenerateContent => match conversion.wire {
            WireFormat::OpenAi => openai::answer::read(text)?,
            WireFormat::Anthropic => anthropic::answer::read(text)?,
            WireFormat::Gemini => gemini::answer::read(text)?,
            WireFormat::Cohere => cohere::answer::read(text)?,
            WireFormat::Converse => bedrock::answer::read(text)?,
            WireFormat::Ollama => ollama::answer::read(text)?,
            WireFormat::Responses => responses::answer::read(text)?,
        },
        Operation::GetResponse => responses::answer::read(text)?,
        _ => return Ok(Vec::new()),
    };
    Ok(answer.into_deltas().into_iter().map(Delta::into_owned).collect())
}

#[cfg(test)]
mod tests;
