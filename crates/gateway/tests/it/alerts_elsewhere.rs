//! Alerts about what is not a deployment, and channels that are encrypted: the store, Redis, mail servers.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use hale_testkit::{FakeUpstream, Launch, Redis, Script, TIMEOUT, TempDir};
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Config, chat, client, eventually, lone, within};
use crate::tidy;

fn receiver() -> FakeUpstream {
    FakeUpstream::with(|_| Script::ok().body("text/plain", "ok"))
}

/// A config that tells `channel`, with times of milliseconds.
fn telling(config: Config, channel: &str) -> Config {
    let args = json!({
        "collect_s": 0.1, "settle_s": 0.1, "away_s": 0.2, "email_to": ["ops@example.org"],
    });
    config.general(json!({"alerting": [channel], "alerting_args": args}))
}

/// The messages about incidents of that kind.
fn told(hook: &FakeUpstream, kind: &str) -> Vec<Value> {
    let all = hook.requests().into_iter().map(|request| request.json());
    all.filter(|one| one["kind"] == kind).collect()
}

#[track_caller]
fn until_told(hook: &FakeUpstream, kind: &str, count: usize) -> Vec<Value> {
    within(TIMEOUT * 2, "it is told", || Some(told(hook, kind)).filter(|all| all.len() >= count))
}

#[test]
fn a_redis_that_is_gone_is_told_and_over_when_it_is_back_and_requests_go_on() {
    let (redis, upstream, hook) = (Redis::start(), FakeUpstream::start(), receiver());
    let config = telling(lone(&upstream), "webhook").router(json!({"redis_url": redis.url()}));
    let hale = config.launch().env("WEBHOOK_URL", &hook.url()).start();
    eventually("it is shared", || {
        let page = client(&hale).get("/health/readiness").json();
        (page["sharing"]["mode"] == "shared").then_some(())
    });
    redis.signal("-STOP");
    let opened = until_told(&hook, "redis_trouble", 1).remove(0);
    assert_eq!(
        (&opened["event"], &opened["severity"]),
        (&json!("incident_opened"), &json!("warning"))
    );
    assert_eq!(opened["title"], "Redis is not reached");
    assert!(opened["fix"].as_str().unwrap().contains("docs/fleet.md"), "{opened}");
    assert_eq!(chat(&hale, "m").status, 200);
    redis.signal("-CONT");
    let all = until_told(&hook, "redis_trouble", 2);
    assert_eq!(all[1]["event"], "incident_resolved");
    assert_eq!(all[1]["incident_id"], opened["incident_id"]);
}

#[test]
fn a_store_that_is_away_is_told_and_over_when_it_is_back_and_requests_go_on() {
    let (upstream, hook, directory) = (FakeUpstream::start(), receiver(), TempDir::new());
    let config = telling(lone(&upstream), "webhook");
    let hale = config
        .launch()
        .env("WEBHOOK_URL", &hook.url())
        .env("HALE_DATA_DIR", directory.path().to_str().unwrap())
        .start();
    assert_eq!(chat(&hale, "m").status, 200);
    let file = directory.path().join("hale.db");
    eventually("the store is open", || {
        (client(&hale).get("/health/readiness").json()["db"] == "connected").then_some(())
    });
    // What is at its place now is no database.
    for end in ["", "-wal", "-shm"] {
        let mut name = file.clone().into_os_string();
        name.push(end);
        drop(std::fs::remove_file(name));
    }
    std::fs::write(&file, "something else, and no database at all").unwrap();
    let opened = until_told(&hook, "store_trouble", 1).remove(0);
    assert_eq!(opened["event"], "incident_opened");
    assert!(opened["title"].as_str().unwrap().starts_with("the store has trouble"), "{opened}");
    assert!(!opened["provider_message"].as_str().unwrap().is_empty(), "{opened}");
    assert_eq!(chat(&hale, "m").status, 200);
    std::fs::remove_file(&file).unwrap();
    let all = until_told(&hook, "store_trouble", 2);
    assert_eq!(all[1]["event"], "incident_resolved");
    assert_eq!(all[1]["incident_id"], opened["incident_id"]);
}

/// How a mail server encrypts.
#[derive(Clone, Copy, PartialEq)]
enum Encrypts {
    AtOnce,
    After,
}

/// A mail server at an encrypted connection; the lines of each conversation, those of before the encryption with a mark.
fn mail_server(encrypts: Encrypts, certificate: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let file = tidy::root().join("testdata/tls").join(certificate);
    let chain = CertificateDer::pem_file_iter(&file).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&file).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, lines) = (listener.local_addr().unwrap().port(), Arc::default());
    let said: Arc<Mutex<Vec<String>>> = Arc::clone(&lines);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if encrypts == Encrypts::After && !until_encrypted(&mut stream, &said) {
                continue;
            }
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut secure = StreamOwned::new(session, stream);
            if encrypts == Encrypts::AtOnce && secure.write_all(b"220 mail.example\r\n").is_err() {
                continue;
            }
            converse(&mut secure, &said);
        }
    });
    (port, lines)
}

