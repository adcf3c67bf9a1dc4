//! The place of a request in a trace, as the header `traceparent` tells it.
//!
//! Read and written by the gateway for requests that are traced, shown by the sinks. Always true: an id is never all zeros; a
//! header that is not exactly of the known form is as if it were absent.
//!
//! Source: <https://www.w3.org/TR/trace-context/>.

/// The id of a trace.
pub type TraceId = [u8; 16];
/// The id of a span.
pub type SpanId = [u8; 8];

/// Longest `tracestate` that is kept, bytes.
const STATE_MAX: usize = 512;

/// What a client says about the trace that its request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace.
    pub trace_id: TraceId,
    /// The client's span.
    pub span_id: SpanId,
    /// Whether the client records it.
    pub is_sampled: bool,
    /// What others have written into `tracestate`; it is passed on unread.
    pub state: Option<Box<str>>,
}

impl Parent {
    /// Reads the headers `traceparent` and `tracestate`.
    #[must_use]
    pub fn read(parent: &str, state: Option<&str>) -> Option<Parent> {
        let text = parent.trim();
        let (version, tail) = (text.get(..2)?, text.get(2..)?);
        let version = u8::from_str_radix(version, 16).ok().filter(|version| *version != 0xff)?;
        let is_whole = text.len() == 55 || (version > 0 && text.as_bytes().get(55) == Some(&b'-'));
        let lower = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b'-');
        if !is_whole || !text.bytes().take(55).all(lower) {
            return None;
        }
        let mut parts = tail.get(1..53)?.split('-');
        let (trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?);
        let (trace_id, span_id) = (bytes(trace)?, bytes(span)?);
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        let flags = u8::from_str_radix(flags, 16).ok()?;
        let state =
            state.map(str::trim).filter(|state| !state.is_empty() && state.len() <= STATE_MAX);
        Some(Parent { trace_id, span_id, is_sampled: flags & 1 == 1, state: state.map(Box::from) })
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if hex.len() != 2 * N {
        return None;
    }
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The header `traceparent` that names this span as the parent.
#[must_use]
pub fn traceparent(trace_id: &TraceId, span_id: &SpanId, is_sampled: bool) -> String {
    format!("00-{}-{}-0{}", hex(trace_id), hex(span_id), u8::from(is_sampled))
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// The share of traces, 0 to 1.
    pub share: f64,
    /// Whether a client that says whether it records a trace decides.
    pub obeys_parent: bool,
}

impl Default for Sampler {
    fn default() -> Sampler {
        Sampler { share: 1.0, obeys_parent: true }
    }
}

impl Sampler {
    /// Whether the trace is recorded. Every process with the same share decides alike.
    #[must_use]
    pub fn samples(self, trace_id: &TraceId, parent: Option<&Parent>) -> bool {
        match parent {
            Some(parent) if self.obeys_parent => parent.is_sampled,
            Some(_) | None => is_within(self.share, trace_id),
        }
    }
}

/// Whether an id is in this share of all ids.
#[must_use]
pub fn is_within(share: f64, trace_id: &TraceId) -> bool {
    if share >= 1.0 {
        return true;
    }
    let tail = trace_id.iter().skip(8).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    let place = (tail >> 1) as f64 / (1_u64 << 63) as f64;
    place < share
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        let parent = Parent::read(HEADER, Some("a=b")).unwrap();
        assert!(parent.is_sampled);
        assert_eq!(parent.state.as_deref(), Some("a=b"));
        assert_eq!(traceparent(&parent.trace_id, &parent.span_id, parent.is_sampled), HEADER);
        let off = HEADER.replace("-01", "-00");
        assert!(!Parent::read(&off, None).unwrap().is_sampled);
        let later = format!("01{}-what-comes-later", &HEADER[2..]);
        assert_eq!(Parent::read(&later, None).unwrap().trace_id, parent.trace_id);
    }

    #[test]
    fn what_is_no_traceparent_is_as_if_absent() {
        for odd in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7x-01",
            "\u{e4}0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
        ] {
            assert_eq!(Parent::read(odd, None), None, "{odd}");
        }
        let long = "x".repeat(STATE_MAX + 1);
        assert_eq!(Parent::read(HEADER, Some(&long)).unwrap().state, None);
    }

    #[test]
    fn a_sampler_takes_its_share_and_obeys_the_client() {
        let id = |byte: u8| -> TraceId { [byte; 16] };
        let half = Sampler { share: 0.5, obeys_parent: true };
        assert!(half.samples(&id(0x10), None));
        assert!(!half.samples(&id(0xf0), None));
        let asks = Parent { is_sampled: true, ..Parent::read(HEADER, None).unwrap() };
        assert!(half.samples(&id(0xf0), Some(&asks)));
        let never = Sampler { share: 0.0, obeys_parent: false };
        assert!(!never.samples(&id(1), Some(&asks)));
        assert!(Sampler::default().samples(&id(0xff), None));
    }
}
