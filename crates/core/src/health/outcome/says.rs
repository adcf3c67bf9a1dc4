//! What a provider's error says: the codes and words of real servers.
//!
//! Asked by [`super::classify`] only. Always true: what a provider quotes from the request is no word of its own,
//! and words count only where no specific code contradicts them.
//!
//! Sources of the texts: OpenAI's, Anthropic's and Azure's documentation; the sources of vLLM, infinity, LiteLLM,
//! `transformers serve`, llama.cpp's server, text-generation-inference and Ollama; for LM Studio what its users report.

use super::{Lacking, ProviderError};
use crate::route::Need;

/// Codes about the model. Sources: Azure, and Groq's answer in
/// <https://github.com/atiilla/sqlmap-ai/issues/3>.
const NO_MODEL: &[&str] = &["model_not_found", "DeploymentNotFound", "model_decommissioned"];

pub(super) fn code_is(error: &ProviderError, codes: &[&str]) -> bool {
    error.code.as_deref().is_some_and(|code| codes.contains(&code))
}

pub(super) fn kind_is(error: &ProviderError, kinds: &[&str]) -> bool {
    error.kind.as_deref().is_some_and(|kind| kinds.contains(&kind))
}

/// Codes that only repeat the status: the text may say more.
const GENERAL_CODES: [&str; 14] = [
    "BadRequest",
    "BadRequestError",
    "INVALID_ARGUMENT",
    "InvalidRequest",
    "RESOURCE_EXHAUSTED",
    "ValidationException",
    "bad_request",
    "invalid_argument",
    "invalid_request",
    "invalid_request_error",
    "invalid_request_message",
    "model_not_found",
    "rate_limit_exceeded",
    "too_many_requests",
];

/// Whether the text may say more than the code: there is no code, or it is a number, a sentence or
/// a general one.
fn words_count(error: &ProviderError) -> bool {
    let Some(code) = error.code.as_deref() else { return true };
    let is_sentence = code.contains(' ');
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    is_sentence || is_number || GENERAL_CODES.contains(&code)
}

/// Whether the provider's own words contain one of these parts.
fn text_has(error: &ProviderError, parts: &[&str]) -> bool {
    let text = unquoted(&error.message).to_ascii_lowercase();
    parts.iter().any(|part| text.contains(part))
}

/// The same where no specific code contradicts the words.
fn says(error: &ProviderError, parts: &[&str]) -> bool {
    words_count(error) && text_has(error, parts)
}

/// Returns the text without its quotations: from the first quotation mark of a kind to the last
/// one, because a quotation may contain such marks. A mark within a word is an apostrophe.
fn unquoted(text: &str) -> String {
    let mut own = text.to_owned();
    for (opening, closing) in [('\'', '\''), ('"', '"'), ('`', '`'), ('‘', '’'), ('“', '”')]
    {
        let is_within_a_word = |text: &str, at: usize, mark: char| {
            let before = text.get(..at).and_then(|text| text.chars().next_back());
            let after = text.get(at + mark.len_utf8()..).and_then(|text| text.chars().next());
            before.is_some_and(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)
        };
        let mut openings = own.match_indices(opening).map(|(at, _)| at);
        let first = openings.find(|at| !is_within_a_word(&own, *at, opening));
        let mut closings = own.rmatch_indices(closing).map(|(at, _)| at);
        let last = closings.find(|at| !is_within_a_word(&own, *at, closing));
        if let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) {
            own.replace_range(first..last + closing.len_utf8(), " ");
        }
    }
    own
}

pub(super) fn is_context(error: &ProviderError) -> bool {
    code_is(error, &["context_length_exceeded", "string_above_max_length"])
        || kind_is(error, &["exceed_context_size_error"])
        || says(
            error,
            &[
                "maximum context length",
                "maximum prompt length",
                "maximum model length",
                "context window",
                "context limit",
                "prompt is too long",
                "available context size",
                "exceeds the context length",
                "greater than the context length",
                "context the overflows",
                "input tokens exceed",
                "maximum number of tokens allowed",
            ],
        )
        || (kind_is(error, &["validation"]) && says(error, &["must have less than", "must be <="]))
        || (kind_is(error, &["validation"])
            && error.message.contains("`max_new_tokens` must be <="))
}

pub(super) fn is_policy(error: &ProviderError) -> bool {
    const CODES: [&str; 4] = [
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
        "ResponsibleAIPolicyViolation",
    ];
    code_is(error, &CODES)
        || says(
            error,
            &[
                "content management policy",
                "content filtering policy",
                "violating our usage policy",
            ],
        )
}

pub(super) fn is_quota(error: &ProviderError) -> bool {
    code_is(error, &["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"])
        || kind_is(error, &["insufficient_quota", "billing_error", "budget_exceeded"])
        || says(error, &["credit balance is too low", "exceeded your current quota"])
}

/// A 429 that waiting does not fix: the request alone has more tokens than a minute allows.
pub(super) fn is_beyond_the_rate(error: &ProviderError) -> bool {
    says(error, &["request too large for"])
}

