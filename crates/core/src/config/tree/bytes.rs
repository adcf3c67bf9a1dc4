//! The text of a file, if its bytes are text.
//!
//! Called by [`super::parse`]. Always true: a refusal names the offset of the bad byte in the file, and shows no byte of it.

use super::super::problem::Wrong;

/// Largest file, bytes.
pub const MAX_BYTES: usize = 10 << 20;

/// The text of `bytes` without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Wrong> {
    if bytes.len() > MAX_BYTES {
        return Err(Wrong::new(
            format!("the file has more than {MAX_BYTES} bytes"),
            "split it with `include`",
        ));
    }
    let body = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let skipped = bytes.len() - body.len();
    if body.starts_with(b"\xFF\xFE") || body.starts_with(b"\xFE\xFF") {
        return Err(Wrong::new("the file is not UTF-8: it looks like UTF-16", "save it as UTF-8"));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let offset = error.valid_up_to() + skipped;
        Wrong::new(
            format!("the file is not UTF-8: bad byte at offset {offset}"),
            "save it as UTF-8",
        )
    })?;
    match memchr::memchr(0, body) {
        Some(offset) => Err(Wrong::new(
            format!("the file is not text: NUL byte at offset {}", offset + skipped),
            "save it as UTF-8 text",
        )),
        None => Ok(text),
    }
}
