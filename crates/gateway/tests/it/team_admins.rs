//! What admins of a team manage: its keys and its members, and nothing of another team or above themselves.

use hale_testkit::{FakeUpstream, Hale, Response};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{client, error, eventually, lone};

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
    let (theirs, _) = make(&hale, &json!({"team_id": "o", "key_alias": "theirs"}));
    let (alone, _) = make(&hale, &json!({}));
    let (roots, _) = make(&hale, &json!({"team_id": "t", "user_id": "root"}));
    let own_fields = json!({"team_id": "t", "user_id": "max", "key_alias": "own"});
    let (own, _) = make(&hale, &own_fields);
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
        // What is not there stands beside its own as what is another team's does.
        (&ada, "/key/delete", json!({"keys": [own, nothing]})),
        (&ada, "/key/delete", json!({"key_aliases": ["own", "no-such-alias"]})),
        (&ada, "/key/delete", json!({"key_aliases": ["own", "theirs"]})),
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

/// An admin of a team makes keys for its members, and holds their texts.
#[test]
fn a_key_of_a_team_shows_nothing_of_what_its_user_has_elsewhere() {
    let upstream = FakeUpstream::start();
    let (hale, ada) = start(&upstream);
    let (personal, made) = make(&hale, &json!({"user_id": "max"}));
    make(&hale, &json!({"team_id": "o", "user_id": "max"}));
    let admin = |path: &str, body: &Value| {
        let answer = client(&hale).post_json(path, &[], body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    admin("/team/member_add", &json!({"team_id": "o", "member": {"user_id": "max"}}));
    assert_eq!(ask(&hale, &personal, "m").status, 200);
    let held = done(&hale, &ada, "/key/generate", &json!({"team_id": "t", "user_id": "max"}));
    let key = held["key"].as_str().unwrap();
    assert_eq!(ask(&hale, key, "m").status, 200);
    let spent = |key: &str| {
        hale.client_with_key(key).get("/user/info").json()["user_info"]["spend"].as_f64()
    };
    let whole = eventually("what both have spent", || {
        let of_team = spent(key).filter(|spend| *spend > 0.0)?;
        spent(&personal).filter(|spend| *spend > of_team)
    });
    assert!(spent(key).is_some_and(|spend| spend < whole));
    let see = |path: &str| hale.client_with_key(key).get(path);
    let token = made["token"].as_str().unwrap();
    assert_eq!(see(&format!("/key/info?key={token}")).status, 404);
    assert_eq!(see("/team/info?team_id=o").status, 404);
    assert_eq!(see("/key/list").json()["keys"], json!([held["token"]]));
    let own = see("/user/info").json();
    assert_eq!(own["keys"].as_array().map(Vec::len), Some(1), "{own}");
    assert_eq!(
        (&own["user_info"]["teams"], own["teams"].as_array().map(Vec::len)),
        (&json!(["t"]), Some(1))
    );
    let logs = see("/spend/logs?summarize=false").json();
    let logs = logs.as_array().unwrap();
    assert!(logs.iter().all(|row| row["api_key"] == held["token"]), "{logs:?}");
    let levels = see(&format!("/ui/reach?key={}", held["token"].as_str().unwrap())).json();
    let levels = levels["levels"].as_array().unwrap();
    assert!(levels.iter().all(|level| level["of"] != "user"), "{levels:?}");
    let shown = hale.client_with_key(&personal).get("/user/info").json();
    assert!(shown["keys"].as_array().is_some_and(|keys| keys.len() >= 3), "{shown}");
}

#[test]
fn members_of_a_team_may_use_the_routes_that_it_gives_them_for_keys_that_are_no_other_users() {
    let upstream = FakeUpstream::start();
    let (hale, _) = start(&upstream);
    let (max, _) = make(&hale, &json!({"user_id": "max"}));
    let refused = |path: &str, body: &Value, status: u16| {
        let answer = post(&hale, &max, path, body);
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    };
    refused("/key/generate", &json!({"team_id": "t"}), 401);
    let grant = |routes: Value| {
        let body = json!({"team_id": "t", "team_member_permissions": routes});
        client(&hale).post_json("/team/update", &[], &body)
    };
    let wrong = grant(json!(["/team/delete"]));
    assert_eq!((wrong.status, &error(&wrong)["param"]), (422, &json!("team_member_permissions")));
    let given = grant(json!(["/key/generate", "/key/update", "/key/info"]));
    assert_eq!(given.json()["data"]["team_member_permissions"][0], "/key/generate");
    // What a member makes is its own, so that its budget in the team counts.
    let made = done(&hale, &max, "/key/generate", &json!({"team_id": "t", "max_budget": 1}));
    assert_eq!(made["user_id"], "max");
    let own = made["key"].as_str().unwrap();
    assert_eq!(ask(&hale, own, "m").status, 200);
    done(&hale, &max, "/key/update", &json!({"key": own, "rpm_limit": 5}));
    let (of_none, made) = make(&hale, &json!({"team_id": "t"}));
    done(&hale, &max, "/key/update", &json!({"key": of_none, "rpm_limit": 5}));
    let info = format!("/key/info?key={}", made["token"].as_str().unwrap());
    assert_eq!(hale.client_with_key(&max).get(&info).status, 200);
    let (adas, made) = make(&hale, &json!({"team_id": "t", "user_id": "ada"}));
    let info = format!("/key/info?key={}", made["token"].as_str().unwrap());
    assert_eq!(hale.client_with_key(&max).get(&info).status, 404);
    refused("/key/generate", &json!({"team_id": "t", "user_id": "ada"}), 403);
    refused("/key/generate", &json!({"team_id": "o"}), 401);
    refused("/key/generate", &json!({"team_id": "t", "spend": 0}), 403);
    refused("/key/update", &json!({"key": adas, "rpm_limit": 1}), 401);
    refused("/key/update", &json!({"key": own, "user_id": null}), 403);
    refused("/key/update", &json!({"key": own, "max_budget": 9}), 403);
    refused("/key/delete", &json!({"keys": [own]}), 401);
    refused("/key/regenerate", &json!({"key": own}), 401);
    refused("/team/member_add", &json!({"team_id": "t", "member": {"user_id": "new"}}), 401);
    assert_eq!(grant(json!(["/key/{key_id}/regenerate"])).status, 200);
    done(&hale, &max, "/key/regenerate", &json!({"key": own}));
    refused("/key/generate", &json!({"team_id": "t"}), 401);
}
