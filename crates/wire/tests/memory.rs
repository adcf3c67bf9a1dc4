//! What a request may cost in memory: every field that the formats know, in every shape, for every operation.
//!
//! Always true: the fields are those that stand in the sources, and the operations those of the table, so that a new one
//! is measured without a change here. One test at a time: the allocator counts for the whole process.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hale_core::deployment::{
    Credential, Deployment, DeploymentIndex, Display, Routing, UpstreamEndpoint,
};
use hale_core::group::GroupIndex;
use hale_core::health::DeploymentState;
use hale_core::health::probe::ProbeRules;
use hale_core::operation::{Carries, Operation};
use hale_core::prices::ModelFacts;
use hale_core::provider;
use hale_core::route::TagWish;
use hale_testkit::shapes::{Shape, names_in, shapes};
use hale_wire::order::Order;
use hale_wire::peek::Peek;
use hale_wire::prepare::{Prepared, prepare};
use hale_wire::{controls, modes};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a body of that many bytes may take in all.
fn allowed(bytes: usize) -> usize {
    4 * bytes + (1 << 20)
}

fn deployment(provider: &str) -> Deployment {
    let defaults = [("temperature", "0.5"), ("max_tokens", "7"), ("user", "\"u\"")];
    Deployment {
        index: DeploymentIndex(0),
        id: Arc::from("d"),
        group: GroupIndex(0),
        endpoint: UpstreamEndpoint {
            provider: provider::lookup(provider).expect("it is in the table"),
            upstream_model: "up".into(),
            model_param: "x/up".into(),
            api_base: "http://127.0.0.1:1/v1".into(),
            azure: None,
            aws: None,
            vertex: None,
            default_params: defaults.map(|(name, value)| (name.into(), value.into())).into(),
            dropped_params: Vec::new(),
            rules: hale_core::deployment::BodyRules::default(),
            takes: Some(hale_core::takes::Takes::default()),
            is_for_responses: false,
            mock: None,
        },
        credential: Credential::default(),
        routing: Routing::default(),
        probing: ProbeRules::default(),
        facts: ModelFacts::default(),
        display: Display::default(),
        misconfigured: None,
        state: Arc::new(DeploymentState::default()),
    }
}

/// Does all that is done with a body before it is sent.
fn serve(operation: Operation, read: Option<Peek>, deployments: &[Deployment]) {
    let Some(peek) = read else { return };
    for field in ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"] {
        drop(controls::fallbacks(&peek, field));
    }
    drop(controls::tags(&peek, &mut TagWish::default(), ""));
    let _needs = controls::needs(&peek, operation.format(), controls::Length::Measured);
    let _units = modes::units::requested(operation, &peek);
    let _form = modes::transcripts::wants_text(operation, &peek);
    let _checked = modes::bytes::check_request(operation, &peek);
    let peek = controls::overridden(&peek, 0).unwrap_or(peek);
    for deployment in deployments {
        for drop_params in [false, true] {
            let order = Order {
                deployment,
                operation,
                upstream_model: "up",
                kept: None,
                client_version: None,
                ask_usage: drop_params,
                drop_params,
                known: hale_core::health::Known::default(),
                prefix: None,
                seals: None,
                fetched: None,
                client_betas: None,
            };
            if let Ok(Prepared::Count(count)) = prepare(&peek, &order) {
                drop(count.estimate());
            }
        }
    }
}

/// The most that is allocated while the body is served, itself included.
fn cost(operation: Operation, body: Vec<u8>, deployments: &[Deployment]) -> usize {
    let before = MEMORY.current_usage() - body.capacity();
    let body = Bytes::from(body);
    MEMORY.reset_peak_usage();
    let read = match operation.carries() {
        Carries::Form => Peek::of_form(body, "multipart/form-data; boundary=b").ok(),
        Carries::Json | Carries::Nothing | Carries::Anything => Peek::parse(body).ok(),
    };
    serve(operation, read, deployments);
    MEMORY.peak_usage() - before
}

