//! Request bodies that come compressed: unpacked within the bounds, for every operation, and never a way to fill the memory.

use hale_testkit::{FakeUpstream, Hale, Response, Script, anthropic, forms, openai, responses};
use serde_json::{Value, json};

use crate::bodies::{MIB, forget_peak, status};
use crate::packed::{deflate, gzip, zstd};
use crate::support::{
    CHAT, Config, UPSTREAM_KEY, chat, client, expect_error, lone, metric, wait_until_idle,
};

/// `{"model":"m","messages":[{"role":"user","content":"hi"}]}` and 2 MiB of `x`, as Node's `brotliCompressSync` writes them.
const BR_CHAT: &[u8] = &[
    0x1b, 0x38, 0x00, 0x40, 0x1c, 0x07, 0x76, 0x8c, 0xb3, 0x85, 0x39, 0x1c, 0x6c, 0xe7, 0xb5, 0xc8,
    0x5e, 0xda, 0xd6, 0x68, 0x6b, 0x16, 0x9d, 0xae, 0x3e, 0xe0, 0x90, 0x03, 0xa7, 0x03, 0x65, 0x6d,
    0x81, 0x7c, 0x5e, 0x67, 0x36, 0x1d, 0x96, 0x84, 0x7a, 0x82, 0x3c, 0xb9, 0x64, 0x96, 0x4c, 0x03,
    0x80, 0xc5, 0x77, 0xef, 0x06,
];
const BR_BOMB: &[u8] =
    &[0x9b, 0xff, 0xff, 0x1f, 0xf8, 0x25, 0xf0, 0xe2, 0xb1, 0x40, 0x20, 0xf7, 0xfe, 0x03];

type Pack = fn(&[u8]) -> Vec<u8>;
const CODINGS: [(&str, Pack); 3] = [("gzip", gzip), ("deflate", deflate), ("zstd", zstd)];

#[track_caller]
fn send(hale: &Hale, path: &str, coding: &str, body: &[u8]) -> Response {
    let headers = [("content-type", "application/json"), ("content-encoding", coding)];
    client(hale).request("POST", path, &headers, body)
}

fn wires(upstream: &FakeUpstream) -> Hale {
    let claude = json!({
        "model_name": "claude", "model_info": {"id": "c"},
        "litellm_params": {"model": "anthropic/x", "api_base": upstream.url(), "api_key": UPSTREAM_KEY},
    });
    Config::new().deployment("m", "a", upstream).entry(claude).start()
}

