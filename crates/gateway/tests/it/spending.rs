//! Budgets: of providers, of deployments, of tags.

use hale_testkit::{FakeUpstream, Hale, Script, openai};
use serde_json::{Value, json};

use crate::support::{
    Config, chat, chat_with, client, column, error, expect_error, metric, within,
};

/// An upstream whose answers cost 20 prompt tokens and 10 answer tokens.
fn upstream() -> FakeUpstream {
    FakeUpstream::with(|request| {
        let model = request.model();
        if request.json()["stream"] == json!(true) {
            let mut events = openai::chunks(&model, &["a", "b"]);
            events.push(openai::usage_chunk(&model, 20, 10));
            return Script::ok().sse(&events);
        }
        let mut body = openai::chat_completion(&model, "ok");
        body["usage"] = openai::usage(20, 10);
        Script::ok().json(&body)
    })
}

/// Parameters with a price: an answer costs 0.04 USD.
fn priced(more: Value) -> Value {
    let mut params = json!({"input_cost_per_token": 0.001, "output_cost_per_token": 0.002});
    if let (Value::Object(params), Value::Object(more)) = (&mut params, more) {
        params.extend(more);
    }
    params
}

fn state(hale: &Hale) -> Value {
    client(hale).get("/router/state").json()
}

fn id(answer: &hale_testkit::Response) -> &str {
    answer.header("x-litellm-model-id").unwrap_or("none")
}

#[test]
fn a_providers_budget_moves_traffic_to_others_and_then_says_until_when() {
    // Bad input, row 42.
    let up = upstream();
    let hale = Config::new()
        .with("m", "openai-1", &up, priced(json!({"weight": 1})))
        .with("m", "groq-1", &up, priced(json!({"weight": 0, "model": "groq/llama"})))
        .router(json!({
            "routing_strategy": "provider-budget-routing",
            "provider_budget_config": {
                "openai": {"budget_limit": 0.06, "time_period": "1d"},
                "groq": {"budget_limit": 0.04, "time_period": "2d"},
            },
        }))
        .start();
    assert_eq!(id(&chat(&hale, "m")), "openai-1", "weight 0 stands by");
    assert_eq!(id(&chat(&hale, "m")), "openai-1", "0.04 of 0.06 is spent");
    assert_eq!(id(&chat(&hale, "m")), "groq-1", "0.08 of 0.06");
    let refused = chat(&hale, "m");
    let error = expect_error(&refused, 429, "budget_exceeded");
    let message = error["message"].as_str().unwrap();
    for name in ["provider 'openai'", "provider 'groq'"] {
        assert!(message.contains(&format!("the budget of {name} is spent until 20")), "{message}");
    }
    assert_eq!(column(&error["deployments"], "state"), ["over_budget", "over_budget"]);
    let day = 86_400;
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((day - 60..=day).contains(&wait), "the first window ends in a day: {wait}");
    assert!(!message.contains("0.0"), "amounts are not for callers: {message}");

    let state = state(&hale);
    assert_eq!(column(&state["deployments"], "state"), ["over_budget", "over_budget"]);
    assert_eq!(column(&state["budgets"], "name"), ["openai", "groq"]);
    assert_eq!(column(&state["budgets"], "exhausted"), [true, true]);
    assert!((state["budgets"][0]["spent_usd"].as_f64().unwrap() - 0.08).abs() < 1e-9, "{state}");
    let body = openai::chat_request("m", "hi");
    let explained = client(&hale).post_json("/router/explain", &[], &body).json();
    let candidates = &explained["groups"][0]["candidates"];
    assert_eq!(column(candidates, "state"), ["over_budget", "over_budget"]);
    let page = client(&hale).get("/provider/budgets").json();
    let openai = &page["providers"]["openai"];
    assert_eq!((&openai["budget_limit"], &openai["time_period"]), (&json!(0.06), &json!("1d")));
    assert!(openai["budget_reset_at"].as_str().unwrap().ends_with('Z'), "{page}");
    let left = "litellm_provider_remaining_budget_metric";
    assert_eq!(metric(&hale, left, &[("api_provider", "openai")]), 0.0);
}

