//! Members of a group with configurable behaviour, for the benchmarks of health probes.
//!
//! Started by the scripts of `bench/` with `--port N` (0: any).
//! Always true: the path names the member (`/NAME/v1/...`), and its name up to the first dot is how it
//! begins; a line `NAME MOOD` on standard input changes it; `GET /counts` shows the requests of each member.
//!
//! With `--log` each request is a JSON line on standard output, at its moment. A request whose body has
//! [`TRAFFIC`] in it is traffic, every other one a probe.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use parking_lot::Mutex;
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// What real requests have in their text.
const TRAFFIC: &[u8] = b"real traffic";
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// What a request may hold at most.
const MAX_REQUEST: usize = 1 << 20;
/// How long a member that works takes, unless it is `ok`.
const WORK: Duration = Duration::from_millis(50);

/// How a member behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    /// Answers at once.
    Ok,
    /// Answers after [`WORK`].
    Works,
    /// Never answers.
    Silent,
    /// Closes instead of answering.
    Cuts,
    /// Answers 500.
    Fails,
    /// Answers 429.
    Limited,
    /// Answers `{}` under 200.
    Empty,
    /// Answers a page of HTML under 200.
    Html,
    /// Answers an error under 200.
    Error,
    /// Answers nothing, because the limit of tokens was reached.
    Length,
}

impl Mood {
    fn named(name: &str) -> Option<Mood> {
        let mood = match name {
            "ok" => Mood::Ok,
            "works" => Mood::Works,
            "silent" => Mood::Silent,
            "cuts" => Mood::Cuts,
            "fails" => Mood::Fails,
            "limited" => Mood::Limited,
            "empty" => Mood::Empty,
            "html" => Mood::Html,
            "error" => Mood::Error,
            "length" => Mood::Length,
            _ => return None,
        };
        Some(mood)
    }

    /// The bytes of its answer; `None` where there is none.
    fn answer(self) -> Option<Vec<u8>> {
        let failure = json!({"error": {"message": "simulated outage", "type": "server_error"}});
        let (status, kind, body) = match self {
            Mood::Ok | Mood::Works => ("200 OK", JSON, completion("stop", "Hello.")),
            Mood::Length => ("200 OK", JSON, completion("length", "")),
            Mood::Empty => ("200 OK", JSON, "{}".to_owned()),
            Mood::Error => ("200 OK", JSON, failure.to_string()),
            Mood::Html => ("200 OK", "text/html", "<html><body>Welcome</body></html>".to_owned()),
            Mood::Fails => ("500 Internal Server Error", JSON, failure.to_string()),
            Mood::Limited => ("429 Too Many Requests", JSON, failure.to_string()),
            Mood::Silent | Mood::Cuts => return None,
        };
        Some(message(status, kind, &body))
    }
}

const JSON: &str = "application/json";

fn message(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn completion(reason: &str, text: &str) -> String {
    json!({
        "id": "chatcmpl-member", "object": "chat.completion", "created": 1_700_000_000, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    })
    .to_string()
}

/// The requests of one member.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    checks: u64,
    traffic: u64,
}

#[derive(Default)]
struct Members {
    moods: HashMap<String, Mood>,
    counts: BTreeMap<String, Count>,
    /// Probes that wait for their answer, and their maximum.
    open: u64,
    open_max: u64,
}

impl Members {
    fn mood(&self, name: &str) -> Mood {
        let begins = || name.split('.').next().and_then(Mood::named);
        self.moods.get(name).copied().or_else(begins).unwrap_or(Mood::Ok)
    }

    fn page(&self) -> String {
        let members: serde_json::Map<_, _> = self
            .counts
            .iter()
            .map(|(name, it)| (name.clone(), json!({"checks": it.checks, "traffic": it.traffic})))
            .collect();
        json!({"open": self.open, "open_max": self.open_max, "members": members}).to_string()
    }
}

type Shared = Arc<Mutex<Members>>;

/// A probe that waits for its answer, counted until it is dropped.
struct Open<'m>(&'m Shared);

