//! Clients' own customers: made by the admin API, named by requests, blocked, and within budgets and limits of their own.

use hale_testkit::{FakeUpstream, Hale, Postgres, Response, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, client, error, eventually, expect_error, lone};

#[track_caller]
fn post(hale: &Hale, path: &str, body: &Value) -> Value {
    let answer = client(hale).post_json(path, &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// A request that names `user` in its body.
fn ask_for(hale: &Hale, key: &str, user: &str) -> Response {
    let mut body = openai::chat_request("m", "hi");
    body["user"] = json!(user);
    hale.client_with_key(key).post_json(CHAT, &[], &body)
}

#[test]
fn a_blocked_end_user_is_refused_wherever_a_request_names_it() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"user_header_name": "X-My-User"})).start();
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(ask_for(&hale, &key, "eve").status, 200, "none has a row");
    let blocked = post(&hale, "/customer/block", &json!({"user_ids": ["eve"]}));
    assert_eq!(blocked["blocked_users"][0]["user_id"], "eve");
    let asked = upstream.requests().len();
    let mut sender = hale.client_with_key(&key);
    let with = |more: Value| {
        let mut body = openai::chat_request("m", "hi");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let bodies = [
        with(json!({"user": "eve"})),
        with(json!({"user": "eve", "stream": true})),
        with(json!({"litellm_metadata": {"user": "eve"}})),
        with(json!({"metadata": {"user_id": "eve"}})),
        with(json!({"safety_identifier": "eve"})),
        with(json!({"metadata": {"pad": "x".repeat(100_000), "user_id": "eve"}})),
        with(json!({"metadata": {"user_id": "eve", "pad": "x".repeat(900_000)}})),
        with(
            json!({"litellm_metadata": {"user": "eve"}, "messages": [{"role": "user", "content": "x".repeat(400_000)}]}),
        ),
    ];
    for body in &bodies {
        let refused = expect_error(&sender.post_json(CHAT, &[], body), 403, "end_user_blocked");
        assert_eq!(
            (&refused["type"], &refused["message"]),
            (&json!("auth_error"), &json!("End User=eve is blocked"))
        );
    }
    // Readers take the last of two; an escape is no other name.
    for more in [
        r#""user": "adam", "user": "eve""#,
        r#""metadata": {"user\u005fid": "adam", "user_id": "eve"}"#,
        r#""metadata": {"user\u005fid": "eve"}"#,
        r#""us\u0065r": "eve""#,
    ] {
        let body = format!(
            r#"{{"model": "m", "messages": [{{"role": "user", "content": "hi"}}], {more}}}"#
        );
        let refused =
            sender.request("POST", CHAT, &[("content-type", "application/json")], body.as_bytes());
        assert_eq!(refused.status, 403, "{more}");
    }
    for name in ["x-litellm-customer-id", "x-litellm-end-user-id", "X-My-User"] {
        let refused = sender.post_json(CHAT, &[(name, "eve")], &with(json!({"user": "adam"})));
        assert_eq!(refused.status, 403, "{name} comes before the body");
    }
    let message = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}],
                         "metadata": {"user_id": "eve"}});
    assert_eq!(sender.post_json("/v1/messages", &[], &message).status, 403);
    assert_eq!(upstream.requests().len(), asked, "no provider is called");
    assert_eq!(ask_for(&hale, &key, "Eve").status, 200, "another one");
    assert_eq!(ask(&hale, &key, "m").status, 200, "no end user");
    assert_eq!(
        ask_for(&hale, crate::support::KEY, "eve").status,
        200,
        "the master key is not limited"
    );
    assert_eq!(
        post(&hale, "/customer/unblock", &json!({"user_ids": ["eve"]})),
        json!({"blocked_users": []})
    );
    assert_eq!(ask_for(&hale, &key, "eve").status, 200);
}

#[test]
fn an_end_user_has_limits_and_a_budget_of_its_own_beside_those_of_the_key() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({"rpm_limit": 100}));
    let (other, _) = make(&hale, &json!({}));
    let made = post(
        &hale,
        "/customer/new",
        &json!({"user_id": "u", "alias": "a", "max_budget": 5, "rpm_limit": 2}),
    );
    assert_eq!(made["litellm_budget_table"]["max_budget"], 5.0);
    let answer = ask_for(&hale, &key, "u");
    assert_eq!(answer.header("x-ratelimit-end_user-remaining-requests"), Some("1"));
    assert_eq!(ask_for(&hale, &other, "u").status, 200);
    let refused = ask_for(&hale, &key, "u");
    assert_eq!((refused.status, refused.header("rate_limit_type")), (429, Some("requests")));
    assert!(
        error(&refused)["message"].as_str().unwrap().contains("end_user: u"),
        "{}",
        refused.text()
    );
    assert_eq!(ask_for(&hale, &key, "v").status, 200);
    let info = || client(&hale).get("/customer/info?end_user_id=u").json();
    eventually("what it spent", || info()["spend"].as_f64().filter(|usd| *usd > 0.0));
    post(&hale, "/customer/update", &json!({"user_id": "u", "max_budget": 0, "rpm_limit": null}));
    let spent = expect_error(&ask_for(&hale, &key, "u"), 422, "budget_exceeded");
    assert!(
        spent["message"].as_str().unwrap().starts_with("ExceededBudget: End User=u over budget."),
        "{spent}"
    );
    assert_eq!(ask_for(&hale, &key, "v").status, 200);
    post(&hale, "/customer/update", &json!({"user_id": "u", "max_budget": null}));
    assert_eq!(ask_for(&hale, &key, "u").status, 200);
}

