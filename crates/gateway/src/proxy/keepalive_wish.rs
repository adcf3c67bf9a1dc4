//! What a client says about comments in its silent stream.
//!
//! Read with the other facts of a request ([`super::facts`]). Always true: the header wins; a value that is no number of seconds changes
//! nothing, since most deployments do not let clients say it at all.

use hale_wire::peek::{Peek, seconds_to_ms};
use http::{HeaderMap, HeaderName};

static HEADER: HeaderName = HeaderName::from_static("x-litellm-keepalive-seconds");

/// After how much silence it wants a comment, milliseconds; 0 is never.
pub(super) fn keepalive_ms(peek: &Peek, headers: &HeaderMap) -> Option<u64> {
    let header = headers.get(&HEADER).and_then(|value| value.to_str().ok());
    let field = || peek.has_controls().then(|| peek.raw("keepalive_seconds")).flatten();
    header.and_then(ms).or_else(|| field().and_then(ms))
}

/// A number of seconds from 0 to 86400, as milliseconds.
fn ms(text: &str) -> Option<u64> {
    match text.trim().parse::<f64>() {
        Ok(0.0) => Some(0),
        Ok(_) => seconds_to_ms(text),
        Err(_) => None,
    }
}
