//! Transcripts as text, as JSON and as events, and what they are charged as.
//!
//! Called by the conversion and by the gateway. Always true: an HTML page or an error never passes as a transcript; the
//! transcript of silence is empty and valid.
//!
//! Source: <https://platform.openai.com/docs/api-reference/audio>.

use hale_core::operation::Operation;
use hale_core::usage::{Sound, Units, Usage};
use serde::Deserialize;

use crate::bytes::json::text_length;
use crate::bytes::members::{places, texts};
use crate::bytes::peek::Peek;
use crate::formats::answer::Fault;
use crate::formats::codec::{self, Codec, Own};
use crate::formats::errors::{self, parse_provider_error};
use crate::formats::event::{Change, EventError, Progress, Seen};

/// Whether the client asks for text instead of JSON.
#[must_use]
pub fn wants_text(operation: Operation, peek: &Peek) -> bool {
    codec::of(operation) == Codec::Modes(Own::Transcript)
        && matches!(peek.word("response_format").as_deref(), Some("text" | "srt" | "vtt"))
}

/// Checks an answer that must be text.
///
/// # Errors
/// If it is not.
pub fn check_text(body: &[u8]) -> Result<(), Fault> {
    let malformed = |why: &str| Err(Fault::Malformed(why.to_owned()));
    if body.is_empty() {
        return malformed("an empty body");
    }
    if std::str::from_utf8(body).is_err() {
        return malformed("a body that is not UTF-8");
    }
    if errors::is_html(body) {
        return malformed("an HTML page");
    }
    match places(body, ["error"]) {
        Ok([Some(_)]) => Err(Fault::Error(parse_provider_error(body))),
        Ok([None]) => malformed("JSON, although `response_format` asks for a text"),
        Err(_) => Ok(()),
    }
}

/// What a transcript is charged as: its tokens if they are reported, else the length of the audio. `duration` is the
/// one that a verbose transcript reports, in seconds.
pub(super) fn usage(reported: Option<&str>, duration: Option<&str>) -> Option<Usage> {
    #[derive(Default, Deserialize)]
    struct Details {
        audio_tokens: Option<u64>,
    }
    #[derive(Default, Deserialize)]
    struct Reported {
        seconds: Option<f64>,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        input_token_details: Option<Details>,
    }
    let reported: Reported =
        reported.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    if reported.input_tokens.is_some() || reported.output_tokens.is_some() {
        let details = reported.input_token_details.unwrap_or_default();
        return Some(Usage {
            input: reported.input_tokens.unwrap_or(0),
            output: reported.output_tokens.unwrap_or(0),
            sound: Sound { input: details.audio_tokens.unwrap_or(0), ..Sound::default() },
            ..Usage::default()
        });
    }
    // Some providers write the duration as a string.
    let own = || duration.and_then(|raw| raw.trim_matches('"').parse().ok());
    let seconds = reported.seconds.or_else(own).filter(|seconds: &f64| *seconds > 0.0)?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and the cast saturates"
    )]
    let heard_ms = (seconds * 1000.0).round() as u64;
    Some(Usage { units: Units { heard_ms, ..Units::default() }, ..Usage::default() })
}

/// Takes the next event of a stream.
pub(crate) fn observe_event(text: &str, progress: &mut Progress) -> Result<Seen, EventError> {
    let [kind, delta, reported, error] = texts(text, ["type", "delta", "usage", "error"])?;
    match kind.unwrap_or_default().trim_matches('"') {
        "transcript.text.delta" if delta.is_some_and(|delta| delta != "\"\"") => {
            progress.texts.piece(delta.map_or(0, text_length));
            progress.content = true;
        }
        "transcript.text.segment" => progress.content = true,
        "transcript.text.done" => {
            progress.content = true;
            progress.finished = true;
            progress.usage = usage(reported, None);
        }
        kind if kind == "error" || error.is_some() => {
            return Err(parse_provider_error(text.as_bytes()).into());
        }
        _ => {}
    }
    Ok(Seen::Event(Change::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_take_precedence_over_time() {
        let tokens = r#"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,
            "audio_tokens":14},"output_tokens":45,"total_tokens":59}"#;
        let sound = Sound { input: 14, ..Sound::default() };
        let expected = Usage { input: 14, output: 45, sound, ..Usage::default() };
        assert_eq!(usage(Some(tokens), Some("9")), Some(expected));
        let heard = |usage: Option<Usage>| usage.map(|usage| usage.units.heard_ms);
        assert_eq!(heard(usage(None, Some("\"0.66\""))), Some(660));
        assert_eq!(heard(usage(Some(r#"{"seconds":2}"#), Some("9"))), Some(2_000));
        for nothing in ["{}", "[]", r#"{"seconds":-1}"#, r#"{"seconds":"x"}"#] {
            assert_eq!(usage(Some(nothing), None), None, "{nothing}");
        }
    }

    #[test]
    fn a_text_is_neither_a_page_nor_json() {
        for good in
            ["hi\n", "\n", "1\n00:00:00,000 --> 00:00:01,000\nhi\n", "WEBVTT\n", "{hi}", "\"hi\""]
        {
            assert_eq!(check_text(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in [&b""[..], b"\xff", b"<html></html>", b"{\"text\":\"hi\"}", b"{}"] {
            assert!(matches!(check_text(bad), Err(Fault::Malformed(_))), "{bad:?}");
        }
        let error = check_text(br#"{"error":{"message":"no"}}"#);
        assert!(matches!(error, Err(Fault::Error(error)) if error.message == "no"));
    }

    #[test]
    fn events_are_distinguished() {
        let event = |text: &str| {
            let mut progress = Progress::default();
            let seen = observe_event(text, &mut progress);
            seen.map(|_| (progress.content, progress.finished, progress.usage))
        };
        let used = Some(Usage { input: 1, output: 2, ..Usage::default() });
        for (text, expected) in [
            (r#"{"type":"transcript.text.delta","delta":"I"}"#, (true, false, None)),
            (r#"{"type":"transcript.text.delta","delta":""}"#, (false, false, None)),
            (r#"{"type":"transcript.text.segment","id":"seg_1","text":"I"}"#, (true, false, None)),
            (
                r#"{"type":"transcript.text.done","text":"","usage":{"input_tokens":1,"output_tokens":2}}"#,
                (true, true, used),
            ),
            (r#"{"type":"transcript.text.done","text":""}"#, (true, true, None)),
            (r#"{"type":"else"}"#, (false, false, None)),
        ] {
            assert_eq!(event(text).unwrap(), expected, "{text}");
        }
        for text in [r#"{"error":{"message":"no"}}"#, r#"{"type":"error","message":"no"}"#] {
            let Err(EventError::Provider(error)) = event(text) else { panic!("{text}") };
            assert_eq!(error.message, "no");
        }
        assert_eq!(event("[]"), Err(EventError::Malformed));
    }
}
