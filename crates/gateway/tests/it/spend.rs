//! What requests cost: in the ledger, in LiteLLM's tables, in reports, and that all of it agrees.

use std::time::Duration;

use hale_testkit::{
    FakeUpstream, Finished, Hale, Launch, Postgres, Script, Signal, TempDir, openai,
};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, Config, chat_with, client, eventually, hale};

/// An upstream whose answers cost 20 prompt tokens and 10 answer tokens, streamed or not.
pub(crate) fn upstream() -> FakeUpstream {
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

/// A group whose answers cost 0.04 USD.
pub(crate) fn config(upstream: &FakeUpstream) -> Config {
    let prices = json!({"input_cost_per_token": 0.001, "output_cost_per_token": 0.002});
    Config::new().with("m", "d-1", upstream, prices)
}

fn at(config: &Config, directory: &TempDir) -> Launch {
    config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap())
}

/// Runs `hale spend` with these arguments.
fn spend(store: &str, arguments: &[&str]) -> Finished {
    let command = hale().arg("spend").arg("--database").arg(store);
    arguments.iter().fold(command, |command, argument| command.arg(*argument)).run()
}

#[track_caller]
fn agrees(store: &str) -> String {
    let audit = spend(store, &["audit"]);
    assert_eq!(audit.code(), Some(0), "{}{}", audit.stdout, audit.stderr);
    audit.stdout
}

#[track_caller]
pub(crate) fn get(hale: &Hale, path: &str) -> Value {
    let answer = client(hale).get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[track_caller]
pub(crate) fn wait_for_logs(hale: &Hale, count: u64) -> Vec<Value> {
    eventually("rows of requests", || {
        let logs = get(hale, "/spend/logs");
        let logs = logs.as_array().unwrap().clone();
        (logs.len() as u64 == count).then_some(logs)
    })
}

fn near(value: &Value, expected: f64) {
    let found = value.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() < 1e-9, "{value} is not {expected}");
}

/// The days of rows of requests, UTC, as the query of a report has them.
pub(crate) fn days_of(logs: &[Value]) -> String {
    let days: Vec<&str> =
        logs.iter().map(|log| &log["startTime"].as_str().unwrap()[..10]).collect();
    format!("start_date={}&end_date={}", days.iter().min().unwrap(), days.iter().max().unwrap())
}

/// A key of a user in a team, and its hash.
pub(crate) fn key_of_a_member(hale: &Hale) -> (String, String) {
    let made = |path: &str, body: Value| {
        let made = client(hale).post_json(path, &[], &body);
        assert_eq!(made.status, 200, "{}", made.text());
    };
    made("/team/new", json!({"team_id": "t1", "team_alias": "one"}));
    made("/user/new", json!({"user_id": "u1", "auto_create_key": false}));
    let wanted = json!({"key_alias": "ci", "team_id": "t1", "user_id": "u1", "tags": ["k"]});
    let (key, made) = make(hale, &wanted);
    (key, made["token"].as_str().unwrap().to_owned())
}

/// Each report, and where it has what was spent.
#[rustfmt::skip]
fn reports(range: &str, hash: &str) -> Vec<(String, &'static str)> {
    vec![
        (format!("/global/spend/keys?{range}"), "/0/total_spend"),
        (format!("/global/spend/models?{range}"), "/0/total_spend"),
        (format!("/global/spend/logs?{range}"), "/0/spend"),
        (format!("/global/spend/provider?{range}"), "/0/spend"),
        (format!("/global/spend/teams?{range}"), "/total_spend_per_team/0/total_spend"),
        (format!("/global/spend/tags?{range}&tags=r"), "/spend_per_tag/0/spend"),
        (format!("/global/spend?{range}"), "/spend"),
        (format!("/global/spend/report?{range}&group_by=customer"), "/0/customers/0/total_spend"),
        (format!("/global/spend/report?{range}&group_by=api_key"), "/0/total_cost"),
        (format!("/user/daily/activity?{range}"), "/metadata/total_spend"),
        (format!("/user/daily/activity?{range}"), "/results/0/breakdown/models/gpt-4o/metrics/spend"),
        (format!("/team/daily/activity?{range}"), "/results/0/breakdown/entities/t1/metrics/spend"),
        (format!("/tag/daily/activity?{range}&tags=k"), "/metadata/total_spend"),
        (format!("/customer/daily/activity?{range}"), "/metadata/total_spend"),
        ("/spend/session?session_id=s-1".to_owned(), "/spend"),
        ("/spend/keys".to_owned(), "/0/spend"),
        (format!("/key/info?key={hash}"), "/info/spend"),
    ]
}

