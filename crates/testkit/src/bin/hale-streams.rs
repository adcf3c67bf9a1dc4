//! Many streams at once: a paced load, which `wrk` cannot make.
//!
//! Started by `bench/run`, once for each proxy in turn.
//! Always true: what it prints is one JSON line a result, and an incomplete stream is counted as bad.
//!
//! `hale-streams --address A --path P --key K --body FILE --streams N [--hold]`. Without `--hold` it opens
//! all streams at once, reads them to their end and prints counts and the gaps between events. With
//! it, it opens them in waves, prints a line when each has had its first event, and keeps them
//! until its standard input ends.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

/// The longest silence after which a stream counts as bad.
const SILENCE: Duration = Duration::from_secs(20);
/// Streams that are opened together with `--hold`, so that no accept queue overflows.
const WAVE: usize = 50;

struct Options {
    address: SocketAddr,
    request: Vec<u8>,
    streams: usize,
    hold: bool,
}

/// What one stream gave.
#[derive(Default)]
struct Report {
    events: u64,
    complete: bool,
    /// When the first content came; 0 if none did.
    content_us: u64,
    gaps_us: Vec<u64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hale-streams: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let options = Rc::new(options(std::env::args().skip(1))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async move {
        if options.hold { hold(&options).await } else { drain(&options).await }
    }))
}

fn options(mut args: impl Iterator<Item = String>) -> io::Result<Options> {
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let mut given = HashMap::new();
    let mut hold = false;
    while let Some(name) = args.next() {
        if name == "--hold" {
            hold = true;
            continue;
        }
        let value = args.next().ok_or_else(|| wrong(format!("{name} needs a value")))?;
        given.insert(name, value);
    }
    let get = |name: &str| given.get(name).ok_or_else(|| wrong(format!("{name} is missing")));
    let (address, path, key) = (get("--address")?, get("--path")?, get("--key")?);
    let body = std::fs::read(get("--body")?)?;
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    Ok(Options {
        address: address.parse().map_err(|_| wrong(format!("--address {address}")))?,
        request,
        streams: get("--streams")?.parse().map_err(|_| wrong("--streams".to_owned()))?,
        hold,
    })
}

/// Opens all streams at once, reads them to the end and prints what came.
async fn drain(options: &Rc<Options>) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..options.streams {
        let options = Rc::clone(options);
        tasks.spawn_local(async move { read_one(&options).await });
    }
    let mut reports = Vec::with_capacity(options.streams);
    let mut errors = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done.map_err(io::Error::other)? {
            Ok(report) => reports.push(report),
            Err(error) => errors.push(error.to_string()),
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let complete = reports.iter().filter(|report| report.complete).count();
    let mut gaps: Vec<u64> = reports.iter().flat_map(|report| report.gaps_us.clone()).collect();
    let mut contents: Vec<u64> = reports.iter().map(|report| report.content_us).collect();
    let result = serde_json::json!({
        "streams": options.streams,
        "complete": complete,
        "errors": errors.len(),
        "error": errors.first(),
        "events": reports.iter().map(|report| report.events).sum::<u64>(),
        "seconds": seconds,
        "gap_us": percentiles(&mut gaps),
        "content_us": percentiles(&mut contents),
    });
    println!("{result}");
    Ok(())
}

