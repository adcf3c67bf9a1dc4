//! Streams of an upstream, read in passing, and written anew for a client of another format.
//!
//! Driven by the gateway's relay with each piece of the upstream's body. Always true: events leave whole
//! and in the order they came; between equal formats only the model's name in them changes; what was
//! learned on the way (content, finish, usage, error) is there to be asked.

use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::health::outcome::ProviderError;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::usage::Usage;
use memchr::memmem::Finder;
use serde::Deserialize;

use crate::bytes::edit::{Patch, patched};
use crate::bytes::framing::sse::{Data, Splitter, TooLong, data, events};
use crate::bytes::id::Issuer;
use crate::conversion::answer::{Memory, Top, parse_usage};
use crate::conversion::translation::Translation;
use crate::conversion::way::Way;
use crate::formats::anthropic::look;
use crate::formats::anthropic::usage::Counts;
use crate::formats::errors::{self, ErrorReply};
use crate::formats::modes::transcripts;
use crate::formats::neutral::NoDeltas;
use crate::formats::responses;
use crate::formats::responses::look::Course;

/// What a client gets to see of an answer.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The model's name as JSON text; empty where a response keeps the one that it has.
    pub model_json: Box<str>,
    /// Whether the client sees the chunk that holds only usage.
    pub show_usage: bool,
    /// Seconds since 1970, for an answer that is written anew.
    pub created: u64,
    /// The model's name at the provider, for who asks which model counted.
    pub upstream_model: Option<Box<str>>,
    /// Who signs the ids of responses.
    pub issuer: Option<Issuer>,
}

/// Most bytes that one piece of an upstream's body may become: translation adds to small events.
const OUT_MAX: usize = 16 << 20;

/// Why a stream can not be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An event is too long to be held.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// An event holds what can not be passed on.
    #[error("an event of the stream can not be passed on to the client: {0}")]
    Unreadable(String),
}

/// How events are read.
#[derive(Debug)]
enum Passage {
    /// As they are, from an OpenAI wire.
    OpenAi(Memory),
    /// As they are, from an Anthropic wire.
    Anthropic(Counts),
    /// As they are, of the Responses format.
    Responses(Course),
    /// Translated.
    Translated(Box<Translation>),
    /// As they are, of a transcript.
    Transcript,
    /// As they are, whatever they are: no events.
    Bytes,
}

/// One stream on its way.
#[derive(Debug)]
pub struct Reader {
    splitter: Splitter,
    passage: Passage,
    format: WireFormat,
    view: View,
    content: bool,
    finished: bool,
    done: bool,
    usage: Option<Usage>,
    error: Option<ProviderError>,
    unreadable: Option<String>,
    events: u64,
    skipped: u64,
}

impl Reader {
    /// A stream that nothing was read of.
    #[must_use]
    pub fn new(way: Way, view: View) -> Reader {
        let format = way.operation.format();
        let passage = match way.wire {
            wire if way.translates() => {
                Passage::Translated(Box::new(Translation::new(wire, format)))
            }
            WireFormat::OpenAi if way.operation.is_of_responses() => {
                Passage::Responses(Course::of(way.operation))
            }
            WireFormat::OpenAi if way.operation == Operation::Transcribe => Passage::Transcript,
            WireFormat::OpenAi => Passage::OpenAi(Memory::default()),
            WireFormat::Anthropic => Passage::Anthropic(Counts::default()),
        };
        Reader::of(passage, format, view)
    }

    /// An answer that is bytes, charged as `usage`.
    #[must_use]
    pub fn bytes(way: Way, view: View, usage: Option<Usage>) -> Reader {
        Reader { usage, ..Reader::of(Passage::Bytes, way.operation.format(), view) }
    }

    fn of(passage: Passage, format: WireFormat, view: View) -> Reader {
        Reader {
            splitter: Splitter::default(),
            passage,
            format,
            view,
            content: false,
            finished: false,
            done: false,
            usage: None,
            error: None,
            unreadable: None,
            events: 0,
            skipped: 0,
        }
    }

