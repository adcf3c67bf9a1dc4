//! The limits and budgets of the model that is really called hold and are charged, whichever way led to it.

use hale_testkit::{FakeUpstream, Hale, Response, Script, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, Config, client, error, eventually, expect_error, metric};

/// Less than any call costs.
const LITTLE: f64 = 0.000_000_001;

/// Groups `a`, whose upstream fails in that way, and `b`, which is well and costs more.
fn groups(a: &FakeUpstream, b: &FakeUpstream, router: Value) -> Config {
    let entry = |group: &str, upstream: &FakeUpstream| {
        json!({"model_name": group, "model_info": {"id": group}, "litellm_params": {
            "model": format!("openai/{group}"), "api_base": upstream.api_base(), "api_key": "sk-upstream-fedcba9876543210",
            "input_cost_per_token": 0.001, "output_cost_per_token": 0.001,
        }})
    };
    Config::new()
        .entry(entry("a", a))
        .entry(entry("b", b))
        .router(json!({"num_retries": 0, "model_group_alias": {"b-alias": "b"}}))
        .router(router)
}

fn failing() -> FakeUpstream {
    FakeUpstream::with(|_| Script::error(500, "boom"))
}

fn coded(code: &'static str) -> FakeUpstream {
    let body = move || openai::error("refused", "invalid_request_error", code);
    FakeUpstream::with(move |_| Script::with_status(400).json(&body()))
}

fn ask_with(hale: &Hale, key: &str, more: &Value) -> Response {
    let mut body = openai::chat_request("a", "hi");
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    hale.client_with_key(key).post_json(CHAT, &[], &body)
}

/// What may be spent on `b` in a day.
fn budget_of_b(usd: f64) -> Value {
    json!({"b": {"budget_limit": usd, "time_period": "1d"}})
}

/// How the first upstream fails, what the config says, what the client does.
type Case = (fn() -> FakeUpstream, Value, Value);

#[test]
fn every_fallback_ends_at_the_budget_of_the_model_that_it_leads_to() {
    let cases: [Case; 6] = [
        (failing, json!({"fallbacks": [{"a": ["b"]}]}), json!({})),
        (failing, json!({"fallbacks": [{"a": ["b-alias"]}]}), json!({})),
        (failing, json!({}), json!({"fallbacks": ["b"]})),
        (failing, json!({"default_fallbacks": ["b"]}), json!({})),
        (
            || coded("context_length_exceeded"),
            json!({"context_window_fallbacks": [{"a": ["b"]}]}),
            json!({}),
        ),
        (
            || coded("content_policy_violation"),
            json!({"content_policy_fallbacks": [{"a": ["b"]}]}),
            json!({}),
        ),
    ];
    for (upstream, router, body) in cases {
        let (a, b) = (upstream(), FakeUpstream::start());
        let hale = groups(&a, &b, router.clone()).start();
        let (key, _) = make(&hale, &json!({"model_max_budget": budget_of_b(LITTLE)}));
        let first = ask_with(&hale, &key, &body);
        assert_eq!(first.status, 200, "{router} {body}: {}", first.text());
        let second = ask_with(&hale, &key, &body);
        assert!([400, 500, 502].contains(&second.status), "{router}: {}", second.text());
        assert_eq!(b.requests().len(), 1, "{router} {body}");
        expect_error(&ask(&hale, &key, "b"), 422, "budget_exceeded");
    }
}

#[test]
fn a_fallback_is_charged_to_its_own_model_and_all_else_to_the_key() {
    let (a, b) = (failing(), FakeUpstream::start());
    let hale = groups(&a, &b, json!({"fallbacks": [{"a": ["b"]}]})).start();
    let budgets = json!({
        "a": {"budget_limit": LITTLE, "time_period": "1d"}, "b": {"budget_limit": 5.0, "time_period": "1d"},
    });
    let windows = json!([{"max_budget": LITTLE, "budget_duration": "1d"}]);
    let (key, _) = make(&hale, &json!({"model_max_budget": budgets}));
    let (whole, _) = make(&hale, &json!({"budget_limits": windows}));
    for _ in 0..2 {
        assert_eq!(ask(&hale, &key, "a").status, 200, "the budget of a is as it was");
    }
    assert_eq!(ask(&hale, &whole, "a").status, 200);
    expect_error(&ask(&hale, &whole, "a"), 422, "budget_exceeded");
    // The counter in the store, from which others and a restart read it.
    let spent = eventually("the spend in the store", || {
        let info = client(&hale).get(&format!("/key/info?key={key}")).json();
        info["info"]["spend"].as_f64().filter(|spend| *spend > 0.0)
    });
    assert!(spent > LITTLE);
    assert_eq!(ask(&hale, &key, "a").status, 200);
}

#[test]
fn a_limit_of_requests_of_a_fallback_holds_and_says_why_it_was_not_tried() {
    let (a, b) = (failing(), FakeUpstream::start());
    let hale = groups(&a, &b, json!({"fallbacks": [{"a": ["b"]}]})).start();
    let (key, _) = make(&hale, &json!({"model_rpm_limit": {"b": 1}}));
    assert_eq!(ask(&hale, &key, "a").status, 200);
    let refused = ask(&hale, &key, "a");
    assert_eq!((refused.status, b.requests().len()), (500, 1), "{}", refused.text());
    let text = error(&refused)["message"].to_string();
    assert!(text.contains("`b` was not tried: Rate limit exceeded for model_per_key"), "{text}");
    let limited = ask(&hale, &key, "b");
    assert_eq!(limited.status, 429, "{}", limited.text());
}

