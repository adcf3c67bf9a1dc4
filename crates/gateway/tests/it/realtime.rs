//! `/v1/realtime`: which client gets a session with which upstream, and what passes.

use hale_testkit::{FakeUpstream, Script};
use serde_json::{Value, json};
use tungstenite::http::HeaderMap;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Bytes, Message};

use crate::health::{entry as listed, health};
use crate::realtime_sides::{SocketUpstream, close_of, config, entry, next, open, open_with};
use crate::support::{
    Config, KEY, LOG, UPSTREAM_KEY, client, error, metric, wait_for_records, wait_until_idle,
};

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

/// An answer that switches, with what the script decides behind it.
fn switching(request: &hale_testkit::Request, accept: Option<&str>, more: &str) -> Script {
    let key = request.headers.get("sec-websocket-key").unwrap();
    let right = tungstenite::handshake::derive_accept_key(key.as_bytes());
    let accept = accept.unwrap_or(&right);
    Script::ok().raw(format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n{more}\r\n"
    ))
}

#[test]
fn a_session_passes_both_ways_and_leaves_one_record() {
    let upstream = SocketUpstream::echo();
    let hale = config(&[("a", upstream.api_base())]).start();
    let (mut socket, head) = open(&hale).unwrap();
    assert_eq!(text(&head, "x-litellm-model-id"), Some("a"));
    assert_eq!(text(&head, "x-litellm-model-group"), Some("m"));
    assert_eq!(text(&head, "x-litellm-attempted-retries"), Some("0"));
    assert!(text(&head, "x-litellm-call-id").is_some() && head.get("content-type").is_none());
    assert_eq!(metric(&hale, "hale_in_flight_requests", &[]), 2.0);
    assert_eq!(metric(&hale, "hale_deployment_in_flight", &[]), 1.0);
    let usage = json!({"input_tokens": 100, "output_tokens": 50,
        "input_token_details": {"audio_tokens": 40, "cached_tokens": 0},
        "output_token_details": {"audio_tokens": 10}});
    let done = json!({"event_id": "e", "type": "response.done", "response": {"usage": usage}});
    let big = vec![7; 3 << 20];
    for message in [
        Message::text(r#"{"type":"session.update"}"#),
        Message::text(done.to_string()),
        Message::binary(big),
        Message::text(done.to_string()),
        Message::text(""),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(next(&mut socket), message);
    }
    socket.send(Message::Ping(Bytes::from_static(b"there?"))).unwrap();
    assert_eq!(next(&mut socket), Message::Pong(Bytes::from_static(b"there?")));
    let bye = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
    socket.close(Some(bye)).unwrap();
    assert_eq!(close_of(&mut socket), Ok((1000, "bye".to_owned())));
    assert_eq!(upstream.next_end(), "1000 bye");

    let (path, sent) = &upstream.heads()[0];
    assert_eq!(path, "/v1/realtime?model=gpt-realtime");
    assert_eq!(text(sent, "authorization"), Some(&*format!("Bearer {UPSTREAM_KEY}")));
    assert!(!format!("{sent:?}").contains(KEY));
    assert!(sent.get("sec-websocket-extensions").is_none());

    wait_until_idle(&hale);
    let record = &wait_for_records(&hale, 1)[0];
    let expected = json!({"operation": "realtime", "status": 101, "ending": "success", "deployment": "a",
        "model_group": "m", "input_tokens": 200, "output_tokens": 100, "stream": true});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&record[name], value, "{name} of {record}");
    }
    // Per million tokens: text 4 and 16, audio 32 and 64.
    let usd = 2.0 * (60.0 * 4.0 + 40.0 * 32.0 + 40.0 * 16.0 + 10.0 * 64.0) / 1e6;
    assert!((record["cost_usd"].as_f64().unwrap() - usd).abs() < 1e-9, "{record}");
    assert!(record["response_bytes"].as_u64().unwrap() > 3 << 20);
    assert!(record["request_bytes"].as_u64().unwrap() > 3 << 20);
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
}

