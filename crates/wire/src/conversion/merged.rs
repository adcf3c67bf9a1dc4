//! Reasoning in the text of a streamed chat, between `<think>` and `</think>`, if the config of the deployment says so.
//!
//! Called by [`super::stream`] with what is written for a client. Always true: only the first choice of chunks of OpenAI's format
//! changes; a chunk without reasoning and without text stays as it is.

use std::borrow::Cow;

use crate::bytes::edit::{self, Edit};
use crate::bytes::elements::elements;
use crate::bytes::members::texts;
use crate::bytes::object;

/// The members of a delta that hold reasoning.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking_blocks"];

/// Where the answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Merging {
    /// Nothing was thought yet.
    #[default]
    Before,
    /// Within the reasoning.
    Within,
    /// Behind it.
    Behind,
}

impl Merging {
    /// Merges the events in `out` behind `from`.
    pub(super) fn apply(&mut self, out: &mut Vec<u8>, from: usize) {
        let Ok(text) = std::str::from_utf8(&out[from..]) else { return };
        if !text.contains("\"delta\"") {
            return;
        }
        let mut merged = String::with_capacity(text.len() + 16);
        let mut changes = false;
        for line in text.split_inclusive('\n') {
            let payload = line.strip_prefix("data:").map(str::trim);
            match payload.and_then(|payload| self.chunk(payload)) {
                Some(chunk) => {
                    changes = true;
                    merged.push_str("data: ");
                    merged.push_str(&chunk);
                    merged.push('\n');
                }
                None => merged.push_str(line),
            }
        }
        if changes {
            out.truncate(from);
            out.extend_from_slice(merged.as_bytes());
        }
    }

    /// The chunk with its reasoning in its text; `None` if it stays as it is.
    fn chunk(&mut self, chunk: &str) -> Option<String> {
        let [choices] = texts(chunk, ["choices"]).ok()?;
        let mut out = String::from("[");
        let mut changed = false;
        for (at, choice) in elements(choices?)?.enumerate() {
            if at > 0 {
                out.push(',');
            }
            match (at == 0).then(|| self.choice(choice)).flatten() {
                Some(choice) => {
                    changed = true;
                    out.push_str(&choice);
                }
                None => out.push_str(choice),
            }
        }
        out.push(']');
        changed.then(|| set(chunk, &[Edit::Set("choices", Cow::Owned(out))]))?
    }

    fn choice(&mut self, choice: &str) -> Option<String> {
        let [delta, finish] = texts(choice, ["delta", "finish_reason"]).ok()?;
        let delta = delta?;
        let [content, first, second] =
            texts(delta, ["content", REASONING[0], REASONING[1]]).ok()?;
        let inner = |raw: Option<&str>| {
            let text = raw?.strip_prefix('"')?.strip_suffix('"')?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let thought = inner(first).or_else(|| inner(second));
        let said = inner(content);
        let mut text = String::new();
        if let Some(thought) = thought.filter(|_| *self != Merging::Behind) {
            if *self == Merging::Before {
                text.push_str("<think>");
                *self = Merging::Within;
            }
            text.push_str(&thought);
        }
        if *self == Merging::Within && (said.is_some() || finish.is_some()) {
            text.push_str("</think>");
            *self = Merging::Behind;
        }
        if text.is_empty() {
            return None;
        }
        text.push_str(&said.unwrap_or_default());
        let mut edits = vec![Edit::Set("content", Cow::Owned(format!("\"{text}\"")))];
        edits.extend(REASONING.map(Edit::Remove));
        let delta = set(delta, &edits)?;
        set(choice, &[Edit::Set("delta", Cow::Owned(delta))])
    }
}

fn set(object: &str, edits: &[Edit<'_>]) -> Option<String> {
    let members = object::members(object.as_bytes()).ok()?;
    String::from_utf8(edit::apply(object.as_bytes(), &members, edits).into()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text(deltas: &[Value]) -> (String, String) {
        let mut merging = Merging::default();
        let mut all = Vec::new();
        for (at, delta) in deltas.iter().enumerate() {
            let finish = if at + 1 == deltas.len() { json!("stop") } else { Value::Null };
            let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
            let from = all.len();
            all.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
            merging.apply(&mut all, from);
        }
        let all = String::from_utf8(all).unwrap();
        let chunks = all.lines().filter_map(|line| line.strip_prefix("data: "));
        let said = chunks.map(|chunk| {
            let chunk: Value = serde_json::from_str(chunk).unwrap();
            chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
        });
        (said.collect(), all)
    }

    #[test]
    fn reasoning_stands_before_the_text_between_its_marks() {
        for name in ["reasoning_content", "reasoning"] {
            let deltas = [
                json!({"role": "assistant", "content": ""}),
                json!({name: "let \"me\" "}),
                json!({name: "see\n", "content": null}),
                json!({"content": "four"}),
                json!({"content": "."}),
                json!({}),
            ];
            let (said, all) = text(&deltas);
            assert_eq!(said, "<think>let \"me\" see\n</think>four.", "{all}");
            assert!(!all.contains("reasoning"), "{all}");
        }
    }

    #[test]
    fn reasoning_without_a_text_is_closed_and_an_answer_without_reasoning_stays() {
        assert_eq!(text(&[json!({"reasoning": "hm"}), json!({})]).0, "<think>hm</think>");
        assert_eq!(
            text(&[json!({"reasoning": "hm", "content": "a"}), json!({})]).0,
            "<think>hm</think>a"
        );
        let call = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]});
        let (said, all) = text(&[json!({"content": "a"}), call.clone()]);
        assert_eq!(said, "a");
        assert!(all.contains(&call["tool_calls"].to_string()), "{all}");
    }
}
