//! Bedrock's Converse: what a deployment gets of clients' requests, and what clients get of its answers and of its frames.
//!
//! An input is a request, an answer, bytes of a stream, or lines of which each is the kind and the payload of a frame: those are
//! framed with right checksums, so that mutations reach what reads the payloads. What is sent has turns that alternate, the first
//! one the user's, none of them empty.

use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::snapshot::Snapshot;
use hale_testkit::bedrock::framed;
use hale_wire::prepare::Conversion;
use serde_json::Value;

use crate::fuzz;
use crate::wires::{is_answer, is_complete, sent, snapshot};

const WORDS: &[&str] = &[
    "{\"role\":\"user\",\"content\":\"hi\"},",
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c d\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},",
    "{\"role\":\"tool\",\"tool_call_id\":\"c d\",\"content\":\"x\"},",
    "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}]},",
    "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":\"x\"}]},",
    "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"AA\"},",
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}},",
    "{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/pdf;base64,AAAA\",\"filename\":\"a.b.pdf\"}},",
    "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"},",
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"1.f\"}}],",
    "\"tool_choice\":\"none\",",
    "\"stop\":[\" \"],",
    "\"input\":[\"a\",\"b\"],",
    "\"documents\":[\"a\",{\"text\":\"b\"},{\"c\":1}],\"query\":\"q\",",
    "messageStart {\"role\":\"assistant\"}\n",
    "contentBlockStart {\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\"}}}\n",
    "contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"text\":\"x\"}}\n",
    "contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":\"{\"}}}\n",
    "contentBlockDelta {\"contentBlockIndex\":1,\"delta\":{\"reasoningContent\":{\"signature\":\"AA\"}}}\n",
    "contentBlockStop {\"contentBlockIndex\":0}\n",
    "messageStop {\"stopReason\":\"guardrail_intervened\"}\n",
    "metadata {\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}\n",
    "throttlingException {\"message\":\"m\"}\n",
    "chunk {\"bytes\":\"e30=\"}\n",
    "\"embedding\":[1],",
    "\"relevanceScore\":0.5,",
    "\"images\":[\"AA==\"],",
    "\\ud800",
    "null",
    "[]",
    "{}",
];

fuzz!("converse", WORDS, check);

const PARAMS: &str =
    "aws_access_key_id: a, aws_secret_access_key: s, aws_region_name: eu-central-1";
static CLAUDE: LazyLock<Snapshot> = LazyLock::new(|| {
    snapshot(&format!(
        "model: bedrock/converse/anthropic.claude-sonnet-4-5-20250929-v1:0, {PARAMS}"
    ))
});
static TITAN: LazyLock<Snapshot> =
    LazyLock::new(|| snapshot(&format!("model: bedrock/amazon.titan-embed-text-v2:0, {PARAMS}")));

/// Checks that the turns alternate, the first one the user's, and none is empty.
fn check_turns(body: &Bytes) {
    // Numbers out of range pass unchanged, and have no value here.
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
    let Some(messages) = body["messages"].as_array() else { return };
    assert!(!messages.is_empty(), "{body}");
    for (at, message) in messages.iter().enumerate() {
        let author = if at % 2 == 0 { "user" } else { "assistant" };
        assert_eq!(message["role"], author, "{body}");
        assert!(message["content"].as_array().is_some_and(|blocks| !blocks.is_empty()), "{body}");
    }
}

/// A stream of frames, one for each line.
fn frames(input: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(input);
    let mut stream = Vec::new();
    for line in text.lines() {
        let (kind, payload) = line.split_once(' ').unwrap_or((line, ""));
        let kind: String = kind.chars().take(60).collect();
        let (name, message) = match kind.ends_with("Exception") {
            true => (":exception-type", "exception"),
            false => (":event-type", "event"),
        };
        let headers =
            [(name, &*kind), (":content-type", "application/json"), (":message-type", message)];
        stream.extend_from_slice(&framed(&headers, payload.as_bytes()));
    }
    stream
}

fn check(input: &[u8]) -> (usize, usize, usize, bool, bool, bool) {
    let body = Bytes::copy_from_slice(input);
    let mut requests = 0;
    for operation in [Operation::Chat, Operation::Messages, Operation::CountTokens] {
        let all = sent(&CLAUDE, operation, body.clone());
        all.iter().for_each(check_turns);
        requests += all.len();
    }
    let ranks = sent(&CLAUDE, Operation::Rerank, body.clone()).len();
    let embeddings = sent(&TITAN, Operation::Embedding, body.clone()).len().min(4);
    let wire = WireFormat::Converse;
    let answers = [
        Operation::Chat,
        Operation::Messages,
        Operation::Embedding,
        Operation::Rerank,
        Operation::GenerateImage,
        Operation::CountTokens,
    ];
    let has_answer = answers.map(|operation| is_answer(Conversion { operation, wire }, &body));
    let framed = frames(input);
    let (mut raw, mut complete) = (false, false);
    for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
        raw |= is_complete(Conversion { operation, wire }, input);
        complete |= is_complete(Conversion { operation, wire }, &framed);
    }
    (requests, ranks, embeddings, has_answer.contains(&true), raw, complete)
}
