//! Reads a `GenerateContentResponse`: a full answer, or one event of a stream.
//!
//! Called by [`super::answer`] and [`super::stream_read`]. Always true: of several candidates the first one counts, and Hale
//! asks for one; a finish that reports a failure is an error, whatever stands beside it.

use hale_core::health::outcome::ProviderError;
use hale_core::usage::Usage;

use super::part::{self, Part, Said};
use super::usage;
use crate::bytes::elements::elements;
use crate::bytes::json::lossy;
use crate::bytes::members::texts;
use crate::formats::errors::clean;
use crate::formats::neutral::{Stop, Text};

/// What an answer or an event holds.
#[derive(Debug, Default)]
pub(super) struct Chunk<'a> {
    /// The provider's id of the answer.
    pub(super) id: Text<'a>,
    /// Its parts, in order.
    pub(super) parts: Vec<Part<'a>>,
    /// What its text is grounded in, as JSON text.
    pub(super) grounding: Option<&'a str>,
    /// Why the answer ended.
    pub(super) finish: Option<Finish>,
    /// Tokens so far.
    pub(super) usage: Option<Usage>,
    /// Whether it says anything about an answer.
    pub(super) is_answer: bool,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// As the word says.
    Stop(Stop),
    /// For a reason that is an end only behind content.
    Odd(String),
}

/// Why a text is no chunk, or reports a failure.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It is no JSON object.
    NoObject,
    /// It cannot be read, or the model's answer cannot: why.
    Broken(String),
    /// The provider refused the request.
    Refused(ProviderError),
}

/// Finish reasons of an answer that the provider's rules stopped. Source: the enumeration `FinishReason` of the format.
const FILTERED: [&str; 11] = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
    "LANGUAGE",
    "JAILBREAK",
];
/// Those of an answer that the model spoilt. It is none, even if a text or a call came with it.
const SPOILT: [&str; 4] = [
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MALFORMED_RESPONSE",
];
/// Those of an answer that ended somehow.
const ODD: [&str; 6] =
    ["OTHER", "IMAGE_OTHER", "NO_IMAGE", "FINISH_REASON_UNSPECIFIED", "ESCALATION", "CONTINUATION"];

/// Parts that a chunk of any size may have, and beyond them one for so many bytes: a part takes more room than its text.
const PARTS_ALWAYS: usize = 4096;
const BYTES_PER_PART: usize = 256;

/// The chunk in `text`.
pub(super) fn read(text: &str) -> Result<Chunk<'_>, Wrong> {
    let names = ["candidates", "promptFeedback", "usageMetadata", "responseId"];
    let Ok([candidates, feedback, usage, id]) = texts(text, names) else {
        return Err(Wrong::NoObject);
    };
    let mut chunk = Chunk {
        id: id.and_then(|raw| lossy(raw, &mut None)).unwrap_or_default(),
        usage: usage.and_then(usage::read),
        ..Chunk::default()
    };
    let candidate = match candidates.map(|raw| elements(raw).ok_or("`candidates` is no list")) {
        Some(Ok(mut all)) => all.next(),
        Some(Err(why)) => return Err(Wrong::Broken(why.to_owned())),
        None => None,
    };
    let Some(candidate) = candidate else {
        let is_blocked = feedback.is_some_and(is_block);
        chunk.finish = is_blocked.then_some(Finish::Stop(Stop::Refusal));
        chunk.is_answer = is_blocked;
        return Ok(chunk);
    };
    chunk.is_answer = true;
    let broken = |why: &str| Wrong::Broken(why.to_owned());
    let names = ["content", "finishReason", "finishMessage", "groundingMetadata"];
    let [content, finish, message, grounding] =
        texts(candidate, names).map_err(|_| broken("a candidate that is no object"))?;
    chunk.grounding = grounding;
    if let Some(content) = content {
        let [parts] = texts(content, ["parts"]).map_err(|_| broken("content that is no object"))?;
        let parts =
            elements(parts.unwrap_or("[]")).ok_or_else(|| broken("parts that are no list"))?;
        let most = PARTS_ALWAYS + text.len() / BYTES_PER_PART;
        for raw in parts {
            let part = part::read(raw).map_err(Wrong::Broken)?;
            if matches!(part.said, Said::Nothing) && part.signature.is_empty() {
                continue;
            }
            if chunk.parts.len() >= most {
                return Err(Wrong::Broken(format!("more than {most} parts")));
            }
            chunk.parts.push(part);
        }
    }
    let images = chunk.parts.iter().filter(|part| part.is_image()).count();
    if let Some(usage) = &mut chunk.usage {
        usage.drawn.images = u32::try_from(images).unwrap_or(u32::MAX);
    }
    let word = |raw: &str| lossy(raw, &mut None).map(Text::into_owned).unwrap_or_default();
    if let Some(reason) = finish.map(word).filter(|reason| !reason.is_empty()) {
        chunk.finish = Some(finished(&reason, message.map(word).as_deref())?);
    }
    Ok(chunk)
}