#[test]
fn the_admin_api_of_end_users_answers_as_the_reference_does() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    post(&hale, "/end_user/new", &json!({"user_id": "u"}));
    let refusals = [
        ("/customer/new", json!({"user_id": "u"}), 400, "bad_request"),
        ("/customer/new", json!({}), 400, "bad_request_error"),
        ("/customer/new", json!({"user_id": "w", "max_budget": -1}), 422, "invalid_request_error"),
        (
            "/customer/new",
            json!({"user_id": "w", "max_budget": 1, "budget_id": "b"}),
            422,
            "invalid_request_error",
        ),
        ("/customer/new", json!({"user_id": "w", "budget_id": "none"}), 400, "bad_request_error"),
        ("/customer/new", json!({"user_id": "w", "models": ["m"]}), 400, "bad_request_error"),
        ("/customer/update", json!({"user_id": "w", "alias": "x"}), 404, "not_found"),
        ("/customer/delete", json!({"user_ids": ["w"]}), 404, "not_found"),
        ("/customer/block", json!({"user_ids": []}), 400, "bad_request_error"),
    ];
    for (path, body, status, kind) in refusals {
        let refused = client(&hale).post_json(path, &[], &body);
        assert_eq!(
            (refused.status, &error(&refused)["type"]),
            (status, &json!(kind)),
            "{path} {body}"
        );
    }
    let list = client(&hale).get("/customer/list").json();
    assert_eq!((list.as_array().map(Vec::len), &list[0]["user_id"]), (Some(1), &json!("u")));
    let gone = post(&hale, "/customer/delete", &json!({"user_ids": ["u"]}));
    assert_eq!(gone["deleted_customers"], 1);
    assert_eq!(client(&hale).get("/customer/info?end_user_id=u").status, 404);
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(hale.client_with_key(&key).get("/customer/list").status, 401);
}

#[test]
fn end_users_that_another_writer_blocks_or_limits_are_known_within_seconds() {
    let server = Postgres::shared();
    let url = server.database();
    server.apply_reference_migrations(&url, "9");
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).launch().env("DATABASE_URL", &url).start();
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(ask_for(&hale, &key, "u").status, 200);
    for (sql, status) in [
        ("insert into \"LiteLLM_EndUserTable\" (user_id, blocked) values ('u', true)", 403),
        ("update \"LiteLLM_EndUserTable\" set blocked = false", 200),
        (
            "insert into \"LiteLLM_BudgetTable\" (budget_id, max_budget, created_by, updated_by) values ('z', 0, 'x', 'x'); \
          update \"LiteLLM_EndUserTable\" set budget_id = 'z'",
            422,
        ),
        ("delete from \"LiteLLM_EndUserTable\"", 200),
    ] {
        server.sql(&url, sql);
        eventually(sql, || (ask_for(&hale, &key, "u").status == status).then_some(()));
    }
}

#[test]
fn clients_of_other_addresses_than_those_allowed_are_refused_but_on_open_pages() {
    let upstream = FakeUpstream::start();
    let elsewhere =
        lone(&upstream).general(json!({"allowed_ips": ["10.0.0.0/8", "2001:db8::1"]})).start();
    let refused =
        expect_error(&ask(&elsewhere, crate::support::KEY, "m"), 403, "address_not_allowed");
    assert_eq!(
        (&refused["type"], &refused["message"]),
        (&json!("auth_error"), &json!("Access forbidden: IP address not allowed."))
    );
    let forged =
        [("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1"), ("forwarded", "for=10.0.0.1")];
    let body = openai::chat_request("m", "hi");
    assert_eq!(
        client(&elsewhere).post_json(CHAT, &forged, &body).status,
        403,
        "a header is no address"
    );
    assert_eq!(client(&elsewhere).get("/key/list").status, 403);
    assert_eq!(elsewhere.client().get("/health/liveliness").status, 200);
    assert!(upstream.requests().is_empty());
    let here = lone(&upstream).general(json!({"allowed_ips": ["127.0.0.0/8"]})).start();
    assert_eq!(ask(&here, crate::support::KEY, "m").status, 200);
}
