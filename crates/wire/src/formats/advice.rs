//! Parameters of OpenAI's format that ask a provider of another wire for nothing.
//!
//! Asked by the writers of requests. Always true: what changes an answer is in neither list.

use super::unfit::asks_nothing;

/// Parameters that change no answer: what is stored, cached or billed, and how fast.
const ADVICE: [&str; 12] = [
    "cache_control",
    "context_management",
    "inference_geo",
    "output_config.task_budget",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "speed",
    "store",
    "verbosity",
];

/// Whether a parameter changes no answer.
pub(crate) fn is_advice(name: &str) -> bool {
    ADVICE.contains(&name)
}

/// Whether a parameter of the OpenAI format has its default value.
pub(crate) fn is_default(name: &str, raw: &str) -> bool {
    match name {
        "n" => raw == "1",
        "logprobs" => raw == "false",
        "logit_bias" => asks_nothing(raw),
        _ => false,
    }
}