/// Whether a finish reason is that of an answer which the model spoilt.
pub(super) fn is_spoilt(reason: &str) -> bool {
    SPOILT.contains(&reason)
}

/// Whether `promptFeedback` says that the prompt was blocked.
pub(super) fn is_block(feedback: &str) -> bool {
    texts(feedback, ["blockReason"]).is_ok_and(|[reason]| reason.is_some())
}

fn finished(reason: &str, message: Option<&str>) -> Result<Finish, Wrong> {
    let said = |what: &str| match message {
        Some(message) => format!("{what}: {reason}: {}", clean(message, 300)),
        None => format!("{what}: {reason}"),
    };
    match reason {
        "STOP" => Ok(Finish::Stop(Stop::End)),
        "MAX_TOKENS" => Ok(Finish::Stop(Stop::Length)),
        "MISSING_THOUGHT_SIGNATURE" => Err(Wrong::Refused(ProviderError {
            message: said("a call in the request has no signature"),
            kind: Some("INVALID_ARGUMENT".to_owned()),
            code: Some("400".to_owned()),
            ..ProviderError::default()
        })),
        reason if is_spoilt(reason) => Err(Wrong::Broken(said("the model spoilt its answer"))),
        reason if FILTERED.contains(&reason) => Ok(Finish::Stop(Stop::Refusal)),
        reason if ODD.contains(&reason) => Ok(Finish::Odd(said("the model broke off"))),
        other => Ok(Finish::Stop(Stop::other(other))),
    }
}

impl Finish {
    /// The end of an answer with that many calls, and with content or not.
    ///
    /// # Errors
    /// If the answer failed.
    pub(super) fn stop(self, calls: usize, has_content: bool) -> Result<Stop, String> {
        match self {
            Finish::Stop(Stop::End) if calls > 0 => Ok(Stop::Tools),
            Finish::Stop(stop) => Ok(stop),
            Finish::Odd(_) if calls > 0 => Ok(Stop::Tools),
            Finish::Odd(_) if has_content => Ok(Stop::End),
            Finish::Odd(why) => Err(why),
        }
    }
}

/// Whether a full answer was stopped by the provider's rules.
pub(crate) fn is_stopped(text: &str) -> bool {
    let Ok(chunk) = read(text) else { return false };
    chunk.finish == Some(Finish::Stop(Stop::Refusal))
}

/// Whether a full answer says that it is complete, and has no content but thoughts.
pub(crate) fn is_empty(text: &str) -> bool {
    let Ok(chunk) = read(text) else { return false };
    let is_silent = |part: &Part<'_>| matches!(part.said, Said::Nothing | Said::Thought(_));
    chunk.finish == Some(Finish::Stop(Stop::End)) && chunk.parts.iter().all(is_silent)
}
