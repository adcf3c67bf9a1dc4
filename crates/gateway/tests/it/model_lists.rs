//! The lists of models: what pickers, SDKs and coding tools read of them.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, chat, client, column, error, lone};

/// Two patterns whose models the price list knows, one of which it knows nothing, and a group.
fn start(upstream: &FakeUpstream) -> Hale {
    Config::new()
        .with("openai/*", "o", upstream, json!({"model": "openai/*"}))
        .with("anthropic/*", "c", upstream, json!({"model": "anthropic/*"}))
        .with("server1/*", "s", upstream, json!({"model": "hosted_vllm/*"}))
        .with("openai/gpt-4o", "own", upstream, json!({"model": "openai/gpt-4o-mini"}))
        .start()
}

fn ids(hale: &Hale, path: &str) -> Vec<String> {
    let page = client(hale).get(path).json();
    let name = if path.starts_with("/model_group") {
        "model_group"
    } else if path.starts_with("/model/info") {
        "model_name"
    } else {
        "id"
    };
    column(&page["data"], name).iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn patterns_are_shown_as_the_models_behind_them_on_every_list() {
    let upstream = FakeUpstream::start();
    let hale = start(&upstream);
    for path in ["/v1/models", "/models", "/model/info", "/model_group/info"] {
        let ids = ids(&hale, path);
        assert!(ids.len() > 150, "{path}: {}", ids.len());
        let count = |wanted: &str| ids.iter().filter(|id| *id == wanted).count();
        assert_eq!((count("openai/*"), count("anthropic/*")), (0, 0), "{path}");
        assert_eq!(
            (count("openai/gpt-4o-mini"), count("anthropic/claude-sonnet-4-5")),
            (1, 1),
            "{path}"
        );
        // Nothing is known of what a server of one's own serves; and a group has its own place.
        assert_eq!(count("server1/*"), 1, "{path}");
        let own = if path == "/model/info" { 2 } else { 1 };
        assert_eq!(count("openai/gpt-4o"), own, "{path}");
    }
    let with = ids(&hale, "/v1/models?return_wildcard_routes=true");
    assert!(["openai/*", "anthropic/*"].iter().all(|name| with.contains(&(*name).to_owned())));
    assert_eq!(with.len(), ids(&hale, "/v1/models").len() + 2);
    // What is listed can be used, and is described.
    for name in ["openai/gpt-5", "anthropic/claude-sonnet-4-5"] {
        let one = client(&hale).get(&format!("/v1/models/{name}")).json();
        assert_eq!((&one["id"], &one["mode"]), (&json!(name), &json!("chat")), "{one}");
        assert!(one["max_input_tokens"].as_u64().unwrap() > 100_000, "{one}");
    }
    assert_eq!(chat(&hale, "openai/gpt-5").status, 200);
    assert_eq!(upstream.requests()[0].json()["model"], "gpt-5");
    assert_eq!(upstream.requests().len(), 1, "no provider is called for a list");
}

#[test]
fn known_models_are_described_by_all_that_the_price_list_says() {
    let upstream = FakeUpstream::start();
    let own = json!({"model_name": "mine", "litellm_params": {"model": "azure/mine", "api_key": "k", "api_base": upstream.url(),
        "api_version": "v"}, "model_info": {"id": "b", "base_model": "azure/gpt-5-mini", "supports_vision": false, "note": "x"}});
    let hale = lone(&upstream)
        .entry(own)
        .with("e", "e", &upstream, json!({"model": "openai/text-embedding-3-large"}))
        .with("unknown", "u", &upstream, json!({"model": "hosted_vllm/mine"}))
        .start();
    let info = |id: &str| {
        let page = client(&hale).get(&format!("/model/info?litellm_model_id={id}")).json();
        assert_eq!(page["data"].as_array().unwrap().len(), 1);
        page["data"][0]["model_info"].clone()
    };
    let gpt = info("a");
    for (name, value) in [
        ("key", json!("gpt-4o")),
        ("mode", json!("chat")),
        ("litellm_provider", json!("openai")),
        ("max_tokens", json!(16384)),
        ("supports_vision", json!(true)),
        ("supports_function_calling", json!(true)),
        ("supports_pdf_input", json!(true)),
        ("supports_prompt_caching", json!(true)),
        ("id", json!("a")),
        ("db_model", json!(false)),
    ] {
        assert_eq!(gpt[name], value, "{name}");
    }
    let has = |info: &Value, name: &str| {
        info["supported_openai_params"].as_array().unwrap().contains(&json!(name))
    };
    assert!(has(&gpt, "tools") && has(&gpt, "temperature") && !has(&gpt, "reasoning_effort"));
    // The config wins, and `base_model` leads to the list.
    let mine = info("b");
    assert_eq!(
        (&mine["key"], &mine["supports_vision"]),
        (&json!("azure/gpt-5-mini"), &json!(false))
    );
    assert_eq!((&mine["note"], &mine["supports_reasoning"]), (&json!("x"), &json!(true)));
    assert!(has(&mine, "reasoning_effort") && !has(&mine, "temperature"));
    assert_eq!(info("e")["output_vector_size"], 3072);
    assert_eq!(info("u").get("key"), None);
    let unknown = client(&hale).get("/v1/model/info?litellm_model_id=none");
    assert_eq!((unknown.status, &error(&unknown)["param"]), (400, &json!("litellm_model_id")));
}

#[test]
fn a_provider_is_asked_for_its_models_if_the_config_says_so_and_not_each_time() {
    let lists = FakeUpstream::with(|request| match request.path.ends_with("/models") {
        true => Script::ok().json(&openai::models(&["b-1", "a/c"])),
        false => Script::answer(request),
    });
    let none = FakeUpstream::with(|_| Script::error(404, "Not Found"));
    let config = |asks: bool| {
        Config::new()
            .with("server1/*", "s", &lists, json!({"model": "hosted_vllm/*"}))
            .with("b/*", "b", &lists, json!({"model": "hosted_vllm/b-*"}))
            .with("openai/*", "o", &none, json!({"model": "openai/*"}))
            .litellm(json!({"check_provider_endpoint": asks}))
            .start()
    };
    let hale = config(true);
    for path in ["/v1/models", "/model_group/info", "/model/info"] {
        let ids = ids(&hale, path);
        let of = |start: &str| {
            ids.iter().filter(|id| id.starts_with(start)).map(String::as_str).collect::<Vec<_>>()
        };
        assert_eq!(of("server1/"), ["server1/a/c", "server1/b-1"], "{path}");
        assert_eq!(of("b/"), ["b/1"], "{path}");
        // Without a list of the provider's own it is the price list's.
        assert!(of("openai/").len() > 100, "{path}");
    }
    assert_eq!((lists.requests().len(), none.requests().len()), (2, 1));
    assert_eq!(chat(&hale, "server1/a/c").status, 200);
    let hale = config(false);
    assert!(ids(&hale, "/v1/models").contains(&"server1/*".to_owned()));
    assert_eq!(lists.requests().len(), 3);
}

#[test]
fn an_agents_discovery_finds_ids_and_display_names() {
    let upstream = FakeUpstream::start();
    let hale = start(&upstream);
    let page = client(&hale).get("/v1/models?limit=1000").json();
    let all = page["data"].as_array().unwrap();
    assert!(all.len() > 150);
    for model in all {
        assert_eq!(
            (&model["display_name"], &model["type"]),
            (&model["id"], &json!("model")),
            "{model}"
        );
    }
    assert_eq!((&page["has_more"], &page["first_id"]), (&json!(false), &all[0]["id"]));
    let first = client(&hale).get("/v1/models?limit=2").json();
    assert_eq!((first["data"].as_array().unwrap().len(), &first["has_more"]), (2, &json!(true)));
    let last = first["last_id"].as_str().unwrap();
    let next = client(&hale).get(&format!("/v1/models?limit=2&after_id={last}")).json();
    assert_eq!(next["data"][0]["id"], all[2]["id"]);
    let plain = client(&hale).get("/v1/models").json();
    assert!(plain.get("has_more").is_none() && plain["object"] == "list");
    assert_eq!(client(&hale).get("/v1/models?limit=0").status, 400);
}

#[test]
fn only_access_groups_are_listed_on_request() {
    let upstream = FakeUpstream::start();
    let params = json!({"model": "openai/*", "api_key": "k", "api_base": upstream.api_base()});
    let info = json!({"id": "b", "access_groups": ["beta", "alpha"]});
    let entry = json!({"model_name": "openai/*", "litellm_params": params, "model_info": info});
    let hale = lone(&upstream).entry(entry).start();
    assert_eq!(ids(&hale, "/v1/models?only_model_access_groups=True"), ["alpha", "beta"]);
    let both = ids(&hale, "/v1/models?include_model_access_groups=true");
    assert!(both.contains(&"alpha".to_owned()) && both.contains(&"m".to_owned()));
}
