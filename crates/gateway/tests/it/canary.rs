//! Canaries: no credential of a config, and none of a client, appears anywhere.
//!
//! Always true: every field of a config that can hold a credential holds a unique one,
//! and everything that the process prints or sends is searched for them.

use std::fs;

use hale_testkit::{FakeUpstream, Hale, Response, Script, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, KEY, LOG, chat_with, client, eventually, hale, records};
use crate::tidy;

/// What all canaries begin with; none looks like a key of a known provider.
const CANARY: &str = "canary7d41";

/// The canary of that name.
pub(crate) fn canary(name: &str) -> String {
    format!("{CANARY}-{name}-0123456789")
}

/// The fields of `litellm_params` that may hold a credential.
const PARAMS: [&str; 14] = [
    "api_key",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_web_identity_token",
    "azure_ad_token",
    "client_secret",
    "azure_password",
    "vertex_credentials",
    "langfuse_secret_key",
    "proxy_password",
    "refresh_token",
    "my_own_auth",
    "signature",
];

/// A deployment with a canary in each of its fields.
fn laden(upstream: &FakeUpstream) -> Value {
    let mut params = json!({
        "model": "openai/gpt-4o",
        "api_base": upstream.api_base(),
        "extra_headers": {"x-tenant": canary("header"), "x-auth": format!("Bearer {}", canary("bearer"))},
        "headers": {"x-other": canary("other-header")},
        "extra_body": {"session_token": canary("body")},
        "nested": [{"inner_password": canary("nested")}],
    });
    for name in PARAMS {
        params[name] = json!(canary(name));
    }
    json!({
        "model_name": "m",
        "litellm_params": params,
        "model_info": {"id": "a", "api_key": canary("info"), "deep": {"x": [{"token": canary("deep")}]}},
    })
}

fn config(upstream: &FakeUpstream) -> Config {
    let named = json!({
        "model_name": "named",
        "litellm_params": {
            "model": "openai/gpt-4o", "api_base": upstream.api_base(), "litellm_credential_name": "shared",
        },
        "model_info": {"id": "b"},
    });
    let from_environment = json!({
        "model_name": "env",
        "litellm_params": {
            "model": "openai/gpt-4o", "api_base": upstream.api_base(), "api_key": "os.environ/OWN_KEY",
        },
        "model_info": {"id": "c"},
    });
    let through_the_proxy = json!({
        "model_name": "far",
        "litellm_params": {
            "model": "openai/gpt-4o", "api_base": "https://192.0.2.1/v1", "api_key": canary("far"),
        },
        "model_info": {"id": "d"},
    });
    let entry = |name: &str, model: &str, more: Value| {
        let mut params =
            json!({"model": model, "api_base": upstream.url(), "api_version": "2024-10-21"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"model_name": name, "litellm_params": params, "model_info": {"id": format!("id-{name}")}})
    };
    let identity = json!({
        "tenant_id": "tenant", "client_id": "client", "client_secret": canary("entra-secret"),
        "azure_authority_host": upstream.url(),
    });
    Config::new()
        .entry(entry("azure-key", "azure/x", json!({"api_key": canary("azure-key")})))
        .entry(entry("azure-token", "azure/x", json!({"azure_ad_token": canary("azure-token")})))
        .entry(entry("entra", "azure/x", identity))
        .entry(entry("claude", "anthropic/claude", json!({"api_key": canary("anthropic")})))
        .entry(through_the_proxy)
        .entry(laden(upstream))
        .entry(named)
        .entry(from_environment)
        .general(json!({
            "drain_endpoint_token": canary("drain"),
            "alerting_args": {"webhook_secret": canary("alert-hook")},
            "request_log": LOG,
            "mirror": {"url": "http://192.0.2.1", "percent": 100, "budget": 1, "api_key": canary("mirror")},
            "database_url": format!("postgresql://user:{}@host/db", canary("database")),
        }))
        .litellm(json!({
            "cache_params": {"type": "redis", "password": canary("redis")},
            "callbacks": ["langfuse", "langsmith", "datadog", "generic_api", "otel", "s3"],
            "generic_logger_headers": {"x-hook": canary("hook")},
            "s3_callback_params": {
                "s3_bucket_name": "b", "s3_endpoint_url": upstream.url(), "s3_aws_access_key_id": "id",
                "s3_aws_secret_access_key": canary("s3"), "s3_aws_session_token": canary("s3-token"),
            },
        }))
        .router(json!({
            "num_retries": 0, "disable_cooldowns": true, "redis_password": canary("router-redis"),
        }))
}

