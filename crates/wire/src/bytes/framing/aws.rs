//! The event stream of AWS: binary frames with checksums, read as events whose payload is JSON.
//!
//! Used by [`super::Framing`]. Always true: a frame whose checksums or lengths are wrong ends the stream; a frame becomes one
//! event of the form of [`super::sse`], which the stream reader cuts and reads like any other: `{"TYPE":PAYLOAD}` for an event of
//! Converse, the event in Anthropic's format for a chunk of a model's own stream, and an event named `error` for an exception.
//!
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html> (the encoding is the same).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use flate2::Crc;

use crate::bytes::json::Str;
use crate::bytes::members::texts;

/// Both lengths, and their checksum.
const PRELUDE: usize = 12;
/// The checksum at the end of a frame.
const CHECKSUM: usize = 4;
/// The most bytes of headers. Source: botocore.
const HEADERS_MAX: usize = 128 << 10;
/// The most bytes of a payload. Source: botocore.
const PAYLOAD_MAX: usize = 24 << 20;

/// Cuts a byte stream into frames and writes them as events.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    tail: BytesMut,
    broken: Option<&'static str>,
}

impl Splitter {
    /// Takes the next bytes; returns whole events only, possibly none.
    pub(crate) fn push(&mut self, chunk: &Bytes) -> Bytes {
        if self.broken.is_some() {
            return Bytes::new();
        }
        self.tail.extend_from_slice(chunk);
        let mut out = Vec::with_capacity(self.tail.len() + self.tail.len() / 4);
        while self.broken.is_none() {
            match frame_length(&self.tail) {
                Ok(Some(length)) if length <= self.tail.len() => {
                    if let Err(why) = write(&self.tail[..length], &mut out) {
                        self.broken = Some(why);
                    }
                    self.tail.advance(length);
                }
                Ok(_) => break,
                Err(why) => self.broken = Some(why),
            }
        }
        Bytes::from(out)
    }

    /// Bytes of the incomplete frame.
    pub(crate) fn waiting(&self) -> usize {
        self.tail.len()
    }

    /// What is wrong with the stream, from that point on.
    pub(crate) fn broken(&self) -> Option<&'static str> {
        self.broken
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn is_checked(bytes: &[u8], sum: &[u8]) -> bool {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes() == *sum
}

/// The length of the frame that `bytes` begin with; `None` if there is too little of it to tell.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(prelude) = bytes.get(..PRELUDE) else { return Ok(None) };
    if !is_checked(&prelude[..8], &prelude[8..]) {
        return Err("the checksum of a frame's lengths is wrong");
    }
    let (total, headers) = (number(&prelude[..4]), number(&prelude[4..8]));
    let around = PRELUDE + CHECKSUM;
    let Some(payload) = total.checked_sub(headers + around) else {
        return Err("a frame is shorter than its headers");
    };
    if headers > HEADERS_MAX || payload > PAYLOAD_MAX {
        return Err("a frame is longer than the format permits");
    }
    Ok(Some(total))
}

/// What the headers of a frame say.
#[derive(Default)]
struct Headers<'f> {
    message_type: &'f str,
    event_type: &'f str,
    exception_type: &'f str,
    error_code: &'f str,
    error_message: &'f str,
}

impl<'f> Headers<'f> {
    fn read(mut bytes: &'f [u8]) -> Option<Headers<'f>> {
        let mut headers = Headers::default();
        while let Some((length, tail)) = bytes.split_first() {
            let (name, tail) = tail.split_at_checked(usize::from(*length))?;
            let (kind, tail) = tail.split_first()?;
            let size = match kind {
                0 | 1 => 0,
                2 => 1,
                3 => 2,
                4 => 4,
                5 | 8 => 8,
                9 => 16,
                6 | 7 => {
                    let (length, value) = tail.split_at_checked(2)?;
                    let (value, tail) = value.split_at_checked(number(length))?;
                    if *kind == 7 {
                        headers.set(name, std::str::from_utf8(value).ok()?);
                    }
                    bytes = tail;
                    continue;
                }
                _ => return None,
            };
            bytes = tail.get(size..)?;
        }
        Some(headers)
    }

    fn set(&mut self, name: &[u8], value: &'f str) {
        match name {
            b":message-type" => self.message_type = value,
            b":event-type" => self.event_type = value,
            b":exception-type" => self.exception_type = value,
            b":error-code" => self.error_code = value,
            b":error-message" => self.error_message = value,
            _ => {}
        }
    }
}

/// Writes one whole frame as an event.
fn write(frame: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let (body, sum) = frame.split_at(frame.len() - CHECKSUM);
    if !is_checked(body, sum) {
        return Err("the checksum of a frame is wrong");
    }
    let (headers, payload) = body[PRELUDE..].split_at(number(&frame[4..8]));
    let headers = Headers::read(headers).ok_or("the headers of a frame cannot be read")?;
    let payload = std::str::from_utf8(payload).map_err(|_| "the payload of a frame is no text")?;
    match headers.message_type {
        "exception" => write_exception(headers.exception_type, payload, out),
        "error" => {
            let message = serde_json::to_string(headers.error_message).unwrap_or_default();
            write_error(headers.error_code, (&message, None), out);
        }
        _ if headers.event_type == "chunk" => return write_chunk(payload, out),
        _ => write_event(headers.event_type, payload, out),
    }
    Ok(())
}

fn write_event(kind: &str, payload: &str, out: &mut Vec<u8>) {
    // The name of a type is a word; without one an event means nothing.
    if kind.is_empty() || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return;
    }
    out.extend_from_slice(b"data: {\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\":");
    put_line(if payload.trim().is_empty() { "{}" } else { payload }, out);
    out.extend_from_slice(b"}\n\n");
}

