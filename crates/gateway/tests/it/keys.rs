//! Keys that are made at run time: who they let in, to which models, within which limits and budgets.

use hale_testkit::{Client, FakeUpstream, Hale, Response, Script, TempDir, openai};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, chat_with, client, column, error, expect_error, lone, wait_for_records,
};

/// Two groups, `a` in the access group `grp`, and `b`.
fn two(upstream: &FakeUpstream) -> Config {
    let entry = |name: &str, groups: Value| {
        let params = json!({
            "model": "openai/gpt-4o", "api_key": "sk-upstream-fedcba9876543210", "api_base": upstream.api_base(),
        });
        let info = json!({"id": name, "access_groups": groups});
        json!({"model_name": name, "litellm_params": params, "model_info": info})
    };
    Config::new().entry(entry("a", json!(["grp"]))).entry(entry("b", json!([])))
}

/// Makes a key, and gives its text and the answer.
#[track_caller]
pub(crate) fn make(hale: &Hale, fields: &Value) -> (String, Value) {
    let answer = client(hale).post_json("/key/generate", &[], fields);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    (answer["key"].as_str().unwrap().to_owned(), answer)
}

pub(crate) fn ask(hale: &Hale, key: &str, model: &str) -> Response {
    let mut client = hale.client_with_key(key);
    client.post_json(CHAT, &[], &openai::chat_request(model, "hi"))
}

#[track_caller]
fn change(hale: &Hale, path: &str, body: &Value) -> Value {
    let answer = client(hale).post_json(path, &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[test]
fn a_key_that_is_made_is_let_in_shown_by_its_hash_and_gone_when_it_is_deleted() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, made) = make(&hale, &json!({"key_alias": "ci", "metadata": {"x": 1}}));
    assert!(key.starts_with("sk-") && key.len() == 25, "{key}");
    assert_eq!(made["token"], made["token_id"]);
    assert_eq!(made["key_name"], format!("sk-...{}", &key[21..]));
    let hash = made["token"].as_str().unwrap();
    assert_eq!(ask(&hale, &key, "m").status, 200);
    for named in [&*key, hash] {
        let page = client(&hale).get(&format!("/key/info?key={named}")).json();
        assert_eq!((&page["key"], &page["info"]["key_alias"]), (&json!(named), &json!("ci")));
        assert_eq!(
            (&page["info"]["status"], &page["info"]["metadata"]),
            (&json!("active"), &json!({"x": 1}))
        );
        assert!(!page.to_string().contains(&key) || named == key, "{page}");
    }
    let own = hale.client_with_key(&key).get("/key/info").json();
    assert_eq!(own["info"]["key_alias"], "ci");
    let list = client(&hale).get("/key/list?key_alias=ci").json();
    let page = json!({"keys": [hash], "total_count": 1, "current_page": 1, "total_pages": 1});
    assert_eq!(list, page);
    // A hash is no key.
    let refused = error(&ask(&hale, hash, "m"));
    assert!(
        refused["message"].as_str().unwrap().contains("expected to start with 'sk-'"),
        "{refused}"
    );
    assert_eq!(
        change(&hale, "/key/delete", &json!({"keys": [key]})),
        json!({"deleted_keys": [key]})
    );
    let refused = expect_error(&ask(&hale, &key, "m"), 401, "invalid_api_key");
    assert_eq!(
        (&refused["type"], &refused["param"]),
        (&json!("token_not_found_in_db"), &json!("key"))
    );
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains(hash) && !text.contains(&key), "{text}");
    let gone = client(&hale).get(&format!("/key/info?key={hash}"));
    assert_eq!((gone.status, &error(&gone)["message"]), (404, &json!("Key not found in database")));
    let again = client(&hale).post_json("/key/delete", &[], &json!({"keys": [key]}));
    assert_eq!(
        (again.status, &error(&again)["message"]),
        (404, &json!("{'error': 'No keys found'}"))
    );
}

#[test]
fn a_key_is_taken_from_every_header_that_may_carry_one() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({}));
    let sent = |headers: &[(&str, &str)]| {
        let body = openai::chat_request("m", "hi");
        hale.client().post_json(CHAT, headers, &body).status
    };
    let bearer = format!("Bearer {key}");
    for (name, value) in [
        ("authorization", &*bearer),
        ("x-litellm-api-key", &key),
        ("x-litellm-api-key", &bearer),
        ("api-key", &key),
        ("x-api-key", &key),
        ("x-goog-api-key", &key),
        ("ocp-apim-subscription-key", &key),
    ] {
        assert_eq!(sent(&[(name, value)]), 200, "{name}");
    }
    assert_eq!(sent(&[("x-litellm-api-key", &key), ("authorization", "Bearer sk-other")]), 200);
    assert_eq!(sent(&[("x-litellm-api-key", "sk-other"), ("authorization", &bearer)]), 401);
    // A provider's own credential yields to a key that is known.
    assert_eq!(sent(&[("authorization", "Bearer sk-ant-api03-0123"), ("x-api-key", &key)]), 200);
    assert!(!format!("{:?}", upstream.requests()).contains(&*key));
}

