//! Limits of answers, and what coding agents send to servers of Anthropic's format, are fitted once a provider refuses them.

use hale_testkit::{FakeUpstream, Hale, Request, Script, anthropic, openai, responses};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, client};

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const COMPLETIONS: &str = "/v1/completions";

fn answer(request: &Request) -> Script {
    match request.path.split('?').next().unwrap_or_default() {
        path if path.ends_with("/messages") => anthropic::answer(request),
        path if path.ends_with("/responses") => responses::answer(request),
        _ => Script::answer(request),
    }
}

/// The limit of a request's answer, by whatever name.
fn limit(request: &Request) -> Option<u64> {
    let body = request.json();
    let names = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    names.iter().find_map(|name| body[*name].as_u64())
}

/// An upstream that takes answers of `most` tokens, and says so in `words`.
fn taking(most: u64, words: String) -> FakeUpstream {
    FakeUpstream::with(move |request| match limit(request) {
        Some(wanted) if wanted > most => Script::with_status(400).json(
            &json!({"type": "error", "error": {"message": words, "type": "invalid_request_error"}}),
        ),
        Some(_) | None => answer(request),
    })
}

fn learned(hale: &Hale) -> Value {
    client(hale).get("/router/state").json()["deployments"][0]["learned"].clone()
}

fn limits(upstream: &FakeUpstream) -> Vec<Option<u64>> {
    upstream.requests().iter().map(limit).collect()
}

#[test]
fn a_limit_beyond_the_model_is_fitted_to_the_number_that_the_refusal_names() {
    let too_large = "max_tokens is too large: 32000. This model supports at most 16384 completion tokens, whereas you provided 32000.";
    let range = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]";
    let of_claude =
        "max_tokens: 32000 > 2048, which is the maximum allowed number of output tokens for x";
    let of_bedrock = "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower than 4096.";
    let rows = [
        ("openai/gpt-4o", MESSAGES, "max_tokens", too_large, 16_384),
        ("openai/gpt-4o", CHAT, "max_completion_tokens", too_large, 16_384),
        ("openai/gpt-5", CHAT, "max_tokens", too_large, 16_384),
        ("openai/gpt-4o", RESPONSES, "max_output_tokens", too_large, 16_384),
        ("openai/gpt-4o", COMPLETIONS, "max_tokens", too_large, 16_384),
        ("deepseek/deepseek-chat", MESSAGES, "max_tokens", range, 8192),
        ("deepseek/deepseek-chat", CHAT, "max_completion_tokens", range, 8192),
        ("anthropic/x", MESSAGES, "max_tokens", of_claude, 2048),
        ("anthropic/x", CHAT, "max_tokens", of_claude, 2048),
        ("hosted_vllm/mine", MESSAGES, "max_tokens", of_bedrock, 4096),
    ];
    for (model, path, field, words, most) in rows {
        for stream in [false, true] {
            let upstream = taking(most, words.to_owned());
            let hale = Config::new().with("m", "a", &upstream, json!({"model": model})).start();
            let mut ask = match path {
                RESPONSES => json!({"model": "m", "input": "hi"}),
                COMPLETIONS => json!({"model": "m", "prompt": "hi"}),
                _ => openai::chat_request("m", "hi"),
            };
            ask["stream"] = json!(stream);
            for wanted in [32_000, 32_000, most, 9] {
                ask[field] = json!(wanted);
                let answer = client(&hale).post_json(path, &[], &ask);
                assert_eq!(answer.status, 200, "{model} {path}: {}", answer.text());
                assert_ne!(answer.header("x-litellm-attempted-retries"), Some("1"));
                let told = answer.header("x-hale-left-out");
                assert_eq!(told, (wanted > most).then_some(field), "{model} {path} {wanted}");
            }
            let sent = [32_000, most, most, most, 9].map(Some);
            assert_eq!(limits(&upstream), sent, "{model} {path} {stream}");
            let known = format!("at most {most} tokens of an answer");
            assert_eq!(learned(&hale), json!({"": [known]}), "{model} {path}");
        }
    }
}