/// A request whose `field` holds `value`, with the other fields that it needs.
fn request(operation: Operation, field: &str, value: &str) -> Vec<u8> {
    let others: BTreeSet<&str> =
        operation.required_fields().iter().chain(operation.one_of()).copied().collect();
    let others = others.into_iter().filter(|other| *other != field);
    if operation.carries() == Carries::Form {
        let part = |name: &str, more: &str, value: &str| {
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n"
            )
        };
        let parts = others.map(|name| match name {
            "purpose" => part(name, "", "batch"),
            _ => part(name, "; filename=\"f\"", "x"),
        });
        let own = match field {
            "file" | "image" => part(field, "; filename=\"f\"", value),
            _ => part(field, "", value),
        };
        return (parts.collect::<String>() + &own + "--b--\r\n").into_bytes();
    }
    let members = others.map(|name| match name {
        "messages" => r#""messages":[{"role":"user","content":"hi"}]"#.to_owned(),
        "max_tokens" => r#""max_tokens":9"#.to_owned(),
        _ => format!("\"{name}\":\"x\""),
    });
    let model = (field != "model").then(|| "\"model\":\"m\"".to_owned());
    let own = format!("\"{field}\":{value}");
    let all: Vec<String> = model.into_iter().chain(members).chain([own]).collect();
    format!("{{{}}}", all.join(",")).into_bytes()
}

/// A number for a case, always the same one.
fn lot(case: (&str, &str, &str)) -> u64 {
    let mut hasher = DefaultHasher::new();
    case.hash(&mut hasher);
    hasher.finish()
}

/// Which cases are measured.
struct Sample {
    /// One of so many about fields that every operation has.
    one_in: u64,
    /// One of so many about fields that hold the content.
    one_in_content: u64,
    /// For how many of the providers each is prepared.
    providers: usize,
}

/// Measures bodies of that many bytes.
fn measure(bytes: usize, sample: &Sample) {
    let deployments =
        ["openai", "anthropic", "cohere", "deepseek", "gemini", "ollama"].map(deployment);
    let names = names_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(names.contains("messages") && names.contains("stop_sequences"), "{names:?}");
    let shapes = shapes();
    let (mut cases, mut worst) = (0, Vec::new());
    for operation in Operation::ALL.into_iter().filter(|it| it.carries() != Carries::Nothing) {
        let content = ["messages", "system", "tools", "input", "prompt", "metadata", "document"];
        let own = operation.required_fields().iter().chain(operation.one_of());
        let content: BTreeSet<&str> = own.copied().chain(content).collect();
        for name in names.iter().map(String::as_str).chain(["unknown", "mod\\u0065l\\u0020"]) {
            let is_content = content.contains(name);
            let one_in = if is_content { sample.one_in_content } else { sample.one_in };
            for shape in &shapes {
                let lot = lot((operation.name(), name, &shape.name));
                if lot.is_multiple_of(one_in) {
                    cases += 1;
                    let first =
                        (lot / one_in) as usize % (deployments.len() + 1 - sample.providers);
                    let targets = &deployments[first..][..sample.providers];
                    worst.extend(excess(operation, (name, shape), bytes, targets));
                }
            }
        }
    }
    assert!(cases > 0, "nothing was measured");
    worst.sort_by(|one, other| other.0.total_cmp(&one.0));
    worst.truncate(40);
    let lines = worst.iter().map(|(factor, what)| format!("{factor:6.1} {what}\n"));
    assert!(worst.is_empty(), "times the body, in:\n{}", lines.collect::<String>());
}

/// The factor and the case, if it costs more than is allowed.
fn excess(
    operation: Operation,
    (name, shape): (&str, &Shape),
    bytes: usize,
    deployments: &[Deployment],
) -> Option<(f64, String)> {
    let body = request(operation, name, &(shape.make)(bytes));
    let length = body.len();
    let cost = cost(operation, body, deployments);
    #[allow(clippy::cast_precision_loss, reason = "a factor for people")]
    let factor = cost as f64 / length as f64;
    let what =
        format!("{} {name}: {} ({length} bytes, {cost} taken)", operation.name(), shape.name);
    (cost > allowed(length)).then_some((factor, what))
}

