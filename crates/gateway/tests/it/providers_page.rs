//! What each provider with a format of its own serves of what clients ask: every cell of the table in `docs/providers.md`.
//!
//! Always true: the table is what a gateway did with a request for each cell, and what the tables of providers and of operations say.

use std::fmt::Write as _;
use std::fs;

use hale_core::operation::{Answer, Carries, Operation, Streaming};
use hale_core::provider::{self, WireFormat};
use hale_testkit::{
    FakeUpstream, Hale, Request, Script, anthropic, bedrock, cohere, gemini, ollama,
};
use serde_json::{Value, json};

use crate::sessions::with;
use crate::support::{Config, client};
use crate::tidy;

/// A way to call a provider, and its models by mode.
struct Way {
    name: &'static str,
    provider: &'static str,
    prefix: &'static str,
    models: [&'static str; 4],
}

const MODES: [&str; 4] = ["chat", "embedding", "image_generation", "rerank"];
/// Operations about stored objects, and those of forms, which no provider here has.
const ELSEWHERE: [&str; 2] = ["batches", "audio_speech"];
/// What ends a stream that is complete, in each format.
const ENDS: [&str; 4] =
    ["[DONE]", "\"message_stop\"", "\"response.completed\"", "\"finishReason\":"];
const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

const WAYS: [Way; 8] = [
    Way {
        name: "`anthropic`",
        provider: "anthropic",
        prefix: "anthropic",
        models: ["claude-sonnet-4-5"; 4],
    },
    Way {
        name: "`bedrock`",
        provider: "bedrock",
        prefix: "bedrock",
        models: [
            "us.amazon.nova-pro-v1:0",
            "amazon.titan-embed-text-v2:0",
            "amazon.nova-canvas-v1:0",
            "cohere.rerank-v3-5:0",
        ],
    },
    Way {
        name: "`bedrock/invoke`, Claude",
        provider: "bedrock",
        prefix: "bedrock/invoke",
        models: [
            CLAUDE,
            "amazon.titan-embed-text-v1",
            "amazon.titan-image-generator-v2:0",
            "amazon.rerank-v1:0",
        ],
    },
    Way {
        name: "`cohere`",
        provider: "cohere",
        prefix: "cohere",
        models: ["command-a-03-2025", "embed-v4.0", "command-a-03-2025", "rerank-v3.5"],
    },
    Way {
        name: "`gemini`",
        provider: "gemini",
        prefix: "gemini",
        models: [
            "gemini-2.5-flash",
            "gemini-embedding-001",
            "imagen-4.0-generate-001",
            "gemini-2.5-flash",
        ],
    },
    Way {
        name: "`ollama`",
        provider: "ollama",
        prefix: "ollama",
        models: ["llama3.1:8b", "nomic-embed-text", "llama3.1:8b", "llama3.1:8b"],
    },
    Way {
        name: "`vertex_ai`, Gemini",
        provider: "vertex_ai",
        prefix: "vertex_ai",
        models: [
            "gemini-2.5-flash",
            "text-embedding-005",
            "imagen-4.0-generate-001",
            "gemini-2.5-flash",
        ],
    },
    Way {
        name: "`vertex_ai`, Claude",
        provider: "vertex_ai",
        prefix: "vertex_ai",
        models: [
            "claude-sonnet-4@20250514",
            "text-embedding-005",
            "imagen-4.0-generate-001",
            "gemini-2.5-flash",
        ],
    },
];

/// All providers at once: a path says whose it is.
fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    let is_of = |part: &str| path.contains(part);
    if path.ends_with("/count-tokens:rawPredict") {
        return Script::ok().json(&json!({"input_tokens": 42}));
    }
    if is_of("RawPredict") || is_of(":rawPredict") || is_of("/v1/messages") {
        return claude(request, path);
    }
    if is_of(":predict") && is_of("text-embedding") {
        let one = json!({"embeddings": {"values": [0.5, 1], "statistics": {"token_count": 3}}});
        return Script::ok().json(&json!({"predictions": [one]}));
    }
    if is_of(":embedContent") {
        return Script::ok().json(&json!({"embedding": {"values": [0.5, 1]}}));
    }
    if is_of("/models/") && is_of(":") {
        return gemini::answer_to_any_key(request);
    }
    if is_of("/api/") {
        return ollama::answer(request);
    }
    if is_of("/v2/") || path == "/v1/rerank" {
        return cohere::answer_to_any_key(request);
    }
    if is_of("/v1/completions") {
        return Script::answer(request);
    }
    bedrock::answer(request)
}

