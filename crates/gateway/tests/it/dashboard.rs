//! The dashboard from outside: its files and their headers, sessions, what a session may do, and its data.

use hale_testkit::{FakeUpstream, Hale, Response, Script, Signal};
use serde_json::{Value, json};

use crate::support::{
    CHAT, Config, KEY, chat, client, eventually, expect_error, lone, pair, wait_until_idle,
};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml");
const SAME_ORIGIN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A browser that signed in: the cookie, and the token of its page.
struct Browser {
    cookie: String,
    token: String,
}

impl Browser {
    #[track_caller]
    fn sign_in(hale: &Hale) -> Browser {
        Browser::with_key(hale, KEY)
    }

    #[track_caller]
    fn with_key(hale: &Hale, key: &str) -> Browser {
        let answer = login(hale, &[SAME_ORIGIN], key);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Browser { cookie, token: answer.json()["token"].as_str().unwrap().to_owned() }
    }

    fn headers(&self) -> Vec<(&str, &str)> {
        vec![("cookie", &self.cookie), ("x-hale-csrf", &self.token), SAME_ORIGIN]
    }

    fn request(&self, hale: &Hale, method: &str, path: &str) -> Response {
        hale.client().request(method, path, &self.headers(), b"")
    }
}

fn login(hale: &Hale, headers: &[(&str, &str)], key: &str) -> Response {
    hale.client().post_json("/ui/login", headers, &json!({"key": key}))
}

fn names(page: &str) -> Vec<String> {
    let parts = page.split("assets/").skip(1);
    parts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn a_browser_is_sent_to_the_dashboard_and_a_program_gets_a_line_of_text() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let sent = hale.client().request("GET", "/", &[HTML], b"");
    assert_eq!((sent.status, sent.header("location")), (302, Some("ui/")));
    let plain = hale.client().get("/");
    assert_eq!(plain.status, 200);
    assert!(plain.text().starts_with("Hale is running."));
    let sent = hale.client().get("/ui");
    assert_eq!((sent.status, sent.header("location")), (302, Some("ui/")));
}

#[test]
fn every_file_has_a_strict_policy_a_tag_and_a_compressed_form() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let shell = hale.client().get("/ui/");
    let mut paths: Vec<String> =
        names(&shell.text()).iter().map(|name| format!("/ui/assets/{name}")).collect();
    assert!(paths.len() >= 3, "{paths:?}");
    paths.push("/ui/".to_owned());
    for path in paths {
        let plain = hale.client().get(&path);
        assert_eq!(plain.status, 200, "{path}");
        let policy = plain.header("content-security-policy").unwrap();
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(plain.header("set-cookie"), None);
        let packed = hale.client().request("GET", &path, &[("accept-encoding", "br, gzip")], b"");
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        assert!(packed.body.len() < plain.body.len());
        let tag = plain.header("etag").unwrap();
        let known = hale.client().request("GET", &path, &[("if-none-match", tag)], b"");
        assert_eq!((known.status, known.body.len()), (304, 0), "{path}");
        let changed = hale.client().request("GET", &path, &[("if-none-match", "\"1\"")], b"");
        assert_eq!(changed.status, 200);
        let head = hale.client().request("HEAD", &path, &[], b"");
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    for path in ["/ui/assets/nothing.js", "/ui/assets/../index.html", "/ui/assets/%2e%2e/mod.rs"] {
        assert_eq!(hale.client().get(path).status, 404, "{path}");
    }
}

#[test]
fn the_master_key_begins_a_session_in_a_cookie_that_scripts_cannot_read() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    assert_eq!(hale.client().get("/ui/session").json()["session"], "needed");
    for wrong in ["", "sk-other", "sk-test-0123456789abcde"] {
        let refused = login(&hale, &[SAME_ORIGIN], wrong);
        expect_error(&refused, 401, "invalid_api_key");
        assert_eq!(refused.header("set-cookie"), None);
    }
    let answer = login(&hale, &[SAME_ORIGIN], KEY);
    let cookie = answer.header("set-cookie").unwrap();
    for rule in ["HttpOnly", "SameSite=Strict", "Max-Age=3600", "Path=/"] {
        assert!(cookie.contains(rule), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains(KEY));
    let origin = format!("https://{}", hale.address());
    let over_tls = login(&hale, &[("origin", &origin), SAME_ORIGIN], KEY);
    assert!(over_tls.header("set-cookie").unwrap().ends_with("; Secure"));
    let browser = Browser::sign_in(&hale);
    let session = browser.request(&hale, "GET", "/ui/session");
    assert_eq!(session.json()["session"], "begun");
    assert_eq!(session.json()["token"], json!(browser.token));
    assert_eq!(session.header("set-cookie"), None, "it is renewed in its second half");
    assert_eq!(session.header("cache-control"), Some("no-store"));
    let ended = browser.request(&hale, "POST", "/ui/logout");
    assert!(ended.header("set-cookie").unwrap().starts_with("hale_session=; Path=/; Max-Age=0"));
    // Another process with the same key takes the session, one with another key does not.
    let twin = lone(&upstream).start();
    assert_eq!(browser.request(&twin, "GET", "/ui/session").json()["session"], "begun");
    assert_eq!(browser.request(&twin, "GET", "/ui/overview").status, 200);
    let other = Config::new().general(json!({"master_key": "sk-other-0123456789abcdef"}));
    let other = other.deployment("m", "a", &upstream).start();
    assert_eq!(browser.request(&other, "GET", "/ui/session").json()["session"], "needed");
    assert_eq!(browser.request(&other, "GET", "/ui/overview").status, 401);
}

