//! Fuzz target: answers of upstreams as bytes, from the first of the head to the last of the body.
//!
//! Stands here because heads and framings are private to this module; the other targets are in
//! `tests/fuzz`.
//! Always true: however the bytes are cut, the same answer is read, and the same bytes are left over.

mod oracle;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hale_testkit::Fuzz;

use super::framing::Step;
use super::head;

const WORDS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 ",
    "HTTP/1.1 204 ",
    "HTTP/1.1 304 ",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "content-length: ",
    "content-length: 5\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "\r\n\r\n",
    "\r\n",
    "\n\n",
    "\n",
    "\r",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;ext=1\r\n",
    "ffffffffffffffff",
    "0000000000",
    " : ",
    "\t",
    " folded",
    "\u{0}",
    "\u{fc}",
];

fn target() -> Fuzz {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fuzz/answers").into();
    Fuzz { corpus, words: WORDS }
}

#[test]
fn answers_are_the_same_however_they_are_cut() {
    target().corpus_and_some(check);
}

#[test]
#[ignore = "takes a minute"]
fn answers_are_the_same_however_they_are_cut_for_a_minute() {
    target().for_a_time(Duration::from_secs(60), check);
}

/// What is read of an answer.
#[derive(Debug, PartialEq, Hash)]
enum Read {
    /// No head yet.
    Nothing,
    /// No head ever.
    NoHead,
    /// A head, and as much of a body as there is.
    Answer {
        status: u16,
        headers: String,
        keep_alive: bool,
        body: Vec<u8>,
        /// Whether the body is over, not over yet, or malformed.
        over: Option<bool>,
        /// What is not the body's; nothing while it is not over.
        left: Vec<u8>,
    },
}

fn read<'i>(pieces: impl Iterator<Item = &'i [u8]>) -> Read {
    let mut buffer = BytesMut::new();
    let mut searched = 0;
    let mut answer: Option<head::Head> = None;
    let (mut body, mut malformed) = (Vec::new(), false);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if answer.is_none() {
            let end = match head::find_end(&buffer, &mut searched) {
                Ok(Some(end)) => end,
                Ok(None) => continue,
                Err(_) => return Read::NoHead,
            };
            let Some(parsed) = parse(&buffer.split_to(end).freeze()) else { return Read::NoHead };
            answer = Some(parsed);
        }
        let Some(answer) = &mut answer else { continue };
        while !malformed {
            match answer.framing.next(&mut buffer) {
                Ok(Step::Piece(piece)) => {
                    assert!(!piece.is_empty(), "a piece is never empty");
                    body.extend_from_slice(&piece);
                }
                Ok(Step::End | Step::More) => break,
                Err(_) => malformed = true,
            }
        }
    }
    let Some(answer) = answer else { return Read::Nothing };
    let over = (!malformed).then(|| answer.framing.is_over());
    Read::Answer {
        status: answer.status.as_u16(),
        headers: format!("{:?}", answer.headers),
        keep_alive: answer.keep_alive,
        body,
        over,
        left: if over == Some(true) { buffer.to_vec() } else { Vec::new() },
    }
}

/// A head; the general parser must see its end where we did.
fn parse(bytes: &Bytes) -> Option<head::Head> {
    let parsed = head::parse(bytes).ok()?;
    let mut lines = vec![httparse::EMPTY_HEADER; 1_000];
    let mut general = httparse::Response::new(&mut lines);
    let end = general.parse(bytes).expect("ours is no laxer");
    assert_eq!(end, httparse::Status::Complete(bytes.len()), "the end of the head");
    Some(parsed)
}

fn check(input: &[u8]) -> (u16, Option<bool>, bool, usize, bool) {
    let whole = read(std::iter::once(input));
    for size in [1, 2, 7] {
        assert_eq!(read(input.chunks(size)), whole, "in pieces of {size}");
    }
    match whole {
        Read::Nothing => (0, None, false, 0, false),
        Read::NoHead => (1, None, false, 0, false),
        Read::Answer { status, keep_alive, body, over, left, headers } => {
            let named = |name: &str| headers.contains(&format!("\"{name}\": "));
            let both = named("transfer-encoding") && named("content-length");
            // An answer with one of these has no body, whatever its head says.
            let both = both && !matches!(status, 100..=199 | 204 | 304);
            assert!(!(keep_alive && both), "kept although two ends can be seen: {headers}");
            (status, over, keep_alive, body.len().min(8), left.is_empty())
        }
    }
}