#[test]
fn a_key_uses_and_sees_its_models_alone() {
    let upstream = FakeUpstream::start();
    let hale =
        two(&upstream).router(json!({"fallbacks": [{"a": ["b"]}], "num_retries": 0})).start();
    let listed =
        |key: &str| column(&hale.client_with_key(key).get("/v1/models").json()["data"], "id");
    for models in [json!(["a"]), json!(["grp"])] {
        let (key, _) = make(&hale, &json!({"models": models}));
        assert_eq!(ask(&hale, &key, "a").status, 200);
        let refused = expect_error(&ask(&hale, &key, "b"), 403, "model_not_allowed");
        assert_eq!(
            (&refused["type"], &refused["param"]),
            (&json!("key_model_access_denied"), &json!("model"))
        );
        assert_eq!(listed(&key), [json!("a")]);
        assert_eq!(hale.client_with_key(&key).get("/v1/models/b").status, 404);
        // Neither its own fallbacks nor those of the config lead elsewhere.
        let mut body = openai::chat_request("a", "hi");
        body["fallbacks"] = json!(["b"]);
        let before = upstream.requests().len();
        assert_eq!(hale.client_with_key(&key).post_json(CHAT, &[], &body).status, 403);
        assert_eq!(upstream.requests().len(), before);
        upstream.push(Script::error(500, "down"));
        assert!(ask(&hale, &key, "a").status >= 500);
        assert_eq!(upstream.requests().len(), before + 1);
        let id =
            hale.client_with_key(KEY).post_json("/router/deployments/a/reset", &[], &json!({}));
        assert_eq!(id.status, 200, "{}", id.text());
    }
    let (all, _) = make(&hale, &json!({"models": []}));
    assert_eq!(listed(&all), [json!("a"), json!("b")]);
    let (renamed, _) = make(&hale, &json!({"models": ["b"], "aliases": {"x": "b", "y": "a"}}));
    assert_eq!(ask(&hale, &renamed, "x").status, 200);
    assert_eq!(ask(&hale, &renamed, "y").status, 403);
}

#[test]
fn a_blocked_key_is_refused_until_it_is_unblocked() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    assert_eq!(change(&hale, "/key/block", &json!({"key": key}))["blocked"], true);
    let refused = expect_error(&ask(&hale, &key, "m"), 401, "key_blocked");
    let text =
        "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin.";
    assert_eq!(refused["message"], text);
    change(&hale, "/key/unblock", &json!({"key": key}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let none = client(&hale).post_json("/key/block", &[], &json!({"key": "sk-unknown-unknown"}));
    assert_eq!((none.status, &error(&none)["message"]), (404, &json!("Key not found.")));
    let empty = client(&hale).post_json("/key/block", &[], &json!({}));
    assert_eq!((empty.status, &error(&empty)["message"]), (400, &json!("Invalid key format.")));
}

#[test]
fn limits_hold_and_a_refusal_says_which_and_when() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, made) = make(&hale, &json!({"rpm_limit": 1}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let answer = ask(&hale, &key, "m");
    let refused = expect_error(&answer, 429, "rate_limited");
    let text = format!(
        "Rate limit exceeded for api_key: {}. Limit type: requests. Current limit: 1, Remaining: 0. Limit resets at: ",
        made["token"].as_str().unwrap()
    );
    assert!(refused["message"].as_str().unwrap().starts_with(&text), "{refused}");
    assert_eq!(
        (&refused["type"], answer.header("rate_limit_type")),
        (&json!("throttling_error"), Some("requests"))
    );
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait) && answer.header("reset_at").is_some());
    assert_eq!(upstream.requests().len(), 1);
    let (none, _) = make(&hale, &json!({"rpm_limit": 0}));
    assert_eq!(ask(&hale, &none, "m").status, 429);
    let (small, _) = make(&hale, &json!({"tpm_limit": 100}));
    let mut wish = openai::chat_request("m", "hi");
    wish["max_tokens"] = json!(5_000);
    let never = hale.client_with_key(&small).post_json(CHAT, &[], &wish);
    expect_error(&never, 400, "tokens_beyond_limit");
    assert_eq!(
        ask(&hale, &small, "m").status,
        200,
        "no tokens were taken, and an estimate never exceeds the limit"
    );
    assert!(!upstream.requests().last().unwrap().text().contains("max_tokens"));
}

