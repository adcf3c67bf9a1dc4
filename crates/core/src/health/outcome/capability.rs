//! What a server or its model lacks, by the words of its error.
//!
//! Asked by [`super::classify`] only. Always true: it is a word about what the request asks for, so nothing but that is
//! concerned.

use super::says::{code_is, says, text_has, unquoted, words_count};
use super::{Lacking, ProviderError};
use crate::route::Need;

/// Words about an operation that is not there.
const OPERATIONS: &[&str] = &[
    "not a chat model",
    "not an embedding model",
    "not appear to be an embedding model",
    "not appear to be a chat model",
    "not appear to be a reward model",
    "not supported in the v1/",
    "only supported in v1/",
    "does not support chat",
    "does not support completion",
    "does not support embed",
    "does not support generate",
    "does not support rerank",
    "does not support the chat completions",
    "does not support this operation",
    "operation does not work with the specified model",
    "not allowed to generate embeddings from this model",
    "not allowed to sample from this model",
    "modelnotdeployederror",
    "not a re-ranker model",
    "not a classifier model",
    "default chat template is no longer allowed",
];

/// What is said of a missing capability.
const NEEDS: [(Need, &[&str]); 5] = [
    (
        Need::Vision,
        &[
            "image input is not supported",
            "images are not supported",
            "does not support image",
            "does not support vision",
            "does not support multimodal",
            "not a multimodal model",
            "at most 0 image",
            "endpoints found that support image",
            "image_url is only supported by certain models",
            "missing data required for image input",
            "you set image=0",
        ],
    ),
    (
        Need::Audio,
        &[
            "audio input is not supported",
            "does not support audio",
            "at most 0 audio",
            "you set audio=0",
            "endpoints found that support audio",
            "endpoints found that support input audio",
        ],
    ),
    (
        Need::Tools,
        &[
            "does not support tool",
            "does not support function calling",
            "tools param requires --jinja",
            "tool choice requires --enable-auto-tool-choice",
            "endpoints found that support tool use",
            "endpoints found that support tools",
            "tools are not supported",
            "tool use is not supported",
        ],
    ),
    (
        Need::Schema,
        &[
            "does not support structured output",
            "structured outputs are not supported",
            "response_format type is unavailable",
            "endpoints found that support structured output",
            "endpoints found that support response_format",
        ],
    ),
    (
        Need::Prefill,
        &[
            "does not support assistant message prefill",
            "does not support assistant prefill",
            "does not support prefill",
            "the conversation must end with a user message",
            "expected last role user or tool",
            "cannot continue the final message",
        ],
    ),
];

/// What the server or its model lacks, if it says so.
pub(super) fn lacking(error: &ProviderError) -> Option<Lacking> {
    if let Some((need, _)) = NEEDS.into_iter().find(|(_, texts)| says(error, texts)) {
        return Some(Lacking::Need(need));
    }
    if let Some(need) = lacks_what_it_quotes(error) {
        return Some(Lacking::Need(need));
    }
    let is_operation = code_is(error, &["OperationNotSupported"])
        || says(error, OPERATIONS)
        || quotes(error, "", "`rerank` is not available")
        || lacks_an_api(error);
    if is_operation {
        return Some(Lacking::Operation);
    }
    says(error, &UNNAMED).then_some(Lacking::Unnamed)
}

/// OpenRouter's words for everything that none of a model's servers does: sound, files, a choice of tools, marks of the
/// cache, a combination of parameters. The model is there.
const UNNAMED: [&str; 2] =
    ["no endpoints found that support", "no endpoints found that can handle"];

/// Whether the provider quotes a name in a sentence of its own: `quoted` has both, `own` is what is left of the
/// sentence without the quotation.
fn quotes(error: &ProviderError, own: &str, quoted: &str) -> bool {
    let text = error.message.to_ascii_lowercase();
    text.contains(quoted) && text_has(error, &[own])
}

/// A capability whose name is quoted, so that the words without the quotation are those of other errors as well.
fn lacks_what_it_quotes(error: &ProviderError) -> Option<Need> {
    /// Own words, quotation, capability. Texts: DeepSeek, Groq, OpenAI.
    const ROWS: &[(&str, &str, Need)] = &[
        ("unknown variant", "unknown variant `image_url`, expected `text`", Need::Vision),
        ("is not supported", "`tool calling` is not supported", Need::Tools),
        ("is not supported with this model", "'tools' is not supported", Need::Tools),
        ("is not supported with this model", "'functions' is not supported", Need::Tools),
        (
            "is not supported with this model",
            "'response_format' of type 'json_schema' is not supported",
            Need::Schema,
        ),
        ("does not support response format", "response format `json_schema`", Need::Schema),
    ];
    let is_general = words_count(error)
        || code_is(error, &["unsupported_parameter", "unsupported_value", "invalid_value"]);
    let is_said = |(own, quoted, _): &&(&str, &str, Need)| quotes(error, own, quoted);
    ROWS.iter().filter(|_| is_general).find(is_said).map(|(_, _, need)| *need)
}

/// vLLM's words: "The model does not support Embeddings API".
fn lacks_an_api(error: &ProviderError) -> bool {
    let text = unquoted(&error.message).to_ascii_lowercase();
    let Some((_, after)) = text.split_once("model does not support ") else { return false };
    words_count(error) && after.trim_end().trim_end_matches('.').ends_with(" api")
}