#[test]
fn a_deployments_budget_comes_back_when_its_window_ends() {
    let up = upstream();
    let budget = priced(json!({"max_budget": 0.05, "budget_duration": "2s"}));
    let hale = Config::new().with("m", "a", &up, budget).start();
    let named = [("of", "deployment"), ("name", "a")];
    assert_eq!(metric(&hale, "hale_budget_remaining_usd", &named), 0.05);
    assert_eq!((chat(&hale, "m").status, chat(&hale, "m").status), (200, 200));
    let refused = chat(&hale, "m");
    let error = expect_error(&refused, 429, "budget_exceeded");
    assert!(error["message"].as_str().unwrap().contains("deployment 'a'"), "{error}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(up.requests().len(), 2, "nothing was asked");
    within(std::time::Duration::from_secs(4), "the window ends", || {
        (chat(&hale, "m").status == 200).then_some(())
    });
    assert!(metric(&hale, "hale_budget_remaining_usd", &named) < 0.02, "a new window");
}

#[test]
fn a_tags_budget_bounds_requests_with_that_tag_only_and_streams_count() {
    let up = upstream();
    let hale = Config::new()
        .with("m", "a", &up, priced(json!({})))
        .litellm(json!({"tag_budget_config": {
            "product:bot": {"max_budget": 0.07, "budget_duration": "1mo"},
        }}))
        .start();
    let tagged = |tags: Value, stream: bool| {
        let mut body = openai::chat_request("m", "hi");
        (body["metadata"], body["stream"]) = (json!({"tags": tags}), json!(stream));
        chat_with(&hale, &[], &body)
    };
    assert_eq!(tagged(json!(["product:bot", "x"]), true).status, 200);
    assert_eq!(tagged(json!(["product:bot"]), false).status, 200);
    let refused = tagged(json!(["x", "product:bot"]), false);
    let error = expect_error(&refused, 429, "budget_exceeded");
    assert!(error["message"].as_str().unwrap().contains("tag 'product:bot'"), "{error}");
    assert_eq!(tagged(json!(["x"]), false).status, 200);
    assert_eq!(chat(&hale, "m").status, 200);
    let budgets = state(&hale)["budgets"].clone();
    assert!((budgets[0]["spent_usd"].as_f64().unwrap() - 0.08).abs() < 1e-9, "{budgets}");
}

#[test]
fn a_reload_keeps_what_is_spent() {
    let up = upstream();
    let config = |limit: f64| {
        Config::new().with("m", "a", &up, priced(json!({}))).router(
            json!({"provider_budget_config": {
                "openai": {"budget_limit": limit, "time_period": "1d"},
            }}),
        )
    };
    let hale = config(0.03).start();
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(error(&chat(&hale, "m"))["reason"], "budget_exceeded");
    hale.rewrite_config(&config(0.05).text());
    within(hale_testkit::TIMEOUT, "the new limit holds", || {
        (chat(&hale, "m").status == 200).then_some(())
    });
    assert_eq!(error(&chat(&hale, "m"))["reason"], "budget_exceeded", "0.08 of 0.05");
}

#[test]
fn a_budget_of_all_requests_refuses_every_model_when_it_is_spent() {
    let up = upstream();
    let hale = Config::new()
        .with("m", "openai-1", &up, priced(json!({})))
        .with("n", "groq-1", &up, priced(json!({"model": "groq/llama"})))
        .litellm(json!({"max_budget": 0.06, "budget_duration": "1d"}))
        .start();
    assert_eq!([chat(&hale, "m").status, chat(&hale, "n").status], [200, 200]);
    for model in ["m", "n"] {
        let refused = chat(&hale, model);
        let error = expect_error(&refused, 429, "budget_exceeded");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("the budget of gateway 'all' is spent until 20"), "{message}");
    }
    assert_eq!(column(&state(&hale)["budgets"], "name"), ["all"]);
}
