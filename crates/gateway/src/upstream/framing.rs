//! Finds the end of an answer's body, and the bytes that belong to it.
//!
//! Called by [`super::link`]. Always true: pure, no I/O; chunks that are buffered together leave as one piece;
//! a framing that two readers could read differently is refused (RFC 9112, section 6.3).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};

/// Largest chunk extensions, padding and trailers of one body, together, bytes, beyond those that its chunks allow.
/// They are read and dropped.
const EXTRA_MAX: u32 = 16 << 10;
/// How much of it each chunk of data allows, bytes: some servers pad every size, or sign every chunk.
const EXTRA_PER_CHUNK: u32 = 256;

use crate::unpack::{Coding, Fault};

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The connection ended before the body did.
    #[error("the connection ended before the body did")]
    Cut,
    /// The chunks of the body are malformed.
    #[error("the chunked body has {0}")]
    Malformed(&'static str),
    /// It is compressed and cannot be unpacked.
    #[error("the compressed answer ({name}) {what}", name = .0.name(), what = .1.says())]
    Packed(Coding, Fault),
}

/// The next step of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A piece of the body, never empty.
    Piece(Bytes),
    /// The body has ended.
    End,
    /// More bytes are needed.
    More,
}

/// How the end of a body is found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After this many more bytes.
    Length(u64),
    /// With its last chunk.
    Chunked(Chunks),
    /// With the connection.
    UntilClose,
}

impl Framing {
    /// The framing of the body that follows a head.
    ///
    /// # Errors
    /// When it is ambiguous or unknown.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> Result<Framing, String> {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        if bodiless || status.is_informational() {
            return Ok(Framing::Length(0));
        }
        let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
        if let Some(encoding) = encodings.next() {
            let chunked = encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
            if !chunked || encodings.next().is_some() {
                return Err("its transfer-encoding is not `chunked`".to_owned());
            }
            let end = match headers.contains_key(header::CONTENT_LENGTH) {
                true => BodyEnd::Doubtful,
                false => BodyEnd::Clear,
            };
            return Ok(Framing::Chunked(Chunks::new(end)));
        }
        let mut length = None;
        for value in headers.get_all(header::CONTENT_LENGTH) {
            let digits = value.as_bytes();
            let parsed = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
            let plain = digits.iter().all(u8::is_ascii_digit);
            match parsed.filter(|_| plain) {
                Some(parsed) if length.is_none_or(|length| length == parsed) => {
                    length = Some(parsed);
                }
                _ => return Err("its content-length is invalid".to_owned()),
            }
        }
        Ok(length.map_or(Framing::UntilClose, Framing::Length))
    }

    /// The length of the body, if the head says it.
    pub(super) fn declared(&self) -> Option<u64> {
        match self {
            Framing::Length(length) => Some(*length),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }

    /// Whether the body has an end of its own, and every reader sees the same one.
    pub(super) fn leaves_connection_open(&self) -> bool {
        match self {
            Framing::Length(_) => true,
            Framing::Chunked(chunks) => chunks.end == BodyEnd::Clear,
            Framing::UntilClose => false,
        }
    }

    /// Whether the whole body was taken.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.at == At::End,
            Framing::UntilClose => false,
        }
    }

    /// Takes the bytes of the body from `buffer`.
    ///
    /// # Errors
    /// When it is malformed.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyError> {
        if self.is_over() {
            return Ok(Step::End);
        }
        if buffer.is_empty() {
            return Ok(Step::More);
        }
        match self {
            Framing::Length(left) => {
                let here = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                Ok(Step::Piece(buffer.split_to(here).freeze()))
            }
            Framing::Chunked(chunks) => chunks.next(buffer),
            Framing::UntilClose => Ok(Step::Piece(buffer.split().freeze())),
        }
    }
}

/// Whether all parsers find the same end of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyEnd {
    /// They do.
    Clear,
    /// Content-Length is also present, so another parser may frame the body differently.
    Doubtful,
}

/// A chunked body (RFC 9112, section 7.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of the chunk that are still to come.
    left: u64,
    /// Bytes of extensions, padding and trailers so far, less what the chunks allowed.
    extra: u32,
    end: BodyEnd,
}

/// A place in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    SizeFirst,
    Size,
    SizeSpace,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    LineStart,
    Trailer,
    TrailerLf,
    LastLf,
    End,
}

impl Chunks {
    fn new(end: BodyEnd) -> Chunks {
        Chunks { at: At::SizeFirst, left: 0, extra: 0, end }
    }