fn claude(request: &Request, path: &str) -> Script {
    if path.ends_with("/count_tokens") {
        return Script::ok().json(&json!({"input_tokens": 42}));
    }
    match request.json()["stream"] == true || path.contains("stream") {
        true => anthropic::stream(&anthropic::events("claude", &["Hello"])),
        false => Script::ok().json(&anthropic::message("claude", "Hello")),
    }
}

fn start(way: &Way, upstream: &FakeUpstream) -> Hale {
    let mut config = Config::new();
    for (mode, model) in MODES.into_iter().zip(way.models) {
        let more = match way.provider {
            "bedrock" => {
                json!({"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret-of-aws",
                "aws_region_name": "eu-central-1"})
            }
            "vertex_ai" => json!({"api_key": "k", "vertex_location": "europe-west4"}),
            _ => json!({"api_key": "k"}),
        };
        let model = format!("{}/{model}", way.prefix);
        let params = with(json!({"model": model, "api_base": upstream.url()}), more);
        config = config.entry(
            json!({"model_name": mode, "litellm_params": params, "model_info": {"mode": mode}}),
        );
    }
    config.start()
}

/// The mode of the models for `operation`.
fn mode_of(operation: Operation) -> &'static str {
    MODES.into_iter().find(|mode| *mode == operation.mode()).unwrap_or("chat")
}

/// The path of clients, as the page shows it.
fn path_of(operation: Operation) -> String {
    let path = operation.paths().iter().find(|path| path.starts_with("/v1"));
    path.or(operation.paths().first()).unwrap().replace("{}", "MODEL")
}

/// A request of Google's clients.
fn of_google(operation: Operation) -> Value {
    let content = json!({"role": "user", "parts": [{"text": "hi"}]});
    match operation.name() {
        "embed_content" => json!({"content": content}),
        "embed_contents" => {
            json!({"requests": [{"model": "models/embedding", "content": content}]})
        }
        _ => json!({"contents": [content]}),
    }
}

/// A request for `operation`.
fn body(operation: Operation, streamed: bool) -> Value {
    if operation.format() == WireFormat::Gemini {
        return of_google(operation);
    }
    let mode = mode_of(operation);
    let messages = json!([{"role": "user", "content": "hi"}]);
    let field = |name: &str| match name {
        "messages" => messages.clone(),
        "max_tokens" => json!(9),
        "documents" => json!(["a", "b"]),
        "document" => json!({"type": "document_url", "document_url": "https://x.example/a.pdf"}),
        _ => json!("hi"),
    };
    let mut body = json!({"model": mode});
    let needed = operation.required_fields().iter().chain(operation.one_of().first());
    for name in needed {
        body[*name] = field(name);
    }
    if operation.name() == "responses_input_tokens" {
        body["input"] = json!("hi");
    }
    if streamed {
        body["stream"] = json!(true);
    }
    body
}

/// The operations that clients of models have, but for those about stored objects and those with forms or sockets.
fn operations() -> impl Iterator<Item = Operation> {
    Operation::ALL.into_iter().filter(|operation| {
        let is_of_clients = !operation.paths().is_empty() && !operation.is_passed_through();
        let is_json = operation.carries() == Carries::Json && operation.answer() == Answer::Json;
        is_of_clients && is_json && !operation.is_by_id() && !ELSEWHERE.contains(&operation.name())
    })
}

