//! `/utils/token_counter`: by the tokenizer, by the provider, or an estimate that says so.

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic};
use serde_json::{Value, json};

use crate::support::{Config, client, expect_error, metric};

const PATH: &str = "/utils/token_counter";

#[track_caller]
fn count(hale: &Hale, body: &Value) -> Response {
    client(hale).post_json(PATH, &[], body)
}

fn hello(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello world"}]})
}

#[test]
fn openai_models_are_counted_here_without_a_call() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .deployment("m", "a", &upstream)
        .with("l", "b", &upstream, json!({"model": "openai/llama-3"}))
        .start();
    let answer = count(&hale, &hello("m"));
    // Two tokens for the text, one for the role, six for the frame around them.
    let expected = json!({
        "total_tokens": 9, "request_model": "m", "model_used": "gpt-4o",
        "tokenizer_type": "openai_tokenizer", "count_source": "local_tokenizer",
        "original_response": null, "error": false, "error_message": null, "status_code": null,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("x-litellm-model-id"), Some("a"));
    let prompt = count(&hale, &json!({"model": "m", "prompt": "hello world"})).json();
    assert_eq!(prompt["total_tokens"], 2);
    let estimate = count(&hale, &hello("l")).json();
    assert_eq!(
        (&estimate["count_source"], &estimate["model_used"]),
        (&json!("estimate"), &json!("llama-3"))
    );
    assert!(upstream.requests().is_empty());
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[]), 0.0);
    expect_error(&count(&hale, &json!({"model": "m"})), 400, "missing_parameter");
    expect_error(&count(&hale, &json!({"model": "m", "prompt": 5})), 400, "unsupported_parameter");
}

#[test]
fn anthropic_counts_for_itself() {
    let claude = FakeUpstream::with(anthropic::answer);
    let hale = Config::new()
        .with("m", "claude", &claude, json!({"model": "anthropic/claude-sonnet-4-5"}))
        .start();
    let mut body = hello("m");
    body["messages"] =
        json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]);
    body["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    body["temperature"] = json!(0.5);
    let answer = count(&hale, &body).json();
    let expected = json!({
        "total_tokens": anthropic::TOKENS, "request_model": "m", "model_used": "claude-sonnet-4-5",
        "tokenizer_type": "anthropic_api", "count_source": "provider_api",
        "original_response": {"input_tokens": anthropic::TOKENS}, "error": false,
        "error_message": null, "status_code": null,
    });
    assert_eq!(answer, expected);
    let sent = claude.request(0);
    assert_eq!(sent.path, "/v1/messages/count_tokens");
    let names: Vec<String> = sent.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["model", "system", "messages", "tools"]);
    count(&hale, &json!({"model": "m", "prompt": "hi"}));
    let sent = claude.request(1).json();
    assert_eq!(
        sent,
        json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]})
    );
    claude.answer_with(|_| Script::error(401, "bad key"));
    expect_error(&count(&hale, &body), 401, "upstream_auth");
}