    /// Joins the contents of all chunks in `buffer` and takes them.
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Step, BodyError> {
        let length = buffer.len();
        let mut at = 0;
        let (mut start, mut end) = (0, 0);
        while at < length && self.at != At::End {
            if self.at != At::Data {
                match self.step(buffer[at]) {
                    Ok(()) => at += 1,
                    // The bytes before the fault are good. The next call meets the fault again.
                    Err(_) if end > start => break,
                    Err(error) => return Err(error),
                }
                continue;
            }
            let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(length - at);
            if end == start {
                (start, end) = (at, at);
            } else {
                buffer.copy_within(at..at + here, end);
            }
            end += here;
            at += here;
            self.left -= here as u64;
            if self.left == 0 {
                self.at = At::DataCr;
            }
        }
        if end == start {
            buffer.advance(at);
            return Ok(if self.at == At::End { Step::End } else { Step::More });
        }
        buffer.advance(start);
        let piece = buffer.split_to(end - start).freeze();
        buffer.advance(at - end);
        Ok(Step::Piece(piece))
    }

    /// Reads one byte that is not data.
    fn step(&mut self, byte: u8) -> Result<(), BodyError> {
        let next = match (self.at, byte) {
            (At::SizeFirst, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.left = 0;
                self.digit(byte)?
            }
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.digit(byte)?,
            (At::Size | At::SizeSpace, b';') => At::Extension,
            (At::Size | At::SizeSpace, b' ' | b'\t') => self.read_over(At::SizeSpace)?,
            (At::Size | At::SizeSpace | At::Extension, b'\r') => At::SizeEnd,
            (At::SizeEnd, b'\n') if self.left == 0 => At::LineStart,
            (At::SizeEnd, b'\n') => {
                self.extra = self.extra.saturating_sub(EXTRA_PER_CHUNK);
                At::Data
            }
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => At::SizeFirst,
            (At::LineStart, b'\r') => At::LastLf,
            (At::Trailer, b'\r') => self.read_over(At::TrailerLf)?,
            (At::TrailerLf, b'\n') => At::LineStart,
            (At::LastLf, b'\n') => At::End,
            (At::Extension | At::LineStart | At::Trailer, b'\n') => {
                return Err(BodyError::Malformed("a bare line end"));
            }
            (At::Extension, _) => self.read_over(At::Extension)?,
            (At::LineStart | At::Trailer, _) => self.read_over(At::Trailer)?,
            (At::SizeFirst | At::Size | At::SizeSpace, _) => {
                return Err(BodyError::Malformed("an invalid chunk size"));
            }
            (At::SizeEnd | At::DataCr | At::DataLf | At::TrailerLf | At::LastLf, _) => {
                return Err(BodyError::Malformed("a chunk without its line end"));
            }
            (At::Data | At::End, _) => self.at,
        };
        self.at = next;
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<At, BodyError> {
        let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
        self.left = self
            .left
            .checked_mul(16)
            .map(|left| left | digit)
            .ok_or(BodyError::Malformed("an invalid chunk size"))?;
        Ok(At::Size)
    }

    fn read_over(&mut self, at: At) -> Result<At, BodyError> {
        self.extra += 1;
        if self.extra > EXTRA_MAX {
            return Err(BodyError::Malformed("more extensions and trailers than are read"));
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn framing(lines: &[(&'static str, &'static str)]) -> Result<Framing, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Framing::of(StatusCode::OK, &headers)
    }

    /// The body in `text` when it comes in `pieces`, and what is left over.
    fn read<'t>(pieces: impl Iterator<Item = &'t [u8]>) -> Result<(Vec<u8>, Vec<u8>), BodyError> {
        let mut framing = Framing::Chunked(Chunks::new(BodyEnd::Clear));
        let (mut buffer, mut body) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Step::Piece(piece) = framing.next(&mut buffer)? {
                body.extend_from_slice(&piece);
            }
        }
        if framing.is_over() { Ok((body, buffer.to_vec())) } else { Err(BodyError::Cut) }
    }

    fn whole(text: &str) -> Result<String, BodyError> {
        read(std::iter::once(text.as_bytes())).map(|(body, _)| String::from_utf8(body).unwrap())
    }

