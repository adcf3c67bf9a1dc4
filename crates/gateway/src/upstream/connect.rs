//! A new connection: proxy, DNS, happy eyeballs, TCP, TLS, HTTP.
//!
//! Called by [`super::send`]. Always true: no connection attempt takes longer than
//! [`CONNECT_MS`], each failure says which step failed, and `HTTPS_PROXY` and `NO_PROXY` are honoured
//! for TLS upstreams.

use std::cell::Cell;
use std::error::Error;
use std::sync::LazyLock;
use std::time::Duration;

use http::Uri;
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::dns::{Resolver, Unresolved};
use super::link::Link;
use super::stream::{Stream, Transport};
use super::{SendError, Upstream, tls};

/// How long TCP and TLS may take together, milliseconds. Source: the reference's connect timeout.
pub(crate) const CONNECT_MS: u64 = 5_000;
/// Largest head of an answer, bytes.
const HEAD_MAX: usize = 256 << 10;

static PROXIES: LazyLock<Matcher> = LazyLock::new(Matcher::from_env);

/// A new connection to `upstream`.
///
/// # Errors
/// Which step failed, and why.
pub(crate) async fn connect(upstream: &Upstream) -> Result<Box<Link>, SendError> {
    let limit = Duration::from_millis(CONNECT_MS);
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
    let read = stream.read_mark();
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| SendError::Connect(error.to_string()))?;
    Ok(Box::new(Link::new(upstream.key.clone(), sender, connection, read)))
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
        Ok(Stream::new(Transport::Tls(Box::new(tls::handshake(upstream, tcp).await?))))
    } else {
        Ok(Stream::new(Transport::Plain(tcp)))
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
