//! Canned answers: what a deployment with `mock_response` answers instead of an upstream.
//!
//! Called by the gateway's attempts. Always true: a canned answer passes the same checks as a real one.

use hale_core::deployment::MockContent;
use hale_core::operation::Operation;
use serde_json::json;

/// Canned answers are completions. A client of a format that they translate to gets them translated.
const OTHER_WIRE: &str = "`mock_response` is an answer of chat completions";

/// The parts of a canned answer besides its content.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'f> {
    /// The answer's id.
    pub id: &'f str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name.
    pub model: &'f str,
}

/// Why there is no canned answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The mock is a failure with this status.
    Failure(u16),
    /// The mock does not fit the operation; what would fit.
    Mode(&'static str),
}

/// The canned answer in full.
///
/// # Errors
/// If the mock is a failure, or of another mode.
pub fn full(
    operation: Operation,
    content: &MockContent,
    frame: Frame<'_>,
) -> Result<Vec<u8>, Unfit> {
    let text = fitting(operation, content)?;
    let answer = match operation {
        Operation::Chat => json!({
            "id": frame.id, "object": "chat.completion", "created": frame.created, "model": frame.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text},
                         "finish_reason": "stop"}],
            "usage": usage(text),
        }),
        Operation::Completion => json!({
            "id": frame.id, "object": "text_completion", "created": frame.created, "model": frame.model,
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": "stop"}],
            "usage": usage(text),
        }),
        Operation::Embedding => {
            let vector = if let MockContent::Vector(vector) = content { &vector[..] } else { &[] };
            json!({
                "object": "list", "model": frame.model,
                "data": [{"object": "embedding", "index": 0, "embedding": vector}],
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            })
        }
        _ => return Err(Unfit::Mode(OTHER_WIRE)),
    };
    Ok(answer.to_string().into_bytes())
}

/// The canned answer as the events of a stream, one per word.
///
/// # Errors
/// If the mock is a failure, or of another mode.
pub fn stream(
    operation: Operation,
    content: &MockContent,
    frame: Frame<'_>,
) -> Result<Vec<u8>, Unfit> {
    let text = fitting(operation, content)?;
    let mut out = Vec::new();
    let object =
        if operation == Operation::Chat { "chat.completion.chunk" } else { "text_completion" };
    let mut push = |choices: serde_json::Value, usage: Option<serde_json::Value>| {
        let mut chunk = json!({
            "id": frame.id, "object": object, "created": frame.created, "model": frame.model,
            "choices": choices,
        });
        if let (Some(usage), Some(map)) = (usage, chunk.as_object_mut()) {
            map.insert("usage".to_owned(), usage);
        }
        out.extend_from_slice(format!("data: {chunk}\n\n").as_bytes());
    };
    let mut first = true;
    for word in text.split_inclusive(' ') {
        push(
            match (operation, first) {
                (Operation::Chat, true) => {
                    json!([{"index": 0, "delta": {"role": "assistant", "content": word}}])
                }
                (Operation::Chat, false) => json!([{"index": 0, "delta": {"content": word}}]),
                (_, _) => {
                    json!([{"index": 0, "text": word}])
                }
            },
            None,
        );
        first = false;
    }
    push(
        match operation {
            Operation::Chat => json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            _ => {
                json!([{"index": 0, "text": "", "finish_reason": "stop"}])
            }
        },
        None,
    );
    push(json!([]), Some(usage(text)));
    out.extend_from_slice(b"data: [DONE]\n\n");
    Ok(out)
}

fn fitting(operation: Operation, content: &MockContent) -> Result<&str, Unfit> {
    match (content, operation) {
        (MockContent::Failure(status), _) => Err(Unfit::Failure(*status)),
        (MockContent::Text(text), Operation::Chat | Operation::Completion) => Ok(text),
        (MockContent::Vector(_), Operation::Embedding) => Ok(""),
        (MockContent::Text(_), Operation::Embedding) => {
            Err(Unfit::Mode("`mock_response` must be a list of numbers to answer embeddings"))
        }
        (MockContent::Vector(_), Operation::Chat | Operation::Completion) => {
            Err(Unfit::Mode("`mock_response` must be a text to answer completions"))
        }
        (MockContent::Text(_) | MockContent::Vector(_), _) => Err(Unfit::Mode(OTHER_WIRE)),
    }
}

fn usage(text: &str) -> serde_json::Value {
    let output = text.split_whitespace().count().max(1);
    json!({"prompt_tokens": 1, "completion_tokens": output, "total_tokens": output + 1})
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hale_core::provider::WireFormat;

    use super::*;
    use crate::conversion::answer;
    use crate::conversion::prepare::Conversion;
    use crate::conversion::stream::Reader;
    use crate::formats::view::View;

    const FRAME: Frame<'_> = Frame { id: "x", created: 1, model: "m" };

    fn view() -> View {
        View {
            model_json: "\"m\"".into(),
            show_usage: true,
            priced: None,
            earlier_usd: 0.0,
            merges_reasoning: false,
            created: 1,
            unix_ms: 0,
            answer_id: None,
            upstream_model: None,
            notes: None,
            issuer: None,
            serial: 0,
            kept: None,
        }
    }

    #[test]
    fn canned_answers_pass_the_checks_of_real_ones() {
        let text = MockContent::Text("hello to you".into());
        for operation in [Operation::Chat, Operation::Completion] {
            let body = Bytes::from(full(operation, &text, FRAME).unwrap());
            let conversion = Conversion { operation, wire: WireFormat::OpenAi };
            assert!(answer::check(conversion, &body, &view()).unwrap().usage.is_some());
            let mut reader = Reader::new(conversion, view());
            let events = Bytes::from(stream(operation, &text, FRAME).unwrap());
            reader.push(events, &mut Vec::new()).unwrap();
            assert!(reader.has_content() && reader.is_done() && reader.usage().is_some());
        }
        let vector = MockContent::Vector(vec![0.5, 1.0]);
        let body = Bytes::from(full(Operation::Embedding, &vector, FRAME).unwrap());
        let conversion = Conversion { operation: Operation::Embedding, wire: WireFormat::OpenAi };
        assert!(answer::check(conversion, &body, &view()).is_ok());
    }

    #[test]
    fn a_mock_that_does_not_fit_the_operation_is_an_error() {
        let text = MockContent::Text("t".into());
        assert!(matches!(full(Operation::Embedding, &text, FRAME), Err(Unfit::Mode(_))));
        let failure = MockContent::Failure(429);
        assert_eq!(stream(Operation::Chat, &failure, FRAME), Err(Unfit::Failure(429)));
    }
}
