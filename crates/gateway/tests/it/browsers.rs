//! A gateway without a secret key, and the pages that a browser of this machine shows.

use std::net::SocketAddr;

use hale_testkit::{Client, FakeUpstream, Hale, Response, openai};
use serde_json::{Value, json};

use crate::support::{CHAT, Config, KEY, chat, client, expect_error, lone};

/// Sends a request whose head is exactly these lines, and the body.
fn raw(hale: &Hale, request: &str, lines: &str, body: &str) -> Response {
    let mut client: Client = hale.client();
    let length = body.len();
    let head = format!("{request} HTTP/1.1\r\n{lines}content-length: {length}\r\n\r\n{body}");
    client.send_raw(head.as_bytes()).unwrap();
    client.read_response().unwrap()
}

/// The lines that a browser adds to what a page of another site sends, and to what one sends that the name
/// `evil.example` led here.
fn foreign(address: SocketAddr) -> [(String, &'static str); 5] {
    let own = format!("host: {address}\r\n");
    [
        (format!("{own}origin: https://evil.example\r\n"), "foreign_origin"),
        (format!("{own}origin: null\r\n"), "foreign_origin"),
        (format!("{own}sec-fetch-site: cross-site\r\n"), "foreign_origin"),
        ("host: evil.example:4000\r\n".to_owned(), "foreign_host"),
        ("host: evil.example\r\norigin: http://evil.example\r\n".to_owned(), "foreign_host"),
    ]
}

/// The lines of a WebSocket handshake; to other endpoints they mean nothing.
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

#[test]
fn no_endpoint_of_a_gateway_without_a_key_serves_a_foreign_page() {
    let upstream = FakeUpstream::start();
    let hale = Config::open().deployment("m", "a", &upstream).start();
    let routes = hale.client().get("/routes").json();
    let mut guarded = 0;
    for row in routes["routes"].as_array().unwrap() {
        let method = row["methods"][0].as_str().unwrap();
        let path = row["path"].as_str().unwrap().replace("{name}", "m");
        for (lines, reason) in foreign(hale.address()) {
            let answer = raw(&hale, &format!("{method} {path}"), &(lines + UPGRADE), "");
            if row["role"] == "public" {
                assert!(!answer.text().contains("foreign_"), "{method} {path}");
            } else {
                expect_error(&answer, 403, reason);
                guarded += 1;
            }
        }
    }
    assert!(guarded > 400, "{guarded} requests");
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_simple_request_of_a_foreign_page_spends_nothing_and_the_own_page_is_served() {
    let upstream = FakeUpstream::start();
    let hale = Config::open().deployment("m", "a", &upstream).start();
    let body = openai::chat_request("m", "hi").to_string();
    let ask = |lines: &str| raw(&hale, &format!("POST {CHAT}"), lines, &body);
    for (lines, reason) in foreign(hale.address()) {
        let answer = ask(&format!("{lines}content-type: text/plain\r\n"));
        expect_error(&answer, 403, reason);
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
    }
    assert_eq!(upstream.state().opened(), 0);
    let port = hale.port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "[::1]".to_owned()] {
        let own =
            format!("host: {host}\r\norigin: http://{host}\r\nsec-fetch-site: same-origin\r\n");
        assert_eq!(ask(&own).status, 200, "{host}");
        assert_eq!(ask(&format!("host: {host}\r\n")).status, 200, "{host}");
    }
}

#[test]
fn a_published_key_keeps_no_page_out_and_a_secret_one_does() {
    let upstream = FakeUpstream::start();
    let published = Config::open().deployment("m", "a", &upstream);
    let published = published.general(json!({"master_key": "sk-1234"})).start();
    let body = openai::chat_request("m", "hi").to_string();
    let key = "authorization: Bearer sk-1234\r\n";
    for (lines, reason) in foreign(published.address()) {
        let answer = raw(&published, &format!("POST {CHAT}"), &format!("{lines}{key}"), &body);
        expect_error(&answer, 403, reason);
        let offered =
            format!("{lines}{UPGRADE}sec-websocket-protocol: openai-insecure-api-key.sk-1234\r\n");
        expect_error(&raw(&published, "GET /v1/realtime?model=m", &offered, ""), 403, reason);
    }
    let own = format!("host: localhost\r\n{key}");
    assert_eq!(raw(&published, &format!("POST {CHAT}"), &own, &body).status, 200);
    let secret = lone(&upstream).start();
    for (lines, _) in foreign(secret.address()) {
        let lines = format!("{lines}authorization: Bearer {KEY}\r\n");
        assert_eq!(raw(&secret, &format!("POST {CHAT}"), &lines, &body).status, 200);
    }
    assert_eq!(chat(&secret, "m").status, 200);
}

#[test]
fn on_an_address_of_others_any_host_is_right_and_foreign_origins_are_not() {
    let upstream = FakeUpstream::start();
    let config = Config::open().deployment("m", "a", &upstream);
    let config = config.general(json!({"dangerously_permit_weak_or_unset_master_key": true}));
    let hale = config.launch().host("0.0.0.0").start();
    let ask = |lines: &str| raw(&hale, "GET /v1/models", lines, "");
    assert_eq!(ask("host: gateway.internal:4000\r\n").status, 200);
    let own = "host: gateway.internal\r\norigin: https://gateway.internal\r\n";
    assert_eq!(ask(own).status, 200);
    let others = "host: gateway.internal\r\norigin: https://evil.example\r\n";
    expect_error(&ask(others), 403, "foreign_origin");
    let image = "host: gateway.internal\r\nsec-fetch-site: cross-site\r\n";
    expect_error(&ask(image), 403, "foreign_origin");
}

#[test]
fn the_guard_follows_the_key_of_a_reload() {
    let upstream = FakeUpstream::start();
    let open = Config::open().deployment("m", "a", &upstream);
    let hale = open.start();
    let ask = || raw(&hale, "GET /v1/models", "host: evil.example\r\n", "");
    expect_error(&ask(), 403, "foreign_host");
    let mark = hale.mark();
    hale.rewrite_config(&open.clone().general(json!({"master_key": KEY})).text());
    hale.wait_for_line_after(mark, "reloaded");
    expect_error(&ask(), 401, "missing_api_key");
    let models: Value = client(&hale).get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], "m");
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "https://app.example"),
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type,x-stainless-lang"),
];
const PAGE: (&str, &str) = ("origin", "https://app.example");

