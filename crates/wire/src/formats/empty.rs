//! What counts as content in an answer, and answers that have none.
//!
//! Called by the conversion for full answers whose usage reports no output, and by the OpenAI wire for events. Always
//! true: an answer that cannot be read is not empty; members are looked at one by one, and no tree is built.

use hale_core::provider::WireFormat;

use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::formats::{bedrock, cohere, gemini, ollama};

/// The members of a message or a delta in the OpenAI format that hold content.
const CONTENT: [&str; 10] = [
    "content",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking_blocks",
    "refusal",
    "tool_calls",
    "function_call",
    "audio",
    "images",
];

/// Whether a full chat answer or message in that format has no content: no text, reasoning, refusal, call or audio.
pub(crate) fn is_empty_answer(wire: WireFormat, text: &str) -> bool {
    match wire {
        WireFormat::OpenAi => each(text, "choices", |choice| {
            let Ok([Some(message)]) = texts(choice, ["message"]) else { return false };
            has_content(message) == Some(false)
        }),
        WireFormat::Anthropic => each(text, "content", is_empty_block),
        WireFormat::Gemini => gemini::is_empty(text),
        WireFormat::Cohere => cohere::is_empty(text),
        WireFormat::Responses => is_empty_response(text),
        WireFormat::Converse => bedrock::is_empty(text),
        WireFormat::Ollama => ollama::is_empty(text),
    }
}

/// Whether a full response has no content.
pub(crate) fn is_empty_response(text: &str) -> bool {
    each(text, "output", |item| match texts(item, ["type"]) {
        Ok([Some("\"message\"")]) => each(item, "content", is_empty_block),
        _ => false,
    })
}

/// Whether a message or a delta in the OpenAI format has content; `None` if it is no object.
pub(crate) fn has_content(message: &str) -> Option<bool> {
    Some(texts(message, CONTENT).ok()?.into_iter().flatten().any(is_filled))
}

/// Whether `is_empty` holds for all elements of the list with this name.
fn each(text: &str, list: &str, is_empty: impl Fn(&str) -> bool) -> bool {
    let Ok([Some(list)]) = texts(text, [list]) else { return false };
    elements(list).is_some_and(|mut list| list.all(is_empty))
}

/// Whether a block of a message has no content. Only texts and reasoning can be empty.
fn is_empty_block(block: &str) -> bool {
    match texts(block, ["type", "text", "thinking"]) {
        Ok([Some("\"text\"" | "\"output_text\"" | "\"thinking\""), text, thinking]) => {
            !text.into_iter().chain(thinking).any(is_filled)
        }
        _ => false,
    }
}

/// Whether a value that is not `null` has something in it.
fn is_filled(raw: &str) -> bool {
    let tail = raw.get(1..).unwrap_or_default().trim_start();
    match raw.as_bytes().first() {
        Some(b'"') => raw != "\"\"",
        Some(b'[') => !tail.starts_with(']'),
        Some(b'{') => !tail.starts_with('}'),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_any_content_is_empty() {
        for (message, expected) in [
            (r#"{"role":"assistant","content":""}"#, true),
            (r#"{"role":"assistant","content":null,"tool_calls":[],"refusal":null}"#, true),
            (r#"{}"#, true),
            (r#"{"content":" "}"#, false),
            (r#"{"content":null,"tool_calls":[{"id":"1"}]}"#, false),
            (r#"{"content":"","reasoning_content":"hm"}"#, false),
            (r#"{"content":"","refusal":"no"}"#, false),
            (r#"{"content":"","audio":{"id":"a"}}"#, false),
            (r#"{"content":[{"type":"text","text":"x"}]}"#, false),
            (r#"{"audio":{ },"tool_calls":[ ]}"#, true),
            ("[]", false),
        ] {
            let text = format!(
                r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#
            );
            assert_eq!(is_empty_answer(WireFormat::OpenAi, &text), expected, "{message}");
        }
        assert!(
            !is_empty_answer(WireFormat::OpenAi, r#"{"choices":[{}]}"#),
            "no message: not known"
        );
        for (content, expected) in [
            ("[]", true),
            (r#"[{"type":"text","text":""}]"#, true),
            (r#"[{"type":"text","text":"a"}]"#, false),
            (r#"[{"type":"tool_use","id":"t","input":{}}]"#, false),
            (r#"[{"type":"thinking","thinking":"a"}]"#, false),
            (r#"[{"type":"text","text":""},{}]"#, false),
            ("{}", false),
        ] {
            let text = format!(r#"{{"content":{content},"stop_reason":"end_turn"}}"#);
            assert_eq!(is_empty_answer(WireFormat::Anthropic, &text), expected, "{content}");
        }
        for (output, expected) in [
            ("[]", true),
            (r#"[{"type":"message","content":[{"type":"output_text","text":""}]}]"#, true),
            (r#"[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]"#, false),
            (r#"[{"type":"function_call","name":"f"}]"#, false),
        ] {
            assert_eq!(
                is_empty_response(&format!(r#"{{"output":{output}}}"#)),
                expected,
                "{output}"
            );
        }
    }
}