/// A chunk holds an event of the model's own stream in base64. What stands beside it is padding.
fn write_chunk(payload: &str, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const BROKEN: &str = "a chunk of the model's stream cannot be read";
    let Ok([Some(raw)]) = texts(payload, ["bytes"]) else { return Err(BROKEN) };
    let data = raw.trim_matches('"');
    let event = STANDARD.decode(data).map_err(|_| BROKEN)?;
    let event = std::str::from_utf8(&event).map_err(|_| BROKEN)?;
    let [kind] = texts(event, ["type"]).map_err(|_| BROKEN)?;
    let word = kind.map(|kind| kind.trim_matches('"')).unwrap_or_default();
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !word.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(word.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    put_line(event, out);
    out.extend_from_slice(b"\n\n");
    Ok(())
}

fn write_exception(kind: &str, payload: &str, out: &mut Vec<u8>) {
    let names = ["message", "Message", "originalStatusCode", "originalMessage"];
    let found = texts(payload, names).unwrap_or_default();
    let [message, other, status, original] = found;
    let is_text = |raw: &&str| serde_json::from_str::<Str<'_>>(raw).is_ok();
    let message = message.or(other).or(original).filter(is_text).unwrap_or("\"\"");
    let is_number = |raw: &&str| !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_digit());
    write_error(kind, (message, status.filter(is_number)), out);
}

/// An error whose message is JSON text, with the status that the model's server gave.
fn write_error(kind: &str, (message, status): (&str, Option<&str>), out: &mut Vec<u8>) {
    let kind = serde_json::to_string(kind).unwrap_or_default();
    out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b",\"message\":");
    put_line(message, out);
    if let Some(status) = status {
        out.extend_from_slice(b",\"code\":");
        out.extend_from_slice(status.as_bytes());
    }
    out.extend_from_slice(b"}}\n\n");
}

/// JSON text in one line, to which its line breaks mean nothing.
fn put_line(json: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(json.as_bytes());
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        for byte in &mut out[start..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The worked frames of the vendor's library: a delta and an exception.
    const DELTA: &str = "0000009400000057b4ab9aee0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22636f6e74656e74426c6f636b496e646578223a302c2264656c7461223a7b2274657874223a224869227d7d1f944657";
    const EXCEPTION: &str = "00000090000000618e91a9b70f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e7b226d657373616765223a22546f6f206d616e79207265717565737473227de67f8005";

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn read(text: &[u8], cuts: &[usize]) -> (String, Option<&'static str>, usize) {
        let mut splitter = Splitter::default();
        let (mut out, mut from) = (Vec::new(), 0);
        for cut in cuts.iter().copied().chain([text.len()]) {
            let cut = cut.clamp(from, text.len());
            out.extend(splitter.push(&Bytes::copy_from_slice(&text[from..cut])));
            from = cut;
        }
        (String::from_utf8(out).unwrap(), splitter.broken(), splitter.waiting())
    }

    #[test]
    fn the_worked_frames_are_read() {
        let event = "data: {\"contentBlockDelta\":{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}}\n\n";
        assert_eq!(read(&bytes(DELTA), &[]), (event.to_owned(), None, 0));
        let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"throttlingException\",\"message\":\"Too many requests\"}}\n\n";
        assert_eq!(read(&bytes(EXCEPTION), &[]), (error.to_owned(), None, 0));
        let both = [bytes(DELTA), bytes(EXCEPTION)].concat();
        let every: Vec<usize> = (0..both.len()).collect();
        assert_eq!(read(&both, &every), (format!("{event}{error}"), None, 0));
        let (out, broken, waiting) = read(&both[..200], &[]);
        assert_eq!((&*out, broken, waiting), (event, None, 52));
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let frame = bytes(DELTA);
        for at in 0..frame.len() {
            let mut wrong = frame.clone();
            wrong[at] ^= 4;
            let (out, broken, _) = read(&wrong, &[]);
            assert!(out.is_empty() && broken.is_some(), "byte {at}: {out}");
        }
    }

    #[test]
    fn lengths_that_lie_are_noticed_before_anything_is_kept_for_them() {
        for (total, headers) in [(16_u32, 1_u32), (0, 0), (u32::MAX, 0), (1 << 20, (128 << 10) + 1)]
        {
            let mut prelude = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            let mut crc = Crc::new();
            crc.update(&prelude);
            prelude.extend(crc.sum().to_be_bytes());
            assert!(read(&prelude, &[]).1.is_some(), "{total} {headers}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_the_same_events_wherever_they_are_cut(
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(0usize..400, 0..6),
        ) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let text = [bytes(DELTA), bytes(EXCEPTION), noise].concat();
            let (one, many) = (read(&text, &[]), read(&text, &cuts));
            prop_assert_eq!((one.0, one.1), (many.0, many.1));
        }
    }
}
