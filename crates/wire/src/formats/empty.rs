//! Answers without a word: no text, no reasoning, no refusal, no call, no audio.
//!
//! Called by the conversion for full answers whose usage reports no output. Always true: what is not known to be
//! empty is not; values are looked at one by one, and no tree is built.

use std::fmt;

use hale_core::provider::WireFormat;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Whether a value holds anything: a text that is not empty, a list or an object with members, a number.
#[derive(Clone, Copy, Debug, Default)]
struct Filled(bool);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Filled, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Filled)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = bool;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<bool, E> {
        Ok(true)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        Ok(!text.is_empty())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let mut is_filled = false;
        while list.next_element::<IgnoredAny>()?.is_some() {
            is_filled = true;
        }
        Ok(is_filled)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let mut is_filled = false;
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            is_filled = true;
        }
        Ok(is_filled)
    }
}

/// The members of a message that hold its words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    content: Filled,
    reasoning_content: Filled,
    reasoning: Filled,
    reasoning_details: Filled,
    thinking_blocks: Filled,
    refusal: Filled,
    tool_calls: Filled,
    function_call: Filled,
    audio: Filled,
    images: Filled,
}

impl Words {
    fn is_empty(&self) -> bool {
        let Words {
            content, reasoning_content, reasoning, reasoning_details, thinking_blocks, ..
        } = self;
        let Words { refusal, tool_calls, function_call, audio, images, .. } = self;
        let said = [content, reasoning_content, reasoning, reasoning_details, thinking_blocks];
        let other = [refusal, tool_calls, function_call, audio, images];
        said.into_iter().chain(other).all(|Filled(is_filled)| !is_filled)
    }
}

/// One block of a list: a text, or anything else.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Filled,
    thinking: Filled,
    content: Vec<Block>,
}

impl Block {
    fn is_empty(&self) -> bool {
        match self.kind.as_str() {
            "text" | "output_text" | "thinking" => !self.text.0 && !self.thinking.0,
            "message" => self.content.iter().all(Block::is_empty),
            _ => false,
        }
    }
}

/// Whether a full chat answer or message in that format has no word.
pub(crate) fn has_no_word(wire: WireFormat, text: &str) -> bool {
    #[derive(Deserialize)]
    struct Choice {
        message: Words,
    }
    #[derive(Deserialize)]
    struct Chat {
        choices: Vec<Choice>,
    }
    #[derive(Deserialize)]
    struct Message {
        content: Vec<Block>,
    }
    match wire {
        WireFormat::OpenAi => serde_json::from_str::<Chat>(text)
            .is_ok_and(|chat| chat.choices.iter().all(|choice| choice.message.is_empty())),
        WireFormat::Anthropic => serde_json::from_str::<Message>(text)
            .is_ok_and(|message| message.content.iter().all(Block::is_empty)),
    }
}

/// The same for a response.
pub(crate) fn response_has_no_word(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Whole {
        output: Vec<Block>,
    }
    serde_json::from_str::<Whole>(text).is_ok_and(|whole| whole.output.iter().all(Block::is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_without_any_word_is_empty() {
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
        ] {
            let text = format!(
                r#"{{"choices":[{{"index":0,"message":{message},"finish_reason":"stop"}}]}}"#
            );
            assert_eq!(has_no_word(WireFormat::OpenAi, &text), expected, "{message}");
        }
        assert!(!has_no_word(WireFormat::OpenAi, r#"{"choices":[{}]}"#), "no message: not known");
        for (content, expected) in [
            ("[]", true),
            (r#"[{"type":"text","text":""}]"#, true),
            (r#"[{"type":"text","text":"a"}]"#, false),
            (r#"[{"type":"tool_use","id":"t","input":{}}]"#, false),
            (r#"[{"type":"thinking","thinking":"a"}]"#, false),
        ] {
            let text = format!(r#"{{"content":{content},"stop_reason":"end_turn"}}"#);
            assert_eq!(has_no_word(WireFormat::Anthropic, &text), expected, "{content}");
        }
        for (output, expected) in [
            ("[]", true),
            (r#"[{"type":"message","content":[{"type":"output_text","text":""}]}]"#, true),
            (r#"[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]"#, false),
            (r#"[{"type":"function_call","name":"f"}]"#, false),
        ] {
            assert_eq!(
                response_has_no_word(&format!(r#"{{"output":{output}}}"#)),
                expected,
                "{output}"
            );
        }
    }
}
