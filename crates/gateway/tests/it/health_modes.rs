//! Checks of what is no text go where its traffic goes.

use std::collections::{BTreeMap, BTreeSet};

use hale_core::endpoint::Operation;
use hale_core::provider::{self, Addressing};
use hale_testkit::{FakeUpstream, Request, Script, anthropic, modes, openai, responses};
use serde_json::{Value, json};

use crate::health::{counts, health};
use crate::support::{Config, client};

/// A provider's model for each mode, where clients ask for it, and the least of a request.
fn all() -> [(&'static str, &'static str, &'static str, Value); 7] {
    let rerank = json!({"model": "a", "query": "q", "documents": ["d"]});
    let document = json!({"type": "document_url", "document_url": "https://example.com/a.pdf"});
    let image = json!({"model": "a", "prompt": "x"});
    let speech = json!({"model": "a", "input": "x", "voice": "alloy"});
    [
        ("openai/m", "image_generation", "/v1/images/generations", image.clone()),
        ("azure/m", "image_generation", "/v1/images/generations", image),
        ("openai/m", "audio_speech", "/v1/audio/speech", speech.clone()),
        ("azure/m", "audio_speech", "/v1/audio/speech", speech),
        ("openai/m", "moderation", "/v1/moderations", json!({"model": "a", "input": "x"})),
        ("cohere/m", "rerank", "/v1/rerank", rerank),
        ("mistral/m", "ocr", "/v1/ocr", json!({"model": "a", "document": document})),
    ]
}

fn params(model: &str, upstream: &FakeUpstream) -> Value {
    let mut params = json!({"model": model, "api_key": "sk-of-the-deployment-01",
                            "api_base": format!("{}/here", upstream.url()),
                            "extra_headers": {"x-tenant": "t1"}});
    if model.starts_with("azure/") {
        params["api_version"] = json!("2024-10-21");
    }
    params
}

/// Each mode that is asked in JSON, where clients ask for it, and the least of a request.
fn asked_in_json() -> [(&'static str, Operation, &'static str, Value); 9] {
    let user = json!([{"role": "user", "content": "hi"}]);
    let document = json!({"type": "document_url", "document_url": "https://example.com/a.pdf"});
    [
        ("completion", Operation::Completion, "/v1/completions", json!({"prompt": "x"})),
        ("embedding", Operation::Embedding, "/v1/embeddings", json!({"input": "x"})),
        ("responses", Operation::Responses, "/v1/responses", json!({"input": "x"})),
        (
            "anthropic_messages",
            Operation::Messages,
            "/v1/messages",
            json!({"messages": user, "max_tokens": 9}),
        ),
        (
            "image_generation",
            Operation::GenerateImage,
            "/v1/images/generations",
            json!({"prompt": "x"}),
        ),
        (
            "audio_speech",
            Operation::Speech,
            "/v1/audio/speech",
            json!({"input": "x", "voice": "alloy"}),
        ),
        ("moderation", Operation::Moderate, "/v1/moderations", json!({"input": "x"})),
        ("rerank", Operation::Rerank, "/v1/rerank", json!({"query": "q", "documents": ["d"]})),
        ("ocr", Operation::Ocr, "/v1/ocr", json!({"document": document})),
    ]
}

/// A healthy upstream of every wire and mode.
fn answer(request: &Request) -> Script {
    let path = request.path.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "messages" => anthropic::answer(request),
        "responses" => responses::answer(request),
        "completions" | "embeddings" => openai::answer(request),
        _ => modes::answer(request),
    }
}

/// Every provider that has it, each with a path of its own at one upstream, and their ids.
fn everybody(upstream: &FakeUpstream, mode: &str, operation: Operation) -> (Config, Vec<String>) {
    let (mut config, mut ids) = (Config::new(), Vec::new());
    for provider in provider::all().filter(|one| one.serves(operation)) {
        let id = format!("d{}", ids.len());
        let mut params = json!({"model": format!("{}/m-{id}", provider.name),
                                "api_key": format!("sk-of-the-deployment-{id}"),
                                "api_base": format!("{}/{id}", upstream.url()),
                                "extra_headers": {"x-tenant": id}});
        if provider.addressing == Addressing::Azure {
            params["api_version"] = json!("2024-10-21");
        }
        let info = json!({"id": id, "mode": mode});
        config =
            config.entry(json!({"model_name": "g", "litellm_params": params, "model_info": info}));
        ids.push(id);
    }
    (config, ids)
}

/// Where each request went, with which head and for which model.
fn seen(requests: &[Request]) -> BTreeMap<String, String> {
    let one = |request: &Request| {
        let headers: BTreeSet<String> = request
            .headers
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let model = request.json()["model"].clone();
        (request.path.clone(), format!("{} {headers:?} {model}", request.method))
    };
    requests.iter().map(one).collect()
}

#[test]
fn h06_a_check_of_each_mode_has_the_path_the_head_and_the_model_of_traffic() {
    for (mode, operation, path, mut body) in asked_in_json() {
        let upstream = FakeUpstream::with(answer);
        let (config, ids) = everybody(&upstream, mode, operation);
        let hale = config.start();
        let (_, page) = health(&hale, "");
        assert_eq!(counts(&page), [ids.len() as u64, 0, 0], "{mode}: {page}");
        let checks = upstream.requests();
        assert!(!ids.is_empty() && checks.len() == ids.len(), "{mode}: {}", checks.len());
        for id in &ids {
            body["model"] = json!(id);
            let answer = client(&hale).post_json(path, &[], &body);
            assert_eq!(answer.status, 200, "{mode} {id}: {}", answer.text());
        }
        let traffic = upstream.requests().split_off(checks.len());
        assert_eq!(seen(&checks), seen(&traffic), "{mode}");
    }
}

#[test]
fn c78_a_connection_can_be_tested_in_each_mode() {
    let hale = Config::new().deployment("m", "a", &FakeUpstream::start()).start();
    for (model, mode, ..) in all() {
        let upstream = FakeUpstream::with(modes::answer);
        let wish = json!({"mode": mode, "litellm_params": params(model, &upstream)});
        let answer = client(&hale).post_json("/health/test_connection", &[], &wish);
        assert_eq!(answer.json()["status"], "success", "{model} {mode}: {}", answer.text());
        assert_eq!(upstream.requests().len(), 1);
    }
}
