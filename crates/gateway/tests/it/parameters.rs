//! What Hale adds, and what only advises, is fitted to the model and taken back where a provider refuses it.

use hale_testkit::{FakeUpstream, Hale, Request, Response, Script, anthropic, openai, responses};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, chat, chat_with, client, column, error};

const MESSAGES: &str = "/v1/messages";

/// An upstream that refuses a request with `field`, with this status and body.
fn refusing(field: &'static str, status: u16, body: Value) -> FakeUpstream {
    FakeUpstream::with(move |request| match request.json().get(field) {
        Some(_) => Script::with_status(status).json(&body),
        None => Script::answer(request),
    })
}

fn unknown(field: &str) -> Value {
    json!({"error": {"message": format!("Unknown parameter: '{field}'."), "type": "invalid_request_error",
        "param": field, "code": "unknown_parameter"}})
}

fn unsupported_limit() -> Value {
    let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    json!({"error": {"message": message, "type": "invalid_request_error", "param": "max_tokens",
        "code": "unsupported_parameter"}})
}

/// Group `m`: `a` at `upstream`, with a sibling that must never be called.
fn start(model: &str, upstream: &FakeUpstream, sibling: &FakeUpstream) -> Hale {
    let params = |weight: u32| json!({"model": model, "weight": weight});
    Config::new().with("m", "a", upstream, params(1)).with("m", "b", sibling, params(0)).start()
}

fn learned(hale: &Hale) -> Value {
    client(hale).get("/router/state").json()["deployments"][0]["learned"].clone()
}

fn bodies(upstream: &FakeUpstream) -> Vec<Value> {
    upstream.requests().iter().map(Request::json).collect()
}

fn has(bodies: &[Value], field: &str) -> Vec<bool> {
    bodies.iter().map(|body| body.get(field).is_some()).collect()
}

#[track_caller]
fn served(answer: &Response) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!answer.text().contains("error"), "{}", answer.text());
}

#[test]
fn stream_options_that_a_provider_refuses_are_taken_back_and_remembered() {
    let pydantic = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
        "msg": "Extra inputs are not permitted", "input": {"include_usage": true}}]});
    let text = json!({"message": "Unrecognized request argument supplied: stream_options"});
    for (status, body) in [(400, unknown("stream_options")), (422, pydantic), (400, text)] {
        for (path, ask) in [
            (CHAT, openai::stream_request("m", "hi")),
            (MESSAGES, anthropic::stream_request("m", "hi")),
        ] {
            let upstream = refusing("stream_options", status, body.clone());
            let sibling = FakeUpstream::start();
            let hale = start("openai/x", &upstream, &sibling);
            for _ in 0..3 {
                let answer = client(&hale).post_json(path, &[], &ask);
                served(&answer);
                assert_eq!(answer.header("x-litellm-attempted-retries"), Some("0"));
                assert_eq!(answer.header("x-hale-left-out"), None, "the client did not ask for it");
            }
            let sent = has(&bodies(&upstream), "stream_options");
            assert_eq!(sent, [true, false, false, false], "{path}: {body}");
            assert!(sibling.requests().is_empty());
            assert_eq!(learned(&hale), json!({"": ["no stream_options"]}));
            let states = client(&hale).get("/router/state").json();
            assert_eq!(column(&states["deployments"], "failures_in_a_row"), [0, 0]);
        }
    }
}

#[test]
fn a_client_that_asks_for_the_usage_is_told_that_there_is_none() {
    let upstream = refusing("stream_options", 400, unknown("stream_options"));
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let mut ask = openai::stream_request("m", "hi");
    ask["stream_options"] = json!({"include_usage": true});
    for _ in 0..2 {
        let answer = chat_with(&hale, &[], &ask);
        served(&answer);
        assert_eq!(answer.header("x-hale-left-out"), Some("stream_options"));
    }
}

