//! The upstream of the benchmark: answers from memory on one thread, for as little CPU as possible.
//!
//! Started by `bench/run` with `--port N` (0: any) and used through both proxies in turn.
//! Always true: the base of the path decides how a stream is paced, so that no proxy must tell it.
//!
//! * `/full/v1/chat/completions`: 20 events at once, in one write;
//! * `/paced/v1/chat/completions`: 200 events, one each 5 ms, each in its own write;
//! * `/idle/v1/chat/completions`: an event at once, then one each 10 s;
//! * `/claude/v1/messages`: the Anthropic format, 20 events at once;
//! * `/limited/v1/chat/completions`: always 429, with five minutes to wait.
//!
//! Without `"stream":true` in the body each of the others answers a small JSON completion.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use memchr::memmem;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// What a request may hold at most.
const MAX_REQUEST: usize = 64 << 20;
const FULL_EVENTS: usize = 20;
const PACED_EVENTS: usize = 200;
const PACED_GAP: Duration = Duration::from_millis(5);
const IDLE_GAP: Duration = Duration::from_secs(10);

/// Every answer, ready to be written.
struct Answers {
    json: Vec<u8>,
    limited: Vec<u8>,
    message: Vec<u8>,
    messages: Vec<u8>,
    full: Vec<u8>,
    full_with_usage: Vec<u8>,
    head: Vec<u8>,
    events: Vec<Vec<u8>>,
    usage: Vec<u8>,
    end: Vec<u8>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Json,
    Limited,
    Message,
    Messages,
    Full,
    Paced,
    Idle,
    /// Framing that is not read here: the benchmark would measure nonsense.
    Unreadable,
}

/// A request, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    wish: Wish,
    usage: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hale-upstream: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let port = port(std::env::args().skip(1))?;
    // One for the whole life of the process, shared by every connection.
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = listen(port)?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // An error is a peer that left; the connection is over either way.
            tokio::spawn(async move { drop(serve(stream, answers).await) });
        }
    })
}

fn port(mut args: impl Iterator<Item = String>) -> io::Result<u16> {
    let port = match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--port"), Some(port), None) => port.parse().ok(),
        _ => None,
    };
    port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "usage: hale-upstream --port N"))
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn serve(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    while let Some(asked) = next_request(&mut stream, &mut buffer).await? {
        match asked.wish {
            Wish::Json => stream.write_all(&answers.json).await?,
            Wish::Limited => stream.write_all(&answers.limited).await?,
            Wish::Message => stream.write_all(&answers.message).await?,
            Wish::Messages => stream.write_all(&answers.messages).await?,
            Wish::Full if asked.usage => stream.write_all(&answers.full_with_usage).await?,
            Wish::Full => stream.write_all(&answers.full).await?,
            Wish::Paced => paced(&mut stream, answers, asked.usage).await?,
            Wish::Idle => idle(&mut stream, answers).await?,
            Wish::Unreadable => {
                let refusal = b"HTTP/1.1 411 Length Required\r\ncontent-length: 0\r\n\r\n";
                return stream.write_all(refusal).await;
            }
        }
    }
    Ok(())
}

