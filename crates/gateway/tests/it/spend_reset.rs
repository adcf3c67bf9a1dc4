//! `/global/spend/reset`: keys and teams have spent nothing, and all sums go on agreeing.

use hale_testkit::{Postgres, TempDir};
use serde_json::{Value, json};

use crate::keys::{ask, make};
use crate::spend::{config, get, upstream, wait_for_logs};
use crate::support::{client, connected, eventually, hale};

const RESET: &str = "/global/spend/reset";

#[track_caller]
fn agrees(store: &str) {
    let audit = hale().arg("spend").arg("--database").arg(store).arg("audit").run();
    assert_eq!(audit.code(), Some(0), "{}{}", audit.stdout, audit.stderr);
}

fn reset_agrees(server: Option<&Postgres>) {
    let upstream = upstream();
    let directory = TempDir::new();
    let config = config(&upstream);
    let launch = config.launch().env("HALE_DATA_DIR", directory.path().to_str().unwrap());
    let url = server.map(Postgres::database);
    let launch = match &url {
        Some(url) => launch.env("DATABASE_URL", url),
        None => launch,
    };
    let hale = launch.start();
    connected(&hale);
    let store =
        url.unwrap_or_else(|| directory.path().join("hale.db").to_str().unwrap().to_owned());
    for (path, body) in [
        ("/team/new", json!({"team_id": "t1"})),
        ("/user/new", json!({"user_id": "u1", "auto_create_key": false})),
        (
            "/user/new",
            json!({"user_id": "boss", "user_role": "proxy_admin", "auto_create_key": false}),
        ),
    ] {
        assert_eq!(client(&hale).post_json(path, &[], &body).status, 200);
    }
    let (key, made) = make(&hale, &json!({"team_id": "t1", "user_id": "u1", "max_budget": 0.05}));
    let (admin, _) = make(&hale, &json!({"user_id": "boss"}));
    let hash = made["token"].as_str().unwrap();
    let spent = |what: &str, at: &str| {
        let page = get(&hale, what);
        page.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("{what}: {page}"))
    };
    let (of_key, of_team) = (format!("/key/info?key={hash}"), "/team/info?team_id=t1");
    assert_eq!((ask(&hale, &key, "m").status, ask(&hale, &key, "m").status), (200, 200));
    assert_eq!(ask(&hale, &key, "m").status, 422, "the budget is spent");
    for other in [&key, &admin] {
        let refused = hale.client_with_key(other).post_json(RESET, &[], &json!({}));
        assert_eq!(refused.status, 401, "{}", refused.text());
    }
    let reset = client(&hale).post_json(RESET, &[], &json!({}));
    assert_eq!(
        (reset.status, &reset.json()["status"]),
        (200, &json!("success")),
        "{}",
        reset.text()
    );
    assert_eq!(spent(&of_key, "/info/spend"), 0.0);
    assert_eq!(spent(of_team, "/team_info/spend"), 0.0);
    assert!((spent("/user/info?user_id=u1", "/user_info/spend") - 0.08).abs() < 1e-9);
    agrees(&store);
    // It counts anew, at once.
    assert_eq!(ask(&hale, &key, "m").status, 200);
    eventually("what it spent since", || {
        ((spent(&of_key, "/info/spend") - 0.04).abs() < 1e-9).then_some(())
    });
    agrees(&store);
    assert!(wait_for_logs(&hale, 4).len() == 4, "rows of requests stay");
}

#[test]
fn what_keys_and_teams_spent_is_reset_by_the_master_key_alone_and_sums_agree_in_a_file() {
    reset_agrees(None);
}

#[test]
fn what_keys_and_teams_spent_is_reset_and_sums_agree_on_a_server() {
    let server = Postgres::start();
    reset_agrees(Some(&server));
}