/// The conversation before the encryption; whether it came to that.
fn until_encrypted(stream: &mut TcpStream, said: &Mutex<Vec<String>>) -> bool {
    stream.write_all(b"220 mail.example\r\n").unwrap();
    loop {
        let line = line_of(stream);
        said.lock().push(format!("in the open: {line}"));
        match line.split(' ').next().unwrap() {
            "EHLO" => stream.write_all(b"250-mail.example\r\n250 STARTTLS\r\n").unwrap(),
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").unwrap();
                return true;
            }
            _ => return false,
        }
    }
}

/// One line, and no byte behind it: what follows is TLS.
fn line_of(stream: &mut TcpStream) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => line.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

fn converse(secure: &mut StreamOwned<ServerConnection, TcpStream>, said: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(secure);
    let mut is_data = false;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_owned();
        said.lock().push(line.clone());
        let answer = match line.split([' ', ':']).next().unwrap() {
            "." => "250 taken",
            _ if is_data => continue,
            "EHLO" => "250-mail.example\r\n250 AUTH LOGIN",
            "AUTH" => "334 VXNlcm5hbWU6",
            "aGFsZQ==" => "334 UGFzc3dvcmQ6",
            "czNjcmV0LXBhc3N3b3Jk" => "235 ok",
            "DATA" => "354 go on",
            _ => "250 ok",
        };
        is_data = line == "DATA" || (is_data && line != ".");
        if reader.get_mut().write_all(format!("{answer}\r\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// A gateway that tells this mail server, whose certificates it trusts.
fn mailing(upstream: &FakeUpstream, port: u16, tls: &str) -> Launch {
    let root = tidy::root().join("testdata/tls/root.pem");
    let config = telling(lone(upstream), "email").router(json!({"num_retries": 0}));
    config
        .launch()
        .env("SSL_CERT_FILE", root.to_str().unwrap())
        .env("SMTP_HOST", "localhost")
        .env("SMTP_PORT", &port.to_string())
        .env("SMTP_TLS", tls)
        .env("SMTP_USERNAME", "hale")
        .env("SMTP_PASSWORD", "s3cret-password")
        .env("SMTP_SENDER_EMAIL", "hale@example.org")
}

#[test]
fn an_email_goes_by_starttls_or_encrypted_from_the_first_byte_and_its_login_is_never_in_the_open() {
    for (encrypts, tls, in_the_open) in [
        (Encrypts::After, "true", &["EHLO localhost", "STARTTLS"][..]),
        (Encrypts::AtOnce, "implicit", &[]),
    ] {
        let upstream = FakeUpstream::start();
        let (port, lines) = mail_server(encrypts, "good.pem");
        let hale = mailing(&upstream, port, tls).start();
        upstream.answer_with(|_| Script::error(500, "on fire"));
        let all = eventually("the mail is taken", || {
            chat(&hale, "m");
            let lines = lines.lock().clone();
            lines.iter().any(|line| line == "QUIT").then_some(lines)
        });
        let open: Vec<&str> =
            all.iter().filter_map(|line| line.strip_prefix("in the open: ")).collect();
        assert_eq!(open, in_the_open, "{tls}");
        for line in ["AUTH LOGIN", "MAIL FROM:<hale@example.org>", "RCPT TO:<ops@example.org>"] {
            assert!(all.iter().any(|one| one == line), "{tls}, {line}: {all:#?}");
        }
        assert!(!hale.stderr().contains("s3cret-password"));
    }
}

#[test]
fn a_mail_server_whose_certificate_is_not_trusted_or_that_offers_no_encryption_gets_no_login() {
    let upstream = FakeUpstream::start();
    upstream.answer_with(|_| Script::error(500, "on fire"));
    for (certificate, says) in [("self-signed.pem", "TLS"), ("elsewhere.pem", "TLS")] {
        let (port, lines) = mail_server(Encrypts::After, certificate);
        let hale = mailing(&upstream, port, "true").start();
        let line = within(TIMEOUT, "it is refused", || {
            chat(&hale, "m");
            let text = hale.stderr();
            let found = text.lines().find(|line| line.contains("a message was not taken"));
            found.map(str::to_owned)
        });
        assert!(line.contains(says) && line.contains("localhost"), "{line}");
        let said = lines.lock().clone();
        assert!(said.iter().all(|line| line.starts_with("in the open: ")), "{said:#?}");
        assert!(!said.iter().any(|line| line.contains("AUTH")), "{said:#?}");
    }
}