#[test]
fn a_session_acts_only_with_its_token_from_its_own_origin_and_without_a_key() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let browser = Browser::sign_in(&hale);
    let disable = "/router/deployments/a/disable";
    let cookie = ("cookie", &*browser.cookie);
    let token = ("x-hale-csrf", &*browser.token);
    let stranger = Browser::sign_in(&hale);
    let refused: [&[(&str, &str)]; 10] = [
        &[cookie],
        &[cookie, SAME_ORIGIN],
        &[token, SAME_ORIGIN],
        &[cookie, ("x-hale-csrf", ""), SAME_ORIGIN],
        &[cookie, ("x-hale-csrf", &stranger.token), SAME_ORIGIN],
        &[cookie, token, ("sec-fetch-site", "cross-site")],
        &[cookie, token, ("origin", "https://evil.example")],
        &[cookie, token, ("origin", "null")],
        &[cookie, token, ("authorization", "Bearer sk-wrong")],
        &[("cookie", "hale_session=AAAA"), token, SAME_ORIGIN],
    ];
    for headers in refused {
        for (method, path) in [("POST", disable), ("GET", "/ui/overview"), ("POST", CHAT)] {
            let answer = hale.client().request(method, path, headers, b"");
            assert_eq!(answer.status, 401, "{path} {headers:?}: {}", answer.text());
        }
    }
    for foreign in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        expect_error(&login(&hale, &[foreign], KEY), 403, "other_origin");
        for (method, path) in [("GET", "/ui/session"), ("POST", "/ui/logout")] {
            let answer = hale.client().request(method, path, &[cookie, foreign], b"");
            expect_error(&answer, 403, "other_origin");
        }
    }
    assert_eq!(state(&hale)["state"], "ready");
    let origin = format!("http://{}", hale.address());
    let headers = [cookie, token, ("origin", &*origin)];
    assert_eq!(hale.client().request("POST", disable, &headers, b"").status, 200);
    assert_eq!(state(&hale)["state"], "disabled");
    assert_eq!(browser.request(&hale, "POST", "/router/deployments/a/enable").status, 200);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let answer = hale.client().post_json(CHAT, &browser.headers(), &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = upstream.requests().pop().unwrap();
    for name in ["cookie", "x-hale-csrf"] {
        assert_eq!(sent.header(name), None, "no upstream learns of the session");
    }
}