fn may_stream(operation: Operation) -> bool {
    match operation.streaming() {
        Streaming::Never | Streaming::Refused => false,
        Streaming::ByPath
        | Streaming::WithUsage
        | Streaming::UsageOnRequest
        | Streaming::Optional => true,
    }
}

/// What the gateway makes of a request for `operation`: one word for the table.
fn cell(hale: &Hale, upstream: &FakeUpstream, operation: Operation) -> &'static str {
    let path = path_of(operation);
    let asked = |streamed: bool| {
        let before = upstream.requests().len();
        let whole = path.replace("MODEL", mode_of(operation));
        let path = match operation.streaming() == Streaming::ByPath && streamed {
            true => whole.replace(":generate", ":streamGenerate") + "?alt=sse",
            false => whole,
        };
        let answer = client(hale).post_json(&path, &[], &body(operation, streamed));
        let text = answer.text();
        let is_whole = match streamed {
            true => ENDS.iter().any(|end| text.contains(end)),
            false => text.contains(&format!("\"{}\":", operation.content_field())),
        };
        assert_eq!(answer.status == 200, is_whole, "{path} {streamed}: {} {text}", answer.status);
        // A deployment of a mode that its provider lacks is named when the config is read.
        let is_named = answer.status == 503 && text.contains("misconfigured");
        assert!(
            is_named || [200, 400].contains(&answer.status),
            "{path}: {} {text}",
            answer.status
        );
        (answer.status == 200, upstream.requests().len() > before)
    };
    let (is_served, is_called) = asked(false);
    let is_streamed = may_stream(operation) && asked(true).0;
    assert!(is_served || !is_streamed, "{path} is served streamed alone");
    match (is_served, is_streamed, is_called) {
        (false, ..) => "\u{2014}",
        (true, _, false) => "counted here",
        (true, true, true) => "whole, streamed",
        (true, false, true) => "whole",
    }
}

fn table() -> String {
    let mut rows: Vec<(Operation, Vec<&'static str>)> =
        operations().map(|operation| (operation, Vec::new())).collect();
    for way in &WAYS {
        let upstream = FakeUpstream::with(answer);
        let hale = start(way, &upstream);
        let provider = provider::lookup(way.provider).unwrap();
        for (operation, cells) in &mut rows {
            let found = cell(&hale, &upstream, *operation);
            let is_served = found != "\u{2014}";
            assert_eq!(is_served, provider.serves(*operation), "{} {operation:?}", way.name);
            cells.push(found);
        }
    }
    let names: Vec<&str> = WAYS.iter().map(|way| way.name).collect();
    let mut table = format!("| request of the client | {} |\n", names.join(" | "));
    writeln!(table, "|{}", " --- |".repeat(WAYS.len() + 1)).unwrap();
    for (operation, cells) in
        rows.iter().filter(|(_, cells)| cells.iter().any(|it| *it != "\u{2014}"))
    {
        let path = path_of(*operation);
        writeln!(table, "| `{path}` | {} |", cells.join(" | ")).unwrap();
    }
    table
}

#[test]
fn each_cell_of_the_table_is_what_the_gateway_does() {
    let file = tidy::root().join("docs/providers.md");
    let found = fs::read_to_string(&file).unwrap();
    let (begin, end) = ("<!-- begin served -->\n", "<!-- end served -->");
    let (before, tail) = found.split_once(begin).unwrap();
    let (_, after) = tail.split_once(end).unwrap();
    let page = format!("{before}{begin}{}{end}{after}", table());
    if std::env::var_os("HALE_BLESS").is_some() {
        fs::write(&file, &page).unwrap();
    }
    assert!(
        found == page || std::env::var_os("HALE_BLESS").is_some(),
        "docs/providers.md is not up to date; run this test with HALE_BLESS=1"
    );
}
