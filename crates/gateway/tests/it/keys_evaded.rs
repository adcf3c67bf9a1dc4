//! Ways around a key's models, budget and life that must not work.

use std::thread;

use hale_testkit::{FakeUpstream, Hale, Response, Script, openai};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, Config, client, column, eventually, expect_error, lone};

const FREE: f64 = 0.0;
const DEAR: f64 = 0.001;

/// A deployment whose tokens cost `usd` each; its upstream knows the model as `u` and the group's name.
fn priced(group: &str, id: &str, (upstream, usd): (&FakeUpstream, f64)) -> Value {
    let params = json!({
        "model": format!("openai/u{group}"), "api_key": "sk-upstream-fedcba9876543210", "api_base": upstream.api_base(),
        "input_cost_per_token": usd, "output_cost_per_token": usd,
    });
    json!({"model_name": group, "litellm_params": params, "model_info": {"id": id}})
}

fn with_key(hale: &Hale, key: &str, path: &str, body: &Value) -> Response {
    hale.client_with_key(key).post_json(path, &[], body)
}

#[test]
fn what_is_passed_through_names_models_of_the_key_alone_and_is_not_passed_where_cost_counts() {
    let upstream = FakeUpstream::with(|_| Script::with_status(200).json(&json!({"ok": true})));
    let hale = Config::new()
        .entry(priced("a", "a", (&upstream, DEAR)))
        .entry(priced("b", "b", (&upstream, DEAR)))
        .start();
    let (key, _) = make(&hale, &json!({"models": ["a"]}));
    let path = "/openai/v1/chat/completions";
    let send = |path: &str, headers: &[(&str, &str)], body: &str| {
        hale.client_with_key(&key).request("POST", path, headers, body.as_bytes())
    };
    let kind = ("content-type", "application/json");
    let padded = format!(r#"{{"x": "{}", "model": "ub"}}"#, "p".repeat(400 << 10));
    let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nub\r\n--b--\r\n";
    let form_kind = ("content-type", "multipart/form-data; boundary=b");
    for (path, headers, body, reason) in [
        (path, &[kind, ("x-litellm-model", "a")][..], r#"{"model": "ub"}"#, "model_not_allowed"),
        (path, &[kind], &padded, "model_not_allowed"),
        (path, &[kind], r#"{"model": "ua", "model": "ub"}"#, "model_not_allowed"),
        (path, &[kind], r#"{"requests": [{"model": "ub"}], "model": "ua"}"#, "model_not_allowed"),
        (path, &[kind], "\u{feff}{\"model\": \"ub\"}", "model_unknown"),
        (path, &[kind], r#"{"input_file_id": "file-1"}"#, "model_unknown"),
        (path, &[kind], "", "model_unknown"),
        ("/openai/v1/audio/transcriptions", &[form_kind], form, "model_not_allowed"),
        // The name of a group that is another model at the provider.
        (path, &[kind], r#"{"model": "b"}"#, "model_not_allowed"),
        (path, &[kind], r#"{"model": "a"}"#, "model_not_allowed"),
    ] {
        expect_error(&send(path, headers, body), 403, reason);
    }
    expect_error(&hale.client_with_key(&key).get("/openai/v1/models"), 403, "model_unknown");
    assert_eq!(upstream.requests().len(), 0);
    assert_eq!(send(path, &[kind], r#"{"model": "ua"}"#).status, 200);
    assert_eq!(send(path, &[kind, ("x-litellm-model", "a")], r#"{"model": "ua"}"#).status, 200);
    let body = json!({"model": "ua"});
    for limit in [json!({"max_budget": 1}), json!({"tpm_limit": 1_000})] {
        let (limited, _) = make(&hale, &limit);
        expect_error(&with_key(&hale, &limited, path, &body), 403, "cost_unknown");
    }
    let named = json!({"max_budget": 0, "allowed_routes": [path]});
    let (spent, _) = make(&hale, &named);
    expect_error(&with_key(&hale, &spent, path, &body), 422, "budget_exceeded");
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_spent_key_gets_nothing_that_may_cost_something_however_small_the_request() {
    let upstream = FakeUpstream::start();
    let broken = FakeUpstream::with(|_| Script::with_status(500).json(&json!({})));
    let half = json!({
        "model": "openai/x", "api_key": "sk-upstream-fedcba9876543210", "api_base": upstream.api_base(),
        "input_cost_per_token": 0, "output_cost_per_token": DEAR,
    });
    let hale = Config::new()
        .entry(priced("free", "f", (&upstream, FREE)))
        .entry(priced("mixed", "m0", (&upstream, FREE)))
        .entry(priced("mixed", "m1", (&upstream, DEAR)))
        .entry(priced("falls", "f0", (&broken, FREE)))
        .entry(priced("dear", "d", (&upstream, DEAR)))
        .entry(json!({"model_name": "half", "litellm_params": half, "model_info": {"id": "h"}}))
        .router(json!({"fallbacks": [{"falls": ["dear"]}], "num_retries": 0}))
        .start();
    let (spent, _) = make(&hale, &json!({"max_budget": 0}));
    for group in ["mixed", "falls", "dear", "half"] {
        expect_error(&ask(&hale, &spent, group), 422, "budget_exceeded");
    }
    let tiny = json!({"model": "dear", "input": "x"});
    expect_error(&with_key(&hale, &spent, "/v1/embeddings", &tiny), 422, "budget_exceeded");
    let mut nothing = openai::chat_request("half", "hi");
    nothing["max_tokens"] = json!(0);
    expect_error(&with_key(&hale, &spent, CHAT, &nothing), 422, "budget_exceeded");
    nothing["max_completion_tokens"] = json!(0);
    nothing["max_tokens"] = json!(100);
    expect_error(&with_key(&hale, &spent, CHAT, &nothing), 422, "budget_exceeded");
    assert_eq!(upstream.requests().len() + broken.requests().len(), 0);
    assert_eq!(ask(&hale, &spent, "free").status, 200);
}

#[test]
fn a_key_sees_the_state_of_its_models_alone_and_probes_none() {
    let upstream = FakeUpstream::start();
    let hale = Config::new()
        .entry(priced("a", "a", (&upstream, DEAR)))
        .entry(priced("b", "b", (&upstream, DEAR)))
        .start();
    let (key, _) = make(&hale, &json!({"models": ["a"], "aliases": {"mine": "a", "other": "b"}}));
    let get = |path: &str| hale.client_with_key(&key).get(path);
    let all = |page: &Value| page.to_string();
    for path in ["/health", "/v1/model/info", "/model_group/info", "/v1/models"] {
        let page = get(path);
        assert_eq!(page.status, 200, "{path}");
        let text = all(&page.json());
        assert!(text.contains("\"a\"") && !text.contains("\"b\""), "{path}: {text}");
        assert!(!text.contains(upstream.api_base().trim_end_matches("/v1")), "{path}: {text}");
    }
    assert_eq!(get("/health?model=b").status, 404);
    assert_eq!(get("/v1/model/info?litellm_model_id=b").status, 400);
    assert_eq!(upstream.requests().len(), 0, "no probe was sent for a key");
    let ids = column(&get("/v1/models").json()["data"], "id");
    assert_eq!(ids, [json!("a"), json!("mine")]);
    let whole = client(&hale).get("/v1/model/info").json();
    assert!(all(&whole).contains(&*upstream.api_base()), "the operator sees all: {whole}");
    assert_eq!(client(&hale).get("/health").status, 200);
    assert!(!upstream.requests().is_empty(), "the operator's look probes");
}

#[test]
fn a_key_gets_no_answer_that_another_key_asked_for_unless_the_config_shares_them() {
    let upstream = FakeUpstream::start();
    for (shared, expected) in [(false, None), (true, Some("hit"))] {
        let params = json!({"type": "local", "shared_by_keys": shared});
        let hale = lone(&upstream).litellm(json!({"cache": true, "cache_params": params})).start();
        let (one, _) = make(&hale, &json!({}));
        let (two, _) = make(&hale, &json!({}));
        assert_eq!(ask(&hale, &one, "m").status, 200);
        eventually("the answer is kept", || {
            (ask(&hale, &one, "m").header("x-hale-cache") == Some("hit")).then_some(())
        });
        let of_other = ask(&hale, &two, "m");
        let cached = of_other.header("x-hale-cache").filter(|said| *said == "hit");
        assert_eq!(cached, expected, "shared: {shared}");
    }
}

#[test]
fn a_key_or_a_team_that_is_made_again_has_spent_nothing() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().entry(priced("m", "m", (&upstream, DEAR))).start();
    let fields = json!({"key": "sk-recreate-0123456789", "max_budget": 0.000_1});
    let (key, _) = make(&hale, &fields);
    assert_eq!(ask(&hale, &key, "m").status, 200);
    expect_error(&ask(&hale, &key, "m"), 422, "budget_exceeded");
    client(&hale).post_json("/key/delete", &[], &json!({"keys": [key]}));
    make(&hale, &fields);
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let team = json!({"team_id": "t", "max_budget": 0.000_1});
    for _ in 0..2 {
        assert_eq!(client(&hale).post_json("/team/new", &[], &team).status, 200);
        let (of_team, _) = make(&hale, &json!({"team_id": "t"}));
        assert_eq!(ask(&hale, &of_team, "m").status, 200);
        expect_error(&ask(&hale, &of_team, "m"), 422, "budget_exceeded");
        client(&hale).post_json("/team/delete", &[], &json!({"team_ids": ["t"]}));
    }
}

#[test]
fn a_teams_budget_that_gets_a_duration_later_begins_anew() {
    let upstream = FakeUpstream::start();
    let hale = Config::new().entry(priced("m", "m", (&upstream, DEAR))).start();
    client(&hale).post_json("/team/new", &[], &json!({"team_id": "t"}));
    let (key, _) = make(&hale, &json!({"team_id": "t"}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    let update = json!({"team_id": "t", "max_budget": 0.000_1, "budget_duration": "2s"});
    assert_eq!(client(&hale).post_json("/team/update", &[], &update).status, 200);
    eventually("the budget begins anew", || (ask(&hale, &key, "m").status == 200).then_some(()));
}

#[test]
fn changes_at_once_of_one_roster_or_one_alias_are_made_one_after_another() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    client(&hale).post_json("/team/new", &[], &json!({"team_id": "t"}));
    let at_once = |path: &'static str, body: &(dyn Fn(usize) -> Value + Sync)| -> Vec<u16> {
        thread::scope(|scope| {
            let send = |at: usize| {
                let (hale, body) = (&hale, body(at));
                scope.spawn(move || client(hale).post_json(path, &[], &body).status)
            };
            let sent: Vec<_> = (0..12).map(send).collect();
            sent.into_iter().map(|one| one.join().unwrap()).collect()
        })
    };
    let member =
        |user: String| json!({"team_id": "t", "member": {"role": "user", "user_id": user}});
    let added = at_once("/team/member_add", &|at| member(format!("u{at}")));
    assert_eq!(added, [200; 12]);
    let team = client(&hale).get("/team/info?team_id=t").json();
    assert_eq!(team["team_info"]["members_with_roles"].as_array().unwrap().len(), 12);
    let good = |statuses: Vec<u16>| statuses.into_iter().filter(|status| *status == 200).count();
    assert_eq!(good(at_once("/team/member_add", &|_| member("same".to_owned()))), 1);
    assert_eq!(good(at_once("/key/generate", &|_| json!({"key_alias": "one"}))), 1);
    // A member that is named by its address is the user who has it.
    let user = json!({"user_id": "um", "user_email": "Um@X.com", "auto_create_key": false});
    assert_eq!(client(&hale).post_json("/user/new", &[], &user).status, 200);
    let again = json!({"user_email": "um@x.com", "auto_create_key": false});
    assert_eq!(client(&hale).post_json("/user/new", &[], &again).status, 409);
    let by_email = json!({"team_id": "t", "member": {"role": "user", "user_email": "um@x.com"}});
    let added = client(&hale).post_json("/team/member_add", &[], &by_email).json();
    assert_eq!(added["updated_users"], json!([{"user_id": "um"}]));
    let many: Vec<String> = (0..1_001).map(|at| format!("sk-{at}")).collect();
    let refused = client(&hale).post_json("/key/delete", &[], &json!({"keys": many}));
    assert_eq!(refused.status, 400, "what cannot be done at once is not acknowledged");
    let huge = json!({"max_parallel_requests": 3_000_000_000_u64});
    assert_eq!(client(&hale).post_json("/key/generate", &[], &huge).status, 422);
}