#[test]
fn the_key_may_stand_in_a_header_or_among_the_protocols() {
    let upstream = SocketUpstream::echo();
    let hale = config(&[("a", upstream.api_base())]).start();
    let (bearer, hidden) = (
        format!("Bearer {KEY}"),
        format!(
            "realtime, openai-insecure-api-key.{KEY}, openai-organization.theirs, openai-beta.realtime-v1"
        ),
    );
    for (path, name, value) in [
        ("/v1/realtime?model=m", "authorization", &*bearer),
        ("/realtime?model=m", "api-key", KEY),
        ("/openai/realtime?api-version=2024-10-01-preview&deployment=m", "api-key", KEY),
        ("/openai/v1/realtime?model=m&intent=transcription", "sec-websocket-protocol", &*hidden),
    ] {
        let more = [(name, value), ("openai-beta", "realtime=v1")];
        let (mut socket, head) = open_with(&hale, path, &more).expect(path);
        let offers = name == "sec-websocket-protocol";
        assert_eq!(text(&head, "sec-websocket-protocol"), offers.then_some("realtime"), "{path}");
        socket.close(None).unwrap();
        upstream.next_end();
    }
    let heads = upstream.heads();
    for (path, head) in &heads {
        assert_eq!(text(head, "openai-beta"), Some("realtime=v1"), "{path}");
        assert!(!format!("{path} {head:?}").contains(KEY) && !path.contains("api-version"));
    }
    let (path, head) = &heads[3];
    assert_eq!(path, "/v1/realtime?model=gpt-realtime&intent=transcription");
    assert_eq!(text(head, "sec-websocket-protocol"), Some("realtime, openai-beta.realtime-v1"));

    for (name, value) in
        [("x-other", "1"), ("sec-websocket-protocol", "openai-insecure-api-key.sk-no")]
    {
        let (status, _, body) =
            *open_with(&hale, "/v1/realtime?model=m", &[(name, value)]).unwrap_err();
        assert_eq!((status, &body["error"]["type"]), (401, &json!("auth_error")), "{body}");
    }
    assert_eq!(upstream.heads().len(), 4);
}

#[test]
fn an_upstream_that_does_not_agree_gives_way_to_a_sibling() {
    type Refuse = fn(&hale_testkit::Request) -> Script;
    let rows: [(&str, Refuse, &str); 9] = [
        ("401", |_| Script::error(401, "Incorrect API key provided"), "auth"),
        ("404", |_| Script::error(404, "The model does not exist"), "not_found"),
        ("426", |_| Script::error(426, "HTTP/2, please"), "bad_response"),
        ("500", |_| Script::error(500, "boom"), "server_error"),
        ("200", |_| Script::ok().json(&json!({"object": "list"})), "bad_response"),
        ("wrong accept", |request| switching(request, Some("AAAA"), "").silence(), "bad_response"),
        (
            "extension",
            |request| switching(request, None, "sec-websocket-extensions: x\r\n").silence(),
            "bad_response",
        ),
        (
            "protocol",
            |request| switching(request, None, "sec-websocket-protocol: y\r\n").silence(),
            "bad_response",
        ),
        ("closed", |_| Script::ok().close(), "connect"),
    ];
    for (what, refuse, cause) in rows {
        let bad = FakeUpstream::with(refuse);
        let good = SocketUpstream::echo();
        let hale = config(&[("bad", bad.api_base()), ("good", good.api_base())]).start();
        let own = [("authorization", &*format!("Bearer {KEY}")), ("x-hale-explain", "1")];
        let (mut socket, head) = open_with(&hale, "/v1/realtime?model=m", &own)
            .unwrap_or_else(|no| panic!("{what}: {no:?}"));
        let route = text(&head, "x-hale-route").unwrap();
        assert!(
            route.contains("m/bad=") && route.contains(&format!("{cause} ")),
            "{what}: {route}"
        );
        assert_eq!(text(&head, "x-litellm-model-id"), Some("good"), "{what}");
        socket.close(None).unwrap();
        assert_eq!(good.next_end(), "close");
        if cause == "bad_response" && what != "426" && what != "200" {
            // A switched connection cannot be used by another request.
            bad.wait_until_dropped();
        }
    }
}

