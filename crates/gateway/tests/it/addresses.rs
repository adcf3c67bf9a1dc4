//! What `/health` says of an address below which the server has nothing.

use hale_testkit::{FakeUpstream, Request, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, client, eventually};

/// An entry at the address of `upstream` without a version.
fn entry(id: &str, model: &str, upstream: &FakeUpstream, mode: Option<&str>) -> Value {
    let mut entry = json!({
        "model_name": "g",
        "litellm_params": {"model": model, "api_base": upstream.url(), "api_key": "k"},
        "model_info": {"id": id}
    });
    if let Some(mode) = mode {
        entry["model_info"]["mode"] = json!(mode);
    }
    entry
}

fn answering(status: u16, body: Value) -> FakeUpstream {
    FakeUpstream::with(move |_: &Request| Script::with_status(status).json(&body))
}

#[test]
fn a_server_with_nothing_at_an_address_without_a_version_is_unhealthy_whatever_it_says() {
    for (status, body) in [
        (404, json!({"detail": "Not Found"})),
        (
            404,
            json!({"error": {"message": "Invalid URL (POST /chat/completions)", "type": "invalid_request_error"}}),
        ),
        (
            404,
            json!({"timestamp": "t", "status": 404, "error": "Not Found", "path": "/chat/completions"}),
        ),
        (405, json!({"detail": "Method Not Allowed"})),
        (200, json!({"error": "Unexpected endpoint or method. (POST /chat/completions)"})),
    ] {
        for model in ["openai/x", "hosted_vllm/x", "anthropic/x", "openai/gpt-4o"] {
            let upstream = answering(status, body.clone());
            let hale = Config::new().entry(entry("a", model, &upstream, None)).start();
            let page = client(&hale).get("/health").json();
            let bad = &page["unhealthy_endpoints"][0];
            assert_eq!(bad["cause"], "not_found", "{status} {body} {model}: {page}");
            let hint = bad["hint"].as_str().unwrap();
            assert!(hint.contains("api_base"), "{model}: {hint}");
        }
    }
}

#[test]
fn a_server_that_lists_models_at_this_address_may_have_one_of_another_mode() {
    let upstream = FakeUpstream::with(|request: &Request| match request.method.as_str() {
        "GET" => Script::ok().json(&openai::models(&["x"])),
        _ => Script::with_status(404).json(&json!({"detail": "Not Found"})),
    });
    let config = Config::new().entry(entry("a", "openai/x", &upstream, None));
    let page = client(&config.start()).get("/health").json();
    let unknown = &page["unchecked_endpoints"][0];
    assert_eq!(unknown["cause"], "wrong_mode", "{page}");
    let hint = unknown["hint"].as_str().unwrap();
    assert!(hint.contains("nothing at this path") && hint.contains("api_base"), "{hint}");
    assert!(hint.contains("model_info.mode"), "{hint}");
}

#[test]
fn entries_that_share_a_probe_are_judged_by_the_mode_that_one_of_them_names() {
    let upstream = FakeUpstream::with(|request: &Request| match request.method.as_str() {
        "GET" => Script::ok().json(&openai::models(&["x"])),
        _ => Script::with_status(404).json(&json!({"detail": "Not Found"})),
    });
    let config = Config::new().entry(entry("a", "openai/x", &upstream, None)).entry(entry(
        "b",
        "openai/x",
        &upstream,
        Some("chat"),
    ));
    let hale = config.clone().start();
    let page = client(&hale).get("/health").json();
    assert_eq!(page["unhealthy_count"], 2, "{page}");
    for bad in page["unhealthy_endpoints"].as_array().unwrap() {
        assert!(bad["hint"].as_str().unwrap().contains("add /v1"), "{bad}");
    }
    let asked = upstream.requests().iter().filter(|it| it.method == "POST").count();
    assert_eq!(asked, 1, "one probe for both");
    let hale = config
        .general(json!({"background_health_checks": true, "health_check_interval": 1}))
        .start();
    eventually("both are unhealthy in the background", || {
        (client(&hale).get("/health").json()["unhealthy_count"] == 2).then_some(())
    });
}