/// Reads one request; `None` at the end of the connection.
async fn next_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Asked>> {
    loop {
        if let Some((asked, length)) = parse(buffer) {
            buffer.drain(..length.min(buffer.len()));
            return Ok(Some(asked));
        }
        if buffer.len() > MAX_REQUEST || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The request at the front of the buffer and its length in bytes, if it is all there.
fn parse(buffer: &[u8]) -> Option<(Asked, usize)> {
    let head_length = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let head = buffer.get(..head_length)?;
    if header(head, b"transfer-encoding:").is_some() {
        return Some((Asked { wish: Wish::Unreadable, usage: false }, buffer.len()));
    }
    let length = header(head, b"content-length:")
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse().ok())
        .unwrap_or(0);
    let body = buffer.get(head_length..head_length + length)?;
    let stream = has(body, b"\"stream\":true") || has(body, b"\"stream\": true");
    let usage = has(body, b"\"include_usage\":true") || has(body, b"\"include_usage\": true");
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let wish = match stream {
        _ if target.starts_with(b"/limited/") => Wish::Limited,
        true if target.starts_with(b"/claude/") => Wish::Messages,
        false if target.starts_with(b"/claude/") => Wish::Message,
        false => Wish::Json,
        true if target.starts_with(b"/paced/") => Wish::Paced,
        true if target.starts_with(b"/idle/") => Wish::Idle,
        true => Wish::Full,
    };
    Some((Asked { wish, usage }, head_length + length))
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn has(body: &[u8], text: &[u8]) -> bool {
    memmem::find(body, text).is_some()
}

async fn paced(stream: &mut TcpStream, answers: &Answers, usage: bool) -> io::Result<()> {
    stream.write_all(&answers.head).await?;
    let mut next = Instant::now();
    for event in &answers.events {
        stream.write_all(event).await?;
        // Late events must not catch up: they would merge into one packet.
        next = (next + PACED_GAP).max(Instant::now());
        sleep_until(next).await;
    }
    if usage {
        stream.write_all(&answers.usage).await?;
    }
    stream.write_all(&answers.end).await
}

async fn idle(stream: &mut TcpStream, answers: &Answers) -> io::Result<()> {
    stream.write_all(&answers.head).await?;
    let mut unwanted = [0; 64];
    for event in answers.events.iter().skip(1).cycle() {
        stream.write_all(event).await?;
        let next = Instant::now() + IDLE_GAP;
        tokio::select! {
            () = sleep_until(next) => {}
            // Nothing is to come but the end of the connection.
            read = stream.read(&mut unwanted) => return read.map(drop),
        }
    }
    Ok(())
}

impl Answers {
    fn new() -> Self {
        let full_answer = |json: &str| {
            format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                 x-request-id: req_0123456789abcdef\r\ncontent-length: {}\r\n\r\n{json}",
                json.len()
            )
            .into_bytes()
        };
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                     cache-control: no-cache\r\nx-request-id: req_0123456789abcdef\r\n\
                     transfer-encoding: chunked\r\n\r\n"
            .to_vec();
        let usage = framed(&event(
            "[]",
            r#"{"prompt_tokens":182,"completion_tokens":20,"total_tokens":202}"#,
        ));
        let mut end = framed("data: [DONE]\n\n");
        end.extend_from_slice(b"0\r\n\r\n");
        let whole = [head.clone(), stream_of(FULL_EVENTS).concat()].concat();
        Self {
            json: full_answer(&completion()),
            limited: limited(),
            message: full_answer(&message()),
            messages: [head.clone(), message_events().concat(), b"0\r\n\r\n".to_vec()].concat(),
            full: [whole.clone(), end.clone()].concat(),
            full_with_usage: [whole, usage.clone(), end.clone()].concat(),
            head,
            events: stream_of(PACED_EVENTS),
            usage,
            end,
        }
    }
}

/// A refusal that names five minutes.
fn limited() -> Vec<u8> {
    let json = r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#;
    let length = json.len();
    format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 300\r\n\
         content-length: {length}\r\n\r\n{json}"
    )
    .into_bytes()
}

