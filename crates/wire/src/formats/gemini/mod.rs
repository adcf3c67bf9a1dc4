//! The wire of Google's Gemini: contents with parts, in one piece and as a stream.
//!
//! Used by the conversion and by the fit, for providers and for clients of this format. Source of the format: <https://ai.google.dev/api/generate-content>.

pub(crate) mod answer;
pub(crate) mod behind;
mod chunk;
mod contents;
pub(crate) mod count;
pub(crate) mod edits;
pub(crate) mod embed_client;
pub(crate) mod embeddings;
mod fields;
mod generation;
mod grounding;
pub(crate) mod images;
mod model;
pub(crate) mod observe;
mod part;
mod read_contents;
pub(crate) mod read_request;
mod read_schema;
mod read_tools;
mod said;
mod signed;
pub(crate) mod stream_read;
pub(crate) mod stream_write;
#[cfg(test)]
mod tests;
pub(crate) mod tools;
mod usage;
pub(crate) mod write_request;

pub(crate) use self::chunk::{is_empty, is_stopped};
pub(crate) use self::contents::reads_address;
pub(crate) use self::model::Model;

use crate::formats::unfit::Unfit;

/// Fields of a request as the refusals of other formats name them, and as clients of this format wrote them.
const NAMED: [(&str, &str); 18] = [
    ("messages", "contents"),
    ("system", "systemInstruction"),
    ("max_tokens", "generationConfig.maxOutputTokens"),
    ("temperature", "generationConfig.temperature"),
    ("top_p", "generationConfig.topP"),
    ("top_k", "generationConfig.topK"),
    ("stop", "generationConfig.stopSequences"),
    ("seed", "generationConfig.seed"),
    ("n", "generationConfig.candidateCount"),
    ("presence_penalty", "generationConfig.presencePenalty"),
    ("frequency_penalty", "generationConfig.frequencyPenalty"),
    ("logprobs", "generationConfig.responseLogprobs"),
    ("modalities", "generationConfig.responseModalities"),
    ("speech_config", "generationConfig.speechConfig"),
    ("image_config", "generationConfig.imageConfig"),
    ("response_format", "generationConfig.responseSchema"),
    ("reasoning_effort", "generationConfig.thinkingConfig"),
    ("web_search_options", "tools: googleSearch"),
];

/// A refusal in the words of the client's request.
pub(crate) fn named(unfit: Unfit) -> Unfit {
    let Unfit { field, message } = unfit;
    let end = field.find(['.', '[', ':']).unwrap_or(field.len());
    match NAMED.iter().find(|(theirs, _)| *theirs == &field[..end]) {
        Some((_, own)) => {
            let written = format!("{own}{}", &field[end..]);
            Unfit {
                message: message.replace(&format!("`{field}`"), &format!("`{written}`")),
                field: written,
            }
        }
        None => Unfit { field, message },
    }
}

/// What a request lacks a place for can be left out, or sent to another provider.
const FIX: &str = "leave it out, or set `drop_params: true`";