#[test]
fn what_a_request_costs_is_in_its_row_in_every_report_and_on_its_key_and_all_of_it_agrees() {
    let upstream = upstream();
    let directory = TempDir::new();
    let hale = at(&config(&upstream), &directory).start();
    let (key, hash) = key_of_a_member(&hale);
    let mut body = openai::chat_request("m", "hi");
    body["user"] = json!("customer-1");
    body["metadata"] = json!({"tags": ["r"]});
    body["litellm_session_id"] = json!("s-1");
    assert_eq!(hale.client_with_key(&key).post_json(CHAT, &[], &body).status, 200);
    body["stream"] = json!(true);
    assert_eq!(hale.client_with_key(&key).post_json(CHAT, &[], &body).status, 200);
    let logs = wait_for_logs(&hale, 2);
    for log in &logs {
        near(&log["spend"], 0.04);
        let named = [
            ("api_key", json!(&hash)),
            ("user", json!("u1")),
            ("team_id", json!("t1")),
            ("end_user", json!("customer-1")),
            ("session_id", json!("s-1")),
            ("call_type", json!("acompletion")),
            ("status", json!("success")),
            ("model_group", json!("m")),
            ("model_id", json!("d-1")),
            ("prompt_tokens", json!(20)),
            ("completion_tokens", json!(10)),
            ("total_tokens", json!(30)),
            ("messages", json!({})),
        ];
        for (name, value) in named {
            assert_eq!(log[name], value, "{name}: {log}");
        }
        let tags = log["request_tags"].as_array().unwrap();
        assert!(tags.contains(&json!("k")) && tags.contains(&json!("r")), "{log}");
        assert_eq!(log["metadata"]["user_api_key_alias"], "ci");
    }
    let range = days_of(&logs);
    // The last day is included.
    let days = get(&hale, &format!("/spend/logs?{range}"));
    near(&days[0]["spend"], 0.08);
    near(&days[0]["users"]["u1"], 0.08);
    for (path, place) in reports(&range, &hash) {
        let page = get(&hale, &path);
        let found = page.pointer(place).unwrap_or_else(|| panic!("{path}: {page}"));
        near(found, 0.08);
    }
    let pages = get(&hale, &format!("/spend/logs/v2?{range}&page_size=1"));
    assert_eq!(pages["total_pages"], 2);
    let activity = get(&hale, &format!("/global/activity?{range}"));
    assert_eq!(
        (&activity["sum_api_requests"], &activity["sum_total_tokens"]),
        (&json!(2), &json!(60))
    );
    let session = get(&hale, "/spend/session?session_id=s-1");
    assert_eq!(
        (&session["requests"], &session["models"]["gpt-4o"]["requests"]),
        (&json!(2), &json!(2))
    );
    let csv = client(&hale).get(&format!("/global/spend/report?{range}&group_by=team&format=csv"));
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(csv.text().lines().nth(1).is_some_and(|line| line.contains("0.08")), "{}", csv.text());
    let store = directory.path().join("hale.db");
    assert!(agrees(store.to_str().unwrap()).contains("2 calls, 0.08 USD"));
}