/// What the master key makes.
#[track_caller]
fn made(hale: &Hale, path: &str, body: &Value) -> Value {
    let answer = client(hale).post_json(path, &[], body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

#[test]
fn a_session_of_a_key_may_do_what_the_key_may() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    made(&hale, "/team/new", &json!({"team_id": "t1"}));
    made(&hale, "/team/new", &json!({"team_id": "t2"}));
    for (user, role) in
        [("ann", "internal_user"), ("eve", "proxy_admin_viewer"), ("root", "proxy_admin")]
    {
        made(
            &hale,
            "/user/new",
            &json!({"user_id": user, "user_role": role, "auto_create_key": false}),
        );
    }
    made(
        &hale,
        "/team/member_add",
        &json!({"team_id": "t1", "member": {"user_id": "ann", "role": "admin"}}),
    );
    let key = |body: Value| made(&hale, "/key/generate", &body)["key"].as_str().unwrap().to_owned();
    let hidden = key(json!({"team_id": "t2"}));
    let texts = ["ann", "eve", "root"].map(|user| key(json!({"user_id": user})));
    let [ann, eve, root] = texts.clone().map(|text| Browser::with_key(&hale, &text));
    // What each may do, of a table: a path, and the answers to a member, a viewer and an admin.
    let table = [
        ("GET", "/ui/overview", [401, 200, 200]),
        ("GET", "/key/list", [200, 200, 200]),
        ("GET", "/v2/team/list", [200, 200, 200]),
        ("GET", "/user/list", [401, 200, 200]),
        ("POST", "/router/deployments/a/reset", [401, 401, 200]),
        ("POST", "/team/new", [401, 401, 200]),
    ];
    for (method, path, expected) in table {
        let got = [&ann, &eve, &root].map(|one| one.request(&hale, method, path).status);
        assert_eq!(got, expected, "{method} {path}");
        // Neither the cookie alone nor another page gets further than no session at all.
        for headers in
            [&ann.headers()[..1], &[("cookie", &*root.cookie), ("x-hale-csrf", &*ann.token)]]
        {
            assert_eq!(hale.client().request(method, path, headers, b"").status, 401, "{path}");
        }
    }
    let session = |one: &Browser| one.request(&hale, "GET", "/ui/session").json();
    assert_eq!(session(&ann)["user"], "ann");
    for (one, acts, sees) in [(&ann, false, false), (&eve, false, true), (&root, true, true)] {
        assert_eq!(
            (&session(one)["may_act"], &session(one)["sees_all"]),
            (&json!(acts), &json!(sees))
        );
    }
    let teams = |one: &Browser| one.request(&hale, "GET", "/v2/team/list").json();
    assert_eq!(
        (teams(&ann)["total"].as_u64(), &teams(&ann)["teams"][0]["team_id"]),
        (Some(1), &json!("t1"))
    );
    assert!(teams(&root)["total"].as_u64() >= Some(2));
    let reach =
        |one: &Browser, key: &str| one.request(&hale, "GET", &format!("/ui/reach?key={key}"));
    assert_eq!(reach(&ann, &texts[0]).json()["models"], json!(["m"]));
    assert_eq!(reach(&ann, &hidden).status, 404, "as one that is not there");
    assert_eq!(reach(&ann, "sk-0123456789abcdef").status, 404);
    assert_eq!(reach(&eve, &hidden).json()["is_own"], true);
}

#[test]
fn a_session_of_a_key_is_over_when_the_key_is_blocked_or_deleted() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let key = made(&hale, "/key/generate", &json!({}))["key"].as_str().unwrap().to_owned();
    let browser = Browser::with_key(&hale, &key);
    assert_eq!(browser.request(&hale, "GET", "/key/list").status, 200);
    made(&hale, "/key/block", &json!({"key": key}));
    assert_eq!(browser.request(&hale, "GET", "/key/list").status, 401);
    let over = browser.request(&hale, "GET", "/ui/session");
    assert_eq!(over.json()["session"], "needed");
    assert!(over.header("set-cookie").unwrap().contains("Max-Age=0"));
    expect_error(&login(&hale, &[SAME_ORIGIN], &key), 401, "key_blocked");
    made(&hale, "/key/unblock", &json!({"key": key}));
    assert_eq!(browser.request(&hale, "GET", "/key/list").status, 200);
    made(&hale, "/key/delete", &json!({"keys": [key]}));
    assert_eq!(browser.request(&hale, "GET", "/key/list").status, 401);
    assert_eq!(browser.request(&hale, "POST", "/router/deployments/a/reset").status, 401);
    expect_error(&login(&hale, &[SAME_ORIGIN], &key), 401, "invalid_api_key");
}

#[test]
fn teams_and_users_come_in_pages_without_keys_and_passwords() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for at in 0..12 {
        made(
            &hale,
            "/team/new",
            &json!({"team_id": format!("t{at:02}"), "team_alias": format!("team {at:02}")}),
        );
        let user =
            json!({"user_id": format!("u{at:02}"), "user_email": format!("U{at:02}@x.example")});
        made(&hale, "/user/new", &user);
    }
    let get = |path: &str| client(&hale).get(path);
    let page = get("/v2/team/list?page=2&page_size=5").json();
    assert_eq!((&page["total"], &page["total_pages"]), (&json!(12), &json!(3)));
    assert_eq!(page["teams"][0]["team_id"], "t05", "by name");
    assert!(page["teams"][0].get("keys").is_none());
    assert_eq!(get("/v2/team/list?team_alias=team%2007").json()["teams"][0]["team_id"], "t07");
    let page = get("/user/list?page_size=5").json();
    assert_eq!((&page["total"], &page["page"]), (&json!(12), &json!(1)));
    assert_eq!(page["users"][0]["key_count"], 1);
    assert!(page["users"][0].get("password").is_none());
    let found = get("/user/list?user_email=u03@X.example").json();
    assert_eq!((&found["total"], &found["users"][0]["user_id"]), (&json!(1), &json!("u03")));
    assert_eq!(get("/user/list?user_ids=u01,u02").json()["total"], 2);
    assert_eq!(get("/user/list?role=proxy_admin").json()["total"], 0);
    for path in ["/user/list?page=0", "/user/list?page_size=101", "/v2/team/list?page=x"] {
        assert_eq!(get(path).status, 422, "{path}");
    }
}

