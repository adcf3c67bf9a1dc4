//! The head of an answer, parsed from bytes.
//!
//! Called by [`super::link`]. Always true: pure, no I/O; a head is either understood whole or refused with
//! the reason.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::framing::Framing;

/// Largest head of an answer, bytes.
pub(super) const HEAD_MAX: usize = 256 << 10;
/// Most headers of an answer.
const HEADERS_MAX: usize = 128;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// How its body ends.
    pub(super) framing: Framing,
    /// Whether the connection may serve another request after the body.
    pub(super) keep_alive: bool,
    /// The idle time that the server grants the connection, seconds.
    pub(super) granted_s: Option<u64>,
    /// Whether it names a content coding.
    pub(super) is_encoded: bool,
}

impl Head {
    /// Whether it ends an idle connection rather than answers a request: some proxies send it just before they close
    /// (RFC 9110, section 15.5.9), so that it may meet a request on its way.
    pub(super) fn is_farewell(&self) -> bool {
        self.status == StatusCode::REQUEST_TIMEOUT && !self.keep_alive
    }
}

/// Where the head at the beginning of `bytes` ends, if it does. `searched` remembers between calls
/// how far the search came, so that a head that comes byte by byte costs no more than another.
///
/// # Errors
/// When it cannot become a head any more.
pub(super) fn find_end(bytes: &[u8], searched: &mut usize) -> Result<Option<usize>, String> {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    if bytes[..known] != START[..known] {
        return Err("it does not begin with HTTP/1".to_owned());
    }
    for line_end in memchr::memchr_iter(b'\n', &bytes[*searched..]) {
        let after = *searched + line_end + 1;
        let end = match &bytes[after..] {
            [b'\n', ..] => after + 1,
            [b'\r', b'\n', ..] => after + 2,
            [] | [b'\r'] => {
                // The line end may turn out to be the last one; look at it again.
                *searched = after - 1;
                return within_bounds(bytes.len()).map(|()| None);
            }
            _ => continue,
        };
        return within_bounds(end).map(|()| Some(end));
    }
    *searched = bytes.len();
    within_bounds(bytes.len()).map(|()| None)
}

fn within_bounds(length: usize) -> Result<(), String> {
    if length <= HEAD_MAX {
        Ok(())
    } else {
        Err(format!("its head is larger than {} KiB", HEAD_MAX >> 10))
    }
}

/// Reads a whole head.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parse(bytes: &Bytes) -> Result<Head, String> {
    let mut room = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut found = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut found, bytes, &mut room)
        .map_err(|error| error.to_string())?;
    let (httparse::Status::Complete(_), Some(code), Some(version)) =
        (parsed, found.code, found.version)
    else {
        return Err("its head is incomplete".to_owned());
    };
    let status = StatusCode::from_u16(code).map_err(|_| format!("{code} is no status"))?;
    let mut headers = HeaderMap::with_capacity(found.headers.len());
    let (mut granted_s, mut is_encoded) = (None, false);
    for line in found.headers.iter() {
        // Looked at on the way, as hardly any answer has them: a look-up costs more.
        match line.name.len() {
            10 if line.name.eq_ignore_ascii_case("keep-alive") => granted_s = granted(line.value),
            16 => is_encoded |= line.name.eq_ignore_ascii_case("content-encoding"),
            _ => {}
        }
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| "a header's name is invalid".to_owned())?;
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(line.value))
            .map_err(|_| format!("the header {name} is invalid"))?;
        headers.append(name, value);
    }
    let framing = Framing::of(status, &headers)?;
    // Chunks are no part of HTTP/1.0: others on the way may see another end.
    let old = version == 0;
    let keep_alive = framing.leaves_connection_open()
        && !connection_says(&headers, "close")
        && (!old || framing.declared().is_some() && connection_says(&headers, "keep-alive"));
    Ok(Head { status, headers, framing, keep_alive, granted_s, is_encoded })
}

/// The idle time that `keep-alive: timeout=5, max=100` grants, seconds.
fn granted(value: &[u8]) -> Option<u64> {
    let mut parts = std::str::from_utf8(value).ok()?.split(',').map(str::trim);
    parts.find_map(|part| {
        let (name, seconds) = part.split_once('=')?;
        let seconds = seconds.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("timeout").then(|| seconds.parse().ok())?
    })
}

fn connection_says(headers: &HeaderMap, word: &str) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter();
    values.any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, String> {
        parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_end_is_found_however_the_bytes_come() {
        for text in ["HTTP/1.1 200 OK\r\na: b\r\n\r\ntail", "HTTP/1.1 200 OK\na: b\n\ntail"] {
            let expected = text.find("tail").unwrap();
            let mut searched = 0;
            for length in 0..=text.len() {
                let found = find_end(&text.as_bytes()[..length], &mut searched).unwrap();
                assert_eq!(found, (length >= expected).then_some(expected), "{length} of {text:?}");
            }
        }
    }

    #[test]
    fn what_can_be_no_head_is_refused_at_once() {
        for text in ["SSH-2.0", "h", "HTTP/2", "<html>"] {
            assert!(find_end(text.as_bytes(), &mut 0).is_err(), "{text}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(HEAD_MAX));
        assert!(find_end(endless.as_bytes(), &mut 0).unwrap_err().contains("256 KiB"));
    }

    #[test]
    fn the_idle_time_that_a_server_grants_is_read() {
        for (value, expected) in [
            ("timeout=5, max=100", Some(5)),
            ("max=100,Timeout = 30", Some(30)),
            ("timeout=\"5\"", Some(5)),
            ("timeout=0", Some(0)),
            ("max=100", None),
            ("timeout=x", None),
            ("300", None),
        ] {
            let head =
                format!("HTTP/1.1 200 OK\r\nKeep-Alive: {value}\r\ncontent-length: 0\r\n\r\n");
            let head = parse(&Bytes::from(head)).unwrap();
            assert_eq!((head.granted_s, head.is_encoded), (expected, false), "{value}");
        }
        let head =
            parse(&Bytes::from("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")).unwrap();
        assert!(head.is_encoded);
    }

    #[test]
    fn keeping_the_connection_is_the_answers_word() {
        let kept = |text: &str| head(text).unwrap().keep_alive;
        assert!(kept("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n"));
        assert!(!kept("HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: a, Close\r\n\r\n"));
        assert!(!kept("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n"));
        assert!(kept("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n"));
        let both = "connection: keep-alive, close\r\ncontent-length: 1";
        assert!(!kept(&format!("HTTP/1.0 200 OK\r\n{both}\r\n\r\n")));
        let chunks = "connection: keep-alive\r\ntransfer-encoding: chunked";
        assert!(!kept(&format!("HTTP/1.0 200 OK\r\n{chunks}\r\n\r\n")));
        assert!(!kept("HTTP/1.1 200 OK\r\n\r\n"), "its end is the connection's");
    }

    #[test]
    fn broken_heads_say_why() {
        for text in [
            "HTTP/1.1 abc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
            "HTTP/1.1 099 No\r\n\r\n",
        ] {
            assert!(head(text).is_err(), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert!(head(&many).is_err());
    }
}
