//! A failure before the answer has begun, for a client that has the head of a stream already.
//!
//! Called by the gateway where comments kept a stream alive. Always true: the event says what the error in place of the answer
//! would have said; a response that failed so has begun, as clients of responses expect.

use hale_core::provider::WireFormat;

use super::listed::Listing;
use crate::formats::errors::ErrorReply;
use crate::formats::responses::stream_write::Writer;
use crate::formats::view::View;

/// What a response that has failed says of itself.
pub struct Said {
    /// The model's name as JSON text.
    pub model_json: Box<str>,
    /// Seconds since 1970.
    pub created: u64,
    /// A random number, of which its id is made.
    pub serial: u128,
}

/// The only events of a stream that fails so.
#[must_use]
pub fn failure(reply: &ErrorReply, format: WireFormat, said: Said) -> Vec<u8> {
    match format {
        WireFormat::Responses => {
            let Said { model_json, created, serial } = said;
            Writer::failed(reply, &View { model_json, created, serial, ..View::default() })
        }
        WireFormat::OpenAi
        | WireFormat::Anthropic
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Converse
        | WireFormat::Ollama => reply.event(format),
    }
}

/// The same as a list of what the events carry.
#[must_use]
pub fn listed(events: Vec<u8>) -> Vec<u8> {
    Listing::default().failure(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_what_each_format_has_for_one() {
        let reply = ErrorReply {
            message: "slow down; try again in 2s".into(),
            code: "429".into(),
            kind: "rate_limit_error".into(),
            reason: "rate_limited",
            ..ErrorReply::default()
        };
        let written = |format| {
            let said = Said { model_json: r#""m""#.into(), created: 5, serial: 7 };
            String::from_utf8(failure(&reply, format, said)).unwrap()
        };
        assert!(written(WireFormat::OpenAi).starts_with(r#"data: {"error":{"message":"slow down"#));
        let claude = written(WireFormat::Anthropic);
        assert!(claude.starts_with("event: error\ndata: {\"type\":\"error\""), "{claude}");
        let google = written(WireFormat::Gemini);
        assert!(google.starts_with(r#"data: {"error":{"code":429"#), "{google}");
        let list = String::from_utf8(listed(google.into_bytes())).unwrap();
        assert!(list.starts_with(r#"[{"error":{"code":429"#) && list.ends_with("}]"), "{list}");
        let response = written(WireFormat::Responses);
        let events: Vec<&str> =
            response.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
        assert_eq!(events, ["response.created", "response.in_progress", "response.failed"]);
        assert!(response.contains(r#""sequence_number":2"#), "{response}");
        let error =
            r#""error":{"code":"rate_limit_exceeded","message":"slow down; try again in 2s"}"#;
        assert!(response.contains(error) && response.contains(r#""model":"m""#), "{response}");
    }
}
