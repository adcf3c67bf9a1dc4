//! The address of an upstream: scheme, host and port, and what follows from them.
//!
//! Made once per deployment by [`super::target`]; read by everything that opens connections. Always true: it
//! comes from a base URL that the config loader has checked.

use std::net::IpAddr;

use hale_core::settings::KeptConnections;

use super::reach::Reach;

/// A scheme, host and port, with what follows from them.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Whether it uses TLS.
    pub(crate) tls: bool,
    /// The host without brackets.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// The value of the `host` header.
    pub(crate) authority: String,
    /// The path of the base URL.
    pub(crate) base_path: String,
    /// The key of its connections in the pool.
    pub(crate) key: String,
    /// How its connections are used again.
    pub(super) kept: KeptConnections,
    /// Where its connections may lead.
    pub(super) reach: Reach,
}

impl Upstream {
    /// The upstream of a base URL that the config loader has checked.
    pub(crate) fn parse(base: &str) -> Upstream {
        let (tls, place) = match base.split_once("://") {
            Some(("http", place)) => (false, place),
            Some((_, place)) => (true, place),
            None => (true, base),
        };
        let (authority, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
        let default_port = if tls { 443 } else { 80 };
        let (host, port) = split_port(authority).unwrap_or((authority, default_port));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Upstream {
            tls,
            kept: KeptConnections::default(),
            reach: Reach::Anywhere,
            key: format!("{}{host}:{port}", if tls { "https://" } else { "http://" }),
            host,
            port,
            authority: authority.to_owned(),
            base_path: path.to_owned(),
        }
    }

    /// The same, with connections that are used again as `kept` says.
    pub(super) fn keeping(self, kept: KeptConnections) -> Upstream {
        Upstream { kept, ..self }
    }

    /// The same, with connections that lead no further than `reach`.
    pub(super) fn within(self, reach: Reach) -> Upstream {
        Upstream { reach, ..self }
    }

    /// The host as an IP address, if it is one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

fn split_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = authority.rsplit_once(':')?;
    // In a bare IPv6 address the last colon separates no port.
    if host.contains(':') && !host.ends_with(']') {
        return None;
    }
    Some((host, port.parse().ok()?))
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
