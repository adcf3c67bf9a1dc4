//! Fuzz target: bodies of answers, read by our framing and by hyper's client, which must agree.
//!
//! Always true: both accept the same bodies, with the same bytes and the same end, but for the differences
//! that [`Known`] lists. Two readers that see different ends of one body are how a part of one answer
//! becomes the beginning of another client's.

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use hale_testkit::Fuzz;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Body;
use hyper::client::conn::http1;

use super::super::framing::{BodyError, Framing, Step};

const WORDS: &[&str] = &[
    "0\r\n\r\n",
    "0\r\n",
    "\r\n",
    "\n",
    "\r",
    "5\r\nhello\r\n",
    "1\r\n\n\r\n",
    "5;ext=1\r\n",
    "5 \t;a=\"b\"\r\n",
    "A\r\n0123456789\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "00000000000000005\r\nhello\r\n",
    "trailer: value\r\n",
    "trailer: value\n",
    "trailer: a\rb\r\n",
    " folded\r\n",
    "0\r\nt: v\r\n\r\n",
    "0\r\nt: v\n\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "\u{0}",
    "\u{fc}",
];

fn target() -> Fuzz {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/fuzz/framing").into();
    Fuzz { corpus, words: WORDS }
}

#[test]
fn bodies_are_read_as_hyper_reads_them() {
    target().corpus_and_some(check);
}

#[test]
#[ignore = "takes a minute"]
fn bodies_are_read_as_hyper_reads_them_for_a_minute() {
    target().for_a_time(Duration::from_secs(60), check);
}

/// What a reader makes of a body.
#[derive(Debug, PartialEq)]
struct Read {
    body: Vec<u8>,
    end: Result<Left, Refused>,
}

/// What hyper refuses.
#[derive(Debug, PartialEq)]
enum Refused {
    /// A trailer: its fields, or their number.
    Trailers,
    /// Anything else.
    Body(String),
}

impl Refused {
    fn of(error: &hyper::Error) -> Refused {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let inner = cause.and_then(io::Error::get_ref);
        let text = inner.map_or_else(|| error.to_string(), ToString::to_string);
        // What hyper parses of a body are trailers alone.
        let parsed = inner.is_some_and(|inner| inner.is::<httparse::Error>());
        let by_hyper = ["Invalid header", "Partial header", "chunk trailers"];
        if parsed || by_hyper.iter().any(|words| text.starts_with(words)) {
            Refused::Trailers
        } else {
            Refused::Body(text)
        }
    }
}

/// How many bytes behind the body belong to something else.
type Left = usize;

/// Where the two readers may differ, and why that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Known {
    /// They do not differ.
    Same,
    /// We refuse a bare line feed among the trailers; hyper takes it as a part of a trailer. Others take it
    /// as the end of a line, so that they can see another end of the body than hyper does.
    BareLineFeed,
    /// hyper parses trailers and refuses malformed ones and more than a hundred; we read over trailers,
    /// which never reach a client. The end of the body is the empty line for both.
    UnreadTrailers,
    /// We bound extensions and trailers together, hyper bounds each.
    Bounds,
}

impl Known {
    fn of(ours: &Result<Left, BodyError>, theirs: &Result<Left, Refused>) -> Option<Known> {
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => (ours == theirs).then_some(Known::Same),
            (Err(_), Err(_)) => Some(Known::Same),
            (Err(BodyError::Malformed("a bare line end")), Ok(_)) => Some(Known::BareLineFeed),
            (Err(BodyError::Malformed("more extensions and trailers than are read")), Ok(_)) => {
                Some(Known::Bounds)
            }
            (Err(_), Ok(_)) => None,
            (Ok(_), Err(Refused::Trailers)) => Some(Known::UnreadTrailers),
            (Ok(_), Err(Refused::Body(_))) => None,
        }
    }
}

/// The first byte of an input says how the body is framed: `c` by chunks, anything else by a length of as
/// many bytes.
fn headers(first: u8) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if first == b'c' {
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    } else {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(u16::from(first)));
    }
    headers
}

