//! Strategies by usage and by cost, and the filters by region, hours and tags.

use hale_testkit::{FakeUpstream, Hale, Response, Script, openai};
use serde_json::{Value, json};

use crate::support::{Config, chat, chat_with, client, column, error, expect_error};

fn id(answer: &Response) -> Option<&str> {
    answer.header("x-litellm-model-id")
}

fn state(hale: &Hale) -> Value {
    client(hale).get("/router/state").json()["deployments"].clone()
}

#[test]
fn usage_based_routing_serves_exactly_rpm_at_each_and_names_the_time() {
    // Bad input, row 43.
    for strategy in ["usage-based-routing", "usage-based-routing-v2"] {
        let up = FakeUpstream::start();
        let limits = |rpm: u64| json!({"rpm": rpm});
        let hale = Config::new()
            .with("m", "a", &up, limits(10))
            .with("m", "b", &up, limits(10))
            .router(json!({"routing_strategy": strategy}))
            .start();
        let answers: Vec<Response> = (0..21).map(|_| chat(&hale, "m")).collect();
        assert!(answers[..20].iter().all(|answer| answer.status == 200), "{strategy}");
        for member in ["a", "b"] {
            let own = answers.iter().filter(|answer| id(answer) == Some(member)).count();
            assert_eq!(own, 10, "{strategy}: {member}");
        }
        let error = expect_error(&answers[20], 429, "no_healthy_deployments");
        assert_eq!(column(&error["deployments"], "state"), ["at_limit", "at_limit"]);
        let hint = error["deployments"][0]["hint"].as_str().unwrap();
        assert!(hint.starts_with("rpm=10 is used up for "), "{hint}");
        let wait: u64 = answers[20].header("retry-after").unwrap().parse().unwrap();
        assert!((50..=60).contains(&wait), "{strategy}: {wait}");
        assert_eq!(up.requests().len(), 20);
        assert_eq!(column(&state(&hale), "requests_this_minute"), [10, 10]);
    }
}

#[test]
fn usage_based_routing_takes_the_one_with_the_fewest_tokens() {
    let up = FakeUpstream::with(|request| {
        let mut body = openai::chat_completion(&request.model(), "ok");
        let heavy = request.json()["messages"][0]["content"] == "heavy";
        body["usage"] = if heavy { openai::usage(900, 100) } else { openai::usage(1, 1) };
        Script::ok().json(&body)
    });
    let hale = Config::new()
        .deployment("m", "a", &up)
        .deployment("m", "b", &up)
        .router(json!({"routing_strategy": "usage-based-routing-v2"}))
        .start();
    let heavy = chat_with(&hale, &[], &openai::chat_request("m", "heavy"));
    let first = id(&heavy).unwrap().to_owned();
    for _ in 0..5 {
        assert_ne!(id(&chat(&hale, "m")), Some(&*first));
    }
    let mut tokens = column(&state(&hale), "tokens_this_minute");
    tokens.sort_by_key(Value::as_u64);
    assert_eq!(tokens, [10, 1000]);
}

#[test]
fn tokens_a_minute_hold_what_is_under_way_and_what_is_longer_is_too_long() {
    let up = FakeUpstream::with(|request| {
        let body = openai::chat_completion(&request.model(), "ok");
        Script::ok().wait("go").json(&body)
    });
    let hale = Config::new()
        .with("m", "a", &up, json!({"tpm": 1000}))
        .router(json!({"routing_strategy": "usage-based-routing-v2"}))
        .start();
    let of_tokens = |count: usize| openai::chat_request("m", &"word".repeat(count));
    expect_error(&chat_with(&hale, &[], &of_tokens(1200)), 400, "context_length_exceeded");
    let mut first = client(&hale);
    let body = of_tokens(700).to_string();
    first.send("POST", crate::support::CHAT, &[], body.as_bytes()).unwrap();
    up.wait_for(|state| state.waiting_at("go") == 1);
    let refused = chat_with(&hale, &[], &of_tokens(700));
    let hint = error(&refused)["deployments"][0]["hint"].clone();
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(hint.as_str().unwrap().starts_with("tpm=1000 is used up for "), "{hint}");
    up.release("go");
    assert_eq!(first.read_response().unwrap().status, 200);
}

#[test]
fn cost_based_routing_takes_the_cheapest_healthy_member() {
    let (up, failing) = (FakeUpstream::start(), FakeUpstream::with(|_| Script::error(500, "no")));
    let price = |usd: f64| json!({"input_cost_per_token": usd, "output_cost_per_token": usd});
    let unknown = json!({"model": "openai/no-such-model"});
    let hale = Config::new()
        .with("m", "unknown", &up, unknown)
        .with("m", "dear", &up, price(0.002))
        .with("m", "broken", &failing, price(1e-9))
        .with("m", "cheap", &up, price(0.001))
        .router(json!({"routing_strategy": "cost-based-routing"}))
        .start();
    for _ in 0..30 {
        assert_eq!(id(&chat(&hale, "m")), Some("cheap"));
    }
    assert!(failing.requests().len() <= 3, "{}: it is in cooldown", failing.requests().len());
    let body = openai::chat_request("m", "hi");
    let explained = client(&hale).post_json("/router/explain", &[], &body).json();
    let order = column(&explained["groups"][0]["candidates"], "deployment");
    assert_eq!(order, ["cheap", "dear", "unknown", "broken"]);
}