/// The only deployment, as the overview has it.
fn state(hale: &Hale) -> Value {
    client(hale).get("/ui/overview").json()["groups"][0]["deployments"][0].clone()
}

#[test]
fn without_a_master_key_the_dashboard_is_read_and_cannot_act() {
    let upstream = FakeUpstream::start();
    let hale = Config::open().deployment("m", "a", &upstream).start();
    let session = hale.client().get("/ui/session").json();
    assert_eq!((&session["session"], &session["may_act"]), (&json!("open"), &json!(false)));
    for path in
        ["/ui/overview", "/ui/history", "/ui/requests", "/ui/traffic", "/alerting/incidents"]
    {
        assert_eq!(hale.client().get(path).status, 200, "{path}");
        // A page of another origin cannot read it.
        let foreign = [("origin", "https://evil.example")];
        assert_eq!(hale.client().request("GET", path, &foreign, b"").status, 403, "{path}");
    }
    let page = hale.client().get("/ui/overview").text();
    assert!(!page.contains("api_base"), "addresses are for the master key");
    let explained = hale.client().post_json("/router/explain", &[], &json!({"model": "m"}));
    assert_eq!(explained.status, 200);
    for path in ["/router/deployments/a/disable", "/router/deployments/a/reset", "/ui/login"] {
        let answer = hale.client().post_json(path, &[], &json!({"key": "x"}));
        expect_error(&answer, 403, "admin_api_off");
    }
}