    /// Takes the next bytes; appends to `out` what may go to the client, possibly nothing.
    ///
    /// # Errors
    /// When an event is too long to be held, or holds what can not be passed on.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<u8>) -> Result<(), Broken> {
        if self.is_bytes() {
            self.content |= !chunk.is_empty();
            self.events += 1;
            out.extend_from_slice(&chunk);
            return Ok(());
        }
        let block = self.splitter.push(chunk)?;
        self.pass(&block, out);
        self.check()
    }

    /// The upstream's body ended: what was left without an end is an event if it reads like one.
    ///
    /// # Errors
    /// When it holds what can not be passed on.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Broken> {
        if self.is_bytes() {
            // What ended as its framing says is complete.
            self.finished = true;
            return Ok(());
        }
        let rest = self.splitter.finish();
        if !rest.iter().all(u8::is_ascii_whitespace) {
            let mut closed = rest.to_vec();
            closed.extend_from_slice(b"\n\n");
            self.pass(&closed, out);
        }
        self.check()
    }

    fn check(&self) -> Result<(), Broken> {
        self.unreadable.clone().map_or(Ok(()), |why| Err(Broken::Unreadable(why)))
    }

    /// The event that tells the client that the stream broke.
    #[must_use]
    pub fn failure(&self, reply: &ErrorReply) -> Vec<u8> {
        match &self.passage {
            Passage::Responses(course) => course.failure(reply),
            // There is no word for it among bytes: they stop.
            Passage::Bytes => Vec::new(),
            _ => reply.event(self.format),
        }
    }

    /// Appends what tells the client that the answer is complete, where the upstream has not said so.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        self.done = true;
        match &mut self.passage {
            Passage::OpenAi(_) => out.extend_from_slice(b"data: [DONE]\n\n"),
            Passage::Anthropic(_) => {
                out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
            }
            // Its end is the event that completes it.
            Passage::Responses(_) | Passage::Transcript | Passage::Bytes => {}
            Passage::Translated(translation) => translation.close(&self.view, out),
        }
    }

    /// Whether it is bytes, in which no event can say that they broke.
    #[must_use]
    pub fn is_bytes(&self) -> bool {
        matches!(self.passage, Passage::Bytes)
    }

    /// Whether content was seen: text, reasoning, a refusal, a tool call, audio or a finish reason.
    #[must_use]
    pub fn has_content(&self) -> bool {
        self.content
    }

    /// Whether the stream is complete: its end, or a finish reason, was seen.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.done || self.finished
    }

    /// Whether its end was seen: `[DONE]`, `message_stop`, `response.completed`.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Tokens, once the provider said.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The error that the provider put into the stream; nothing after it is passed on.
    #[must_use]
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_ref()
    }

    /// Events with data so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Events that were left out because they were no JSON.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn pass(&mut self, block: &[u8], out: &mut Vec<u8>) {
        if let Passage::Translated(_) = self.passage {
            let before = out.len();
            for range in events(block) {
                self.translate(&block[range], out);
                if out.len() - before > OUT_MAX {
                    self.unreadable = Some(format!("it became more than {OUT_MAX} bytes"));
                    break;
                }
            }
            return;
        }
        out.reserve(block.len() + 64);
        // What stands before this place was passed on or left out.
        let mut done = 0;
        for range in events(block) {
            let verdict = self.look(&block[range.clone()]);
            if matches!(verdict, Verdict::Pass) {
                continue;
            }
            out.extend_from_slice(&block[done..range.start]);
            match verdict {
                Verdict::Pass => {}
                Verdict::Leave => done = range.end,
                Verdict::Stamp(start, end) => {
                    out.extend_from_slice(&block[range.start..range.start + start]);
                    out.extend_from_slice(self.view.model_json.as_bytes());
                    done = range.start + end;
                }
                // Its places are not the block's: it has been made a replacement.
                Verdict::Patch(_) => {}
                Verdict::Replace(text) => {
                    out.extend_from_slice(&text);
                    done = range.end;
                }
            }
        }
        out.extend_from_slice(&block[done..]);
    }

    fn look(&mut self, event: &[u8]) -> Verdict {
        if self.done || self.error.is_some() {
            return Verdict::Leave;
        }
        match data(event) {
            Data::None => Verdict::Pass,
            Data::Line(place) => {
                let offset = place.start;
                match self.look_at(&event[place]) {
                    Verdict::Stamp(start, end) => Verdict::Stamp(start + offset, end + offset),
                    Verdict::Patch(mut patches) => {
                        for (place, _) in &mut patches {
                            *place = place.start + offset..place.end + offset;
                        }
                        Verdict::Replace(patched(event, &patches))
                    }
                    other => other,
                }
            }
            Data::Lines(joined) => match self.look_at(&joined) {
                Verdict::Stamp(start, end) => {
                    let patch = (start..end, self.view.model_json.clone());
                    Verdict::Replace(one_line(&patched(&joined, &[patch])))
                }
                Verdict::Patch(patches) => Verdict::Replace(one_line(&patched(&joined, &patches))),
                other => other,
            },
        }
    }

    fn look_at(&mut self, payload: &[u8]) -> Verdict {
        if payload.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Verdict::Pass;
        }
        self.events += 1;
        let Ok(text) = std::str::from_utf8(payload) else {
            return self.skip();
        };
        let memory = match &mut self.passage {
            Passage::OpenAi(memory) => memory,
            Passage::Anthropic(_) => return self.look_at_anthropic(text),
            Passage::Responses(_) => return self.look_at_response(text),
            Passage::Transcript => return self.look_at_transcript(text),
            // Its events are translated, not looked at.
            Passage::Translated(_) | Passage::Bytes => return Verdict::Leave,
        };
        let Ok(top) = Top::of_event(payload, memory) else {
            return self.skip();
        };
        if top.error.is_some() {
            self.error = Some(errors::parse_provider_error(payload));
            return Verdict::Leave;
        }
        let choices = top.choices.map(|place| &text[place]);
        if let Some(usage) = top.usage.and_then(|place| parse_usage(&text[place])) {
            self.usage = Some(usage);
            if !self.view.show_usage && choices.is_some_and(is_empty_list) {
                return Verdict::Leave;
            }
        }
        if let Some(choices) = choices {
            if !self.content {
                self.content = holds_content(choices);
            }
            if !self.finished && names_finish(choices) {
                self.finished = true;
            }
        }
        match top.model {
            Some(model) if text[model.clone()] != *self.view.model_json => {
                Verdict::Stamp(model.start, model.end)
            }
            _ => Verdict::Pass,
        }
    }
}

