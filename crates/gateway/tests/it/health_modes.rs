//! Probes of other modes than text go where their traffic goes.

use std::collections::{BTreeMap, BTreeSet};

use hale_core::operation::Operation;
use hale_core::provider::{self, Addressing};
use hale_testkit::{
    FakeUpstream, Request, Script, anthropic, bedrock, cohere, forms, gemini, modes, ollama,
    openai, responses,
};
use serde_json::{Value, json};

use crate::health::{counts, health};
use crate::support::{Config, client};

/// A provider's model for each mode, the client's path, and the smallest request.
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

/// Each mode with a JSON request, the client's path, and the smallest request.
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
    if path.ends_with(":predict") && !request.json()["instances"][0]["content"].is_null() {
        let counted = json!({"values": [0.5], "statistics": {"token_count": 1}});
        return Script::ok().json(&json!({"predictions": [{"embeddings": counted}]}));
    }
    let is_rank = !request.json()["rerankingConfiguration"].is_null();
    if path.ends_with("/converse") || path.ends_with("/invoke") || is_rank {
        return bedrock::answer(request);
    }
    if path.contains("/api/") {
        return ollama::answer(request);
    }
    if path.contains(':') {
        return gemini::answer_to_any_key(request);
    }
    if path.ends_with("/v2/chat") || path.ends_with("/v2/embed") {
        return cohere::answer_to_any_key(request);
    }
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
fn a_probe_of_each_mode_has_the_path_the_head_and_the_model_of_traffic() {
    // Requirement H6.
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

/// Method, path and head of a request, but for what describes its body.
fn head_of(request: &Request) -> (String, String, BTreeSet<String>) {
    let is_of_body = |name: &str| {
        ["content-length", "content-type"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    let headers = request.headers.iter().filter(|(name, _)| !is_of_body(name));
    let headers = headers.map(|(name, value)| format!("{name}: {value}")).collect();
    (request.method.clone(), request.path.clone(), headers)
}

#[test]
fn a_probe_of_a_form_or_a_list_goes_where_its_traffic_goes() {
    // Requirement H6.
    let kind = forms::content_type();
    let words = |file, word: &[u8]| {
        forms::form(&[(file, Some("a"), b"RIFF"), ("prompt", None, word), ("model", None, b"g")])
    };
    let (sound, image) = (words("file", b"hm"), words("image", b"a star"));
    let rows: [(&str, &str, &str, &[u8]); 3] = [
        ("audio_transcription", "POST", "/v1/audio/transcriptions", &sound),
        ("image_edit", "POST", "/v1/images/edits", &image),
        ("batch", "GET", "/v1/batches?model=g", b""),
    ];
    for model in ["openai/m", "azure/m"] {
        for (mode, method, path, body) in rows {
            let upstream = FakeUpstream::with(forms::answer);
            let mut params = params(model, &upstream);
            let own = if model == "openai/m" { upstream.api_base() } else { upstream.url() };
            params["api_base"] = json!(own);
            let entry = json!({"model_name": "g", "litellm_params": params,
                               "model_info": {"id": "a", "mode": mode}});
            let hale = Config::new().entry(entry).start();
            assert_eq!(counts(&health(&hale, "").1), [1, 0, 0], "{model} {mode}");
            let headers = [("content-type", &*kind)];
            let headers = if body.is_empty() { &[][..] } else { &headers[..] };
            let answer = client(&hale).request(method, path, headers, body);
            assert_eq!(answer.status, 200, "{model} {mode}: {}", answer.text());
            let (check, traffic) = (upstream.request(0), upstream.request(1));
            assert_eq!(head_of(&check), head_of(&traffic), "{model} {mode}");
            if method == "POST" {
                let named = |request: &Request| forms::field(request, "model");
                assert_eq!((named(&check), named(&traffic)), (Some("m".into()), Some("m".into())));
            }
        }
    }
}

#[test]
fn a_connection_can_be_tested_in_each_mode() {
    // Case 78.
    let hale = Config::new().deployment("m", "a", &FakeUpstream::start()).start();
    for (model, mode, ..) in all() {
        let upstream = FakeUpstream::with(modes::answer);
        let wish = json!({"mode": mode, "litellm_params": params(model, &upstream)});
        let answer = client(&hale).post_json("/health/test_connection", &[], &wish);
        assert_eq!(answer.json()["status"], "success", "{model} {mode}: {}", answer.text());
        assert_eq!(upstream.requests().len(), 1);
    }
}
