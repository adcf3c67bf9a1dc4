//! What an answer of a provider may cost in memory: every field that the formats know, in every shape, at every place of
//! an answer, full or streamed, for every pair of client format and wire.
//!
//! Always true: the fields are those that stand in the sources, and the pairs those of the table of operations. One test
//! at a time: the allocator counts for the whole process.

use std::path::Path;

use bytes::Bytes;
use hale_core::operation::{Carries, Operation};
use hale_core::provider::WireFormat;
use hale_testkit::shapes::{names_in, shapes};
use hale_wire::prepare::Conversion;
use hale_wire::stream::{Reader, View};
use hale_wire::{answer, errors};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The size of a read from the network, bytes.
const READ: usize = 16 << 10;
/// Places of a field, here `@`, in full answers to chat requests.
const CHAT: &[&str] = &[
    r#"{@,"model":"up","choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#,
    r#"{"model":"up","choices":[{@,"message":{"content":"a"}}],"usage":{"prompt_tokens":1}}"#,
    r#"{"model":"up","choices":[{"message":{"role":"assistant",@},"finish_reason":"stop"}]}"#,
    r#"{"choices":[{"message":{"tool_calls":[{"id":"a","type":"function","function":{"name":"f",@}}]}}]}"#,
    r#"{"choices":[{"message":{"content":"a"}}],"usage":{@}}"#,
    r#"{"error":{"message":"m",@}}"#,
];
/// The same for messages.
const MESSAGES: &[&str] = &[
    r#"{@,"model":"up","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#,
    r#"{"model":"up","content":[{"type":"text",@}],"stop_reason":"end_turn","usage":{"input_tokens":1}}"#,
    r#"{"model":"up","content":[{"type":"tool_use","id":"t","name":"f",@}]}"#,
    r#"{"model":"up","content":[{"type":"thinking","thinking":"a","signature":"s",@}]}"#,
    r#"{"content":[{"type":"text","text":"a"}],"usage":{@}}"#,
    r#"{"type":"error","error":{"type":"api_error",@}}"#,
];
/// The same for responses.
const RESPONSES: &[&str] = &[
    r#"{@,"id":"r","model":"up","output":[]}"#,
    r#"{"id":"r","model":"up","output":[{"type":"message",@}]}"#,
    r#"{"id":"r","output":[{"type":"message","content":[{"type":"output_text",@}]}]}"#,
    r#"{"id":"r","output":[],"usage":{@}}"#,
];
/// The same for what is a list of data.
const DATA: &[&str] =
    &[r#"{@,"model":"up","data":[{"a":1}]}"#, r#"{"data":[{@}],"usage":{"prompt_tokens":1}}"#];
/// Places in the events of a chat stream.
const CHAT_EVENTS: &[&str] = &[
    r#"{"model":"up","choices":[{"index":0,"delta":{@}}]}"#,
    r#"{"model":"up","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f",@}}]}}]}"#,
    r#"{"choices":[{@,"delta":{"content":"a"}}]}"#,
    r#"{"choices":[],"usage":{@}}"#,
    r#"{"error":{@}}"#,
];
/// The same for messages.
const MESSAGE_EVENTS: &[&str] = &[
    r#"{"type":"message_start","message":{"model":"up","usage":{"input_tokens":1},@}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text",@}}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f",@}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta",@}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",@}}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn",@},"usage":{"output_tokens":1}}"#,
    r#"{"type":"error","error":{@}}"#,
];
/// The same for responses.
const RESPONSE_EVENTS: &[&str] = &[
    r#"{"type":"response.created","response":{"id":"r","model":"up",@}}"#,
    r#"{"type":"response.output_text.delta",@}"#,
    r#"{"type":"response.output_item.added","item":{"type":"function_call",@}}"#,
    r#"{"type":"response.completed","response":{"id":"r","output":[],@}}"#,
];

/// The same for contents of Google's format, full and as events.
const CONTENTS: &[&str] = &[
    r#"{@,"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
    r#"{"candidates":[{@,"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":1}}"#,
    r#"{"candidates":[{"content":{"role":"model",@},"finishReason":"STOP"}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"text":"a"},{@}]},"finishReason":"STOP"}]}"#,
    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f",@}}]}}]}"#,
    r#"{"promptFeedback":{@},"usageMetadata":{"promptTokenCount":1,@}}"#,
    r#"{"error":{"code":400,@}}"#,
];

/// Ollama's: lines, and full answers, which are one.
const LINES: &[&str] = &[
    r#"{@,"message":{"role":"assistant","content":"a"},"done":true,"done_reason":"stop"}"#,
    r#"{"message":{"role":"assistant","content":"a","thinking":"b",@},"done":true,"prompt_eval_count":1}"#,
    r#"{"message":{"tool_calls":[{@,"function":{"name":"f","arguments":{}}}]},"done":true}"#,
    r#"{"message":{"tool_calls":[{"function":{"name":"f",@}}]},"done":true}"#,
    r#"{"error":"x",@}"#,
];
const VECTORS: &[&str] = &[r#"{"embeddings":[[1]],"prompt_eval_count":1,@}"#];

/// The same for messages of Cohere's format.
const COHERE: &[&str] = &[
    r#"{@,"id":"c","message":{"content":[{"type":"text","text":"a"}]},"finish_reason":"COMPLETE"}"#,
    r#"{"message":{"content":[{"type":"text","text":"a"}],@},"finish_reason":"COMPLETE"}"#,
    r#"{"message":{"content":[{"type":"text","text":"a"},{@}]}}"#,
    r#"{"message":{"tool_calls":[{"id":"t",@,"function":{"name":"f",@}}]}}"#,
    r#"{"message":{"content":[],"citations":[{"start":0,"end":1,@}]}}"#,
];
const COHERE_EVENTS: &[&str] = &[
    r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{@}}}}"#,
    r#"{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"t","function":{"name":"f",@}}}}}"#,
    r#"{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":1,@}}}}"#,
    r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE",@}}"#,
];