#[test]
fn the_overview_says_what_is_broken_since_when_why_and_what_to_do() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), FakeUpstream::start());
    let secret = "<img src=x onerror=alert(1)>";
    let hale = pair(&bad, &good)
        .entry(json!({"model_name": secret, "litellm_params": {"model": "openai/x", "api_key": "os.environ/NOT_THERE"}}))
        .router(json!({"fallbacks": [{"m": ["spare"]}]}))
        .start();
    for _ in 0..4 {
        assert_eq!(chat(&hale, "m").status, 200);
    }
    wait_until_idle(&hale);
    let page = client(&hale).get("/ui/overview");
    assert_eq!(page.header("content-type"), Some("application/json"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let page = page.json();
    let group = |name: &str| {
        let groups = page["groups"].as_array().unwrap().iter();
        groups.clone().find(|group| group["name"] == name).unwrap().clone()
    };
    let m = group("m");
    let [bad, good] = [0, 1].map(|at| m["deployments"][at].clone());
    assert_eq!((&bad["light"], &bad["cause"]), (&json!("down"), &json!("server_error")), "{bad}");
    assert!(
        bad["since_s"].is_u64()
            && bad["hint"].is_string()
            && bad["failures"]["server_error"].is_u64()
    );
    assert_eq!(
        (&good["light"], &good["answered"], &good["is_routed"]),
        (&json!("up"), &json!(4), &json!(true)),
        "{good}"
    );
    assert!(m["latency"]["p50"].is_number() && m["latency"]["first_p50"].is_null(), "{m}");
    assert_eq!(m["fallbacks"], json!(["spare"]));
    let broken = &group(secret)["deployments"][0];
    assert_eq!((&broken["light"], &broken["state"]), (&json!("down"), &json!("misconfigured")));
    assert!(broken["hint"].as_str().unwrap().contains("NOT_THERE"));
    let changes = client(&hale).get("/ui/history?hours=1").json()["changes"].clone();
    let of_bad = changes.as_array().unwrap().iter().find(|one| one["to"] == "cooldown");
    assert!(of_bad.is_none_or(|one| one["deployment"] == "bad"), "{changes}");
}

#[test]
fn a_lone_deployment_that_fails_is_broken_although_requests_still_go_there() {
    let upstream = FakeUpstream::with(|_| Script::error(500, "boom"));
    let hale = lone(&upstream).router(json!({"num_retries": 0})).start();
    for _ in 0..3 {
        assert_eq!(chat(&hale, "m").status, 500);
    }
    wait_until_idle(&hale);
    let one = state(&hale);
    assert_eq!((&one["light"], &one["cause"]), (&json!("down"), &json!("server_error")), "{one}");
    upstream.answer_with(Script::answer);
    assert_eq!(chat(&hale, "m").status, 200);
    wait_until_idle(&hale);
    assert_ne!(state(&hale)["light"], "down");
}

#[test]
fn stored_requests_are_found_by_call_id_model_and_cause() {
    let upstream = FakeUpstream::with(|_| Script::error(401, "no"));
    let hale = lone(&upstream).start();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let answer = client(&hale).post_json(CHAT, &[("x-litellm-call-id", "the-call")], &body);
    assert_eq!(answer.status, 401);
    let found = |query: &str| {
        let page = client(&hale).get(&format!("/ui/requests?{query}")).json();
        assert_eq!(page["has_store"], true, "{page}");
        page["requests"].as_array().unwrap().len()
    };
    eventually("the record is stored", || (found("call_id=the-call") == 1).then_some(()));
    assert_eq!([found("model=m"), found("cause=auth"), found("deployment=a")], [1, 1, 1]);
    assert_eq!(
        [found("model=other"), found("cause=timeout"), found("call_id=%27%20or%201%3D1")],
        [0, 0, 0]
    );
    let page = client(&hale).get("/ui/traffic?hours=1").json();
    assert_eq!(page["rows"][0][3], "auth", "{page}");
    for query in ["hours=x", "limit=-1", "before_ms=1e9"] {
        assert_eq!(client(&hale).get(&format!("/ui/requests?{query}")).status, 400, "{query}");
    }
}

#[test]
fn events_come_as_they_happen_and_end_with_the_process() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let browser = Browser::sign_in(&hale);
    expect_error(&browser.request(&hale, "GET", "/ui/events"), 400, "not_a_stream");
    let mut headers = browser.headers();
    headers.push(("accept", "text/event-stream"));
    let mut listener = hale.client();
    listener.send("GET", "/ui/events", &headers, b"").unwrap();
    let mut stream = listener.read_stream().unwrap();
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    assert_eq!(browser.request(&hale, "POST", "/router/deployments/a/disable").status, 200);
    let event = |data: &str| serde_json::from_str::<Value>(data).unwrap();
    let first = std::iter::from_fn(|| stream.next_event())
        .filter(|next| !next.data.is_empty())
        .map(|next| event(&next.data))
        .find(|data| data["event"] == "operator")
        .unwrap();
    assert_eq!((&first["deployment"], &first["action"]), (&json!("a"), &json!("disable")));
    hale.signal(Signal::Term);
    let last = stream.remaining().into_iter().rfind(|next| !next.data.is_empty()).unwrap();
    assert_eq!(event(&last.data)["event"], "shutdown", "the process does not wait for it");
}

#[test]
fn the_status_page_is_there_where_the_config_says_so_and_names_groups_alone() {
    let upstream = FakeUpstream::with(|_| Script::error(401, "a word of the provider"));
    let config = || Config::new().deployment("m", "the-deployment", &upstream);
    let closed = config().start();
    for path in ["/status", "/status/data"] {
        expect_error(&closed.client().get(path), 404, "unknown_route");
        expect_error(&client(&closed).get(path), 404, "unknown_route");
    }
    let hale = config().general(json!({"status_page": "public"})).start();
    let page = hale.client().get("/status");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(
        hale.client().get("/status/data").json()["groups"],
        json!([{"name": "m", "state": "up"}])
    );
    for _ in 0..3 {
        assert_eq!(chat(&hale, "m").status, 401);
    }
    wait_until_idle(&hale);
    let data = eventually("an incident is public", || {
        let data = hale.client().get("/status/data");
        (!data.json()["incidents"].as_array().unwrap().is_empty()).then_some(data)
    });
    assert_eq!(data.json()["groups"][0]["state"], "down");
    assert_eq!(data.json()["incidents"][0]["groups"], json!(["m"]));
    for hidden in ["the-deployment", "127.0.0.1", "openai", "a word of the provider", "auth"] {
        assert!(!data.text().contains(hidden), "{hidden}: {}", data.text());
    }
    let wrong = config().general(json!({"status_page": "everyone"})).start();
    assert_eq!(wrong.client().get("/status").status, 404, "a wrong word opens nothing");
    assert!(wrong.stderr().contains("neither `public` nor `off`"), "{}", wrong.stderr());
}
