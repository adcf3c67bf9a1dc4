//! Keys that get another text: what stays, what the key before may do until its grace ends, and who learns of it.

use std::time::Duration;

use hale_testkit::{FakeUpstream, Hale, Postgres, Response, Script, openai, responses};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{CHAT, client, error, eventually, expect_error, lone, within};

fn post(hale: &Hale, path: &str, body: &Value) -> Response {
    client(hale).post_json(path, &[], body)
}

#[track_caller]
fn replaced(hale: &Hale, body: &Value) -> (String, Value) {
    let answer = post(hale, "/key/regenerate", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    (answer["key"].as_str().unwrap().to_owned(), answer)
}

fn info(hale: &Hale, key: &str) -> Value {
    client(hale).get(&format!("/key/info?key={key}")).json()["info"].clone()
}

#[test]
fn a_key_gets_another_text_and_keeps_everything_else() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (old, made) =
        make(&hale, &json!({"key_alias": "ci", "max_budget": 5, "metadata": {"x": 1}}));
    assert_eq!(ask(&hale, &old, "m").status, 200);
    let spent =
        eventually("spend", || info(&hale, &old)["spend"].as_f64().filter(|usd| *usd > 0.0));
    let (new, answer) = replaced(&hale, &json!({"key": old, "rpm_limit": 100}));
    assert!(new.starts_with("sk-") && new != old);
    assert_eq!(answer["token_id"], answer["token"]);
    assert_ne!(answer["token"], made["token"]);
    let now = info(&hale, &new);
    assert_eq!(
        (&now["key_alias"], &now["max_budget"], &now["rpm_limit"]),
        (&json!("ci"), &json!(5.0), &json!(100))
    );
    assert!((now["spend"].as_f64().unwrap() - spent).abs() < 1e-12 && now["metadata"]["x"] == 1);
    assert_eq!(ask(&hale, &new, "m").status, 200);
    // Without a grace the key before is unknown at once.
    let refused = expect_error(&ask(&hale, &old, "m"), 401, "invalid_api_key");
    assert_eq!(refused["type"], "token_not_found_in_db");
    assert_eq!(client(&hale).get(&format!("/key/info?key={old}")).status, 404);
    let list = client(&hale).get("/key/list?key_alias=ci").json();
    assert_eq!(list["keys"], json!([answer["token"]]));
}

#[test]
fn keys_of_two_replacements_work_until_their_own_grace_ends_and_charge_one_row() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (first, _) = make(&hale, &json!({"rpm_limit": 6}));
    let (second, _) = replaced(&hale, &json!({"key": first, "grace_period": "1h"}));
    let path = format!("/key/{second}/regenerate");
    let answer = post(&hale, &path, &json!({"grace_period": "3s"}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let third = answer.json()["key"].as_str().unwrap().to_owned();
    for key in [&first, &second, &third, &first] {
        assert_eq!(ask(&hale, key, "m").status, 200);
    }
    let cost =
        eventually("spend", || info(&hale, &third)["spend"].as_f64().filter(|usd| *usd > 0.0));
    within(Duration::from_secs(10), "the second key ends", || {
        (hale.client_with_key(&second).get("/v1/models").status == 401).then_some(())
    });
    assert_eq!(ask(&hale, &first, "m").status, 200, "the first one has an hour");
    assert!(cost > 0.0);
    // All of them count against the limits of one key.
    let limited = eventually("the limit", || {
        Some(ask(&hale, &first, "m")).filter(|answer| answer.status != 200)
    });
    assert_eq!(limited.status, 429);
    assert_eq!(ask(&hale, &third, "m").status, 429);
}

#[test]
fn a_replacement_that_is_refused_changes_nothing() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let (key, _) = make(&hale, &json!({}));
    let (other, _) = make(&hale, &json!({}));
    let refusals = [
        (json!({"key": key, "grace_period": "abc"}), 400, "grace_period"),
        (json!({"key": key, "grace_period": 60}), 400, "grace_period"),
        (json!({"key": key, "grace_period": "-1"}), 400, "grace_period"),
        (json!({"key": key, "new_key": other}), 409, "new_key"),
        (json!({"key": key, "new_key": key}), 409, "new_key"),
        (json!({"key": key, "new_key": "short"}), 400, "new_key"),
        (json!({"key": key, "new_master_key": "sk-x"}), 400, "new_master_key"),
        (json!({"key": key, "max_budget": -1}), 422, "max_budget"),
        (json!({"key": "sk-unknown-0123456789"}), 404, "key"),
        (json!({}), 400, "key"),
    ];
    for (body, status, param) in refusals {
        let refused = post(&hale, "/key/regenerate", &body);
        assert_eq!((refused.status, &error(&refused)["param"]), (status, &json!(param)), "{body}");
        assert_eq!(ask(&hale, &key, "m").status, 200, "{body}");
    }
    let as_key = hale.client_with_key(&key).post_json("/key/regenerate", &[], &json!({"key": key}));
    assert_eq!(as_key.status, 401);
    // A text of one's own; a text that a key had is never given again.
    let own = "sk-my-own-key-0123456789";
    assert_eq!(replaced(&hale, &json!({"key": key, "new_key": own})).0, own);
    assert_eq!(post(&hale, "/key/generate", &json!({"key": key})).status, 409);
}

