//! Writes what a model says as parts and ends of Google's format.
//!
//! Called by the writers of streams and of full answers. Always true: no part is an empty text, because its clients
//! refuse such an answer; a call stands whole in one part.

use hale_core::usage::Usage;

use super::signed;
use crate::bytes::json::JsonText;
use crate::formats::asked::Thoughts;
use crate::formats::neutral::{Citation, Stop};
use crate::formats::signed_call;
use crate::formats::view::View;

/// Whether the client sees the model's thoughts.
pub(super) fn shows_thoughts(view: &View) -> bool {
    view.asked().is_some_and(|asked| asked.thoughts == Thoughts::Shown)
}

/// A part that is a text.
pub(super) fn text(json: &mut JsonText, text: &str) {
    json.open(b'{').member("text", text).close(b'}');
}

/// A part that is a thought, with its signature if it has one.
pub(super) fn thought(json: &mut JsonText, text: &str, signature: &str) {
    json.open(b'{').member("text", text).raw_member("thought", "true");
    if !signature.is_empty() {
        json.member("thoughtSignature", &signed::written(signature));
    }
    json.close(b'}');
}

/// A part that is a thought which only its provider can read.
pub(super) fn redacted(json: &mut JsonText, data: &str) {
    json.open(b'{').member("text", "").raw_member("thought", "true");
    json.member("thoughtSignature", &signed::redacted(data)).close(b'}');
}

/// A part that is data.
pub(super) fn data(json: &mut JsonText, media_type: &str, data: &str) {
    json.open(b'{').key("inlineData").open(b'{').member("mimeType", media_type);
    json.member("data", data).close(b'}').close(b'}');
}

/// A part that is a call, with the signature behind its id if it has one.
pub(super) fn call(json: &mut JsonText, (id, name): (&str, &str), input: &str) {
    let (id, tail) = signed_call::split(id);
    json.open(b'{').key("functionCall").open(b'{');
    json.member("id", id).member("name", name).raw_member("args", input).close(b'}');
    if let Some(tail) = tail {
        json.member("thoughtSignature", &signed_call::signature(tail));
    }
    json.close(b'}');
}

/// Where the passages of an answer come from.
pub(super) fn citations(json: &mut JsonText, citations: &[Citation<'_>]) {
    if citations.is_empty() {
        return;
    }
    json.key("groundingMetadata").open(b'{').key("groundingChunks").open(b'[');
    for Citation { url, title, .. } in citations {
        json.open(b'{').key("web").open(b'{').member("uri", url).member("title", title);
        json.close(b'}').close(b'}');
    }
    json.close(b']').close(b'}');
}

/// Why an answer ended, in the words of the format.
pub(super) fn finish(stop: Option<&Stop>) -> &str {
    match stop {
        None | Some(Stop::End | Stop::Sequence | Stop::Tools | Stop::Pause) => "STOP",
        Some(Stop::Length | Stop::ContextWindow) => "MAX_TOKENS",
        Some(Stop::Refusal) => "SAFETY",
        Some(Stop::Other(_)) => "OTHER",
    }
}

/// What stands behind the candidates: the counts of tokens, the model and the id of the answer.
pub(super) fn about(json: &mut JsonText, usage: Option<&Usage>, (id, view): (&str, &View)) {
    if let Some(usage) = usage {
        let spoken = usage.output.saturating_sub(usage.reasoning);
        json.key("usageMetadata").open(b'{').count_member("promptTokenCount", usage.input);
        json.count_member("candidatesTokenCount", spoken);
        for (name, count) in [
            ("thoughtsTokenCount", usage.reasoning),
            ("cachedContentTokenCount", usage.cached_input),
        ] {
            if count > 0 {
                json.count_member(name, count);
            }
        }
        json.count_member("totalTokenCount", usage.input.saturating_add(usage.output)).close(b'}');
    }
    // In a group of many models the name is the provider's, which other formats do not tell either.
    let model = if view.model_json.is_empty() { "\"\"" } else { &*view.model_json };
    json.raw_member("modelVersion", model);
    if !id.is_empty() {
        json.member("responseId", id);
    }
}