#[test]
fn a_key_sees_what_it_spent_and_nothing_of_others() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let (own, _) = make(&hale, &json!({"user_id": "u1"}));
    let (other, _) = make(&hale, &json!({"user_id": "u2"}));
    assert_eq!(ask(&hale, &own, "m").status, 200);
    assert_eq!(ask(&hale, &other, "m").status, 200);
    let range = days_of(&wait_for_logs(&hale, 2));
    let get = |path: &str| hale.client_with_key(&own).get(path);
    for path in [
        "/spend/logs".to_owned(),
        "/spend/logs?user_id=u1".to_owned(),
        format!("/spend/logs/v2?{range}"),
    ] {
        let page = get(&path).json();
        let rows = page["data"].as_array().or_else(|| page.as_array()).unwrap();
        assert!(rows.len() == 1 && rows[0]["user"] == "u1", "{path}: {page}");
    }
    assert_eq!(
        get("/spend/logs?user_id=u2").json(),
        json!([]),
        "both are asked for, and none is both"
    );
    near(&get(&format!("/user/daily/activity?{range}")).json()["metadata"]["total_spend"], 0.04);
    near(&get(&format!("/user/spend/report?{range}")).json()[0]["users"][0]["total_spend"], 0.04);
    for path in ["/global/spend", "/global/spend/keys", "/spend/tags", "/tag/daily/activity"] {
        let refused = get(&format!("{path}?{range}")).status;
        assert!(refused == 401 || refused == 403, "{path}: {refused}");
    }
    let bad = get("/spend/logs?start_date=2026-13-01&end_date=2026-01-01");
    assert_eq!(bad.status, 400, "{}", bad.text());
}

#[test]
fn a_call_that_its_client_leaves_before_it_answers_is_billed_by_an_estimate_that_says_so() {
    let upstream = FakeUpstream::with(|_| Script::silent());
    let directory = TempDir::new();
    let hale = at(&config(&upstream), &directory).start();
    let mut client = hale.client_with_key(crate::support::KEY);
    let body = openai::chat_request("m", &"word ".repeat(400)).to_string();
    client.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes()).unwrap();
    eventually("the call", || (!upstream.requests().is_empty()).then_some(()));
    drop(client);
    let logs = wait_for_logs(&hale, 1);
    assert_eq!(
        (&logs[0]["status"], &logs[0]["metadata"]["usage_estimated"]),
        (&json!("failure"), &json!(true))
    );
    let tokens = logs[0]["prompt_tokens"].as_f64().unwrap();
    assert!((400.0..600.0).contains(&tokens), "{}", logs[0]);
    near(&logs[0]["spend"], tokens * 0.001);
    agrees(directory.path().join("hale.db").to_str().unwrap());
}

#[test]
fn a_deployment_of_many_models_has_the_prices_of_the_one_that_was_called() {
    let upstream = upstream();
    let params = json!({"model": "openai/*", "api_key": "sk-x", "api_base": upstream.api_base()});
    let config = Config::new()
        .entry(json!({"model_name": "openai/*", "litellm_params": params}))
        .litellm(json!({}));
    let hale = config.start();
    let answer = chat_with(&hale, &[], &openai::chat_request("openai/gpt-4o", "hi"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let logs = wait_for_logs(&hale, 1);
    let is_own_server = logs[0]["metadata"]["price_unknown"] == true;
    // The price list's: 2.5 USD and 10 USD for a million tokens.
    assert!(
        is_own_server || (logs[0]["spend"].as_f64().unwrap() - 0.00015).abs() < 1e-12,
        "{}",
        logs[0]
    );
    assert!(!is_own_server, "{}", logs[0]);
}

#[test]
fn what_was_said_is_kept_with_what_it_cost_only_where_the_operator_wants_it() {
    let upstream = upstream();
    let hale = config(&upstream).general(json!({"store_prompts_in_spend_logs": true})).start();
    assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "the secret word")).status, 200);
    let logs = wait_for_logs(&hale, 1);
    assert!(logs[0]["messages"].to_string().contains("the secret word"), "{}", logs[0]);
    assert_eq!(logs[0]["response"]["choices"][0]["message"]["content"], "ok");
}

