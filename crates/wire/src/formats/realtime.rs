//! The events of a realtime session that report usage.
//!
//! Called by the gateway's tunnels with the messages of an upstream. Always true: nothing is changed, and an event
//! that cannot be read has no usage.
//!
//! Source: <https://platform.openai.com/docs/api-reference/realtime-server-events/response/done>.

use hale_core::usage::{Sound, Usage};

use crate::bytes::members::texts;

/// The marker near the start of an event that reports usage.
pub const REPORTS_USAGE: &[u8] = b"\"response.done\"";

/// The usage of the response that `event` ends; `None` for any other event, or if it reports none.
#[must_use]
pub fn usage(event: &[u8]) -> Option<Usage> {
    let event = std::str::from_utf8(event).ok()?;
    if member(event, "type")? != "\"response.done\"" {
        return None;
    }
    let usage = member(member(event, "response")?, "usage")?;
    let count = |text: &str, name: &str| member(text, name).and_then(|count| count.parse().ok());
    let (input, output) = (count(usage, "input_tokens"), count(usage, "output_tokens"));
    if input.is_none() && output.is_none() {
        return None;
    }
    let input_details = member(usage, "input_token_details").unwrap_or("{}");
    let cached = member(input_details, "cached_tokens_details").unwrap_or("{}");
    let output_details = member(usage, "output_token_details").unwrap_or("{}");
    let sound = "audio_tokens";
    Some(Usage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        cached_input: count(input_details, "cached_tokens").unwrap_or(0),
        sound: Sound {
            input: count(input_details, sound).unwrap_or(0),
            cached_input: count(cached, sound).unwrap_or(0),
            output: count(output_details, sound).unwrap_or(0),
        },
        ..Usage::default()
    })
}

/// The text of a member of an object; `None` if there is none or `text` is not an object.
fn member<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let [member] = texts(text, [name]).ok()?;
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_of_a_response_is_read_from_its_last_event() {
        // The example in the API reference.
        let event = br#"{"event_id":"event_3132","type":"response.done","response":{"id":"resp_001",
            "object":"realtime.response","status":"completed","output":[],"usage":{"total_tokens":253,
            "input_tokens":132,"output_tokens":121,"input_token_details":{"text_tokens":119,
            "audio_tokens":13,"image_tokens":0,"cached_tokens":64,"cached_tokens_details":
            {"text_tokens":60,"audio_tokens":4,"image_tokens":0}},"output_token_details":
            {"text_tokens":30,"audio_tokens":91}}}}"#;
        let sound = Sound { input: 13, cached_input: 4, output: 91 };
        let expected =
            Usage { input: 132, output: 121, cached_input: 64, sound, ..Usage::default() };
        assert_eq!(usage(event), Some(expected));
        let short =
            br#"{"type":"response.done","response":{"usage":{"input_tokens":1,"output_tokens":2}}}"#;
        assert_eq!(usage(short), Some(Usage { input: 1, output: 2, ..Usage::default() }));
        assert!(memchr::memmem::find(&event[..], REPORTS_USAGE).is_some());
    }

    #[test]
    fn an_event_without_usage_counts_nothing() {
        for text in [
            "",
            "{}",
            "[]",
            "\u{fffd}",
            r#"{"type":"response.created","response":{"usage":{"input_tokens":1}}}"#,
            r#"{"type":"response.done","response":null}"#,
            r#"{"type":"response.done","response":{"usage":null}}"#,
            r#"{"type":"response.done","response":{"usage":{"input_tokens":-1}}}"#,
            r#"{"type":"response.done","response":{"usage":{"input_tokens":1}}"#,
        ] {
            assert_eq!(usage(text.as_bytes()), None, "{text}");
        }
        assert_eq!(usage(&[0xff, 0xfe]), None);
        let odd = br#"{"type":"response.done","response":{"usage":{"input_tokens":1,
            "input_token_details":[],"output_token_details":null}}}"#;
        assert_eq!(usage(odd), Some(Usage { input: 1, ..Usage::default() }));
    }
}
