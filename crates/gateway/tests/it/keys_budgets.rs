//! Budgets besides that of a key: of single models, of several periods, of tags; what they refuse, and that they outlive a restart.

use hale_testkit::{FakeUpstream, Hale, Response, Script, TempDir, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, client, error, eventually, expect_error, lone};

/// Less than any call costs.
const LITTLE: f64 = 0.000_000_001;

fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

#[track_caller]
fn done(hale: &Hale, path: &str, body: &Value) -> Value {
    let answer = post(hale, path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn tagged(hale: &Hale, key: &str, tags: &Value) -> Response {
    let mut body = openai::chat_request("m", "hi");
    body["metadata"] = json!({"tags": tags});
    hale.client_with_key(key).post_json(CHAT, &[], &body)
}

#[track_caller]
fn spent(answer: &Response, begins: &str) {
    let refused = expect_error(answer, 422, "budget_exceeded");
    let text = refused["message"].as_str().unwrap();
    assert_eq!(
        (&refused["type"], text.starts_with(begins)),
        (&json!("budget_exceeded"), true),
        "{text}"
    );
}

#[test]
fn budgets_of_models_and_of_periods_refuse_by_themselves_and_are_known_after_a_restart() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let start = || {
        let launch = lone(&upstream).deployment("b", "b", &upstream).launch();
        launch.env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start()
    };
    let mut hale = start();
    let of_model = json!({"m": {"budget_limit": LITTLE, "time_period": "1d"}});
    let windows = json!([{"max_budget": LITTLE, "budget_duration": "1d"}, {"max_budget": 9, "budget_duration": "30d"}]);
    let (of_key, made) = make(
        &hale,
        &json!({"key_alias": "one", "model_max_budget": of_model, "models": ["m", "b"]}),
    );
    assert_eq!(made["model_max_budget"], of_model);
    let (of_windows, made) = make(&hale, &json!({"budget_limits": windows}));
    assert_eq!(made["budget_limits"][0]["budget_duration"], "1d");
    assert!(
        made["budget_limits"][0]["reset_at"].as_str().is_some_and(|at| at.ends_with("00:00:00Z")),
        "{made}"
    );
    let (with_fallback, _) =
        make(&hale, &json!({"model_max_budget": of_model, "budget_fallbacks": {"m": ["b"]}}));
    done(&hale, "/team/new", &json!({"team_id": "t", "model_max_budget": of_model}));
    done(
        &hale,
        "/user/new",
        &json!({"user_id": "u", "auto_create_key": false, "model_max_budget": of_model}),
    );
    let (of_team, _) = make(&hale, &json!({"team_id": "t"}));
    let (of_user, _) = make(&hale, &json!({"user_id": "u"}));
    let check = |hale: &Hale| {
        let answer = ask(hale, &of_key, "m");
        spent(&answer, "LiteLLM Virtual Key: ");
        let text = error(&answer)["message"].to_string();
        assert!(text.contains("key_alias: one, exceeded budget for model=m"), "{text}");
        assert!(answer.header("retry-after").is_some());
        spent(&ask(hale, &of_windows, "m"), "ExceededBudget: Key over 1d budget. Spend=$0.000");
        spent(&ask(hale, &of_windows, "b"), "ExceededBudget: Key over 1d budget. ");
        spent(&ask(hale, &of_team, "m"), "LiteLLM Team: t, exceeded budget for model=m");
        spent(&ask(hale, &of_user, "m"), "LiteLLM User: u, exceeded budget for model=m");
        let answer = ask(hale, &with_fallback, "m");
        assert_eq!(
            (answer.status, answer.header("x-litellm-model-group")),
            (200, Some("b")),
            "{}",
            answer.text()
        );
    };
    for key in [&of_key, &of_windows, &with_fallback, &of_team, &of_user] {
        assert_eq!(ask(&hale, key, "m").status, 200);
    }
    assert_eq!(ask(&hale, &of_key, "b").status, 200);
    check(&hale);
    assert!(hale.stop().success());
    let hale = start();
    check(&hale);
    assert_eq!(ask(&hale, &of_key, "b").status, 200, "another model has room");
    // Another text, and what was spent stays.
    let other = done(&hale, "/key/regenerate", &json!({"key": of_key}));
    spent(&ask(&hale, other["key"].as_str().unwrap(), "m"), "LiteLLM Virtual Key: ");
    done(&hale, "/key/update", &json!({"key": other["key"], "model_max_budget": {}}));
    assert_eq!(ask(&hale, other["key"].as_str().unwrap(), "m").status, 200);
}

#[test]
fn a_budget_of_a_tag_refuses_its_requests_whatever_key_they_have() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(tagged(&hale, &key, &json!(["x"])).status, 200, "no tag has a budget");
    let made = done(
        &hale,
        "/tag/new",
        &json!({"name": "x", "max_budget": LITTLE, "budget_duration": "1d"}),
    );
    assert_eq!(
        (&made["message"], &made["tag"]["name"]),
        (&json!("Tag x created successfully"), &json!("x"))
    );
    assert_eq!(tagged(&hale, &key, &json!(["x"])).status, 200);
    let refused = tagged(&hale, &key, &json!(["y", "x"]));
    spent(&refused, "Budget has been exceeded! Tag=x Current cost: ");
    assert!(refused.header("retry-after").is_some());
    let (other, _) = make(&hale, &json!({"tags": ["x"]}));
    spent(&ask(&hale, &other, "m"), "Budget has been exceeded! Tag=x ");
    let by_header = hale.client_with_key(&key).post_json(
        CHAT,
        &[("x-litellm-tags", "x")],
        &openai::chat_request("m", "hi"),
    );
    spent(&by_header, "Budget has been exceeded! Tag=x ");
    assert_eq!(tagged(&hale, &key, &json!(["y"])).status, 200);
    // The master key is not limited.
    assert_eq!(tagged(&hale, crate::support::KEY, &json!(["x"])).status, 200);
    let info = done(&hale, "/tag/info", &json!({"names": ["x"]}));
    assert_eq!(info["x"]["litellm_budget_table"]["budget_duration"], "1d");
    done(&hale, "/tag/update", &json!({"name": "x", "max_budget": 9, "rpm_limit": 1}));
    assert_eq!(tagged(&hale, &key, &json!(["x"])).status, 200);
    let limited = tagged(&hale, &key, &json!(["x"]));
    assert_eq!(
        (limited.status, limited.header("rate_limit_type")),
        (429, Some("requests")),
        "{}",
        limited.text()
    );
    assert_eq!(client(&hale).get("/tag/list").json()[0]["name"], "x");
    done(&hale, "/tag/delete", &json!({"name": "x"}));
    assert_eq!(tagged(&hale, &key, &json!(["x"])).status, 200);
    for (path, body, status) in [
        ("/tag/update", json!({"name": "x"}), 404),
        ("/tag/info", json!({"names": ["x"]}), 404),
        ("/tag/new", json!({"name": "z", "models": ["m"]}), 400),
        ("/tag/new", json!({"name": "z", "max_budget": -1}), 422),
        ("/tag/new", json!({}), 400),
    ] {
        let answer = post(&hale, path, &body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    }
    assert_eq!(
        hale.client_with_key(&key).post_json("/tag/new", &[], &json!({"name": "mine"})).status,
        401
    );
}

#[test]
fn budgets_that_would_limit_nothing_are_refused_by_name() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for (fields, status, field) in [
        (json!({"model_max_budget": {"a": {"max_budget": 1}}}), 400, "model_max_budget"),
        (
            json!({"model_max_budget": {"a": {"max_budget": 1, "budget_duration": "30days"}}}),
            400,
            "model_max_budget",
        ),
        (
            json!({"model_max_budget": {"a": {"max_budget": -1, "budget_duration": "1d"}}}),
            422,
            "model_max_budget",
        ),
        (json!({"model_max_budget": {"a": {"rpm_limit": -1}}}), 422, "model_max_budget"),
        (json!({"model_max_budget": [1]}), 422, "model_max_budget"),
        (json!({"budget_limits": [{"max_budget": 1}]}), 400, "budget_limits"),
        (json!({"budget_limits": [{"budget_duration": "1d"}]}), 422, "budget_limits"),
        (
            json!({"budget_limits": [{"budget_duration": "1d", "max_budget": 1}, {"budget_duration": "1d", "max_budget": 2}]}),
            400,
            "budget_limits",
        ),
        (json!({"budget_fallbacks": {"a": "b"}}), 422, "budget_fallbacks"),
    ] {
        let answer = post(&hale, "/key/generate", &fields);
        assert_eq!(
            (answer.status, &error(&answer)["param"]),
            (status, &json!(field)),
            "{}",
            answer.text()
        );
    }
    assert_eq!(client(&hale).get("/key/list").json()["total_count"], 0);
}

