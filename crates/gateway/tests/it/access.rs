//! Which client may request what: keys, roles, routes and addresses.

use hale_testkit::{Client, FakeUpstream, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, KEY, client, column, expect_error, hale, lone};

#[test]
fn the_key_is_taken_from_each_documented_header() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"litellm_key_header_name": "X-Our-Key"})).start();
    let bearer = format!("Bearer {KEY}");
    let ask = |headers: &[(&str, &str)]| {
        hale.client().post_json(CHAT, headers, &openai::chat_request("m", "hi"))
    };
    let names = [
        "x-our-key",
        "X-LiteLLM-Api-Key",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "Ocp-Apim-Subscription-Key",
    ];
    for name in names {
        for value in [KEY, &bearer] {
            assert_eq!(ask(&[(name, value)]).status, 200, "{name}: {value}");
        }
        expect_error(&ask(&[(name, "sk-wrong-wrong-wrong-wrong")]), 401, "invalid_api_key");
    }
    for value in [&bearer, &format!("bearer {KEY}"), &format!("BEARER   {KEY}")] {
        assert_eq!(ask(&[("Authorization", value)]).status, 200, "{value}");
    }
    expect_error(&ask(&[]), 401, "missing_api_key");
}

#[test]
fn a_malformed_or_doubled_key_is_refused_even_beside_a_good_one() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let good = format!("Bearer {KEY}");
    let spaced = format!("Bearer {KEY} extra");
    let ask = |headers: &[(&str, &str)]| hale.client().request("GET", "/v1/models", headers, b"");
    for value in [KEY, "Basic c2s6", "Bearer", "Bearer ", "Bear er x", &spaced] {
        let answer = ask(&[("authorization", value), ("x-api-key", KEY)]);
        expect_error(&answer, 401, "malformed_api_key");
    }
    expect_error(
        &ask(&[("authorization", &good), ("authorization", &good)]),
        401,
        "malformed_api_key",
    );
    expect_error(&ask(&[("x-api-key", "")]), 401, "missing_api_key");
    for wrong in [&KEY[1..], &KEY[..KEY.len() - 1], &format!("{KEY}x"), &KEY.to_uppercase()] {
        expect_error(&ask(&[("x-api-key", wrong)]), 401, "invalid_api_key");
    }
    let long = "k".repeat(20_000);
    expect_error(&ask(&[("x-api-key", &long)]), 401, "invalid_api_key");
}

#[test]
fn no_refusal_repeats_the_key_that_was_sent() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let answer = hale.client_with_key("sk-not-this-one-please").get("/v1/models");
    assert!(!answer.text().contains("not-this-one"), "{}", answer.text());
    assert!(!hale.stderr().contains("not-this-one"), "{}", hale.stderr());
}