#[test]
fn a_refusal_is_an_ordinary_error() {
    let upstream = FakeUpstream::with(|_| Script::error(401, "Incorrect API key provided"));
    let hale = config(&[("a", upstream.api_base())]).router(json!({"num_retries": 0})).start();
    let (status, _, body) = *open(&hale).unwrap_err();
    assert_eq!((status, &body["error"]["reason"]), (401, &json!("upstream_auth")), "{body}");
    upstream.answer_with(|_| Script::ok().json(&json!({})));
    let (status, _, body) = *open(&hale).unwrap_err();
    assert_eq!(status, 502, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("no WebSocket"), "{body}");
    upstream.answer_with(|_| Script::rate_limited(7));
    let (status, head, _) = *open(&hale).unwrap_err();
    assert_eq!((status, text(&head, "retry-after")), (429, Some("7")));
    let records = wait_for_records(&hale, 3);
    assert_eq!(records.iter().map(|it| it["status"].clone()).collect::<Vec<_>>(), [401, 502, 429]);
    assert!(records.iter().all(|record| record["ending"] == "error"));
}

#[test]
fn a_group_that_fails_falls_back_to_another() {
    let (bad, good) = (FakeUpstream::with(|_| Script::error(500, "boom")), SocketUpstream::echo());
    let mut second = entry("b", &good.api_base(), json!({}));
    second["model_name"] = json!("other");
    let hale = config(&[("a", bad.api_base())])
        .entry(second)
        .router(json!({"num_retries": 0, "fallbacks": [{"m": ["other"]}]}))
        .start();
    let (mut socket, head) = open(&hale).unwrap();
    assert_eq!(text(&head, "x-litellm-attempted-fallbacks"), Some("1"));
    assert_eq!(text(&head, "x-litellm-model-group"), Some("other"));
    socket.close(None).unwrap();
    good.next_end();
}

#[test]
fn a_silent_upstream_is_left_after_the_attempts_time() {
    let (bad, good) = (FakeUpstream::with(|_| Script::silent()), SocketUpstream::echo());
    let hale = config(&[("bad", bad.api_base()), ("good", good.api_base())])
        .router(json!({"timeout": 0.3}))
        .start();
    let (_socket, head) = open(&hale).unwrap();
    assert_eq!(text(&head, "x-litellm-model-id"), Some("good"));
    bad.wait_until_dropped();
}

#[test]
fn a_request_that_is_not_a_handshake_is_told_what_is_missing() {
    // Bad input, row 76.
    let upstream = SocketUpstream::echo();
    let anthropic = json!({"model_name": "claude", "litellm_params": {
        "model": "anthropic/claude-sonnet-4-5", "api_key": "k-0123456789"}});
    let hale = config(&[("a", upstream.api_base())]).entry(anthropic).start();
    let path = "/v1/realtime?model=m";
    let plain = client(&hale).get(path);
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")));
    assert_eq!(plain.header("sec-websocket-version"), Some("13"));
    assert!(error(&plain)["message"].as_str().unwrap().contains("ws://"), "{}", plain.text());
    let raw = |version: &str, lines: &str| {
        let mut client = client(&hale);
        let head = format!(
            "GET {path} HTTP/{version}\r\nhost: h\r\nauthorization: Bearer {KEY}\r\n{lines}\r\n"
        );
        client.send_raw(head.as_bytes()).unwrap();
        client.read_response().unwrap().status
    };
    let asks = "connection: upgrade\r\nupgrade: websocket\r\n";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "sec-websocket-version: 13\r\n";
    for (http, lines, expected) in [
        ("1.0", format!("{asks}{key}{version}"), 426),
        ("1.1", format!("upgrade: websocket\r\n{key}{version}"), 426),
        ("1.1", format!("connection: upgrade\r\nupgrade: h2c\r\n{key}{version}"), 426),
        ("1.1", format!("{asks}{key}"), 426),
        ("1.1", format!("{asks}{key}sec-websocket-version: 8\r\n"), 426),
        ("1.1", format!("{asks}{version}"), 400),
        ("1.1", format!("{asks}{key}{key}{version}"), 400),
        ("1.1", format!("{asks}{version}sec-websocket-key: short\r\n"), 400),
        ("1.1", format!("{asks}{key}{version}content-length: 2\r\n\r\n{{}}"), 400),
        ("1.1", format!("{asks}{key}{version}x-litellm-timeout: soon\r\n"), 400),
    ] {
        assert_eq!(raw(http, &lines), expected, "{lines}");
    }
    let own = [("authorization", &*format!("Bearer {KEY}"))];
    for (path, status, reason) in [
        ("/v1/realtime", 400, "missing_parameter"),
        ("/v1/realtime?model=", 400, "invalid_parameter"),
        ("/v1/realtime?model=m&deployment=x", 400, "invalid_parameter"),
        ("/v1/realtime?model=nothing", 400, "unknown_model"),
        ("/v1/realtime?model=claude", 400, "missing_capability"),
    ] {
        let (found, _, body) = *open_with(&hale, path, &own).unwrap_err();
        assert_eq!((found, &body["error"]["reason"]), (status, &json!(reason)), "{path}: {body}");
    }
    assert_eq!(client(&hale).post_json(path, &[], &json!({})).status, 405);
    assert!(upstream.heads().is_empty());
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
}

