//! A new connection: proxy, DNS, happy eyeballs, TCP, TLS.
//!
//! Called by [`super::send`]. Always true: no connection attempt takes longer than
//! [`CONNECT_MS`], each failure says which step failed, and `HTTPS_PROXY` and `NO_PROXY` are honoured
//! for TLS upstreams.

use std::cell::Cell;
use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use hale_core::time::Millis;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::net::TcpStream;
use tower_service::Service;

use super::dns::{Resolver, Unresolved};
use super::link::Link;
use super::stream::Stream;
use super::{SendError, Upstream, pool, tls};
use crate::clock;

/// How long TCP and TLS may take together, milliseconds. Source: the reference's connect timeout.
pub(crate) const CONNECT_MS: u64 = 5_000;

/// No descriptor left for this process, none for the machine; the same numbers on all our platforms.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

static PROXIES: LazyLock<Matcher> = LazyLock::new(Matcher::from_env);

/// A new connection to `upstream`.
///
/// # Errors
/// Which step failed, and why.
pub(crate) async fn connect(upstream: &Upstream) -> Result<Box<Link>, SendError> {
    let limit = Duration::from_millis(CONNECT_MS);
    let began = clock::now();
    let accepted = Cell::new(false);
    let stream =
        tokio::time::timeout(limit, open(upstream, &accepted)).await.unwrap_or_else(|_| {
            let seconds = CONNECT_MS / 1000;
            Err(if accepted.get() {
                SendError::Tls(format!("the server did not finish it within {seconds} s"))
            } else {
                SendError::Connect(format!("nothing answered within {seconds} s"))
            })
        })?;
    Ok(Box::new(Link::new(upstream.key.clone(), stream, clock::now().since(began))))
}

/// TCP and TLS; `accepted` tells whether the first is done.
async fn open(upstream: &Upstream, accepted: &Cell<bool>) -> Result<Stream, SendError> {
    let host = match upstream.address() {
        Some(address) if address.is_ipv6() => format!("[{}]", upstream.host),
        _ => upstream.host.clone(),
    };
    let scheme = if upstream.tls { "https" } else { "http" };
    let target: Uri = format!("{scheme}://{host}:{}/", upstream.port)
        .parse()
        .map_err(|_| SendError::Connect(format!("{host} is no valid host name")))?;
    let proxy = if upstream.tls { PROXIES.intercept(&target) } else { None };
    let tcp = match proxy {
        Some(proxy) => through_proxy(&proxy, target).await?,
        None => directly(upstream, target).await?,
    };
    accepted.set(true);
    if upstream.tls {
        Ok(Stream::Tls(Box::new(tls::handshake(upstream, tcp).await?)))
    } else {
        Ok(Stream::Plain(tcp))
    }
}

fn connector() -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(Resolver);
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector
}

async fn directly(upstream: &Upstream, target: Uri) -> Result<TcpStream, SendError> {
    let first = match connector().call(target.clone()).await {
        Ok(stream) => return Ok(stream.into_inner()),
        Err(error) => explain(&upstream.host, &error),
    };
    if !matches!(first, SendError::NoDescriptors) {
        return Err(first);
    }
    // Connections that nobody uses are given up for one that somebody needs.
    pool::close_idle(Millis(u64::MAX));
    match connector().call(target).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(explain(&upstream.host, &error)),
    }
}

async fn through_proxy(proxy: &Intercept, target: Uri) -> Result<TcpStream, SendError> {
    let address = proxy.uri().clone();
    if address.scheme_str() != Some("http") {
        return Err(SendError::Connect(format!(
            "the proxy {} is not supported; HTTPS_PROXY must be an http:// address",
            address.authority().map_or("", http::uri::Authority::host),
        )));
    }
    let mut tunnel = Tunnel::new(address.clone(), connector());
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    match tunnel.call(target).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => {
            let host = address.authority().map_or("", http::uri::Authority::host);
            Err(SendError::Connect(format!("through the proxy {host}: {}", innermost(&error))))
        }
    }
}

fn explain(host: &str, error: &(dyn Error + 'static)) -> SendError {
    let mut cause = Some(error);
    while let Some(step) = cause {
        let code = step.downcast_ref().and_then(std::io::Error::raw_os_error);
        if matches!(code, Some(EMFILE | ENFILE)) {
            return SendError::NoDescriptors;
        }
        if let Some(Unresolved(reason)) = step.downcast_ref() {
            return SendError::Dns { host: host.to_owned(), reason: reason.clone() };
        }
        cause = step.source();
    }
    SendError::Connect(innermost(error))
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

    use super::super::dns;
    use super::*;

    #[test]
    fn f19_a_dead_address_gives_way_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let dead = [
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
            IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect_to = |host: &str, addresses: Vec<IpAddr>| {
            dns::remember(host, addresses);
            let upstream = Upstream::parse(&format!("http://{host}:{port}/v1"));
            runtime.block_on(connect(&upstream)).map(drop)
        };
        for (one, name) in dead.into_iter().zip(["a.example", "b.example", "c.example"]) {
            let both = vec![one, IpAddr::V4(Ipv4Addr::LOCALHOST)];
            assert!(connect_to(name, both).is_ok(), "{one}");
        }
        let error = connect_to("all-dead.example", dead.to_vec()).unwrap_err();
        assert!(matches!(error, SendError::Connect(_)), "{error}");
    }
}
