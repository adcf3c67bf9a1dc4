//! The wire of OpenAI's chat completions, and of the many providers that speak it.
//!
//! Called by [`crate::way`] and by what it gives out. [`edits`] serves the way on which bytes pass; the
//! other modules translate to and from [`crate::neutral`].

pub(crate) mod answer;
pub(crate) mod edits;
pub(crate) mod read_request;
pub(crate) mod stream_read;
pub(crate) mod stream_write;
pub(crate) mod write_request;

use hale_core::usage::Usage;

use crate::json::JsonText;
use crate::neutral::Stop;

/// The finish reason for `stop`.
fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence | Stop::Pause => "stop",
        Stop::Length | Stop::ContextWindow => "length",
        Stop::Tools => "tool_calls",
        Stop::Refusal => "content_filter",
    }
}

/// What a finish reason means; an unknown one is an ordinary end.
fn stop_of(finish_reason: &str) -> Stop {
    match finish_reason {
        "length" => Stop::Length,
        "tool_calls" | "function_call" => Stop::Tools,
        "content_filter" => Stop::Refusal,
        _ => Stop::End,
    }
}

/// A usage object. The two counts of the cache stand twice, as clients of the reference look for them.
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
