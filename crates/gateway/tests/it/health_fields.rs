//! Which fields belong to which mode: a provider that refuses every other field stays healthy.

use std::collections::BTreeSet;

use hale_testkit::{FakeUpstream, Request, Script, anthropic, openai, responses};
use serde_json::{Value, json};

use crate::health::{counts, health};
use crate::support::Config;

/// The fields that an upstream of each path knows. Source: the providers' references of these endpoints,
/// reduced to what a probe may need.
const KNOWN: [(&str, &[&str]); 5] = [
    ("/v1/chat/completions", &["model", "messages", "max_tokens", "reasoning_effort"]),
    ("/v1/completions", &["model", "prompt", "max_tokens"]),
    ("/v1/embeddings", &["model", "input"]),
    ("/v1/responses", &["model", "input", "max_output_tokens"]),
    ("/v1/messages", &["model", "messages", "max_tokens"]),
];

/// Refuses a request with a field that its path does not have.
fn strict(request: &Request) -> Script {
    let known = KNOWN.iter().find(|(path, _)| *path == request.path).map(|(_, fields)| *fields);
    let Some(known) = known else { return Script::error(404, "no such path") };
    let body = request.json();
    let unknown = body.as_object().unwrap().keys().find(|name| !known.contains(&name.as_str()));
    match unknown {
        Some(name) => Script::error(400, &format!("Unknown parameter: '{name}'.")),
        None if request.path == "/v1/messages" => anthropic::answer(request),
        None if request.path == "/v1/responses" => responses::answer(request),
        None => openai::answer(request),
    }
}

#[test]
fn a_provider_that_refuses_unknown_fields_is_healthy_in_every_mode() {
    // Requirement H5.
    let upstream = FakeUpstream::with(strict);
    let modes = [
        ("openai", "chat"),
        ("openai", "completion"),
        ("openai", "embedding"),
        ("openai", "responses"),
        ("anthropic", "anthropic_messages"),
    ];
    let config = modes.iter().enumerate().fold(Config::new(), |config, (i, (provider, mode))| {
        let base = if *provider == "openai" { upstream.api_base() } else { upstream.url() };
        let params = json!({
            "model": format!("{provider}/model-{i}"), "api_key": format!("key-{i:010}"), "api_base": base,
        });
        // Fields of other modes are not sent in this one.
        let info = json!({
            "id": mode, "mode": mode, "health_check_max_tokens": 5,
            "health_check_reasoning_effort": "low", "health_check_max_tokens_reasoning": 7,
            "health_check_prompt": "well?",
        });
        config.entry(json!({"model_name": mode, "litellm_params": params, "model_info": info}))
    });
    let (_, page) = health(&config.start(), "");
    assert_eq!(counts(&page), [5, 0, 0], "{page}");
    let asked: BTreeSet<String> = upstream.requests().iter().map(|it| it.path.clone()).collect();
    assert_eq!(asked.len(), 5, "{asked:?}");
    // It is as strict as it says.
    let config = Config::new().entry(json!({
        "model_name": "m",
        "litellm_params": {"model": "openai/x", "api_key": "k-0123456789", "api_base": upstream.api_base()},
        "model_info": {"id": "a", "mode": "embedding", "health_check_params": {"temperature": 1}},
    }));
    let (_, page) = health(&config.start(), "");
    assert_eq!(page["unchecked_endpoints"][0]["cause"], json!("probe_error"), "{page}");
    let sent: Vec<Value> = upstream.requests().iter().map(Request::json).collect();
    assert!(sent.iter().any(|body| body["reasoning_effort"] == "low"), "where it belongs");
}

/// The token limit in a probe of `model`, and the gateway's log.
fn limit(model: &str, info: &Value, environment: &[(&str, &str)]) -> (Value, String) {
    let upstream = FakeUpstream::start();
    let params =
        json!({"model": model, "api_key": "k-0123456789", "api_base": upstream.api_base()});
    let config = Config::new()
        .entry(json!({"model_name": model, "litellm_params": params, "model_info": info}));
    let launch =
        environment.iter().fold(config.launch(), |launch, (name, value)| launch.env(name, value));
    let hale = launch.start();
    health(&hale, "");
    let body = upstream.request(0).json();
    let limit = ["max_tokens", "max_completion_tokens"].iter().find_map(|name| body.get(*name));
    (limit.cloned().unwrap_or(Value::Null), hale.stderr())
}

#[test]
fn the_limit_of_tokens_is_the_deployment_s_then_its_kind_s_then_the_environment_s() {
    const ALL: &str = "BACKGROUND_HEALTH_CHECK_MAX_TOKENS";
    const REASONING: &str = "BACKGROUND_HEALTH_CHECK_MAX_TOKENS_REASONING";
    let (plain, reasons, pattern) = ("openai/my-model", "openai/o3-mini", "openai/*");
    let both = [(ALL, "4"), (REASONING, "9")];
    let named = |more: Value| {
        let mut info = json!({"id": "a"});
        info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        info
    };
    let kinds =
        json!({"health_check_max_tokens_non_reasoning": 6, "health_check_max_tokens_reasoning": 7});
    let own = json!({"health_check_max_tokens": 3, "health_check_max_tokens_non_reasoning": 6});
    let rows = [
        (plain, json!({}), &[][..], 1),
        (plain, json!({}), &both[..], 4),
        (plain, kinds.clone(), &both[..], 6),
        (plain, own, &both[..], 3),
        (reasons, json!({}), &both[..1], 4),
        (reasons, json!({}), &both[..], 9),
        (reasons, kinds.clone(), &both[..], 7),
        (pattern, json!({}), &both[1..], 10),
        (pattern, json!({}), &both[..], 4),
        (pattern, kinds, &[][..], 10),
    ];
    for (model, info, environment, expected) in rows {
        let (limit, _) = limit(model, &named(info.clone()), environment);
        assert_eq!(limit, expected, "{model} {info} {environment:?}");
    }
    let long = "x".repeat(17 << 10);
    let (_, said) = limit(plain, &named(json!({})), &[("DEFAULT_HEALTH_CHECK_PROMPT", &long)]);
    assert!(said.contains("DEFAULT_HEALTH_CHECK_PROMPT: is longer than 16 KiB"), "{said}");
    let (limit, said) = limit(plain, &named(json!({})), &[(ALL, "many")]);
    assert_eq!(limit, 1);
    assert!(said.contains(&format!("environment variable {ALL}")), "{said}");
}

#[test]
fn the_environment_s_probe_interval_counts_where_no_key_is_written() {
    let upstream = FakeUpstream::start();
    let config = |more: Value| {
        Config::new()
            .deployment("m", "a", &upstream)
            .general(json!({"background_health_checks": true}))
            .general(more)
    };
    for (more, says) in [
        (json!({}), "interval_seconds=70"),
        (json!({"health_check_interval": "60"}), "interval_seconds=60"),
    ] {
        let hale = config(more).launch().env("DEFAULT_HEALTH_CHECK_INTERVAL", "70").start();
        let line = hale.wait_for_line("background_health_check_loop_started");
        assert!(line.contains(says) && line.contains("max_concurrency=16"), "{line}");
    }
}
