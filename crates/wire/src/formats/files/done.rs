//! What a batch that has ended used: as its object says, or line by line as the file of its answers does.
//!
//! Called by the gateway where a client gets one of them. Always true: only a batch that has ended has used something; memory is bounded,
//! whatever the lines are; a line that is no answer is none.
//! Source: <https://platform.openai.com/docs/api-reference/batch/object>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::formats::usage::of_openai;
use hale_core::usage::{ServiceTier, Usage};

/// Longest line that is read, bytes. A longer one counts as one that could not be read.
const LINE_MAX: usize = 16 << 20;
/// Models that are told apart; the answers of others count for the last one.
const MODELS_MAX: usize = 64;
/// How a batch has ended that may have answers.
const ENDED: [&str; 3] = ["completed", "expired", "cancelled"];

/// A batch that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoneBatch {
    /// Its id, as the text has it.
    pub id: Box<str>,
    /// The file of its answers.
    pub file: Option<Box<str>>,
    /// The model.
    pub model: Option<Box<str>>,
    /// What all answers used; `None` if the provider does not say.
    pub usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Object<'a> {
    id: Option<String>,
    status: Option<String>,
    output_file_id: Option<String>,
    model: Option<String>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

/// The batch that has ended whose object `text` is.
#[must_use]
pub fn of_batch(text: &[u8]) -> Option<DoneBatch> {
    let object: Object<'_> = serde_json::from_slice(text).ok()?;
    let status = object.status?;
    if !ENDED.contains(&&*status) {
        return None;
    }
    let usage = object.usage.and_then(|usage| of_openai(usage.get())).filter(|usage| {
        // A provider that does not count says 0.
        usage.input + usage.output > 0
    });
    Some(DoneBatch {
        id: object.id?.into(),
        file: object.output_file_id.filter(|id| !id.is_empty()).map(Box::from),
        model: object.model.map(Box::from),
        usage: usage.map(in_batch),
    })
}

fn in_batch(usage: Usage) -> Usage {
    Usage { tier: ServiceTier::Batch, reported: None, ..usage }
}

/// Reads the file of a batch's answers while it passes.
#[derive(Debug, Default)]
pub struct AnswerLines {
    line: Vec<u8>,
    is_too_long: bool,
    found: BTreeMap<Box<str>, Usage>,
    unread: u64,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    custom_id: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<Answer<'a>>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    body: Option<Body<'a>>,
}

#[derive(Deserialize)]
struct Body<'a> {
    model: Option<String>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl AnswerLines {
    /// Reads a piece of the file.
    pub fn push(&mut self, mut piece: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', piece) {
            self.add(&piece[..end]);
            self.end_line();
            piece = &piece[end + 1..];
        }
        self.add(piece);
    }

    /// What each model used, and how many lines could not be read. The file has ended.
    #[must_use]
    pub fn finish(mut self) -> (BTreeMap<Box<str>, Usage>, u64) {
        self.end_line();
        (self.found, self.unread)
    }

    fn add(&mut self, piece: &[u8]) {
        if self.line.len() + piece.len() > LINE_MAX {
            self.is_too_long = true;
            self.line = Vec::new();
        }
        if !self.is_too_long {
            self.line.extend_from_slice(piece);
        }
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.is_too_long) {
            self.unread += 1;
        } else if let Some((model, usage)) = of_line(&self.line) {
            let is_known = self.found.contains_key(&model) || self.found.len() < MODELS_MAX;
            let place = match is_known {
                true => Some(self.found.entry(model).or_default()),
                false => self.found.values_mut().next_back(),
            };
            if let Some(sum) = place {
                *sum = plus(*sum, usage);
            }
        }
        self.line.clear();
    }
}

/// The model and the usage of an answer.
fn of_line(line: &[u8]) -> Option<(Box<str>, Usage)> {
    let line: Line<'_> = serde_json::from_slice(line.trim_ascii()).ok()?;
    line.custom_id?;
    let body = line.response?.body?;
    let usage = of_openai(body.usage?.get())?;
    Some((body.model.unwrap_or_default().into(), in_batch(usage)))
}

