//! Which client may call what: every path of every endpoint, with every kind of key.
//!
//! Always true: the table of endpoints decides, and a path without a row is refused to every client.
//! `docs/dev/access.md` is the output.

use std::fmt::Write as _;
use std::fs;

use hale_core::parameters::{InBody, PARAMETERS};
use hale_gateway::{Role, endpoints};
use hale_testkit::{Client, FakeUpstream, Hale, Request, Response};
use serde_json::json;

use crate::support::{CHAT, KEY, client, expect_error, lone};
use crate::tidy;

/// A kind of client: a heading, and the headers of its request.
const CLIENTS: [(&str, &[(&str, &str)]); 4] = [
    ("no key", &[]),
    ("a wrong key", &[("authorization", "Bearer sk-of-another-gateway")]),
    ("a malformed key", &[("authorization", "Basic c2s6")]),
    ("the master key", &[("authorization", "Bearer sk-test-0123456789abcdef")]),
];

/// Whether the client was authorized, by the answer.
fn verdict(answer: &Response) -> &'static str {
    match answer.status {
        401 => "401",
        403 => "403",
        // An empty body, a body that is not a form, an unknown model, no handshake: all are found after
        // authorization.
        // The dashboard's path without its slash sends the client to the one with it.
        200 | 302 | 400 | 404 | 415 | 426 => "in",
        // No cache is on.
        503 if answer.text().contains("cache_ping_error") => "in",
        // No service is named.
        422 if answer.text().contains("service_missing") => "in",
        status => panic!("{status}: {}", answer.text()),
    }
}

fn ask(hale: &Hale, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let path = path.replace("{}", "some-model");
    hale.client().request(method, &path, headers, b"")
}

const TITLE: &str = "# Which client may call what

Every path of every endpoint, and what clients get there: `in` (allowed), or the status that refuses them. Without a
master key the gateway listens on loopback only, and every client is allowed, except on administrative endpoints.
A path without a row is a 404 for every client, and a method that a path does not have is a 405, or is passed through where a row for the
whole of a provider has it. Made by
`HALE_BLESS=1 cargo test -p hale-gateway --test it roles`; do not edit it.

| method | path | no key | a wrong key | a malformed key | the master key | no key, `require_auth_for_metrics_endpoint: false` | no key, no master key |
|---|---|---|---|---|---|---|---|
";

#[test]
fn every_path_answers_each_kind_of_client_as_the_page_says() {
    let upstream = FakeUpstream::start();
    let closed = lone(&upstream).start();
    let metrics_open =
        lone(&upstream).litellm(json!({"require_auth_for_metrics_endpoint": false})).start();
    let no_key = crate::support::Config::open().deployment("m", "a", &upstream).start();
    let mut made = TITLE.to_owned();
    for row in endpoints() {
        for path in row.paths {
            let mut verdicts: Vec<&str> = CLIENTS
                .iter()
                .map(|(_, headers)| verdict(&ask(&closed, row.method, path, headers)))
                .collect();
            let expected = match row.role {
                Role::Public => ["in", "in", "in", "in"],
                Role::Key | Role::Metrics | Role::Viewer | Role::TeamAdmin | Role::Admin => {
                    ["401", "401", "401", "in"]
                }
            };
            assert_eq!(verdicts, expected, "{} {path}", row.method);
            verdicts.push(verdict(&ask(&metrics_open, row.method, path, &[])));
            verdicts.push(verdict(&ask(&no_key, row.method, path, &[])));
            // Writing to a string cannot fail.
            let _written =
                writeln!(made, "| {} | `{path}` | {} |", row.method, verdicts.join(" | "));
        }
    }
    let asked = upstream.requests();
    let is_probe = |body: String| body.contains("test from litellm");
    // A list needs nothing but a key.
    let is_list = |path: &str| matches!(path, "/v1/files" | "/v1/batches");
    // So does what is passed through.
    let is_list = |path: &str| is_list(path) || path == "/v1/some-model";
    let is_fine = |it: &Request| is_probe(it.text()) || is_list(&it.path);
    assert!(asked.iter().all(is_fine), "{asked:?}");
    let file = tidy::root().join("docs/dev/access.md");
    if std::env::var_os("HALE_BLESS").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == made, "docs/dev/access.md is not up to date; run this test with HALE_BLESS=1");
}

