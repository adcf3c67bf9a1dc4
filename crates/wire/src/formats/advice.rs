//! Parameters of OpenAI's format that ask a provider of another wire for nothing.
//!
//! Asked by the writers of requests. Always true: what changes an answer is in neither list.

use super::unfit::asks_nothing;

/// Parameters that change no answer: what is stored, cached or billed, and how fast; and those that only advise how it is worded.
const ADVICE: [&str; 13] = [
    "cache_control",
    "context_management",
    "inference_geo",
    // It counts calls of tools that the provider runs.
    "max_tool_calls",
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

#[cfg(test)]
mod tests {
    use hale_core::operation::Operation;
    use serde_json::json;

    use crate::fixture::{deployment, order, sent};

    #[test]
    fn advice_costs_no_request_on_any_other_wire() {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}],
            "verbosity": "low", "max_tool_calls": 3});
        for (provider, model) in [
            ("anthropic", "claude-sonnet-4-5"),
            ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
            ("gemini", "gemini-2.5-pro"),
            ("cohere", "command-a-03-2025"),
            ("ollama_chat", "llama3.1"),
        ] {
            let there = deployment(provider);
            let out = sent(&body, &order(&there, Operation::Chat, model)).unwrap();
            for name in ["verbosity", "max_tool_calls"] {
                assert!(!out.to_string().contains(name), "{provider} {out}");
            }
        }
    }
}
