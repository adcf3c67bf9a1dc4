//! Reads the stream of an upstream: passes it on to a client of the same format, or translates it for another one.
//!
//! The gateway's relay calls it with each piece of the upstream's body. Always true: events leave whole and in order;
//! between equal formats only the model's name and ids change; content, finish, usage and error can be queried.
//! Nothing here knows a framing or the members of a format.

mod kinds;
mod passed;
mod translated;

use bytes::Bytes;
use hale_core::charge::OutputCount;
use hale_core::health::outcome::ProviderError;
use hale_core::provider::WireFormat;
use hale_core::usage::Usage;

use crate::bytes::framing::Framing;
use crate::conversion::answer::counts_silence;
use crate::conversion::listed::Listing;
use crate::conversion::merged::Merging;
use crate::conversion::observe::Observer;
use crate::conversion::prepare::Conversion;
use crate::conversion::tap::Tap;
use crate::conversion::translation::Translation;
use crate::formats::errors::{self, ErrorReply};
use crate::formats::event::{Change, EventError, Progress, Seen};
use crate::formats::framing;
pub use crate::formats::view::View;

/// How much larger than its own length the output for one piece of an upstream's body may be, in bytes: translation
/// makes small events larger.
const OUT_MAX: usize = 16 << 20;
/// Largest event if the gateway sets no other limit, in bytes.
const EVENT_MAX: usize = 96 << 20;

/// Why reading a stream stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An event has more bytes than this limit.
    #[error("an event of the stream has more than {0} bytes")]
    TooLong(usize),
    /// An event cannot be passed on.
    #[error("an event of the stream cannot be passed on to the client: {0}")]
    Unreadable(String),
    /// Its end came, but no reason why the answer ends: servers that fail in the middle write one too.
    #[error("the upstream ended the stream before it was complete")]
    Unfinished,
    /// It does not go on from what the client has.
    #[error("the answer does not begin with what the client has")]
    Differs,
}

/// How events are read.
#[derive(Debug)]
enum Passage {
    /// They pass unchanged and are observed.
    Observed(Observer),
    /// They are translated.
    Translated(Box<Translation>),
    /// There are no events: bytes pass unchanged.
    Bytes,
}

/// The reader of one stream.
#[derive(Debug)]
pub struct Reader {
    framing: Framing,
    passage: Passage,
    format: WireFormat,
    wire: WireFormat,
    view: View,
    progress: Progress,
    error: Option<ProviderError>,
    broken: Option<Broken>,
    /// The largest event, its empty line included, in bytes.
    event_max: usize,
    events: u64,
    skipped: u64,
    tap: Option<Box<Tap>>,
    merging: Merging,
    /// The list that the events are elements of, if the client wants one.
    listing: Option<Box<Listing>>,
}

impl Reader {
    /// The reader of a stream, before its first byte.
    #[must_use]
    pub fn new(conversion: Conversion, view: View) -> Reader {
        let passage = if conversion.translates() {
            let translation = Translation::new(conversion.wire, conversion.operation.format());
            Passage::Translated(Box::new(translation))
        } else {
            Passage::Observed(Observer::of(conversion))
        };
        Reader::of(passage, conversion, view)
    }

    /// The reader of a binary answer that is charged as `usage`.
    #[must_use]
    pub fn bytes(conversion: Conversion, view: View, usage: Option<Usage>) -> Reader {
        let mut reader = Reader::of(Passage::Bytes, conversion, view);
        reader.progress.usage = usage;
        reader
    }

    /// The same, for events of at most so many bytes, the empty line at their end included.
    #[must_use]
    pub fn within(self, event_max: usize) -> Reader {
        Reader { event_max, ..self }
    }

    /// The same, for events that come in frames of AWS, whatever the wire.
    #[must_use]
    pub fn in_frames(self) -> Reader {
        match self.is_bytes() {
            true => self,
            false => Reader { framing: Framing::aws(), ..self },
        }
    }

    fn of(passage: Passage, conversion: Conversion, view: View) -> Reader {
        Reader {
            framing: framing(conversion.wire),
            passage,
            format: conversion.operation.format(),
            wire: conversion.wire,
            view,
            progress: Progress::default(),
            error: None,
            broken: None,
            event_max: EVENT_MAX,
            events: 0,
            skipped: 0,
            tap: None,
            merging: Merging::default(),
            listing: None,
        }
    }

    /// The same, whose events the client gets as the elements of one list.
    #[must_use]
    pub fn in_list(self) -> Reader {
        match self.is_bytes() {
            true => self,
            false => Reader { listing: Some(Box::default()), ..self },
        }
    }

