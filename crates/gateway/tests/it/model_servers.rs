//! What real model servers say when something is wrong, and what follows for everything else.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, chat, chat_with, client, error, expect_error, pair};

const EMBEDDINGS: &str = "/v1/embeddings";

fn lines(hale: &Hale) -> Vec<Value> {
    client(hale).get("/router/state").json()["deployments"].as_array().unwrap().clone()
}

fn states(hale: &Hale) -> Vec<String> {
    lines(hale).iter().map(|line| line["state"].as_str().unwrap().to_owned()).collect()
}

fn answering(status: u16, body: Value) -> FakeUpstream {
    FakeUpstream::with(move |_| Script::with_status(status).json(&body))
}

/// Refuses what `is_refused` says, and answers everything else.
fn refusing(
    status: u16,
    body: Value,
    is_refused: fn(&hale_testkit::Request) -> bool,
) -> FakeUpstream {
    FakeUpstream::with(move |request| {
        if is_refused(request) {
            return Script::with_status(status).json(&body);
        }
        Script::answer(request)
    })
}

fn with_image() -> Value {
    json!({"model": "g", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    ]}]})
}

fn has_image(request: &hale_testkit::Request) -> bool {
    request.text().contains("image_url")
}

fn is_embedding(request: &hale_testkit::Request) -> bool {
    request.path.ends_with("/embeddings")
}

fn embed(hale: &Hale) -> hale_testkit::Response {
    client(hale).post_json(EMBEDDINGS, &[], &json!({"model": "g", "input": "x"}))
}

/// Two members of `g`, and the fallback `spare`.
fn trio(a: &FakeUpstream, b: &FakeUpstream, spare: &FakeUpstream) -> Config {
    Config::new()
        .deployment("g", "a", a)
        .deployment("g", "b", b)
        .deployment("spare", "spare", spare)
        .router(json!({"fallbacks": [{"g": ["spare"]}]}))
}

#[test]
fn a_wrong_model_or_key_that_is_told_with_400_costs_no_request_and_is_unhealthy() {
    for (body, cause) in [
        (
            json!({"error": {"message": "{'error': '/chat/completions: Invalid model name passed in model=x. \
                   Call `/v1/models` to view available models for your key.'}", "type": "None", "param": "None", "code": "400"}}),
            "not_found",
        ),
        (
            json!({"error": {"message": "No connected db.", "type": "no_db_connection", "param": null, "code": "400"}}),
            "auth",
        ),
        (
            json!({"error": {"message": "Invalid model: Engine for model name `x` not found. Available model \
                   names are ['y']", "type": null, "param": null, "code": 400}}),
            "not_found",
        ),
        (json!({"detail": "Server is pinned to 'y'; requested 'x'."}), "not_found"),
        (
            json!({"error": "No models loaded. Please load a model in the developer page."}),
            "not_found",
        ),
    ] {
        let (bad, good) = (answering(400, body.clone()), FakeUpstream::start());
        let hale = pair(&bad, &good).start();
        for _ in 0..10 {
            assert_eq!(chat(&hale, "m").status, 200, "{body}");
        }
        let streamed = chat_with(&hale, &[], &openai::stream_request("m", "hi"));
        assert_eq!(streamed.status, 200, "{body}");
        let health = client(&hale).get("/health").json();
        let unhealthy = &health["unhealthy_endpoints"];
        assert_eq!(
            (unhealthy[0]["cause"].as_str(), health["unhealthy_count"].as_u64()),
            (Some(cause), Some(1)),
            "{health}"
        );
    }
}