pub(super) fn is_overload(error: &ProviderError) -> bool {
    kind_is(error, &["overloaded_error", "overloaded"])
        || text_has(error, &["overloaded", "at capacity"])
}

/// An overload that a server of one's own calls too many requests.
pub(super) fn is_own_overload(error: &ProviderError) -> bool {
    kind_is(error, &["overloaded"]) || says(error, &["is currently overloaded"])
}

pub(super) fn names_the_key(error: &ProviderError) -> bool {
    code_is(error, &["invalid_api_key"]) || text_has(error, &["api key", "api-key", "apikey"])
}

/// A refused key under a status that says less.
pub(super) fn refuses_the_key(error: &ProviderError) -> bool {
    const KINDS: [&str; 4] =
        ["no_db_connection", "token_not_found_in_db", "expired_key", "auth_error"];
    code_is(error, &["invalid_api_key", "API_KEY_INVALID"])
        || kind_is(error, &KINDS)
        || says(
            error,
            &[
                "no connected db",
                "api key not valid",
                "api key is invalid",
                "invalid api key",
                "incorrect api key",
                "api key expired",
                "api key is required",
            ],
        )
}

/// A key that is known and may not use this model.
pub(super) fn refuses_the_models_use(error: &ProviderError) -> bool {
    error.kind.as_deref().is_some_and(|kind| kind.ends_with("_model_access_denied"))
}

/// The server does not know the model, said under a status that says less.
pub(super) fn knows_no_model(error: &ProviderError) -> bool {
    code_is(error, NO_MODEL)
        || says(
            error,
            &[
                "invalid model name",
                "invalid model identifier",
                "invalid model:",
                "engine for model name",
                "server is pinned to",
                "no models loaded",
                "model not found",
                "unknown model",
                "no such model",
            ],
        )
        || (says(error, &["model "])
            && says(error, &[" does not exist", " not found", " is not loaded"]))
}

/// The server has no such path, said under a 200. Source: LM Studio's users.
pub(super) fn knows_no_path(error: &ProviderError) -> bool {
    says(error, &["unexpected endpoint or method"])
}

/// Whether a 404 is about the model.
pub(super) fn names_the_model(error: &ProviderError) -> bool {
    code_is(error, NO_MODEL)
        || error.param.as_deref() == Some("model")
        || text_has(error, &["model", "deployment", "engine"])
}

/// Whether a 404 is about something that the client named: a parameter, a file, a response, ...
pub(super) fn names_a_client_object(error: &ProviderError) -> bool {
    const WORDS: [&str; 9] = [
        "no such file",
        "file_id",
        "previous response",
        "response with id",
        "item with id",
        "container with id",
        "conversation with id",
        "vector store",
        "batch with id",
    ];
    const IDS: [&str; 9] =
        ["file-", "file_", "resp_", "batch_", "conv_", "cntr_", "vs_", "msgbatch_", "container_"];
    let is_id =
        |word: &str| IDS.iter().any(|start| word.len() > start.len() && word.starts_with(start));
    let breaks = |c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-';
    error.param.as_deref().is_some_and(|param| param != "model")
        || text_has(error, &WORDS)
        || error.message.split(breaks).any(is_id)
}

/// A fault of the server that it tells as the client's.
pub(super) fn is_a_servers_fault(error: &ProviderError) -> bool {
    says(
        error,
        &["failed to load model", "error loading model", "model is unloaded", "model has crashed"],
    )
}

/// What the server or its model lacks, if it says so.
pub(super) fn lacking(error: &ProviderError) -> Option<Lacking> {
    const IMAGES: &[&str] = &[
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
    ];
    const SOUND: &[&str] = &[
        "audio input is not supported",
        "does not support audio",
        "at most 0 audio",
        "endpoints found that support audio",
    ];
    const TOOLS: &[&str] = &[
        "does not support tool",
        "does not support function calling",
        "tools param requires --jinja",
        "tool choice requires --enable-auto-tool-choice",
        "endpoints found that support tool use",
        "tools are not supported",
        "tool use is not supported",
    ];
    const SCHEMAS: &[&str] =
        &["does not support structured output", "structured outputs are not supported"];
    const OPERATIONS: &[&str] = &[
        "not a chat model",
        "not an embedding model",
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
    ];
    let needs = [
        (Need::Vision, IMAGES),
        (Need::Audio, SOUND),
        (Need::Tools, TOOLS),
        (Need::Schema, SCHEMAS),
    ];
    if let Some((need, _)) = needs.into_iter().find(|(_, texts)| says(error, texts)) {
        return Some(Lacking::Need(need));
    }
    let is_operation = code_is(error, &["OperationNotSupported"])
        || says(error, OPERATIONS)
        || lacks_an_api(error);
    is_operation.then_some(Lacking::Operation)
}

/// vLLM's words: "The model does not support Embeddings API".
fn lacks_an_api(error: &ProviderError) -> bool {
    let text = unquoted(&error.message).to_ascii_lowercase();
    let Some((_, after)) = text.split_once("model does not support ") else { return false };
    words_count(error) && after.trim_end().trim_end_matches('.').ends_with(" api")
}
