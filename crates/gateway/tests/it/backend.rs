//! `litellm_backend_url`: LiteLLM answers what is in no row here, with the client's own key.

use hale_testkit::{FakeUpstream, Hale, Request, Script};
use serde_json::json;

use crate::keys::make;
use crate::support::{Config, client, expect_error, lone};

/// A server that says where it was asked.
fn litellm() -> FakeUpstream {
    FakeUpstream::with(|request: &Request| match request.path.split('?').next().unwrap() {
        "/ui" => Script::with_status(307).header("location", "/ui/").body("text/plain", ""),
        "/gone" => Script::with_status(302)
            .header("location", "https://idp.example/authorize")
            .body("text/plain", ""),
        "/large" => Script::ok().body("application/octet-stream", vec![b'x'; 90 << 20]),
        "/broken" => Script::ok().declared_length(100).body("text/plain", "half"),
        "/failed" => Script::error(500, "no"),
        path => Script::ok()
            .header("x-of", "litellm")
            .json(&json!({"path": path, "said": request.text()})),
    })
}

fn with(provider: &FakeUpstream, litellm: &FakeUpstream, more: serde_json::Value) -> Hale {
    let mut general = json!({"litellm_backend_url": litellm.url()});
    general.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    lone(provider).general(general).start()
}

#[test]
fn what_is_in_no_row_goes_to_litellm_with_the_clients_key_and_nothing_else_does() {
    let (provider, behind) = (FakeUpstream::start(), litellm());
    let hale = with(&provider, &behind, json!({}));
    let (key, _) = make(&hale, &json!({}));
    let answer = hale.client_with_key(&key).post_json(
        "/organization/new?a=b",
        &[("te", "trailers")],
        &json!({"x": 1}),
    );
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json(), json!({"path": "/organization/new", "said": "{\"x\":1}"}));
    assert_eq!(answer.header("x-of"), Some("litellm"));
    let seen = behind.request(0);
    assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {key}")));
    assert_eq!((seen.header("te"), seen.header("x-forwarded-for")), (None, Some("127.0.0.1")));
    assert_eq!(seen.header("host"), Some(behind.url().trim_start_matches("http://")));
    // A key that is none here is none there; so is no key.
    expect_error(
        &hale.client_with_key("sk-0123456789abcdefghij").get("/organization/list"),
        401,
        "invalid_api_key",
    );
    assert_eq!(hale.client().get("/organization/list").status, 401);
    // What is served or refused here stays here, however it is written.
    for path in [
        "/v1/chat%2Fcompletions",
        "/key/%6Cist",
        "/ui/../key/list",
        "/ui/%2e%2e/organization/new",
        "//organization/list",
    ] {
        let refused = client(&hale).get(path).status;
        assert!((400..500).contains(&refused), "{path}: {refused}");
    }
    assert_eq!(client(&hale).request("DELETE", "/v1/chat/completions", &[], b"").status, 405);
    let blocked = json!({"key": key});
    assert_eq!(client(&hale).post_json("/key/block", &[], &blocked).status, 200);
    assert_eq!(hale.client_with_key(&key).get("/organization/list").status, 401);
    assert_eq!(behind.requests().len(), 1);
    assert!(provider.requests().is_empty(), "no provider sees a client's key");
}

#[test]
fn the_user_interface_is_litellms_unless_the_config_says_otherwise() {
    let (provider, behind) = (FakeUpstream::start(), litellm());
    let hale = with(&provider, &behind, json!({}));
    let open = |hale: &Hale, path: &str| hale.client().get(path);
    assert_eq!(open(&hale, "/ui/").json()["path"], "/ui/");
    assert_eq!(open(&hale, "/ui/login").json()["path"], "/ui/login");
    assert_eq!(
        open(&hale, "/litellm-asset-prefix/a.js").json()["path"],
        "/litellm-asset-prefix/a.js"
    );
    let own = with(&provider, &behind, json!({"ui": "hale"}));
    let page = open(&own, "/ui/");
    assert!(page.status == 200 && page.text().contains("<html"), "{}", page.text());
    let without = lone(&provider).start();
    assert_eq!(open(&without, "/litellm-asset-prefix/a.js").status, 404);
    assert_eq!(client(&without).get("/organization/list").status, 404);
}

#[test]
fn redirects_are_told_and_failures_are_litellms_own_or_said_to_be_its() {
    let (provider, behind) = (FakeUpstream::start(), litellm());
    let hale = with(&provider, &behind, json!({}));
    let moved = client(&hale).get("/ui");
    assert_eq!((moved.status, moved.header("location")), (307, Some("/ui/")));
    let away = client(&hale).get("/gone");
    assert_eq!(
        (away.status, away.header("location")),
        (302, Some("https://idp.example/authorize"))
    );
    assert_eq!(client(&hale).get("/failed").status, 500);
    assert_eq!(client(&hale).get("/large").body.len(), 90 << 20);
    let gone = FakeUpstream::start();
    let url = gone.url();
    drop(gone);
    let other = Config::new()
        .with("m", "a", &provider, json!({}))
        .general(json!({"litellm_backend_url": url}))
        .start();
    expect_error(&client(&other).get("/organization/list"), 502, "backend_unreachable");
    let looped =
        client(&hale).request("GET", "/organization/list", &[("x-hale-forwarded", "1")], b"");
    expect_error(&looped, 508, "backend_loop");
    assert_eq!(client(&hale).get("/health/liveliness").status, 200);
}
