//! Responses on their way: what of them is content, what is an end or a failure, and what changes.
//!
//! Called by [`crate::conversion::answer`] and [`crate::conversion::stream`]. Always true: what passes is looked at, and nothing
//! changes but the model's name and the ids of responses. Source of the events:
//! <https://platform.openai.com/docs/api-reference/responses-streaming>.

use std::ops::Range;

use hale_core::health::outcome::ProviderError;
use hale_core::operation::{Kind, Operation};
use hale_core::usage::Usage;
use serde::Deserialize;

use crate::bytes::edit::{Patch, json_string};
use crate::bytes::json::{JsonText, Str};
use crate::bytes::scan::{self, ScanError};
use crate::conversion::answer::parse_response_usage;
use crate::conversion::stream::View;
use crate::formats::errors::{ErrorReply, parse_provider_error};

/// The members that the gateway looks at, as places in the text; `null` counts as absent.
#[derive(Debug, Default)]
pub(crate) struct Top {
    kind: Option<Range<usize>>,
    id: Option<Range<usize>>,
    previous: Option<Range<usize>>,
    response_id: Option<Range<usize>>,
    model: Option<Range<usize>>,
    status: Option<Range<usize>>,
    output: Option<Range<usize>>,
    data: Option<Range<usize>>,
    deleted: Option<Range<usize>>,
    input_tokens: Option<Range<usize>>,
    usage: Option<Range<usize>>,
    response: Option<Range<usize>>,
    delta: Option<Range<usize>>,
    item: Option<Range<usize>>,
    sequence: Option<Range<usize>>,
    pub(crate) error: Option<Range<usize>>,
}

impl Top {
    /// Looks at `text`, which must be UTF-8.
    pub(crate) fn of(text: &[u8]) -> Result<Top, ScanError> {
        let mut top = Top::default();
        scan::members(text, |key, value| {
            let place = match &text[key] {
                b"\"type\"" => &mut top.kind,
                b"\"id\"" => &mut top.id,
                b"\"previous_response_id\"" => &mut top.previous,
                b"\"response_id\"" => &mut top.response_id,
                b"\"model\"" => &mut top.model,
                b"\"status\"" => &mut top.status,
                b"\"output\"" => &mut top.output,
                b"\"data\"" => &mut top.data,
                b"\"deleted\"" => &mut top.deleted,
                b"\"input_tokens\"" => &mut top.input_tokens,
                b"\"usage\"" => &mut top.usage,
                b"\"response\"" => &mut top.response,
                b"\"delta\"" => &mut top.delta,
                b"\"item\"" => &mut top.item,
                b"\"sequence_number\"" => &mut top.sequence,
                b"\"error\"" => &mut top.error,
                _ => return,
            };
            *place = (&text[value.clone()] != b"null").then_some(value);
        })?;
        Ok(top)
    }

    /// Whether a full answer to `operation` is what was promised. A failed response is no answer to who
    /// wants a new one, but it is one to who asks what became of it.
    pub(crate) fn is_answer(&self, text: &str, operation: Operation) -> bool {
        let is_list = |place: &Option<Range<usize>>| {
            place.clone().is_some_and(|place| text[place].starts_with('['))
        };
        match operation {
            Operation::Responses => {
                let failed = self.status.clone().is_some_and(|place| &text[place] == "\"failed\"");
                self.id.is_some() && is_list(&self.output) && !failed
            }
            Operation::GetResponse | Operation::CancelResponse => {
                self.id.is_some() && (self.status.is_some() || is_list(&self.output))
            }
            Operation::CompactResponses => is_list(&self.output),
            Operation::CountResponses => self.input_tokens.is_some(),
            Operation::ListInputItems => is_list(&self.data),
            Operation::DeleteResponse => self.deleted.is_some(),
            Operation::Chat
            | Operation::Completion
            | Operation::Embedding
            | Operation::Messages
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::EditImage
            | Operation::Transcribe
            | Operation::CreateFile
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::CreateBatch
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::Ocr
            | Operation::Realtime => false,
        }
    }

    /// Tokens, where the provider says.
    pub(crate) fn usage(&self, text: &str) -> Option<Usage> {
        self.usage.clone().and_then(|place| parse_response_usage(&text[place]))
    }

    /// What changes for the client in `text`, which begins at `from` of the whole.
    pub(crate) fn patches(&self, text: &str, from: usize, view: &View) -> Vec<Patch> {
        let moved = |place: &Range<usize>| place.start + from..place.end + from;
        let ids = [&self.id, &self.previous, &self.response_id].into_iter().flatten();
        let mut patches: Vec<Patch> = ids
            .filter_map(|place| {
                let id: Str<'_> = serde_json::from_str(&text[place.clone()]).ok()?;
                let sealed = view.issuer.as_ref()?.seal(Kind::Response, &id.0);
                Some((moved(place), json_string(&sealed).into()))
            })
            .collect();
        let shown = &view.model_json;
        let model = self
            .model
            .iter()
            .filter(|place| !shown.is_empty() && text[(*place).clone()] != **shown);
        patches.extend(model.map(|place| (moved(place), shown.clone())));
        patches.sort_by_key(|(place, _)| place.start);
        patches
    }
}

