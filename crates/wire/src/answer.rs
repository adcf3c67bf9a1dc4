//! Full answers of an OpenAI-wire upstream: are they what they should be, and whose name do they bear?
//!
//! Called by the gateway's attempts for every 2xx answer that is no stream. Always true: an answer
//! that passes is JSON with content, and of its bytes only the model's name was changed.

use bytes::Bytes;
use hale_core::endpoint::Operation;
use hale_core::health::outcome::ProviderError;
use hale_core::usage::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::errors;

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The body for the client.
    pub body: Bytes,
    /// Tokens, where the provider said.
    pub usage: Option<Usage>,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not what the wire format promises; why.
    Malformed(String),
    /// It is an error in the clothes of a success.
    Error(ProviderError),
}

/// The members of an answer or of a stream's event that the gateway looks at.
#[derive(Debug, Deserialize)]
pub(crate) struct Top<'a> {
    #[serde(borrow)]
    pub(crate) model: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) choices: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) error: Option<&'a RawValue>,
}

/// Checks a full answer and stamps it with `model_json`, the model's name as JSON text.
///
/// # Errors
/// When the answer is malformed, or an error.
pub fn check(operation: Operation, body: &Bytes, model_json: &str) -> Result<Answer, Fault> {
    let malformed = |why: String| Err(Fault::Malformed(why));
    if body.is_empty() {
        return malformed("an empty body".to_owned());
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return malformed("a body that is not UTF-8".to_owned());
    };
    let top: Top<'_> = match serde_json::from_str(text) {
        Ok(top) => top,
        Err(_) if errors::is_html(body) => return malformed("an HTML page".to_owned()),
        Err(error) => return malformed(format!("a body that is no JSON object ({error})")),
    };
    let content = match operation {
        Operation::Chat | Operation::Completion => top.choices,
        Operation::Embedding => top.data,
    };
    if !content.is_some_and(|content| is_filled_list(content.get())) {
        if top.error.is_some() {
            return Err(Fault::Error(errors::parse_provider_error(body)));
        }
        return malformed(format!("JSON without `{}`", operation.content_field()));
    }
    let body = match top.model {
        Some(model) if model.get() != model_json => stamp(body, text, model, model_json),
        _ => body.clone(),
    };
    Ok(Answer { body, usage: top.usage.and_then(|usage| parse_usage(usage.get())) })
}

fn is_filled_list(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(|rest| !rest.trim_start().starts_with(']'))
}

fn stamp(body: &Bytes, text: &str, model: &RawValue, model_json: &str) -> Bytes {
    let start = model.get().as_ptr() as usize - text.as_ptr() as usize;
    let mut out = Vec::with_capacity(body.len() + model_json.len());
    out.extend_from_slice(&body[..start]);
    out.extend_from_slice(model_json.as_bytes());
    out.extend_from_slice(&body[start + model.get().len()..]);
    Bytes::from(out)
}

/// Tokens of a `usage` object.
#[must_use]
pub fn parse_usage(text: &str) -> Option<Usage> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct InputDetails {
        cached_tokens: Option<u64>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct OutputDetails {
        reasoning_tokens: Option<u64>,
    }
    #[derive(Deserialize)]
    struct Raw {
        prompt_tokens: Option<u64>,
        completion_tokens: Option<u64>,
        prompt_tokens_details: Option<InputDetails>,
        completion_tokens_details: Option<OutputDetails>,
    }
    let raw: Raw = serde_json::from_str(text).ok()?;
    if raw.prompt_tokens.is_none() && raw.completion_tokens.is_none() {
        return None;
    }
    Some(Usage {
        input: raw.prompt_tokens.unwrap_or(0),
        output: raw.completion_tokens.unwrap_or(0),
        cached_input: raw.prompt_tokens_details.and_then(|d| d.cached_tokens).unwrap_or(0),
        cache_creation: 0,
        reasoning: raw.completion_tokens_details.and_then(|d| d.reasoning_tokens).unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(text: &str) -> Result<Answer, Fault> {
        check(Operation::Chat, &Bytes::copy_from_slice(text.as_bytes()), "\"mine\"")
    }

    #[test]
    fn only_the_models_name_changes() {
        let text = "{\"id\":1, \"model\" : \"theirs\",\n\"choices\":[{}],\"usage\":{\"prompt_tokens\":3,\
                    \"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":1}},\"x\":1e1}";
        let answer = chat(text).unwrap();
        assert_eq!(answer.body, text.replace("\"theirs\"", "\"mine\""));
        let usage = Usage { input: 3, output: 2, cached_input: 1, ..Usage::default() };
        assert_eq!(answer.usage, Some(usage));
        let same = Bytes::from_static(b"{\"model\":\"mine\",\"choices\":[1]}");
        let answer = check(Operation::Chat, &same, "\"mine\"").unwrap();
        assert_eq!(answer.body.as_ptr(), same.as_ptr(), "nothing to change, nothing to copy");
    }

    #[test]
    fn liars_are_found_out() {
        for text in ["", "{}", "null", "[]", "<html></html>", "{\"choices\":[ ]}", "{\"choices\":1}", "{"] {
            assert!(matches!(chat(text), Err(Fault::Malformed(_))), "{text}");
        }
        let Err(Fault::Error(error)) = chat(r#"{"error":{"message":"no","code":429}}"#) else {
            panic!("an error passed")
        };
        assert_eq!((error.message.as_str(), error.code.as_deref()), ("no", Some("429")));
        assert!(chat(r#"{"error":null,"choices":[{}]}"#).is_ok());
    }

    #[test]
    fn embeddings_carry_data() {
        let body = Bytes::from_static(b"{\"data\":[{}],\"model\":\"m\"}");
        assert!(check(Operation::Embedding, &body, "\"x\"").is_ok());
        assert!(check(Operation::Chat, &body, "\"x\"").is_err());
    }
}
