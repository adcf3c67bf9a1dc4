//! The wire of OpenAI's chat completions, and of the many providers that speak it.
//!
//! Used by the conversion. [`edits`] and [`observe`] serve bodies that pass unchanged; the other modules translate to
//! and from [`crate::formats::neutral`].

pub(crate) mod answer;
mod call_ids;
pub(crate) mod edits;
pub(crate) mod history;
mod message;
mod messages;
pub(crate) mod observe;
mod params;
pub(crate) mod read_request;
mod read_tools;
mod said;
mod sequence;
pub(crate) mod stream_read;
pub(crate) mod stream_write;
pub(crate) mod write_request;

use hale_core::health::outcome::ProviderError;
use hale_core::usage::Usage;

use crate::bytes::json::JsonText;
use crate::formats::errors;
use crate::formats::neutral::Stop;

/// The finish reason for `stop`.
fn finish_reason(stop: &Stop) -> &str {
    match stop {
        Stop::End | Stop::Sequence | Stop::Pause => "stop",
        Stop::Length | Stop::ContextWindow => "length",
        Stop::Tools => "tool_calls",
        Stop::Refusal => "content_filter",
        Stop::Other(word) => word,
    }
}

/// Finish reasons that report a failure of the provider. Sources: vLLM's engine
/// (`FinishReason`), and clients of DeepSeek and of OpenRouter:
/// <https://docs.rs/crate/ds-api/latest/source/src/raw/response/non_streaming/finish_reason.rs>,
/// <https://api.koog.ai/prompt/prompt-executor/prompt-executor-clients/prompt-executor-openrouter-client/ai.koog.prompt.executor.clients.openrouter.models/-open-router-stream-choice/index.html>.
const FAILURES: &[&str] = &["error", "insufficient_system_resource", "abort"];

/// The meaning of a finish reason; an unknown one is kept. `error` is the error in the same choice.
///
/// # Errors
/// If it reports a failure of the provider.
fn stop_of(finish_reason: &str, error: Option<&str>) -> Result<Stop, ProviderError> {
    Ok(match finish_reason {
        "stop" | "eos" | "eos_token" | "end_turn" => Stop::End,
        "stop_sequence" => Stop::Sequence,
        "length" | "max_tokens" | "model_length" => Stop::Length,
        "tool_calls" | "function_call" | "tool_use" => Stop::Tools,
        "content_filter" | "safety" | "recitation" | "prohibited_content" => Stop::Refusal,
        reason if FAILURES.contains(&reason) => {
            let given = error.map(|raw| errors::parse_provider_error(raw.as_bytes()));
            return Err(given.filter(|given| !given.message.is_empty()).unwrap_or_else(|| {
                ProviderError {
                    message: format!("the provider broke off with finish_reason `{reason}`"),
                    kind: Some("server_error".to_owned()),
                    code: Some(reason.to_owned()),
                    ..ProviderError::default()
                }
            }));
        }
        // Some servers write the same words in capitals.
        other if other.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            match stop_of(&other.to_ascii_lowercase(), error)? {
                Stop::Other(_) => Stop::other(other),
                known => known,
            }
        }
        other => Stop::other(other),
    })
}

/// A usage object. It has the two counts of the cache twice, because clients of LiteLLM read both names.
fn write_usage(json: &mut JsonText, usage: &Usage) {
    json.open(b'{')
        .count_member("prompt_tokens", usage.input)
        .count_member("completion_tokens", usage.output)
        .count_member("total_tokens", usage.input.saturating_add(usage.output));
    json.key("prompt_tokens_details")
        .open(b'{')
        .count_member("cached_tokens", usage.cached_input)
        .count_member("cache_write_tokens", usage.cache_creation)
        .count_member("cache_creation_tokens", usage.cache_creation)
        .close(b'}');
    json.key("completion_tokens_details")
        .open(b'{')
        .count_member("reasoning_tokens", usage.reasoning)
        .close(b'}');
    json.count_member("cache_creation_input_tokens", usage.cache_creation)
        .count_member("cache_read_input_tokens", usage.cached_input)
        .close(b'}');
}