#[test]
fn what_is_in_flight_while_its_key_is_replaced_is_charged_to_the_key() {
    let upstream = FakeUpstream::with(|_| {
        let begins = Script::ok().stream().event(&openai::role_chunk("gpt-4o"));
        begins
            .event(&openai::content_chunk("gpt-4o", "one"))
            .wait("go")
            .event(&openai::finish_chunk("gpt-4o", "stop"))
            .done()
    });
    let hale = lone(&upstream).start();
    let (old, _) = make(&hale, &json!({}));
    let mut sender = hale.client_with_key(&old);
    let mut stream = sender.stream(CHAT, &[], &openai::stream_request("m", "hi"));
    stream.next_event().unwrap();
    let (new, _) = replaced(&hale, &json!({"key": old, "grace_period": "1h"}));
    upstream.release("go");
    stream.text();
    eventually("what was in flight is spent", || {
        info(&hale, &new)["spend"].as_f64().filter(|usd| *usd > 0.0)
    });
}

#[test]
fn what_a_key_made_before_it_was_replaced_is_its_own_and_no_client_says_so_of_itself() {
    let upstream = FakeUpstream::with(responses::answer);
    let hale = lone(&upstream).start();
    let (old, made) = make(&hale, &json!({}));
    let response = hale.client_with_key(&old).post_json(
        "/v1/responses",
        &[],
        &json!({"model": "m", "input": "x"}),
    );
    let path = format!("/v1/responses/{}", response.json()["id"].as_str().unwrap());
    let (new, _) = replaced(&hale, &json!({"key": old}));
    assert_eq!(hale.client_with_key(&new).get(&path).status, 200);
    let claims = json!({"metadata": {"hale_former_keys": [made["token"]]}});
    let (other, _) = make(&hale, &claims);
    assert_eq!(hale.client_with_key(&other).get(&path).status, 404);
    let update = json!({"key": other, "metadata": claims["metadata"]});
    assert_eq!(post(&hale, "/key/update", &update).status, 200);
    assert_eq!(hale.client_with_key(&other).get(&path).status, 404);
    let update = json!({"key": new, "metadata": {"y": 2}});
    assert_eq!(post(&hale, "/key/update", &update).status, 200);
    assert_eq!(hale.client_with_key(&new).get(&path).status, 200, "it is kept");
}

#[test]
fn every_replica_learns_that_a_key_was_replaced_also_by_the_reference() {
    let server = Postgres::shared();
    let url = server.database();
    server.apply_reference_migrations(&url, "9");
    let upstream = FakeUpstream::start();
    let start = || lone(&upstream).launch().env("DATABASE_URL", &url).start();
    let (one, other) = (start(), start());
    let (old, _) = make(&one, &json!({}));
    eventually("the other replica", || (ask(&other, &old, "m").status == 200).then_some(()));
    let (new, _) = replaced(&one, &json!({"key": old, "grace_period": "1h"}));
    for hale in [&one, &other] {
        assert_eq!(ask(hale, &new, "m").status, 200);
        assert_eq!(ask(hale, &old, "m").status, 200);
    }
    let audited = "select action from \"LiteLLM_AuditLog\" order by updated_at desc limit 1";
    assert_eq!(server.sql(&url, audited), "regenerated");
    let ended = "update \"LiteLLM_DeprecatedVerificationToken\" set revoke_at = '2026-01-01'";
    server.sql(&url, ended);
    for hale in [&one, &other] {
        eventually("the key before ends", || (ask(hale, &old, "m").status == 401).then_some(()));
        assert_eq!(ask(hale, &new, "m").status, 200);
    }
    let (newer, _) = replaced(&one, &json!({"key": new}));
    eventually("the key before ends", || (ask(&other, &new, "m").status == 401).then_some(()));
    assert_eq!(ask(&other, &newer, "m").status, 200);
}
