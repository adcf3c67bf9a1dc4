//! Translation between the formats, both ways: requests and full answers.
//!
//! An input is a request in either format, or an answer on either wire. Translated there and back, it settles:
//! after two rounds nothing changes any more.

use bytes::Bytes;
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_wire::answer;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::stream::View;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::bodies::SNAPSHOT;
use crate::fuzz;

const WORDS: &[&str] = &[
    "{\"role\":\"user\",\"content\":\"hi\"},",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}]},",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"x\"}]},",
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},",
    "{\"role\":\"tool\",\"tool_call_id\":\"t\",\"content\":\"x\"},",
    "{\"type\":\"text\",\"text\":\"a\"},",
    "{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"s\"},",
    "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}},",
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}},",
    "\"system\":\"s\",",
    "\"tool_choice\":{\"type\":\"any\"},",
    "\"tool_choice\":\"required\",",
    "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},",
    "\"reasoning_effort\":\"high\",",
    "\"output_config\":{\"effort\":\"low\"},",
    "\"stop_reason\":\"max_tokens\",",
    "\"finish_reason\":\"length\",",
    "\"finish_reason\":\"error\",",
    "\"refusal\":\"no\",",
    "\\ud800",
    "null",
    "[]",
    "{}",
    "\"\"",
];

fuzz!("translation", WORDS, check);

fn deployment(wire: WireFormat) -> &'static Deployment {
    let found = SNAPSHOT.deployments.iter().find(|one| one.endpoint.provider.wire == wire);
    found.expect("there is one of each wire")
}

/// The request of a client of `operation`, as a provider of the other wire gets it.
fn asked(operation: Operation, body: Bytes) -> Option<Bytes> {
    let wire = match operation.format() {
        WireFormat::OpenAi
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => WireFormat::Anthropic,
        WireFormat::Anthropic => WireFormat::OpenAi,
    };
    let peek = Peek::parse(body).ok()?;
    let order = Order {
        deployment: deployment(wire),
        operation,
        upstream_model: "up",
        kept: None,
        client_version: None,
        ask_usage: false,
        drop_params: false,
        known: hale_core::health::Known::default(),
        prefix: None,
        seals: None,
        fetched: None,
        client_betas: None,
    };
    match prepare(&peek, &order) {
        Ok(Prepared::Body(_, body, _)) => Some(body.joined()),
        Ok(
            Prepared::Estimate(_) | Prepared::Count(_) | Prepared::Several(..) | Prepared::Fetch(_),
        ) => {
            panic!("no count was requested")
        }
        Err(unfit) => {
            // The name of a field may be empty.
            assert!(!unfit.message.is_empty(), "{unfit:?}");
            None
        }
    }
}

/// The answer of a provider's wire, as a client of the other format gets it.
fn answered(wire: WireFormat, body: &Bytes) -> Option<Bytes> {
    let operation = match wire {
        WireFormat::OpenAi => Operation::Messages,
        WireFormat::Anthropic
        | WireFormat::Gemini
        | WireFormat::Cohere
        | WireFormat::Responses
        | WireFormat::Converse
        | WireFormat::Ollama => Operation::Chat,
    };
    let view = View {
        model_json: "\"up\"".into(),
        show_usage: true,
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
    answer::check(Conversion { operation, wire }, body, &view).ok().map(|answer| answer.body)
}

/// The body, which must be JSON. Numbers out of range and halves of characters pass unchanged, and
/// have no value here.
fn read(body: &Bytes) -> Option<Value> {
    if let Err(error) = serde_json::from_slice::<&RawValue>(body) {
        panic!("{error}: {body:?}");
    }
    serde_json::from_slice(body).ok()
}

/// After the first round, what one side cannot express is gone. After the second, turns that became neighbours are
/// joined. From then on nothing changes.
fn settles(
    there: impl Fn(&Bytes) -> Option<Bytes>,
    back: impl Fn(&Bytes) -> Option<Bytes>,
    body: &Bytes,
) -> u8 {
    let round = |body: &Bytes| {
        let over = there(body)?;
        read(&over);
        back(&over)
    };
    let Some(once) = round(body) else { return 0 };
    let Some(twice) = round(&once) else { return 1 };
    let Some(again) = round(&twice) else { return 2 };
    let (Some(mut twice), Some(mut again)) = (read(&twice), read(&again)) else { return 3 };
    for body in [&mut twice, &mut again] {
        // The scales of effort differ: a level may come back as its neighbour.
        for name in ["reasoning_effort", "thinking", "output_config", "max_tokens"] {
            if let Value::Object(members) = body {
                members.remove(name);
            }
        }
        forget_ids(body);
    }
    assert_eq!(again, twice, "the third round changes it");
    4
}

/// Removes the ids of calls. Each answer shows an odd one anew, because it may be the provider's own.
fn forget_ids(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["id", "tool_use_id", "tool_call_id"] {
                members.remove(name);
            }
            members.values_mut().for_each(forget_ids);
        }
        Value::Array(all) => all.iter_mut().for_each(forget_ids),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check(input: &[u8]) -> [u8; 4] {
    let body = Bytes::copy_from_slice(input);
    let from_chat = |body: &Bytes| asked(Operation::Chat, body.clone());
    let from_messages = |body: &Bytes| asked(Operation::Messages, body.clone());
    let from_openai = |body: &Bytes| answered(WireFormat::OpenAi, body);
    let from_anthropic = |body: &Bytes| answered(WireFormat::Anthropic, body);
    [
        settles(from_chat, from_messages, &body),
        settles(from_messages, from_chat, &body),
        settles(from_openai, from_anthropic, &body),
        settles(from_anthropic, from_openai, &body),
    ]
}
