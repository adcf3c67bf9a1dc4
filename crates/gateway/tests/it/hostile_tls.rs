//! TLS upstreams that are not what they should be: F18.
//!
//! Always true: the reason is named, the request goes nowhere, and nothing is tried without TLS. The
//! certificates are those of `testdata/tls`, made by the script there.

use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use hale_testkit::{FakeUpstream, Hale, openai};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::hostile_table::{quoted, rows};
use crate::support::{Config, chat, expect_error};
use crate::tidy;

/// What a server does with each connection.
pub(crate) enum Server {
    /// TLS with this certificate.
    With(&'static str),
    /// Answers the hello with these bytes, or closes when there are none.
    Says(&'static [u8]),
    /// Sends nothing.
    Silent,
}
use Server::{Says, Silent, With};

/// A `ServerHello` that chooses TLS 1.0 and a cipher suite of its time, all-zero random.
const TLS_1_0: &[u8] = b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01\
    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x00\x00\x2f\x00";
/// The fatal alert `handshake_failure`.
pub(crate) const REFUSAL: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

/// The cause and message of the attempt.
struct Expected(&'static [&'static str]);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "502 `tls`: {}", quoted(self.0))
    }
}

/// A running server: its port, and what it read in the clear or inside its session.
pub(crate) fn start(server: Server) -> (u16, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::channel();
    let config = match &server {
        With(certificate) => Some(Arc::new(server_config(certificate))),
        Says(_) | Silent => None,
    };
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let got = match (&server, &config) {
                (Says(bytes), _) => said(stream, bytes),
                (_, Some(config)) => secured(stream, config.clone()),
                _ => held(stream),
            };
            // The test may be over.
            drop(sender.send(got));
        }
    });
    (port, receiver)
}

fn server_config(certificate: &str) -> ServerConfig {
    let file = tidy::root().join("testdata/tls").join(certificate);
    let chain = CertificateDer::pem_file_iter(&file).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&file).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// Serves one request, if it gets one.
fn secured(stream: TcpStream, config: Arc<ServerConfig>) -> Vec<u8> {
    let mut session = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut bytes = vec![0; 65_536];
    let count = session.read(&mut bytes).unwrap_or(0);
    bytes.truncate(count);
    if count > 0 {
        let body = openai::chat_completion("gpt-4o", "secret").to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length";
        drop(write!(session, "{head}: {}\r\n\r\n{body}", body.len()));
        drop(session.flush());
    }
    bytes
}

fn said(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut hello = vec![0; 4096];
    let count = stream.read(&mut hello).unwrap_or(0);
    hello.truncate(count);
    if bytes.is_empty() {
        return hello;
    }
    drop(stream.write_all(bytes));
    let mut tail = Vec::new();
    drop(stream.read_to_end(&mut tail));
    hello.extend(tail);
    hello
}

fn held(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    drop(stream.read_to_end(&mut all));
    all
}

/// A gateway whose only deployment is that server, and which trusts the root of the tests.
fn gateway(port: u16, trusted: bool) -> Hale {
    let unused = FakeUpstream::start();
    let base = json!({"api_base": format!("https://localhost:{port}/v1"), "num_retries": 0});
    let launch = Config::new().with("m", "a", &unused, base).launch();
    let root = tidy::root().join("testdata/tls/root.pem");
    let launch = if trusted { launch.env("SSL_CERT_FILE", root.to_str().unwrap()) } else { launch };
    launch.start()
}

#[track_caller]
fn check((server, trusted): (Server, bool), expected: &Expected) {
    let (port, got) = start(server);
    let hale = gateway(port, trusted);
    let answer = chat(&hale, "m");
    let error = expect_error(&answer, 502, "upstream_failed");
    assert_eq!(error["attempts"][0]["cause"], "tls", "{error}");
    let said = error["attempts"][0]["message"].as_str().unwrap();
    assert!(said.contains("the TLS handshake failed: "), "{said}");
    for part in expected.0 {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    // One connection, and no request in it, neither inside the session nor in the clear.
    drop(hale);
    let all: Vec<Vec<u8>> = got.try_iter().collect();
    for bytes in all {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains("POST") && !text.contains("Bearer"), "{text}");
    }
}

rows! {
    "F18" an_expired_certificate_is_named "an expired certificate":
        (With("expired.pem"), true) => Expected(&["invalid peer certificate: certificate expired"]);
    "F18" a_certificate_of_the_future_is_named "a certificate that is not valid yet":
        (With("early.pem"), true) => Expected(&["invalid peer certificate: certificate not valid yet"]);
    "F18" a_certificate_for_another_name_is_named "a certificate for another name":
        (With("elsewhere.pem"), true) => Expected(&["certificate not valid for name \"localhost\"", "elsewhere.example"]);
    "F18" a_self_signed_certificate_is_named "a self-signed certificate":
        (With("self-signed.pem"), true) => Expected(&["invalid peer certificate: UnknownIssuer"]);
    "F18" an_unknown_root_is_named "a root that this machine does not know":
        (With("good.pem"), false) => Expected(&["invalid peer certificate: UnknownIssuer"]);
    "F18" a_certificate_for_another_purpose_is_named "a certificate for clients":
        (With("client.pem"), true) => Expected(&["certificate does not allow extended key usage"]);
    "F18" tls_1_0_is_refused "a server that speaks TLS 1.0 only":
        (Says(TLS_1_0), true) => Expected(&["peer is incompatible"]);
    "F18" a_refused_handshake_is_named "a server that refuses the handshake":
        (Says(REFUSAL), true) => Expected(&["received fatal alert"]);
    "F18" a_handshake_that_ends_is_named "a server that closes in the handshake":
        (Says(b""), true) => Expected(&["tls handshake eof"]);
    "F18" a_handshake_that_stalls_is_named "a server that says nothing":
        (Silent, true) => Expected(&["the server did not finish it within 5 s"]);
}

#[test]
fn a_good_certificate_of_a_trusted_root_is_accepted() {
    let (port, got) = start(With("good.pem"));
    let hale = gateway(port, true);
    let answer = chat(&hale, "m");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = String::from_utf8_lossy(&got.recv().unwrap()).into_owned();
    assert!(sent.starts_with("POST /v1/chat/completions"), "{sent}");
}