#[test]
fn no_query_names_a_model_or_a_credential_for_the_upstream() {
    let upstream = SocketUpstream::echo();
    let hale = config(&[("a", upstream.api_base())]).start();
    let bearer = format!("Bearer {KEY}");
    let own = [("authorization", bearer.as_str())];
    for query in [
        "model=m&Model=dear&MODEL=dear",
        "mod%65l=m&model%00=dear",
        "deploymen%74=m&api%2dversion=1&api%2Dkey=k&%61uthorization=k",
        "model=m&unheard_of=x&intent=a%26model=dear;model=dear",
    ] {
        drop(open_with(&hale, &format!("/v1/realtime?{query}"), &own).unwrap());
    }
    let paths: Vec<String> = upstream.heads().into_iter().map(|(path, _)| path).collect();
    let plain = "/v1/realtime?model=gpt-realtime";
    let intent = format!("{plain}&intent=a%26model%3Ddear%3Bmodel%3Ddear");
    assert_eq!(paths, [plain, plain, plain, &intent]);
    for query in ["model=m&mod%65l=dear", "model=m&deploymen%74=dear", "mod+el=m"] {
        let path = format!("/v1/realtime?{query}");
        let (status, _, _) = *open_with(&hale, &path, &own).unwrap_err();
        assert_eq!(status, 400, "{query}");
    }
    assert_eq!(upstream.heads().len(), 4);
}

#[test]
fn a_gateway_without_a_key_is_not_open_to_pages_of_other_hosts() {
    let upstream = SocketUpstream::echo();
    let hale = Config::open().entry(entry("a", &upstream.api_base(), json!({}))).start();
    let path = "/v1/realtime?model=m";
    let (status, _, body) =
        *open_with(&hale, path, &[("origin", "https://evil.example")]).unwrap_err();
    assert_eq!((status, &body["error"]["reason"]), (403, &json!("foreign_origin")));
    let own = format!("http://{}", hale.address());
    assert!(open_with(&hale, path, &[("origin", &own)]).is_ok());
    assert!(open_with(&hale, path, &[]).is_ok());
}

#[test]
fn azure_is_called_where_it_serves_realtime() {
    let upstream = SocketUpstream::echo();
    let base = upstream.api_base().replace("/v1", "");
    let azure = |more: Value| {
        let mut params = json!({"model": "azure/my-rt", "api_version": "2024-10-01-preview"});
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config(&[]).entry(entry("a", &base, params)).start()
    };
    for (more, expected) in [
        (json!({}), "/openai/v1/realtime?model=my-rt"),
        (
            json!({"realtime_protocol": "beta"}),
            "/openai/realtime?api-version=2024-10-01-preview&deployment=my-rt",
        ),
    ] {
        let hale = azure(more);
        let (mut socket, _) = open(&hale).unwrap();
        socket.close(None).unwrap();
        upstream.next_end();
        let (path, head) = upstream.heads().pop().unwrap();
        assert_eq!((&*path, text(&head, "api-key")), (expected, Some(UPSTREAM_KEY)));
        assert!(head.get("authorization").is_none());
    }
}