/// So many events, each framed as a chunk: a role, contents, a finish reason.
fn stream_of(count: usize) -> Vec<Vec<u8>> {
    let choice = |number: usize| {
        match number {
        0 => r#"{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null"#.to_owned(),
        last if last + 1 == count => r#"{},"logprobs":null,"finish_reason":"stop""#.to_owned(),
        _ => format!(r#"{{"content":" word{number:03}"}},"logprobs":null,"finish_reason":null"#),
    }
    };
    (0..count)
        .map(|number| {
            framed(&event(&format!(r#"[{{"index":0,"delta":{}}}]"#, choice(number)), "null"))
        })
        .collect()
}

fn event(choices: &str, usage: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-A1b2C3d4E5f6G7h8I9j0K1l2M3n4O\",\"object\":\"chat.completion.chunk\",\
         \"created\":1700000000,\"model\":\"gpt-4o-mini-2024-07-18\",\
         \"system_fingerprint\":\"fp_0123456789\",\"choices\":{choices},\"usage\":{usage}}}\n\n"
    )
}

fn framed(event: &str) -> Vec<u8> {
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

fn completion() -> String {
    let text = "A gateway forwards each request to a deployment that is well. ".repeat(5);
    format!(
        "{{\"id\":\"chatcmpl-A1b2C3d4E5f6G7h8I9j0K1l2M3n4O\",\"object\":\"chat.completion\",\
         \"created\":1700000000,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{{\"index\":0,\
         \"message\":{{\"role\":\"assistant\",\"content\":\"{text}\",\"refusal\":null}},\
         \"logprobs\":null,\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":182,\
         \"completion_tokens\":60,\"total_tokens\":242,\"prompt_tokens_details\":\
         {{\"cached_tokens\":0,\"audio_tokens\":0}}}},\"service_tier\":\"default\",\
         \"system_fingerprint\":\"fp_0123456789\"}}"
    )
}

/// The same in the Anthropic format.
fn message() -> String {
    let text = "A gateway forwards each request to a deployment that is well. ".repeat(5);
    format!(
        "{{\"id\":\"msg_01A1b2C3d4E5f6G7h8I9j0K1l2\",\"type\":\"message\",\"role\":\"assistant\",\
         \"model\":\"claude-haiku-4-5-20251001\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}],\
         \"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{{\"input_tokens\":182,\
         \"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":60,\
         \"service_tier\":\"standard\"}}}}"
    )
}

/// As many events as the other format's stream has, each framed as a chunk.
fn message_events() -> Vec<Vec<u8>> {
    let event = |name: &str, tail: &str| {
        framed(&format!("event: {name}\ndata: {{\"type\":\"{name}\",{tail}}}\n\n"))
    };
    let start = r#""message":{"id":"msg_01A1b2C3d4E5f6G7h8I9j0K1l2","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":182,"output_tokens":1}}"#;
    let block = r#""index":0,"content_block":{"type":"text","text":""}"#;
    let end =
        r#""delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":20}"#;
    let mut events = vec![event("message_start", start), event("content_block_start", block)];
    for number in 0..FULL_EVENTS - 5 {
        let delta =
            format!(r#""index":0,"delta":{{"type":"text_delta","text":" word{number:03}"}}"#);
        events.push(event("content_block_delta", &delta));
    }
    events.push(event("content_block_stop", r#""index":0"#));
    events.push(event("message_delta", end));
    events.push(framed("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str, body: &str) -> Option<(Asked, usize)> {
        let length = body.len();
        let text = format!("POST {target} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
        parse(text.as_bytes())
    }

    #[test]
    fn the_path_decides_the_pace_and_the_body_whether_it_streams() {
        let wish = |target, body| asked(target, body).unwrap().0.wish;
        assert_eq!(wish("/paced/v1/chat/completions", "{}"), Wish::Json);
        assert_eq!(wish("/full/v1/chat/completions", "{\"stream\": true}"), Wish::Full);
        assert_eq!(wish("/paced/v1/chat/completions", "{\"stream\":true}"), Wish::Paced);
        assert_eq!(wish("/idle/v1/chat/completions", "{\"stream\":true}"), Wish::Idle);
        assert_eq!(wish("/claude/v1/messages", "{\"stream\":true}"), Wish::Messages);
        assert_eq!(wish("/claude/v1/messages", "{}"), Wish::Message);
        assert_eq!(wish("/limited/v1/chat/completions", "{}"), Wish::Limited);
    }

    #[test]
    fn a_request_is_taken_only_when_it_is_whole() {
        let text = b"POST /full/v1 HTTP/1.1\r\nHost: a\r\ncontent-length: 4\r\n\r\nabcdGET";
        for cut in 0..text.len() - 3 {
            assert_eq!(parse(&text[..cut]), None);
        }
        assert_eq!(parse(text).unwrap().1, text.len() - 3);
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().0.wish, Wish::Unreadable);
    }

    #[test]
    fn the_answers_are_well_formed_and_of_the_promised_size() {
        let json = completion();
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        assert!((600..=1000).contains(&json.len()), "{}", json.len());
        assert!(serde_json::from_str::<serde_json::Value>(&message()).is_ok());
        assert_eq!(message_events().len(), FULL_EVENTS);
        let answers = Answers::new();
        assert_eq!(
            (answers.events.len(), memmem::find_iter(&answers.full, "data: {").count()),
            (200, 20)
        );
        for bytes in answers.events.iter().chain([&answers.usage]).chain(&message_events()) {
            let text = std::str::from_utf8(bytes).unwrap();
            let data = text.split_once("data: ").unwrap().1.trim();
            assert!(serde_json::from_str::<serde_json::Value>(data).is_ok(), "{text}");
        }
    }
}
