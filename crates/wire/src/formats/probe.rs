//! The body of a check, in a client's words: the smallest request that makes a model run.
//!
//! Called by the gateway's health thread; what comes of it goes the way of every request ([`crate::conversion::way`]).
//! Always true: it holds only what its operation knows, and what the config adds.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hale_core::operation::Operation;
use serde_json::{Map, Value, json};

use crate::bytes::form::{self, FormError};
use crate::bytes::peek::Peek;

/// A second of a rising tone, less a third; made by `scripts/probe-media`.
const WAV: &[u8] = include_bytes!("../../data/probe.wav");
/// A drawing of a blue circle; made by `scripts/probe-media`.
const PNG: &[u8] = include_bytes!("../../data/probe.png");
/// It stands in neither.
const BOUNDARY: &str = "hale-health-check";
/// What is put in order.
const DOCUMENT: &str = "my sample text";
/// One page that says "test", for who reads documents.
const PDF: &[u8] = include_bytes!("../../data/test.pdf");
/// The voice that is asked for where the config names none. Source: the reference.
pub const VOICE: &str = "alloy";

/// What is asked.
#[derive(Clone, Debug)]
pub struct Probe<'p> {
    /// What for.
    pub operation: Operation,
    /// The model's name at the provider.
    pub model: &'p str,
    /// The text.
    pub prompt: &'p str,
    /// The most tokens that the answer may have; `None` leaves it to the provider.
    pub max_tokens: Option<u32>,
    /// Whether the limit goes by the name that models have which reason.
    pub reasons: bool,
    /// `reasoning_effort`.
    pub reasoning_effort: Option<&'p str>,
    /// The voice that is to speak.
    pub voice: &'p str,
    /// Further fields: name and JSON text.
    pub params: &'p [(Box<str>, Box<str>)],
}

