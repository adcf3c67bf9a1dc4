//! Full responses: reads them into the neutral form and writes them from it.
//!
//! Called by the tap, and by [`crate::conversion::answer`] when client and provider speak different formats. Always true: items
//! of the provider's own tools are left out; a response in one piece is the one that ends the stream of the same answer.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::item::Item;
use super::stream_write::Writer;
use crate::bytes::json::Str;
use crate::formats::answer::Fault;
use crate::formats::neutral::{Answer, Content, Part, Stop};
use crate::formats::usage::{of_tier, parse_response_usage};
use crate::formats::view::View;

/// A response, in full or in an event.
#[derive(Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: Option<Str<'a>>,
    #[serde(borrow)]
    output: Option<Vec<Item<'a>>>,
    #[serde(borrow)]
    incomplete_details: Option<Incomplete<'a>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow)]
    reason: Option<Str<'a>>,
}

/// The answer in `text`.
pub(crate) fn read(text: &str) -> Result<Answer<'_>, Fault> {
    let response: Response<'_> = serde_json::from_str(text)
        .map_err(|why| Fault::Malformed(format!("a broken answer: {why}")))?;
    Ok(response.answer())
}

/// The body of a response with the content of `answer`.
///
/// # Errors
/// Why it cannot be expressed.
pub(crate) fn write(answer: Answer<'_>, view: &View) -> Result<Vec<u8>, String> {
    let mut writer = Writer::of_response();
    for delta in answer.into_deltas() {
        writer.write(&delta, view, &mut Vec::new())?;
    }
    Ok(writer.whole(view))
}

impl<'a> Response<'a> {
    /// The same in the neutral form.
    pub(super) fn answer(self) -> Answer<'a> {
        let items = self.output.into_iter().flatten();
        let contents: Vec<Content<'a>> = items.flat_map(Item::contents).collect();
        let calls = contents.iter().any(|content| matches!(content, Content::ToolCall { .. }));
        let reason = self.incomplete_details.and_then(|details| details.reason);
        let stop = match reason.as_ref().map(|reason| &*reason.0) {
            None if calls => Stop::Tools,
            None => Stop::End,
            Some("max_output_tokens") => Stop::Length,
            Some("content_filter") => Stop::Refusal,
            Some(other) => Stop::other(other),
        };
        Answer {
            id: self.id.unwrap_or_default().0,
            parts: contents.into_iter().map(Part::from).collect(),
            stop: Some(stop),
            usage: self.usage.and_then(|usage| {
                let usage = parse_response_usage(usage.get())?;
                Some(of_tier(usage, self.service_tier.map(RawValue::get)))
            }),
            ..Answer::default()
        }
    }
}