#[test]
fn a_slot_of_a_parallel_limit_is_free_again_after_every_kind_of_ending() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    let (key, _) = make(&hale, &json!({"max_parallel_requests": 1}));
    let is_free = |how: &str| {
        crate::support::eventually(how, || (ask(&hale, &key, "m").status == 200).then_some(()));
    };
    is_free("at first");
    upstream.push(Script::error(400, "no"));
    assert_eq!(ask(&hale, &key, "m").status, 400);
    is_free("after a refusal of the provider");
    let mut left: Client = hale.client_with_key(&key);
    let body = openai::stream_request("m", "hi");
    drop(left.stream(CHAT, &[], &body));
    left.abort();
    is_free("after a client that left");
    assert_eq!(
        chat_with(&hale, &[("x-litellm-api-key", &key)], &json!({"model": "m"})).status,
        400
    );
    is_free("after a request that cannot be served");
}

#[test]
fn a_spent_budget_refuses_and_what_was_spent_is_known_after_a_restart() {
    let upstream = FakeUpstream::start();
    let directory = TempDir::new();
    let start = || {
        let launch = lone(&upstream).general(json!({"request_log": "requests.jsonl"})).launch();
        launch.env("HALE_DATA_DIR", directory.path().to_str().unwrap()).start()
    };
    let mut hale = start();
    let (none, _) = make(&hale, &json!({"max_budget": 0}));
    let refused = expect_error(&ask(&hale, &none, "m"), 422, "budget_exceeded");
    assert_eq!(refused["type"], "budget_exceeded");
    let fields =
        json!({"max_budget": 0.000_000_001, "key_alias": "small", "budget_duration": "30d"});
    let (key, _) = make(&hale, &fields);
    let answer = ask(&hale, &key, "m");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cost: f64 = answer.header("x-litellm-response-cost").unwrap().parse().unwrap();
    assert!(cost > 0.0);
    let check = |hale: &Hale| {
        let answer = ask(hale, &key, "m");
        let refused = expect_error(&answer, 422, "budget_exceeded");
        let text = refused["message"].as_str().unwrap();
        assert!(text.starts_with("Budget has been exceeded! Key=small (sk-..."), "{text}");
        assert!(text.ends_with("Max budget: 0.000000001"), "{text}");
        assert!(answer.header("retry-after").is_some());
    };
    check(&hale);
    let records = wait_for_records(&hale, 3);
    let answered = records.iter().find(|record| record["status"] == 200).unwrap();
    assert_eq!(answered["key_alias"], "small");
    assert!(hale.stop().success());
    let hale = start();
    check(&hale);
    let info = client(&hale).get(&format!("/key/info?key={key}")).json();
    let spent = info["info"]["spend"].as_f64().unwrap();
    assert!((spent - cost).abs() < 1e-12, "{spent} {cost}");
    // An operator opens it again.
    change(&hale, "/key/update", &json!({"key": key, "spend": 0}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    check(&hale);
    change(&hale, "/key/update", &json!({"key": key, "max_budget": null}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
}

#[test]
fn a_key_may_not_raise_its_own_rights_nor_reach_another_key() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({"user_id": "u1"}));
    let (other, made) = make(&hale, &json!({"user_id": "u2"}));
    for path in ["/key/generate", "/key/update", "/key/delete", "/key/block", "/key/unblock"] {
        let body = json!({"key": key, "keys": [other], "max_budget": 1000, "models": []});
        let answer = hale.client_with_key(&key).post_json(path, &[], &body);
        let refused = expect_error(&answer, 401, "admin_only");
        let text = format!(
            "Authentication Error, Only proxy admin can be used to generate, delete, update info for new \
             keys/users/teams. Route={path}. Your role=internal_user. Your user_id=u1"
        );
        assert_eq!(refused["message"], text);
    }
    let hash = made["token"].as_str().unwrap();
    let page = hale.client_with_key(&key).get(&format!("/key/info?key={hash}"));
    assert_eq!(page.status, 404);
    let list =
        hale.client_with_key(&key).get(&format!("/key/list?user_id=u2&key_hash={hash}")).json();
    assert_eq!(list["total_count"], 0);
    assert_eq!(hale.client_with_key(&key).get("/router/state").status, 401);
    let (narrow, _) = make(&hale, &json!({"key_type": "llm_api"}));
    assert_eq!(ask(&hale, &narrow, "m").status, 200);
    let refused = hale.client_with_key(&narrow).get("/key/info");
    let text = "Virtual key is not allowed to call this route. Only allowed to call routes: ['llm_api_routes']. Tried to call \
                route: /key/info";
    assert_eq!((refused.status, &error(&refused)["message"]), (403, &json!(text)));
}

#[test]
fn fields_that_are_wrong_or_not_served_are_refused_by_name_and_make_nothing() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    make(&hale, &json!({"key_alias": "taken", "key": "sk-0123456789abcdef"}));
    for (fields, status, field) in [
        (json!({"max_budget": -1}), 422, "max_budget"),
        (json!({"max_budget": 1e308}), 422, "max_budget"),
        (json!({"max_budget": "ten"}), 422, "max_budget"),
        (json!({"spend": -0.1}), 422, "spend"),
        (json!({"rpm_limit": -1}), 422, "rpm_limit"),
        (json!({"tpm_limit": 1.5}), 422, "tpm_limit"),
        (json!({"models": "a"}), 422, "models"),
        (json!({"models": [1]}), 422, "models"),
        (json!({"key_alias": "a\nb"}), 422, "key_alias"),
        (json!({"aliases": {"a": 1}}), 422, "aliases"),
        (json!({"model_rpm_limit": {"a": -1}}), 422, "model_rpm_limit"),
        (json!({"key_type": "root"}), 422, "key_type"),
        (json!({"duration": "10y"}), 400, "duration"),
        (json!({"budget_duration": "30days"}), 400, "budget_duration"),
        (json!({"budget_duration": "0s"}), 400, "budget_duration"),
        (json!({"key": "sk-short"}), 400, "key"),
        (json!({"key": "sk-0123456789abcdef"}), 409, "key"),
        (json!({"key_alias": "taken"}), 400, "key_alias"),
        (json!({"team_id": "no-such-team"}), 400, "team_id"),
        (json!({"budget_id": "x' or '1'='1"}), 400, "budget_id"),
        (json!({"guardrails": ["g"]}), 400, "guardrails"),
        (json!({"model_max_budget": {"a": {"max_budget": 1}}}), 400, "model_max_budget"),
    ] {
        let answer = client(&hale).post_json("/key/generate", &[], &fields);
        assert_eq!(
            (answer.status, &error(&answer)["param"]),
            (status, &json!(field)),
            "{fields}: {}",
            answer.text()
        );
    }
    let nan = client(&hale).request("POST", "/key/generate", &[], b"{\"max_budget\": NaN}");
    assert_eq!(nan.status, 422, "{}", nan.text());
    assert_eq!(client(&hale).get("/key/list").json()["total_count"], 1);
    let size = client(&hale).get("/key/list?size=101");
    assert_eq!(size.status, 422);
}

#[test]
fn answers_say_what_the_limits_of_every_level_leave_and_refusals_which_is_reached() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    client(&hale).post_json("/team/new", &[], &json!({"team_id": "t1", "rpm_limit": 5}));
    let (key, _) = make(
        &hale,
        &json!({"team_id": "t1", "rpm_limit": 2, "tpm_limit": 10_000, "max_parallel_requests": 3,
                "max_budget": 7, "model_rpm_limit": {"m": 9}}),
    );
    let answer = ask(&hale, &key, "m");
    for (name, value) in [
        ("x-ratelimit-api_key-limit-requests", "2"),
        ("x-ratelimit-api_key-remaining-requests", "1"),
        ("x-ratelimit-api_key-limit-tokens", "10000"),
        ("x-ratelimit-api_key-limit-max_parallel_requests", "3"),
        ("x-ratelimit-team-limit-requests", "5"),
        ("x-ratelimit-team-remaining-requests", "4"),
        ("x-ratelimit-model_per_key-remaining-requests", "8"),
        ("x-litellm-key-remaining-requests-m", "8"),
        ("x-litellm-key-rpm-limit", "2"),
        ("x-litellm-key-tpm-limit", "10000"),
        ("x-litellm-key-max-budget", "7.0"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let left = answer.header("x-ratelimit-api_key-remaining-tokens").unwrap();
    assert!(left.parse::<u64>().unwrap() < 10_000, "{left}");
    let stream =
        hale.client_with_key(&key).stream(CHAT, &[], &openai::stream_request("m", "hi")).status;
    assert_eq!(stream, 200);
    let refused = ask(&hale, &key, "m");
    assert_eq!(refused.status, 429);
    for (name, value) in [
        ("rate_limit_type", "requests"),
        ("x-ratelimit-api_key-limit-requests", "2"),
        ("x-ratelimit-api_key-remaining-requests", "0"),
    ] {
        assert_eq!(refused.header(name), Some(value), "{name}");
    }
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let (free, _) = make(&hale, &json!({}));
    let names = format!("{:?}", ask(&hale, &free, "m").headers);
    assert!(!names.contains("x-ratelimit-api_key") && !names.contains("x-litellm-key"), "{names}");
}
