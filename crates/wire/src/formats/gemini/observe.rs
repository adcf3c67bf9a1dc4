//! Full answers and streams of Google's format that pass, and full answers before they are translated.
//!
//! Called by the conversion. Always true: an answer that passes has content, or says why it has none; an answer that the model
//! spoilt is none, unless content of it has left already; parts of kinds that are not known are content.

use hale_core::operation::Operation;
use hale_core::usage::Usage;

use super::{chunk, embeddings, usage};
use crate::bytes::elements::elements;
use crate::bytes::json::text_length;
use crate::bytes::members::{places, texts};
use crate::formats::answer::{Fault, Observed, is_filled_list};
use crate::formats::codec::OfContents;
use crate::formats::errors;
use crate::formats::event::{Change, EventError, Progress, Seen};
use crate::formats::usage::count_of;
use crate::formats::view::View;

/// Observes a full answer to `operation`.
pub(crate) fn observe_answer(
    operation: Operation,
    expected: OfContents,
    (text, view): (&str, &View),
) -> Result<Observed, Fault> {
    let names = [
        "candidates",
        "embeddings",
        "embedding",
        "totalTokens",
        "predictions",
        "usageMetadata",
        "error",
    ];
    let [candidates, all, embedding, total, predictions, counts, error] =
        texts(text, names).map_err(|_| Fault::not_json(text.as_bytes()))?;
    let is_answer = match expected {
        OfContents::Generated => {
            candidates.is_some_and(is_filled_list)
                || (error.is_none() && chunk::read(text).is_ok_and(|chunk| chunk.is_answer))
        }
        // Vertex AI has other words for the same.
        OfContents::Embedded => {
            all.or(predictions).is_some_and(is_filled_list) || embedding.is_some()
        }
        OfContents::Counted => total.and_then(count_of).is_some(),
        OfContents::Predicted => {
            predictions.is_some_and(is_filled_list) || candidates.is_some_and(is_filled_list)
        }
    };
    if !is_answer {
        // Bytes of no content have no place that could be named.
        let place = error.map(|_| 0..0);
        return Err(Fault::without_content(operation, text, place));
    }
    if expected == OfContents::Generated
        && let Some(why) = candidates.and_then(first).and_then(spoilt)
    {
        return Err(Fault::Malformed(why));
    }
    let counted = || Some(embeddings::counted(predictions?)).filter(|usage| usage.input > 0);
    let usage = counts.and_then(usage::read).or_else(|| match expected {
        OfContents::Embedded => counted(),
        OfContents::Generated | OfContents::Counted | OfContents::Predicted => None,
    });
    // Images are counted among the parts.
    let has_images = |usage: &Usage| usage.drawn.tokens > 0;
    let usage = match usage.filter(has_images) {
        Some(_) => chunk::read(text).ok().and_then(|chunk| chunk.usage),
        None => usage,
    };
    let [model] = places(text.as_bytes(), ["modelVersion"]).unwrap_or_default();
    let patches = view.renamed(text, model).map(|place| view.model_patch(place));
    Ok(Observed { patches: patches.into_iter().collect(), usage })
}

/// The first element of a list.
fn first(list: &str) -> Option<&str> {
    elements(list)?.next()
}

/// Why a candidate is no answer, if the model spoilt it.
fn spoilt(candidate: &str) -> Option<String> {
    let Ok([Some(reason), message]) = texts(candidate, ["finishReason", "finishMessage"]) else {
        return None;
    };
    let reason = reason.trim_matches('"');
    let message = message.map(|raw| errors::clean(raw.trim_matches('"'), 300));
    chunk::is_spoilt(reason)
        .then(|| format!("the model spoilt its answer: {reason}: {}", message.unwrap_or_default()))
}

/// The observer of one stream.
#[derive(Debug, Default)]
pub(crate) struct Events;

impl Events {
    /// Takes the next event.
    pub(crate) fn observe_event(
        &mut self,
        text: &str,
        view: &View,
        progress: &mut Progress,
    ) -> Result<Seen, EventError> {
        let names = ["candidates", "promptFeedback", "usageMetadata", "modelVersion"];
        let [candidates, feedback, counts, model] = places(text.as_bytes(), names)?;
        if candidates.is_none() && feedback.is_none() && errors::is_error(text) {
            return Err(errors::parse_provider_error(text.as_bytes()).into());
        }
        match candidates.and_then(|place| first(&text[place])) {
            Some(candidate) => observe_candidate(candidate, progress)?,
            None => {
                let is_block = feedback.is_some_and(|place| chunk::is_block(&text[place]));
                if is_block {
                    progress.stops();
                }
            }
        }
        if let Some(usage) = counts.and_then(|place| usage::read(&text[place])) {
            progress.output_is_open = !progress.content;
            progress.usage = Some(usage.after(progress.usage));
        }
        Ok(Seen::Event(match view.renamed(text, model) {
            Some(place) => Change::Model(place),
            None => Change::None,
        }))
    }
}

fn observe_candidate(candidate: &str, progress: &mut Progress) -> Result<(), EventError> {
    let [content, finish] = texts(candidate, ["content", "finishReason"])?;
    let parts = content.and_then(|content| texts(content, ["parts"]).ok()?[0]);
    for part in parts.and_then(elements).into_iter().flatten() {
        let names = ["text", "thought", "thoughtSignature"];
        let [text, thought, signature] = texts(part, names)?;
        match text {
            Some(text) if text.len() > 2 => {
                progress.speaks();
                progress.texts.piece(text_length(text));
            }
            Some(_) => {}
            // One that holds no more than a signature says nothing.
            None if part.len() <= 2 || thought.or(signature).is_some_and(|_| is_bare(part)) => {}
            None => {
                progress.speaks();
                progress.texts.piece(part.len());
            }
        }
    }
    if let Some(reason) = finish {
        if !progress.content
            && let Some(why) = spoilt(candidate)
        {
            return Err(EventError::Unreadable(why));
        }
        progress.stops();
        progress.says_end = reason == "\"STOP\"";
    }
    Ok(())
}

/// Whether a part has nothing but a signature.
fn is_bare(part: &str) -> bool {
    let names = ["functionCall", "inlineData", "fileData", "executableCode", "codeExecutionResult"];
    texts(part, names).is_ok_and(|found| found.iter().all(Option::is_none))
}
