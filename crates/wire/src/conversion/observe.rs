//! Chooses the observer for an answer: the format that it is in.
//!
//! Called for full answers and by the stream reader. Always true: each conversion has one observer; nothing here reads
//! a member of a format.

use hale_core::operation::{Operation, Shape};
use hale_core::provider::WireFormat;

use crate::conversion::prepare::Conversion;
use crate::formats::answer::{Fault, Observed};
use crate::formats::errors::ErrorReply;
use crate::formats::event::{EventError, Progress, Seen};
use crate::formats::modes::transcripts;
use crate::formats::view::View;
use crate::formats::{anthropic, files, modes, openai, responses};

/// Observes the full answer `text`.
pub(crate) fn observe_answer(
    conversion: Conversion,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let upstream = conversion.upstream().unwrap_or(conversion.operation);
    let observe = match (conversion.wire, upstream.shape()) {
        (WireFormat::OpenAi, Shape::Response) => responses::observe::observe_answer,
        (WireFormat::OpenAi, Shape::Stored) => files::observe::observe_answer,
        (WireFormat::OpenAi, Shape::Own) => modes::observe::observe_answer,
        (WireFormat::OpenAi, Shape::Completion) => openai::observe::observe_answer,
        (WireFormat::Anthropic, _) => anthropic::observe::observe_answer,
    };
    observe(upstream, text, view)
}

/// The observer of one stream.
#[derive(Debug)]
pub(crate) enum Observer {
    OpenAi(openai::observe::Events),
    Anthropic(anthropic::observe::Events),
    Responses(responses::observe::Events),
    Transcript,
}

impl Observer {
    /// The observer for a stream of this conversion.
    pub(crate) fn of(conversion: Conversion) -> Observer {
        match conversion.wire {
            WireFormat::OpenAi if conversion.operation.is_of_responses() => {
                Observer::Responses(responses::observe::Events::of(conversion.operation))
            }
            WireFormat::OpenAi if conversion.operation == Operation::Transcribe => {
                Observer::Transcript
            }
            WireFormat::OpenAi => Observer::OpenAi(openai::observe::Events::default()),
            WireFormat::Anthropic => Observer::Anthropic(anthropic::observe::Events::default()),
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
            Observer::Transcript => transcripts::observe_event(text, progress),
        }
    }

    /// The end of the stream, for an upstream that did not send it.
    pub(crate) fn end(&self) -> &'static [u8] {
        match self {
            Observer::OpenAi(_) => b"data: [DONE]\n\n",
            Observer::Anthropic(_) => b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            // The event that completes the answer is the end.
            Observer::Responses(_) | Observer::Transcript => b"",
        }
    }

    /// The event that reports a broken stream to a client of `format`.
    pub(crate) fn failure(&self, reply: &ErrorReply, format: WireFormat) -> Vec<u8> {
        match self {
            Observer::Responses(events) => events.failure(reply),
            Observer::OpenAi(_) | Observer::Anthropic(_) | Observer::Transcript => {
                reply.event(format)
            }
        }
    }
}