#[test]
fn a_501_closes_that_operation_of_that_member_and_nothing_else() {
    let body = json!({"error": {"code": 501, "type": "not_supported_error",
        "message": "This server does not support embeddings. Start it with `--embeddings`"}});
    let member = || refusing(501, body.clone(), is_embedding);
    let (a, b, spare) = (member(), member(), FakeUpstream::start());
    let hale = trio(&a, &b, &spare).start();
    for _ in 0..4 {
        let answer = embed(&hale);
        assert_eq!(answer.header("x-litellm-model-group"), Some("spare"), "{}", answer.text());
    }
    let asked =
        |one: &FakeUpstream| one.requests().iter().filter(|seen| is_embedding(seen)).count();
    assert_eq!((asked(&a), asked(&b)), (1, 1), "found out once");
    for _ in 0..20 {
        assert_eq!(chat(&hale, "g").header("x-litellm-attempted-fallbacks"), Some("0"));
    }
    assert_eq!(states(&hale), ["ready"; 3]);
    assert_eq!(lines(&hale)[0]["lacks"][0]["what"], "/embeddings");
    assert_eq!(lines(&hale)[0]["failures_in_a_row"], 0);
}

#[test]
fn an_operation_that_no_member_has_is_refused_without_blame_and_asked_for_again_after_a_reset() {
    let body = json!({"error": {"message": "The model does not support Embeddings API",
        "type": "NotImplementedError", "param": null, "code": 501}});
    let a = refusing(501, body, is_embedding);
    let hale = Config::new().deployment("g", "a", &a).start();
    expect_error(&embed(&hale), 400, "upstream_rejected");
    expect_error(&embed(&hale), 400, "missing_capability");
    assert_eq!(a.requests().len(), 1);
    assert_eq!(chat(&hale, "g").status, 200);
    client(&hale).post_json("/router/deployments/a/reset", &[], &json!({}));
    expect_error(&embed(&hale), 400, "upstream_rejected");
    assert_eq!(a.requests().len(), 3);
}

