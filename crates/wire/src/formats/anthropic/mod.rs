//! The wire of Anthropic's messages.
//!
//! Used by the conversion. [`edits`] and [`observe`] serve bodies that pass unchanged; the other modules translate to
//! and from [`crate::formats::neutral`]. Source of the format:
//! <https://platform.claude.com/docs/en/api/messages>.

pub(crate) mod answer;
pub(crate) mod behind;
mod calls;
mod cloud;
pub(crate) mod count;
pub(crate) mod edits;
pub(crate) mod effort;
mod history;
pub(crate) mod invoke;
mod metadata;
pub(crate) mod observe;
pub(crate) mod passed;
pub(crate) mod read_request;
mod read_tools;
pub(crate) mod stream_read;
pub(crate) mod stream_write;
pub(crate) mod usage;
pub(crate) mod write_request;

use hale_core::usage::Usage;

use crate::bytes::json::JsonText;
use crate::formats::neutral::Stop;

/// The stop reason for `stop`.
fn stop_reason(stop: &Stop) -> &str {
    match stop {
        Stop::End => "end_turn",
        Stop::Sequence => "stop_sequence",
        Stop::Length => "max_tokens",
        Stop::ContextWindow => "model_context_window_exceeded",
        Stop::Tools => "tool_use",
        Stop::Pause => "pause_turn",
        Stop::Refusal => "refusal",
        Stop::Other(word) => word,
    }
}

/// The meaning of a stop reason; an unknown one is kept.
fn stop_of(stop_reason: &str) -> Stop {
    match stop_reason {
        "stop_sequence" => Stop::Sequence,
        "max_tokens" => Stop::Length,
        "model_context_window_exceeded" => Stop::ContextWindow,
        "tool_use" => Stop::Tools,
        "pause_turn" => Stop::Pause,
        "refusal" => Stop::Refusal,
        "end_turn" => Stop::End,
        other => Stop::other(other),
    }
}

/// A usage object. Anthropic does not include the cache's tokens in `input_tokens`.
fn write_usage(json: &mut JsonText, usage: &Usage) {
    let cached = usage.cached_input.saturating_add(usage.cache_creation);
    json.open(b'{')
        .count_member("input_tokens", usage.input.saturating_sub(cached))
        .count_member("cache_creation_input_tokens", usage.cache_creation)
        .count_member("cache_read_input_tokens", usage.cached_input)
        .count_member("output_tokens", usage.output)
        .close(b'}');
}
