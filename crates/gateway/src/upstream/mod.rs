//! The only door to the outside: connections to upstreams, kept per worker.
//!
//! Called by `proxy::attempt`. Always true: a connection belongs to the thread that made it,
//! travels with the request that uses it, and is closed when that request is dropped half-way.

mod connect;
mod dns;
pub(crate) mod entra;
mod framing;
#[cfg(test)]
mod fuzz;
mod head;
mod link;
mod pool;
mod stream;
mod switched;
mod tls;

use std::cell::Cell;
use std::net::IpAddr;

pub(crate) use head::Outgoing;
pub(crate) use link::{Answer, AnswerBody};
pub(crate) use pool::close_idle;
pub(crate) use switched::Switched;
pub(crate) use tls::warm_up;

use hale_core::health::Obstacle;

use crate::clock;

/// A scheme, host and port, with what follows from them.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
    /// The host without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// What stands in the `host` header.
    pub(crate) authority: String,
    /// The path of the base URL.
    pub(crate) base_path: String,
    /// What connections are kept under.
    pub(crate) key: String,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// The name did not resolve.
    #[error("the name {host} does not resolve: {reason}")]
    Dns { host: String, reason: String, obstacle: Obstacle },
    /// No connection.
    #[error("no connection: {reason}")]
    Connect { reason: String, obstacle: Obstacle },
    /// This process may open no more connections.
    #[error("this process has no descriptors left; raise its limit of open files (ulimit -n)")]
    NoDescriptors,
    /// No TLS session.
    #[error("the TLS handshake failed: {reason}")]
    Tls { reason: String, obstacle: Obstacle },
    /// The connection ended before any byte of an answer.
    #[error("the connection was closed before an answer came")]
    Closed,
    /// The connection ended in the head of the answer.
    #[error("the connection was closed in the head of the answer")]
    Cut,
    /// What came is no HTTP.
    #[error("the answer is not valid HTTP: {0}")]
    Protocol(String),
}

impl SendError {
    /// What stood in the way; nothing where it was this process.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        match self {
            SendError::Dns { obstacle, .. }
            | SendError::Connect { obstacle, .. }
            | SendError::Tls { obstacle, .. } => Some(*obstacle),
            SendError::NoDescriptors => None,
            SendError::Closed | SendError::Cut => Some(Obstacle::Closed),
            SendError::Protocol(_) => Some(Obstacle::NotHttp),
        }
    }
}

/// How far a request has come, for whom it takes too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The name is being resolved.
    Name,
    /// The proxy is being reached, and asked for a way.
    Proxy,
    /// The connection is being made.
    Tcp,
    /// The TLS session is being made.
    Tls,
    /// The answer is awaited; where a request begins that finds a kept connection.
    #[default]
    Answer,
}

impl Stage {
    /// What stands in the way of a request that comes no further.
    pub(crate) fn obstacle(self) -> Obstacle {
        match self {
            Stage::Name => Obstacle::ResolverSilent,
            Stage::Proxy => Obstacle::Proxy,
            Stage::Tcp => Obstacle::Filtered,
            Stage::Tls => Obstacle::HandshakeSilent,
            Stage::Answer => Obstacle::NoAnswer,
        }
    }
}

impl Upstream {
    /// The upstream of a base URL that the config loader has checked.
    pub(crate) fn parse(base: &str) -> Upstream {
        let (tls, rest) = match base.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some((_, rest)) => (true, rest),
            None => (true, base),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let default_port = if tls { 443 } else { 80 };
        let (host, port) = split_port(authority).unwrap_or((authority, default_port));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Upstream {
            tls,
            key: format!("{}{host}:{port}", if tls { "https://" } else { "http://" }),
            host,
            port,
            authority: authority.to_owned(),
            base_path: path.to_owned(),
        }
    }

    /// The host as an address, when it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    // In a bare IPv6 address the last colon is no separator.
    if host.contains(':') && !host.ends_with(']') {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// How soon after sending a kept connection must turn out to be closed for the upstream not to have
/// worked on the request, microseconds: the news takes one way, a new connection took one and a half at
/// least.
fn race_us(made_in_us: u64) -> u64 {
    made_in_us.saturating_mul(3).clamp(100_000, 500_000)
}

/// Sends `request` to `upstream` and waits for the head of the answer.
///
/// A kept connection that turns out at once to be closed, before any byte of an answer, is replaced
/// by a new one: the upstream closed it while it was idle.
///
/// # Errors
/// Why no answer came.
pub(crate) async fn send(upstream: &Upstream, request: Outgoing<'_>) -> Result<Answer, SendError> {
    send_watched(upstream, request, &Cell::default()).await
}

/// The same; `stage` tells at any moment how far it has come.
///
/// # Errors
/// Why no answer came.
pub(crate) async fn send_watched(
    upstream: &Upstream,
    request: Outgoing<'_>,
    stage: &Cell<Stage>,
) -> Result<Answer, SendError> {
    if let Some(kept) = pool::take(upstream) {
        let (began, race_us) = (clock::now(), race_us(kept.made_in_us()));
        match link::exchange(kept, request).await {
            Err(SendError::Closed) if clock::now().since(began) < race_us => {}
            other => return other,
        }
    }
    // Boxed: most requests find a kept connection, and should not carry the room to make one.
    let fresh = Box::pin(connect::connect(upstream, stage)).await?;
    link::exchange(fresh, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_apart() {
        let parts = |base: &str| {
            let upstream = Upstream::parse(base);
            (upstream.tls, upstream.host, upstream.port, upstream.authority, upstream.base_path)
        };
        let expected = |tls, host: &str, port, authority: &str, path: &str| {
            (tls, host.to_owned(), port, authority.to_owned(), path.to_owned())
        };
        assert_eq!(
            parts("https://api.openai.com/v1"),
            expected(true, "api.openai.com", 443, "api.openai.com", "/v1")
        );
        assert_eq!(
            parts("http://127.0.0.1:8000"),
            expected(false, "127.0.0.1", 8000, "127.0.0.1:8000", "")
        );
        assert_eq!(parts("http://[::1]:8/x/y"), expected(false, "::1", 8, "[::1]:8", "/x/y"));
        assert_eq!(parts("http://[::1]"), expected(false, "::1", 80, "[::1]", ""));
    }
}