/// What an event of a stream is, as far as the gateway cares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It adds content.
    Content,
    /// The response is complete, as far as it goes.
    End,
    /// The response failed.
    Failure(ProviderError),
    /// A sign of life.
    Ping,
    /// Anything else.
    Other,
}

/// What was seen in an event.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) event: Event,
    pub(crate) usage: Option<Usage>,
    pub(crate) patches: Vec<Patch>,
}

/// A stream of one response, as far as it came.
#[derive(Debug)]
pub(crate) struct Course {
    /// Whether the response was made by an earlier request: its tokens were counted then, and its failure
    /// is the answer.
    replay: bool,
    /// The number of the next event.
    next: u64,
}

impl Course {
    /// A stream that answers `operation`.
    pub(crate) fn of(operation: Operation) -> Course {
        Course { replay: operation.is_by_id(), next: 0 }
    }

    /// Takes the next event.
    pub(crate) fn event(&mut self, text: &str, view: &View) -> Result<Seen, ScanError> {
        let top = Top::of(text.as_bytes())?;
        if let Some(number) = top.sequence.clone().and_then(|place| text[place].parse::<u64>().ok())
        {
            self.next = number.saturating_add(1);
        }
        // The events themselves have no id: what is called so there is something else's.
        let mut patches = Vec::new();
        if let Some(place) = &top.response_id {
            let own = Top { response_id: Some(place.clone()), ..Top::default() };
            patches = own.patches(text, 0, view);
        }
        let mut seen = Seen { event: Event::Other, usage: None, patches };
        let kind = top.kind.clone().map_or("", |place| text[place].trim_matches('"'));
        let response = match &top.response {
            Some(place) if text[place.clone()].starts_with('{') => {
                let inner = &text[place.clone()];
                let response = Top::of(inner.as_bytes())?;
                seen.patches = response.patches(inner, place.start, view);
                Some((response, inner))
            }
            _ => None,
        };
        seen.event = match kind {
            "response.completed" | "response.incomplete" => {
                let usage = response.and_then(|(response, inner)| response.usage(inner));
                seen.usage = usage.filter(|_| !self.replay);
                Event::End
            }
            "response.failed" if self.replay => Event::End,
            "response.failed" => {
                let said = response.map_or(text, |(_, inner)| inner);
                Event::Failure(parse_provider_error(said.as_bytes()))
            }
            "error" => Event::Failure(failure(text)),
            "" if top.error.is_some() => Event::Failure(parse_provider_error(text.as_bytes())),
            "keepalive" | "ping" => Event::Ping,
            "response.output_item.added" => match top.item {
                Some(item) if !begins_empty(&text[item.clone()]) => Event::Content,
                _ => Event::Other,
            },
            "response.output_item.done" => Event::Content,
            _ => match top.delta {
                Some(delta) if &text[delta.clone()] != "\"\"" => Event::Content,
                _ => Event::Other,
            },
        };
        Ok(seen)
    }

    /// The event that says that the stream broke: as documented, with an error object besides, by which
    /// clients know an error from an event that is news to them.
    pub(crate) fn failure(&self, reply: &ErrorReply) -> Vec<u8> {
        let mut json = JsonText::new();
        json.open(b'{').member("type", "error").count_member("sequence_number", self.next);
        json.member("code", reply.provider_code.as_deref().unwrap_or(&reply.code));
        json.member("message", &reply.message).key("param");
        match &reply.param {
            Some(param) => json.text(param),
            None => json.raw("null"),
        };
        let error = serde_json::to_string(reply).unwrap_or_else(|_| "{}".to_owned());
        json.raw_member("error", &error).close(b'}');
        [b"event: error\ndata: ", &json.into_bytes()[..], b"\n\n"].concat()
    }
}

/// What an `error` event says. Where it is flat its `type` is the event's, not the error's.
fn failure(text: &str) -> ProviderError {
    let mut error = parse_provider_error(text.as_bytes());
    error.kind = error.kind.filter(|kind| kind != "error");
    error
}

/// Whether an output item is nothing yet: messages and thoughts begin empty, all others are content by
/// being there.
fn begins_empty(item: &str) -> bool {
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Str<'a>>,
    }
    let item = serde_json::from_str::<Item<'_>>(item).ok();
    let kind = item.and_then(|item| item.kind);
    kind.is_none_or(|kind| matches!(&*kind.0, "message" | "reasoning"))
}

#[cfg(test)]
mod tests;