#[test]
fn a_compressed_body_means_what_it_means_plain() {
    let upstream = FakeUpstream::with(|request| match &*request.path {
        "/v1/messages" => Script::ok().json(&anthropic::message("x", "ok")),
        "/v1/responses" => Script::ok().json(&responses::response("m", "ok")),
        "/v1/audio/transcriptions" => forms::answer(request),
        _ => openai::answer(request),
    });
    let hale = wires(&upstream);
    let hi = json!([{"role": "user", "content": "hi"}]);
    for (coding, pack) in CODINGS {
        for (path, body) in [
            (CHAT, json!({"model": "m", "messages": hi})),
            (CHAT, json!({"model": "m", "messages": hi, "stream": true})),
            ("/v1/messages", json!({"model": "claude", "messages": hi, "max_tokens": 9})),
            ("/v1/responses", json!({"model": "m", "input": "hi"})),
        ] {
            let before = upstream.state().requests.len();
            let answer = send(&hale, path, coding, &pack(body.to_string().as_bytes()));
            assert_eq!(answer.status, 200, "{coding} {path}: {}", answer.text());
            let sent = &upstream.state().requests[before];
            assert!(sent.header("content-encoding").is_none(), "{coding} {path}");
            let field = if path.ends_with("responses") { "input" } else { "messages" };
            assert_eq!(sent.json()[field], body[field], "{coding} {path}");
        }
        let asked = json!({"model": "m", "operation": "chat"}).to_string();
        let explained = send(&hale, "/router/explain", coding, &pack(asked.as_bytes()));
        assert_eq!(explained.status, 200, "{}", explained.text());
        let parts = [("file", Some("a.wav"), &b"RIFF"[..]), ("model", None, &b"m"[..])];
        let kind = forms::content_type();
        let headers = [("content-type", &*kind), ("content-encoding", coding)];
        let form = pack(&forms::form(&parts));
        let answer = client(&hale).request("POST", "/v1/audio/transcriptions", &headers, &form);
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
    }
    let answer = send(&hale, CHAT, "br", BR_CHAT);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(send(&hale, CHAT, "Identity", br#"{"model":"m","messages":[{}]}"#).status, 200);
}

#[test]
fn a_body_that_grows_a_thousand_times_is_refused_by_name() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    chat(&hale, "m");
    let before = status(&hale, "VmRSS");
    forget_peak(&hale);
    let large = vec![b' '; 12 << 20];
    let bombs: Vec<_> = CODINGS.iter().map(|(coding, pack)| (*coding, pack(&large))).collect();
    for (coding, bomb) in bombs.iter().map(|(c, b)| (*c, &b[..])).chain([("br", BR_BOMB)]) {
        let answer = send(&hale, CHAT, coding, bomb);
        let error = expect_error(&answer, 413, "body_grows_too_much");
        assert_eq!(error["param"], "content-encoding");
        assert!(error["message"].as_str().unwrap().contains("send it plain"), "{error}");
    }
    let peak = status(&hale, "VmHWM").saturating_sub(before);
    assert!(peak < 6 * MIB, "{peak} bytes for {} bytes of bombs", bombs[0].1.len());
    wait_until_idle(&hale);
    assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    assert_eq!(upstream.state().requests.len(), 1);
}

#[test]
fn both_forms_of_a_body_are_within_the_size_of_requests() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).general(json!({"max_request_size_mb": 1})).start();
    // Text that becomes a tenth, so that its growth is no reason.
    let words: String = (0..260_000).map(|number| format!("{number} ")).collect();
    let body = openai::chat_request("m", &words).to_string();
    for (coding, pack) in CODINGS {
        let packed = pack(body.as_bytes());
        assert!(packed.len() < 1 << 20 && body.len() > 1 << 20);
        expect_error(&send(&hale, CHAT, coding, &packed), 413, "body_too_large");
        let long = [packed, vec![0; 1 << 20]].concat();
        expect_error(&send(&hale, CHAT, coding, &long), 413, "body_too_large");
        let cut = pack(openai::chat_request("m", "hi").to_string().as_bytes());
        let error = expect_error(
            &send(&hale, CHAT, coding, &cut[..cut.len() - 3]),
            400,
            "invalid_encoding",
        );
        assert!(error["message"].as_str().unwrap().contains(coding), "{error}");
    }
    assert_eq!(send(&hale, CHAT, "gzip", b"").status, 400, "an empty body stays an empty body");
    assert_eq!(upstream.state().opened(), 0);
}

#[test]
fn a_compressed_body_costs_four_times_what_it_unpacks_to() {
    let upstream = FakeUpstream::start();
    let hale = lone(&upstream).start();
    chat(&hale, "m");
    let words: String = (0..200_000).map(|number| format!("{number} ")).collect();
    let body = openai::chat_request("m", &words).to_string();
    for (coding, pack) in CODINGS {
        let packed = pack(body.as_bytes());
        let before = status(&hale, "VmRSS");
        forget_peak(&hale);
        let answer = send(&hale, CHAT, coding, &packed);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let peak = status(&hale, "VmHWM").saturating_sub(before);
        assert!(peak <= 4 * body.len() as u64 + MIB, "{coding}: {peak} for {}", body.len());
        wait_until_idle(&hale);
        assert_eq!(metric(&hale, "hale_buffered_bytes", &[]), 0.0);
    }
}

#[test]
fn errors_for_an_unknown_coding_have_the_format_of_the_client() {
    let upstream = FakeUpstream::start();
    let hale = wires(&upstream);
    let answer = send(&hale, "/v1/messages", "lzma", b"x");
    assert_eq!(answer.status, 415, "{}", answer.text());
    let error: Value = answer.json();
    assert_eq!(error["type"], "error");
    assert!(error["error"]["message"].as_str().unwrap().contains("gzip, deflate, br and zstd"));
}
