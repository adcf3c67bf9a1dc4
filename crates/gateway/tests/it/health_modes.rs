//! Checks of what is no text go where its traffic goes.

use std::collections::BTreeSet;

use hale_testkit::{FakeUpstream, Request, modes};
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

#[test]
fn h06_a_check_of_each_mode_has_the_path_the_head_and_the_model_of_traffic() {
    for (model, mode, path, body) in all() {
        let upstream = FakeUpstream::with(modes::answer);
        let info = json!({"id": "a", "mode": mode});
        let entry = json!({"model_name": "g", "litellm_params": params(model, &upstream),
                           "model_info": info});
        let hale = Config::new().entry(entry).start();
        assert_eq!(counts(&health(&hale, "").1), [1, 0, 0], "{model} {mode}");
        let answer = client(&hale).post_json(path, &[], &body);
        assert_eq!(answer.status, 200, "{model} {mode}: {}", answer.text());
        let seen = |request: &Request| {
            let headers: BTreeSet<String> = request
                .headers
                .iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            let model = request.json()["model"].clone();
            (request.method.clone(), request.path.clone(), headers, model)
        };
        let (check, traffic) = (upstream.request(0), upstream.request(1));
        assert_eq!(seen(&check), seen(&traffic), "{model} {mode}");
        assert!(check.path.starts_with("/here/"), "{}", check.path);
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