#[test]
fn an_image_that_a_server_cannot_read_is_the_clients_and_closes_images_alone() {
    for (status, message) in [
        (
            500,
            "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        ),
        (400, "At most 0 image(s) may be provided in one prompt."),
        (404, "No endpoints found that support image input"),
    ] {
        let body = json!({"error": {"code": status, "message": message, "type": "server_error"}});
        let member = || refusing(status, body.clone(), has_image);
        let (a, b, spare) = (member(), member(), FakeUpstream::start());
        let hale = trio(&a, &b, &spare).start();
        for _ in 0..4 {
            let answer = chat_with(&hale, &[], &with_image());
            assert_eq!(answer.header("x-litellm-model-group"), Some("spare"), "{}", answer.text());
        }
        let asked =
            |one: &FakeUpstream| one.requests().iter().filter(|seen| has_image(seen)).count();
        assert_eq!((asked(&a), asked(&b)), (1, 1), "{message}");
        for _ in 0..20 {
            assert_eq!(chat(&hale, "g").header("x-litellm-attempted-fallbacks"), Some("0"));
        }
        assert_eq!(states(&hale), ["ready"; 3], "{message}");
        let alone = Config::new().deployment("g", "a", &a).start();
        let told = if status >= 500 { 400 } else { status };
        let refused =
            expect_error(&chat_with(&alone, &[], &with_image()), told, "upstream_rejected");
        assert_eq!(refused["attempts"][0]["cause"], "bad_request");
        expect_error(&chat_with(&alone, &[], &with_image()), 400, "missing_capability");
        let mut streamed = with_image();
        streamed["stream"] = json!(true);
        expect_error(&chat_with(&alone, &[], &streamed), 400, "missing_capability");
    }
}

#[test]
fn a_sibling_that_reads_images_answers_at_once() {
    let body = json!({"error": "Model does not support images. Please use a model that does."});
    let (blind, seeing) = (refusing(400, body, has_image), FakeUpstream::start());
    let hale = Config::new().deployment("g", "blind", &blind).deployment("g", "seeing", &seeing);
    let hale = hale.router(json!({"num_retries": 0})).start();
    for _ in 0..10 {
        assert_eq!(chat_with(&hale, &[], &with_image()).status, 200);
    }
    assert!(blind.requests().len() <= 1);
    for _ in 0..40 {
        assert_eq!(chat(&hale, "g").status, 200);
    }
    assert!(blind.requests().len() > 5, "it goes on with everything else");
}

#[test]
fn tools_that_a_server_does_not_have_are_closed_alone() {
    let body = json!({"error": {"message": "registry.ollama.ai/library/gemma3:4b does not support tools",
        "type": "api_error", "param": null, "code": null}});
    let without = refusing(400, body, |request| request.text().contains("\"tools\""));
    let with = FakeUpstream::start();
    let hale = Config::new().deployment("g", "a", &without).deployment("g", "b", &with).start();
    let mut request = openai::chat_request("g", "hi");
    request["tools"] =
        json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    for _ in 0..10 {
        assert_eq!(chat_with(&hale, &[], &request).status, 200);
    }
    let refused =
        without.requests().iter().filter(|seen| seen.text().contains("\"tools\"")).count();
    assert!(refused <= 1);
    assert_eq!(states(&hale), ["ready"; 2]);
}

#[test]
fn a_404_about_something_of_the_clients_is_relayed_and_blames_nothing() {
    for error in [
        json!({"message": "Files [file-gone] were not found.", "type": "invalid_request_error", "param": "file_id"}),
        json!({"message": "Previous response with id 'resp_1' not found.", "type": "invalid_request_error",
               "param": "previous_response_id", "code": "previous_response_not_found"}),
        json!({"message": "File not found: file_011CNha8iCJcU1wXNR6q4V8w", "type": "not_found_error"}),
    ] {
        let message = error["message"].clone();
        let bad = || answering(404, json!({"error": error}));
        let (a, b, spare) = (bad(), bad(), FakeUpstream::start());
        let hale = trio(&a, &b, &spare).start();
        let request = openai::chat_request("g", "hi");
        for disable in [true, false] {
            let mut request = request.clone();
            request["disable_fallbacks"] = json!(disable);
            let answer = chat_with(&hale, &[], &request);
            if disable {
                assert_eq!(answer.status, 404, "{message}");
                assert_eq!(crate::support::error(&answer)["message"], message);
            }
        }
        assert_eq!(states(&hale), ["ready"; 3], "{message}");
        assert_eq!(a.requests().len() + b.requests().len(), 2, "no sibling");
    }
}

#[test]
fn a_404_that_names_nothing_is_the_address_in_answer_and_health() {
    let upstream = answering(404, json!({"detail": "Not Found"}));
    let config = Config::new().entry(json!({
        "model_name": "g",
        "litellm_params": {"model": "openai/x", "api_base": upstream.url(), "api_key": "k"},
        "model_info": {"id": "a", "mode": "chat"}
    }));
    let hale = config.start();
    let told = error(&chat(&hale, "g"));
    let message = told["message"].as_str().unwrap();
    assert!(
        message.contains("nothing at this address") && message.contains("add /v1"),
        "{message}"
    );
    assert!(!message.contains("does not know its model"), "{message}");
    let health = client(&hale).get("/health").json();
    let hint = health["unhealthy_endpoints"][0]["hint"].as_str().unwrap();
    assert!(hint.contains("add /v1"), "{health}");
    assert_eq!(health["unhealthy_endpoints"][0]["cause"], "not_found");
}

#[test]
fn a_member_that_answers_nothing_but_unknown_400s_counts_as_failed() {
    let body =
        json!({"error": {"message": "kaboom", "type": "weird", "param": null, "code": null}});
    for status in [400, 422] {
        let (bad, good) = (answering(status, body.clone()), FakeUpstream::start());
        let hale = Config::new()
            .deployment("g", "bad", &bad)
            .deployment("g", "good", &good)
            .router(json!({"routing_strategy": "simple-shuffle", "cooldown_time": 60}))
            .start();
        let mut refused = 0;
        for _ in 0..200 {
            let answer = chat(&hale, "g");
            refused += u32::from(answer.status == status);
            assert!([200, status].contains(&answer.status), "{}", answer.text());
        }
        // By chance: it takes five answers of each, and without the rule it would be a hundred.
        assert!((4..=50).contains(&refused), "{refused}");
        let bad = &lines(&hale)[0];
        assert_eq!(
            (bad["state"].as_str(), bad["cause"].as_str()),
            (Some("cooldown"), Some("bad_response"))
        );
    }
}

#[test]
fn a_clients_fault_that_is_told_in_another_way_blames_no_member() {
    for (status, body) in [
        (
            500,
            json!({"error": {"code": 500, "message": "Conversation roles must alternate user/assistant/...", "type": "server_error"}}),
        ),
        (
            403,
            json!({"error": {"code": 403, "message": "x requires moderation on OpenAI. Your input was flagged for \"violence\".", "metadata": {"reasons": ["violence"]}}}),
        ),
        (
            404,
            json!({"type": "error", "error": {"type": "not_found_error", "message": "Skill not found: skill_01AbCdEf"}}),
        ),
    ] {
        let (a, b) = (answering(status, body.clone()), answering(status, body.clone()));
        let hale = Config::new().deployment("g", "a", &a).deployment("g", "b", &b).start();
        for _ in 0..6 {
            let answer = chat(&hale, "g");
            assert!((400..500).contains(&answer.status), "{}", answer.text());
        }
        assert_eq!(states(&hale), ["ready"; 2], "{body}");
    }
}

#[test]
fn a_redirect_is_about_the_address() {
    let moved = FakeUpstream::with(|_| {
        Script::with_status(302).header("location", "/else").json(&json!({}))
    });
    let hale = Config::new().deployment("g", "a", &moved).start();
    let message = error(&chat(&hale, "g"))["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has nothing at this address"), "{message}");
    assert!(message.contains("redirect"), "{message}");
}