#[test]
fn a_path_without_a_row_is_refused_to_every_client() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    // Administrative endpoints of LiteLLM, and ways to write such a path.
    let paths = [
        "/key/generate",
        "/config/update",
        "/model/new",
        "/user/new",
        "/spend/no-such-report",
        "/router",
        "/sso/key/generate",
        "/v1/models/../../metrics",
        "//metrics",
        "/METRICS",
        "/metrics%2f",
        "/%6detrics",
        "/metrics;x=1",
        "/metrics/..",
        "/v1/chat/completions/../../../metrics",
        "/health/readiness/../../metrics",
    ];
    for path in paths {
        for (_, headers) in CLIENTS {
            let answer = ask(&hale, "GET", path, headers);
            let open = answer.status == 200;
            assert!(!open, "{path}: {}", answer.text());
            let as_master = headers.iter().any(|(_, value)| value.contains(KEY));
            assert!(
                as_master || matches!(answer.status, 401 | 404 | 405),
                "{path}: {}",
                answer.text()
            );
        }
    }
    for row in endpoints() {
        for path in row.paths {
            const PASSED: [&str; 4] = ["/openai/", "/azure/", "/mistral/", "/anthropic/"];
            let is_passed = PASSED.iter().any(|begin| path.starts_with(begin));
            let methods = ["OPTIONS", "TRACE", "CONNECT", "FOO", "PUT", "PATCH", "DELETE"];
            for method in &methods[..if is_passed { 4 } else { methods.len() }] {
                // A path of CONNECT is an authority.
                let path = if *method == "CONNECT" { "x:80" } else { path };
                let answer = ask(&hale, method, path, CLIENTS[3].1);
                assert!(
                    matches!(answer.status, 400 | 404 | 405),
                    "{method} {path}: {}",
                    answer.text()
                );
            }
        }
    }
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_query_changes_no_right() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for query in
        ["key=sk-test-0123456789abcdef", "api_key=sk-test-0123456789abcdef", "access_token=x"]
    {
        let answer = hale.client().get(&format!("/v1/models?{query}"));
        expect_error(&answer, 401, "missing_api_key");
    }
}

#[test]
fn no_field_that_steers_credentials_or_addresses_is_taken_from_a_body() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    let mut own: Client = client(&hale);
    let refused = |row: &&hale_core::parameters::Parameter| {
        matches!(row.in_body, InBody::Credential | InBody::Mock)
    };
    let names: Vec<&str> = PARAMETERS.iter().filter(refused).map(|row| row.name).collect();
    assert!(["api_base", "base_url", "api_key", "user_config"].iter().all(|it| names.contains(it)));
    for (path, field) in
        [(CHAT, "messages"), ("/v1/completions", "prompt"), ("/v1/embeddings", "input")]
    {
        for name in &names {
            let escaped = format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
            for written in [name, &*escaped] {
                for value in ["\"http://127.0.0.1:1\"", "\"\"", "{}", "[]"] {
                    let text = format!(r#"{{"model":"m","{field}":["x"],"{written}":{value}}}"#);
                    let answer = own.request("POST", path, &[], text.as_bytes());
                    let error = expect_error(&answer, 400, "forbidden_parameter");
                    assert_eq!(error["param"], *name, "{text}");
                }
            }
        }
    }
    for name in &names {
        let text = format!(r#"{{"model":"m","max_tokens":1,"messages":["x"],"{name}":"x"}}"#);
        for path in ["/v1/messages", "/v1/messages/count_tokens"] {
            let answer = own.request("POST", path, &[], text.as_bytes());
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.text().contains(&format!("`{name}` ")), "{path}: {}", answer.text());
        }
    }
    assert_eq!(upstream.state().opened(), 0);
}
