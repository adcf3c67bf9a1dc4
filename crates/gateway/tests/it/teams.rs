//! Teams, their members and users: made by the admin API, and what their keys may use.

use hale_testkit::FakeUpstream;
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::support::{client, error, expect_error, lone};

#[test]
fn the_calls_of_an_agents_manager_work_in_its_order_with_its_header() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).deployment("other", "o", &upstream).start();
    let post = |path: &str, body: &Value| {
        let headers = [("x-goog-api-key", crate::support::KEY)];
        hale.client().post_json(path, &headers, body)
    };
    let made = |path: &str, body: &Value| {
        let answer = post(path, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    };
    let team = made(
        "/team/new",
        &json!({"team_id": "t1", "team_alias": "one", "models": ["m"], "max_budget": 5}),
    );
    assert_eq!((&team["team_id"], &team["members_with_roles"]), (&json!("t1"), &json!([])));
    let again = post("/team/new", &json!({"team_id": "t1"}));
    let text = "{'error': 'Team id = t1 already exists. Please use a different team id.'}";
    assert_eq!((again.status, &error(&again)["message"]), (400, &json!(text)));
    let user = made(
        "/user/new",
        &json!({"user_id": "u1", "auto_create_key": false, "user_email": "u@example.com"}),
    );
    assert_eq!((&user["user_id"], user.get("key")), (&json!("u1"), None));
    let again = post("/user/new", &json!({"user_id": "u1"}));
    assert_eq!(
        (again.status, &error(&again)["message"]),
        (409, &json!("{'error': 'User with id u1 already exists'}"))
    );
    let member = json!({"team_id": "t1", "member": {"role": "user", "user_id": "u1"}, "max_budget_in_team": 0});
    let added = made("/team/member_add", &member);
    assert_eq!(added["members_with_roles"][0]["user_id"], "u1");
    let again = post("/team/member_add", &member);
    let refused = error(&again);
    assert_eq!((again.status, &refused["type"]), (400, &json!("team_member_already_in_team")));
    assert!(refused["message"].as_str().unwrap().contains("already in team"), "{refused}");
    let page = client(&hale).get("/team/info?team_id=t1").json();
    assert_eq!((&page["team_info"]["team_alias"], &page["team_id"]), (&json!("one"), &json!("t1")));
    assert_eq!(page["team_memberships"][0]["user_id"], "u1");
    assert_eq!(client(&hale).get("/user/info?user_id=u1").json()["teams"][0]["team_id"], "t1");
    // The member may spend nothing; another key of the team may.
    let (of_member, _) = make(&hale, &json!({"team_id": "t1", "user_id": "u1"}));
    let refused = expect_error(&ask(&hale, &of_member, "m"), 422, "budget_exceeded");
    let text = "Budget has been exceeded! User=u1 in Team=t1 Current cost: 0.0, Max budget: 0.0";
    assert_eq!(refused["message"], text);
    let (of_team, _) = make(&hale, &json!({"team_id": "t1"}));
    assert_eq!(ask(&hale, &of_team, "m").status, 200);
    let refused = expect_error(&ask(&hale, &of_team, "other"), 403, "model_not_allowed");
    assert_eq!(refused["type"], "team_model_access_denied");
    made("/team/update", &json!({"team_id": "t1", "models": []}));
    assert_eq!(ask(&hale, &of_team, "other").status, 200);
    made("/team/block", &json!({"team_id": "t1"}));
    expect_error(&ask(&hale, &of_team, "m"), 401, "team_blocked");
    made("/team/unblock", &json!({"team_id": "t1"}));
    assert_eq!(ask(&hale, &of_team, "m").status, 200);
    assert_eq!(client(&hale).get("/team/list").json()[0]["team_id"], "t1");
    assert_eq!(
        made("/team/delete", &json!({"team_ids": ["t1"]})),
        json!({"deleted_teams": ["t1"]})
    );
    expect_error(&ask(&hale, &of_team, "m"), 401, "invalid_api_key");
    let gone = client(&hale).get("/team/info?team_id=t1");
    let text = "{'message': 'Team not found, passed team id: t1.'}";
    assert_eq!((gone.status, &error(&gone)["message"]), (404, &json!(text)));
}