#[test]
fn a_limit_that_hale_or_the_config_adds_is_taken_back() {
    let words = |sent: u64| {
        format!(
            "max_tokens: {sent} > 2048, which is the maximum allowed number of output tokens for x"
        )
    };
    for (params, path, sent) in [
        (json!({"model": "anthropic/x"}), CHAT, 4096),
        (json!({"model": "anthropic/x", "max_tokens": 9000}), CHAT, 9000),
        (json!({"model": "openai/gpt-5", "max_tokens": 9000}), CHAT, 9000),
        (json!({"model": "openai/x", "max_tokens": 9000}), COMPLETIONS, 9000),
        (json!({"model": "openai/x", "max_tokens": 9000}), RESPONSES, 9000),
        (json!({"model": "openai/x", "max_tokens": 9000}), CHAT, 9000),
    ] {
        let upstream = taking(2048, words(sent));
        let hale = Config::new().with("m", "a", &upstream, params.clone()).start();
        for _ in 0..2 {
            let ask = match path {
                RESPONSES => json!({"model": "m", "input": "hi"}),
                COMPLETIONS => json!({"model": "m", "prompt": "hi"}),
                _ => openai::chat_request("m", "hi"),
            };
            let answer = client(&hale).post_json(path, &[], &ask);
            assert_eq!(answer.status, 200, "{params} {path}: {}", answer.text());
        }
        let expected = [sent, 2048, 2048].map(Some);
        assert_eq!(limits(&upstream), expected, "{params} {path}");
    }
}

#[test]
fn thinking_keeps_half_of_a_limit_that_was_fitted() {
    let words =
        "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for x";
    let upstream = taking(8192, words.to_owned());
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
    let mut ask = anthropic::request("m", "hi");
    ask["max_tokens"] = json!(32_000);
    ask["thinking"] = json!({"type": "enabled", "budget_tokens": 31_999});
    assert_eq!(client(&hale).post_json(MESSAGES, &[], &ask).status, 200);
    let last = upstream.requests().last().unwrap().json();
    assert_eq!(last["thinking"], json!({"type": "enabled", "budget_tokens": 4096}));
    ask["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    assert_eq!(client(&hale).post_json(MESSAGES, &[], &ask).status, 200);
    let last = upstream.requests().last().unwrap().json();
    assert_eq!(last["thinking"]["budget_tokens"], 2000);
}

#[test]
fn a_request_that_is_too_long_is_no_limit_of_answers() {
    let words = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again";
    let upstream = taking(100, words.to_owned());
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
    let mut ask = anthropic::request("m", "hi");
    ask["max_tokens"] = json!(20_000);
    assert_eq!(client(&hale).post_json(MESSAGES, &[], &ask).status, 400);
    assert_eq!((upstream.requests().len(), learned(&hale)), (1, json!({})));
}

/// What Claude Code sends in its requests.
fn session() -> Value {
    let mark = json!({"type": "ephemeral", "ttl": "1h", "scope": "global"});
    json!({
        "model": "m", "max_tokens": 9000, "service_tier": "auto", "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "system": [{"type": "text", "text": "be brief", "cache_control": mark}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": true,
            "eager_input_streaming": true, "cache_control": mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}],
    })
}

#[test]
fn what_a_server_of_anthropics_format_refuses_is_taken_back_and_all_else_stays() {
    let adaptive = "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: 'disabled', 'enabled'";
    let rows: [(&str, &str); 8] = [
        ("\"adaptive\"", adaptive),
        ("\"output_config\"", "output_config: Extra inputs are not permitted"),
        ("\"scope\"", "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted"),
        ("\"ttl\"", "`cache_control.ttl: 1h` is not supported"),
        (
            "\"eager_input_streaming\"",
            "tools.0.custom.eager_input_streaming: Extra inputs are not permitted",
        ),
        ("\"defer_loading\"", "tools.0.custom.defer_loading: Extra inputs are not permitted"),
        ("\"service_tier\"", "service_tier: Extra inputs are not permitted"),
        (
            "\"ttl\"",
            "messages.0.content.0.cache_control.ephemeral.ttl: Extra inputs are not permitted",
        ),
    ];
    for (refused, words) in rows {
        for stream in [false, true] {
            let upstream = FakeUpstream::with(move |request| {
                if request.text().contains(refused) {
                    let error = json!({"type": "invalid_request_error", "message": words});
                    return Script::with_status(400)
                        .json(&json!({"type": "error", "error": error}));
                }
                anthropic::answer(request)
            });
            let hale =
                Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
            let mut ask = session();
            ask["stream"] = json!(stream);
            for _ in 0..2 {
                let answer = client(&hale).post_json(MESSAGES, &[], &ask);
                assert_eq!(answer.status, 200, "{refused}: {}", answer.text());
            }
            let sent: Vec<bool> =
                upstream.requests().iter().map(|it| it.text().contains(refused)).collect();
            assert_eq!(sent, [true, false, false], "{refused}");
            let last = upstream.requests().last().unwrap().json();
            for marked in
                [&last["system"][0], &last["tools"][0], &last["messages"][0]["content"][0]]
            {
                assert_eq!(marked["cache_control"]["type"], "ephemeral", "{refused}: {last}");
            }
            assert_eq!(last["tools"][0]["name"], "f");
        }
    }
}

