//! Makes a new connection: proxy, DNS, happy eyeballs, TCP, TLS.
//!
//! Called by [`super::send`]. Always true: no connection attempt takes longer than [`CONNECT_MS`]; each
//! failure says which step failed; `HTTPS_PROXY` and `NO_PROXY` hold for TLS upstreams.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use hale_core::health::Obstacle;
use hale_core::time::Millis;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::Upstream;
use super::dns::{self, Resolved, Unresolved};
use super::error::SendError;
use super::link::Link;
use super::progress::{SendProgress, Stage};
use super::reach::Reach;
use super::stream::Stream;
use super::{pool, tls};
use crate::clock;

/// How long DNS, TCP and TLS may take together, milliseconds. LiteLLM allows as much.
pub(crate) const CONNECT_MS: u64 = 5_000;

/// The process, or the machine, has no descriptor left. The numbers are the same on all supported platforms.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

static PROXIES: LazyLock<Matcher> = LazyLock::new(Matcher::from_env);

/// A new connection to `upstream`; `progress` tells at any moment how far it has come.
///
/// # Errors
/// Which step failed, and why.
pub(super) async fn connect(
    upstream: &Upstream,
    progress: &SendProgress,
) -> Result<Box<Link>, SendError> {
    let limit = Duration::from_millis(CONNECT_MS);
    let began = clock::now();
    let opened = tokio::time::timeout(limit, open(upstream, progress)).await;
    let stream = opened.unwrap_or_else(|_late| Err(late(upstream, progress.stage())))?;
    progress.enter(Stage::Answer);
    let made_in_us = clock::now().since(began);
    Ok(Box::new(Link::new(upstream, stream, made_in_us)))
}

/// The failure of a connection that took too long.
fn late(upstream: &Upstream, stage: Stage) -> SendError {
    let seconds = CONNECT_MS / 1000;
    let obstacle = stage.obstacle();
    match stage {
        Stage::Name => {
            let reason = format!("the resolver did not answer within {seconds} s");
            SendError::Dns { host: upstream.host.clone(), reason, obstacle }
        }
        Stage::Proxy => {
            let reason = format!("the proxy opened no connection within {seconds} s");
            SendError::Connect { reason, obstacle }
        }
        Stage::Tcp => {
            let reason = format!("nothing answered within {seconds} s");
            SendError::Connect { reason, obstacle }
        }
        Stage::Credential | Stage::Tls | Stage::Answer => {
            let reason = format!("the server did not finish it within {seconds} s");
            SendError::Tls { reason, obstacle: Obstacle::HandshakeSilent }
        }
    }
}

/// Resolves the name, connects, and makes the TLS session.
async fn open(upstream: &Upstream, progress: &SendProgress) -> Result<Stream, SendError> {
    let target = uri(upstream, upstream.address())?;
    let proxy = if upstream.tls { PROXIES.intercept(&target) } else { None };
    let tcp = match proxy {
        Some(proxy) => {
            // A proxy resolves names by itself: where it may not lead anywhere, it gets the address that was checked.
            let target = match upstream.reach {
                Reach::Anywhere => target,
                Reach::Public => {
                    let checked = addresses(upstream, progress).await?;
                    uri(upstream, checked.first().copied())?
                }
            };
            through_proxy(&proxy, target, progress).await?
        }
        None => directly(upstream, target, progress).await?,
    };
    if !upstream.tls {
        return Ok(Stream::Plain(tcp));
    }
    progress.enter(Stage::Tls);
    Ok(Stream::Tls(Box::new(tls::handshake(upstream, tcp).await?)))
}

/// Where a connection to `upstream` leads, by its name, or to that address of it.
fn uri(upstream: &Upstream, address: Option<IpAddr>) -> Result<Uri, SendError> {
    let scheme = if upstream.tls { "https" } else { "http" };
    let host = match address {
        Some(IpAddr::V6(address)) => format!("[{address}]"),
        Some(IpAddr::V4(address)) => address.to_string(),
        None => upstream.host.clone(),
    };
    format!("{scheme}://{host}:{}/", upstream.port).parse().map_err(|_| {
        let reason = format!("{host} is not a valid host name");
        SendError::Connect { reason, obstacle: Obstacle::NoConnection }
    })
}