#[test]
fn a_user_gets_a_key_of_its_own_and_a_team_only_its_admins_change() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let made = client(&hale).post_json(
        "/user/new",
        &[],
        &json!({"user_id": "u", "models": ["no-default-models"]}),
    );
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let refused = expect_error(&ask(&hale, &key, "m"), 403, "model_not_allowed");
    assert_eq!(refused["type"], "user_model_access_denied");
    let own = hale.client_with_key(&key).get("/user/info").json();
    assert_eq!((&own["user_id"], own["keys"].as_array().map(Vec::len)), (&json!("u"), Some(1)));
    assert!(own["user_info"].get("password").is_none());
    client(&hale).post_json("/team/new", &[], &json!({"team_id": "t"}));
    client(&hale).post_json("/user/new", &[], &json!({"user_id": "v", "auto_create_key": false}));
    for path in [
        "/team/new",
        "/team/update",
        "/team/delete",
        "/team/block",
        "/team/member_add",
        "/user/new",
    ] {
        let body = json!({"team_id": "t", "team_ids": ["t"], "user_id": "w", "member": {"user_id": "u", "role": "admin"}});
        expect_error(&hale.client_with_key(&key).post_json(path, &[], &body), 401, "admin_only");
    }
    for path in ["/team/info?team_id=t", "/user/info?user_id=v"] {
        assert_eq!(hale.client_with_key(&key).get(path).status, 404, "{path}");
    }
    expect_error(&hale.client_with_key(&key).get("/team/list"), 401, "admin_only");
    let body = json!({"user_id": "root", "user_role": "proxy_admin", "teams": ["t"]});
    let made = client(&hale).post_json("/user/new", &[], &body).json();
    let admin = made["key"].as_str().unwrap();
    let roster = client(&hale).get("/team/info?team_id=t").json();
    assert_eq!(roster["team_info"]["members_with_roles"][0]["user_id"], "root");
    let answer = hale.client_with_key(admin).post_json(
        "/team/update",
        &[],
        &json!({"team_id": "t", "rpm_limit": 1}),
    );
    assert_eq!(answer.json()["data"]["rpm_limit"], 1);
    let (of_team, _) = make(&hale, &json!({"team_id": "t"}));
    assert_eq!(ask(&hale, &of_team, "m").status, 200);
    let refused = expect_error(&ask(&hale, &of_team, "m"), 429, "rate_limited");
    assert!(
        refused["message"].as_str().unwrap().starts_with("Rate limit exceeded for team: t."),
        "{refused}"
    );
}

#[test]
fn fields_of_teams_and_users_that_are_wrong_or_not_served_are_refused_by_name() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for (path, fields, status, field) in [
        ("/team/new", json!({"max_budget": -1}), 422, "max_budget"),
        ("/team/new", json!({"team_alias": "a\u{7}"}), 422, "team_alias"),
        ("/team/new", json!({"budget_duration": "1hr"}), 400, "budget_duration"),
        ("/team/new", json!({"guardrails": ["g"]}), 400, "guardrails"),
        ("/team/new", json!({"model_aliases": {"a": "b"}}), 400, "model_aliases"),
        ("/team/member_add", json!({"member": {"user_id": "u"}}), 400, "team_id"),
        ("/user/new", json!({"user_role": "root"}), 400, "user_role"),
        ("/user/new", json!({"password": "secret"}), 400, "password"),
        ("/user/new", json!({"rpm_limit": -2}), 422, "rpm_limit"),
    ] {
        let answer = client(&hale).post_json(path, &[], &fields);
        assert_eq!(
            (answer.status, &error(&answer)["param"]),
            (status, &json!(field)),
            "{path}: {}",
            answer.text()
        );
    }
    assert_eq!(client(&hale).get("/team/list").json(), json!([]));
}