    #[test]
    fn padding_and_extensions_of_many_chunks_are_read_and_endless_ones_are_not() {
        let read = |text: &str| {
            let mut chunks = Chunks::new(BodyEnd::Clear);
            let mut buffer = BytesMut::from(text);
            let mut whole = 0;
            loop {
                match chunks.next(&mut buffer)? {
                    Step::Piece(piece) => whole += piece.len(),
                    Step::End => return Ok(whole),
                    Step::More => panic!("it ends"),
                }
            }
        };
        for more in [" ".repeat(12), format!(";chunk-signature={}", "a".repeat(64))] {
            let text = format!("1{more}\r\nx\r\n").repeat(3_000) + "0\r\n\r\n";
            assert_eq!(read(&text), Ok(3_000));
        }
        let too_many: Result<usize, BodyError> =
            Err(BodyError::Malformed("more extensions and trailers than are read"));
        for text in [
            format!("1;{}\r\n", "a".repeat(20_000)),
            format!("1;{}\r\nx\r\n", "a".repeat(1_000)).repeat(30),
            format!("0\r\n{}", "a: b\r\n".repeat(5_000)),
        ] {
            assert_eq!(read(&text), too_many);
        }
    }

    #[test]
    fn lengths_must_be_plain_and_agree() {
        assert_eq!(framing(&[("content-length", "5")]), Ok(Framing::Length(5)));
        let twice = [("content-length", "5"), ("content-length", "5")];
        assert_eq!(framing(&twice), Ok(Framing::Length(5)));
        assert_eq!(framing(&[]), Ok(Framing::UntilClose));
        for bad in ["", "+5", "-1", "5, 6", "0x5", "99999999999999999999"] {
            assert!(framing(&[("content-length", bad)]).is_err(), "{bad}");
        }
        assert!(framing(&[("content-length", "5"), ("content-length", "6")]).is_err());
    }

    #[test]
    fn only_chunked_is_known_and_wins_over_a_length() {
        let both = framing(&[("transfer-encoding", "Chunked"), ("content-length", "5")]).unwrap();
        assert_eq!(both.declared(), None);
        assert!(!both.leaves_connection_open(), "another reader may see another end");
        assert!(framing(&[("transfer-encoding", "gzip, chunked")]).is_err());
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert!(framing(&twice).is_err());
    }

    #[test]
    fn chunks_that_are_there_together_are_one_piece() {
        let mut buffer = BytesMut::from("3 \r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: v\r\n\r\nHTTP");
        let mut framing = Framing::Chunked(Chunks::new(BodyEnd::Clear));
        let piece = framing.next(&mut buffer).unwrap();
        assert_eq!(piece, Step::Piece(Bytes::from_static(b"abcde")));
        assert!(framing.is_over());
        assert_eq!(&buffer[..], b"HTTP");
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for text in [
            "x\r\n",
            "\r\n",
            "3\nabc",
            "3\r\nabcd\r\n",
            "3\r\nabc\n",
            "11111111111111111\r\n",
            "3;a\nb\r\nabc\r\n",
            "0\r\n\rx",
            "0\r\n\n",
            "0\r\nt: v\n\r\n",
            "0\r\nt: v\r\nu: v\n\r\n\r\n",
            "0\r\nt: v\rw\r\n\r\n",
            "5 5\r\nhello\r\n",
        ] {
            assert!(matches!(whole(text), Err(BodyError::Malformed(_))), "{text:?}");
        }
        let endless = format!("0\r\n{}", "t: v\r\n".repeat(4000));
        assert!(matches!(whole(&endless), Err(BodyError::Malformed(_))));
        assert_eq!(whole("3\r\nabc\r\n"), Err(BodyError::Cut));
    }

    #[test]
    fn what_came_before_a_fault_is_handed_out_first() {
        let mut framing = Framing::Chunked(Chunks::new(BodyEnd::Clear));
        let mut buffer = BytesMut::from("3\r\nabc\r\nzz");
        assert_eq!(framing.next(&mut buffer), Ok(Step::Piece(Bytes::from_static(b"abc"))));
        assert!(framing.next(&mut buffer).is_err());
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..8),
            cuts in proptest::collection::vec(1usize..9, 1..40),
        ) {
            let mut text = Vec::new();
            for chunk in &chunks {
                text.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                text.extend_from_slice(chunk);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\nnext");
            let mut tail = &text[..];
            let mut cuts = cuts.iter().cycle();
            let pieces = std::iter::from_fn(|| {
                let (piece, after) = tail.split_at((*cuts.next()?).min(tail.len()));
                tail = after;
                (!piece.is_empty()).then_some(piece)
            });
            let (body, left) = read(pieces).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(left, b"next");
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _any: Result<_, _> = read(std::iter::once(&bytes[..]));
        }
    }
}
