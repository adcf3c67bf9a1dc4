//! The cost of passing through and of translating: `cargo bench -p hale-wire`.
//!
//! The goals: 60 us more than pass-through for a chat of 1 KB each way, 4 us for an event of a stream.

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use bytes::Bytes;
use divan::counter::ItemsCount;
use hale_core::config::{InMemory, Options, load};
use hale_core::health::Known;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::snapshot::Snapshot;
use hale_testkit::bedrock;
use hale_wire::answer;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Conversion, prepare};
use hale_wire::stream::{Reader, View};
use serde_json::json;

fn main() {
    divan::main();
}

const PROVIDERS: [&str; 6] = [
    "openai/gpt-4o",
    "anthropic/claude-haiku-4-5",
    "gemini/gemini-2.5-flash",
    "cohere/command-a",
    "bedrock/us.amazon.nova-pro-v1:0",
    "ollama/llama3.1:8b",
];
const DELTAS: usize = 100;

fn snapshot(model: &str) -> Snapshot {
    let yaml = format!(
        "model_list:\n- model_name: m\n  litellm_params: {{model: {model}, api_key: a-key}}\n"
    );
    load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None).snapshot.unwrap()
}

fn wire(model: &str) -> WireFormat {
    match model.split('/').next() {
        Some("openai") => WireFormat::OpenAi,
        Some("gemini") => WireFormat::Gemini,
        Some("cohere") => WireFormat::Cohere,
        Some("bedrock") => WireFormat::Converse,
        Some("ollama") => WireFormat::Ollama,
        _ => WireFormat::Anthropic,
    }
}

fn view() -> View {
    View {
        model_json: "\"m\"".into(),
        answer_id: None,
        upstream_model: None,
        notes: None,
        show_usage: true,
        priced: None,
        unix_ms: 0,
        earlier_usd: 0.0,
        merges_reasoning: false,
        created: 1_700_000_000,
        issuer: None,
        serial: 0,
        kept: None,
    }
}

/// A chat request of 1 KB in the OpenAI format, read and written for the provider.
#[divan::bench(args = PROVIDERS)]
fn request(bencher: divan::Bencher<'_, '_>, model: &str) {
    let snapshot = snapshot(model);
    let text = "Which of these deployments is well, and what makes you think so? ".repeat(7);
    let body = Bytes::from(format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"system\",\"content\":\"{text}\"}},\
         {{\"role\":\"user\",\"content\":\"{text}\"}}],\"temperature\":0.7,\"max_tokens\":256}}"
    ));
    bencher.bench_local(|| {
        let peek = Peek::parse(body.clone()).unwrap();
        let order = Order {
            deployment: &snapshot.deployments[0],
            operation: Operation::Chat,
            upstream_model: "upstream-model",
            kept: None,
            client_version: None,
            ask_usage: false,
            drop_params: false,
            known: Known::default(),
            prefix: None,
            seals: None,
            fetched: None,
            client_betas: None,
        };
        prepare(&peek, &order).unwrap()
    });
}

/// An answer of 0.9 KB, checked and written for a client of the OpenAI format.
#[divan::bench(args = PROVIDERS)]
fn full_answer(bencher: divan::Bencher<'_, '_>, model: &str) {
    let text = "A gateway forwards each request to a deployment that is well. ".repeat(10);
    let body = Bytes::from(match wire(model) {
        // No provider of a chat speaks it.
        WireFormat::Responses => return,
        WireFormat::OpenAi => format!(
            "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"up\",\"choices\":[\
             {{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
             \"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":182,\
             \"completion_tokens\":60,\"total_tokens\":242}}}}"
        ),
        WireFormat::Gemini => format!(
            "{{\"candidates\":[{{\"content\":{{\"role\":\"model\",\"parts\":[{{\"text\":\"{text}\"}}]}},\
             \"finishReason\":\"STOP\"}}],\"usageMetadata\":{{\"promptTokenCount\":182,\
             \"candidatesTokenCount\":60,\"totalTokenCount\":242}},\"responseId\":\"r\"}}"
        ),
        WireFormat::Cohere => format!(
            "{{\"id\":\"m\",\"finish_reason\":\"COMPLETE\",\"message\":{{\"role\":\"assistant\",\"content\":[\
             {{\"type\":\"text\",\"text\":\"{text}\"}}]}},\"usage\":{{\"tokens\":{{\"input_tokens\":182,\
             \"output_tokens\":60}}}}}}"
        ),
        WireFormat::Converse => format!(
            "{{\"output\":{{\"message\":{{\"role\":\"assistant\",\"content\":[{{\"text\":\"{text}\"}}]}}}},\
             \"stopReason\":\"end_turn\",\"usage\":{{\"inputTokens\":182,\"outputTokens\":60,\
             \"totalTokens\":242}}}}"
        ),
        WireFormat::Ollama => format!(
            "{{\"created_at\":\"2026-11-28T10:00:00.1Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\
             \"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":182,\"eval_count\":60}}"
        ),
        WireFormat::Anthropic => format!(
            "{{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"up\",\"content\":[\
             {{\"type\":\"text\",\"text\":\"{text}\"}}],\"stop_reason\":\"end_turn\",\
             \"stop_sequence\":null,\"usage\":{{\"input_tokens\":182,\"output_tokens\":60}}}}"
        ),
    });
    let conversion = Conversion { operation: Operation::Chat, wire: wire(model) };
    bencher.bench_local(|| answer::check(conversion, &body, &view()).unwrap());
}