#[test]
fn a_server_that_refuses_all_that_is_newer_answers_once_it_has_said_so() {
    let refused = [
        (
            "\"adaptive\"",
            "thinking: Input tag 'adaptive' found using 'type' does not match any of the expected tags: 'disabled', 'enabled'",
        ),
        ("\"output_config\"", "output_config: Extra inputs are not permitted"),
        ("\"scope\"", "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted"),
        ("\"service_tier\"", "service_tier: Extra inputs are not permitted"),
    ];
    let upstream = FakeUpstream::with(move |request| {
        let text = request.text();
        match refused.iter().find(|(field, _)| text.contains(field)) {
            Some((_, words)) => Script::with_status(400)
                .json(&json!({"type": "error", "error": {"type": "invalid_request_error", "message": words}})),
            None => anthropic::answer(request),
        }
    });
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
    let answer = client(&hale).post_json(MESSAGES, &[], &session());
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.requests().len(), 5);
    // A model that is told how much to think is told so on.
    let mut ask = session();
    ask["thinking"] = json!({"type": "enabled", "budget_tokens": 2000});
    assert_eq!(client(&hale).post_json(MESSAGES, &[], &ask).status, 200);
    assert_eq!(upstream.requests().last().unwrap().json()["thinking"]["budget_tokens"], 2000);
}

#[test]
fn counts_of_a_server_that_refuses_newer_members_are_its_own() {
    let words = "tools.0.custom.defer_loading: Extra inputs are not permitted";
    let upstream = FakeUpstream::with(move |request| {
        match request.text().contains("defer_loading") {
        true => Script::with_status(400)
            .json(&json!({"type": "error", "error": {"type": "invalid_request_error", "message": words}})),
        false => anthropic::answer(request),
    }
    });
    let hale = Config::new().with("m", "a", &upstream, json!({"model": "anthropic/x"})).start();
    let path = "/v1/messages/count_tokens";
    for _ in 0..2 {
        let answer = client(&hale).post_json(path, &[], &session());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn each_model_of_a_pattern_has_its_own_limit_however_the_refusal_is_written() {
    let refused = json!({"detail": [{"type": "less_than_equal", "loc": ["body", "max_tokens"],
        "msg": "Input should be less than or equal to 4096", "input": 9000, "ctx": {"le": 4096}}]});
    let upstream = FakeUpstream::with(move |request| {
        let is_small = request.json()["model"] == "small";
        match limit(request) {
            Some(wanted) if is_small && wanted > 4096 => Script::with_status(422).json(&refused),
            Some(_) | None => answer(request),
        }
    });
    let hale = Config::new().with("*", "a", &upstream, json!({"model": "hosted_vllm/*"})).start();
    for model in ["small", "small", "large"] {
        let mut ask = anthropic::request(model, "hi");
        ask["max_tokens"] = json!(9000);
        let answer = client(&hale).post_json(MESSAGES, &[], &ask);
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
    }
    assert_eq!(limits(&upstream), [9000, 4096, 4096, 9000].map(Some));
    assert_eq!(learned(&hale), json!({"small": ["at most 4096 tokens of an answer"]}));
}
