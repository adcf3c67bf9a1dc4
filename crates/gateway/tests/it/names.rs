//! Names other than those of groups: the model names of deployments, providers that the config
//! does not list, access groups.

use hale_testkit::{FakeUpstream, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, UPSTREAM_KEY, chat, client, column, expect_error, lone, metric, scrape,
};

#[test]
fn a_models_own_name_leads_to_all_deployments_that_call_it_so() {
    let (one, two, other) = (FakeUpstream::start(), FakeUpstream::start(), FakeUpstream::start());
    let hale = Config::new()
        .with("first", "a", &one, json!({"model": "openai/gpt-x"}))
        .with("first", "c", &other, json!({"model": "openai/gpt-y"}))
        .with("second", "b", &two, json!({"model": "openai/gpt-x"}))
        .router(json!({"num_retries": 0}))
        .start();
    let shown =
        |hale| scrape(hale).iter().any(|it| it.labels.values().any(|v| v == "openai/gpt-x"));
    assert!(!shown(&hale), "it was not requested yet");
    for _ in 0..40 {
        let answer = chat(&hale, "openai/gpt-x");
        assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("openai/gpt-x")));
        assert_eq!(answer.header("x-litellm-model-group"), Some("openai/gpt-x"));
    }
    assert!(!one.requests().is_empty() && !two.requests().is_empty(), "both groups serve it");
    assert_eq!(one.requests().len() + two.requests().len(), 40);
    assert!(other.requests().is_empty(), "another model of a group is not meant");
    // A sibling of another group serves it, and the result counts in its own group too.
    one.answer_with(|_| Script::error(401, "no"));
    for _ in 0..10 {
        assert_eq!(chat(&hale, "openai/gpt-x").header("x-litellm-model-id"), Some("b"));
        assert_eq!(chat(&hale, "first").header("x-litellm-model-id"), Some("c"));
    }
    assert!(shown(&hale));
    assert_eq!(metric(&hale, "hale_requests_total", &[("model_group", "openai/gpt-x")]), 50.0);
    // Requests may use the name, but it is not listed.
    let models = client(&hale).get("/v1/models").json();
    assert_eq!(column(&models["data"], "id"), ["first", "second"]);
    let groups = client(&hale).get("/model_group/info").json();
    assert_eq!(column(&groups["data"], "model_group"), ["first", "second"]);
    let error = expect_error(&chat(&hale, "openai/gpt-z"), 400, "unknown_model");
    assert!(!error["message"].as_str().unwrap().contains("gpt-x"), "{error}");
}

#[test]
fn a_models_own_name_can_be_a_fallback_and_have_one() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let hale = lone(&bad)
        .with("n", "b", &good, json!({"model": "openai/gpt-x"}))
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["openai/gpt-x"]},
                       {"openai/gpt-4o": ["n"]}]}))
        .start();
    assert!(!hale.stderr().contains("no model group"), "{}", hale.stderr());
    let answer = chat(&hale, "m");
    assert_eq!(answer.header("x-litellm-model-group"), Some("openai/gpt-x"));
    assert_eq!(answer.header("x-litellm-model-id"), Some("b"));
    assert_eq!(chat(&hale, "openai/gpt-4o").header("x-litellm-model-group"), Some("n"));
}

/// A gateway whose environment has a key for two providers that `model_list` does not name.
fn passing_through(
    config: &Config,
    groq: &FakeUpstream,
    openai: &FakeUpstream,
) -> hale_testkit::Hale {
    config
        .launch()
        .env("GROQ_API_KEY", UPSTREAM_KEY)
        .env("GROQ_API_BASE", &groq.api_base())
        .env("OPENAI_API_KEY", UPSTREAM_KEY)
        .env("OPENAI_BASE_URL", &openai.api_base())
        .start()
}

#[test]
fn providers_with_a_key_in_the_environment_are_passed_through_to_when_the_config_says_so() {
    let (own, groq, openai) = (FakeUpstream::start(), FakeUpstream::start(), FakeUpstream::start());
    let config = lone(&own).with("openai/gpt-own", "own", &own, json!({}));
    let closed = passing_through(&config, &groq, &openai);
    expect_error(&chat(&closed, "groq/llama-3"), 400, "unknown_model");
    let config = config.general(json!({"pass_through_all_models": true}));
    let hale = passing_through(&config, &groq, &openai);
    let answer = chat(&hale, "groq/llama-3");
    assert_eq!((answer.status, &answer.json()["model"]), (200, &json!("groq/llama-3")));
    let sent = groq.request(0);
    assert_eq!(sent.model(), "llama-3");
    assert_eq!(sent.header("authorization"), Some(&*format!("Bearer {UPSTREAM_KEY}")));
    // A bare name finds its provider; configured names win; a provider without a key is not used.
    assert_eq!(chat(&hale, "gpt-4o-mini").status, 200);
    assert_eq!(openai.request(0).model(), "gpt-4o-mini");
    assert_eq!(chat(&hale, "openai/gpt-own").header("x-litellm-model-id"), Some("own"));
    expect_error(&chat(&hale, "mistral/mistral-large"), 400, "unknown_model");
    expect_error(&chat(&hale, "no-such/model"), 400, "unknown_model");
    // They are ordinary deployments, but no paid probe is sent to them.
    let state = client(&hale).get("/router/state").json();
    assert_eq!(
        column(&state["deployments"], "model_group"),
        ["m", "openai/gpt-own", "groq/*", "openai/*"]
    );
}

