//! How long the texts of a chunk are.
//!
//! Called by the observer of streams for each chunk with content. Always true: text, reasoning, refusals, transcripts and
//! arguments of calls are counted as their characters, and nothing else is; of two fields with the same words one counts.

use crate::bytes::elements::elements;
use crate::bytes::json::{decoded_length, text_length};
use crate::bytes::members::texts;

/// Longest frame of a text that is remembered, in bytes.
const FRAME_MAX: usize = 1024;

/// What stands around the only text of the last list of choices. The chunks of a stream are usually equal but for it, and need
/// not be searched again.
#[derive(Debug, Default)]
pub(super) struct Frame {
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Frame {
    /// Bytes of the texts in `choices`, which must be valid JSON.
    pub(super) fn length(&mut self, choices: &str) -> usize {
        if let Some(inner) = self.inner(choices) {
            return decoded_length(inner);
        }
        let (mut sum, mut found, mut only) = (0, 0, 0..0);
        each_text(choices, &mut |raw| {
            sum += text_length(raw);
            found += 1;
            let at = raw.as_ptr() as usize - choices.as_ptr() as usize;
            only = at + 1..at + raw.len() - 1;
        });
        let frame = choices.len() - only.len();
        if found == 1 && frame <= FRAME_MAX {
            self.before.clear();
            self.before.extend_from_slice(&choices.as_bytes()[..only.start]);
            self.behind.clear();
            self.behind.extend_from_slice(&choices.as_bytes()[only.end..]);
        }
        sum
    }

    /// What stands in the frame. A quote in it could end the text.
    fn inner<'t>(&self, choices: &'t str) -> Option<&'t str> {
        if self.before.is_empty() {
            return None;
        }
        let inner =
            choices.as_bytes().strip_prefix(&self.before[..])?.strip_suffix(&self.behind[..])?;
        if memchr::memchr(b'"', inner).is_some() {
            return None;
        }
        choices.get(self.before.len()..self.before.len() + inner.len())
    }
}

/// Calls `found` with each text of the choices, its quotes included.
fn each_text<'t>(choices: &'t str, found: &mut impl FnMut(&'t str)) {
    for choice in elements(choices).into_iter().flatten() {
        let Ok([delta, text]) = texts(choice, ["delta", "text"]) else { continue };
        filled(text).map(&mut *found);
        let Some(delta) = delta else { continue };
        let Ok([content, refusal, audio, call, calls]) =
            texts(delta, ["content", "refusal", "audio", "function_call", "tool_calls"])
        else {
            continue;
        };
        parts(content, found);
        filled(refusal).map(&mut *found);
        filled(audio.and_then(|audio| texts(audio, ["transcript"]).ok()?[0])).map(&mut *found);
        let functions = calls.and_then(elements).into_iter().flatten();
        let functions = functions.filter_map(|call| texts(call, ["function"]).ok()?[0]);
        for function in functions.chain(call) {
            filled(texts(function, ["arguments"]).ok().and_then(|[all]| all)).map(&mut *found);
        }
        reasoning(delta, found);
    }
}

/// The reasoning of a delta. Servers that name it twice say the same twice.
fn reasoning<'t>(delta: &'t str, found: &mut impl FnMut(&'t str)) {
    let names = ["reasoning_content", "reasoning", "reasoning_details", "thinking_blocks"];
    let Ok([content, plain, details, blocks]) = texts(delta, names) else { return };
    match filled(content).or(filled(plain)) {
        Some(text) => found(text),
        None => parts(details.or(blocks), found),
    }
}

/// The texts of a content: one, or those of its parts.
fn parts<'t>(content: Option<&'t str>, found: &mut impl FnMut(&'t str)) {
    let Some(content) = content else { return };
    filled(Some(content)).map(&mut *found);
    for part in elements(content).into_iter().flatten() {
        let Ok([text, thinking, summary]) = texts(part, ["text", "thinking", "summary"]) else {
            continue;
        };
        for one in [text, thinking, summary].into_iter().flatten() {
            filled(Some(one)).map(&mut *found);
            // Mistral's thinking is a list of texts.
            for inner in elements(one).into_iter().flatten() {
                filled(texts(inner, ["text"]).ok().and_then(|[text]| text)).map(&mut *found);
            }
        }
    }
}

/// The value, if it is a string with a character in it.
fn filled(raw: Option<&str>) -> Option<&str> {
    raw.filter(|raw| raw.starts_with('"') && raw.len() > 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_text_is_counted_once() {
        for (choices, expected) in [
            (
                r#"[{"index":0,"delta":{"role":"assistant","content":"12345"},"finish_reason":null}]"#,
                5,
            ),
            (r#"[{"delta":{"content":"a\"b\n\u00e9"}}]"#, 6),
            (r#"[{"text":"1234","logprobs":{"tokens":["1234"]}}]"#, 4),
            (
                r#"[{"delta":{"reasoning":"12","reasoning_content":"12","reasoning_details":[{"text":"12"}]}}]"#,
                2,
            ),
            (r#"[{"delta":{"reasoning_content":"","reasoning":"123"}}]"#, 3),
            (r#"[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"1234"}]}}]"#, 4),
            (
                r#"[{"delta":{"tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]"#,
                7,
            ),
            (r#"[{"delta":{"function_call":{"name":"f","arguments":"{}"}}}]"#, 2),
            (r#"[{"delta":{"refusal":"no"}},{"delta":{"content":"yes"}}]"#, 5),
            (r#"[{"delta":{"audio":{"id":"a","data":"AAAA","transcript":"hi"}}}]"#, 2),
            (
                r#"[{"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"123"}]},{"type":"text","text":"45"}]}}]"#,
                5,
            ),
            (r#"[{"delta":{"role":"assistant","content":null},"finish_reason":"stop"}]"#, 0),
            ("[]", 0),
        ] {
            assert_eq!(Frame::default().length(choices), expected, "{choices}");
        }
    }

    #[test]
    fn a_text_is_counted_the_same_with_and_without_the_frame_of_the_last_one() {
        let mut frame = Frame::default();
        let behind = r#"},"finish_reason":null}]"#;
        for text in [
            r#""a""#,
            r#""""#,
            r#""a\"b""#,
            r#""\\""#,
            r#""a","refusal":"b""#,
            r#"null"#,
            r#""漢\n""#,
        ] {
            let choices = format!(r#"[{{"index":0,"delta":{{"content":{text}{behind}"#);
            assert_eq!(frame.length(&choices), Frame::default().length(&choices), "{choices}");
        }
        let long = format!(r#"[{{"index":0,"delta":{{"content":"{}"{behind}"#, "x".repeat(36_000));
        assert_eq!(frame.inner(&long).map(str::len), Some(36_000), "no search");
        assert_eq!(frame.length(&long), 36_000);
    }
}
