//! Canaries with every provider: no credential of a deployment appears in what its health probes show.
//!
//! Always true: every provider of the table has a deployment with a canary in each field that can hold a
//! credential, and everything that the process says about its health is searched for them.

use hale_core::operation::Operation;
use hale_core::provider::{self, Addressing, Provider, WireFormat};
use hale_testkit::{FakeUpstream, Hale, openai};
use serde_json::{Value, json};

use crate::canary::{canary, expect_silence, gossip, read};
use crate::health::health;
use crate::support::{Config, LOG, chat_with, client, column, hale, within};

/// Fields of `litellm_params` that hold a credential with one provider or another.
const FIELDS: [&str; 16] = [
    "api_key",
    "organization",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "aws_web_identity_token",
    "aws_bearer_token_bedrock",
    "azure_ad_token",
    "azure_password",
    "client_secret",
    "vertex_credentials",
    "vertex_ai_credentials",
    "watsonx_token",
    "oci_key",
    "proxy_password",
    "refresh_token",
];

/// Those of them that the gateway does not know.
const UNKNOWN: [&str; 4] = ["watsonx_token", "oci_key", "proxy_password", "refresh_token"];

/// The params of a deployment of `provider` with a canary in every field.
fn laden(provider: &Provider, base: &str) -> Value {
    let name = &*provider.name;
    let is_azure = provider.addressing == Addressing::Azure;
    let own = |field: &str| canary(&format!("{name}-{field}"));
    let mut params = json!({
        "model": format!("{name}/{}", if provider.serves(Operation::Chat) { "model" } else { "rerank-model" }),
        "api_base": base,
        "extra_headers": {"x-auth": format!("Bearer {}", own("header")), "x-tenant": own("tenant")},
        "vertex_credentials": {"private_key": own("vertex"), "client_email": own("email-token")},
    });
    // What the gateway does not know is passed on as it is, where the wire lets it.
    let passes = provider.wire == WireFormat::OpenAi;
    if passes {
        params["extra_body"] = json!({"session_token": own("body")});
    }
    if is_azure {
        params["api_version"] = json!("2024-10-21");
    }
    // The config accepts one of two ways to authenticate.
    let fields = FIELDS.iter().filter(|field| !(is_azure && field.starts_with("azure_ad")));
    for field in fields.filter(|field| passes || !UNKNOWN.contains(field)) {
        if params.get(*field).is_none() {
            params[*field] = json!(own(field));
        }
    }
    params
}

fn entry(id: &str, params: Value) -> Value {
    let info =
        json!({"id": id, "api_key": canary("of-model-info"), "deep": [{"secret": canary("deep")}]});
    json!({"model_name": id, "litellm_params": params, "model_info": info})
}