fn text(config: &Config) -> String {
    let mut all: Value = serde_json::from_str(&config.text()).unwrap();
    all["credential_list"] =
        json!([{"credential_name": "shared", "credential_values": {"api_key": canary("shared")}}]);
    let sinks = all["litellm_settings"]["s3_callback_params"]["s3_endpoint_url"].clone();
    all["environment_variables"] = json!({
        "OWN_KEY": canary("own"), "UNUSED_SECRET": canary("unused"),
        "LANGFUSE_HOST": sinks, "LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": canary("langfuse"),
        "LANGSMITH_BASE_URL": sinks, "LANGSMITH_API_KEY": canary("langsmith"),
        "DD_BASE_URL": sinks, "DD_SITE": "datadog.example", "DD_API_KEY": canary("datadog"),
        "GENERIC_LOGGER_ENDPOINT": sinks,
        "OTEL_EXPORTER_OTLP_ENDPOINT": sinks, "OTEL_EXPORTER_OTLP_HEADERS": format!("x-otel={}", canary("otel")),
    });
    all.to_string()
}

/// An upstream that repeats everything it was given.
pub(crate) fn gossip() -> FakeUpstream {
    FakeUpstream::with(|request| {
        let heard: Vec<String> =
            request.headers.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut heard = heard.join("; ");
        if request.path.contains("oauth2") {
            heard.push_str(&request.text());
        }
        let body = openai::error(&heard, &heard, &heard);
        match request.order % 4 {
            0 => Script::with_status(401).json(&body),
            1 => Script::with_status(500).body("text/plain", &heard),
            2 => Script::ok().json(&body),
            _ => {
                let begun = Script::ok().stream().event(&openai::content_chunk("gpt-4o", "x"));
                begun.event(&body).end()
            }
        }
    })
}

/// Everything that a client reads of an answer.
pub(crate) fn read(response: &Response) -> String {
    let headers: Vec<String> =
        response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{} {} {}", response.status, headers.join("\n"), response.text())
}

/// Requests every page and endpoint, and returns all the output.
fn everything(hale: &Hale) -> Vec<String> {
    let stranger = canary("of-a-stranger");
    let mut said = Vec::new();
    let pages = [
        "/",
        "/metrics",
        "/v1/models",
        "/v1/models/m",
        "/model/info",
        "/v1/model/info",
        "/model_group/info",
        "/routes",
        "/health/readiness",
        "/health/liveliness",
        "/router/state",
        "/router/deployments",
        "/router/deployments/a",
        "/router/explain",
        "/nowhere",
        CHAT,
    ];
    for page in pages {
        said.push(read(&client(hale).get(page)));
        said.push(read(&hale.client().get(page)));
        said.push(read(&hale.client_with_key(&stranger).get(page)));
        said.push(read(&hale.client().request("GET", page, &[("authorization", &stranger)], b"")));
    }
    for model in [
        "m",
        "named",
        "env",
        "far",
        "unknown",
        "a",
        "c",
        "azure-key",
        "azure-token",
        "entra",
        "claude",
    ] {
        for _ in 0..4 {
            for stream in [false, true] {
                let mut body = openai::chat_request(model, "hi");
                body["stream"] = json!(stream);
                said.push(read(&chat_with(hale, &[], &body)));
                body["max_tokens"] = json!(5);
                said.push(read(&client(hale).post_json("/v1/messages", &[], &body)));
            }
        }
    }
    for model in ["m", "azure-key", "entra", "claude", "unknown"] {
        let body = openai::chat_request(model, "hi");
        said.push(read(&client(hale).post_json("/router/explain", &[], &body)));
    }
    for act in ["reset", "disable", "enable", "nonsense"] {
        let path = format!("/router/deployments/a/{act}");
        said.push(read(&client(hale).post_json(&path, &[], &json!({}))));
    }
    for field in ["api_key", "extra_headers", "num_retries", "stream", "model"] {
        let mut body = openai::chat_request("m", "hi");
        body[field] = json!({"x": stranger});
        said.push(read(&chat_with(hale, &[], &body)));
    }
    let headers = [("x-litellm-timeout", stranger.as_str())];
    said.push(read(&chat_with(hale, &headers, &openai::chat_request("m", "hi"))));
    said.push(read(&client(hale).request("POST", CHAT, &[], stranger.as_bytes())));
    said
}

