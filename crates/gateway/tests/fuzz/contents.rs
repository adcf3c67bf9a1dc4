//! Google's format: what a deployment of Gemini gets of clients' requests, and what clients get of its answers.
//!
//! An input is a request in either format of clients, an answer, or a stream. What is sent is JSON whose contents are by
//! turns the user's and the model's; a stream reads the same wherever it is cut, and says what the same answer in one piece says.

use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::config::{InMemory, Options, load};
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::snapshot::Snapshot;
use hale_wire::answer;
use hale_wire::neutral::Delta;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::stream::{Reader, View};
use hale_wire::tap;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fuzz;

const WORDS: &[&str] = &[
    "{\"role\":\"user\",\"content\":\"hi\"},",
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c__thought__AA\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},",
    "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"x\"},",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}]},",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"x\"}]},",
    "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"gemini:AA\"},",
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y.png\"}},",
    "\"reasoning_effort\":\"none\",",
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"1.f\"}},{\"googleSearch\":{}}],",
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}},",
    "\"input\":[\"a\",\"b\"],",
    "{\"text\":\"a\",\"thought\":true},",
    "{\"functionCall\":{\"name\":\"f\",\"args\":{}},\"thoughtSignature\":\"AA==\"},",
    "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}},",
    "{\"executableCode\":{\"code\":\"1\"}},",
    "\"finishReason\":\"MALFORMED_FUNCTION_CALL\",",
    "\"finishReason\":\"OTHER\",",
    "\"promptFeedback\":{\"blockReason\":\"SAFETY\"},",
    "\"usageMetadata\":{\"promptTokenCount\":1,\"thoughtsTokenCount\":9},",
    "\\ud800",
    "\r\n\r\n",
    "data: ",
    "null",
    "[]",
    "{}",
];

fuzz!("contents", WORDS, check);

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let yaml = "model_list:\n- {model_name: g, litellm_params: {model: gemini/gemini-3-pro-preview, api_key: k}}\n";
    let loaded = load(&InMemory::file("c.yaml", yaml), "c.yaml", Options::default(), None);
    loaded.snapshot.expect("the config is valid")
});

/// The body that is sent for the request `body` to `operation`.
fn sent(operation: Operation, body: Bytes) -> Option<Bytes> {
    let peek = Peek::parse(body).ok()?;
    let order = Order {
        deployment: &SNAPSHOT.deployments[0],
        operation,
        upstream_model: "gemini-3-pro-preview",
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
            panic!("Google counts")
        }
        Err(unfit) => {
            assert!(!unfit.message.is_empty(), "{unfit:?}");
            None
        }
    }
}

/// Checks that contents are by turns the user's and the model's, and none is empty.
fn check_turns(body: &Bytes) {
    if let Err(error) = serde_json::from_slice::<&RawValue>(body) {
        panic!("{error}: {body:?}");
    }
    // Numbers out of range pass unchanged, and have no value here.
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let Some(contents) = body["contents"].as_array() else { return };
    assert!(!contents.is_empty(), "{body}");
    for (at, content) in contents.iter().enumerate() {
        let author = if at % 2 == 0 { "user" } else { "model" };
        assert_eq!(content["role"], author, "{body}");
        assert!(content["parts"].as_array().is_some_and(|parts| !parts.is_empty()), "{body}");
    }
}

fn view() -> View {
    View { model_json: "\"shown\"".into(), show_usage: true, created: 7, ..View::default() }
}

/// What a client gets of a stream in these pieces, and whether it is complete.
fn streamed(conversion: Conversion, pieces: &[&[u8]]) -> (Vec<u8>, Option<String>, bool) {
    let mut reader = Reader::new(conversion, view());
    let mut out = Vec::new();
    let read = pieces
        .iter()
        .try_for_each(|piece| reader.push(Bytes::copy_from_slice(piece), &mut out))
        .and_then(|()| reader.finish(&mut out));
    (out, read.err().map(|broken| broken.to_string()), reader.is_complete())
}

/// The texts and the names of called tools.
fn words(deltas: &[Delta<'_>]) -> String {
    let words = deltas.iter().map(|delta| match delta {
        Delta::Text(text) | Delta::Thinking(text) => &**text,
        Delta::ToolStart { name, .. } => name,
        _ => "",
    });
    words.collect()
}

/// Checks that an answer says the same in one piece and as the one event of a stream.
fn check_forms(conversion: Conversion, body: &Bytes) -> bool {
    let Ok(whole) = tap::answer(conversion, body) else { return false };
    let Ok(text) = std::str::from_utf8(body) else { return false };
    if text.contains(['\n', '\r']) || text.starts_with('\u{feff}') {
        return false;
    }
    let mut reader = Reader::tapped(conversion, view());
    let event = Bytes::from(format!("data: {text}\n\n"));
    let is_read = reader.push(event, &mut Vec::new()).is_ok() && reader.error().is_none();
    let deltas = reader.tap().map(|tap| tap.deltas().to_vec()).unwrap_or_default();
    if is_read && reader.skipped() == 0 {
        assert_eq!(words(&deltas), words(&whole), "{text}");
    }
    true
}

fn check(input: &[u8]) -> (bool, bool, bool, bool, bool) {
    let body = Bytes::copy_from_slice(input);
    let operations =
        [Operation::Chat, Operation::Messages, Operation::Embedding, Operation::CountTokens];
    let [chat, messages, embedding, _] = operations.map(|operation| {
        let sent = sent(operation, body.clone());
        sent.as_ref().inspect(|sent| check_turns(sent)).is_some()
    });
    let (mut is_answer, mut is_complete) = (false, false);
    for operation in [Operation::Chat, Operation::Messages] {
        let conversion = Conversion { operation, wire: WireFormat::Gemini };
        if let Ok(answer) = answer::check(conversion, &body, &view()) {
            is_answer = true;
            if let Err(error) = serde_json::from_slice::<&RawValue>(&answer.body) {
                panic!("{error}: {:?}", answer.body);
            }
        }
        check_forms(conversion, &body);
        let whole = streamed(conversion, &[input]);
        let (first, second) = input.split_at(input.len() / 2);
        assert_eq!(streamed(conversion, &[first, second]), whole);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(streamed(conversion, &bytes), whole);
        is_complete |= whole.2;
    }
    (chat, messages, embedding, is_answer, is_complete)
}