/// Bodies whose members, keys and parts are many.
fn crowds(bytes: usize) {
    let deployments = ["openai", "anthropic"].map(deployment);
    let crowd = |member: fn(usize) -> String| {
        let all: Vec<String> = (0..9_000.min(bytes / 12)).map(member).collect();
        format!("{{\"model\":\"m\",\"max_tokens\":1,\"messages\":[1],{}}}", all.join(","))
    };
    for body in [crowd(|i| format!("\"k{i}\":0")), crowd(|i| format!("\"\\u006b{i}\":[]"))] {
        for operation in [Operation::Chat, Operation::Messages, Operation::Responses] {
            let length = body.len();
            let cost = cost(operation, body.clone().into_bytes(), &deployments);
            assert!(cost <= allowed(length), "{operation:?}: {length} bytes, {cost} taken");
        }
    }
    let part = |i: usize, text: &str| {
        format!("--b\r\nContent-Disposition: form-data; name=\"p{i}\"\r\n\r\n{text}\r\n")
    };
    for text in ["a".repeat(bytes / 1_000), "\u{1}".repeat(bytes / 1_000)] {
        let parts: String = (0..990).map(|i| part(i, &text)).collect();
        let body = (parts + "--b--\r\n").into_bytes();
        let length = body.len();
        let cost = cost(Operation::EditImage, body, &deployments);
        assert!(cost <= allowed(length), "a form: {length} bytes, {cost} taken");
    }
}

/// So many bytes of `item`, again and again.
fn filled(item: &str, bytes: usize) -> String {
    vec![item; bytes / item.len()].join(",")
}

/// Schemas that are rewritten.
fn schemas(bytes: usize) -> [String; 6] {
    let fill = |item: &str| filled(item, bytes);
    [
        format!("{{\"anyOf\":[{}]}}", fill("{\"type\":\"object\"}")),
        format!(
            "{{\"type\":\"object\",\"properties\":{{\"a\":{{\"enum\":[{}]}}}}}}",
            fill("\"\\\\\"")
        ),
        format!("{{\"type\":\"object\",\"pattern\":[{}]}}", fill("\"\\\\\"")),
        format!("{{\"oneOf\":[{}]}}", fill("{\"properties\":{\"a\":{}}}")),
        format!(
            "{{\"$ref\":\"#/$defs/a\",\"$defs\":{{{}}}}}",
            fill("\"a\":{\"$ref\":\"#/$defs/a\"}")
        ),
        format!("{{\"type\":\"object\",\"properties\":{{{}}}}}", fill("\"a\":{}")),
    ]
}

/// An id of a call that no provider takes.
fn long_id() -> String {
    "a:".repeat(32 << 10)
}

/// A turn of Anthropic's format with a call.
fn used(id: &str) -> String {
    format!(
        "{{\"role\":\"assistant\",\"content\":[{{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"\"}},{{\"type\":\"tool_use\",\"id\":\"{id}\",\"name\":\"f.g\",\"input\":{{}}}}]}}"
    )
}

/// Chats with schemas, and with histories of calls and reasoning.
fn chats(bytes: usize, schemas: &[String]) -> Vec<String> {
    let fill = |item: &str| filled(item, bytes);
    let long = long_id();
    let call = |id: &str| {
        format!(
            "{{\"role\":\"assistant\",\"reasoning_content\":\"hm\",\"thinking_blocks\":[{{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"}}],\"tool_calls\":[{{\"id\":\"{id}\",\"function\":{{\"name\":\"f.g\",\"arguments\":\"{{}}\"}}}}]}}"
        )
    };
    let chats = schemas.iter().flat_map(|schema| {
        let format = format!("\"response_format\":{{\"type\":\"json_schema\",\"json_schema\":{{\"name\":\"n\",\"schema\":{schema}}}}}");
        let tool = |strict| format!("\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"f\",\"strict\":{strict},\"parameters\":{schema}}}}}]");
        [format, tool(true), tool(false)].map(|more| format!("\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],{more}"))
    });
    let chats = chats.chain(
        ["c", &long]
            .map(|id| format!("\"reasoning_effort\":\"low\",\"messages\":[{}]", fill(&call(id)))),
    );
    let turns = "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\"}]},{\"role\":\"tool\"},{\"role\":\"user\"}";
    let chats = chats.chain([format!("\"messages\":[{}]", fill(turns))]);
    chats.collect()
}