    /// Takes the next bytes; appends to `out` what the client gets, possibly nothing.
    ///
    /// # Errors
    /// If an event is longer than permitted, or cannot be passed on. The events before it are in `out`.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<u8>) -> Result<(), Broken> {
        if self.is_bytes() {
            self.progress.content |= !chunk.is_empty();
            self.events += 1;
            out.extend_from_slice(&chunk);
            return Ok(());
        }
        let block = self.framing.push(chunk);
        self.pass(&block, out)?;
        if let Some(why) = self.framing.broken() {
            return Err(Broken::Unreadable(why.to_owned()));
        }
        match self.framing.waiting() > self.event_max {
            true => Err(Broken::TooLong(self.event_max)),
            false => Ok(()),
        }
    }

    /// Takes the end of the upstream's body: buffered bytes are the last event if they can be read as one.
    ///
    /// # Errors
    /// If that event is longer than permitted, or cannot be passed on.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        if self.is_bytes() {
            // HTTP framing has proved that it is complete.
            self.progress.finished = true;
            return Ok(());
        }
        let last = self.framing.finish();
        self.pass(&last, out)
    }

    /// The event that reports a broken stream to the client.
    #[must_use]
    pub fn failure(&self, reply: &ErrorReply) -> Vec<u8> {
        let event = match &self.passage {
            Passage::Observed(observer) => observer.failure(reply, self.format),
            Passage::Translated(translation) => {
                translation.failure(reply, (&self.view, self.format))
            }
            // Bytes have no events: they just stop.
            Passage::Bytes => return Vec::new(),
        };
        match &self.listing {
            Some(listing) => listing.failure(event),
            None => event,
        }
    }

    /// The response as JSON text, once a stream that is translated into one has ended.
    #[must_use]
    pub fn response(&self) -> Option<Vec<u8>> {
        match &self.passage {
            Passage::Translated(translation) => translation.response(&self.view),
            Passage::Observed(_) | Passage::Bytes => None,
        }
    }

    /// Appends the end of the stream if the upstream did not send it.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.progress.done, true) {
            self.write_end(out);
        }
        if let Some(listing) = &mut self.listing {
            listing.end(out);
        }
    }

    fn write_end(&mut self, out: &mut Vec<u8>) {
        let from = out.len();
        match &mut self.passage {
            Passage::Observed(observer) => out.extend_from_slice(observer.end()),
            Passage::Translated(translation) => {
                translation.close(&self.view, out);
                self.add_cost(from, out);
            }
            Passage::Bytes => {}
        }
        self.list(from, out);
    }

    /// Makes elements of a list of the events in `out` behind `from`, if the client wants one.
    fn list(&mut self, from: usize, out: &mut Vec<u8>) {
        if let Some(listing) = &mut self.listing {
            listing.apply(out, from);
        }
    }

    /// Whether the answer is bytes, which cannot carry an event about a failure.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self.passage, Passage::Bytes)
    }

    /// Bytes of the event that has begun and not ended.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.framing.waiting()
    }

    /// Whether content was seen: text, reasoning, a refusal, a tool call, audio or a finish reason.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.progress.content
    }

    /// Whether the answer has no content so far, but a finish reason, and the provider reports no output.
    #[must_use]
    pub fn is_empty_so_far(&self) -> bool {
        let Progress { empty, says_end, usage, .. } = &self.progress;
        let is_silent = *says_end && counts_silence(self.wire);
        *empty && (is_silent || usage.is_none_or(|usage| usage.output == 0))
    }

    /// Whether the stream is complete: its end, or a finish reason, was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.progress.done || self.progress.finished
    }

    /// Whether its end was seen: `[DONE]`, `message_stop`, `response.completed`.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.progress.done
    }

    /// Tokens, once the provider has reported them.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.progress.usage
    }

    /// Whether those are complete.
    #[must_use]
    pub fn output_count(&self) -> OutputCount {
        match self.progress.output_is_open {
            true => OutputCount::Open,
            false => OutputCount::Final,
        }
    }

    /// Tokens of the answer so far, estimated from the bytes of its texts.
    #[must_use]
    pub fn estimated_output(&self) -> u64 {
        self.progress.texts.tokens()
    }

    /// The error that the provider sent in the stream; nothing after it is passed on.
    #[must_use]
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_ref()
    }

    /// Events with a payload so far, without pings.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Events that were left out because they are not JSON.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The tap, if the reader was made with [`Reader::tapped`] and the answer has a neutral form.
    #[must_use]
    pub fn tap(&self) -> Option<&Tap> {
        self.tap.as_deref()
    }

    fn pass(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(tap) = &mut self.tap {
            tap.clear();
        }
        let from = out.len();
        match self.passage {
            Passage::Observed(_) => self.observe(block, out),
            Passage::Translated(_) => self.translate(block, out),
            Passage::Bytes => {}
        }
        self.list(from, out);
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Counts an event; returns what happens to it.
    fn record(&mut self, seen: Seen) -> Change {
        match seen {
            Seen::Event(change) => {
                self.events += 1;
                change
            }
            Seen::Ping(change) => change,
        }
    }

    /// What became of an event, unless it is an error that its format does not know: one that its name says to be an
    /// error, or a list.
    fn settled<T>(
        &self,
        read: Result<T, EventError>,
        head: &[u8],
        payload: &[u8],
    ) -> Result<T, EventError> {
        let is_error = match &read {
            Ok(_) => self.framing.names_an_error(head),
            Err(EventError::Malformed) => {
                let is_list = || std::str::from_utf8(payload).is_ok_and(errors::is_error);
                self.framing.names_an_error(head) || is_list()
            }
            Err(
                EventError::Provider(_)
                | EventError::Unreadable(_)
                | EventError::Unfinished
                | EventError::Differs,
            ) => false,
        };
        match is_error {
            true => Err(errors::parse_provider_error(payload).into()),
            false => read,
        }
    }

    /// Records why an event is not forwarded.
    #[cold]
    fn reject(&mut self, why: EventError) {
        self.events += 1;
        match why {
            EventError::Malformed => self.skipped += 1,
            EventError::Provider(error) => self.error = Some(*error),
            EventError::Unfinished => self.broken = Some(Broken::Unfinished),
            EventError::Differs => self.broken = Some(Broken::Differs),
            EventError::Unreadable(why) => {
                self.broken = Some(Broken::Unreadable(errors::clean(&why, 300)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
