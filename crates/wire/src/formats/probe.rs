//! The body of a health probe as a client would send it: the smallest request that makes a model run.
//!
//! Called by the prober. The body is then prepared like any other request. Always true: it holds only fields of its
//! operation and those that the config adds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hale_core::operation::{Carries, Operation};
use serde_json::{Map, Value, json};

use crate::bytes::form::FormError;
use crate::bytes::peek::Peek;

/// Two thirds of a second of a rising tone; made by `scripts/probe-media`.
const WAV: &[u8] = include_bytes!("../../data/probe.wav");
/// A drawing of a blue circle; made by `scripts/probe-media`.
const PNG: &[u8] = include_bytes!("../../data/probe.png");
/// Neither of the files contains it.
const BOUNDARY: &str = "hale-health-check";
/// The document to rank.
const DOCUMENT: &str = "my sample text";
/// One page with the word "test", for OCR.
const PDF: &[u8] = include_bytes!("../../data/test.pdf");
/// The voice if the config names none. Source: LiteLLM.
pub const VOICE: &str = "alloy";

/// A probe.
#[derive(Clone, Debug)]
pub struct Probe<'p> {
    /// The operation to probe.
    pub operation: Operation,
    /// The model's name at the provider.
    pub model: &'p str,
    /// The prompt.
    pub prompt: &'p str,
    /// Maximum tokens of the answer; `None` leaves the limit to the provider.
    pub max_tokens: Option<u32>,
    /// `reasoning_effort`.
    pub reasoning_effort: Option<&'p str>,
    /// The voice for speech.
    pub voice: &'p str,
    /// Further fields: name and JSON text.
    pub params: &'p [(Box<str>, Box<str>)],
}

impl Probe<'_> {
    /// The request, as if a client had sent it.
    ///
    /// # Errors
    /// If the fields that the config adds make it invalid.
    pub fn request(&self) -> Result<Peek, FormError> {
        let body = self.body();
        match self.operation.carries() {
            Carries::Json | Carries::Nothing | Carries::Anything => Ok(Peek::parse(body)?),
            Carries::Form => Peek::form_of(&body, BOUNDARY, self.file()),
        }
    }

    /// The file of the form: field name, file name, type and content.
    fn file(&self) -> (&'static str, &'static str, &'static str, &'static [u8]) {
        match self.operation.requires("image") {
            true => ("image[]", "probe.png", "image/png", PNG),
            false => ("file", "probe.wav", "audio/wav", WAV),
        }
    }

    /// The body, or the text fields of the form.
    #[must_use]
    pub fn body(&self) -> Bytes {
        let mut body = Map::new();
        for (name, text) in self.params {
            // They are JSON in the config.
            body.insert(name.to_string(), serde_json::from_str(text).unwrap_or(Value::Null));
        }
        let mut set = |name: &str, value: Value| {
            body.insert(name.to_owned(), value);
        };
        set("model", json!(self.model));
        for field in self.operation.required_fields() {
            if let Some(value) = self.sample(field) {
                set(field, value);
            }
        }
        if self.operation == Operation::Chat
            && let Some(effort) = self.reasoning_effort
        {
            set("reasoning_effort", json!(effort));
        }
        if self.operation == Operation::Speech {
            set("voice", json!(self.voice));
        }
        if let Some(limit) = self.operation.token_limit()
            && let Some(tokens) = self.max_tokens
        {
            set(limit, json!(tokens));
        }
        Bytes::from(Value::Object(body).to_string())
    }

    /// The value of that field; `None` for a file and for the limit.
    fn sample(&self, field: &str) -> Option<Value> {
        match field {
            "messages" => Some(json!([{"role": "user", "content": self.prompt}])),
            "input" if self.operation == Operation::Embedding => Some(json!([self.prompt])),
            "input" | "prompt" | "query" => Some(json!(self.prompt)),
            "documents" => Some(json!([DOCUMENT])),
            "document" => {
                let url = format!("data:application/pdf;base64,{}", STANDARD.encode(PDF));
                Some(json!({"type": "document_url", "document_url": url}))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_only_what_its_operation_knows() {
        // Requirement H5.
        let body = |operation| -> Value {
            let probe = Probe {
                operation,
                model: "m",
                prompt: "hi",
                max_tokens: Some(1),
                reasoning_effort: None,
                voice: VOICE,
                params: &[],
            };
            serde_json::from_slice(&probe.body()).unwrap()
        };
        let user = json!([{"role": "user", "content": "hi"}]);
        let rows = [
            (Operation::Chat, json!({"model": "m", "messages": user, "max_tokens": 1})),
            (Operation::Messages, json!({"model": "m", "messages": user, "max_tokens": 1})),
            (Operation::Completion, json!({"model": "m", "prompt": "hi", "max_tokens": 1})),
            (Operation::Responses, json!({"model": "m", "input": "hi", "max_output_tokens": 1})),
            (Operation::Embedding, json!({"model": "m", "input": ["hi"]})),
            (Operation::GenerateImage, json!({"model": "m", "prompt": "hi"})),
            (Operation::Speech, json!({"model": "m", "input": "hi", "voice": "alloy"})),
            (Operation::Moderate, json!({"model": "m", "input": "hi"})),
            (
                Operation::Rerank,
                json!({"model": "m", "query": "hi", "documents": ["my sample text"]}),
            ),
        ];
        for (operation, expected) in rows {
            assert_eq!(body(operation), expected, "{operation:?}");
        }
    }

    #[test]
    fn a_probe_has_what_its_operation_requires() {
        for (mode, operation) in Operation::probes() {
            let probe = Probe {
                operation,
                model: "m",
                prompt: "hi",
                max_tokens: Some(1),
                reasoning_effort: None,
                voice: VOICE,
                params: &[],
            };
            let peek = probe.request().unwrap();
            for field in operation.required_fields() {
                assert!(peek.is_given(field), "a probe of mode {mode} is without `{field}`");
            }
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
    fn fields_of_the_config_are_added_and_the_limit_wins() {
        let params = [("seed".into(), "7".into()), ("max_tokens".into(), "99".into())];
        let probe = Probe {
            operation: Operation::Chat,
            model: "m",
            prompt: "hi",
            max_tokens: Some(3),
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