impl<'m> Open<'m> {
    fn new(members: &'m Shared) -> Open<'m> {
        let mut known = members.lock();
        known.open += 1;
        known.open_max = known.open_max.max(known.open);
        Open(members)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.lock().open -= 1;
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hale-members: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let (port, log) = options(std::env::args().skip(1))?;
    let members = Shared::default();
    let told = Arc::clone(&members);
    let (over, mut ended) = oneshot::channel();
    std::thread::spawn(move || {
        obey(&told);
        // The receiver is gone only if the process ends anyway.
        let _gone: Result<(), ()> = over.send(());
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = listen(port)?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = tokio::select! {
                accepted = listener.accept() => accepted?,
                _ = &mut ended => return Ok(()),
            };
            stream.set_nodelay(true)?;
            let members = Arc::clone(&members);
            // An error is a peer that left; the connection is over either way.
            tokio::spawn(async move { drop(serve(stream, &members, log).await) });
        }
    })
}

fn options(args: impl Iterator<Item = String>) -> io::Result<(u16, bool)> {
    let wrong =
        || io::Error::new(io::ErrorKind::InvalidInput, "usage: hale-members --port N [--log]");
    let args: Vec<String> = args.collect();
    let (port, log) = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--port", port] => (port.parse(), false),
        ["--port", port, "--log"] => (port.parse(), true),
        _ => return Err(wrong()),
    };
    Ok((port.map_err(|_| wrong())?, log))
}

/// On every address of the host, so that each member can have one of its own in 127.0.0.0/8.
fn listen(port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Changes moods as standard input says, to its end, with which the process ends.
fn obey(members: &Shared) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let told = line.split_once(' ').and_then(|(name, mood)| Some((name, Mood::named(mood)?)));
        match told {
            Some((name, mood)) => drop(members.lock().moods.insert(name.to_owned(), mood)),
            None => eprintln!("hale-members: not a member and a mood: {line}"),
        }
    }
}

async fn serve(mut stream: TcpStream, members: &Shared, log: bool) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    while let Some((name, is_probe)) = next_request(&mut stream, &mut buffer).await? {
        if name == "counts" {
            let page = members.lock().page();
            stream.write_all(&message("200 OK", JSON, &page)).await?;
            continue;
        }
        let mood = {
            let mut known = members.lock();
            let count = known.counts.entry(name.clone()).or_default();
            count.checks += u64::from(is_probe);
            count.traffic += u64::from(!is_probe);
            known.mood(&name)
        };
        if log {
            tell(&name, is_probe, mood)?;
        }
        let _open = is_probe.then(|| Open::new(members));
        if mood == Mood::Works {
            tokio::time::sleep(WORK).await;
        }
        match mood.answer() {
            Some(answer) => stream.write_all(&answer).await?,
            None if mood == Mood::Cuts => return Ok(()),
            None => {
                // Until the peer closes.
                while stream.read_buf(&mut buffer).await? > 0 {
                    buffer.clear();
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

fn tell(name: &str, is_probe: bool, mood: Mood) -> io::Result<()> {
    let mood = format!("{mood:?}").to_lowercase();
    let line = json!({"member": name, "check": is_probe, "mood": mood});
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The member of the next request, and whether it is a probe; `None` at the end of the connection.
async fn next_request(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<(String, bool)>> {
    loop {
        if let Some((name, is_probe, length)) = parse(buffer) {
            buffer.drain(..length);
            return Ok(Some((name, is_probe)));
        }
        if buffer.len() > MAX_REQUEST || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

/// The request at the front of the buffer and its length, if it is all there.
fn parse(buffer: &[u8]) -> Option<(String, bool, usize)> {
    let head_length = memmem::find(buffer, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(buffer.get(..head_length)?).to_ascii_lowercase();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0);
    let body = buffer.get(head_length..head_length + length)?;
    let name = head.split(' ').nth(1)?.split('/').nth(1)?.to_owned();
    Some((name, memmem::find(body, TRAFFIC).is_none(), head_length + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_when_it_is_all_there() {
        let text = b"POST /silent.3/v1/chat/completions HTTP/1.1\r\nContent-Length: 14\r\n\r\n\"real traffic\"";
        assert_eq!(parse(&text[..text.len() - 1]), None);
        assert_eq!(parse(text), Some(("silent.3".to_owned(), false, text.len())));
    }

    #[test]
    fn a_member_begins_as_its_name_says_and_changes_as_it_is_told() {
        let mut members = Members::default();
        assert_eq!(members.mood("silent.3"), Mood::Silent);
        assert_eq!(members.mood("a"), Mood::Ok);
        members.moods.insert("silent.3".to_owned(), Mood::Works);
        assert_eq!(members.mood("silent.3"), Mood::Works);
    }
}
