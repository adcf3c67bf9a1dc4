//! Chooses the observer for an answer: the format that it is in.
//!
//! Called for full answers and by the stream reader. Always true: each conversion has one observer; nothing here reads
//! a member of a format.

use hale_core::provider::WireFormat;

use crate::conversion::prepare::Conversion;
use crate::formats::answer::{Fault, Observed};
use crate::formats::codec::{self, Codec, Own};
use crate::formats::errors::ErrorReply;
use crate::formats::event::{EventError, Progress, Seen};
use crate::formats::modes::transcripts;
use crate::formats::view::View;
use crate::formats::{anthropic, bedrock, cohere, files, gemini, modes, ollama, openai, responses};

/// Observes the full answer `text`.
pub(crate) fn observe_answer(
    conversion: Conversion,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let upstream = conversion.upstream().unwrap_or(conversion.operation);
    match codec::of(upstream) {
        Codec::Completions(list) => openai::observe::observe_answer(upstream, list, text, view),
        Codec::Modes(own) => modes::observe::observe_answer(upstream, own, text, view),
        Codec::Responses(what) => responses::observe::observe_answer(upstream, what, text, view),
        Codec::Files(what) | Codec::Batches(what) => {
            files::observe::observe_answer(upstream, what, text, view)
        }
        Codec::Messages(what) => anthropic::observe::observe_answer(upstream, what, text, view),
        Codec::Contents(what) => gemini::observe::observe_answer(upstream, what, (text, view)),
        Codec::Cohere(what) => cohere::observe::observe_answer(upstream, what, text),
        Codec::Bedrock(what) => bedrock::observe::observe_answer(upstream, what, text),
        Codec::Ollama(what) => ollama::observe::observe_answer(upstream, what, text),
        Codec::Opaque | Codec::Counter => Err(Fault::without_content(upstream, text, None)),
    }
}

/// The observer of one stream.
#[derive(Debug)]
pub(crate) enum Observer {
    OpenAi(openai::observe::Events),
    Anthropic(anthropic::observe::Events),
    Responses(responses::observe::Events),
    Gemini(gemini::observe::Events),
    Transcript,
}

impl Observer {
    /// The observer for a stream of this conversion.
    pub(crate) fn of(conversion: Conversion) -> Observer {
        match codec::of(conversion.operation) {
            Codec::Responses(_) => {
                Observer::Responses(responses::observe::Events::of(conversion.operation))
            }
            Codec::Modes(Own::Transcript) => Observer::Transcript,
            Codec::Messages(_) => Observer::Anthropic(anthropic::observe::Events::default()),
            Codec::Contents(_) => Observer::Gemini(gemini::observe::Events),
            // What is never streamed needs no observer of its own.
            Codec::Completions(_)
            | Codec::Modes(_)
            | Codec::Files(_)
            | Codec::Batches(_)
            | Codec::Cohere(_)
            | Codec::Bedrock(_)
            | Codec::Ollama(_)
            | Codec::Opaque
            | Codec::Counter => Observer::OpenAi(openai::observe::Events::default()),
        }
    }

    /// Takes the next event.
    pub(crate) fn observe_event(
        &mut self,
        text: &str,
        view: &View,
        progress: &mut Progress,
    ) -> Result<Seen, EventError> {
        match self {
            Observer::OpenAi(events) => events.observe_event(text, view, progress),
            Observer::Anthropic(events) => events.observe_event(text, view, progress),
            Observer::Responses(events) => events.observe_event(text, view, progress),
            Observer::Gemini(events) => events.observe_event(text, view, progress),
            Observer::Transcript => transcripts::observe_event(text, progress),
        }
    }

    /// Whether an answer of the format says why it ends. Transcripts of some servers do not.
    pub(crate) fn names_its_end(&self) -> bool {
        !matches!(self, Observer::Transcript)
    }

    /// The end of the stream, for an upstream that did not send it.
    pub(crate) fn end(&self) -> &'static [u8] {
        match self {
            Observer::OpenAi(_) => b"data: [DONE]\n\n",
            Observer::Anthropic(_) => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            // The event that completes the answer is the end.
            Observer::Responses(_) | Observer::Gemini(_) | Observer::Transcript => b"",
        }
    }

    /// The event that reports a broken stream to a client of `format`.
    pub(crate) fn failure(&self, reply: &ErrorReply, format: WireFormat) -> Vec<u8> {
        match self {
            Observer::Responses(events) => events.failure(reply),
            Observer::OpenAi(_)
            | Observer::Anthropic(_)
            | Observer::Gemini(_)
            | Observer::Transcript => reply.event(format),
        }
    }
}
