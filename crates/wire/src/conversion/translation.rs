//! A stream between two formats: a reader of the provider's events and a writer of the client's.
//!
//! Called by [`crate::conversion::stream`] with each event. Always true: deltas are written at once, except those that
//! the client's format needs later.

use hale_core::provider::{ClientFormat, WireFormat};

use crate::conversion::rescue::Joint;
use crate::formats::answer_tool::Unwrapper;
use crate::formats::errors::ErrorReply;
use crate::formats::event::{EventError, Progress};
use crate::formats::neutral::Delta;
use crate::formats::view::View;
use crate::formats::{anthropic, bedrock, cohere, gemini, ollama, openai, responses};

/// A stream between two formats.
#[derive(Debug)]
pub(crate) struct Translation {
    reader: DeltaReader,
    unwrapper: Unwrapper,
    writer: DeltaWriter,
    /// Where it meets an answer that broke off.
    joint: Option<Box<Joint>>,
}

/// Whether the deltas end a stream without the reason of its end.
fn ends_open(deltas: &[Delta<'_>]) -> bool {
    deltas.iter().any(|delta| matches!(delta, Delta::End))
        && !deltas.iter().any(|delta| matches!(delta, Delta::Stop(..)))
}

/// A reader of a provider's events.
#[derive(Debug)]
pub(crate) enum DeltaReader {
    OpenAi(openai::stream_read::Reader),
    Anthropic(anthropic::stream_read::Reader),
    Gemini(gemini::stream_read::Reader),
    Cohere(cohere::stream_read::Reader),
    Converse(bedrock::stream_read::Reader),
    Ollama(ollama::stream_read::Reader),
    Responses(responses::stream_read::Reader),
}

/// A writer of a client's events.
#[derive(Debug)]
pub(crate) enum DeltaWriter {
    OpenAi(openai::stream_write::Writer),
    Anthropic(anthropic::stream_write::Writer),
    Responses(responses::stream_write::Writer),
    Gemini(gemini::stream_write::Writer),
}

impl DeltaReader {
    /// The reader of chats on that wire.
    pub(crate) fn of(wire: WireFormat) -> DeltaReader {
        match wire {
            WireFormat::OpenAi => DeltaReader::OpenAi(Default::default()),
            WireFormat::Anthropic => DeltaReader::Anthropic(Default::default()),
            WireFormat::Gemini => DeltaReader::Gemini(Default::default()),
            WireFormat::Cohere => DeltaReader::Cohere(Default::default()),
            WireFormat::Responses => DeltaReader::Responses(Default::default()),
            WireFormat::Converse => DeltaReader::Converse(Default::default()),
            WireFormat::Ollama => DeltaReader::Ollama(Default::default()),
        }
    }

    /// What the event `text` adds to the answer.
    ///
    /// # Errors
    /// Why it adds nothing.
    pub(crate) fn read<'t>(&mut self, text: &'t str) -> Result<Vec<Delta<'t>>, EventError> {
        match self {
            DeltaReader::OpenAi(reader) => reader.read(text),
            DeltaReader::Anthropic(reader) => reader.read(text),
            DeltaReader::Gemini(reader) => reader.read(text),
            DeltaReader::Cohere(reader) => reader.read(text),
            DeltaReader::Converse(reader) => reader.read(text),
            DeltaReader::Ollama(reader) => reader.read(text),
            DeltaReader::Responses(reader) => reader.read(text),
        }
    }
}

impl DeltaReader {
    /// Whether a piece ended within a character.
    pub(crate) fn has_half(&self) -> bool {
        match self {
            DeltaReader::OpenAi(reader) => reader.has_half(),
            DeltaReader::Anthropic(reader) => reader.has_half(),
            DeltaReader::Responses(reader) => reader.has_half(),
            // No client has these formats.
            DeltaReader::Gemini(_)
            | DeltaReader::Cohere(_)
            | DeltaReader::Converse(_)
            | DeltaReader::Ollama(_) => false,
        }
    }
}

