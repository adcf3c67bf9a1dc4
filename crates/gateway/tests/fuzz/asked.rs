//! Requests of Google's clients and of responses, at providers of every wire, and what Google's clients get of their answers.
//!
//! An input is a request in either format, or an answer or a stream of any wire. What is sent is JSON, or the refusal says why
//! not; what a client gets is JSON, the same wherever a stream is cut, and as a list the same as in events.

use std::sync::LazyLock;

use bytes::Bytes;
use hale_core::config::{InMemory, Options, load};
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::provider::WireFormat;
use hale_core::snapshot::Snapshot;
use hale_wire::answer;
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Conversion, Prepared, prepare};
use hale_wire::stream::{Reader, View};
use serde_json::value::RawValue;

use crate::fuzz;

const WORDS: &[&str] = &[
    "{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]},",
    "{\"role\":\"model\",\"parts\":[{\"functionCall\":{\"name\":\"f\",\"args\":{}}}]},",
    "{\"parts\":[{\"function_response\":{\"name\":\"f\",\"response\":{\"output\":\"x\"}}}]},",
    "{\"thought\":true,\"text\":\"h\",\"thoughtSignature\":\"Y2xhdWRlOnM=\"},",
    "{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"AAAA\"}},",
    "{\"fileData\":{\"fileUri\":\"https://x/y.pdf\",\"mimeType\":\"application/pdf\"}},",
    "\"systemInstruction\":\"s\",",
    "\"generationConfig\":{\"topK\":1.0,\"maxOutputTokens\":\"7\",\"thinkingConfig\":{\"thinkingBudget\":-1}},",
    "\"responseSchema\":{\"type\":\"OBJECT\",\"nullable\":true,\"properties\":{}},",
    "\"tools\":[{\"functionDeclarations\":[{\"name\":\"f\",\"parameters\":{\"type\":\"OBJECT\"}}]},{\"googleSearch\":{}}],",
    "\"toolConfig\":{\"functionCallingConfig\":{\"mode\":\"ANY\",\"allowedFunctionNames\":[\"f\"]}},",
    "\"requests\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],",
    "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},",
    "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"x\"},",
    "{\"type\":\"custom_tool_call\",\"call_id\":\"c\",\"name\":\"p\",\"input\":\"*** Begin\"},",
    "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"hs1.AA\"},",
    "{\"type\":\"compaction\",\"encrypted_content\":\"x\"},",
    "{\"type\":\"namespace\",\"name\":\"n\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"}]},",
    "{\"type\":\"web_search\"},",
    "\"input\":\"hi\",",
    "\"finishReason\":\"STOP\",",
    "data: ",
    "\r\n\r\n",
    "\n\n",
    "\\ud800",
    "null",
    "[]",
    "{}",
];

fuzz!("asked", WORDS, check);

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let models = [
        "openai/gpt-4o",
        "deepseek/deepseek-reasoner",
        "anthropic/claude-sonnet-4-5",
        "gemini/gemini-3-pro-preview",
        "cohere/command-a-reasoning",
        "ollama_chat/qwen3",
    ];
    let entries = models.map(|model| {
        format!("- {{model_name: '{model}', litellm_params: {{model: '{model}', api_key: k}}}}\n")
    });
    let bedrock = "- {model_name: b, litellm_params: {model: bedrock/us.amazon.nova-pro-v1:0, aws_access_key_id: a, \
                   aws_secret_access_key: s, aws_region_name: eu-central-1}}\n";
    let yaml = format!("model_list:\n{}{bedrock}", entries.concat());
    let loaded = load(&InMemory::file("c.yaml", yaml.as_str()), "c.yaml", Options::default(), None);
    loaded.snapshot.expect("the config is valid")
});

/// Whether the request `body` to `operation` can be sent to that deployment.
fn is_sent(operation: Operation, deployment: &Deployment, body: &Bytes) -> bool {
    let Ok(peek) = Peek::parse(body.clone()) else { return false };
    let order = Order {
        deployment,
        operation,
        upstream_model: &deployment.endpoint.upstream_model,
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
        Ok(Prepared::Body(_, sent, _)) => {
            let sent = sent.joined();
            if let Err(error) = serde_json::from_slice::<&RawValue>(&sent) {
                panic!("{error}: {sent:?}");
            }
            true
        }
        Ok(
            Prepared::Estimate(_) | Prepared::Count(_) | Prepared::Several(..) | Prepared::Fetch(_),
        ) => true,
        Err(unfit) => {
            assert!(!unfit.message.is_empty(), "{unfit:?}");
            false
        }
    }
}

fn view() -> View {
    View { model_json: "\"shown\"".into(), show_usage: true, created: 7, ..View::default() }
}

/// What a client gets of a stream in these pieces, and whether it is complete.
fn streamed(reader: Reader, pieces: &[&[u8]]) -> (Vec<u8>, Option<String>, bool) {
    let (mut reader, mut out) = (reader, Vec::new());
    let read = pieces
        .iter()
        .try_for_each(|piece| reader.push(Bytes::copy_from_slice(piece), &mut out))
        .and_then(|()| reader.finish(&mut out));
    let is_complete = reader.is_complete();
    reader.close(&mut out);
    (out, read.err().map(|broken| broken.to_string()), is_complete)
}

fn check(input: &[u8]) -> (u32, bool, bool) {
    let body = Bytes::copy_from_slice(input);
    let mut sent = 0;
    for (at, deployment) in SNAPSHOT.deployments.iter().enumerate() {
        for (kind, operation) in [
            Operation::GenerateContent,
            Operation::Responses,
            Operation::CountContents,
            Operation::EmbedContents,
            Operation::EmbedContent,
        ]
        .into_iter()
        .enumerate()
        {
            if deployment.serves(operation) && is_sent(operation, deployment, &body) {
                sent |= 1 << (at * 4 + kind.min(3));
            }
        }
    }
    let (mut is_answer, mut is_complete) = (false, false);
    for wire in [
        WireFormat::OpenAi,
        WireFormat::Anthropic,
        WireFormat::Gemini,
        WireFormat::Cohere,
        WireFormat::Ollama,
        WireFormat::Responses,
    ] {
        let conversion = Conversion { operation: Operation::GenerateContent, wire };
        if let Ok(answer) = answer::check(conversion, &body, &view()) {
            is_answer = true;
            if let Err(error) = serde_json::from_slice::<&RawValue>(&answer.body) {
                panic!("{error}: {:?}", answer.body);
            }
        }
        let whole = streamed(Reader::new(conversion, view()), &[input]);
        let (first, second) = input.split_at(input.len() / 2);
        assert_eq!(streamed(Reader::new(conversion, view()), &[first, second]), whole);
        is_complete |= whole.2;
        let (list, why, _) = streamed(Reader::new(conversion, view()).in_list(), &[input]);
        if why.is_none() && whole.2 && wire != WireFormat::Gemini {
            let list: Vec<&RawValue> = serde_json::from_slice(&list)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&list)));
            let events = String::from_utf8_lossy(&whole.0);
            let lines = events.lines().filter_map(|line| line.strip_prefix("data: "));
            let lines: Vec<&str> = lines.collect();
            assert_eq!(list.iter().map(|one| one.get()).collect::<Vec<_>>(), lines);
        }
    }
    (sent, is_answer, is_complete)
}