#[test]
fn every_row_but_the_public_ones_needs_the_key() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut anonymous = hale.client();
    let operations = ["chat/completions", "completions", "embeddings"];
    for operation in operations {
        for prefix in ["/v1/", "/", "/engines/m/", "/openai/deployments/m/"] {
            let path = format!("{prefix}{operation}");
            let answer = anonymous.post_json(&path, &[], &openai::chat_request("m", "hi"));
            expect_error(&answer, 401, "missing_api_key");
        }
    }
    for path in [
        "/v1/models",
        "/models",
        "/v1/models/m",
        "/models/m",
        "/v1/model/info",
        "/model/info",
        "/model_group/info",
        "/router/settings",
        "/metrics",
    ] {
        expect_error(&anonymous.get(path), 401, "missing_api_key");
        assert_eq!(client(&hale).get(path).status, 200, "{path}");
    }
    for path in ["/", "/routes", "/health/liveliness", "/health/liveness", "/health/readiness"] {
        assert_eq!(anonymous.get(path).status, 200, "{path}");
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn the_metrics_page_can_be_opened() {
    let upstream = FakeUpstream::start();
    let open = json!({"require_auth_for_metrics_endpoint": false});
    let hale = lone(&upstream).litellm(open).start();
    assert_eq!(hale.client().get("/metrics").status, 200);
    expect_error(&hale.client().get("/v1/models"), 401, "missing_api_key");
}

#[test]
fn an_unknown_route_names_the_nearest_and_a_wrong_method_the_right_one() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut own = client(&hale);
    let near = [
        ("POST", "/v1/chat/completion", "/v1/chat/completions"),
        ("POST", "/v1/chat/complietions", "/v1/chat/completions"),
        ("GET", "/v1/modles", "/v1/models"),
        ("GET", "/health/readyness", "/health/readiness"),
    ];
    for (method, path, nearest) in near {
        let error = expect_error(&own.request(method, path, &[], b""), 404, "unknown_route");
        assert!(error["message"].as_str().unwrap().contains(nearest), "{error}");
    }
    for (method, path, about) in [
        ("POST", "/key/bulk_update", "virtual keys, and this version does not serve it; keys have"),
        ("GET", "/v2/key/info", "virtual keys"),
        ("POST", "/team/permissions_update", "teams and organizations"),
        ("GET", "/config/list", "models and settings that a database keeps"),
        ("GET", "/cost/estimate", "reports of costs"),
        ("GET", "/sso/callback", "the pages of LiteLLM's user interface"),
        ("POST", "/v1/vector_stores", "vector stores"),
    ] {
        let error = expect_error(&own.request(method, path, &[], b""), 404, "not_served");
        let says = format!("{method} {path} is about {about}");
        assert!(error["message"].as_str().unwrap().starts_with(&says), "{error}");
    }
    for path in ["/completely/different/thing", "/v1/chat/completions/x/y", "/%00", "/../../etc"] {
        expect_error(&own.request("GET", path, &[], b""), 404, "unknown_route");
    }
    let wrong =
        [("GET", CHAT, "POST"), ("DELETE", "/v1/models", "GET"), ("PUT", "/metrics", "GET")];
    for (method, path, allowed) in wrong {
        let answer = own.request(method, path, &[], b"");
        expect_error(&answer, 405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[test]
fn head_answers_like_get_without_a_body() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut anonymous = hale.client();
    for path in ["/health/liveliness", "/health/readiness"] {
        let answer = anonymous.request("HEAD", path, &[], b"");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{path}");
        let length = answer.header("content-length").map(str::to_owned);
        let full = anonymous.get(path).body.len().to_string();
        assert!(length.is_none_or(|it| it == full), "{path}: another length than GET's");
    }
    // The connection is still in step.
    let alive = anonymous.get("/health/liveliness");
    assert_eq!(alive.text(), "\"I'm alive!\"");
    assert_eq!(alive.header("content-type"), Some("application/json"));
}

#[test]
fn readiness_has_the_reference_shape_and_can_be_cut() {
    let upstream = FakeUpstream::start();
    let full = lone(&upstream).start().client().get("/health/readiness").json();
    assert_eq!((&full["status"], &full["db"]), (&json!("connected"), &json!("connected")));
    assert_eq!(full["litellm_version"], "1.106.2");
    assert!(full["hale_version"].is_string() && full.get("cache").is_some(), "{full}");
    let hale = lone(&upstream).general(json!({"health_check_details": false})).start();
    let short = hale.client().get("/health/readiness").json();
    assert_eq!(short, json!({"status": "connected", "db": "connected"}));
}

#[test]
fn without_a_master_key_loopback_is_open_with_a_warning() {
    let upstream = FakeUpstream::start();
    let hale = Config::open().deployment("m", "a", &upstream).start();
    let answer = hale.client().post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    assert_eq!(answer.status, 200);
    assert_eq!(hale.client_with_key("anything").get("/v1/models").status, 200);
    assert!(hale.stderr().contains("no master_key is set"), "{}", hale.stderr());
}

#[test]
fn a_published_or_missing_key_on_a_public_address_is_refused_with_both_ways_out() {
    // Bad input, row 30.
    let upstream = FakeUpstream::start();
    let base = Config::open().deployment("m", "a", &upstream);
    let published = [
        "sk-1234",
        "sk-1234567890abcdef",
        "sk-your-master-key-here",
        "<your-master-key-here>",
        "${LITELLM_MASTER_KEY}",
        "${LITELLM_MASTER_KEY:-sk-1234}",
    ];
    let configs = published.map(|key| base.clone().general(json!({"master_key": key})));
    for config in configs.iter().chain([&base]) {
        let run = hale().config(&config.text());
        let args = ["--config", "config.yaml", "--host", "0.0.0.0", "--port", "0"];
        let done = args.into_iter().fold(run, |run, arg| run.arg(arg)).run();
        assert_eq!(done.code(), Some(78), "{}", done.stderr);
        for way in ["dangerously_permit_weak_or_unset_master_key: true", "master_key of at least"] {
            assert!(done.stderr.contains(way), "{}", done.stderr);
        }
        assert!(!published.iter().any(|key| done.stderr.contains(key)), "{}", done.stderr);
    }
    let on_loopback = configs[0].start();
    assert!(on_loopback.stderr().contains("is a published one"), "{}", on_loopback.stderr());
    assert_eq!(on_loopback.client_with_key("sk-1234").get("/v1/models").status, 200);
}

#[test]
fn a_short_key_of_ones_own_is_served_everywhere_with_a_warning() {
    let upstream = FakeUpstream::start();
    for key in ["short", "fifteen-letters"] {
        let config = Config::open().deployment("m", "a", &upstream);
        let config = config.general(json!({"master_key": key}));
        let hale = config.launch().host("0.0.0.0").start();
        assert!(hale.stderr().contains("fewer than 16 characters"), "{}", hale.stderr());
        assert_eq!(hale.client_with_key(key).get("/v1/models").status, 200);
        assert_eq!(hale.client_with_key("other").get("/v1/models").status, 401);
    }
}

#[test]
fn a_gateway_that_can_serve_nothing_is_not_ready_and_says_so_when_it_starts() {
    let text = "model_list:\n- {model_name: m, litellm_params: {model: watsonx/x}}\n";
    let none = hale().config(text).start();
    let answer = none.client().get("/health/readiness");
    let told = (answer.status, answer.json()["status"].clone());
    assert_eq!(told, (503, json!("no_deployments")));
    assert_eq!(none.client().get("/health/liveliness").status, 200);
    let said = none.stderr();
    for part in [
        "; 0 of 1 deployments can be served",
        concat!("version=", env!("CARGO_PKG_VERSION")),
        "no master_key is set",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let level = |said: &str, level: &str| {
        let line = said.lines().find(|line| line.contains("listening on")).unwrap();
        assert!(line.contains(level), "{level} in {line}");
    };
    level(&said, "WARN");
    let both =
        format!("{text}- {{model_name: n, litellm_params: {{model: openai/x, api_key: k}}}}\n");
    let one = hale().config(&both).start();
    assert_eq!(one.client().get("/health/readiness").status, 200, "one can be served");
    assert!(one.stderr().contains("; 1 of 2 deployments can be served"), "{}", one.stderr());
    level(&one.stderr(), "INFO");
}

#[test]
fn a_weak_key_on_a_public_address_can_be_permitted() {
    let upstream = FakeUpstream::start();
    let config = Config::open().deployment("m", "a", &upstream).general(json!({
        "master_key": "sk-1234", "dangerously_permit_weak_or_unset_master_key": true,
    }));
    let hale = config.launch().host("0.0.0.0").start();
    assert_eq!(hale.client_with_key("sk-1234").get("/v1/models").status, 200);
}

#[test]
fn the_master_key_may_come_from_the_environment() {
    let upstream = FakeUpstream::start();
    let config = Config::open().deployment("m", "a", &upstream);
    let hale = config.launch().env("LITELLM_MASTER_KEY", KEY).start();
    assert_eq!(hale.client().get("/v1/models").status, 401);
    assert_eq!(client(&hale).get("/v1/models").status, 200);
    let named = config.general(json!({"master_key": "os.environ/HALE_TEST_NOT_SET"}));
    let run = hale_run(&named);
    assert_eq!(run.code(), Some(78), "a missing key is never an open door");
    assert!(run.stderr.contains("HALE_TEST_NOT_SET"), "{}", run.stderr);
}

fn hale_run(config: &Config) -> hale_testkit::Finished {
    let run = hale().config(&config.text());
    ["--config", "config.yaml", "--port", "0"].into_iter().fold(run, |run, arg| run.arg(arg)).run()
}

#[test]
fn models_are_listed_and_described_without_secrets() {
    let upstream = FakeUpstream::start();
    let hale =
        lone(&upstream).with("n/x", "b", &upstream, json!({"model": "openai/gpt-4o-mini"})).start();
    let mut own: Client = client(&hale);
    let one = own.get("/v1/models/n/x");
    assert_eq!((one.status, &one.json()["id"]), (200, &json!("n/x")));
    assert_eq!(own.get("/v1/models/n%2Fx").json()["id"], "n/x");
    expect_error(&own.get("/v1/models/nx"), 404, "unknown_model");
    let info = own.get("/model/info");
    assert_eq!(info.status, 200);
    let text = info.text();
    assert!(!text.contains(crate::support::UPSTREAM_KEY), "{text}");
    assert_eq!(info.json()["data"][1]["model_info"]["id"], "b");
}

#[test]
fn a_model_group_is_described_from_its_deployments() {
    let upstream = FakeUpstream::start();
    let mini = json!({"model": "openai/gpt-4o-mini", "rpm": 7});
    let can_see = json!({"id": "seeing", "supports_vision": true});
    let params = json!({"model": "openai/gpt-4o", "api_key": "k", "api_base": upstream.api_base()});
    let hale = lone(&upstream)
        .with("m", "b", &upstream, mini)
        .entry(json!({"model_name": "m", "litellm_params": params, "model_info": can_see}))
        .with("n/x", "c", &upstream, json!({"model": "groq/unheard-of", "rpm": 5}))
        .start();
    let mut own: Client = client(&hale);
    let all = own.get("/model_group/info").json();
    assert_eq!(column(&all["data"], "model_group"), ["m", "n/x"]);
    let group = &all["data"][0];
    assert_eq!(group["providers"], json!(["openai"]));
    assert_eq!((&group["mode"], &group["rpm"]), (&json!("chat"), &json!(7)));
    assert_eq!(group["supports_vision"], true);
    assert_eq!(group["max_input_tokens"], 128_000.0);
    let params = group["supported_openai_params"].as_array().unwrap();
    assert!(params.contains(&json!("tools")) && params.contains(&json!("temperature")));
    // Of two prices the group shows the higher one.
    assert_eq!(group["input_cost_per_token"], 2.5e-6);
    let one = own.get("/model_group/info?model_group=n%2Fx").json();
    assert_eq!(column(&one["data"], "model_group"), ["n/x"]);
    assert_eq!(one["data"][0]["input_cost_per_token"], Value::Null);
    assert_eq!(own.get("/model_group/info?model_group=none").json(), json!({"data": []}));
}

#[test]
fn the_list_of_routes_is_the_table_that_serves_them() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let routes = client(&hale).get("/routes").json();
    let paths = column(&routes["routes"], "path");
    for path in ["/v1/chat/completions", "/engines/{name}/embeddings", "/routes", "/metrics"] {
        assert!(paths.contains(&json!(path)), "{path}");
    }
    let chat = routes["routes"].as_array().unwrap().iter().find(|row| row["path"] == CHAT).unwrap();
    assert_eq!((&chat["methods"], &chat["role"]), (&json!(["POST"]), &json!("key")));
}