#[test]
fn the_limit_is_renamed_for_known_models_and_learned_for_others() {
    let messages = anthropic::request("m", "hi");
    let mut own = openai::chat_request("m", "hi");
    own["max_tokens"] = json!(99);
    for (model, info, tries) in [
        ("openai/gpt-5-mini", json!({"id": "a"}), 0),
        ("openai/o4-mini", json!({"id": "a"}), 0),
        ("azure/gpt-5-mini", json!({"id": "a"}), 0),
        ("azure/mine", json!({"id": "a", "base_model": "azure/gpt-5-mini"}), 0),
        ("azure/mine", json!({"id": "a"}), 1),
        ("openai/mine", json!({"id": "a"}), 1),
        ("hosted_vllm/mine", json!({"id": "a"}), 1),
    ] {
        for (path, ask) in [(CHAT, &own), (MESSAGES, &messages)] {
            let upstream = refusing("max_tokens", 400, unsupported_limit());
            let params = json!({"model": model, "api_base": upstream.api_base(), "api_key": "sk-up",
                "api_version": "2024-12-01-preview"});
            let entry = json!({"model_name": "m", "litellm_params": params, "model_info": info});
            let hale = Config::new().entry(entry).start();
            served(&client(&hale).post_json(path, &[], ask));
            served(&client(&hale).post_json(path, &[], ask));
            let bodies = bodies(&upstream);
            assert_eq!(bodies.len(), 2 + tries, "{path} at {model}");
            let last = bodies.last().unwrap();
            assert_eq!(last["max_completion_tokens"], ask["max_tokens"], "{last}");
        }
    }
}

#[test]
fn probes_and_traffic_share_what_was_learned() {
    let upstream = refusing("max_tokens", 400, unsupported_limit());
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "azure/mine"})).start();
    assert_eq!(client(&hale).get("/health").json()["healthy_count"], 1);
    assert_eq!(has(&bodies(&upstream), "max_tokens"), [true, false]);
    assert_eq!(learned(&hale), json!({"": ["max_completion_tokens for max_tokens"]}));
    let mut ask = openai::chat_request("m", "hi");
    ask["max_tokens"] = json!(9);
    served(&chat_with(&hale, &[], &ask));
    assert_eq!(has(&bodies(&upstream), "max_tokens"), [true, false, false]);
    // The other way round, and an operator's reset forgets it.
    client(&hale).post_json("/router/deployments/a/reset", &[], &json!({}));
    assert_eq!(learned(&hale), json!({}));
    served(&chat_with(&hale, &[], &ask));
    assert_eq!(client(&hale).get("/health").json()["healthy_count"], 1);
    assert_eq!(has(&bodies(&upstream), "max_tokens"), [true, false, false, true, false, false]);
}