#[test]
fn pages_of_any_origin_use_a_gateway_with_a_secret_key() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    for path in [CHAT, "/v1/messages", "/v1/models", "/health/liveliness", "/v1/files/x", "/any"] {
        let answer = hale.client().request("OPTIONS", path, &PREFLIGHT, b"");
        assert_eq!((answer.status, answer.text().len()), (204, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(PREFLIGHT[2].1));
        assert!(answer.header("access-control-allow-methods").unwrap().contains("DELETE"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
    let chat = client(&hale).post_json(CHAT, &[PAGE], &openai::chat_request("m", "hi"));
    let mut reader = client(&hale);
    let stream = reader.stream(CHAT, &[PAGE], &openai::stream_request("m", "hi"));
    assert_eq!(stream.header("access-control-allow-origin"), Some("*"));
    let refused = hale.client().post_json(CHAT, &[PAGE], &openai::chat_request("m", "hi"));
    let unknown = client(&hale).request("GET", "/nothing", &[PAGE], b"");
    for (answer, status) in [(&chat, 200), (&refused, 401), (&unknown, 404)] {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{status}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("*"), "{status}");
        assert_eq!(answer.header("vary"), Some("origin"), "{status}");
    }
    let plain = client(&hale).post_json(CHAT, &[], &openai::chat_request("m", "hi"));
    assert_eq!(plain.header("access-control-allow-origin"), None);
    let question = client(&hale).request("OPTIONS", CHAT, &[], b"");
    expect_error(&question, 405, "method_not_allowed");
}

#[test]
fn origins_are_narrowed_or_turned_off_by_the_config() {
    let upstream = FakeUpstream::start();
    for (origins, granted) in [
        (json!(["https://app.example", "http://localhost:3000"]), Some("https://app.example")),
        (json!(["*"]), Some("*")),
        (json!(["https://other.example"]), None),
        (json!([]), None),
    ] {
        let hale = lone(&upstream).general(json!({"cors_origins": origins})).start();
        let chat = client(&hale).post_json(CHAT, &[PAGE], &openai::chat_request("m", "hi"));
        assert_eq!(chat.status, 200, "the browser keeps the answer from the page");
        assert_eq!(chat.header("access-control-allow-origin"), granted, "{origins}");
        let question = hale.client().request("OPTIONS", CHAT, &PREFLIGHT, b"");
        assert_eq!(question.status, if granted.is_some() { 204 } else { 405 }, "{origins}");
        let socket = raw(
            &hale,
            "GET /v1/realtime?model=m",
            &format!(
                "host: {}\r\norigin: https://app.example\r\nauthorization: Bearer {KEY}\r\n{UPGRADE}",
                hale.address()
            ),
            "",
        );
        let is_refused = socket.status == 403 && socket.text().contains("cors_origins");
        assert_eq!(is_refused, granted.is_none(), "{origins}: {}", socket.text());
    }
}

#[test]
fn without_a_secret_key_no_origin_is_granted_whatever_the_config_lists() {
    let upstream = FakeUpstream::start();
    for key in [None, Some("sk-1234")] {
        let config = Config::open().deployment("m", "a", &upstream);
        let listed = json!({"cors_origins": ["https://app.example"], "master_key": key});
        let hale = config.general(listed).start();
        let question = hale.client().request("OPTIONS", CHAT, &PREFLIGHT, b"");
        assert_eq!(question.status, 405);
        let mut sender = hale.client_with_key("sk-1234");
        let chat = sender.post_json(CHAT, &[PAGE], &openai::chat_request("m", "hi"));
        expect_error(&chat, 403, "foreign_origin");
        assert_eq!(chat.header("access-control-allow-origin"), None);
    }
}