/// Opens all streams in waves, says so, and keeps them until standard input ends.
async fn hold(options: &Rc<Options>) -> io::Result<()> {
    let mut open = Vec::with_capacity(options.streams);
    while open.len() < options.streams {
        let mut wave = JoinSet::new();
        for _ in 0..WAVE.min(options.streams - open.len()) {
            let options = Rc::clone(options);
            wave.spawn_local(async move { open_one(&options).await });
        }
        while let Some(done) = wave.join_next().await {
            open.push(done.map_err(io::Error::other)??);
        }
    }
    println!("{}", serde_json::json!({"open": open.len()}));
    // Meanwhile nothing is read: events are few and small enough for the socket buffers.
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

async fn open_one(options: &Options) -> io::Result<Stream> {
    let mut stream = Stream::open(options).await?;
    while stream.events == 0 {
        if !stream.read().await? {
            return Err(io::Error::other("a stream ended before its first event"));
        }
    }
    Ok(stream)
}

async fn read_one(options: &Options) -> io::Result<Report> {
    let start = Instant::now();
    let mut stream = Stream::open(options).await?;
    let mut report = Report::default();
    let mut last: Option<Instant> = None;
    while stream.read().await? {
        if stream.has_content && report.content_us == 0 {
            report.content_us = micros(start.elapsed());
        }
        let new = stream.events - report.events;
        if new == 0 {
            continue;
        }
        let now = Instant::now();
        if let Some(last) = last {
            report.gaps_us.push(micros(now - last));
        }
        // Events that came together have no gap between them.
        report.gaps_us.extend((1..new).map(|_| 0));
        last = Some(now);
        report.events = stream.events;
    }
    report.events = stream.events;
    report.complete = stream.done;
    Ok(report)
}

/// A response with chunked framing, of which events are counted and nothing is kept.
struct Stream {
    stream: TcpStream,
    buffer: Vec<u8>,
    in_body: bool,
    chunk_left: usize,
    newline: bool,
    events: u64,
    /// Whether a text that is not empty has come, and the last bytes before it has.
    has_content: bool,
    recent: Vec<u8>,
    done: bool,
}

impl Stream {
    async fn open(options: &Options) -> io::Result<Self> {
        let mut stream = TcpStream::connect(options.address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&options.request).await?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            in_body: false,
            chunk_left: 0,
            newline: false,
            events: 0,
            has_content: false,
            recent: Vec::new(),
            done: false,
        })
    }

    /// Reads what is there; false at the end of the response or of the connection.
    async fn read(&mut self) -> io::Result<bool> {
        if self.done {
            return Ok(false);
        }
        self.buffer.reserve(1024);
        let read = self.stream.read_buf(&mut self.buffer);
        if timeout(SILENCE, read).await.map_err(io::Error::other)?? == 0 {
            return Ok(false);
        }
        self.take()?;
        Ok(true)
    }

    fn take(&mut self) -> io::Result<()> {
        let mut at = 0;
        if !self.in_body {
            let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") else { return Ok(()) };
            let head = String::from_utf8_lossy(&self.buffer).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") || !head.contains("transfer-encoding: chunked") {
                return Err(io::Error::other(format!("not a 200 in chunks: {head}")));
            }
            (self.in_body, at) = (true, end + 4);
        }
        while let Some(tail) = self.buffer.get(at..).filter(|tail| !tail.is_empty()) {
            if self.chunk_left == 0 {
                // The size line, with the line end of the chunk before it.
                let skip = if tail.starts_with(b"\r\n") { 2 } else { 0 };
                let Some(end) = tail.get(skip..).and_then(|tail| memmem::find(tail, b"\r\n"))
                else {
                    break;
                };
                let size = tail.get(skip..skip + end).and_then(|it| std::str::from_utf8(it).ok());
                let size = size.and_then(|it| usize::from_str_radix(it.trim(), 16).ok());
                self.chunk_left = size.ok_or_else(|| io::Error::other("not a chunk size"))?;
                self.done = self.chunk_left == 0;
                at += skip + end + 2;
                if self.done {
                    break;
                }
                continue;
            }
            let count = tail.len().min(self.chunk_left);
            let piece = tail.get(..count).unwrap_or_default();
            if !self.has_content {
                self.has_content = finds_content(&mut self.recent, piece);
            }
            let (events, newline) = count_events(piece, self.newline);
            self.events += events;
            self.newline = newline;
            self.chunk_left -= count;
            at += count;
        }
        self.buffer.drain(..at);
        Ok(())
    }
}

/// Empty lines in these bytes, and whether they end in a line feed.
fn count_events(bytes: &[u8], mut newline: bool) -> (u64, bool) {
    let mut events = 0;
    for byte in bytes {
        if *byte == b'\n' {
            events += u64::from(newline);
            newline = !newline;
        } else {
            newline = false;
        }
    }
    (events, newline)
}

/// Whether a text that is not empty begins in `piece`, or in the bytes before it, of which `recent` has the last.
fn finds_content(recent: &mut Vec<u8>, piece: &[u8]) -> bool {
    const KEY: &[u8] = b"\"content\":\"";
    recent.extend_from_slice(piece);
    let found = memmem::find_iter(recent, KEY)
        .any(|at| recent.get(at + KEY.len()).is_some_and(|byte| *byte != b'"'));
    let kept = recent.len().saturating_sub(KEY.len());
    recent.drain(..kept);
    found
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn percentiles(values: &mut [u64]) -> serde_json::Value {
    values.sort_unstable();
    let at =
        |percent: usize| values.get((values.len() * percent / 100).min(values.len().max(1) - 1));
    serde_json::json!({"p50": at(50), "p99": at(99), "max": values.last()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_across_cuts() {
        assert_eq!(count_events(b"data: a\n\ndata: b\n", false), (1, true));
        assert_eq!(count_events(b"\ndata: c\n\n", true), (2, false));
    }

    #[test]
    fn content_is_a_text_that_is_not_empty_across_cuts() {
        let whole = b"{\"delta\":{\"content\":\"\"}} {\"delta\":{\"content\":\"a\"}}";
        for cut in 0..whole.len() {
            let mut recent = Vec::new();
            let first = finds_content(&mut recent, &whole[..cut]);
            assert!(first || finds_content(&mut recent, &whole[cut..]), "{cut}");
        }
        assert!(!finds_content(&mut Vec::new(), &whole[..28]));
    }

    #[test]
    fn percentiles_of_nothing_are_null() {
        assert_eq!(percentiles(&mut [])["p50"], serde_json::Value::Null);
        assert_eq!(percentiles(&mut [3, 1, 2])["p50"], 2);
    }
}