impl Probe<'_> {
    /// The request, as if a client had sent it.
    ///
    /// # Errors
    /// When what the config adds makes it none.
    pub fn request(&self) -> Result<Peek, FormError> {
        let body = self.body();
        let file = match self.operation {
            Operation::EditImage => ("image[]", "probe.png", "image/png", PNG),
            Operation::Transcribe => ("file", "probe.wav", "audio/wav", WAV),
            _ => return Ok(Peek::parse(body)?),
        };
        form::of_words(&body, BOUNDARY, file)
    }

    /// The body, or the words of the form.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let mut body = Map::new();
        for (name, text) in self.params {
            // They were JSON in the config.
            body.insert(name.to_string(), serde_json::from_str(text).unwrap_or(Value::Null));
        }
        let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
        set("model", json!(self.model));
        let message = || json!([{"role": "user", "content": self.prompt}]);
        match self.operation {
            Operation::Chat => {
                set("messages", message());
                if let Some(effort) = self.reasoning_effort {
                    set("reasoning_effort", json!(effort));
                }
            }
            Operation::Responses => {
                set("input", json!(self.prompt));
            }
            Operation::Messages
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse
            | Operation::CreateFile
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::CreateBatch
            | Operation::GetBatch
            | Operation::CancelBatch => {
                set("messages", message());
            }
            // What is asked is in the path, or in the file.
            Operation::ListFiles
            | Operation::ListBatches
            | Operation::Transcribe
            | Operation::Realtime => {}
            Operation::Completion => {
                set("prompt", json!(self.prompt));
            }
            Operation::Embedding => {
                set("input", json!([self.prompt]));
            }
            Operation::GenerateImage | Operation::EditImage => {
                set("prompt", json!(self.prompt));
            }
            Operation::Moderate => {
                set("input", json!(self.prompt));
            }
            Operation::Speech => {
                set("input", json!(self.prompt));
                set("voice", json!(self.voice));
            }
            Operation::Rerank => {
                set("query", json!(self.prompt));
                set("documents", json!([DOCUMENT]));
            }
            Operation::Ocr => {
                let url = format!("data:application/pdf;base64,{}", STANDARD.encode(PDF));
                set("document", json!({"type": "document_url", "document_url": url}));
            }
        }
        if let Some(name) = self.limit_field()
            && let Some(tokens) = self.max_tokens
        {
            set(&name, json!(tokens));
        }
        Bytes::from(Value::Object(body).to_string())
    }

    /// What the limit is called, where the operation has one.
    fn limit_field(&self) -> Option<Cow<'static, str>> {
        match self.operation {
            Operation::Chat if self.reasons => Some("max_completion_tokens".into()),
            Operation::Chat | Operation::Completion | Operation::Messages => {
                Some("max_tokens".into())
            }
            Operation::Responses => Some("max_output_tokens".into()),
            Operation::Embedding
            | Operation::CountTokens
            | Operation::CountPrompt
            | Operation::CompactResponses
            | Operation::CountResponses
            | Operation::GetResponse
            | Operation::DeleteResponse
            | Operation::ListInputItems
            | Operation::CancelResponse
            | Operation::EditImage
            | Operation::Transcribe
            | Operation::CreateFile
            | Operation::ListFiles
            | Operation::GetFile
            | Operation::DeleteFile
            | Operation::GetFileContent
            | Operation::CreateBatch
            | Operation::ListBatches
            | Operation::GetBatch
            | Operation::CancelBatch
            | Operation::GenerateImage
            | Operation::Speech
            | Operation::Moderate
            | Operation::Rerank
            | Operation::Ocr
            | Operation::Realtime => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h05_a_body_holds_only_what_its_operation_knows() {
        let body = |operation, reasons| -> Value {
            let probe = Probe {
                operation,
                model: "m",
                prompt: "hi",
                max_tokens: Some(1),
                reasons,
                reasoning_effort: None,
                voice: VOICE,
                params: &[],
            };
            serde_json::from_slice(&probe.body()).unwrap()
        };
        let user = json!([{"role": "user", "content": "hi"}]);
        let rows = [
            (Operation::Chat, false, json!({"model": "m", "messages": user, "max_tokens": 1})),
            (
                Operation::Chat,
                true,
                json!({"model": "m", "messages": user, "max_completion_tokens": 1}),
            ),
            (Operation::Messages, true, json!({"model": "m", "messages": user, "max_tokens": 1})),
            (Operation::Completion, false, json!({"model": "m", "prompt": "hi", "max_tokens": 1})),
            (
                Operation::Responses,
                true,
                json!({"model": "m", "input": "hi", "max_output_tokens": 1}),
            ),
            (Operation::Embedding, false, json!({"model": "m", "input": ["hi"]})),
            (Operation::GenerateImage, true, json!({"model": "m", "prompt": "hi"})),
            (Operation::Speech, false, json!({"model": "m", "input": "hi", "voice": "alloy"})),
            (Operation::Moderate, false, json!({"model": "m", "input": "hi"})),
            (
                Operation::Rerank,
                false,
                json!({"model": "m", "query": "hi", "documents": ["my sample text"]}),
            ),
        ];
        for (operation, reasons, expected) in rows {
            assert_eq!(body(operation, reasons), expected, "{operation:?}");
        }
    }

    #[test]
    fn the_bundled_document_is_a_small_pdf_whose_table_is_right() {
        let text = String::from_utf8_lossy(PDF);
        assert!(text.starts_with("%PDF-1.4") && text.trim_end().ends_with("%%EOF"));
        assert!(PDF.len() < 600, "{}", PDF.len());
        let table = text.find("xref\n").unwrap();
        assert!(text.contains(&format!("startxref\n{table}\n")));
        let offsets = text[table..].lines().filter(|line| line.ends_with(" n "));
        for (i, line) in offsets.enumerate() {
            let offset: usize = line[..10].parse().unwrap();
            assert!(text[offset..].starts_with(&format!("{} 0 obj", i + 1)), "object {}", i + 1);
        }
    }

    #[test]
    fn what_the_config_adds_is_there_and_the_limit_wins() {
        let params = [("seed".into(), "7".into()), ("max_tokens".into(), "99".into())];
        let probe = Probe {
            operation: Operation::Chat,
            model: "m",
            prompt: "hi",
            max_tokens: Some(3),
            reasons: false,
            reasoning_effort: Some("low"),
            voice: VOICE,
            params: &params,
        };
        let body: Value = serde_json::from_slice(&probe.body()).unwrap();
        let read = |name: &str| body[name].clone();
        assert_eq!((read("max_tokens"), read("seed")), (json!(3), json!(7)));
        assert_eq!(read("reasoning_effort"), json!("low"));
    }
}
