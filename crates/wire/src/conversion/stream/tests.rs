use hale_core::operation::Operation;
use proptest::prelude::*;

use super::*;

mod ends;

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
            priced: None,
            unix_ms: 0,
            earlier_usd: 0.0,
            merges_reasoning: false,
            created: 0,
            answer_id: None,
            upstream_model: None,
            notes: None,
            issuer: None,
            serial: 0,
            kept: None,
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
fn an_event_that_carries_only_usage_is_withheld_in_each_form_of_servers() {
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}"#;
    let (hollow, given) = (
        [
            r#""choices":[],"#,
            r#""choices":[{"index":0,"delta":{}}],"#,
            r#""choices":[{"index":0,"delta":{},"finish_reason":null,"logprobs":null}],"#,
            r#""choices":[{"index":0,"delta":{"content":"","tool_calls":null}}],"#,
            r#""choices":[{"index":0,"text":"","finish_reason":null}],"#,
            r#""choices":null,"#,
            "",
        ],
        [
            r#""choices":[{"index":0,"delta":{"content":"hi"}}],"#,
            r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"#,
            r#""choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"#,
            r#""choices":[{"index":0,"text":"hi","finish_reason":null}],"#,
            r#""choices":[{"index":0,"delta":{}},{"index":1,"delta":{"content":"x"}}],"#,
        ],
    );
    for choices in hollow {
        let event = format!("data: {{\"model\":\"up\",{choices}{usage}}}\n\n");
        let mut silent = reader(false);
        assert_eq!(read(&mut silent, &event), "", "{choices}");
        assert_eq!(silent.usage().unwrap().output, 3, "{choices}");
        let shown = read(&mut reader(true), &event);
        assert!(shown.contains(usage) && shown.contains("\"choices\":["), "{choices}: {shown}");
        assert!(shown.contains("\"mine\""), "{shown}");
        let json = shown.trim().strip_prefix("data: ").unwrap();
        let read_again: serde_json::Value = serde_json::from_str(json).unwrap();
        assert!(read_again["choices"].is_array(), "{shown}");
    }
    for choices in given {
        let event = format!("data: {{\"model\":\"up\",{choices}{usage}}}\n\n");
        for show in [false, true] {
            let mut reader = reader(show);
            let shown = read(&mut reader, &event);
            assert_eq!(shown, event.replace("\"up\"", "\"mine\""), "{choices}");
            assert_eq!(reader.usage().unwrap().output, 3, "{choices}");
        }
    }
}