fn check(input: &[u8]) -> (Known, usize, bool) {
    let Some((first, body)) = input.split_first() else { return (Known::Same, 0, false) };
    let headers = headers(*first);
    let (ours, our_end) = read(&headers, &mut std::iter::once(body));
    let mut known = Known::Same;
    // Pieces of all sizes: the cuts come from the input, so that a failure can be repeated.
    let mut mixed = input.iter().cycle().map(|byte| usize::from(byte % 13) + 1);
    let sizes: [&mut dyn Iterator<Item = usize>; 4] = [
        &mut std::iter::repeat(usize::MAX),
        &mut std::iter::repeat(1),
        &mut std::iter::repeat(7),
        &mut mixed,
    ];
    for sizes in sizes {
        let pieces = cut(body, sizes);
        let again = read(&headers, &mut pieces.iter().map(|piece| &piece[..]));
        assert_eq!((&again.0, &again.1), (&ours, &our_end), "our reading in pieces");
        let theirs = hyper_reads(&headers, pieces);
        known = Known::of(&our_end, &theirs.end)
            .unwrap_or_else(|| panic!("ours: {our_end:?}, hyper's: {:?}", theirs.end));
        match (&our_end, &theirs.end) {
            (Ok(_), Ok(_)) => assert_eq!(ours, theirs.body, "the bytes of the body"),
            // Before a fault either may have handed out more than the other.
            _ => assert!(
                ours.starts_with(&theirs.body) || theirs.body.starts_with(&ours),
                "the bytes before a fault"
            ),
        }
    }
    (known, ours.len().min(8), our_end.is_ok())
}

fn cut(mut bytes: &[u8], sizes: &mut dyn Iterator<Item = usize>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let (piece, tail) = bytes.split_at(sizes.next().unwrap_or(1).min(bytes.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        bytes = tail;
    }
    pieces
}

/// The body as our framing reads it.
fn read(
    headers: &HeaderMap,
    pieces: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<u8>, Result<Left, BodyError>) {
    let mut framing = Framing::of(StatusCode::OK, headers).expect("the headers are valid");
    let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match framing.next(&mut buffer) {
                Ok(Step::Piece(piece)) => body.extend_from_slice(&piece),
                Ok(Step::End | Step::More) => break,
                Err(error) => return (body, Err(error)),
            }
        }
    }
    let end = if framing.is_over() { Ok(buffer.len()) } else { Err(BodyError::Cut) };
    (body, end)
}

/// The body as hyper's client reads it.
fn hyper_reads(headers: &HeaderMap, pieces: Vec<Bytes>) -> Read {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    for (name, value) in headers {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    let pieces: VecDeque<Bytes> = std::iter::once(Bytes::from(answer)).chain(pieces).collect();
    let unread = Rc::new(Cell::new(pieces.iter().map(Bytes::len).sum()));
    let peer = Peer { asked: false, pieces, unread: unread.clone() };
    let mut cx = Context::from_waker(Waker::noop());
    let handshake = pin!(http1::handshake::<_, Empty<Bytes>>(peer));
    let Poll::Ready(Ok((mut sender, mut connection))) = handshake.poll(&mut cx) else {
        panic!("a handshake is no input and output")
    };
    let mut body = Vec::new();
    let end = {
        let reading = async {
            let request = Request::get("/").body(Empty::new()).expect("a request");
            let mut answer = sender.send_request(request).await?.into_body();
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await
            {
                if let Ok(data) = frame?.into_data() {
                    body.extend_from_slice(&data);
                }
            }
            Ok::<(), hyper::Error>(())
        };
        let mut reading = pin!(reading);
        let mut is_over = false;
        loop {
            if let Poll::Ready(end) = reading.as_mut().poll(&mut cx) {
                break end;
            }
            assert!(!is_over, "the connection has ended, and its body waits");
            is_over = connection.poll_without_shutdown(&mut cx).is_ready();
        }
    };
    let left = connection.into_parts().read_buf.len() + unread.get();
    Read { body, end: end.map(|()| left).map_err(|error| Refused::of(&error)) }
}

/// An upstream that answers in pieces and closes. Each read gets one piece.
struct Peer {
    asked: bool,
    pieces: VecDeque<Bytes>,
    unread: Rc<Cell<usize>>,
}

impl hyper::rt::Read for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.asked {
            return Poll::Pending;
        }
        if let Some(first) = this.pieces.front_mut() {
            let here = first.len().min(buffer.remaining());
            buffer.put_slice(&first[..here]);
            first.advance(here);
            if first.is_empty() {
                this.pieces.pop_front();
            }
            this.unread.set(this.unread.get() - here);
        }
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().asked = true;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