#[track_caller]
pub(crate) fn expect_silence(what: &str, said: &str) {
    for secret in [CANARY, KEY] {
        let Some(at) = said.find(secret) else { continue };
        let from = said[..at].char_indices().rev().nth(200).map_or(0, |(from, _)| from);
        let to = said[at..].char_indices().nth(60).map_or(said.len(), |(to, _)| at + to);
        panic!("a canary in {what}: {}", &said[from..to]);
    }
}

#[test]
fn no_canary_is_in_any_answer_metric_record_or_log_line_at_any_level() {
    for (json_lines, level) in
        [(false, None), (false, Some("--debug")), (true, Some("--detailed_debug"))]
    {
        let upstream = gossip();
        let launch = hale().config(&text(&config(&upstream))).arg("--num_workers").arg("1");
        let launch = level.into_iter().fold(launch, |launch, level| launch.arg(level));
        let launch = launch.env("JSON_LOGS", if json_lines { "true" } else { "false" });
        let proxy = format!("http://user:{}@127.0.0.1:1", canary("proxy"));
        let launch =
            launch.env("HTTPS_PROXY", &proxy).env("OPENAI_API_KEY", &canary("environment"));
        let mut hale = launch.start();
        let said = everything(&hale);
        for one in &said {
            expect_silence("an answer", one);
        }
        assert!(said.len() > 80 && upstream.requests().len() >= 40, "{} of it", said.len());
        assert!(said.iter().any(|one| one.contains("through the proxy 127.0.0.1")), "no proxy");
        // The upstreams did get their credentials.
        let sent: Vec<String> = upstream
            .requests()
            .iter()
            .map(|it| format!("{}{}", String::from_utf8_lossy(&it.raw_head), it.text()))
            .collect();
        for name in [
            "azure-key",
            "azure-token",
            "entra-secret",
            "anthropic",
            "api_key",
            "header",
            "bearer",
            "shared",
            "own",
        ] {
            assert!(sent.iter().any(|it| it.contains(&canary(name))), "{name} was not sent");
        }
        // A reload with an error logs its lines too.
        let mark = hale.mark();
        hale.rewrite_config(&text(&config(&upstream)).replace("model_list", "modle_list"));
        hale.wait_for_line_after(mark, "the one in force stays");
        eventually("records are written", || Some(records(&hale)).filter(|all| all.len() >= 40));
        hale.stop();
        expect_silence("the log", &hale.stderr());
        expect_silence("the output", &hale.stdout());
        expect_silence("the records", &fs::read_to_string(hale.dir().join(LOG)).unwrap());
    }
}

#[test]
fn no_canary_is_in_what_check_says() {
    let upstream = FakeUpstream::start();
    let good = text(&config(&upstream));
    // Each credential in turn is replaced by an invalid one.
    let mut texts = vec![good.clone()];
    for name in PARAMS
        .iter()
        .copied()
        .chain(["header", "shared", "own", "info", "redis", "database", "mirror"])
    {
        let canary = canary(name);
        texts.push(good.replace(&format!("\"{canary}\""), &format!("\"{canary} \\n\"")));
        texts.push(good.replace(&format!("\"{canary}\""), &format!("[\"{canary}\"]")));
        texts.push(good.replace(&format!("\"{canary}\""), &format!("\"{canary}")));
    }
    for text in texts {
        let done = hale().config(&text).arg("check").arg("config.yaml").run();
        assert!(matches!(done.code(), Some(0 | 1 | 78)), "{:?} {}", done.code(), done.stderr);
        expect_silence("what check says", &format!("{}{}", done.stdout, done.stderr));
    }
}

#[test]
fn every_key_of_a_config_that_sounds_like_a_credential_has_its_canary() {
    let reference = fs::read_to_string(tidy::root().join("docs/config.md")).unwrap();
    let upstream = FakeUpstream::start();
    let laden = text(&config(&upstream));
    let keys = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    // Served keys only: a key that is refused or has no effect is never stored.
    let credentials = keys.filter(|(key, tail)| {
        let words = ["api_key", "secret", "password", "token", "credential", "headers"];
        let counts = key.ends_with("tokens") || key.contains("cost_per") || key.contains("max_");
        let is_text = tail.starts_with(" | text") || tail.starts_with(" | mapping");
        is_text && !counts && words.iter().any(|word| key.contains(word))
    });
    let found: Vec<&str> = credentials.map(|(key, _)| key).collect();
    assert!(found.contains(&"api_key") && found.len() >= 3, "{found:?}");
    for key in found {
        assert!(laden.contains(&format!("\"{key}\"")), "{key} has no canary");
    }
}