#[test]
fn thinking_is_left_out_before_models_that_have_none() {
    let thinking = json!({"max_tokens": 32_000, "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 31_999}});
    let adaptive = json!({"max_tokens": 9_000, "messages": [{"role": "user", "content": "hi"}],
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}});
    let effort =
        json!({"messages": [{"role": "user", "content": "hi"}], "reasoning_effort": "high"});
    for drop_params in [false, true] {
        for (path, ask, left_out) in [
            (MESSAGES, &thinking, "thinking"),
            (MESSAGES, &adaptive, "thinking"),
            (CHAT, &effort, "reasoning_effort"),
        ] {
            for stream in [false, true] {
                for model in ["openai/gpt-4o", "openai/*", "azure/gpt-4.1"] {
                    let refusal = "Unrecognized request argument supplied: reasoning_effort";
                    let upstream =
                        refusing("reasoning_effort", 400, json!({"error": {"message": refusal}}));
                    let group = if model.ends_with('*') { "openai/*" } else { "openai/gpt-4o" };
                    let hale = Config::new()
                        .with(group, "a", &upstream, json!({"model": model}))
                        .litellm(json!({"drop_params": drop_params}))
                        .start();
                    let mut ask = ask.clone();
                    (ask["model"], ask["stream"]) = (json!("openai/gpt-4o"), json!(stream));
                    let answer = client(&hale).post_json(path, &[], &ask);
                    served(&answer);
                    assert_eq!(
                        answer.header("x-hale-left-out"),
                        Some(left_out),
                        "{path} at {model}"
                    );
                    assert_eq!(has(&bodies(&upstream), "reasoning_effort"), [false]);
                }
            }
        }
    }
}

#[test]
fn an_effort_that_a_provider_refuses_is_learned_for_that_model_only() {
    let upstream = FakeUpstream::with(|request| {
        let body = request.json();
        let says = |message: &str, code: &str| {
            let error = json!({"message": message, "param": "reasoning_effort", "code": code});
            Script::with_status(400).json(&json!({"error": error}))
        };
        match (body["model"].as_str(), body["reasoning_effort"].as_str()) {
            (Some("none"), Some(_)) => says(
                "Unsupported parameter: 'reasoning_effort' is not supported with this model.",
                "unsupported_parameter",
            ),
            (Some("some"), Some("minimal" | "xhigh")) => says(
                "Unsupported value: 'reasoning_effort' does not support 'xhigh' with this model. Supported values are: 'low', 'medium', and 'high'.",
                "unsupported_value",
            ),
            _ => Script::answer(request),
        }
    });
    let hale = Config::new().with("*", "a", &upstream, json!({"model": "hosted_vllm/*"})).start();
    for model in ["none", "some", "all"] {
        for _ in 0..2 {
            let mut ask = openai::chat_request(model, "hi");
            ask["reasoning_effort"] = json!("xhigh");
            let answer = chat_with(&hale, &[], &ask);
            served(&answer);
            let left_out = (model == "none").then_some("reasoning_effort");
            assert_eq!(answer.header("x-hale-left-out"), left_out);
        }
    }
    let efforts: Vec<Value> =
        bodies(&upstream).iter().map(|body| body["reasoning_effort"].clone()).collect();
    let expected = json!(["xhigh", null, null, "xhigh", "high", "high", "xhigh", "xhigh"]);
    assert_eq!(json!(efforts), expected);
    let expected =
        json!({"none": ["no reasoning_effort"], "some": ["reasoning_effort: low, medium, high"]});
    assert_eq!(learned(&hale), expected);
}

#[test]
fn what_a_provider_quotes_of_one_request_changes_no_other() {
    // It refuses the request for what the client wrote, whatever Hale leaves out.
    let upstream = FakeUpstream::with(|request| {
        let body = request.json();
        let role = body["messages"][0]["role"].as_str().unwrap();
        let unknown = body.as_object().unwrap().keys().find(|name| name.contains(' '));
        let refusal = |message: String| {
            let error = openai::error(&message, "invalid_request_error", "invalid_value");
            Script::with_status(400).json(&error)
        };
        match unknown {
            _ if role != "user" => {
                refusal(format!("Invalid value: '{role}'. It is not supported."))
            }
            Some(name) => refusal(format!("Unrecognized request argument supplied: {name}")),
            None => Script::answer(request),
        }
    });
    let sibling = FakeUpstream::start();
    let hale = start("openai/gpt-5", &upstream, &sibling);
    let mut asked = openai::stream_request("m", "hi");
    asked["max_completion_tokens"] = json!(500);
    asked["reasoning_effort"] = json!("high");
    asked["stream_options"] = json!({"include_usage": true});
    for role in [
        "max_completion_tokens must be <= 7",
        "stream_options",
        "does not support thinking",
        "`reasoning_effort` must be one of low",
        "max_completion_tokens is not supported, use max_tokens",
    ] {
        let mut body = asked.clone();
        body["messages"][0]["role"] = json!(role);
        assert_eq!(chat_with(&hale, &[], &body).status, 400, "{role}");
    }
    for name in ["foo stream_options", "reasoning_effort x", "a user"] {
        let mut body = asked.clone();
        body[name] = json!(1);
        assert_eq!(chat_with(&hale, &[], &body).status, 400, "{name}");
    }
    assert_eq!(learned(&hale), json!({}));
    served(&chat_with(&hale, &[], &asked));
    let sent = upstream.requests().last().unwrap().json();
    for field in ["max_completion_tokens", "reasoning_effort", "stream_options"] {
        assert_eq!(sent[field], asked[field], "{field}");
    }
    assert!(sibling.requests().is_empty());
}

#[test]
fn what_a_client_did_wrong_teaches_nothing() {
    let refusal = json!({"error": {"message": "Unknown parameter: 'stream_options.foo'.", "param": "stream_options.foo",
        "code": "unknown_parameter"}});
    let upstream = FakeUpstream::with(move |_| Script::with_status(400).json(&refusal));
    let hale = Config::new().deployment("m", "a", &upstream).start();
    let mut ask = openai::stream_request("m", "hi");
    ask["stream_options"] = json!({"foo": 1});
    let answer = chat_with(&hale, &[], &ask);
    assert_eq!((answer.status, &error(&answer)["reason"]), (400, &json!("upstream_rejected")));
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(learned(&hale), json!({}));
}

#[test]
fn a_provider_that_refuses_either_name_is_not_asked_for_ever() {
    let upstream = FakeUpstream::with(|request| {
        let body = request.json();
        let name =
            if body.get("max_tokens").is_some() { "max_tokens" } else { "max_completion_tokens" };
        let other = if name == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
        let message =
            format!("Unsupported parameter: '{name}' is not supported. Use '{other}' instead.");
        Script::with_status(400).json(&json!({"error": {"message": message, "param": name}}))
    });
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "openai/mine"})).start();
    let mut ask = openai::chat_request("m", "hi");
    ask["max_tokens"] = json!(9);
    assert_eq!(chat_with(&hale, &[], &ask).status, 400);
    assert_eq!(upstream.requests().len(), 5);
    // A request without the limit is none of that.
    assert_eq!(chat(&hale, "m").status, 400);
}

