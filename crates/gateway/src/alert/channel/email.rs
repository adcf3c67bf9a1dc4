//! Emails: a mail server is told the message, by SMTP.
//!
//! Called by [`super::send`]. Written by hand rather than with a library: what Hale needs of SMTP is one plain text from one
//! sender, in the words of RFC 5321, and a library for that brings parsers and message builders of ten times the size. Always
//! true: it ends within [`LIMIT`]; a password leaves over TLS, or where the config says that there is none; no text of
//! others becomes a header or a line of the conversation.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hale_core::incident::{Message, Smtp, SmtpTls};
use hale_core::secret::Secret;
use hale_wire::errors::clean;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::cut;
use crate::alert::post::Refused;
use crate::{clock, upstream};

/// How long a message may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Longest line of an answer, bytes, and most lines.
const LINE_MAX: u64 = 2_000;
const LINES_MAX: usize = 100;
/// Longest reason of a failure, characters.
const WORDS_MAX: usize = 300;
/// Longest subject, characters.
const SUBJECT_MAX: usize = 200;

/// Sends it.
///
/// # Errors
/// Why the server did not take it.
pub(super) async fn send(smtp: &Smtp, message: &Message) -> Result<(), Refused> {
    let place = format!("{}:{}", smtp.host, smtp.port);
    match tokio::time::timeout(LIMIT, deliver(smtp, message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(Refused::because(format!("{place}: {}", shown(smtp, why)))),
        Err(_) => {
            let seconds = LIMIT.as_secs();
            Err(Refused::because(format!("{place} does not answer within {seconds} s")))
        }
    }
}

/// `why` without what the server repeats of the login.
fn shown(smtp: &Smtp, mut why: String) -> String {
    if let (Some(user), Some(password)) = (&smtp.username, &smtp.password) {
        let plain = password.expose();
        let coded = [base64(plain.as_bytes()), login(user, plain)];
        // Before it is cut: of a credential that is cut its begin would stay.
        for secret in coded.iter().map(|text| Secret::new(text)).chain([password.clone()]) {
            secret.hide_in(&mut why);
        }
    }
    clean(&why, WORDS_MAX)
}

/// User and password as `AUTH PLAIN` takes them.
fn login(user: &str, password: &str) -> String {
    base64(format!("\0{user}\0{password}").as_bytes())
}

fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

async fn deliver(smtp: &Smtp, message: &Message) -> Result<(), String> {
    let connecting = TcpStream::connect((&*smtp.host, smtp.port));
    let stream = connecting.await.map_err(|error| format!("no connection: {error}"))?;
    match smtp.tls {
        SmtpTls::Implicit => {
            let mut session = Session::of(encrypted(&smtp.host, stream).await?);
            session.greeting().await?;
            let offers = session.hello().await?;
            session.mail(smtp, &offers, message).await
        }
        SmtpTls::StartTls => {
            let mut session = Session::of(stream);
            session.greeting().await?;
            session.hello().await?;
            let hint = "; with SMTP_TLS=false it is sent without encryption";
            session.say("STARTTLS", 2).await.map_err(|why| format!("{why}{hint}"))?;
            let stream = session.stream.into_inner();
            let mut session = Session::of(encrypted(&smtp.host, stream).await?);
            let offers = session.hello().await?;
            session.mail(smtp, &offers, message).await
        }
        SmtpTls::None => {
            let mut session = Session::of(stream);
            session.greeting().await?;
            let offers = session.hello().await?;
            session.mail(smtp, &offers, message).await
        }
    }
}

async fn encrypted(host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(upstream::roots())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host} is no name for a certificate"))?;
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.map_err(|error| format!("the TLS handshake failed: {error}"))
}

