//! Bytes that are not HTTP, or HTTP that can be read in two ways: rows 39, 54, 56, 57 and 76.
//!
//! Always true: never more than one answer, that answer refuses, the connection ends, and nothing of
//! what followed on it is served.

use std::fmt;

use hale_testkit::{FakeUpstream, openai};
use serde_json::json;

use crate::hostile_table::rows;
use crate::support::{CHAT, KEY, chat, lone, metric};

/// How a connection ends.
enum Expected {
    /// With this status, this `reason`, and nothing else. Without a reason: the answer has no body, as what came is
    /// not HTTP.
    Refused(u16, &'static str),
    /// With the answer to the first request, read by its chunks.
    Served,
    /// Without an answer.
    Closed,
}
use Expected::{Closed, Refused, Served};

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused(status, "") => {
                write!(f, "{status} without a body, and the connection is closed")
            }
            Refused(status, reason) => {
                write!(f, "{status} `{reason}`, and the connection is closed")
            }
            Served => f.write_str("served by its chunks, and the connection is closed"),
            Closed => f.write_str("the connection is closed without a word"),
        }
    }
}

/// A chat request framed like this, with a second request behind it that must not be served.
fn framed(framing: &str, tail: &str) -> Vec<u8> {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n{framing}\r\n\r\n{tail}{}",
        smuggled()
    )
    .into_bytes()
}

fn smuggled() -> String {
    format!("GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n\r\n")
}

fn body() -> String {
    openai::chat_request("m", "hi").to_string()
}

/// The body of a chat request in two chunks.
fn chunked() -> String {
    let body = body();
    let (one, two) = body.split_at(10);
    format!("a\r\n{one}\r\n{:x}\r\n{two}\r\n0\r\n\r\n", two.len())
}

/// A GET whose head is `lines`.
fn head(lines: &str) -> Vec<u8> {
    format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {KEY}\r\n{lines}\r\n{}", smuggled())
        .into_bytes()
}

fn bytes(text: &str) -> Vec<u8> {
    format!("{text}{}", smuggled()).into_bytes()
}

