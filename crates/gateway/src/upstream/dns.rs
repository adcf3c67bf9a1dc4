//! Names to addresses, remembered per worker.
//!
//! Called by [`super::connect`]. Always true: an answer is used for 30 s, and for 10 minutes when the
//! resolver fails; at most 1,024 names are remembered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hale_core::time::Millis;
use hyper_util::client::legacy::connect::dns::Name;

use crate::clock;

const FRESH_MS: u64 = 30_000;
const STALE_MS: u64 = 600_000;
const NAMES_MAX: usize = 1_024;

thread_local! {
    static KNOWN: RefCell<HashMap<String, (Millis, Vec<IpAddr>)>> = RefCell::default();
}

/// A name did not resolve.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unresolved(pub(crate) String);

/// The resolver, in the shape that the connector wants.
#[derive(Clone, Debug)]
pub(crate) struct Resolver;

impl tower_service::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        Box::pin(async move {
            let addresses = resolve(host).await?;
            let sockets: Vec<SocketAddr> =
                addresses.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(sockets.into_iter())
        })
    }
}

async fn resolve(host: String) -> Result<Vec<IpAddr>, Unresolved> {
    let now = clock::now().millis();
    let known = KNOWN.with_borrow(|known| known.get(&host).cloned());
    if let Some((since, addresses)) = &known
        && now.since(*since) < FRESH_MS
    {
        return Ok(addresses.clone());
    }
    match lookup(&host).await {
        Ok(addresses) if !addresses.is_empty() => {
            KNOWN.with_borrow_mut(|known| {
                if known.len() < NAMES_MAX || known.contains_key(&host) {
                    known.insert(host, (now, addresses.clone()));
                }
            });
            Ok(addresses)
        }
        failed => match known {
            Some((since, addresses)) if now.since(since) < STALE_MS => Ok(addresses),
            _ => Err(Unresolved(match failed {
                Err(error) => error.to_string(),
                Ok(_) => "it has no address".to_owned(),
            })),
        },
    }
}

async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.map(|socket| socket.ip()).collect())
}
