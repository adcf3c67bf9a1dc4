//! HTTP/1.1 as bytes: heads, header lists and body framing, read as they came.
//!
//! Used by the scripted upstream (requests) and by the client (responses).
//! Always true: nothing is normalised, so that a test can assert on spelling, order and repetition.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde_json::Value;

/// The longest head that is accepted; longer ones are an error, not memory.
const MAX_HEAD: usize = 1 << 20;

/// Header lines in the order and spelling in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Each line as name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether `name` is there at all.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// One request as the scripted upstream received it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `POST`, `GET` and so on.
    pub method: String,
    /// The request target as sent, query included.
    pub path: String,
    /// The header lines in order.
    pub headers: Headers,
    /// The body, with chunked framing taken off.
    pub body: Vec<u8>,
    /// The head as bytes, up to and including the empty line.
    pub raw_head: Vec<u8>,
    /// The number of the connection it came on; the first is 0.
    pub connection: usize,
    /// The position among all requests of this upstream; the first is 0.
    pub order: usize,
}

impl Request {
    /// The first value of a header, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The `model` of the body, or the empty text.
    pub fn model(&self) -> String {
        self.json()["model"].as_str().unwrap_or_default().to_owned()
    }

    /// Whether the body asks for a stream.
    pub fn wants_stream(&self) -> bool {
        self.json()["stream"] == true
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("order", &self.order)
            .field("connection", &self.connection)
            .field("line", &format_args!("{} {}", self.method, self.path))
            .field("body", &self.text())
            .finish_non_exhaustive()
    }
}

/// A start line and the header lines after it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Headers,
    pub(crate) raw: Vec<u8>,
}

impl Head {
    /// Reads one head; `None` at a clean end before its first byte.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut raw = Vec::new();
        let mut lines: Vec<String> = Vec::new();
        loop {
            let before = raw.len();
            from.by_ref().take(MAX_HEAD as u64).read_until(b'\n', &mut raw)?;
            let line = raw.get(before..).unwrap_or_default();
            if raw.is_empty() {
                return Ok(None);
            }
            if line.last() != Some(&b'\n') || raw.len() > MAX_HEAD {
                return Err(cut("the connection ended inside a head"));
            }
            let text = String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_owned();
            if text.is_empty() {
                break;
            }
            lines.push(text);
        }
        let mut lines = lines.into_iter();
        let start = lines.next().unwrap_or_default();
        let headers = lines
            .map(|line| match line.split_once(':') {
                Some((name, value)) => (name.to_owned(), value.trim().to_owned()),
                None => (line, String::new()),
            })
            .collect();
        Ok(Some(Self { start, headers: Headers(headers), raw }))
    }

    /// The `index`th word of the start line.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.start.split(' ').nth(index).unwrap_or_default()
    }
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes more.
    Length(usize),
    /// Chunks, of which so many bytes are still to come in the present one.
    Chunked(usize),
    /// Everything until the connection ends.
    UntilClose,
    /// Nothing more.
    Ended,
}

/// A body that is read piece by piece, as it arrives.
#[derive(Debug)]
pub(crate) struct Body {
    framing: Framing,
    /// The connection ended before the framing said so.
    pub(crate) cut: bool,
}

impl Body {
    /// The body that follows a request head.
    pub(crate) fn of_request(head: &Head) -> Self {
        Self::framed(&head.headers, Framing::Ended)
    }

    /// The body that follows a response head.
    pub(crate) fn of_response(head: &Head, status: u16, method: &str) -> Self {
        if method == "HEAD" || status == 204 || status == 304 || status < 200 {
            return Self { framing: Framing::Ended, cut: false };
        }
        Self::framed(&head.headers, Framing::UntilClose)
    }