impl Reader {
    fn skip(&mut self) -> Verdict {
        self.skipped += 1;
        Verdict::Leave
    }

    fn look_at_anthropic(&mut self, text: &str) -> Verdict {
        let Passage::Anthropic(counts) = &mut self.passage else { return Verdict::Pass };
        let Ok(event) = look::event(text, counts) else { return self.skip() };
        self.usage = counts.usage();
        match event {
            look::Event::Start(Some(model)) if text[model.clone()] != *self.view.model_json => {
                return Verdict::Stamp(model.start, model.end);
            }
            look::Event::Content => self.content = true,
            look::Event::Finish => {
                self.content = true;
                self.finished = true;
            }
            look::Event::Stop => self.done = true,
            // A sign of life is not an event that ends a silence.
            look::Event::Ping => self.events -= 1,
            look::Event::Error => {
                self.error = Some(errors::parse_provider_error(text.as_bytes()));
                return Verdict::Leave;
            }
            look::Event::Start(_) | look::Event::Other => {}
        }
        Verdict::Pass
    }

    fn look_at_response(&mut self, text: &str) -> Verdict {
        let Passage::Responses(course) = &mut self.passage else { return Verdict::Pass };
        let Ok(seen) = course.event(text, &self.view) else { return self.skip() };
        self.usage = seen.usage.or(self.usage);
        match seen.event {
            responses::look::Event::Content => self.content = true,
            responses::look::Event::End => {
                self.content = true;
                self.finished = true;
                self.done = true;
            }
            // A sign of life is not an event that ends a silence.
            responses::look::Event::Ping => self.events -= 1,
            responses::look::Event::Failure(error) => {
                self.error = Some(error);
                return Verdict::Leave;
            }
            responses::look::Event::Other => {}
        }
        if seen.patches.is_empty() { Verdict::Pass } else { Verdict::Patch(seen.patches) }
    }