#[test]
fn after_a_kill_what_is_there_agrees_and_nothing_older_than_a_second_is_lost() {
    let upstream = upstream();
    let directory = TempDir::new();
    let store = directory.path().join("hale.db");
    let store = store.to_str().unwrap();
    let mut sent = 0;
    for _ in 0..4 {
        let mut hale = at(&config(&upstream), &directory).start();
        let (key, _) = make(&hale, &json!({}));
        for _ in 0..15 {
            assert_eq!(ask(&hale, &key, "m").status, 200);
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1_100));
        for _ in 0..5 {
            assert_eq!(ask(&hale, &key, "m").status, 200);
        }
        hale.signal(Signal::Kill);
        hale.wait_for_exit(hale_testkit::TIMEOUT);
        let told = agrees(store);
        let calls: u64 = told
            .split(": ")
            .nth(1)
            .and_then(|tail| tail.split(' ').next())
            .unwrap()
            .parse()
            .unwrap();
        assert!(calls >= sent, "{told} and {sent} are older than a second");
        sent = calls;
    }
}

#[test]
fn a_database_that_goes_and_comes_back_has_every_sum_once() {
    let upstream = upstream();
    let mut server = Postgres::start();
    let url = server.database();
    let directory = TempDir::new();
    let hale = at(&config(&upstream), &directory).env("DATABASE_URL", &url).start();
    let (key, made) = make(&hale, &json!({"max_budget": 100.0}));
    assert_eq!(ask(&hale, &key, "m").status, 200);
    wait_for_logs(&hale, 1);
    for _ in 0..2 {
        server.kill();
        for _ in 0..20 {
            assert_eq!(ask(&hale, &key, "m").status, 200);
        }
        server.run();
        eventually("the database", || {
            let page = client(&hale).get("/health/readiness").json();
            (page["db"] == "connected").then_some(())
        });
    }
    let spent =
        |hale: &Hale| get(hale, &format!("/key/info?key={}", made["token"].as_str().unwrap()));
    eventually("every request", || {
        let page = client(&hale).get("/spend/logs");
        (page.status == 200 && page.json().as_array().is_some_and(|logs| logs.len() == 41))
            .then_some(())
    });
    near(&spent(&hale)["info"]["spend"], 41.0 * 0.04);
    assert!(agrees(&url).contains("41 calls, 1.64 USD"));
}