    fn framed(headers: &Headers, otherwise: Framing) -> Self {
        let chunked = headers
            .get("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
        let length = headers.get("content-length").and_then(|value| value.parse().ok());
        let framing = match (chunked, length) {
            (true, _) => Framing::Chunked(0),
            (false, Some(0)) => Framing::Ended,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => otherwise,
        };
        Self { framing, cut: false }
    }

    /// Whether the whole body has been read as announced.
    pub(crate) fn ended(&self) -> bool {
        self.framing == Framing::Ended
    }

    /// The bytes that are there, waiting for at least one; `None` at the end.
    pub(crate) fn next(&mut self, from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
        if self.framing == Framing::Chunked(0) {
            self.framing = match chunk_size(from) {
                Ok(0) => Framing::Ended,
                Ok(size) => Framing::Chunked(size),
                Err(error) => return self.broken(error),
            };
        }
        let limit = match self.framing {
            Framing::Ended => return Ok(None),
            Framing::UntilClose => usize::MAX,
            Framing::Length(left) | Framing::Chunked(left) => left,
        };
        let piece = match from.fill_buf() {
            Ok(bytes) => bytes.get(..bytes.len().min(limit)).unwrap_or_default().to_vec(),
            Err(error) => return self.broken(error),
        };
        from.consume(piece.len());
        if piece.is_empty() {
            self.cut = self.framing != Framing::UntilClose;
            self.framing = Framing::Ended;
            return Ok(None);
        }
        if let Err(error) = self.took(piece.len(), from) {
            self.broken(error)?;
        }
        Ok(Some(piece))
    }

    /// Reads everything that is left.
    pub(crate) fn read_all(&mut self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(piece) = self.next(from)? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn took(&mut self, count: usize, from: &mut impl BufRead) -> io::Result<()> {
        self.framing = match self.framing {
            Framing::Length(left) if left == count => Framing::Ended,
            Framing::Length(left) => Framing::Length(left - count),
            Framing::Chunked(left) => {
                if left == count {
                    line(from)?;
                }
                Framing::Chunked(left - count)
            }
            other @ (Framing::UntilClose | Framing::Ended) => other,
        };
        Ok(())
    }

    /// A timeout is an error; an end or a reset is a cut body.
    fn broken(&mut self, error: io::Error) -> io::Result<Option<Vec<u8>>> {
        self.framing = Framing::Ended;
        if is_timeout(&error) || error.kind() == io::ErrorKind::InvalidData {
            return Err(error);
        }
        self.cut = true;
        Ok(None)
    }
}

/// Whether a read gave up because its time was over.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Reads a chunk's size line, and after the last chunk the trailers too.
fn chunk_size(from: &mut impl BufRead) -> io::Result<usize> {
    let text = line(from)?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    let size = usize::from_str_radix(digits, 16)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {text:?}")))?;
    if size == 0 {
        while !line(from)?.is_empty() {}
    }
    Ok(size)
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.by_ref().take(MAX_HEAD as u64).read_until(b'\n', &mut bytes)?;
    if bytes.last() != Some(&b'\n') {
        return Err(cut("the connection ended inside a chunk"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned())
}

fn cut(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> (Head, Vec<u8>, bool) {
        let head = Head::read(&mut bytes).unwrap().unwrap();
        let mut body = Body::of_response(&head, 200, "GET");
        let all = body.read_all(&mut bytes).unwrap();
        (head, all, body.cut)
    }

    #[test]
    fn headers_keep_order_spelling_and_repetition() {
        let (head, _, _) = read(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:2\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(head.word(1), "200");
        let names: Vec<_> = head.headers.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["X-A", "x-a", "Content-Length"]);
        assert_eq!(head.headers.all("X-a").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn chunks_with_extensions_and_trailers_are_one_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n";
        let (_, body, cut) = read(bytes);
        assert_eq!((body.as_slice(), cut), (&b"abcde"[..], false));
    }

    #[test]
    fn a_short_body_is_cut_and_one_without_length_is_not() {
        let (_, body, cut) = read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        assert_eq!((body.as_slice(), cut), (&b"abc"[..], true));
        let (_, body, cut) = read(b"HTTP/1.1 200 OK\r\n\r\nabc");
        assert_eq!((body.as_slice(), cut), (&b"abc"[..], false));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
        let (_, body, cut) = read(chunked);
        assert_eq!((body.as_slice(), cut), (&b"abc"[..], true));
    }

    #[test]
    fn a_head_that_stops_is_an_error_and_no_head_is_none() {
        assert!(Head::read(&mut &b""[..]).unwrap().is_none());
        assert!(Head::read(&mut &b"GET / HTTP/1.1\r\nHost"[..]).is_err());
    }
}