    fn look_at_transcript(&mut self, text: &str) -> Verdict {
        match transcripts::event(text) {
            Ok(transcripts::Event::Content) => self.content = true,
            Ok(transcripts::Event::End(usage)) => {
                self.content = true;
                self.finished = true;
                self.usage = usage;
            }
            Ok(transcripts::Event::Failure(error)) => {
                self.error = Some(error);
                return Verdict::Leave;
            }
            Ok(transcripts::Event::Other) => {}
            Err(_) => return self.skip(),
        }
        Verdict::Pass
    }

    fn translate(&mut self, event: &[u8], out: &mut Vec<u8>) {
        if self.done || self.error.is_some() || self.unreadable.is_some() {
            return;
        }
        let Passage::Translated(translation) = &mut self.passage else { return };
        let joined;
        let payload = match data(event) {
            Data::None => {
                if event.trim_ascii_start().starts_with(b":") {
                    translation.ping(&self.view, out);
                }
                return;
            }
            Data::Line(place) => &event[place],
            Data::Lines(lines) => {
                joined = lines;
                &joined
            }
        };
        self.events += 1;
        let Ok(text) = std::str::from_utf8(payload) else {
            self.skipped += 1;
            return;
        };
        match translation.event(text, &self.view, out) {
            Ok(seen) => {
                self.content |= seen.content;
                self.finished |= seen.finished;
                self.done |= seen.done;
                self.usage = seen.usage.or(self.usage);
                if seen.ping {
                    self.events -= 1;
                }
            }
            Err(NoDeltas::Malformed) => self.skipped += 1,
            Err(NoDeltas::Error(error)) => self.error = Some(error),
            Err(NoDeltas::Unreadable(why)) => self.unreadable = Some(errors::clean(&why, 300)),
        }
    }
}

enum Verdict {
    Pass,
    Leave,
    /// Put the model's name between these places of the event.
    Stamp(usize, usize),
    /// Put other texts into these places of the data.
    Patch(Vec<Patch>),
    Replace(Vec<u8>),
}

/// An event whose data are `json`. A line feed within them would need a prefix of its own; JSON does not
/// need it.
fn one_line(json: &[u8]) -> Vec<u8> {
    let mut text = b"data: ".to_vec();
    text.extend(json.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    text.extend_from_slice(b"\n\n");
    text
}

fn is_empty_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(']'))
}

/// Whether a finish reason is given. Inside a string its quotes would be escaped.
fn names_finish(choices: &str) -> bool {
    const KEY: &[u8] = b"\"finish_reason\"";
    // Building a searcher costs more than searching an event does.
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(KEY));
    let bytes = choices.as_bytes();
    FINDER.find_iter(bytes).any(|at| {
        let rest = bytes[at + KEY.len()..].trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|value| {
            let value = value.trim_ascii_start();
            value.starts_with(b"\"") && !value.starts_with(b"\"\"")
        })
    })
}

/// Whether the choices of an event hold what the contract (section 4, streams) calls content.
fn holds_content(choices: &str) -> bool {
    #[derive(Deserialize)]
    struct Choice {
        delta: Option<serde_json::Map<String, serde_json::Value>>,
        text: Option<String>,
        finish_reason: Option<serde_json::Value>,
    }
    const CONTENT: &[&str] = &[
        "content",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "thinking_blocks",
        "refusal",
        "tool_calls",
        "function_call",
        "audio",
        "images",
    ];
    let Ok(list) = serde_json::from_str::<Vec<Choice>>(choices) else { return false };
    list.iter().any(|choice| {
        choice.finish_reason.as_ref().is_some_and(is_filled)
            || choice.text.as_ref().is_some_and(|text| !text.is_empty())
            || choice.delta.as_ref().is_some_and(|delta| {
                CONTENT.iter().any(|key| delta.get(*key).is_some_and(is_filled))
            })
    })
}

fn is_filled(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(list) => !list.is_empty(),
        serde_json::Value::Object(map) => !map.is_empty(),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests;
