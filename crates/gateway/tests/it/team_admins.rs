//! What admins of a team manage: its keys and its members, and nothing of another team or above themselves.

use hale_testkit::{FakeUpstream, Hale, Response};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{client, error, lone};

fn post(hale: &Hale, key: &str, path: &str, body: &Value) -> Response {
    hale.client_with_key(key).post_json(path, &[], body)
}

#[track_caller]
fn done(hale: &Hale, key: &str, path: &str, body: &Value) -> Value {
    let answer = post(hale, key, path, body);
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
    answer.json()
}

/// Teams `t` and `o`; `ada` is the admin of `t` and a member of `o`, `max` a member of `t`, `root` of `t` too and an admin of the gateway.
fn start(upstream: &FakeUpstream) -> (Hale, String) {
    let hale = lone(upstream).start();
    let admin = |path: &str, body: &Value| {
        let answer = client(&hale).post_json(path, &[], body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    for team in ["t", "o"] {
        admin("/team/new", &json!({"team_id": team}));
    }
    admin(
        "/user/new",
        &json!({"user_id": "root", "user_role": "proxy_admin", "auto_create_key": false}),
    );
    let members = json!([
        {"user_id": "ada", "role": "admin"}, {"user_id": "max", "role": "user"}, {"user_id": "root", "role": "user"},
    ]);
    admin("/team/member_add", &json!({"team_id": "t", "member": members}));
    admin(
        "/team/member_add",
        &json!({"team_id": "o", "member": {"user_id": "ada", "role": "user"}}),
    );
    let (ada, _) = make(&hale, &json!({"user_id": "ada"}));
    (hale, ada)
}

#[test]
fn an_admin_of_a_team_makes_and_manages_its_keys_and_members() {
    let upstream = FakeUpstream::start();
    let (hale, ada) = start(&upstream);
    let made = done(
        &hale,
        &ada,
        "/key/generate",
        &json!({"team_id": "t", "user_id": "max", "max_budget": 5, "key_alias": "k"}),
    );
    let key = made["key"].as_str().unwrap();
    assert_eq!(ask(&hale, key, "m").status, 200);
    let list = hale.client_with_key(&ada).get("/key/list?team_id=t").json();
    assert_eq!((&list["total_count"], &list["keys"]), (&json!(1), &json!([made["token"]])));
    let info = hale.client_with_key(&ada).get("/team/info?team_id=t").json();
    assert_eq!(info["keys"][0]["key_alias"], "k");
    done(&hale, &ada, "/key/update", &json!({"key": key, "models": ["m"], "rpm_limit": 9}));
    done(&hale, &ada, "/key/block", &json!({"key": key}));
    assert_eq!(ask(&hale, key, "m").status, 401);
    done(&hale, &ada, "/key/unblock", &json!({"key": key}));
    let other = done(&hale, &ada, "/key/regenerate", &json!({"key": key}));
    done(&hale, &ada, "/key/delete", &json!({"keys": [other["key"]]}));
    done(
        &hale,
        &ada,
        "/team/member_add",
        &json!({"team_id": "t", "member": {"user_id": "new", "role": "user"}}),
    );
    let audited = hale.client_with_key(&ada).get("/team/info?team_id=t").json();
    let roster = audited["team_info"]["members_with_roles"].as_array().unwrap();
    assert!(roster.iter().any(|member| member["user_id"] == "new"), "{audited}");
}

#[test]
fn an_admin_of_a_team_reaches_no_other_team_and_nothing_above_itself() {
    let upstream = FakeUpstream::start();
    let (hale, ada) = start(&upstream);
    let (theirs, _) = make(&hale, &json!({"team_id": "o"}));
    let (alone, _) = make(&hale, &json!({}));
    let (roots, _) = make(&hale, &json!({"team_id": "t", "user_id": "root"}));
    let (own, _) = make(&hale, &json!({"team_id": "t", "user_id": "max"}));
    let (max, _) = make(&hale, &json!({"user_id": "max"}));
    let nothing = "sk-no-such-key-0123456789";
    let text =
        "Only proxy admin can be used to generate, delete, update info for new keys/users/teams";
    for (key, path, body) in [
        (&ada, "/key/generate", json!({"team_id": "o"})),
        (&ada, "/key/generate", json!({"team_id": "no-such-team"})),
        (&ada, "/key/generate", json!({})),
        (&ada, "/key/update", json!({"key": theirs, "rpm_limit": 1})),
        (&ada, "/key/update", json!({"key": alone, "rpm_limit": 1})),
        (&ada, "/key/update", json!({"key": own, "team_id": "o"})),
        (&ada, "/key/update", json!({"key": own, "team_id": null})),
        (&ada, "/key/update", json!({"key": nothing, "rpm_limit": 1})),
        (&ada, "/key/regenerate", json!({"key": roots})),
        (&ada, "/key/regenerate", json!({"key": theirs})),
        (&ada, "/key/regenerate", json!({"key": nothing})),
        (&ada, "/key/block", json!({"key": theirs})),
        (&ada, "/key/delete", json!({"keys": [own, theirs]})),
        (&ada, "/key/delete", json!({"keys": [nothing]})),
        (&ada, "/key/delete", json!({"keys": [roots]})),
        (
            &ada,
            "/team/member_add",
            json!({"team_id": "o", "member": {"user_id": "ada", "role": "admin"}}),
        ),
        (&ada, "/team/update", json!({"team_id": "t", "max_budget": 9})),
        (&ada, "/team/new", json!({"team_id": "mine"})),
        (&max, "/key/generate", json!({"team_id": "t"})),
        (&max, "/key/delete", json!({"keys": [own]})),
        (
            &own,
            "/team/member_add",
            json!({"team_id": "t", "member": {"user_id": "max", "role": "admin"}}),
        ),
    ] {
        let answer = post(&hale, key, path, &body);
        let refused = error(&answer);
        assert_eq!(
            (answer.status, &refused["type"]),
            (401, &json!("auth_error")),
            "{path} {body}: {}",
            answer.text()
        );
        assert!(refused["message"].as_str().unwrap().contains(text), "{refused}");
    }
    let list = hale.client_with_key(&ada).get("/key/list?team_id=o").json();
    assert_eq!(list["total_count"], 0, "a member sees none but its own");
    for key in [&theirs, &alone, &roots, &own] {
        assert_eq!(ask(&hale, key, "m").status, 200);
    }
}

/// Who gives a key to a user who is the admin of another team has no power over that team.
#[test]
fn a_key_of_a_team_manages_no_other_team_of_its_user() {
    let upstream = FakeUpstream::start();
    let (hale, ada) = start(&upstream);
    let admin = hale.client_with_key(crate::support::KEY).post_json(
        "/team/member_add",
        &[],
        &json!({"team_id": "o", "member": {"user_id": "bea", "role": "admin"}}),
    );
    assert_eq!(admin.status, 200, "{}", admin.text());
    let (of_bea, _) = make(&hale, &json!({"user_id": "bea"}));
    assert_eq!(post(&hale, &of_bea, "/key/generate", &json!({"team_id": "o"})).status, 200);
    let member = json!({"team_id": "t", "member": {"user_id": "bea", "role": "user"}});
    assert_eq!(post(&hale, &ada, "/team/member_add", &member).status, 200);
    let given = post(&hale, &ada, "/key/generate", &json!({"team_id": "t", "user_id": "bea"}));
    assert_eq!(given.status, 200, "{}", given.text());
    let given = given.json()["key"].as_str().unwrap().to_owned();
    for (path, body) in [
        ("/key/generate", json!({"team_id": "o"})),
        (
            "/team/member_add",
            json!({"team_id": "o", "member": {"user_id": "ada", "role": "admin"}}),
        ),
    ] {
        assert_eq!(post(&hale, &given, path, &body).status, 401, "{path}");
    }
}

#[test]
fn an_admin_of_a_team_sets_nothing_that_only_admins_of_the_gateway_set() {
    let upstream = FakeUpstream::start();
    let (hale, ada) = start(&upstream);
    let (own, _) = make(&hale, &json!({"team_id": "t", "user_id": "max"}));
    let raised = json!({"temp_budget_increase": 1e6, "temp_budget_expiry": "2099-01-01"});
    for (path, body, status, field) in [
        ("/key/update", json!({"key": own, "metadata": raised}), 403, "metadata"),
        (
            "/key/generate",
            json!({"team_id": "t", "metadata": {"model_rpm_limit": {"m": 9}}}),
            403,
            "metadata",
        ),
        (
            "/key/generate",
            json!({"team_id": "t", "model_tpm_limit": {"m": 9}}),
            403,
            "model_tpm_limit",
        ),
        (
            "/key/generate",
            json!({"team_id": "t", "allowed_routes": ["/key/list"]}),
            403,
            "allowed_routes",
        ),
        ("/key/generate", json!({"team_id": "t", "user_id": "root"}), 400, "user_id"),
        ("/key/generate", json!({"team_id": "t", "user_id": "stranger"}), 400, "user_id"),
        ("/key/update", json!({"key": own, "max_budget": 100}), 403, "max_budget"),
        ("/key/update", json!({"key": own, "spend": 0}), 403, "spend"),
        ("/key/regenerate", json!({"key": own, "budget_limits": []}), 403, "budget_limits"),
        ("/key/update", json!({"key": own, "user_id": "root"}), 400, "user_id"),
    ] {
        let answer = post(&hale, &ada, path, &body);
        assert_eq!(
            (answer.status, &error(&answer)["param"]),
            (status, &json!(field)),
            "{path} {body}: {}",
            answer.text()
        );
    }
    assert_eq!(ask(&hale, &own, "m").status, 200);
}
