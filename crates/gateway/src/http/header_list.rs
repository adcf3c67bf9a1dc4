//! Headers that hold lists.
//!
//! Called by authentication and by the handshake of a WebSocket.

use http::{HeaderMap, HeaderName};

/// The members of a list that may be spread over several header lines.
pub(crate) fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|one| !one.is_empty())
}