#[test]
fn a_region_is_kept_and_its_absence_reported() {
    let up = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "eu", &up, json!({"region_name": "eu"}))
        .with("m", "us", &up, json!({"region_name": "us"}))
        .deployment("m", "anywhere", &up)
        .start();
    let in_region = |region: &str| {
        let mut body = openai::chat_request("m", "hi");
        body["allowed_model_region"] = json!(region);
        chat_with(&hale, &[], &body)
    };
    for _ in 0..10 {
        let answer = in_region("EU");
        assert_eq!(id(&answer), Some("eu"));
        assert_eq!(answer.header("x-litellm-model-region"), Some("eu"));
    }
    assert!(up.request(0).json().get("allowed_model_region").is_none(), "it is for the gateway");
    let refused = in_region("ap");
    let error = expect_error(&refused, 429, "region_not_available");
    assert_eq!(error["type"], "rate_limit_error", "as the reference");
    assert_eq!(refused.header("retry-after"), None, "waiting does not help");
    let hints = column(&error["deployments"], "hint");
    assert_eq!(hints, ["it is in eu", "it is in us", "it has no region_name"]);
    let mut body = openai::chat_request("m", "hi");
    body["allowed_model_region"] = json!(["eu"]);
    assert_eq!(chat_with(&hale, &[], &body).status, 400);
}

/// A time of the day in UTC, so many minutes from now.
fn minutes_from_now(minutes: i64) -> String {
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_secs() / 60;
    let minute = (i64::try_from(now).unwrap() + minutes).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

#[test]
fn a_deployment_in_its_access_window_gets_no_traffic() {
    let up = FakeUpstream::start();
    // The minute may change meanwhile.
    let end = minutes_from_now(90);
    let entry = |id: &str, start: &str, end: &str| {
        let window = json!({
            "start": start, "end": end, "timezone": "UTC", "team_ids": ["team-nightly"],
        });
        json!({
            "model_name": "m",
            "litellm_params": {"model": "openai/x", "api_key": "k", "api_base": up.api_base()},
            "model_info": {"id": id, "access_windows": [window]},
        })
    };
    let config = Config::new().entry(entry("now", &minutes_from_now(-60), &end));
    let later = entry("later", &minutes_from_now(120), &minutes_from_now(180));
    let hale = config.clone().entry(later).start();
    for _ in 0..5 {
        assert_eq!(id(&chat(&hale, "m")), Some("later"));
    }
    assert_eq!(column(&state(&hale), "state"), ["reserved", "ready"]);
    let hale = config.start();
    let refused = chat(&hale, "m");
    let error = expect_error(&refused, 403, "model_reserved");
    let line = &error["deployments"][0];
    assert_eq!(line["state"], "reserved");
    let until = format!("T{end}:00Z");
    assert!(line["hint"].as_str().unwrap().ends_with(&until), "{line} ends with {until}");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((89 * 60..=90 * 60).contains(&wait), "{wait}");
}

#[test]
fn tags_take_their_prefix_agents_and_open_groups_into_account() {
    let up = FakeUpstream::start();
    let hale = Config::new()
        .with("m", "eu", &up, json!({"tags": ["eu"]}))
        .with("m", "agent", &up, json!({"tag_regex": ["^User-Agent: claude-code/"]}))
        .with("m", "rest", &up, json!({"tags": ["default"]}))
        .router(json!({"enable_tag_filtering": true, "tag_routing_prefix": "route:"}))
        .start();
    let tagged = |tags: &str, agent: &str| {
        let headers = [("x-litellm-tags", tags), ("user-agent", agent)];
        chat_with(&hale, &headers, &openai::chat_request("m", "hi"))
    };
    for (tags, agent, expected) in [
        ("route:&eu", "curl/8", "eu"),
        ("route:eu", "curl/8", "eu"),
        ("gold", "curl/8", "rest"),
        ("", "claude-code/2.1", "agent"),
        ("", "curl/8", "rest"),
    ] {
        assert_eq!(id(&tagged(tags, agent)), Some(expected), "{tags} {agent}");
    }
    expect_error(&tagged("route:gold", "curl/8"), 401, "tags_not_allowed");
    expect_error(&tagged("&eu,&default", "curl/8"), 401, "tags_not_allowed");
}
