//! TLS to clients: what is served over it, what is refused, and a certificate that changes.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use hale_testkit::{FakeUpstream, Launch, Script, openai};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::support::{CHAT, Config, KEY, eventually, lone};
use crate::tidy;

/// The certificate in the directory of the process.
const PAIR: &str = "pair.pem";

fn testdata(name: &str) -> String {
    fs::read_to_string(tidy::root().join("testdata/tls").join(name)).unwrap()
}

/// A gateway with this certificate, not started yet.
fn secured(config: &Config, pair: &str) -> Launch {
    let launch = config.launch().file(PAIR, &testdata(pair));
    launch.arg("--ssl_certfile_path").arg(PAIR).arg("--ssl_keyfile_path").arg(PAIR)
}

/// A session with the gateway as `localhost`, whose certificate is verified.
fn connect(address: SocketAddr) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    let root = testdata("root.pem");
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(address)?;
    session.complete_io(&mut stream)?;
    Ok(StreamOwned::new(session, stream))
}

/// Sends a chat request.
fn send(to: &mut impl Write, body: &Value, connection: &str) {
    let body = body.to_string();
    write!(
        to,
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         connection: {connection}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    to.flush().unwrap();
}

/// Reads to `end`.
fn read_to(from: &mut impl Read, end: &str) -> String {
    let mut seen = Vec::new();
    let mut piece = [0; 1024];
    while !String::from_utf8_lossy(&seen).contains(end) {
        let count = from.read(&mut piece).unwrap();
        assert!(count > 0, "no {end:?} in {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(seen).unwrap()
}

#[test]
fn answers_and_streams_leave_over_tls_on_one_connection_which_ends_in_order() {
    let upstream = FakeUpstream::start();
    let hale = secured(&lone(&upstream), "good.pem").start();
    hale.wait_for_line("listening on https://127.0.0.1:");
    let mut session = connect(hale.address()).unwrap();
    assert_eq!(session.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let long = "x".repeat(200_000);
    send(&mut session, &openai::chat_request("m", &long), "keep-alive");
    let answer = read_to(&mut session, "\"usage\"");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(upstream.request(0).text().contains(&long));
    send(&mut session, &openai::stream_request("m", "hi"), "close");
    let mut tail = String::new();
    // An end without the closing message of TLS would be an error here.
    session.read_to_string(&mut tail).unwrap();
    assert!(tail.contains("data: [DONE]"), "{tail}");
    assert_eq!(upstream.requests().len(), 2);
}

#[test]
fn a_request_in_plain_text_is_told_to_use_https_and_reaches_nothing() {
    let upstream = FakeUpstream::start();
    let hale = secured(&lone(&upstream), "good.pem").start();
    let mut plain = TcpStream::connect(hale.address()).unwrap();
    send(&mut plain, &openai::chat_request("m", "hi"), "keep-alive");
    let answer = read_to(&mut plain, "tls_required");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    // Neither bytes that are no TLS nor a client that says nothing and goes harm others.
    TcpStream::connect(hale.address()).unwrap().write_all(b"\x16\x03\x01 nonsense").unwrap();
    drop(TcpStream::connect(hale.address()).unwrap());
    let mut session = connect(hale.address()).unwrap();
    send(&mut session, &openai::chat_request("m", "hi"), "close");
    read_to(&mut session, "\"usage\"");
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn a_client_that_leaves_in_the_middle_releases_the_upstream() {
    let begun =
        || Script::ok().stream().event(&openai::content_chunk("gpt-4o", "one ")).wait("never");
    let upstream = FakeUpstream::scripted([begun(), begun()]);
    let hale = secured(&lone(&upstream), "good.pem").start();
    for politely in [true, false] {
        let mut session = connect(hale.address()).unwrap();
        send(&mut session, &openai::stream_request("m", "hi"), "keep-alive");
        read_to(&mut session, "one ");
        if politely {
            session.conn.send_close_notify();
            session.flush().unwrap();
        }
        drop(session);
        eventually("the upstream is released", || (upstream.state().open() == 0).then_some(()));
    }
}

#[test]
fn a_changed_certificate_is_used_for_new_connections_and_a_broken_one_is_not() {
    let upstream = FakeUpstream::start();
    let hale = secured(&lone(&upstream), "good.pem").start();
    let mut before = connect(hale.address()).unwrap();
    let put = |name: &str| fs::write(hale.dir().join(PAIR), testdata(name)).unwrap();
    put("root.pem");
    let line = hale.wait_for_line("the certificate in use stays");
    assert!(line.contains("pair.pem has no private key"), "{line}");
    connect(hale.address()).unwrap();
    // It is for another name, so that its use shows.
    put("elsewhere.pem");
    hale.wait_for_line("the certificate was read again");
    let refused = connect(hale.address()).err().unwrap().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    send(&mut before, &openai::chat_request("m", "hi"), "close");
    read_to(&mut before, "\"usage\"");
}

#[test]
fn files_that_cannot_be_served_refuse_the_start() {
    let upstream = FakeUpstream::start();
    let config = lone(&upstream);
    let with = |arguments: &[&str]| {
        let launch = config.launch().file(PAIR, &testdata("good.pem"));
        let launch = launch.file("locked.pem", &testdata("encrypted-aes256-sha256.pem"));
        arguments.iter().fold(launch, |launch, argument| launch.arg(*argument))
    };
    for (arguments, part) in [
        (&["--ssl_certfile_path", PAIR][..], "--ssl_certfile_path needs --ssl_keyfile_path"),
        (&["--ssl-keyfile-path", PAIR], "--ssl_keyfile_path needs --ssl_certfile_path"),
        (&["--ssl_keyfile_password", "s"], "--ssl_keyfile_password needs --ssl_certfile_path"),
        (&["--ciphers", "ALL"], "cipher suites cannot be chosen"),
        (&["--ssl_certfile_path", "no.pem", "--ssl_keyfile_path", PAIR], "no.pem cannot be read"),
        (
            &["--ssl_certfile_path", PAIR, "--ssl_keyfile_path", "locked.pem"],
            "locked.pem is encrypted; give its password by --ssl_keyfile_password",
        ),
    ] {
        let config = ["--config", "config.yaml", "--port", "0"];
        let ended = with(&[arguments, &config].concat()).run();
        assert_eq!(ended.code(), Some(78), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("listening"), "{}", ended.stderr);
    }
    let by_environment = with(&[])
        .env("SSL_CERTFILE_PATH", PAIR)
        .env("SSL_KEYFILE_PATH", "locked.pem")
        .env("SSL_KEYFILE_PASSWORD", "secret")
        .start();
    connect(by_environment.address()).unwrap();
    assert!(!by_environment.stderr().contains("secret"), "{}", by_environment.stderr());
}