#[test]
fn a_role_beside_the_usage_is_withheld_once_the_answer_has_begun() {
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":3}"#;
    let event = |delta: &str, reason: &str, usage: &str| {
        format!(
            "data: {{\"model\":\"mine\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{reason}}}]{usage}}}\n\n"
        )
    };
    let role = r#"{"role":"assistant","content":""}"#;
    for begun in [
        event(r#"{"content":"hi"}"#, "null", ""),
        event("{}", "\"stop\"", ""),
        event(r#"{"reasoning_content":"hm"}"#, "null", ""),
    ] {
        for hollow in [
            role,
            r#"{"role":"assistant"}"#,
            r#"{"content":"","role":"assistant","tool_calls":[]}"#,
        ] {
            let mut reader = reader(false);
            read(&mut reader, &begun);
            let last = event(hollow, "null", &format!(",{usage}"));
            assert_eq!(read(&mut reader, &last), "", "{begun} {hollow}");
            assert_eq!(reader.usage().unwrap().output, 3);
        }
        let mut reader = reader(false);
        read(&mut reader, &begun);
        let said = event(r#"{"role":"assistant","content":"x"}"#, "null", &format!(",{usage}"));
        assert_eq!(read(&mut reader, &said), said);
    }
    let first = event(role, "null", &format!(",{usage}"));
    assert_eq!(read(&mut reader(false), &first), first, "it says who answers");
}

#[test]
fn usage_without_choices_in_lines_of_their_own_gets_them_too() {
    let event = "data: {\"usage\":\ndata: {\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    assert!(read(&mut reader(true), event).contains("\"choices\":[],"));
    assert_eq!(read(&mut reader(false), event), "");
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

/// Texts: vLLM's and LMDeploy's object, FastAPI's, Google's list, and names of events.
const ERRORS_OF_SERVERS: [&str; 9] = [
    r#"data: {"object":"error","message":"engine dead","type":"x","param":null,"code":500}"#,
    r#"data: {"message":"engine dead","code":500}"#,
    r#"data: {"detail":"engine dead"}"#,
    r#"data: [{"error":{"code":500,"message":"engine dead","status":"INTERNAL"}}]"#,
    r#"data: {"type":"error","message":"engine dead"}"#,
    "event: error\ndata: engine dead",
    "event:error\ndata: {\"error\":\"engine dead\"}",
    "id: 1\nevent: error\ndata: \"engine dead\"",
    "event: error\ndata: {\"object\":\"error\",\ndata: \"message\":\"engine dead\"}",
];

#[test]
fn an_error_in_any_form_of_servers_ends_the_stream_and_keeps_its_words() {
    let openai = format!("{TEXT}\n\n");
    let text = openai.clone();
    let anthropic = r#"event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}

"#;
    let responses = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
                     \"item_id\":\"i\",\"output_index\":0,\"content_index\":0,\"delta\":\"hi\"}\n\n";
    for (operation, wire, before) in [
        (Operation::Chat, WireFormat::OpenAi, &*openai),
        (Operation::Completion, WireFormat::OpenAi, &*text),
        (Operation::Messages, WireFormat::OpenAi, &*openai),
        (Operation::Messages, WireFormat::Anthropic, anthropic),
        (Operation::Chat, WireFormat::Anthropic, anthropic),
        (Operation::Responses, WireFormat::Responses, responses),
    ] {
        for (before, is_begun) in [(before, true), ("", false)] {
            for event in ERRORS_OF_SERVERS {
                let view = reader(false).view;
                let mut reader = Reader::new(Conversion { operation, wire }, view);
                read(&mut reader, before);
                assert_eq!(reader.has_content(), is_begun, "{operation:?} {wire:?}");
                let out = read(&mut reader, &format!("{event}\n\ndata: [DONE]\n\n"));
                assert_eq!(out, "", "{operation:?} {wire:?} {event}");
                let error = reader.error().expect(event);
                assert_eq!(error.message, "engine dead", "{operation:?} {wire:?} {event}");
                assert!(!reader.is_complete(), "{operation:?} {wire:?} {event}");
            }
        }
    }
}

#[test]
fn an_event_that_adds_nothing_is_no_error() {
    for event in [
        r#"data: {"id":"1","object":"chat.completion.chunk","choices":[],"prompt_filter_results":[]}"#,
        r#"data: {"id":"1","object":"chat.completion.chunk","usage":null}"#,
        r#"data: {"id":"1","error":null,"detail":null,"message":null,"choices":[]}"#,
        "event: errors\ndata: {}",
        "event: message\ndata: {}",
        "data: []",
    ] {
        for operation in [Operation::Chat, Operation::Messages] {
            let view = reader(false).view;
            let conversion = Conversion { operation, wire: WireFormat::OpenAi };
            let mut reader = Reader::new(conversion, view);
            read(&mut reader, &format!("{event}\n\n"));
            assert_eq!(reader.error(), None, "{operation:?} {event}");
        }
    }
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

/// One event of each wire, padded to `length` bytes.
fn event_of(conversion: Conversion, length: usize) -> String {
    let (head, tail) = match (conversion.operation, conversion.wire) {
        (_, WireFormat::Responses) => (
            r#"event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"i","output_index":0,"content_index":0,"delta":""#,
            "\"}\n\n",
        ),
        (_, WireFormat::OpenAi) => {
            (r#"data: {"id":"1","choices":[{"index":0,"delta":{"content":""#, "\"}}]}\n\n")
        }
        // As the frames leave their splitter.
        (_, WireFormat::Converse) => {
            (r#"data: {"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":""#, "\"}}}\n\n")
        }
        (_, WireFormat::Gemini) => {
            (r#"data: {"candidates":[{"content":{"parts":[{"text":""#, "\"}]}}]}\n\n")
        }
        (_, WireFormat::Cohere) => (
            r#"data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":""#,
            "\"}}}}\n\n",
        ),
        (_, WireFormat::Ollama) => (r#"{"message":{"content":""#, "\"},\"done\":false}\n"),
        (_, WireFormat::Anthropic) => (
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""#,
            "\"}}\n\n",
        ),
    };
    format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
}

#[test]
fn the_limit_of_an_event_is_exact_wherever_it_is_cut_and_whatever_reads_it() {
    const MOST: usize = 400;
    let start = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"1\",\"model\":\"up\"}}\n\n\
                 data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\
                 \"text\":\"\"}}\n\n";
    for operation in
        [Operation::Chat, Operation::Messages, Operation::Completion, Operation::Responses]
    {
        let wires = [
            WireFormat::OpenAi,
            WireFormat::Anthropic,
            WireFormat::Gemini,
            WireFormat::Cohere,
            WireFormat::Responses,
            WireFormat::Ollama,
        ];
        for wire in wires {
            let conversion = Conversion { operation, wire: operation.called_in(wire) };
            if conversion.upstream().is_none() {
                continue;
            }
            for (length, fits) in [(MOST, true), (MOST + 1, false)] {
                let event = event_of(conversion, length);
                for cut in 0..event.len() {
                    let view = reader(true).view.clone();
                    let mut reader = Reader::new(conversion, view).within(MOST);
                    let mut out = Vec::new();
                    if wire == WireFormat::Anthropic {
                        reader.push(Bytes::from(start), &mut out).unwrap();
                    }
                    let pieces = [&event[..cut], &event[cut..]];
                    let read = pieces.iter().try_for_each(|piece| {
                        reader.push(Bytes::copy_from_slice(piece.as_bytes()), &mut out)
                    });
                    let expected = if fits { Ok(()) } else { Err(Broken::TooLong(MOST)) };
                    assert_eq!(read, expected, "{conversion:?} of {length} bytes, cut at {cut}");
                    assert_eq!(reader.has_content(), fits, "{conversion:?}");
                }
            }
        }
    }
}

#[test]
fn the_events_before_one_that_is_too_long_are_passed_on() {
    let mut reader = reader(false).within(200);
    let mut out = Vec::new();
    let long = "x".repeat(300);
    let text = Bytes::from(format!("{TEXT}\n\ndata: {long}\n\n{STOP}\n\n"));
    assert_eq!(reader.push(text, &mut out), Err(Broken::TooLong(200)));
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("hi") && !text.contains("xx") && !text.contains("stop"), "{text}");
}
