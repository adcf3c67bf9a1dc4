//! Checks of what is no text go where its traffic goes.

use std::collections::BTreeSet;

use hale_testkit::{FakeUpstream, Request, forms, modes};
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
        let (check, traffic) = (upstream.request(0), upstream.request(1));
        assert_eq!(seen(&check), seen(&traffic), "{model} {mode}");
        assert_eq!(check.json()["model"], traffic.json()["model"]);
        assert!(check.path.starts_with("/here/"), "{}", check.path);
    }
}

/// Method, path and head of a request, but for what describes its body.
fn seen(request: &Request) -> (String, String, BTreeSet<String>) {
    let is_of_body = |name: &str| {
        ["content-length", "content-type"].iter().any(|own| name.eq_ignore_ascii_case(own))
    };
    let headers = request.headers.iter().filter(|(name, _)| !is_of_body(name));
    let headers = headers.map(|(name, value)| format!("{name}: {value}")).collect();
    (request.method.clone(), request.path.clone(), headers)
}

#[test]
fn h06_a_check_of_a_form_or_a_list_goes_where_its_traffic_goes() {
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
            assert_eq!(seen(&check), seen(&traffic), "{model} {mode}");
            if method == "POST" {
                let named = |request: &Request| forms::field(request, "model");
                assert_eq!((named(&check), named(&traffic)), (Some("m".into()), Some("m".into())));
            }
        }
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