#[test]
fn a_client_that_sends_nothing_but_bad_requests_harms_no_member() {
    let body =
        json!({"error": {"message": "kaboom", "type": "weird", "param": null, "code": null}});
    let bad = |body: &Value| {
        refusing(400, body.clone(), |request| request.text().contains("bad request"))
    };
    let (a, b) = (bad(&body), bad(&body));
    let hale = Config::new().deployment("g", "a", &a).deployment("g", "b", &b).start();
    for _ in 0..20 {
        assert_eq!(chat(&hale, "g").status, 200);
        assert_eq!(chat_with(&hale, &[], &openai::chat_request("g", "bad request")).status, 400);
    }
    assert_eq!(states(&hale), ["ready"; 2]);
}

#[test]
fn a_400_to_a_probe_is_the_deployments_unless_it_is_about_a_parameter() {
    for (message, healthy, unhealthy) in [
        ("kaboom", 0, 1),
        ("Invalid model name passed in model=x", 0, 1),
        ("Unsupported parameter: max_tokens", 0, 0),
    ] {
        let body = json!({"error": {"message": message, "type": "x", "param": null, "code": null}});
        let upstream = answering(400, body);
        let hale = Config::new().deployment("g", "a", &upstream).start();
        let health = client(&hale).get("/health").json();
        let counts = (health["healthy_count"].as_u64(), health["unhealthy_count"].as_u64());
        assert_eq!(counts, (Some(healthy), Some(unhealthy)), "{message}: {health}");
    }
}

#[test]
fn an_error_within_an_event_stream_is_read_under_any_status() {
    let event = "data: {\"error\": {\"message\": \"the engine died\", \"type\": \"server_error\", \"code\": 500}}\n\n";
    for status in [500, 503, 200] {
        let upstream = FakeUpstream::with(move |_| {
            Script::with_status(status).body("text/event-stream", event)
        });
        let hale = Config::new().deployment("g", "a", &upstream).router(json!({"num_retries": 0}));
        let hale = hale.start();
        for request in [openai::stream_request("g", "hi"), openai::chat_request("g", "hi")] {
            let answer = client(&hale).post_json(CHAT, &[], &request);
            let message = error(&answer)["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with("the engine died"), "{status}: {message}");
        }
    }
}

#[test]
fn usage_that_servers_write_in_other_forms_reaches_a_messages_client() {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10});
    for last in [
        json!({"usage": usage}),
        json!({"choices": null, "usage": usage}),
        json!({"choices": [], "usage": usage}),
        json!({"choices": [{"index": 0, "delta": {}}], "usage": usage}),
    ] {
        let mut events = openai::chunks("up", &["hello"]);
        events.retain(|event| event["usage"].is_null());
        events.push(last.clone());
        let upstream = FakeUpstream::with(move |_| Script::ok().sse(&events));
        let hale = Config::new().deployment("g", "a", &upstream).start();
        let request = hale_testkit::anthropic::stream_request("g", "hi");
        let answer = client(&hale).post_json("/v1/messages", &[], &request);
        assert!(answer.text().contains("\"output_tokens\":3"), "{last}: {}", answer.text());
        let chat = chat_with(&hale, &[], &openai::stream_request("g", "hi"));
        assert!(!chat.text().contains("\"usage\""), "{last}: {}", chat.text());
    }
}