#[test]
fn advice_that_a_provider_refuses_costs_no_request_on_any_wire() {
    let extra = |name: &str| json!({"message": format!("{name}: Extra inputs are not permitted"), "type": "invalid_request_error"});
    let effort = json!({"message": "This model does not support the effort parameter.", "type": "invalid_request_error"});
    let thinking = json!({"message": "adaptive thinking is not supported on this model", "type": "invalid_request_error"});
    let rows = [
        ("groq", CHAT, "prompt_cache_key", json!("thread-1"), extra("prompt_cache_key")),
        ("openai", "/v1/responses", "safety_identifier", json!("u"), extra("safety_identifier")),
        (
            "anthropic",
            MESSAGES,
            "context_management",
            json!({"edits": []}),
            extra("context_management"),
        ),
        ("anthropic", MESSAGES, "output_config", json!({"effort": "high"}), effort),
        ("anthropic", MESSAGES, "thinking", json!({"type": "adaptive"}), thinking),
    ];
    for (wire, path, field, value, refusal) in rows {
        for stream in [false, true] {
            let refusal = json!({"type": "error", "error": refusal});
            let upstream = FakeUpstream::with(move |request| {
                if request.json().get(field).is_some() {
                    return Script::with_status(400).json(&refusal);
                }
                match request.path.split('?').next().unwrap_or_default() {
                    path if path.ends_with("/messages") => anthropic::answer(request),
                    path if path.ends_with("/responses") => responses::answer(request),
                    _ => Script::answer(request),
                }
            });
            let params = json!({"model": format!("{wire}/mine")});
            let hale = Config::new().with("m", "a", &upstream, params).start();
            let mut ask = match path {
                "/v1/responses" => json!({"model": "m", "input": "hi"}),
                _ => anthropic::request("m", "hi"),
            };
            (ask[field], ask["stream"]) = (value.clone(), json!(stream));
            for _ in 0..2 {
                let answer = client(&hale).post_json(path, &[], &ask);
                assert_eq!(answer.status, 200, "{field}: {}", answer.text());
                let left_out = answer.header("x-hale-left-out").unwrap_or_default();
                assert!(left_out.starts_with(field), "{field}: {left_out:?}");
            }
            assert_eq!(has(&bodies(&upstream), field), [true, false, false], "{field}");
        }
    }
}

