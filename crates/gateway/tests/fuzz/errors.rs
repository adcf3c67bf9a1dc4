//! Errors of providers, and answers that are not answers: any bytes lead to a cause.

use bytes::Bytes;
use hale_core::cause::Cause;
use hale_core::health::outcome::{Observation, classify};
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_wire::answer::{self, Fault};
use hale_wire::errors::{ErrorReply, MESSAGE_MAX, clean, parse_provider_error};
use hale_wire::prepare::Conversion;
use hale_wire::stream::View;
use serde_json::Value;

use crate::fuzz;

const WORDS: &[&str] = &[
    "\"error\":",
    "\"message\":",
    "\"type\":",
    "\"code\":",
    "\"param\":",
    "\"detail\":",
    "{\"error\":\"x\"}",
    "context_length_exceeded",
    "insufficient_quota",
    "rate_limit_exceeded",
    "invalid_api_key",
    "content_filter",
    "model_not_found",
    "overloaded_error",
    "maximum context length",
    "credit balance is too low",
    "<html>",
    "<!DOCTYPE",
    "sk-abcdefghijklmnop",
    "Bearer abc",
    "null",
    "[]",
    "{}",
    "429",
    "\\u0000",
    "\\ud800",
    "\u{fc}",
    "\"choices\":[{\"message\":{\"content\":\"x\"}}]",
    "\"data\":[{\"embedding\":[1]}]",
    "\"model\":\"m\"",
    "\"usage\":{\"prompt_tokens\":-1}",
    "\"finish_reason\":\"stop\"",
];

fuzz!("errors", WORDS, check);

/// The first line is the status, the rest is the body.
fn parts(input: &[u8]) -> (u16, &[u8]) {
    let (line, body) = match input.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (&[][..], input),
    };
    let status = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
    (status.unwrap_or(500), body)
}

#[allow(clippy::too_many_lines, reason = "one case for each kind of reader")]
fn check(input: &[u8]) -> (u16, Cause, Cause, bool, u8) {
    let (status, body) = parts(input);
    let error = parse_provider_error(body);
    // The text that replaces a key may be longer than the key.
    assert!(error.message.chars().count() <= MESSAGE_MAX + 64, "{}", error.message.len());
    for text in
        [Some(&error.message), error.kind.as_ref(), error.code.as_ref(), error.param.as_ref()]
    {
        let Some(text) = text else { continue };
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert!(!text.contains("sk-abcdefghijklmnop"), "{text:?}");
        assert_eq!(
            clean(&clean(text, 300), 300),
            clean(text, 300),
            "cleaned twice is cleaned once"
        );
    }
    let by_status = classify(&Observation::Status(status, &error)).cause;
    let in_band = classify(&Observation::InBand(&error)).cause;
    // A refusal is never caused by the client's connection or by the network.
    for cause in [by_status, in_band] {
        let impossible =
            [Cause::ClientClosed, Cause::ClientTimeout, Cause::Gateway, Cause::Dns, Cause::Tls];
        assert!(!impossible.contains(&cause), "{cause:?}");
    }
    let reply = ErrorReply { message: error.message.clone(), ..ErrorReply::default() };
    let sent: Value =
        serde_json::from_slice(&reply.body(WireFormat::OpenAi)).expect("ours is JSON");
    assert_eq!(sent["error"]["message"], error.message);
    let sent: Value =
        serde_json::from_slice(&reply.body(WireFormat::Anthropic)).expect("ours is JSON");
    assert_eq!(sent["error"]["message"], error.message);
    let sent: Value =
        serde_json::from_slice(&reply.body(WireFormat::Gemini)).expect("ours is JSON");
    assert_eq!(sent["error"]["message"], error.message);
    let sent: Value =
        serde_json::from_slice(&reply.body(WireFormat::Cohere)).expect("ours is JSON");
    assert_eq!(sent["message"], error.message);
    let whole = Bytes::copy_from_slice(body);
    let view = View {
        model_json: "\"shown\"".into(),
        show_usage: false,
        priced: None,
        unix_ms: 0,
        earlier_usd: 0.0,
        merges_reasoning: false,
        created: 7,
        answer_id: None,
        upstream_model: None,
        notes: None,
        issuer: None,
        serial: 0,
        kept: None,
    };
    let wires = [
        WireFormat::OpenAi,
        WireFormat::Anthropic,
        WireFormat::Gemini,
        WireFormat::Cohere,
        WireFormat::Responses,
        WireFormat::Ollama,
    ];
    let mut outcome = 0;
    let ways = Operation::ALL
        .iter()
        .flat_map(|operation| wires.map(|wire| Conversion { operation: *operation, wire }));
    for conversion in ways.filter(|conversion| conversion.upstream().is_some()) {
        match answer::check(conversion, &whole, &view) {
            Ok(answer) => {
                let value: &serde_json::value::RawValue =
                    serde_json::from_slice(&answer.body).expect("an answer is JSON");
                assert!(value.get().starts_with(['{', ' ', '\n', '\t', '\r']));
                outcome |= 1;
            }
            Err(Fault::Error(_)) => outcome |= 2,
            Err(Fault::Malformed(why)) => assert!(!why.is_empty()),
        }
    }
    (status / 100, by_status, in_band, error.code.is_some(), outcome)
}