/// A request whose body never ends, for the limits of time.
fn unfinished(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[track_caller]
fn check(given: Vec<u8>, expected: &Expected) {
    let upstream = FakeUpstream::start();
    let limits = json!({
        "max_header_bytes": 16384, "header_read_timeout_s": 0.3, "body_read_timeout_s": 0.3,
    });
    let hale = lone(&upstream).general(limits).start();
    let mut client = hale.client();
    // The gateway may have closed before everything was sent.
    drop(client.send_raw(&given));
    let answer = client.read_to_end().expect("the gateway closes");
    let text = String::from_utf8_lossy(&answer);
    match expected {
        Refused(status, reason) => {
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            match *reason {
                "" => assert_eq!(body, ""),
                reason => assert!(body.contains(&format!(r#""reason":"{reason}""#)), "{text}"),
            }
        }
        Served => {
            assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
            assert_eq!(upstream.request(0).model(), "gpt-4o");
        }
        Closed => assert_eq!(text, ""),
    }
    assert!(!text.contains(r#""object":"list""#), "the second request was served: {text}");
    assert_eq!(upstream.state().opened(), usize::from(matches!(expected, Served)));
    assert_eq!(chat(&hale, "m").status, 200);
    assert_eq!(metric(&hale, "hale_panics_total", &[]), 0.0);
}

rows! {
    "39" a_key_of_a_mebibyte_is_refused "a key of 1 MiB":
        head(&format!("host: x\r\nx-api-key: {}\r\n", "k".repeat(1 << 20))) => Refused(431, "");
    "54" a_length_beside_chunks_does_not_count "`Content-Length` beside `Transfer-Encoding`, which wins (RFC 9112)":
        framed("content-length: 5\r\ntransfer-encoding: chunked", &chunked()) => Served;
    "54" a_length_after_chunks_does_not_count "`Transfer-Encoding` before two lengths":
        framed("transfer-encoding: chunked\r\ncontent-length: 0\r\ncontent-length: 900", &chunked()) => Served;
    "54" a_length_that_is_no_number_is_refused_beside_chunks "an invalid length beside `Transfer-Encoding`":
        framed("content-length: 5, 6\r\ntransfer-encoding: chunked", &chunked()) => Refused(400, "");
    "54" a_length_beside_no_chunks_is_refused "a length beside `Transfer-Encoding` and an empty body":
        framed("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n") => Refused(400, "empty_body");
    "54" two_lengths_are_refused "two different lengths":
        framed(&format!("content-length: {}\r\ncontent-length: {}", body().len(), body().len() + 1), &body()) => Refused(400, "");
    "54" a_list_of_lengths_is_refused "`Content-Length: 5, 6`":
        framed("content-length: 5, 6", "hello") => Refused(400, "");
    "54" a_negative_length_is_refused "a negative length":
        framed("content-length: -1", "") => Refused(400, "");
    "54" a_signed_length_is_refused "`Content-Length: +5`":
        framed("content-length: +5", "hello") => Refused(400, "");
    "54" a_length_that_is_not_a_number_is_refused "`Content-Length: 1x`":
        framed("content-length: 1x", "x") => Refused(400, "");
    "54" a_length_beyond_64_bits_is_refused "a length beyond 64 bits":
        framed("content-length: 99999999999999999999999", "") => Refused(400, "");
    "54" another_transfer_encoding_is_refused "`Transfer-Encoding: gzip`":
        framed("transfer-encoding: gzip", &body()) => Refused(400, "");
    "54" chunked_must_be_last "`Transfer-Encoding: chunked, gzip`":
        framed("transfer-encoding: chunked, gzip", &body()) => Refused(400, "");
    "54" an_encoding_that_looks_like_chunked_is_refused "`Transfer-Encoding: xchunked`":
        framed("transfer-encoding: xchunked", "0\r\n\r\n") => Refused(400, "");
    "54" two_transfer_encodings_are_refused "two `Transfer-Encoding` headers":
        framed("transfer-encoding: chunked\r\ntransfer-encoding: identity", "0\r\n\r\n") => Refused(400, "");
    "54" chunks_that_are_named_twice_are_refused "`Transfer-Encoding: chunked` twice":
        framed("transfer-encoding: chunked\r\ntransfer-encoding: chunked", &chunked()) => Refused(400, "ambiguous_framing");
    "54" a_chunk_without_a_size_is_refused "a chunk without a size":
        framed("transfer-encoding: chunked", "zz\r\n") => Refused(400, "broken_body");
    "54" a_negative_chunk_is_refused "a negative chunk":
        framed("transfer-encoding: chunked", "-1\r\n\r\n") => Refused(400, "broken_body");
    "54" a_chunk_beyond_64_bits_is_refused "a chunk beyond 64 bits":
        framed("transfer-encoding: chunked", "fffffffffffffffff\r\n") => Refused(400, "broken_body");
    "54" a_chunk_that_is_longer_than_its_size_is_refused "a chunk longer than its size":
        framed("transfer-encoding: chunked", "3\r\nabcdef\r\n0\r\n\r\n") => Refused(400, "broken_body");
    "54" a_folded_header_is_refused "a header folded over two lines":
        head("host: x\r\nx-one: a\r\n b\r\n") => Refused(400, "");
    "54" a_space_before_the_colon_is_refused "a space before the colon":
        head("host: x\r\ntransfer-encoding : chunked\r\n") => Refused(400, "");
    "54" two_hosts_are_refused "two `Host` headers":
        head("host: x\r\nhost: y\r\n") => Refused(400, "ambiguous_framing");
    "54" no_host_is_refused "no `Host`":
        head("") => Refused(400, "ambiguous_framing");
    "56" a_nul_in_a_header_is_refused "a NUL in a header":
        head("host: x\r\nx-one: a\0b\r\n") => Refused(400, "");
    "56" a_header_without_a_colon_is_refused "a header without a colon":
        head("host: x\r\nbad header\r\n") => Refused(400, "");
    "56" a_space_in_the_path_is_refused "a space in the path":
        bytes("GET /a b HTTP/1.1\r\nhost: x\r\n\r\n") => Refused(400, "");
    "56" a_header_beyond_the_limit_is_refused "a header beyond `max_header_bytes`":
        head(&format!("host: x\r\nx-long: {}\r\n", "x".repeat(20_000))) => Refused(431, "");
    "56" too_many_headers_are_refused "300 headers":
        head(&format!("host: x\r\n{}", (0..300).map(|n| format!("x-{n}: 1\r\n")).collect::<String>())) => Refused(431, "");
    "56" a_path_beyond_the_limit_is_refused "a path of 70 000 characters":
        bytes(&format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "p".repeat(70_000))) => Refused(431, "");
    "57" a_head_that_stops_coming_is_closed "a head that stops coming (`header_read_timeout_s`)":
        unfinished("GET /v1/models HTTP/1.1\r\nhost: x\r\nx-one") => Closed;
    "57" a_body_that_stops_coming_is_refused "a body that stops coming (`body_read_timeout_s`)":
        unfinished(&format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 9\r\n\r\n{{"))
        => Refused(408, "slow_body");
    "76" tls_on_the_plain_port_is_refused "a TLS hello on the plain port":
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec() => Refused(400, "");
    "76" http_0_9_is_refused "HTTP/0.9":
        bytes("GET /v1/models\r\n\r\n") => Refused(400, "");
    "76" http_2_without_its_beginning_is_refused "HTTP/2 with prior knowledge":
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec() => Closed;
    "76" an_unknown_version_is_refused "HTTP/9.9":
        bytes("GET /v1/models HTTP/9.9\r\nhost: x\r\n\r\n") => Refused(400, "");
    "76" another_protocol_is_refused "an SSH greeting":
        bytes("SSH-2.0-OpenSSH_9.6\r\n") => Refused(400, "");
}
