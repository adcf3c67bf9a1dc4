//! Addresses in requests of each client towards each provider that needs the data.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hale_core::aws::{Aws, Route};
use hale_core::deployment::Deployment;
use hale_core::operation::Operation;
use hale_core::vertex::Vertex;
use serde_json::{Value, json};

use super::*;
use crate::conversion::prepare::{Prepared, prepare};
use crate::fixture::{deployment, order};
use crate::formats::fetched::Data;

const CAT: &str = "https://x.example/cat";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n123";

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A chat that shows what is at the address, twice in messages and once as a result.
fn chat(address: &str) -> Value {
    let image = json!({"type": "image_url", "image_url": {"url": address}});
    let file = json!({"type": "file", "file": {"file_data": format!("{address}.pdf"), "filename": "a.pdf"}});
    json!({"model": "m", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "see"}, image, file]},
        {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": [image]},
    ]})
}

fn messages(address: &str) -> Value {
    let source = |end: &str| json!({"type": "url", "url": format!("{address}{end}")});
    let image = json!({"type": "image", "source": source("")});
    json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "see"}, image, {"type": "document", "source": source(".pdf")}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [image]}]},
    ]})
}

fn responses(address: &str) -> Value {
    json!({"model": "m", "input": [
        {"type": "message", "role": "user", "content": [
            {"type": "input_image", "image_url": address},
            {"type": "input_file", "file_url": format!("{address}.pdf")}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [
            {"type": "input_image", "image_url": address}]},
    ]})
}

fn found(all: &[(&str, &[u8], &str)]) -> Fetched {
    let mut fetched = Fetched::default();
    for (address, bytes, label) in all {
        fetched.put((*address).into(), Data::of(bytes, Some(label)));
    }
    fetched
}

fn made(body: &Value, order: &Order<'_>) -> Result<Prepared, Unfit> {
    prepare(&Peek::parse(body.to_string().into()).unwrap(), order)
}

fn text(prepared: Prepared) -> String {
    match prepared {
        Prepared::Body(_, body, _) => String::from_utf8(body.joined().to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A deployment of that provider for `model`.
fn of(provider: &str, model: &str) -> Deployment {
    let mut made = deployment(provider);
    made.endpoint.upstream_model = model.into();
    made
}

fn at_bedrock(model: &str, route: Route) -> Deployment {
    let mut made = of("bedrock", model);
    let region = "us-east-1".into();
    made.endpoint.aws = Some(Aws { region, model_id: None, route, source: None });
    made
}

fn at_vertex(model: &str) -> Deployment {
    let mut made = of("vertex_ai", model);
    let vertex = Vertex { project: Some("p".into()), location: "us-east5".into(), source: None };
    made.endpoint.vertex = Some(vertex);
    made
}

fn clouds() -> [Deployment; 5] {
    const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
    [
        at_bedrock(CLAUDE, Route::Converse),
        at_bedrock(CLAUDE, Route::Invoke),
        at_vertex("claude-sonnet-4"),
        of("gemini", "gemini-2.5-flash"),
        at_vertex("gemini-2.5-flash"),
    ]
}

#[test]
fn every_client_gets_the_data_to_every_provider_that_needs_it() {
    let pdf_at = format!("{CAT}.pdf");
    let fetched = found(&[(CAT, PNG, "image/jpeg"), (&pdf_at, b"%PDF-1", "application/pdf")]);
    for to in clouds() {
        let model = to.endpoint.upstream_model.clone();
        for (operation, body) in [
            (Operation::Chat, chat(CAT)),
            (Operation::Messages, messages(CAT)),
            (Operation::Responses, responses(CAT)),
        ] {
            let at = format!("{operation:?} to {model}");
            let empty = Fetched::default();
            let before = Order { fetched: Some(&empty), ..order(&to, operation, &model) };
            let Prepared::Fetch(wanted) = made(&body, &before).unwrap() else { panic!("{at}") };
            assert_eq!(&*wanted[0], CAT, "{at}");
            let with = Order { fetched: Some(&fetched), ..before };
            let sent = text(made(&body, &with).unwrap());
            assert_eq!(sent.matches(&base64(PNG)).count(), 2, "{at}: {sent}");
            assert!(sent.contains("png") && !sent.contains("image/jpeg"), "{at}: {sent}");
            let reads_names = to.endpoint.vertex.is_some() && model.contains("gemini");
            assert_eq!(wanted.len(), if reads_names { 1 } else { 2 }, "{at}");
            let is_there = sent.contains(&base64(b"%PDF-1"));
            assert_ne!(is_there, reads_names, "{at}: {sent}");
            assert_eq!(sent.contains("x.example"), reads_names, "{at}: {sent}");
        }
    }
}

#[test]
fn at_ollama_images_are_data_and_texts_are_words() {
    let to = of("ollama", "llava");
    let text_at = format!("{CAT}.pdf");
    let fetched = found(&[(CAT, PNG, ""), (&text_at, b"words", "text/plain")]);
    let with = Order { fetched: Some(&fetched), ..order(&to, Operation::Chat, "llava") };
    let sent: Value = serde_json::from_str(&text(made(&chat(CAT), &with).unwrap())).unwrap();
    assert_eq!(sent["messages"][0]["images"], json!([base64(PNG)]));
    assert_eq!(sent["messages"][0]["content"], "see\na.pdf\nwords");
    assert_eq!(sent["messages"][2]["images"], json!([base64(PNG)]));
}

#[test]
fn what_is_not_there_is_refused_with_the_place_of_its_address() {
    let mut fetched = found(&[(CAT, b"<html>", "text/html")]);
    let pdf_at = format!("{CAT}.pdf");
    fetched.put(pdf_at.into(), Err("it is too large".to_owned()));
    for (operation, body, field) in [
        (Operation::Chat, chat(CAT), "messages[0].content[1].image_url.url"),
        (Operation::Messages, messages(CAT), "messages[0].content[1].source.url"),
        (Operation::Responses, responses(CAT), "input[0].content[0].image_url"),
    ] {
        for to in clouds() {
            let model = to.endpoint.upstream_model.clone();
            let with = Order { fetched: Some(&fetched), ..order(&to, operation, &model) };
            let why = made(&body, &with).unwrap_err();
            assert_eq!(why.field, field, "{model}");
            assert!(why.message.contains("is a text (text/html), not an image"), "{why}");
        }
    }
    fetched.put(CAT.into(), Data::of(PNG, None));
    let to = &clouds()[0];
    let with = Order { fetched: Some(&fetched), ..order(to, Operation::Chat, "anthropic.claude") };
    let why = made(&chat(CAT), &with).unwrap_err();
    assert_eq!(why.field, "messages[0].content[2].file.file_data");
    assert_eq!(
        why.message,
        "`messages[0].content[2].file.file_data` cannot be read: it is too large"
    );
}

#[test]
fn addresses_that_a_provider_reads_and_those_of_a_closed_door_stay() {
    let empty = Fetched::default();
    for (to, address) in [
        (of("openai", "gpt-4o"), CAT),
        (of("anthropic", "claude-sonnet-4"), CAT),
        (of("gemini", "gemini-2.5-flash"), "https://youtu.be/x"),
        (
            of("gemini", "gemini-2.5-flash"),
            "https://generativelanguage.googleapis.com/v1beta/files/x",
        ),
        (at_vertex("gemini-2.5-flash"), "https://x.example/cat.png"),
        (at_bedrock("us.amazon.nova-pro-v1:0", Route::Converse), "s3://bucket/cat.png"),
    ] {
        let model = to.endpoint.upstream_model.clone();
        let with = Order { fetched: Some(&empty), ..order(&to, Operation::Chat, &model) };
        let image = json!({"type": "image_url", "image_url": {"url": address}});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [image]}]});
        assert!(text(made(&body, &with).unwrap()).contains(address), "{model}");
    }
    // Without `fetched` nothing is asked for.
    let to = &clouds()[0];
    let why = made(&chat(CAT), &order(to, Operation::Chat, "anthropic.claude")).unwrap_err();
    assert!(why.message.contains("base64"), "{why}");
}

#[test]
fn a_request_has_a_bounded_number_of_addresses_and_each_counts_once() {
    let to = &clouds()[0];
    let empty = Fetched::default();
    let with = Order { fetched: Some(&empty), ..order(to, Operation::Chat, "anthropic.claude") };
    let asked = |count: usize, distinct: usize| {
        let images: Vec<Value> = (0..count)
            .map(|i| json!({"type": "image_url", "image_url": {"url": format!("{CAT}/{}", i % distinct)}}))
            .collect();
        made(&json!({"model": "m", "messages": [{"role": "user", "content": images}]}), &with)
    };
    let Prepared::Fetch(wanted) = asked(200, 3).unwrap() else { panic!() };
    assert_eq!(wanted.len(), 3);
    let Prepared::Fetch(wanted) = asked(64, 64).unwrap() else { panic!() };
    assert_eq!(wanted.len(), 64);
    let why = asked(65, 65).unwrap_err();
    assert_eq!(why.field, "messages[0].content[64].image_url.url");
}