fn plus(one: Usage, other: Usage) -> Usage {
    let mut sum = other;
    sum.input = sum.input.saturating_add(one.input);
    sum.output = sum.output.saturating_add(one.output);
    sum.cached_input = sum.cached_input.saturating_add(one.cached_input);
    sum.cache_creation = sum.cache_creation.saturating_add(one.cache_creation);
    sum.cache_creation_1h = sum.cache_creation_1h.saturating_add(one.cache_creation_1h);
    sum.reasoning = sum.reasoning.saturating_add(one.reasoning);
    sum.sound.input = sum.sound.input.saturating_add(one.sound.input);
    sum.sound.cached_input = sum.sound.cached_input.saturating_add(one.sound.cached_input);
    sum.sound.output = sum.sound.output.saturating_add(one.sound.output);
    sum.seen = sum.seen.saturating_add(one.seen);
    sum.drawn.tokens = sum.drawn.tokens.saturating_add(one.drawn.tokens);
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = concat!(
        r#"{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"body":{"model":"gpt-4o","usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4}}}},"error":null}"#,
        "\r\n\n",
        r#"{"id":"batch_req_2","custom_id":"b","response":{"status_code":200,"body":{"model":"gpt-4o","usage":{"input_tokens":1,"output_tokens":2}}}}"#,
        "\n",
        r#"{"id":"batch_req_3","custom_id":"c","response":{"status_code":400,"body":{"error":{"message":"no"}}}}"#,
        "\nnonsense\n",
        r#"{"custom_id":"d","body":{"model":"gpt-4o","usage":{"prompt_tokens":99,"completion_tokens":99}}}"#,
        "\n",
        r#"{"custom_id":"e","response":{"body":{"model":"other","usage":{"prompt_tokens":7,"completion_tokens":0}}}}"#,
    );

    fn read(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<(String, u64, u64)>, u64) {
        let mut lines = AnswerLines::default();
        pieces.for_each(|piece| lines.push(&piece));
        let (found, unread) = lines.finish();
        assert!(found.values().all(|usage| usage.tier == ServiceTier::Batch));
        let shown = found.into_iter().map(|(model, it)| (model.into(), it.input, it.output));
        (shown.collect(), unread)
    }

    proptest! {
        #[test]
        fn the_answers_of_a_file_are_added_up_by_model_however_it_is_cut(size in 1_usize..200) {
            let pieces = FILE.as_bytes().chunks(size).map(<[u8]>::to_vec);
            let expected = vec![("gpt-4o".to_owned(), 11, 7), ("other".to_owned(), 7, 0)];
            prop_assert_eq!(read(pieces), (expected, 0));
        }
    }

    #[test]
    fn lines_and_models_without_end_take_a_bounded_place() {
        let mut lines = AnswerLines::default();
        for _ in 0..40 {
            lines.push(&[b'x'; 1 << 20]);
            assert!(lines.line.capacity() <= 2 * LINE_MAX);
        }
        lines.push(b"\n");
        for number in 0..1_000 {
            let line = format!(
                "{{\"custom_id\":\"a\",\"response\":{{\"body\":{{\"model\":\"m{number}\",\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":1}}}}}}}}\n"
            );
            lines.push(line.as_bytes());
        }
        let (found, unread) = lines.finish();
        assert_eq!((found.len(), unread), (MODELS_MAX, 1));
        assert_eq!(found.values().map(|usage| usage.input).sum::<u64>(), 1_000);
    }

    #[test]
    fn only_a_batch_that_has_ended_has_used_something() {
        let text = |status: &str, usage: &str| {
            format!(
                r#"{{"id":"b1","object":"batch","status":"{status}","output_file_id":"f1","model":"gpt-4o","usage":{usage}}}"#
            )
        };
        let counted = r#"{"input_tokens":100,"input_tokens_details":{"cached_tokens":40},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":107}"#;
        let done = of_batch(text("completed", counted).as_bytes()).unwrap();
        assert_eq!((&*done.id, done.file.as_deref()), ("b1", Some("f1")));
        let usage = done.usage.unwrap();
        assert_eq!(
            (usage.input, usage.cached_input, usage.output, usage.reasoning),
            (100, 40, 7, 3)
        );
        assert_eq!(usage.tier, ServiceTier::Batch);
        for status in ["validating", "in_progress", "finalizing", "failed", "cancelling"] {
            assert_eq!(of_batch(text(status, counted).as_bytes()), None, "{status}");
        }
        let none = r#"{"input_tokens":0,"output_tokens":0}"#;
        for usage in ["null", none, "{}"] {
            assert_eq!(of_batch(text("expired", usage).as_bytes()).unwrap().usage, None, "{usage}");
        }
        for text in ["", "[]", "{}", r#"{"id":5,"status":"completed"}"#] {
            assert_eq!(of_batch(text.as_bytes()), None, "{text}");
        }
    }
}
