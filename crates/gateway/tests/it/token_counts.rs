//! Tokens of a prompt in Anthropic's format: counted by the server where it can, else estimated.

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, chat, client};

const COUNT: &str = "/v1/messages/count_tokens";

fn count(hale: &Hale, model: &str) -> Response {
    client(hale).post_json(COUNT, &[], &anthropic::request(model, "count me"))
}

/// Answers chats; to a count `status` with `body`.
fn counting(status: u16, body: Value) -> FakeUpstream {
    FakeUpstream::with(move |request| match request.path.ends_with("/count_tokens") {
        true if body.is_string() => {
            Script::with_status(status).body("text/plain", body.as_str().unwrap())
        }
        true => Script::with_status(status).json(&body),
        false if request.path.ends_with("/messages") => anthropic::answer(request),
        false => openai::answer(request),
    })
}

fn counts(upstream: &FakeUpstream) -> usize {
    upstream.requests().iter().filter(|seen| seen.path.ends_with("/count_tokens")).count()
}

#[test]
fn a_server_of_the_openai_wire_that_counts_is_asked() {
    for model in ["openai/x", "openai_like/x", "hosted_vllm/x", "litellm_proxy/x"] {
        let upstream = counting(200, json!({"input_tokens": 24}));
        let hale = Config::new().with("m", "a", &upstream, json!({"model": model})).start();
        let answer = count(&hale, "m");
        assert_eq!(answer.json(), json!({"input_tokens": 24}), "{model}");
        let sent = upstream.request(0);
        assert_eq!(sent.path, "/v1/messages/count_tokens", "{model}");
        assert_eq!(sent.json()["model"], "x");
        assert_eq!(sent.json()["messages"][0]["role"], "user");
    }
}

#[test]
fn a_server_without_the_page_is_asked_once_and_its_chats_are_not_concerned() {
    for (status, body) in [
        (404, json!("404 page not found")),
        (404, json!({"detail": "Not Found"})),
        (405, json!({"detail": "Method Not Allowed"})),
        (501, json!({"error": {"message": "not implemented", "type": "NotImplementedError"}})),
        (500, json!({"error": {"message": "boom", "type": "server_error"}})),
        (400, json!({"error": {"message": "what?", "type": "invalid_request_error"}})),
        (200, json!({"tokens": 7})),
        (200, json!({})),
        (200, json!("<!DOCTYPE html><p>hello")),
        (429, json!({"error": {"message": "slow down", "type": "rate_limit_error"}})),
    ] {
        for model in ["openai/x", "anthropic/x"] {
            // What a server that counts says about the request holds.
            if model.starts_with("anthropic") && status == 400 {
                continue;
            }
            let (a, b) = (counting(status, body.clone()), counting(status, body.clone()));
            let spare = FakeUpstream::start();
            let hale = Config::new()
                .with("m", "a", &a, json!({"model": model}))
                .with("m", "b", &b, json!({"model": model}))
                .deployment("spare", "spare", &spare)
                .router(json!({"fallbacks": [{"m": ["spare"]}]}))
                .start();
            for _ in 0..10 {
                let answer = count(&hale, "m");
                assert_eq!(answer.status, 200, "{model} {status}: {}", answer.text());
                assert_eq!(answer.json()["estimated"], true);
                assert!(answer.json()["input_tokens"].as_u64().unwrap() > 0);
            }
            assert!(counts(&a) <= 1 && counts(&b) <= 1 && counts(&a) + counts(&b) >= 1);
            assert_eq!(spare.requests().len(), 0, "no fallback for a count");
            for _ in 0..10 {
                let answer = chat(&hale, "m");
                assert_eq!(answer.header("x-litellm-model-group"), Some("m"), "{}", answer.text());
            }
            let page = client(&hale).get("/router/state").json();
            for line in page["deployments"].as_array().unwrap() {
                assert_eq!(line["state"], "ready", "{line}");
            }
        }
    }
}

