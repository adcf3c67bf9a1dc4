//! Requests at a steady rate over many connections: the load of `bench/health.py`.
//!
//! Always true: a request is due when its time has come, whatever the answers before it took, and its
//! latency counts from then, but for what the timer was late; an answer that is not a 200 is an error.
//!
//! `hale-load --address A --path P --key K --body FILE --connections N --rate R --seconds S` prints one
//! JSON line.
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
use tokio::time::{Instant, sleep_until, timeout};

/// The longest silence after which a request counts as lost.
const SILENCE: Duration = Duration::from_secs(20);

struct Options {
    address: SocketAddr,
    request: Vec<u8>,
    connections: u32,
    rate: f64,
    seconds: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hale-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let options = Rc::new(options(std::env::args().skip(1))?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, load(options))
}

fn options(mut args: impl Iterator<Item = String>) -> io::Result<Options> {
    let wrong = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let mut given = HashMap::new();
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| wrong(format!("{name} needs a value")))?;
        given.insert(name, value);
    }
    let get = |name: &str| given.get(name).ok_or_else(|| wrong(format!("{name} is missing")));
    let number = |name: &str| -> io::Result<f64> {
        get(name)?.parse().map_err(|_| wrong(format!("{name} is no number")))
    };
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
        connections: get("--connections")?.parse().map_err(|_| wrong("--connections".into()))?,
        rate: number("--rate")?,
        seconds: number("--seconds")?,
    })
}

async fn load(options: Rc<Options>) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    let start = Instant::now() + Duration::from_millis(100);
    for number in 0..options.connections {
        let options = Rc::clone(&options);
        tasks.spawn_local(async move { one(&options, start, number).await });
    }
    let (mut times, mut errors) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (some, error) = done.map_err(io::Error::other)?;
        times.extend(some);
        errors.extend(error);
    }
    times.sort_unstable();
    let at = |part: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let place = (times.len() as f64 * part) as usize;
        times.get(place.min(times.len().saturating_sub(1)))
    };
    let line = serde_json::json!({
        "requests": times.len(), "errors": errors.len(), "error": errors.first(),
        "p50_us": at(0.5), "p99_us": at(0.99), "max_us": times.last(),
    });
    println!("{line}");
    Ok(())
}

/// Every request of one connection: how long each took, and the error that ended it.
async fn one(options: &Options, start: Instant, number: u32) -> (Vec<u64>, Option<String>) {
    let mut times = Vec::new();
    let mut turn = number;
    let lost = async {
        let mut stream = TcpStream::connect(options.address).await?;
        stream.set_nodelay(true)?;
        loop {
            let due = f64::from(turn) / options.rate;
            if due >= options.seconds {
                return Ok(());
            }
            let due = start + Duration::from_secs_f64(due);
            let began = if Instant::now() < due {
                sleep_until(due).await;
                Instant::now()
            } else {
                due
            };
            timeout(SILENCE, ask(&mut stream, &options.request))
                .await
                .map_err(io::Error::other)??;
            times.push(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
            turn += options.connections;
        }
    }
    .await;
    (times, lost.err().map(|error: io::Error| error.to_string()))
}

async fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    stream.write_all(request).await?;
    let mut answer = Vec::with_capacity(4096);
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if missing(&answer)? == Some(0) {
            return Ok(());
        }
    }
}

/// How many bytes of the answer have not come; `None` while its head has not.
fn missing(answer: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = memmem::find(answer, b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let length: Option<usize> = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse().ok());
    match length {
        Some(length) if head.starts_with("http/1.1 200") => {
            Ok(Some((end + 4 + length).saturating_sub(answer.len())))
        }
        _ => Err(io::Error::other(format!("not a 200 with a length: {head}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_over_when_its_length_has_come() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(missing(b"HTTP/1.1 200").unwrap(), None);
        assert_eq!(missing(&text[..text.len() - 1]).unwrap(), Some(1));
        assert_eq!(missing(text).unwrap(), Some(0));
        assert!(missing(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