#[test]
fn what_a_messages_request_becomes_and_a_server_refuses_is_left_out() {
    let user = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "user"],
        "msg": "Extra inputs are not permitted", "input": "u"}]});
    let thinking =
        json!({"error": {"message": "\"llama3\" does not support thinking", "type": "api_error"}});
    let groq =
        json!({"error": {"message": "`reasoning_effort` must be one of `none` or `default`"}});
    for (status, body, field) in
        [(422, user, "user"), (400, thinking, "reasoning_effort"), (400, groq, "reasoning_effort")]
    {
        let upstream = FakeUpstream::with(move |request| match request.json().get(field) {
            Some(value) if value != "none" => Script::with_status(status).json(&body),
            Some(_) | None => Script::answer(request),
        });
        let params = json!({"model": "hosted_vllm/mine"});
        let hale = Config::new().with("m", "a", &upstream, params).start();
        let mut ask = anthropic::request("m", "hi");
        ask["max_tokens"] = json!(9000);
        ask["metadata"] = json!({"user_id": "u"});
        ask["thinking"] = json!({"type": "enabled", "budget_tokens": 4000});
        for _ in 0..2 {
            let answer = client(&hale).post_json(MESSAGES, &[], &ask);
            assert_eq!(answer.status, 200, "{field}: {}", answer.text());
        }
        assert_eq!(upstream.requests().len(), 3, "{field} is refused once");
    }
}

#[test]
fn members_of_messages_that_a_provider_refuses_are_left_out() {
    let groq = json!({"error": {"message": "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content.0' : property 'cache_control' is unsupported)]"}});
    let mistral = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", 0, "user", "name"],
        "msg": "Extra inputs are not permitted", "input": "ada"}]});
    let path = "messages[1].refusal";
    let openai = json!({"error": {"message": format!("Unknown parameter: '{path}'."), "param": path, "code": "unknown_parameter"}});
    for (status, body, word) in [
        (400, groq, "cache_control"),
        (422, mistral, "\"name\":\"ada\""),
        (400, openai, "\"refusal\""),
    ] {
        let upstream = FakeUpstream::with(move |request| match request.text().contains(word) {
            true => Script::with_status(status).json(&body),
            false => Script::answer(request),
        });
        let hale = Config::new().with("m", "a", &upstream, json!({"model": "openai/mine"})).start();
        for stream in [false, true] {
            let mut ask = openai::chat_request("m", "hi");
            let part =
                json!({"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}});
            ask["messages"] = json!([
                {"role": "user", "name": "ada", "content": [part]},
                {"role": "assistant", "content": "yo", "refusal": null, "annotations": []},
                {"role": "user", "content": "on"},
            ]);
            ask["stream"] = json!(stream);
            let answer = client(&hale).post_json("/v1/chat/completions", &[], &ask);
            assert_eq!(answer.status, 200, "{word}: {}", answer.text());
        }
        assert_eq!(upstream.requests().len(), 3, "{word} is refused once");
    }
}

#[test]
fn a_model_of_another_wire_that_does_not_reason_is_not_told_to() {
    let upstream = FakeUpstream::with(anthropic::answer);
    let params =
        json!({"model": "anthropic/mine", "api_key": "k", "api_base": upstream.api_base()});
    let info = json!({"id": "a", "supports_reasoning": false});
    let entry = json!({"model_name": "m", "litellm_params": params, "model_info": info});
    let hale = Config::new().entry(entry).start();
    let mut effort = openai::chat_request("m", "hi");
    effort["reasoning_effort"] = json!("high");
    let mut thinking = anthropic::request("m", "hi");
    thinking["thinking"] = json!({"type": "enabled", "budget_tokens": 2048});
    for (path, ask, left_out) in
        [(CHAT, effort, "reasoning_effort"), (MESSAGES, thinking, "thinking")]
    {
        let answer = client(&hale).post_json(path, &[], &ask);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-hale-left-out"), Some(left_out), "{path}");
    }
    for body in bodies(&upstream) {
        assert!(body.get("thinking").is_none() && body.get("output_config").is_none(), "{body}");
    }
}