#[test]
fn a_fallback_beyond_the_limit_leads_to_the_next_one() {
    let (a, b, c) = (failing(), FakeUpstream::start(), FakeUpstream::start());
    let hale =
        groups(&a, &b, json!({"fallbacks": [{"a": ["b", "c"]}]})).deployment("c", "c", &c).start();
    let (key, _) = make(&hale, &json!({"model_rpm_limit": {"b": 0}}));
    assert_eq!(ask(&hale, &key, "a").status, 200);
    assert_eq!((b.requests().len(), c.requests().len()), (0, 1));
}

#[test]
fn budgets_of_team_user_and_end_user_hold_for_a_fallback_too() {
    let (a, b) = (failing(), FakeUpstream::start());
    let hale = groups(&a, &b, json!({"fallbacks": [{"a": ["b"]}]})).start();
    let done = |path: &str, body: &Value| {
        let answer = client(&hale).post_json(path, &[], body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    let none = budget_of_b(0.0);
    done("/team/new", &json!({"team_id": "t", "model_max_budget": none}));
    done("/user/new", &json!({"user_id": "u", "auto_create_key": false, "model_max_budget": none}));
    done("/customer/new", &json!({"user_id": "e", "model_max_budget": none}));
    for (fields, body) in [
        (json!({"team_id": "t"}), json!({})),
        (json!({"user_id": "u"}), json!({})),
        (json!({}), json!({"user": "e"})),
    ] {
        let (key, _) = make(&hale, &fields);
        let answer = ask_with(&hale, &key, &body);
        assert_eq!((answer.status, b.requests().len()), (500, 0), "{fields}: {}", answer.text());
    }
    let (free, _) = make(&hale, &json!({}));
    assert_eq!(ask(&hale, &free, "a").status, 200);
}

#[test]
fn another_period_of_a_budget_begins_with_what_was_spent_in_it() {
    let b = FakeUpstream::start();
    let hale = groups(&b, &b, json!({})).start();
    let (key, _) = make(&hale, &json!({"model_max_budget": budget_of_b(LITTLE)}));
    assert_eq!(ask(&hale, &key, "b").status, 200);
    expect_error(&ask(&hale, &key, "b"), 422, "budget_exceeded");
    let change = |period: &str| {
        let budget = json!({"b": {"budget_limit": LITTLE, "time_period": period}});
        let body = json!({"key": key, "model_max_budget": budget});
        assert_eq!(client(&hale).post_json("/key/update", &[], &body).status, 200);
    };
    change("30d");
    assert_eq!(ask(&hale, &key, "b").status, 200, "a period of 30 days has its own account");
    expect_error(&ask(&hale, &key, "b"), 422, "budget_exceeded");
    change("1d");
    expect_error(&ask(&hale, &key, "b"), 422, "budget_exceeded");
}

#[test]
fn a_limit_for_keys_without_one_holds_for_each_key_and_for_fallbacks_by_itself() {
    let (a, b) = (failing(), FakeUpstream::start());
    let entry = |group: &str, upstream: &FakeUpstream, more: Value| {
        let mut params = json!({
            "model": format!("openai/{group}"), "api_base": upstream.api_base(), "api_key": "sk-upstream-fedcba9876543210",
        });
        params.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        json!({"model_name": group, "model_info": {"id": group}, "litellm_params": params})
    };
    let hale = Config::new()
        .entry(entry("a", &a, json!({})))
        .entry(entry("b", &b, json!({"default_api_key_rpm_limit": 1})))
        .router(json!({"num_retries": 0, "fallbacks": [{"a": ["b"]}]}))
        .start();
    let (one, _) = make(&hale, &json!({}));
    let (other, _) = make(&hale, &json!({}));
    let (own, _) = make(&hale, &json!({"model_rpm_limit": {"b": 5}}));
    assert_eq!(ask(&hale, &one, "a").status, 200, "by a fallback");
    assert_eq!(ask(&hale, &one, "b").status, 429);
    assert_eq!(ask(&hale, &one, "a").status, 500);
    assert_eq!(ask(&hale, &other, "b").status, 200);
    for _ in 0..3 {
        assert_eq!(ask(&hale, &own, "b").status, 200);
    }
    for _ in 0..3 {
        let mut client = client(&hale);
        assert_eq!(client.post_json(CHAT, &[], &openai::chat_request("b", "hi")).status, 200);
    }
}

#[test]
fn budgets_that_are_used_are_shown_as_metrics() {
    let b = FakeUpstream::start();
    let hale = groups(&b, &b, json!({})).start();
    let body = json!({"team_id": "t", "team_alias": "research", "max_budget": 5.0});
    assert_eq!(client(&hale).post_json("/team/new", &[], &body).status, 200);
    let fields =
        json!({"team_id": "t", "key_alias": "ci", "max_budget": 2.0, "budget_duration": "1d"});
    let (key, made) = make(&hale, &fields);
    assert_eq!(ask(&hale, &key, "b").status, 200);
    let hash = made["token"].as_str().unwrap();
    let of_key = [("hashed_api_key", hash), ("api_key_alias", "ci")];
    let of_team = [("team", "t"), ("team_alias", "research")];
    assert_eq!(
        metric(&hale, "litellm_api_key_max_budget_metric", &of_key).to_bits(),
        2.0_f64.to_bits()
    );
    let left = eventually("what was spent is counted", || {
        Some(metric(&hale, "litellm_remaining_api_key_budget_metric", &of_key))
            .filter(|left| *left < 2.0)
    });
    assert!(left > 1.0, "{left}");
    assert!(metric(&hale, "litellm_api_key_budget_remaining_hours_metric", &of_key) <= 24.0);
    let of_team = metric(&hale, "litellm_remaining_team_budget_metric", &of_team);
    assert!(of_team > 4.0 && of_team < 5.0, "{of_team}");
}
