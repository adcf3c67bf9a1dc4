//! The tap: what an answer says, as neutral deltas, also where its bytes pass unchanged.
//!
//! For whoever has to know the words of an answer while it passes: a check of its content, or a second
//! attempt that goes on where a stream broke. Always true: the bytes for the client are the same with a tap
//! and without; where nobody listens nothing is parsed for it; what it holds is of one push.

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;

use crate::conversion::prepare::Conversion;
use crate::conversion::translation::DeltaReader;
use crate::formats::answer::Fault;
use crate::formats::event::EventError;
use crate::formats::neutral::Delta;
use crate::formats::{anthropic, openai, responses};

/// Listens to one stream.
#[derive(Debug)]
pub struct Tap {
    reader: DeltaReader,
    deltas: Vec<Delta<'static>>,
    missed: u64,
}

impl Tap {
    /// For an answer that comes by `conversion`; `None` where it has no neutral form.
    pub(crate) fn of(conversion: Conversion) -> Option<Tap> {
        let reader = match conversion.operation {
            Operation::Chat | Operation::Messages => DeltaReader::of(conversion.wire),
            Operation::Responses | Operation::GetResponse => {
                DeltaReader::Responses(responses::stream_read::Reader::default())
            }
            _ => return None,
        };
        Some(Tap { reader, deltas: Vec::new(), missed: 0 })
    }

    /// What the events of the last push added to the answer.
    #[must_use]
    pub fn deltas(&self) -> &[Delta<'static>] {
        &self.deltas
    }

    /// Events so far that added something which has no neutral form, such as audio.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    pub(crate) fn clear(&mut self) {
        self.deltas.clear();
    }

    /// Takes an event that passes as it is.
    pub(crate) fn event(&mut self, text: &str) {
        match self.reader.read(text) {
            Ok(deltas) => self.deltas.extend(deltas.into_iter().map(Delta::into_owned)),
            // The stream's own observer tells of errors, and skips what is malformed.
            Err(EventError::Provider(_) | EventError::Malformed) => {}
            Err(EventError::Unreadable(_)) => self.missed += 1,
        }
    }

    /// Takes what a translated event added.
    pub(crate) fn translated(&mut self, deltas: &[Delta<'_>]) {
        self.deltas.extend(deltas.iter().cloned().map(Delta::into_owned));
    }
}

/// What the full answer `body` says that came by `conversion`, in the order of a stream; nothing where it has no
/// neutral form.
///
/// # Errors
/// When it is not what the wire promises.
pub fn answer(conversion: Conversion, body: &Bytes) -> Result<Vec<Delta<'static>>, Fault> {
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(Fault::Malformed("a body that is not UTF-8".to_owned()));
    };
    let answer = match (conversion.operation, conversion.wire) {
        (Operation::Chat | Operation::Messages, WireFormat::OpenAi) => openai::answer::read(text)?,
        (Operation::Chat | Operation::Messages, WireFormat::Anthropic) => {
            anthropic::answer::read(text)?
        }
        (Operation::Responses | Operation::GetResponse, _) => responses::answer::read(text)?,
        _ => return Ok(Vec::new()),
    };
    Ok(answer.into_deltas().into_iter().map(Delta::into_owned).collect())
}

#[cfg(test)]
mod tests;
