//! Responses and their events on their way to the client: content, end, failure, and what changes.
//!
//! Called by the conversion. Always true: only the model's name and the ids of responses change.
//! Source of the events: <https://platform.openai.com/docs/api-reference/responses-streaming>.

use std::ops::Range;

use hale_core::health::outcome::ProviderError;
use hale_core::operation::{Kind, Operation};
use hale_core::usage::Usage;
use serde::Deserialize;

use crate::bytes::edit::{Patch, json_string};
use crate::bytes::json::{JsonText, Str, text_length};
use crate::bytes::members::{Place, places};
use crate::bytes::scan::ScanError;
use crate::formats::answer::{self, Fault, Observed};
use crate::formats::codec::OfResponses;
use crate::formats::errors::{ErrorReply, is_error, parse_provider_error};
use crate::formats::event::{Change, EventError, Progress, Seen};
use crate::formats::usage::{of_tier, parse_response_usage, searches};
use crate::formats::view::View;

/// Observes a full answer to `operation`. A failed response is a failure when it is created, and an answer when it is
/// read again.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfResponses,
    text: &str,
    view: &View,
) -> Result<Observed, Fault> {
    let [
        id,
        previous,
        other,
        model,
        usage,
        status,
        output,
        data,
        deleted,
        input_tokens,
        error,
        tier,
    ] = answer::places(
        text,
        [
            "id",
            "previous_response_id",
            "response_id",
            "model",
            "usage",
            "status",
            "output",
            "data",
            "deleted",
            "input_tokens",
            "error",
            "service_tier",
        ],
    )?;
    let is_list = |place: Place| place.is_some_and(|place| text[place].starts_with('['));
    let is_answer = match expected {
        OfResponses::Created => {
            let failed = status.is_some_and(|place| &text[place] == "\"failed\"");
            id.is_some() && is_list(output.clone()) && !failed
        }
        OfResponses::Existing => id.is_some() && (status.is_some() || is_list(output.clone())),
        OfResponses::Compacted => is_list(output.clone()),
        OfResponses::Counted => input_tokens.is_some(),
        OfResponses::Items => is_list(data),
        OfResponses::Deleted => deleted.is_some(),
    };
    if !is_answer {
        return Err(Fault::without_content(operation, text, error));
    }
    let usage = usage.filter(|_| !operation.is_by_id());
    let [usage, tier, output] = [usage, tier, output].map(|place| place.map(|place| &text[place]));
    let usage = counted(usage, tier, output);
    Ok(Observed { patches: patches(text, [id, previous, other], model, view), usage })
}

/// The usage of a response, with what stands beside it.
fn counted(usage: Option<&str>, tier: Option<&str>, output: Option<&str>) -> Option<Usage> {
    let mut usage = of_tier(parse_response_usage(usage?)?, tier);
    usage.web.searches = output.map_or(0, searches);
    Some(usage)
}

/// The patches of a response: the `ids` of responses and the name of the model.
fn patches(text: &str, ids: [Place; 3], model: Place, view: &View) -> Vec<Patch> {
    let sealed = ids.into_iter().flatten().filter_map(|place| {
        let id: Str<'_> = serde_json::from_str(&text[place.clone()]).ok()?;
        let sealed = view.issuer.as_ref()?.seal(Kind::Response, &id.0);
        Some((place, json_string(&sealed).into()))
    });
    let mut patches: Vec<Patch> = sealed.collect();
    patches.extend(view.renamed(text, model).map(|place| view.model_patch(place)));
    patches.sort_by_key(|(place, _)| place.start);
    patches
}

/// The response in an event.
#[derive(Default)]
struct Response<'t> {
    text: Option<&'t str>,
    usage: Option<Usage>,
    /// The patches of the event.
    patches: Vec<Patch>,
}