#[test]
fn a_count_that_hangs_is_estimated_and_its_chats_are_not_concerned() {
    for model in ["openai/x", "anthropic/x"] {
        let up = FakeUpstream::with(|request| match request.path.ends_with("/count_tokens") {
            true => Script::silent(),
            false if request.path.ends_with("/messages") => anthropic::answer(request),
            false => openai::answer(request),
        });
        let params = json!({"model": model, "timeout": 0.3});
        let hale = Config::new().with("m", "a", &up, params).start();
        for _ in 0..4 {
            let answer = count(&hale, "m");
            assert_eq!((answer.status, &answer.json()["estimated"]), (200, &json!(true)));
        }
        assert_eq!(counts(&up), 1, "{model}");
        assert_eq!(chat(&hale, "m").status, 200);
        let state = client(&hale).get("/router/state").json();
        assert_eq!(state["deployments"][0]["state"], "ready", "{model}");
    }
}

#[test]
fn a_provider_that_is_known_not_to_count_is_not_asked() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "databricks/x"})).start();
    assert_eq!(count(&hale, "m").json()["estimated"], true);
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_token_counter_at_a_server_without_the_page_estimates() {
    let upstream = counting(404, json!("404 page not found"));
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
    let request = json!({"model": "m", "messages": [{"role": "user", "content": "count me"}]});
    for _ in 0..3 {
        let answer = client(&hale).post_json("/utils/token_counter", &[], &request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.json()["total_tokens"].as_u64().unwrap() > 0);
    }
    assert_eq!(counts(&upstream), 1);
}

#[test]
fn an_id_of_this_gateways_file_within_a_request_is_refused_before_a_provider_sees_it() {
    let upstream = FakeUpstream::with(hale_testkit::forms::answer);
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let id = hale_wire::id::IdKey::new(b"any").seal(
        hale_core::operation::Kind::File,
        "a",
        "file-of-the-provider",
        &hale_core::tenancy::Owner::NONE,
    );
    let block = |value: Value| json!([{"role": "user", "content": [value]}]);
    for (path, request) in [
        (
            CHAT,
            json!({"model": "m", "messages": block(json!({"type": "file", "file": {"file_id": id}}))}),
        ),
        (
            "/v1/responses",
            json!({"model": "m", "input": block(json!({"type": "input_file", "file_id": id}))}),
        ),
        (
            "/v1/responses",
            json!({"model": "m", "input": "hi", "tools": [
                {"type": "code_interpreter", "container": {"type": "auto", "file_ids": [id]}}
            ]}),
        ),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 9, "messages":
            block(json!({"type": "document", "source": {"type": "file", "file_id": id}}))}),
        ),
        (
            COUNT,
            json!({"model": "m", "messages":
            block(json!({"type": "document", "source": {"type": "file", "file_id": id}}))}),
        ),
    ] {
        let answer = client(&hale).post_json(path, &[], &request);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("file_data") && text.contains("not served yet"), "{text}");
    }
    assert_eq!(upstream.requests().len(), 0);
}

#[test]
fn a_model_that_is_written_for_responses_is_called_with_them_for_chats_too() {
    let upstream = FakeUpstream::with(hale_testkit::responses::answer);
    let hale = Config::new()
        .with("m", "a", &upstream, json!({"model": "openai/responses/gpt-4o"}))
        .start();
    let answer =
        client(&hale).post_json("/v1/responses", &[], &json!({"model": "m", "input": "hi"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.request(0).json()["model"], "gpt-4o");
    let told = chat(&hale, "m");
    assert_eq!(told.status, 200, "{}", told.text());
    assert_eq!(upstream.request(1).path, "/v1/responses");
    let embeddings = json!({"model": "m", "input": "hi"});
    let told = client(&hale).post_json("/v1/embeddings", &[], &embeddings);
    assert_eq!(told.status, 400);
    assert!(told.text().contains("remove `responses/`"), "{}", told.text());
    assert_eq!(upstream.requests().len(), 2);
    let health = client(&hale).get("/health").json();
    assert_eq!(health["healthy_count"], 1, "{health}");
    assert_eq!(upstream.request(2).path, "/v1/responses");
    assert_eq!(upstream.request(2).json()["model"], "gpt-4o");
}