impl Translation {
    /// From a provider's `wire` to a client's `format`.
    pub(crate) fn new(wire: WireFormat, format: WireFormat) -> Translation {
        Translation {
            reader: DeltaReader::of(wire),
            unwrapper: Unwrapper::default(),
            writer: match format.of_clients() {
                ClientFormat::OpenAi => DeltaWriter::OpenAi(Default::default()),
                ClientFormat::Anthropic => DeltaWriter::Anthropic(Default::default()),
                ClientFormat::Responses => DeltaWriter::Responses(Default::default()),
                ClientFormat::Gemini => DeltaWriter::Gemini(Default::default()),
            },
            joint: None,
        }
    }

    /// The same, behind an answer that broke off: `writer` goes on with its events.
    pub(crate) fn behind(wire: WireFormat, (writer, joint): (DeltaWriter, Joint)) -> Translation {
        let joint = Some(Box::new(joint));
        let reader = DeltaReader::of(wire);
        Translation { reader, unwrapper: Unwrapper::default(), writer, joint }
    }

    /// The response as it ended, if the client gets one.
    pub(crate) fn response(&self, view: &View) -> Option<Vec<u8>> {
        match &self.writer {
            DeltaWriter::Responses(writer) => writer.ended(view),
            DeltaWriter::OpenAi(_) | DeltaWriter::Anthropic(_) | DeltaWriter::Gemini(_) => None,
        }
    }

    /// Where it meets an answer that broke off, if it does.
    pub(crate) fn joint(&mut self) -> Option<&mut Joint> {
        self.joint.as_deref_mut()
    }

    /// Takes the event `text`; writes what it adds to the answer, and returns it.
    ///
    /// # Errors
    /// Why it adds nothing to the answer.
    pub(crate) fn event<'t>(
        &mut self,
        text: &'t str,
        (view, progress): (&View, &Progress),
        out: &mut Vec<u8>,
    ) -> Result<Vec<Delta<'t>>, EventError> {
        let mut deltas = self.reader.read(text)?;
        if progress.is_open() && ends_open(&deltas) {
            return Err(EventError::Unfinished);
        }
        for delta in &mut deltas {
            if let Delta::ToolStart { name, .. } = delta {
                view.restore_name(name);
            }
            if let (Delta::Start(given), Some(id)) = (&mut *delta, &view.answer_id)
                && given.is_empty()
            {
                *given = id.to_string().into();
            }
        }
        if view.has_answer_tool() {
            self.unwrapper.unwrap_deltas(&mut deltas);
        }
        if let Some(joint) = &mut self.joint {
            joint.filter(&mut deltas)?;
        }
        for delta in &deltas {
            self.write(delta, view, out).map_err(EventError::Unreadable)?;
        }
        Ok(deltas)
    }

    /// A ping.
    pub(crate) fn ping(&mut self, view: &View, out: &mut Vec<u8>) {
        // Only content can fail to be written.
        let _written = self.write(&Delta::Ping, view, out);
    }

    /// The answer is complete.
    pub(crate) fn close(&mut self, view: &View, out: &mut Vec<u8>) {
        let _written = self.write(&Delta::End, view, out);
    }

    fn write(&mut self, delta: &Delta<'_>, view: &View, out: &mut Vec<u8>) -> Result<(), String> {
        let both;
        let delta = match (delta, &self.joint) {
            (Delta::Usage(usage), Some(joint)) => {
                both = Delta::Usage(joint.sum(usage));
                &both
            }
            _ => delta,
        };
        match &mut self.writer {
            DeltaWriter::OpenAi(writer) => {
                writer.write(delta, view, out);
                Ok(())
            }
            DeltaWriter::Anthropic(writer) => writer.write(delta, view, out),
            DeltaWriter::Responses(writer) => writer.write(delta, view, out),
            DeltaWriter::Gemini(writer) => writer.write(delta, view, out),
        }
    }

    /// The event that reports a broken stream to a client of `format`.
    pub(crate) fn failure(
        &self,
        reply: &ErrorReply,
        (view, format): (&View, WireFormat),
    ) -> Vec<u8> {
        match &self.writer {
            DeltaWriter::Responses(writer) => writer.failure(reply, view),
            DeltaWriter::OpenAi(_) | DeltaWriter::Anthropic(_) | DeltaWriter::Gemini(_) => {
                reply.event(format)
            }
        }
    }
}

#[cfg(test)]
mod strange;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod usages;