#[test]
fn an_address_without_a_version_is_named_while_its_member_cools_down() {
    let bad = answering(404, json!({"detail": "Not Found"}));
    let hale = Config::new().entry(json!({
        "model_name": "g",
        "litellm_params": {"model": "openai/x", "api_base": bad.url(), "api_key": "k"},
        "model_info": {"id": "a"}
    }));
    let spare = FakeUpstream::start();
    let hale = hale.deployment("spare", "spare", &spare);
    let hale = hale.router(json!({"fallbacks": [{"g": ["spare"]}], "cooldown_time": 60})).start();
    for _ in 0..4 {
        assert_eq!(chat(&hale, "g").status, 200);
    }
    let mut request = openai::chat_request("g", "hi");
    request["disable_fallbacks"] = json!(true);
    let told = chat_with(&hale, &[], &request);
    assert!(told.text().contains("add /v1"), "{}", told.text());
}

#[test]
fn one_model_of_a_pattern_that_lacks_something_closes_no_other() {
    let body = json!({"error": {"message": "image input is not supported - hint: if this is unexpected, you \
                      may need to provide the mmproj", "type": "server_error", "code": 500}});
    let upstream = refusing(500, body, |request| {
        request.model() == "blind" && request.text().contains("image_url")
    });
    let hale = Config::new().with("openai/*", "a", &upstream, json!({"model": "openai/*"})).start();
    let ask = |model: &str| {
        let mut request = with_image();
        request["model"] = json!(model);
        chat_with(&hale, &[], &request).status
    };
    assert_eq!([ask("openai/blind"), ask("openai/blind"), ask("openai/seeing")], [400, 400, 200]);
    assert_eq!(upstream.requests().len(), 2, "the second image is refused here");
    assert_eq!(lines(&hale)[0]["lacks"][0]["model"], "blind");
}

#[test]
fn what_a_probe_finds_lacking_is_closed_for_traffic() {
    let body = json!({"error": {"message": "The model does not support Embeddings API",
        "type": "BadRequestError", "param": null, "code": 400}});
    let upstream = refusing(400, body, is_embedding);
    let info = json!({"id": "a", "mode": "embedding"});
    let params = json!({"model": "openai/x", "api_base": upstream.api_base(), "api_key": "k"});
    let entry = json!({"model_name": "g", "litellm_params": params, "model_info": info});
    let hale = Config::new().entry(entry).start();
    client(&hale).get("/health");
    assert_eq!(upstream.requests().len(), 1);
    expect_error(&embed(&hale), 400, "missing_capability");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_messages_client_with_an_image_moves_on_from_a_server_without_images() {
    let body = json!({"error": "Model does not support images. Please use a model that does."});
    let (blind, seeing) = (refusing(400, body, has_image), FakeUpstream::start());
    let hale = Config::new().deployment("g", "blind", &blind).deployment("g", "seeing", &seeing);
    let hale = hale.start();
    let source = json!({"type": "base64", "media_type": "image/png", "data": "AAAA"});
    for stream in [false, true, false, true] {
        let request = json!({"model": "g", "max_tokens": 9, "stream": stream, "messages": [
            {"role": "user", "content": [{"type": "image", "source": source}]}
        ]});
        let answer = client(&hale).post_json("/v1/messages", &[], &request);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(blind.requests().len() <= 1);
}
