//! The events of a realtime session, as far as the gateway looks at them: what was used.
//!
//! Called by the gateway's tunnels with the messages of an upstream. Always true: nothing is changed, and
//! what can not be read counts nothing.
//!
//! Source: <https://platform.openai.com/docs/api-reference/realtime-server-events/response/done>.

use hale_core::usage::{Sound, Usage};

use crate::bytes::members::texts;

/// What an event that reports usage has near its beginning.
pub const REPORTS_USAGE: &[u8] = b"\"response.done\"";

/// What the response used whose end `event` is; `None` of another event, or where it does not say.
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
    let heard = member(usage, "input_token_details").unwrap_or("{}");
    let cached = member(heard, "cached_tokens_details").unwrap_or("{}");
    let said = member(usage, "output_token_details").unwrap_or("{}");
    let sound = "audio_tokens";
    Some(Usage {
        input: input.unwrap_or(0),
        output: output.unwrap_or(0),
        cached_input: count(heard, "cached_tokens").unwrap_or(0),
        sound: Sound {
            input: count(heard, sound).unwrap_or(0),
            cached_input: count(cached, sound).unwrap_or(0),
            output: count(said, sound).unwrap_or(0),
        },
        ..Usage::default()
    })
}

/// The text of a member of an object; `None` where there is none, or no object.
fn member<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let [member] = texts(text, [name]).ok()?;
    member
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_is_done_says_what_it_used() {
        // The example of the reference.
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
    fn what_says_nothing_counts_nothing() {
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
