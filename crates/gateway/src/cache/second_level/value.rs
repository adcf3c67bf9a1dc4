//! An answer as bytes: a line that says what it is, a line about it, and its body.
//!
//! Used by [`super`]. Always true: what was not written here, or not whole, is not read as an answer.

use std::sync::Arc;

use bytes::Bytes;
use hale_core::time::Millis;
use serde::{Deserialize, Serialize};

use crate::cache::kept::{Head, KeptAnswer};
use crate::clock;

/// The first line; its number is that of this form.
const MAGIC: &str = "hale-answer 1\n";
/// The most bytes in front of a body.
pub(super) const HEAD_MAX: usize = 2 << 10;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    stream: bool,
    #[serde(borrow)]
    deployment: std::borrow::Cow<'a, str>,
    /// When it was complete, milliseconds of Unix time.
    made_ms: u64,
    /// How long it may be reused.
    kept_ms: u64,
    bytes: usize,
}

/// The bytes of `answer`, made at `made_ms` of Unix time and kept for `kept_ms`.
pub(super) fn write(answer: &KeptAnswer, (made_ms, kept_ms): (u64, u64)) -> Vec<u8> {
    let line = Line {
        stream: answer.head.is_stream,
        deployment: (&*answer.head.deployment).into(),
        made_ms,
        kept_ms,
        bytes: answer.body.len(),
    };
    let line = serde_json::to_string(&line).unwrap_or_default();
    let mut bytes = Vec::with_capacity(MAGIC.len() + line.len() + 1 + answer.body.len());
    bytes.extend_from_slice(MAGIC.as_bytes());
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&answer.body);
    bytes
}

/// The answer in `bytes`, which is kept for `left_ms` more, if the place of it knows that; `None` if there is none.
pub(super) fn read(bytes: Vec<u8>, left_ms: Option<u64>, now: Millis) -> Option<KeptAnswer> {
    let tail = bytes.strip_prefix(MAGIC.as_bytes())?;
    let end = tail.iter().take(HEAD_MAX).position(|byte| *byte == b'\n')?;
    let line: Line<'_> = serde_json::from_slice(&tail[..end]).ok()?;
    let start = MAGIC.len() + end + 1;
    if bytes.len() - start != line.bytes || std::str::from_utf8(&bytes[start..]).is_err() {
        return None;
    }
    // The clock of who keeps it counts, if it has one: those of two machines differ.
    let age_ms = match left_ms {
        Some(left_ms) => line.kept_ms.saturating_sub(left_ms),
        None => clock::unix_ms().saturating_sub(line.made_ms),
    };
    let left_ms = line.kept_ms.saturating_sub(age_ms);
    let head = Head { is_stream: line.stream, deployment: Arc::from(&*line.deployment) };
    let body = Bytes::from(bytes).slice(start..);
    (left_ms > 0).then_some(KeptAnswer { head, body, since: now, age_ms, until: now.plus(left_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> KeptAnswer {
        let head = Head { is_stream: true, deployment: "a \"b\"".into() };
        let body = Bytes::from_static(b"data: 1\n\n");
        KeptAnswer { head, body, since: Millis(40_000), age_ms: 0, until: Millis(100_000) }
    }

    #[test]
    fn an_answer_is_read_as_it_was_written() {
        let bytes = write(&answer(), (clock::unix_ms(), 60_000));
        let read = read(bytes, Some(45_000), Millis(2_000)).unwrap();
        let (since, until) = (Millis(2_000), Millis(47_000));
        assert_eq!(read, KeptAnswer { since, until, age_ms: 15_000, ..answer() });
    }

    #[test]
    fn its_age_is_that_of_its_file_where_no_server_counts() {
        let bytes = write(&answer(), (clock::unix_ms() - 10_000, 60_000));
        let read = read(bytes, None, Millis(900)).unwrap();
        assert!(read.age_ms >= 10_000 && read.until.since(read.since) <= 50_000, "{read:?}");
        let old = write(&answer(), (clock::unix_ms() - 70_000, 60_000));
        assert_eq!(super::read(old, None, Millis(900_000)), None, "its time has passed");
    }

    #[test]
    fn what_is_no_whole_answer_is_none() {
        let whole = write(&answer(), (0, 60_000));
        let now = Millis(0);
        assert!(read(whole.clone(), Some(1), now).is_some());
        for length in 0..whole.len() {
            assert_eq!(read(whole[..length].to_vec(), Some(1), now), None, "{length} bytes");
        }
        let longer = [&whole[..], b"x"].concat();
        let other = String::from_utf8(whole.clone()).unwrap().replace("answer 1", "answer 2");
        let binary = [&whole[..whole.len() - 1], &[0xff]].concat();
        for garbage in [longer, other.into_bytes(), binary, b"hale-answer 1\n{}\n".to_vec()] {
            assert_eq!(read(garbage, Some(1), now), None);
        }
    }
}