/// Every provider, and the ids of its deployments.
fn config(upstream: &FakeUpstream) -> (Config, Vec<String>) {
    let mut config = Config::new()
        .general(json!({"request_log": LOG}))
        .router(json!({"num_retries": 0, "disable_cooldowns": true}));
    let mut ids = Vec::new();
    let mut add = |config: Config, id: String, params: Value| {
        ids.push(id.clone());
        config.entry(entry(&id, params))
    };
    for provider in provider::all() {
        let name = &*provider.name;
        let is_azure = provider.addressing == Addressing::Azure;
        let base = if is_azure { upstream.url() } else { upstream.api_base() };
        config = add(config, format!("p-{name}"), laden(provider, &base));
    }
    let azure = |more: Value| {
        let mut params =
            json!({"model": "azure/x", "api_base": upstream.url(), "api_version": "2024-10-21"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        params
    };
    config = add(config, "token".into(), azure(json!({"azure_ad_token": canary("azure-token")})));
    let identity = json!({
        "tenant_id": "tenant", "client_id": "client", "client_secret": canary("entra-secret"),
        "azure_authority_host": upstream.url(),
    });
    config = add(config, "identity".into(), azure(identity));
    (config, ids)
}

fn get(hale: &Hale, path: &str) -> String {
    read(&client(hale).get(path))
}

/// Requests every page about health and models.
fn pages(hale: &Hale, ids: &[String]) -> Vec<String> {
    let fixed = [
        "/health",
        "/health/readiness",
        "/health/readiness/details",
        "/health/backlog",
        "/v1/models",
        "/v1/models?healthy_only=true",
        "/v1/model/info",
        "/model/info",
        "/model_group/info",
        "/router/state",
        "/router/deployments",
        "/metrics",
    ];
    let mut said: Vec<String> = fixed.iter().map(|path| get(hale, path)).collect();
    for id in ids {
        said.push(get(hale, &format!("/health?model_id={id}")));
        said.push(get(hale, &format!("/router/deployments/{id}")));
        let body = openai::chat_request(id, "hi");
        said.push(read(&client(hale).post_json("/router/explain", &[], &body)));
    }
    said
}

fn launch(config: &Config, json_logs: &str) -> Hale {
    let launch = hale().config(&config.text()).arg("--num_workers").arg("1");
    launch.arg("--detailed_debug").env("JSON_LOGS", json_logs).start()
}

/// Addresses that hold credentials, of one provider.
fn with_credentials_in_addresses(provider: &Provider) -> Config {
    let user = format!("http://user:{}@127.0.0.1:1/v1", canary("user-in-base"));
    let key = format!("http://127.0.0.1:1/v1?key={}", canary("key-in-base"));
    [("user", user), ("query", key)].iter().fold(Config::new(), |config, (name, base)| {
        config.entry(entry(name, laden(provider, base)))
    })
}

#[track_caller]
fn expect_silence_of(mut hale: Hale, said: &[String]) {
    for one in said {
        expect_silence("an answer", one);
    }
    hale.stop();
    let (log, output) = (hale.stderr(), hale.stdout());
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "everything is logged");
    expect_silence("the log", &log);
    expect_silence("the output", &output);
    let records = std::fs::read_to_string(hale.dir().join(LOG)).unwrap_or_default();
    expect_silence("the records", &records);
}

#[test]
fn no_provider_s_credential_is_on_a_live_page_of_health_or_in_the_log() {
    let upstream = gossip();
    let (config, ids) = config(&upstream);
    let hale = launch(&config, "false");
    let (status, page) = health(&hale, "");
    assert_eq!(status, 200);
    assert_eq!(crate::health::counts(&page).iter().sum::<u64>(), ids.len() as u64);
    // Their probes were sent, each with its credential.
    let heads: String = upstream
        .requests()
        .iter()
        .map(|it| String::from_utf8_lossy(&it.raw_head).into_owned())
        .collect();
    for provider in provider::all() {
        let name = &*provider.name;
        let key = canary(&format!("{name}-api_key"));
        assert!(
            heads.contains(&key),
            "the key of {name} was not sent: {:?}",
            crate::health::entry(&page, &format!("p-{name}"))
        );
        assert!(heads.contains(&canary(&format!("{name}-header"))), "the header of {name}");
    }
    let mut said = vec![page.to_string()];
    said.extend(pages(&hale, &ids));
    for id in &ids {
        said.push(get(&hale, &format!("/health?model={id}")));
        let test = json!({"model_info": {"id": id}});
        said.push(read(&client(&hale).post_json("/health/test_connection", &[], &test)));
    }
    let mark = hale.mark();
    let leaky = with_credentials_in_addresses(provider::all().next().unwrap());
    hale.rewrite_config(&leaky.text());
    hale.wait_for_line_after(mark, "config reloaded");
    // The addresses are on no page, though their deployments are.
    said.push(get(&hale, "/model/info"));
    said.push(get(&hale, "/health"));
    said.push(get(&hale, "/router/state"));
    expect_silence_of(hale, &said);
}

#[test]
fn an_address_with_credentials_stops_its_deployment_and_is_not_repeated() {
    for provider in provider::all() {
        let text = with_credentials_in_addresses(provider).text();
        let done = hale().config(&text).arg("check").arg("config.yaml").run();
        let said = format!("{}{}", done.stdout, done.stderr);
        assert_eq!(done.code(), Some(1), "{said}");
        // Each is told once where it stands, and counted once in the last line.
        let last = said.lines().find(|line| line.contains("0 of 2 deployments can be served"));
        for problem in ["contains a user name or password", "has a query or a fragment"] {
            assert_eq!(said.matches(problem).count(), 2, "{problem} in {said}");
            let counted = format!("api_base {problem} (1)");
            assert!(last.is_some_and(|last| last.contains(&counted)), "{problem} in {said}");
        }
        expect_silence("what is said about the config", &said);
    }
}

#[test]
fn no_provider_s_credential_is_on_a_page_of_background_probes_or_of_traffic() {
    let upstream = gossip();
    let (config, ids) = config(&upstream);
    let config = config.general(json!({
        "background_health_checks": true, "enable_health_check_routing": true,
        "health_check_interval": 1, "health_check_skip_if_live_success": false,
    }));
    let hale = launch(&config, "true");
    let limit = std::time::Duration::from_secs(60);
    within(limit, "everybody was checked", || {
        let unchecked = column(&health(&hale, "").1["unchecked_endpoints"], "cause");
        unchecked.iter().all(|cause| !cause.is_null()).then_some(())
    });
    let mut said = Vec::new();
    for id in &ids {
        for stream in [false, true] {
            let mut body = openai::chat_request(id, "hi");
            body["stream"] = json!(stream);
            said.push(read(&chat_with(&hale, &[], &body)));
        }
    }
    said.extend(pages(&hale, &ids));
    expect_silence_of(hale, &said);
}