/// The same for messages.
fn messages(bytes: usize, schemas: &[String]) -> Vec<String> {
    let fill = |item: &str| filled(item, bytes);
    let long = long_id();
    let given = schemas.iter().flat_map(|schema| {
        let format = format!(
            "\"output_config\":{{\"format\":{{\"type\":\"json_schema\",\"schema\":{schema}}}}}"
        );
        let tool =
            format!("\"tools\":[{{\"name\":\"f\",\"strict\":true,\"input_schema\":{schema}}}]");
        [format, tool]
            .map(|more| format!("\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}],{more}"))
    });
    let given = given.chain(["c", &long].map(|id| {
        format!(
            "\"thinking\":{{\"type\":\"enabled\",\"budget_tokens\":9}},\"messages\":[{}]",
            fill(&used(id))
        )
    }));
    given.collect()
}

/// Counts of messages, which pass to the wire whose they are.
fn counts(bytes: usize) -> Vec<String> {
    let fill = |item: &str| filled(item, bytes);
    let open_calls = [
        used("c:0"),
        "{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"a\"}]}".to_owned(),
        format!(
            "{{\"role\":\"assistant\",\"content\":[{}]}}",
            fill("{\"type\":\"tool_use\",\"id\":\"a\"}")
        ),
        format!(
            "{{\"role\":\"user\",\"content\":[{{\"type\":\"thinking\"}},{}]}}",
            fill("{\"type\":\"text\",\"text\":\"\"}")
        ),
    ];
    let passed = open_calls.map(|turn| {
        let turns = if turn.len() < 1_000 { fill(&turn) } else { turn };
        format!("\"messages\":[{turns}]")
    });
    passed.to_vec()
}

/// Bodies that are rewritten: schemas, and histories with calls and reasoning.
fn rewritten(bytes: usize) {
    let (open, closed) = (["openai", "mistral"], ["anthropic", "mistral"]);
    let (open, closed) = (open.map(deployment), closed.map(deployment));
    let schemas = schemas(bytes);
    let of = |operation, bodies: Vec<String>| bodies.into_iter().map(move |body| (operation, body));
    let all = of(Operation::Chat, chats(bytes, &schemas))
        .chain(of(Operation::Messages, messages(bytes, &schemas)))
        .chain(of(Operation::CountTokens, counts(bytes)));
    for (operation, body) in all {
        let body = format!("{{\"model\":\"m\",\"max_tokens\":9,{body}}}").into_bytes();
        let (length, start) = (body.len(), String::from_utf8_lossy(&body[..120]).into_owned());
        let deployments = match operation {
            Operation::Messages => &open[..],
            Operation::CountTokens => &closed[..1],
            _ => &closed[..],
        };
        for deployment in deployments {
            let cost = cost(operation, body.clone(), std::slice::from_ref(deployment));
            let name = &deployment.endpoint.provider.name;
            assert!(
                cost <= allowed(length),
                "{operation:?} at {name}: {length} bytes, {cost} taken: {start}"
            );
        }
    }
}

/// Embeddings with long settings, which are copied, and with settings that are said again for each text.
fn embeddings(bytes: usize) {
    let long = format!("\"{}\"", "t".repeat(bytes));
    let texts = filled("\"a\"", 12_000);
    let fields = ["options", "mirostat_eta", "truncate", "keep_alive", "title", "task_type"];
    for provider in ["cohere", "gemini", "mistral", "ollama", "openai"] {
        let deployment = [deployment(provider)];
        for (field, input) in fields.into_iter().flat_map(|it| [(it, "\"a\""), (it, &*texts)]) {
            let value = if field == "options" { format!("{{\"a\":{long}}}") } else { long.clone() };
            let input = if input.len() > 3 { format!("[{input}]") } else { input.to_owned() };
            let body = format!("{{\"model\":\"m\",\"input\":{input},\"{field}\":{value}}}");
            let length = body.len();
            let cost = cost(Operation::Embedding, body.into_bytes(), &deployment);
            assert!(cost <= allowed(length), "{field} at {provider}: {length} bytes, {cost} taken");
        }
    }
}

/// Never two tests at one time.
#[test]
fn no_field_costs_more_than_four_times_its_size() {
    crowds(256 << 10);
    embeddings(1 << 20);
    rewritten(1 << 20);
    measure(1 << 20, &Sample { one_in: 9_000, one_in_content: 360, providers: 1 });
}

#[test]
#[ignore = "takes minutes: every case, with larger bodies"]
fn no_field_of_a_large_body_costs_more_than_four_times_its_size() {
    crowds(4 << 20);
    embeddings(4 << 20);
    measure(2 << 20, &Sample { one_in: 97, one_in_content: 4, providers: 4 });
}
