//! How long a stream is that its provider does not count, and whether it has ended.

use super::*;

fn of(operation: Operation, wire: WireFormat) -> Reader {
    let Reader { view, .. } = reader(false);
    Reader::new(Conversion { operation, wire }, view)
}

fn chunk(delta: &str) -> String {
    format!(r#"{{"id":"1","choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#)
}

/// The start of an answer of Anthropic's, whose only block is `block`, and a delta of it.
fn block(block: &str, delta: &str) -> String {
    let start = r#"data: {"type":"message_start","message":{"id":"1","usage":{"input_tokens":5,"output_tokens":1}}}"#;
    format!(
        "{start}\n\ndata: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{block}}}\n\n\
         data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{delta}}}\n\n"
    )
}

#[test]
fn four_bytes_of_text_are_a_token_on_each_wire_passed_or_translated() {
    let x = "x".repeat(36_000);
    let event = |json: String| format!("data: {json}\n\n");
    let of_openai = [
        format!(r#"{{"content":"{x}"}}"#),
        format!(r#"{{"reasoning_content":"{x}"}}"#),
        format!(r#"{{"refusal":"{x}"}}"#),
        format!(
            r#"{{"tool_calls":[{{"index":0,"id":"c","function":{{"name":"f","arguments":"{x}"}}}}]}}"#
        ),
    ];
    let of_anthropic = [
        block(r#"{"type":"text","text":""}"#, &format!(r#"{{"type":"text_delta","text":"{x}"}}"#)),
        block(
            r#"{"type":"thinking","thinking":""}"#,
            &format!(r#"{{"type":"thinking_delta","thinking":"{x}"}}"#),
        ),
        block(
            r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#,
            &format!(r#"{{"type":"input_json_delta","partial_json":"{x}"}}"#),
        ),
    ];
    for operation in [Operation::Chat, Operation::Messages] {
        for delta in &of_openai {
            let mut reader = of(operation, WireFormat::OpenAi);
            read(&mut reader, &event(chunk(delta)));
            assert_eq!(reader.estimated_output(), 9_000, "{operation:?} {}", &delta[..40]);
        }
        for events in &of_anthropic {
            let mut reader = of(operation, WireFormat::Anthropic);
            read(&mut reader, events);
            assert_eq!(reader.estimated_output(), 9_000, "{operation:?} {}", &events[120..250]);
        }
    }
    for (operation, wire, json) in [
        (
            Operation::Completion,
            WireFormat::OpenAi,
            format!(r#"{{"choices":[{{"index":0,"text":"{x}","finish_reason":null}}]}}"#),
        ),
        (
            Operation::Responses,
            WireFormat::Responses,
            format!(r#"{{"type":"response.output_text.delta","delta":"{x}"}}"#),
        ),
        (
            Operation::GenerateContent,
            WireFormat::Gemini,
            format!(r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{x}"}}]}}}}]}}"#),
        ),
    ] {
        let mut reader = of(operation, wire);
        read(&mut reader, &event(json));
        assert_eq!(reader.estimated_output(), 9_000, "{operation:?}");
    }
}

#[test]
fn pieces_of_equal_length_are_counted_by_their_texts() {
    let piece = format!("data: {}\n\n", chunk(&format!(r#"{{"content":"{}"}}"#, "y".repeat(40))));
    for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
        let mut reader = of(operation, WireFormat::OpenAi);
        for _ in 0..50 {
            read(&mut reader, &piece);
        }
        assert_eq!(reader.estimated_output(), 500, "{operation:?}");
    }
}

#[test]
fn an_end_without_a_reason_is_a_cut_for_every_client() {
    let content = chunk(r#"{"content":"hi"}"#);
    let tails = [
        "",
        "data: {\"errors\":[{\"message\":\"boom\"}]}\n\n",
        "data: {}\n\n",
        "data: null\n\n",
        "data: Internal Server Error\n\n",
        "data: {\"id\":\"1\",\"choices\":[]}\n\n",
        "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"\"}]}\n\n",
    ];
    let clients =
        [Operation::Chat, Operation::Messages, Operation::Responses, Operation::GenerateContent];
    for operation in clients {
        for tail in tails {
            let mut reader = of(operation, WireFormat::OpenAi);
            read(&mut reader, &format!("data: {content}\n\n"));
            let mut out = Vec::new();
            let text = format!("{tail}data: [DONE]\n\n");
            let pushed = reader.push(Bytes::from(text.into_bytes()), &mut out);
            assert_eq!(pushed, Err(Broken::Unfinished), "{operation:?} {tail}");
            let out = String::from_utf8(out).unwrap();
            for end in ["[DONE]", "STOP", "message_stop", "response.completed"] {
                assert!(!out.contains(end), "{operation:?} {tail} {out}");
            }
            assert!(!reader.is_done() && !reader.is_complete(), "{operation:?} {tail}");
        }
        let mut reader = of(operation, WireFormat::OpenAi);
        read(&mut reader, &format!("data: {content}\n\n{STOP}\n\ndata: [DONE]\n\n"));
        assert!(reader.is_done(), "{operation:?}");
    }
    for operation in [Operation::Messages, Operation::Chat] {
        let mut reader = of(operation, WireFormat::Anthropic);
        let text = r#"{"type":"text","text":""}"#;
        read(&mut reader, &block(text, r#"{"type":"text_delta","text":"hi"}"#));
        let end = Bytes::from_static(b"data: {\"type\":\"message_stop\"}\n\n");
        assert_eq!(reader.push(end, &mut Vec::new()), Err(Broken::Unfinished), "{operation:?}");
    }
}

#[test]
fn a_failure_in_the_place_of_the_reason_ends_a_stream_with_its_words() {
    for (reason, error, message) in [
        ("error", r#","error":{"code":502,"message":"boom"}"#, "boom"),
        ("error", "", "the provider broke off with finish_reason `error`"),
        ("abort", "", "the provider broke off with finish_reason `abort`"),
    ] {
        for operation in [Operation::Chat, Operation::Completion, Operation::Messages] {
            let mut reader = of(operation, WireFormat::OpenAi);
            read(&mut reader, &format!("data: {}\n\n", chunk(r#"{"content":"hi"}"#)));
            let event = format!(
                "data: {{\"id\":\"1\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"\"}},\
                 \"finish_reason\":\"{reason}\"{error}}}]}}\n\ndata: [DONE]\n\n"
            );
            let out = read(&mut reader, &event);
            assert_eq!(out, "", "{operation:?} {reason}");
            assert_eq!(reader.error().unwrap().message, message, "{operation:?}");
            assert!(!reader.is_complete(), "{operation:?} {reason}");
        }
    }
}