#[test]
fn a_client_of_the_beta_protocol_decides_where_the_config_does_not() {
    let upstream = SocketUpstream::echo();
    let base = upstream.api_base().replace("/v1", "");
    let general = "/openai/v1/realtime?model=my-rt";
    let beta = "/openai/realtime?api-version=2024-10-01-preview&deployment=my-rt";
    let own = format!("Bearer {KEY}");
    let hidden = format!("realtime, openai-insecure-api-key.{KEY}, openai-beta.realtime-v1");
    let header = [("authorization", &*own), ("openai-beta", "realtime=v1")];
    let protocol = [("sec-websocket-protocol", &*hidden)];
    let other = [("authorization", &*own), ("openai-beta", "assistants=v2")];
    for (protocol_of_config, more, expected) in [
        (json!(null), &header[..], beta),
        (json!(null), &protocol[..], beta),
        (json!(null), &other[..], general),
        (json!("GA"), &header[..], general),
        (json!("beta"), &other[..], beta),
    ] {
        let mut params = json!({"model": "azure/my-rt", "api_version": "2024-10-01-preview"});
        params["realtime_protocol"] = protocol_of_config.clone();
        let hale = config(&[]).entry(entry("a", &base, params)).start();
        let (mut socket, _) = open_with(&hale, "/v1/realtime?model=m", more).expect(expected);
        socket.close(None).unwrap();
        upstream.next_end();
        let (path, _) = upstream.heads().pop().unwrap();
        assert_eq!(path, expected, "{protocol_of_config} {more:?}");
    }
}

#[test]
fn a_pattern_requests_the_model_that_was_named() {
    let upstream = SocketUpstream::echo();
    let mut any = entry("a", &upstream.api_base(), json!({"model": "openai/*"}));
    any["model_name"] = json!("openai/*");
    let hale = Config::new().entry(any).general(json!({"request_log": LOG})).start();
    let own = [("authorization", &*format!("Bearer {KEY}"))];
    let path = "/v1/realtime?model=openai%2Fgpt-realtime";
    let (mut socket, _) = open_with(&hale, path, &own).unwrap();
    socket.close(None).unwrap();
    upstream.next_end();
    assert_eq!(upstream.heads()[0].0, "/v1/realtime?model=gpt-realtime");
}

#[test]
fn a_probe_is_a_handshake_and_nothing_more() {
    let upstream = SocketUpstream::echo();
    let mut checked = entry("a", &upstream.api_base(), json!({}));
    checked["model_info"]["mode"] = json!("realtime");
    let hale = Config::new().entry(checked).start();
    let (status, page) = health(&hale, "");
    let found = listed(&page, "a").unwrap();
    assert_eq!((status, &found["status"]), (200, &json!("healthy")), "{found}");
    assert_eq!(upstream.next_end(), "1000 ");
    assert_eq!(upstream.heads()[0].0, "/v1/realtime?model=gpt-realtime");
    assert_eq!(metric(&hale, "hale_probe_cost_usd_total", &[]), 0.0);

    let model = json!({"model": "openai/gpt-4o-transcribe"});
    let mut checked = entry("a", &upstream.api_base(), model);
    checked["model_info"]["mode"] = json!("realtime");
    health(&Config::new().entry(checked).start(), "");
    let (path, _) = upstream.heads().pop().unwrap();
    assert_eq!(path, "/v1/realtime?model=gpt-4o-transcribe&intent=transcription");

    type Refuse = fn(&hale_testkit::Request) -> Script;
    let rows: [(Refuse, &str); 5] = [
        (|_| Script::error(401, "Incorrect API key provided"), "auth"),
        (|_| Script::error(404, "The model does not exist"), "not_found"),
        (|_| Script::error(426, "upgrade"), "bad_response"),
        (|_| Script::ok().json(&json!({})), "bad_response"),
        (|request| switching(request, Some("AAAA"), "").silence(), "bad_response"),
    ];
    for (refuse, cause) in rows {
        let upstream = FakeUpstream::with(refuse);
        let mut checked = entry("a", &upstream.api_base(), json!({}));
        checked["model_info"]["mode"] = json!("realtime");
        let (_, page) = health(&Config::new().entry(checked).start(), "");
        let found = listed(&page, "a").unwrap();
        assert_eq!(
            (&found["status"], &found["cause"]),
            (&json!("unhealthy"), &json!(cause)),
            "{found}"
        );
    }
}
