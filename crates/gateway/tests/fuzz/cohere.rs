//! Cohere's format: what a deployment gets of clients' requests, and what clients get of its answers and streams.
//!
//! An input is a request, an answer, or a stream.

use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::snapshot::Snapshot;
use hale_wire::prepare::Conversion;
use serde_json::Value;

use crate::fuzz;
use crate::wires::{is_answer, is_complete, sent, snapshot};

const WORDS: &[&str] = &[
    "{\"role\":\"user\",\"content\":\"hi\"},",
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},",
    "{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"x\"},",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"x\"}]},",
    "{\"type\":\"thinking\",\"thinking\":\"x\",\"signature\":\"hale:cohere\"},",
    "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"x\"}},",
    "\"documents\":[\"a\",{\"data\":{\"text\":\"b\"}}],",
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],",
    "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},",
    "\"input\":[\"a\",\"data:image/png;base64,AAAA\"],",
    "data: {\"type\":\"message-start\",\"id\":\"i\"}\n\n",
    "data: {\"type\":\"content-start\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n",
    "data: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"x\"}}}}\n\n",
    "data: {\"type\":\"tool-plan-delta\",\"delta\":{\"message\":{\"tool_plan\":\"p\"}}}\n\n",
    "data: {\"type\":\"tool-call-start\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}}}}\n\n",
    "data: {\"type\":\"tool-call-delta\",\"index\":0,\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":\"{}\"}}}}}\n\n",
    "data: {\"type\":\"citation-start\",\"delta\":{\"message\":{\"citations\":{\"start\":0,\"end\":1,\"sources\":[{\"type\":\"document\",\"id\":\"d\"}]}}}}\n\n",
    "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"tokens\":{\"input_tokens\":1,\"output_tokens\":2}}}}\n\n",
    "\"finish_reason\":\"ERROR\",",
    "\"embeddings\":{\"float\":[[1]]},",
    "\\ud800",
    "\r\n\r\n",
    "null",
    "[]",
    "{}",
];

fuzz!("cohere", WORDS, check);

static COMMAND: LazyLock<Snapshot> =
    LazyLock::new(|| snapshot("model: cohere_chat/command-a-03-2025, api_key: k"));

/// Checks that there are messages, each with a role that the format has.
fn check_messages(body: &Bytes) {
    // Numbers out of range pass unchanged, and have no value here.
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let Some(messages) = body["messages"].as_array() else { return };
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        assert!(["system", "user", "assistant", "tool"].contains(&role), "{body}");
        assert_eq!(role == "tool", message["tool_call_id"].is_string(), "{body}");
    }
}

fn check(input: &[u8]) -> (usize, usize, bool, bool) {
    let body = Bytes::copy_from_slice(input);
    let mut requests = 0;
    for operation in [Operation::Chat, Operation::Messages] {
        let all = sent(&COMMAND, operation, body.clone());
        all.iter().for_each(check_messages);
        requests += all.len();
    }
    let embeddings = sent(&COMMAND, Operation::Embedding, body.clone()).len();
    let wire = WireFormat::Cohere;
    let answers = [Operation::Chat, Operation::Messages, Operation::Embedding];
    let has_answer = answers.map(|operation| is_answer(Conversion { operation, wire }, &body));
    let ways = [Operation::Chat, Operation::Messages, Operation::Responses];
    let complete = ways.map(|operation| is_complete(Conversion { operation, wire }, input));
    (requests, embeddings, has_answer.contains(&true), complete.contains(&true))
}
