//! Headers that hold lists, and headers that stand once.
//!
//! Called by authentication, the guard against foreign pages and the handshake of a WebSocket.

use http::{HeaderMap, HeaderName};

/// The members of a list that may be spread over several header lines.
pub(crate) fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|one| !one.is_empty())
}

/// The value of a header that is sent exactly once.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    if all.next().is_some() { None } else { first.to_str().ok().map(str::trim) }
}