/// What an answer of that many bytes may take in all.
fn allowed(bytes: usize) -> usize {
    4 * bytes + (1 << 20)
}

fn view() -> View {
    View {
        model_json: "\"shown\"".into(),
        show_usage: false,
        priced: None,
        unix_ms: 0,
        earlier_usd: 0.0,
        merges_reasoning: false,
        created: 1,
        answer_id: None,
        upstream_model: None,
        notes: None,
        issuer: None,
        serial: 0,
        kept: None,
    }
}

/// The most that is allocated while a full answer is checked and translated, itself included.
fn cost_whole(conversion: Conversion, body: Vec<u8>) -> usize {
    let before = MEMORY.current_usage() - body.capacity();
    let body = Bytes::from(body);
    MEMORY.reset_peak_usage();
    drop(answer::check(conversion, &body, &view()));
    drop(errors::parse_provider_error(&body));
    let peak = MEMORY.peak_usage();
    drop(body);
    peak - before
}

/// The same for a stream that comes in pieces, and whose client takes what there is after each.
fn cost_stream(conversion: Conversion, body: &[u8]) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let mut reader = Reader::new(conversion, view()).within(usize::MAX);
    let mut is_whole = true;
    for piece in body.chunks(READ) {
        let mut out = Vec::new();
        is_whole &= reader.push(Bytes::copy_from_slice(piece), &mut out).is_ok();
        if !is_whole {
            break;
        }
    }
    if is_whole {
        let mut out = Vec::new();
        let _end = reader.finish(&mut out);
        reader.close(&mut out);
    }
    MEMORY.peak_usage() - before
}

/// The places of a full answer and of an event of that operation of a provider.
fn places(operation: Operation) -> (&'static [&'static str], &'static [&'static str]) {
    match operation {
        Operation::Chat => (CHAT, CHAT_EVENTS),
        Operation::Messages => (MESSAGES, MESSAGE_EVENTS),
        Operation::Responses => (RESPONSES, RESPONSE_EVENTS),
        Operation::GenerateContent => (CONTENTS, CONTENTS),
        Operation::CohereChat => (COHERE, COHERE_EVENTS),
        Operation::OllamaChat => (LINES, LINES),
        Operation::OllamaEmbed => (VECTORS, &[]),
        _ => (DATA, &[]),
    }
}

