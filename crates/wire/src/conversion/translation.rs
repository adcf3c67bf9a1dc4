//! A stream between two formats: a reader of the provider's events and a writer of the client's.
//!
//! Called by [`crate::conversion::stream`] with each event. Always true: what the reader says is written at once,
//! except what the client's format wants later.

use hale_core::provider::WireFormat;
use hale_core::usage::Usage;

use crate::conversion::stream::View;
use crate::formats::neutral::{Delta, NoDeltas};
use crate::formats::{anthropic, openai};

/// A stream between two formats.
#[derive(Debug)]
pub(crate) struct Translation {
    reader: Reader,
    writer: Writer,
}

#[derive(Debug)]
enum Reader {
    OpenAi(openai::stream_read::Reader),
    Anthropic(anthropic::stream_read::Reader),
}

#[derive(Debug)]
enum Writer {
    OpenAi(openai::stream_write::Writer),
    Anthropic(anthropic::stream_write::Writer),
}

/// What an event said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) content: bool,
    pub(crate) finished: bool,
    pub(crate) done: bool,
    pub(crate) ping: bool,
    pub(crate) usage: Option<Usage>,
}

impl Translation {
    /// From a provider's `wire` to a client's `format`.
    pub(crate) fn new(wire: WireFormat, format: WireFormat) -> Translation {
        Translation {
            reader: match wire {
                WireFormat::OpenAi => Reader::OpenAi(Default::default()),
                WireFormat::Anthropic => Reader::Anthropic(Default::default()),
            },
            writer: match format {
                WireFormat::OpenAi => Writer::OpenAi(Default::default()),
                WireFormat::Anthropic => Writer::Anthropic(Default::default()),
            },
        }
    }

    /// Takes the event with these data.
    ///
    /// # Errors
    /// Why it adds nothing to the answer.
    pub(crate) fn event(
        &mut self,
        text: &str,
        view: &View,
        out: &mut Vec<u8>,
    ) -> Result<Seen, NoDeltas> {
        let deltas = match &mut self.reader {
            Reader::OpenAi(reader) => reader.read(text),
            Reader::Anthropic(reader) => reader.read(text),
        }?;
        let mut seen = Seen::default();
        for delta in deltas {
            seen.content |= delta.is_content();
            match &delta {
                Delta::Stop(..) => seen.finished = true,
                Delta::End => seen.done = true,
                Delta::Ping => seen.ping = true,
                Delta::Usage(usage) => seen.usage = Some(*usage),
                _ => {}
            }
            self.write(&delta, view, out).map_err(NoDeltas::Unreadable)?;
        }
        Ok(seen)
    }

    /// A sign of life without an event.
    pub(crate) fn ping(&mut self, view: &View, out: &mut Vec<u8>) {
        // Only content can fail to be said.
        let _said = self.write(&Delta::Ping, view, out);
    }

    /// The answer is complete.
    pub(crate) fn close(&mut self, view: &View, out: &mut Vec<u8>) {
        let _said = self.write(&Delta::End, view, out);
    }

    fn write(&mut self, delta: &Delta<'_>, view: &View, out: &mut Vec<u8>) -> Result<(), String> {
        match &mut self.writer {
            Writer::OpenAi(writer) => {
                writer.write(delta, view, out);
                Ok(())
            }
            Writer::Anthropic(writer) => writer.write(delta, view, out),
        }
    }
}

#[cfg(test)]
mod strange;
#[cfg(test)]
mod tests;