#[test]
fn a_pattern_of_the_config_stands_for_its_provider_when_all_models_pass() {
    let (own, groq) = (FakeUpstream::start(), FakeUpstream::start());
    let config = Config::new()
        .with("groq/*", "own", &own, json!({"model": "groq/*"}))
        .general(json!({"pass_through_all_models": true}));
    let hale = passing_through(&config, &groq, &groq);
    assert_eq!(chat(&hale, "groq/llama-3").header("x-litellm-model-id"), Some("own"));
    assert!(groq.requests().is_empty());
}

#[test]
fn access_groups_are_labels_that_are_listed_and_no_models() {
    let up = FakeUpstream::start();
    let entry = |group: &str, id: &str, labels: Value| {
        json!({"model_name": group, "litellm_params": {"model": "openai/gpt-4o",
            "api_key": UPSTREAM_KEY, "api_base": up.api_base()},
            "model_info": {"id": id, "access_groups": labels}})
    };
    let hale = Config::new()
        .entry(entry("m", "a", json!(["beta", "cheap"])))
        .entry(entry("n", "b", json!(["beta"])))
        .start();
    let ids = |query: &str| {
        let page = hale.client_with_key(KEY).get(&format!("/v1/models{query}")).json();
        column(&page["data"], "id")
    };
    assert_eq!(ids(""), ["m", "n"]);
    assert_eq!(ids("?include_model_access_groups=true"), ["m", "n", "beta", "cheap"]);
    // Keys will refer to them later; the master key may use everything, and a label is not a model.
    expect_error(&chat(&hale, "beta"), 400, "unknown_model");
    let answer = client(&hale).post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    assert_eq!(answer.status, 200);
    let info = client(&hale).get("/model/info").json();
    assert_eq!(info["data"][0]["model_info"]["access_groups"], json!(["beta", "cheap"]));
}

#[test]
fn a_providers_own_models_keep_its_prefix() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .with("openrouter/*", "p", &upstream, json!({"model": "openrouter/*"}))
        .with("any/*", "q", &upstream, json!({"model": "openrouter/*"}))
        .with("auto", "a", &upstream, json!({"model": "openrouter/auto"}))
        .start();
    let asked = [
        ("openrouter/auto", "openrouter/auto"),
        ("openrouter/free", "openrouter/free"),
        ("openrouter/meta/llama", "meta/llama"),
        ("any/auto", "openrouter/auto"),
        ("auto", "openrouter/auto"),
    ];
    for (name, _) in asked {
        assert_eq!(chat(&hale, name).status, 200);
    }
    let sent: Vec<Value> =
        upstream.requests().iter().map(|it| it.json()["model"].clone()).collect();
    assert_eq!(sent, asked.map(|(_, model)| json!(model)));
}

#[test]
fn a_bare_star_serves_each_model_at_the_provider_of_its_name() {
    let open_ai = FakeUpstream::start();
    let claude = FakeUpstream::with(hale_testkit::anthropic::answer);
    let entry = json!({"model_name": "*", "litellm_params": {"model": "*"}});
    let launch = Config::new().entry(entry).launch();
    let launch = launch.env("OPENAI_API_KEY", "k1").env("OPENAI_BASE_URL", &open_ai.api_base());
    let launch = launch.env("OPENAI_API_BASE", &open_ai.api_base());
    let launch = launch.env("ANTHROPIC_API_KEY", "k2").env("ANTHROPIC_API_BASE", &claude.url());
    let hale = launch.start();
    for (name, upstream, sent) in [
        ("gpt-4o", &open_ai, "gpt-4o"),
        ("openai/my-own", &open_ai, "my-own"),
        ("claude-newfamily-7", &claude, "claude-newfamily-7"),
        ("anthropic/claude-sonnet-4-5", &claude, "claude-sonnet-4-5"),
    ] {
        let answer = chat(&hale, name);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        assert_eq!(upstream.requests().last().unwrap().model(), sent, "{name}");
    }
    let error = expect_error(&chat(&hale, "unheard-of"), 400, "unknown_model");
    assert!(error["message"].as_str().unwrap().contains("unheard-of"), "{error}");
}
