//! What keeps the pages that a browser shows out of a gateway without a secret key.
//!
//! Called by the router for every endpoint that is not public, before the key is looked at. Always true: a secret key
//! keeps pages out by itself, so that a gateway with one compares nothing here; a page of another origin is refused
//! by what its browser says of it, and a name that an attacker made to point at this machine by the name.

use std::net::IpAddr;

use hale_core::secret::Secret;
use http::request::Parts;
use http::{HeaderName, header};

use super::header_list::only;
use super::refusal::{self, Refusal};

/// Says in which relation the page stands to the gateway: <https://www.w3.org/TR/fetch-metadata/>.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which machines reach the gateway's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This one alone.
    ThisMachine,
    /// Others too.
    Others,
}

impl Reach {
    /// Which machines reach a listener on `ip`.
    pub(crate) fn of(ip: IpAddr) -> Reach {
        if ip.is_loopback() { Reach::ThisMachine } else { Reach::Others }
    }
}

/// What keeps foreign pages out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// The key: a page does not know it.
    Key,
    /// The origin that the browser names.
    Origin,
    /// The origin, and the host: the address is one of this machine, so its names are the only right ones.
    OriginAndHost,
}

impl Guard {
    /// The guard of a gateway with this master key. A published key is no secret.
    pub(crate) fn of(master_key: Option<&Secret>, reach: Reach) -> Guard {
        match (master_key, reach) {
            (Some(key), Reach::ThisMachine | Reach::Others) if !key.is_published() => Guard::Key,
            (_, Reach::Others) => Guard::Origin,
            (_, Reach::ThisMachine) => Guard::OriginAndHost,
        }
    }

    /// Refuses a request of a foreign page.
    ///
    /// # Errors
    /// The refusal to send.
    pub(crate) fn admit(self, head: &Parts) -> Result<(), Refusal> {
        let host = match self {
            Guard::Key => return Ok(()),
            Guard::Origin | Guard::OriginAndHost => only(&head.headers, &header::HOST),
        };
        if self == Guard::OriginAndHost {
            let written = head.uri.authority().map(http::uri::Authority::as_str);
            if let Some(foreign) = host.into_iter().chain(written).find(|host| !is_loopback(host)) {
                return Err(refusal::foreign_host(foreign));
            }
        }
        if is_of_another_origin(head, host) {
            return Err(refusal::foreign_origin());
        }
        Ok(())
    }
}

/// Whether a page of another origin sent the request, by what its browser says of it.
pub(crate) fn is_foreign(head: &Parts) -> bool {
    is_of_another_origin(head, only(&head.headers, &header::HOST))
}

fn is_of_another_origin(head: &Parts, host: Option<&str>) -> bool {
    let mut sites = head.headers.get_all(FETCH_SITE).iter();
    if sites.any(|site| site.as_bytes().trim_ascii().eq_ignore_ascii_case(b"cross-site")) {
        return true;
    }
    if !head.headers.contains_key(header::ORIGIN) {
        return false;
    }
    let origin = only(&head.headers, &header::ORIGIN).and_then(|one| one.split_once("://"));
    !origin.zip(host).is_some_and(|((_, of), host)| of.eq_ignore_ascii_case(host))
}

/// Whether `host`, with or without a port, is a name or an address of this machine that no name service can change.
fn is_loopback(host: &str) -> bool {
    if let Some(bracketed) = host.strip_prefix('[') {
        let Some((address, port)) = bracketed.split_once(']') else { return false };
        let ip = address.parse::<IpAddr>();
        return is_port(port) && ip.is_ok_and(|ip| ip.to_canonical().is_loopback());
    }
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    let name = name.strip_suffix('.').unwrap_or(name);
    let ends_so = name.len().checked_sub(".localhost".len()).and_then(|at| name.get(at..));
    is_port(port)
        && (name.eq_ignore_ascii_case("localhost")
            || ends_so.is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
            || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()))
}

/// Whether `text` is empty or a colon and a number.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':');
    text.is_empty() || digits.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::get("/v1/models");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn reason(guard: Guard, lines: &[(&str, &str)]) -> Option<&'static str> {
        guard.admit(&head(lines)).err().map(|refusal| refusal.reply.reason)
    }

    #[test]
    fn only_names_and_addresses_of_this_machine_are_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:4000",
            "localhost.:1",
            "a.b.localhost:80",
            "127.0.0.1",
            "127.9.9.9:4000",
            "[::1]",
            "[::1]:4000",
            "[::ffff:127.0.0.1]:4000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            ":4000",
            "evil.example",
            "evil.example:4000",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "127.1",
            "0.0.0.0:4000",
            "10.0.0.1",
            "[::1",
            "[::1]evil",
            "[::]:4000",
            "localhost:x",
            "localhost:80:90",
            "user@localhost",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn the_guard_follows_the_key_and_the_address() {
        let (secret, published) = (Secret::new("sk-of-our-own"), Secret::new("sk-1234"));
        for reach in [Reach::ThisMachine, Reach::Others] {
            assert_eq!(Guard::of(Some(&secret), reach), Guard::Key);
        }
        for key in [None, Some(&published)] {
            assert_eq!(Guard::of(key, Reach::Others), Guard::Origin);
            assert_eq!(Guard::of(key, Reach::ThisMachine), Guard::OriginAndHost);
        }
    }

    #[test]
    fn a_page_of_another_origin_is_refused_and_the_own_one_is_not() {
        let own = ("host", "127.0.0.1:4000");
        for guard in [Guard::Origin, Guard::OriginAndHost] {
            assert_eq!(reason(guard, &[own]), None);
            assert_eq!(reason(guard, &[own, ("origin", "http://127.0.0.1:4000")]), None);
            assert_eq!(reason(guard, &[own, ("sec-fetch-site", "same-origin")]), None);
            for foreign in [
                &[own, ("origin", "https://evil.example")][..],
                &[own, ("origin", "null")],
                &[own, ("origin", "http://127.0.0.1:3000")],
                &[own, ("origin", "http://127.0.0.1:4000"), ("origin", "https://evil.example")],
                &[own, ("sec-fetch-site", "Cross-Site")],
                &[own, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
                &[("origin", "http://127.0.0.1:4000")],
            ] {
                assert_eq!(reason(guard, foreign), Some("foreign_origin"), "{foreign:?}");
            }
        }
        assert_eq!(reason(Guard::Key, &[("origin", "https://evil.example")]), None);
    }

    #[test]
    fn a_foreign_host_is_refused_where_only_this_machine_is_served() {
        let rebound = [("host", "evil.example:4000"), ("origin", "http://evil.example:4000")];
        assert_eq!(reason(Guard::OriginAndHost, &rebound), Some("foreign_host"));
        assert_eq!(reason(Guard::Origin, &rebound), None);
        let mut absolute = head(&[("host", "localhost")]);
        absolute.uri = "http://evil.example/v1/models".parse().unwrap();
        assert!(Guard::OriginAndHost.admit(&absolute).is_err());
    }
}