/// A conversation with a mail server.
struct Session<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn of(stream: S) -> Session<S> {
        Session { stream: BufReader::new(stream) }
    }

    async fn greeting(&mut self) -> Result<(), String> {
        self.answer(2, "it does not greet").await.map(drop)
    }

    /// What the server offers, in capital letters.
    async fn hello(&mut self) -> Result<String, String> {
        Ok(self.say("EHLO localhost", 2).await?.to_ascii_uppercase())
    }

    /// Says a line; what the server answers, whose code must begin with `class`.
    async fn say(&mut self, line: &str, class: u8) -> Result<String, String> {
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.answer(class, &format!("it refuses {verb}")).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let stream = self.stream.get_mut();
        let written = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        written.await.map_err(|error| format!("the connection broke: {error}"))
    }

    async fn answer(&mut self, class: u8, else_what: &str) -> Result<String, String> {
        let mut all = String::new();
        for _ in 0..LINES_MAX {
            let mut line = Vec::new();
            let mut limited = (&mut self.stream).take(LINE_MAX);
            let read = limited.read_until(b'\n', &mut line).await;
            read.map_err(|error| format!("the connection broke: {error}"))?;
            let text = String::from_utf8_lossy(&line);
            if !text.ends_with('\n') {
                return Err("the connection ended, or a line is too long".to_owned());
            }
            all.push_str(text.get(4..).unwrap_or_default());
            if text.as_bytes().get(3) != Some(&b'-') {
                let is_right = text.as_bytes().first().is_some_and(|code| *code == b'0' + class);
                let said = text.trim();
                return if is_right { Ok(all) } else { Err(format!("{else_what}: {said}")) };
            }
        }
        Err("its answer has too many lines".to_owned())
    }

    async fn mail(&mut self, smtp: &Smtp, offers: &str, message: &Message) -> Result<(), String> {
        if let (Some(user), Some(password)) = (&smtp.username, &smtp.password) {
            let password = password.expose();
            if offers.contains("PLAIN") || !offers.contains("LOGIN") {
                let plain = login(user, password);
                self.say(&format!("AUTH PLAIN {plain}"), 2).await?;
            } else {
                self.say("AUTH LOGIN", 3).await?;
                let told = [base64(user.as_bytes()), base64(password.as_bytes())];
                self.write(format!("{}\r\n", told[0]).as_bytes()).await?;
                self.answer(3, "it refuses the user").await?;
                self.write(format!("{}\r\n", told[1]).as_bytes()).await?;
                self.answer(2, "it refuses the password").await?;
            }
        }
        self.say(&format!("MAIL FROM:<{}>", smtp.from), 2).await?;
        for receiver in &smtp.to {
            self.say(&format!("RCPT TO:<{receiver}>"), 2).await?;
        }
        self.say("DATA", 3).await?;
        self.write(letter(smtp, message).as_bytes()).await?;
        self.answer(2, "it refuses the message").await?;
        // The message is taken; how the server says goodbye is of no interest.
        let _gone: Result<String, String> = self.say("QUIT", 2).await;
        Ok(())
    }
}

/// The message with its headers, and the dot at its end. Base64 has no line that begins with a dot.
fn letter(smtp: &Smtp, message: &Message) -> String {
    let title = cut(&message.title, SUBJECT_MAX);
    let severity =
        message.kind.map_or(String::new(), |_| format!("[{}] ", message.severity.name()));
    let id = &message.incident_id;
    let now = i64::try_from(clock::unix_ms() / 1_000).unwrap_or_default();
    let date = jiff::Timestamp::from_second(now).unwrap_or_default();
    let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let body = base64(message.text().replace('\n', "\r\n").as_bytes());
    let lines: Vec<&str> =
        body.as_bytes().chunks(76).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    // Messages of an incident are one conversation.
    let thread = match &**id {
        "" => String::new(),
        id => format!("References: <{id}@hale>\r\n"),
    };
    format!(
        "From: Hale <{}>\r\nTo: {}\r\nSubject: {}\r\nDate: {date}\r\nMessage-ID: <{id}.{}.{now}@hale>\r\n{thread}\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
         Auto-Submitted: auto-generated\r\n\r\n{}\r\n.\r\n",
        smtp.from,
        smtp.to.join(", "),
        encoded(&format!("{severity}{title}")),
        message.event.name(),
        lines.join("\r\n"),
    )
}

/// A header's text as RFC 2047 writes it, so that any text is one.
fn encoded(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for letter in text.chars() {
        // A line with an encoded word has 76 characters at most, and a word holds whole letters.
        if word.len() + letter.len_utf8() > 36 {
            words.push(std::mem::take(&mut word));
        }
        word.push(letter);
    }
    words.push(word);
    let words = words.iter().map(|word| format!("=?utf-8?B?{}?=", base64(word.as_bytes())));
    words.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use hale_core::incident::Event;

    use super::*;

    #[test]
    fn no_text_of_others_becomes_a_header_or_the_end_of_the_message() {
        let smtp = Smtp {
            host: "h".into(),
            port: 25,
            tls: SmtpTls::None,
            username: None,
            password: None,
            from: "hale@example.org".into(),
            to: vec!["a@example.org".into(), "b@example.org".into()],
        };
        let evil = "down\r\nBcc: x@evil.example\r\n\r\n.\r\nMAIL FROM:<x>";
        let mut message = Message::apart(Event::Test, evil, 0);
        message.words = evil.into();
        let text = letter(&smtp, &message);
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!headers.contains("evil") && !body.contains("evil"), "{text}");
        assert!(headers.lines().all(|line| line.len() <= 76), "{headers}");
        assert_eq!(body.matches("\r\n.\r\n").count(), 1);
        assert!(headers.contains("To: a@example.org, b@example.org\r\nSubject: =?utf-8?B?"));
    }

    #[test]
    fn long_subjects_are_folded_between_letters() {
        let folded = encoded(&"ü".repeat(60));
        assert_eq!(folded.lines().count(), 4, "{folded}");
        assert!(folded.lines().all(|line| line.trim().ends_with("?=") && line.len() < 78));
    }
}