impl<'t> Response<'t> {
    /// Reads the response at `place` of the event `text`.
    fn read(text: &'t str, place: Range<usize>, view: &View) -> Result<Response<'t>, ScanError> {
        let inner = &text[place.clone()];
        let names = [
            "id",
            "previous_response_id",
            "response_id",
            "model",
            "usage",
            "service_tier",
            "output",
        ];
        let [id, previous, other, model, usage, tier, output] = places(inner.as_bytes(), names)?;
        let [usage, tier, output] =
            [usage, tier, output].map(|place| place.map(|place| &inner[place]));
        let mut patches = patches(inner, [id, previous, other], model, view);
        for (at, _) in &mut patches {
            *at = at.start + place.start..at.end + place.start;
        }
        Ok(Response { text: Some(inner), usage: counted(usage, tier, output), patches })
    }
}

/// A stream of one response.
#[derive(Debug)]
pub(crate) struct Events {
    /// Whether an earlier request created the response. Then its tokens were counted, and its failure is the answer.
    replay: bool,
    /// The number of the next event.
    next: u64,
}

impl Events {
    /// A stream that answers `operation`.
    pub(crate) fn of(operation: Operation) -> Events {
        Events { replay: operation.is_by_id(), next: 0 }
    }

    /// Takes the next event.
    pub(crate) fn observe_event(
        &mut self,
        text: &str,
        view: &View,
        progress: &mut Progress,
    ) -> Result<Seen, EventError> {
        let [kind, response, response_id, delta, item, sequence, error] = places(
            text.as_bytes(),
            ["type", "response", "response_id", "delta", "item", "sequence_number", "error"],
        )?;
        if let Some(number) = sequence.and_then(|place| text[place].parse::<u64>().ok()) {
            self.next = number.saturating_add(1);
        }
        let response = match response {
            Some(place) if text[place.clone()].starts_with('{') => {
                Response::read(text, place, view)?
            }
            // Events have no id of their own: an `id` belongs to another object.
            _ => Response {
                patches: patches(text, [response_id, None, None], None, view),
                ..Response::default()
            },
        };
        let change = match response.patches.is_empty() {
            true => Change::None,
            false => Change::Patch(response.patches),
        };
        match kind.map_or("", |place| text[place].trim_matches('"')) {
            "response.completed" | "response.incomplete" => {
                let usage = response.usage.filter(|_| !self.replay);
                progress.usage = usage.map(|usage| usage.after(progress.usage)).or(progress.usage);
                end(progress);
            }
            "response.failed" if self.replay => end(progress),
            "response.failed" => {
                let failed = response.text.unwrap_or(text);
                return Err(parse_provider_error(failed.as_bytes()).into());
            }
            "error" => return Err(failure(text).into()),
            "" if error.is_some() => {
                return Err(parse_provider_error(text.as_bytes()).into());
            }
            "keepalive" | "ping" => return Ok(Seen::Ping(change)),
            other if !other.starts_with("response.") && is_error(text) => {
                return Err(parse_provider_error(text.as_bytes()).into());
            }
            "response.output_item.added" => {
                if item.is_some_and(|item| !begins_empty(&text[item])) {
                    progress.speaks();
                }
            }
            "response.output_item.done" => progress.speaks(),
            _ => {
                let length = delta.map_or(0, |delta| text_length(&text[delta]));
                progress.texts.piece(length);
                if length > 0 {
                    progress.speaks();
                }
            }
        }
        Ok(Seen::Event(change))
    }

    /// The event that reports a broken stream: as documented, plus an error object, by which clients tell an error from
    /// an unknown event.
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

/// The response is complete or will not continue.
fn end(progress: &mut Progress) {
    progress.stops();
    progress.done = true;
}

/// The error of an `error` event. If the event is flat, its `type` is not that of the error.
fn failure(text: &str) -> ProviderError {
    let mut error = parse_provider_error(text.as_bytes());
    error.kind = error.kind.filter(|kind| kind != "error");
    error
}

/// Whether an output item starts empty: messages and reasoning do, any other item is content.
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