/// An event with one word of text, as a client of the OpenAI format sees it.
#[divan::bench(args = PROVIDERS)]
fn event(bencher: divan::Bencher<'_, '_>, model: &str) {
    events(bencher, model, Reader::new);
}

/// The same with a tap.
#[divan::bench(args = PROVIDERS)]
fn tapped_event(bencher: divan::Bencher<'_, '_>, model: &str) {
    events(bencher, model, Reader::tapped);
}

fn events(bencher: divan::Bencher<'_, '_>, model: &str, reader: fn(Conversion, View) -> Reader) {
    let bytes = |(first, delta): (String, String)| (first.into_bytes(), delta.into_bytes());
    let (first, delta) = bytes(match wire(model) {
        WireFormat::Responses => return,
        WireFormat::Converse => {
            return frames(bencher, reader);
        }
        WireFormat::OpenAi => {
            let event = |delta: &str| {
                format!(
                    "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\
                     \"model\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{delta},\
                     \"finish_reason\":null}}]}}\n\n"
                )
            };
            (event("{\"role\":\"assistant\",\"content\":\"\"}"), event("{\"content\":\" word\"}"))
        }
        WireFormat::Gemini => {
            let event = |text: &str| {
                format!(
                    "data: {{\"candidates\":[{{\"content\":{{\"role\":\"model\",\"parts\":\
                     [{{\"text\":\"{text}\"}}]}},\"index\":0}}],\"usageMetadata\":\
                     {{\"promptTokenCount\":1,\"totalTokenCount\":1}},\"responseId\":\"r\"}}\r\n\r\n"
                )
            };
            (event(""), event(" word"))
        }
        WireFormat::Cohere => (
            "event: message-start\ndata: {\"type\":\"message-start\",\"id\":\"m\"}\n\n".to_owned(),
            "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":\
             {\"message\":{\"content\":{\"text\":\" word\"}}}}\n\n"
                .to_owned(),
        ),
        WireFormat::Ollama => {
            let event = |text: &str| {
                format!(
                    "{{\"model\":\"up\",\"created_at\":\"2026-11-28T10:00:00.1Z\",\"message\":\
                     {{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
                )
            };
            (event(""), event(" word"))
        }
        WireFormat::Anthropic => (
            "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\
             \"role\":\"assistant\",\"model\":\"up\",\"content\":[],\"usage\":{\"input_tokens\":1}}}\n\n\
             data: {\"type\":\"content_block_start\",\"index\":0,\
             \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
                .to_owned(),
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}\n\n"
                .to_owned(),
        ),
    });
    let conversion = Conversion { operation: Operation::Chat, wire: wire(model) };
    read_events(bencher, (&first, &delta), || reader(conversion, view()));
}

/// The same in frames of AWS.
fn frames(bencher: divan::Bencher<'_, '_>, reader: fn(Conversion, View) -> Reader) {
    let first = bedrock::frame("messageStart", &json!({"role": "assistant"}));
    let delta = json!({"contentBlockIndex": 0, "delta": {"text": " word"}, "p": "abcdefgh"});
    let delta = bedrock::frame("contentBlockDelta", &delta);
    let conversion = Conversion { operation: Operation::Chat, wire: WireFormat::Converse };
    read_events(bencher, (&first, &delta), || reader(conversion, view()));
}

fn read_events(
    bencher: divan::Bencher<'_, '_>,
    (first, delta): (&[u8], &[u8]),
    reader: impl Fn() -> Reader,
) {
    let delta = Bytes::copy_from_slice(delta);
    bencher.counter(ItemsCount::new(DELTAS)).bench_local(|| {
        let mut reader = reader();
        let mut out = Vec::new();
        reader.push(Bytes::copy_from_slice(first), &mut out).unwrap();
        for _ in 0..DELTAS {
            out.clear();
            reader.push(delta.clone(), &mut out).unwrap();
        }
        assert!(!out.is_empty());
        out
    });
}