/// An event as the wire writes it.
fn event(wire: WireFormat, text: &str) -> String {
    let mut parts = text.split("\"type\":\"");
    let kind = parts.nth(1).and_then(|tail| tail.split('"').next()).unwrap_or_default();
    match wire {
        WireFormat::OpenAi | WireFormat::Gemini | WireFormat::Converse => {
            format!("data: {text}\n\n")
        }
        WireFormat::Anthropic | WireFormat::Cohere | WireFormat::Responses => {
            format!("event: {kind}\ndata: {text}\n\n")
        }
        WireFormat::Ollama => format!("{text}\n"),
    }
}

/// A place in the answers to one operation.
struct Slot {
    conversion: Conversion,
    place: &'static str,
    is_event: bool,
}

/// All places in all answers.
fn slots() -> Vec<Slot> {
    let operations = Operation::ALL.into_iter().filter(|it| it.carries() != Carries::Nothing);
    let wires = [
        WireFormat::OpenAi,
        WireFormat::Anthropic,
        WireFormat::Gemini,
        WireFormat::Cohere,
        WireFormat::Responses,
        WireFormat::Ollama,
    ];
    let called =
        |operation: Operation, wire| Conversion { operation, wire: operation.called_in(wire) };
    let pairs = operations
        .flat_map(|operation| wires.map(|wire| called(operation, wire)))
        .filter_map(|conversion| Some((conversion, conversion.upstream()?)));
    let of = |(conversion, upstream): (Conversion, Operation)| {
        let (answers, events) = places(upstream);
        let slot = move |is_event| move |place| Slot { conversion, place, is_event };
        let events = events.iter().copied().map(slot(true));
        answers.iter().copied().map(slot(false)).chain(events)
    };
    pairs.flat_map(of).collect()
}

/// The cost and the size of that field in that place.
fn cost(slot: &Slot, field: &str) -> (usize, usize) {
    let text = slot.place.replacen('@', field, 1);
    if !slot.is_event {
        return (cost_whole(slot.conversion, text.clone().into_bytes()), text.len());
    }
    let text = event(slot.conversion.wire, &text);
    (cost_stream(slot.conversion, text.as_bytes()), text.len())
}

/// Measures answers of that many bytes, one of `one_in` cases; `one_in` is prime.
fn measure(bytes: usize, one_in: usize) {
    let names = names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(names.contains("choices") && names.contains("reasoning_content"), "{names:?}");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (shapes, slots) = (shapes(), slots());
    let (mut whole, mut streamed, mut worst) = (0, 0, Vec::new());
    for case in (0..names.len() * shapes.len() * slots.len()).step_by(one_in) {
        let slot = &slots[case % slots.len()];
        let shape = &shapes[case / slots.len() % shapes.len()];
        let name = names[case / slots.len() / shapes.len()];
        let (cost, length) = cost(slot, &format!("\"{name}\":{}", (shape.make)(bytes)));
        *(if slot.is_event { &mut streamed } else { &mut whole }) += 1;
        if cost > allowed(length) {
            let Slot { conversion, place, .. } = slot;
            worst.push((
                cost * 100 / length,
                format!("{conversion:?}: {name} in {place}: {}", shape.name),
            ));
        }
    }
    assert!(whole > 20 && streamed > 20, "{whole} answers and {streamed} streams were measured");
    worst.sort_unstable_by(|one, other| other.cmp(one));
    worst.truncate(40);
    let lines: String = worst.iter().map(|(times, what)| format!("{times:6} % {what}\n")).collect();
    assert!(worst.is_empty(), "of the answer, in:\n{lines}");
}

/// Never two tests at one time.
#[test]
fn no_answer_costs_more_than_four_times_its_size() {
    measure(1 << 20, 100_003);
}

#[test]
#[ignore = "takes minutes: more cases, with larger answers"]
fn no_large_answer_costs_more_than_four_times_its_size() {
    measure(2 << 20, 10_007);
}