#[test]
fn calls_are_priced_again_once_and_sums_agree_before_and_after() {
    let upstream = upstream();
    let directory = TempDir::new();
    let store = directory.path().join("hale.db");
    let store = store.to_str().unwrap();
    let mut hale = at(&config(&upstream), &directory).start();
    let (key, made) = make(&hale, &json!({}));
    for _ in 0..3 {
        assert_eq!(ask(&hale, &key, "m").status, 200);
    }
    wait_for_logs(&hale, 3);
    hale.stop();
    // The operator had the wrong price: half of it is right.
    let prices = json!({"input_cost_per_token": 0.0005, "output_cost_per_token": 0.001});
    let right = Config::new().with("m", "d-1", &upstream, prices);
    let file = directory.path().join("right.yaml");
    std::fs::write(&file, right.text()).unwrap();
    let file = file.to_str().unwrap();
    let reprice = |more: &[&str]| {
        let from = [&["reprice", "--config", file, "--from", "2026-01-01"], more].concat();
        let done = spend(store, &from);
        assert_eq!(done.code(), Some(0), "{}{}", done.stdout, done.stderr);
        done.stdout
    };
    let said = reprice(&["--dry-run"]);
    assert!(
        said.contains("3 calls, 0.12 USD were 0.06") && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(agrees(store).contains("3 calls, 0.12 USD"));
    assert!(reprice(&[]).contains("corrected"));
    assert!(agrees(store).contains("6 calls, 0.06 USD"));
    assert!(reprice(&[]).contains("every call costs what it did"));
    let hale = at(&config(&upstream), &directory).start();
    near(
        &get(&hale, &format!("/key/info?key={}", made["token"].as_str().unwrap()))["info"]["spend"],
        0.06,
    );
    let range = days_of(get(&hale, "/spend/logs").as_array().unwrap());
    let activity = get(&hale, &format!("/global/activity?{range}"));
    assert_eq!(activity["sum_api_requests"], 3, "a correction is no request");
}

/// An id that `model_info` does not state is made of the parameters, so that a corrected price is another deployment.
#[test]
fn a_corrected_price_is_found_where_the_id_of_its_deployment_changed_with_it() {
    let upstream = upstream();
    let directory = TempDir::new();
    let store = directory.path().join("hale.db");
    let store = store.to_str().unwrap();
    // The price list has gpt-4o, the config states its own price.
    let config = |name: &str, prices: &[f64]| {
        let entry = |price: &f64| {
            json!({"model_name": name, "litellm_params": {
                "model": "openai/gpt-4o", "api_key": "sk-x", "api_base": upstream.api_base(), "input_cost_per_token": price,
                "output_cost_per_token": 0.0,
            }})
        };
        prices.iter().fold(Config::new(), |config, price| config.entry(entry(price)))
    };
    let mut hale = at(&config("m", &[0.001]), &directory).start();
    assert_eq!(chat_with(&hale, &[], &openai::chat_request("m", "hi")).status, 200);
    wait_for_logs(&hale, 1);
    hale.stop();
    let reprice = |config: &Config, more: &[&str]| {
        let file = directory.path().join("other.yaml");
        std::fs::write(&file, config.text()).unwrap();
        let from = [&["reprice", "--config", file.to_str().unwrap()], more].concat();
        spend(store, &from)
    };
    let all = ["--from", "2026-01-01", "--dry-run"];
    let found = reprice(&config("m", &[0.003]), &all).stdout;
    assert!(found.contains("openai/gpt-4o: 1 calls, 0.02 USD were 0.06"), "{found}");
    for (config, why) in [
        (
            config("other", &[0.003]),
            "no deployment of the config has that group, provider and model",
        ),
        (config("m", &[0.003, 0.004]), "have different prices"),
    ] {
        let found = reprice(&config, &all).stdout;
        let named = "not priced: 1 calls of m (openai/gpt-4o) keep their cost: ";
        assert!(found.contains(named) && found.contains(why), "{found}");
        assert!(!found.contains("every call costs what it did"), "{found}");
    }
    let behind = reprice(&config("m", &[0.003]), &["--from", "2026-02-01", "--to", "2026-01-01"]);
    assert_eq!(behind.code(), Some(2), "{}", behind.stdout);
    assert!(
        behind.stderr.contains("--from 2026-02-01 is behind --to 2026-01-01"),
        "{}",
        behind.stderr
    );
}

#[test]
fn a_cost_can_be_asked_for_before_it_is_made() {
    let upstream = upstream();
    let hale = config(&upstream).start();
    let ask = |body: &Value| client(&hale).post_json("/spend/calculate", &[], body);
    let answer = json!({"model": "m", "usage": {"prompt_tokens": 20, "completion_tokens": 10}});
    near(&ask(&json!({"completion_response": answer})).json()["cost"], 0.04);
    let prompt =
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x".repeat(4_000)}]});
    let cost = ask(&prompt).json()["cost"].as_f64().unwrap();
    assert!((0.0024..0.0027).contains(&cost), "{cost}");
    assert_eq!(ask(&json!({})).status, 400);
    assert_eq!(ask(&json!({"model": "no-such-model", "messages": []})).status, 400);
}