/// The addresses of `upstream` that a connection may lead to.
async fn addresses(upstream: &Upstream, progress: &SendProgress) -> Result<Vec<IpAddr>, SendError> {
    progress.enter(Stage::Name);
    let host = &upstream.host;
    let all = match upstream.address() {
        Some(address) => vec![address],
        None => dns::addresses(host).await.map_err(|Unresolved(reason)| SendError::Dns {
            host: host.clone(),
            reason,
            obstacle: Obstacle::NoAddress,
        })?,
    };
    // One is enough: which of them is connected to is not known yet.
    match all.iter().find_map(|ip| upstream.reach.bars(*ip)) {
        None => Ok(all),
        Some(what) => Err(SendError::Barred { host: host.clone(), what }),
    }
}

/// A connector to a host with these addresses; to the host itself if it is an address.
fn connector(addresses: Vec<IpAddr>) -> HttpConnector<Resolved> {
    let mut connector = HttpConnector::new_with_resolver(Resolved::new(addresses));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector
}

async fn directly(
    upstream: &Upstream,
    target: Uri,
    progress: &SendProgress,
) -> Result<TcpStream, SendError> {
    let mut connector = connector(addresses(upstream, progress).await?);
    progress.enter(Stage::Tcp);
    let first = match connector.call(target.clone()).await {
        Ok(stream) => return Ok(stream.into_inner()),
        Err(error) => explain(&error),
    };
    if !matches!(first, SendError::NoDescriptors) {
        return Err(first);
    }
    // Idle connections are given up for one that a request needs.
    pool::close_idle(Millis(u64::MAX));
    match connector.call(target).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(explain(&error)),
    }
}

async fn through_proxy(
    proxy: &Intercept,
    target: Uri,
    progress: &SendProgress,
) -> Result<TcpStream, SendError> {
    let address = proxy.uri().clone();
    let host = address.host().unwrap_or_default();
    let failed = |reason| SendError::Connect { reason, obstacle: Obstacle::Proxy };
    if address.scheme_str() != Some("http") {
        return Err(failed(format!(
            "the proxy {host} is not supported; HTTPS_PROXY must be an http:// address"
        )));
    }
    let through = |why: &str| failed(format!("through the proxy {host}: {why}"));
    progress.enter(Stage::Proxy);
    let own_name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = match own_name.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => dns::addresses(own_name).await.map_err(|Unresolved(why)| through(&why))?,
    };
    let mut tunnel = Tunnel::new(address.clone(), connector(addresses));
    if let Some(auth) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(auth.clone());
    }
    match tunnel.call(target).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(through(&innermost(&error))),
    }
}

fn explain(error: &(dyn Error + 'static)) -> SendError {
    let mut obstacle = Obstacle::NoConnection;
    let mut cause = Some(error);
    while let Some(step) = cause {
        if let Some(error) = step.downcast_ref::<io::Error>() {
            if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
                return SendError::NoDescriptors;
            }
            obstacle = match error.kind() {
                io::ErrorKind::ConnectionRefused => Obstacle::Refused,
                io::ErrorKind::TimedOut => Obstacle::Filtered,
                io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable => Obstacle::Unreachable,
                _ => obstacle,
            };
        }
        cause = step.source();
    }
    SendError::Connect { reason: innermost(error), obstacle }
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
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    use super::*;

    #[test]
    fn a_dead_address_gives_way_to_the_next() {
        // Bad input, row F19.
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
            runtime.block_on(connect(&upstream, &SendProgress::default())).map(drop)
        };
        for (one, name) in dead.into_iter().zip(["a.example", "b.example", "c.example"]) {
            let both = vec![one, IpAddr::V4(Ipv4Addr::LOCALHOST)];
            assert!(connect_to(name, both).is_ok(), "{one}");
        }
        // What a client named leads nowhere if one of its addresses is not public: the check sees what is connected to.
        let mixed = vec![IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::LOCALHOST)];
        for (name, all) in [("mixed.example", mixed), ("own.example", vec![dead[2]])] {
            dns::remember(name, all);
            let upstream = Upstream::parse(&format!("http://{name}:{port}/")).within(Reach::Public);
            let barred = runtime.block_on(connect(&upstream, &SendProgress::default()));
            let why = barred.map(drop).unwrap_err().to_string();
            assert_eq!(why, format!("{name} is a loopback address"));
        }
        let error = connect_to("all-dead.example", dead.to_vec()).unwrap_err();
        assert!(
            matches!(error.obstacle(), Some(Obstacle::Refused | Obstacle::Unreachable)),
            "{error}"
        );
    }
}
