use hale_core::operation::Operation;
use proptest::prelude::*;

use super::*;

const ROLE: &str = r#"data: {"id":"1","model":"up","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const TEXT: &str = r#"data: {"id":"1","model":"up","choices":[{"index":0,"delta":{"content":"\"finish_reason\":\"x\" hi"},"finish_reason":null}]}"#;
const STOP: &str =
    r#"data: {"id":"1","model":"up","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"data: {"id":"1","model":"up","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

fn reader(show_usage: bool) -> Reader {
    let conversion = Conversion { operation: Operation::Chat, wire: WireFormat::OpenAi };
    Reader::new(
        conversion,
        View {
            model_json: "\"mine\"".into(),
            show_usage,
            created: 0,
            upstream_model: None,
            issuer: None,
        },
    )
}

fn read(reader: &mut Reader, text: &str) -> String {
    let mut out = Vec::new();
    reader.push(Bytes::copy_from_slice(text.as_bytes()), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn content_finish_and_usage_are_observed() {
    let mut reader = reader(false);
    let out = read(&mut reader, &format!("{ROLE}\n\n"));
    assert_eq!(out, format!("{ROLE}\n\n").replace("\"up\"", "\"mine\""));
    assert!(!reader.has_content());
    read(&mut reader, &format!("{TEXT}\n\n"));
    assert!(reader.has_content() && !reader.is_complete());
    read(&mut reader, &format!("{STOP}\n\n"));
    assert!(reader.is_complete() && !reader.is_done());
    assert_eq!(read(&mut reader, &format!("{USAGE}\n\n")), "", "the client did not ask");
    assert_eq!(reader.usage().unwrap().output, 4);
    assert_eq!(read(&mut reader, "data: [DONE]\n\ndata: {\"late\":1}\n\n"), "data: [DONE]\n\n");
    assert!(reader.is_done());
}

#[test]
fn an_empty_finish_reason_is_none() {
    let mut reader = reader(false);
    let empty = TEXT.replace("\"finish_reason\":null", "\"finish_reason\":\"\"");
    read(&mut reader, &format!("{empty}\n\n"));
    assert!(reader.has_content() && !reader.is_complete());
}

#[test]
fn usage_is_shown_to_a_client_that_asked() {
    let mut reader = reader(true);
    assert!(read(&mut reader, &format!("{USAGE}\n\n")).contains("prompt_tokens"));
}

#[test]
fn a_malformed_event_is_skipped_and_an_error_ends_the_stream() {
    let mut reader = reader(false);
    let out = read(&mut reader, &format!("{TEXT}\n\ndata: {{broken\n\n: ping\n\n{STOP}\n\n"));
    assert_eq!(out, format!("{TEXT}\n\n: ping\n\n{STOP}\n\n").replace("\"up\"", "\"mine\""));
    assert_eq!(reader.skipped(), 1);
    let out = read(&mut reader, "data: {\"error\":{\"message\":\"boom\"}}\n\ndata: [DONE]\n\n");
    assert_eq!(out, "");
    assert_eq!(reader.error().unwrap().message, "boom");
}

#[test]
fn the_model_is_replaced_in_an_event_of_several_lines() {
    let mut reader = reader(false);
    let out = read(&mut reader, "data: {\"model\":\"up\",\ndata: \"choices\":[]}\n\n");
    assert_eq!(out, "data: {\"model\":\"mine\", \"choices\":[]}\n\n");
}

#[test]
fn the_last_event_may_lack_its_empty_line() {
    let mut reader = reader(false);
    assert_eq!(read(&mut reader, STOP), "");
    let mut out = Vec::new();
    reader.finish(&mut out).unwrap();
    assert!(!out.is_empty());
    assert!(reader.is_complete());
}

/// The same events as lines, read by the same reader.
#[test]
fn another_framing_needs_no_change_of_the_reader() {
    let json = |event: &str| event.strip_prefix("data: ").unwrap().to_owned();
    let lines = [ROLE, TEXT, STOP, USAGE].map(json).join("\n");
    let text = format!("{lines}\n\n{{broken\n{}", json(TEXT));
    for cut in 0..text.len() {
        let mut passing = Reader { framing: Framing::lines(), ..reader(true) };
        let conversion = Conversion { operation: Operation::Messages, wire: WireFormat::OpenAi };
        let view = crate::fixture::view();
        let mut translated = Reader { framing: Framing::lines(), ..Reader::new(conversion, view) };
        let [mut passed, mut written] = [Vec::new(), Vec::new()];
        let (first, second) = text.as_bytes().split_at(cut);
        for (reader, out) in [(&mut passing, &mut passed), (&mut translated, &mut written)] {
            reader.push(Bytes::copy_from_slice(first), out).unwrap();
            reader.push(Bytes::copy_from_slice(second), out).unwrap();
            reader.finish(out).unwrap();
            assert!(reader.has_content() && reader.is_complete(), "{cut}");
            assert_eq!(reader.usage().unwrap().output, 4, "{cut}");
            assert_eq!((reader.events(), reader.skipped()), (6, 1), "{cut}");
        }
        let expected = text.replace("{broken\n", "").replace("\"up\"", "\"mine\"") + "\n";
        assert_eq!(String::from_utf8(passed).unwrap(), expected, "{cut}");
        translated.close(&mut written);
        let events = crate::fixture::data(&String::from_utf8(written).unwrap());
        assert_eq!(events.last().unwrap()["type"], "message_stop");
        assert_eq!(events[3]["delta"]["text"], "\"finish_reason\":\"x\" hi");
    }
}

proptest! {
    #[test]
    fn the_output_does_not_depend_on_the_cuts(cuts in proptest::collection::vec(0usize..900, 0..9)) {
        let text = format!("{ROLE}\n\n{TEXT}\n\n: x\n\n{STOP}\n\n{USAGE}\n\ndata: [DONE]\n\n");
        let mut whole = reader(false);
        let expected = read(&mut whole, &text);
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut pieces = reader(false);
        let mut out = String::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([text.len()]) {
            let cut = cut.clamp(from, text.len());
            out.push_str(&read(&mut pieces, &text[from..cut]));
            from = cut;
        }
        prop_assert_eq!(out, expected);
        prop_assert_eq!(pieces.usage(), whole.usage());
    }
}
