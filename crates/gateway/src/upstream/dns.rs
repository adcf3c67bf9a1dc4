//! Resolves names and remembers their addresses, per worker.
//!
//! Called by [`super::connect`]. Always true: an answer is used for 30 s, and for 10 minutes when the
//! resolver fails; at most 1,024 names are remembered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
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

/// A name did not resolve; the reason.
#[derive(Debug)]
pub(super) struct Unresolved(pub(super) String);

/// The addresses of `host`.
///
/// # Errors
/// What the resolver says.
pub(super) async fn addresses(host: &str) -> Result<Vec<IpAddr>, Unresolved> {
    resolve(host.to_owned(), clock::now().millis(), lookup).await
}

/// Known addresses as the resolver that the connector needs.
#[derive(Clone, Debug)]
pub(super) struct Resolved(Arc<[IpAddr]>);

impl Resolved {
    pub(super) fn new(addresses: Vec<IpAddr>) -> Resolved {
        Resolved(addresses.into())
    }
}

impl tower_service::Service<Name> for Resolved {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        let sockets: Vec<SocketAddr> = self.0.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        ready(Ok(sockets.into_iter()))
    }
}

/// The addresses of `host`: the remembered ones, else those that `lookup` finds.
async fn resolve(
    host: String,
    now: Millis,
    lookup: impl AsyncFnOnce(&str) -> io::Result<Vec<IpAddr>>,
) -> Result<Vec<IpAddr>, Unresolved> {
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

/// Remembers addresses for a name that no resolver has.
#[cfg(test)]
pub(super) fn remember(host: &str, addresses: Vec<IpAddr>) {
    let now = clock::now().millis();
    KNOWN.with_borrow_mut(|known| known.insert(host.to_owned(), (now, addresses)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The addresses of a name when the resolver gives this answer at that moment.
    fn resolved(now: u64, answer: io::Result<Vec<IpAddr>>) -> Result<Vec<IpAddr>, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = resolve("name.example".to_owned(), Millis(now), async |_| answer);
        runtime.block_on(found).map_err(|Unresolved(reason)| reason)
    }

    fn address(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([192, 0, 2, last])]
    }

    fn failure() -> io::Result<Vec<IpAddr>> {
        Err(io::Error::other("failed to lookup address information"))
    }

    #[test]
    fn the_last_good_addresses_serve_for_ten_minutes_while_the_resolver_fails() {
        // Bad input, row F19.
        assert_eq!(resolved(0, Ok(address(1))), Ok(address(1)));
        assert_eq!(resolved(FRESH_MS - 1, Ok(address(2))), Ok(address(1)), "fresh: no lookup");
        assert_eq!(resolved(FRESH_MS, failure()), Ok(address(1)));
        assert_eq!(
            resolved(STALE_MS - 1, Ok(Vec::new())),
            Ok(address(1)),
            "no address is a failure"
        );
        let error = resolved(STALE_MS, failure()).unwrap_err();
        assert_eq!(error, "failed to lookup address information");
        assert_eq!(resolved(STALE_MS, Ok(Vec::new())), Err("it has no address".to_owned()));
    }

    #[test]
    fn a_name_that_moves_is_followed_within_half_a_minute() {
        // Bad input, row F19.
        assert_eq!(resolved(0, Ok(address(1))), Ok(address(1)));
        assert_eq!(resolved(FRESH_MS, Ok(address(2))), Ok(address(2)));
        assert_eq!(resolved(FRESH_MS + 1, failure()), Ok(address(2)));
    }

    #[test]
    fn names_beyond_the_bound_are_resolved_but_not_remembered() {
        let full = (0..NAMES_MAX).map(|n| (format!("n{n}"), (Millis(0), address(9)))).collect();
        KNOWN.set(full);
        assert_eq!(resolved(0, Ok(address(1))), Ok(address(1)));
        assert_eq!(resolved(0, Ok(address(2))), Ok(address(2)));
        assert_eq!(KNOWN.with_borrow(HashMap::len), NAMES_MAX);
    }
}