#[test]
fn soft_budgets_stand_where_the_reference_has_them_and_are_told_of_while_nothing_is_refused() {
    let upstream = FakeUpstream::start();
    let hook = FakeUpstream::with(|_| Script::with_status(200).json(&json!({"ok": true})));
    let alerts = json!({"alerting": ["webhook"], "alert_types": ["budget_alerts"]});
    let url = hook.url();
    let hale = lone(&upstream).general(alerts).launch().env("WEBHOOK_URL", &url).start();
    let (key, made) = make(&hale, &json!({"key_alias": "ci", "soft_budget": LITTLE}));
    assert_eq!(made["soft_budget"], LITTLE);
    let budget = made["budget_id"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        assert_eq!(ask(&hale, &key, "m").status, 200);
    }
    let told = eventually("the alert", || {
        let bodies = hook
            .requests()
            .into_iter()
            .map(|request| String::from_utf8_lossy(&request.body).into_owned());
        bodies.into_iter().find(|body| body.contains("Soft Budget Crossed: key ci (sk-..."))
    });
    assert!(told.contains("Total Soft Budget: "), "{told}");
    // A change of something else forgets nothing: the same crossing is told once.
    done(&hale, "/team/new", &json!({"team_id": "else"}));
    make(&hale, &json!({}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    done(&hale, "/customer/new", &json!({"user_id": "e", "soft_budget": LITTLE}));
    let (plain, _) = make(&hale, &json!({}));
    let mut body = openai::chat_request("m", "hi");
    body["user"] = json!("e");
    assert_eq!(hale.client_with_key(&plain).post_json(CHAT, &[], &body).status, 200);
    let count = |text: &str| {
        let bodies = hook.requests().into_iter();
        bodies.filter(|one| String::from_utf8_lossy(&one.body).contains(text)).count()
    };
    eventually("the alert of the end user", || {
        (count("Soft Budget Crossed: end user e") > 0).then_some(())
    });
    assert_eq!(count("Soft Budget Crossed: key ci (sk-..."), 1);
    let (other, _) = make(&hale, &json!({"budget_id": budget}));
    for (path, body, field) in [
        ("/key/update", json!({"key": other, "soft_budget": 1}), "soft_budget"),
        ("/key/generate", json!({"budget_id": budget, "soft_budget": 1}), "soft_budget"),
        ("/team/new", json!({"team_id": "t", "soft_budget": 2, "max_budget": 1}), "soft_budget"),
    ] {
        let answer = post(&hale, path, &body);
        assert_eq!(
            (answer.status, &error(&answer)["param"]),
            (400, &json!(field)),
            "{path}: {}",
            answer.text()
        );
    }
    done(&hale, "/team/new", &json!({"team_id": "t", "soft_budget": 1, "max_budget": 2}));
}
