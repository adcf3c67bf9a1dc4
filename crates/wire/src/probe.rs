//! The body of a check, in a client's words: the smallest request that makes a model run.
//!
//! Called by the gateway's health thread; what comes of it goes the way of every request ([`crate::way`]).
//! Always true: it holds only what its operation knows, and what the config adds.

use std::borrow::Cow;

use bytes::Bytes;
use hale_core::endpoint::Operation;
use serde_json::{Map, Value, json};

use crate::form::{self, FormError};
use crate::peek::Peek;

/// A second of a rising tone, less a third; made by `scripts/probe-media`.
const WAV: &[u8] = include_bytes!("../data/probe.wav");
/// A drawing of a blue circle; made by `scripts/probe-media`.
const PNG: &[u8] = include_bytes!("../data/probe.png");
/// It stands in neither.
const BOUNDARY: &str = "hale-health-check";

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
            // What is asked is in the path.
            Operation::ListFiles | Operation::ListBatches => {}
            Operation::EditImage => {
                set("prompt", json!(self.prompt));
            }
            Operation::Transcribe => {}
            Operation::Completion => {
                set("prompt", json!(self.prompt));
            }
            Operation::Embedding => {
                set("input", json!([self.prompt]));
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
            | Operation::CancelBatch => None,
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
        ];
        for (operation, reasons, expected) in rows {
            assert_eq!(body(operation, reasons), expected, "{operation:?}");
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
            params: &params,
        };
        let body: Value = serde_json::from_slice(&probe.body()).unwrap();
        let read = |name: &str| body[name].clone();
        assert_eq!((read("max_tokens"), read("seed")), (json!(3), json!(7)));
        assert_eq!(read("reasoning_effort"), json!("low"));
    }
}
