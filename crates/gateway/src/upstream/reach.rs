//! Which addresses a connection may lead to. A deployment's may lead anywhere: its config is the operator's. What a client names
//! may lead to the public internet only, unless the operator says otherwise.
//!
//! Used by [`super::connect`] for each connection and by [`super::fetch`]. Always true: what is checked is the address that is
//! connected to, never a name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where connections may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anywhere.
    #[default]
    Anywhere,
    /// To addresses of the public internet.
    Public,
}

impl Reach {
    /// Why no connection may lead to `address`; `None` if it may.
    pub(super) fn bars(self, address: IpAddr) -> Option<&'static str> {
        match self {
            Reach::Anywhere => None,
            Reach::Public => special(address),
        }
    }
}

/// What an address is that is not of the public internet. Source: the registries of special addresses,
/// <https://www.iana.org/assignments/iana-ipv4-special-registry> and
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, d] = address.octets();
    Some(match (a, b, c) {
        (127, ..) => "a loopback address",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "an address of a private network",
        (169, 254, _) => "a link-local address, where clouds have their metadata",
        (100, 64..=127, _) => "a shared address of a provider's network",
        (0, ..) => "an address of this network",
        // Azure's servers for its machines.
        (168, 63, 129) if d == 16 => "an address of the cloud's own",
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            "a reserved address"
        }
        (224..=239, ..) => "a multicast address",
        (240..=255, ..) => "a reserved address",
        _ => return None,
    })
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("a loopback address");
    }
    let parts = address.segments();
    let low = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        special_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Addresses that stand for one of IPv4: mapped, translated, 6to4.
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => low(a, b),
        [0x2002, a, b, ..] => low(a, b),
        [0xfc00..=0xfdff, ..] => Some("an address of a private network"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Teredo and its kin, the addresses of documents and of tests.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some("a reserved address"),
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_reached() {
        let bars = |text: &str| Reach::Public.bars(text.parse().unwrap());
        for public in
            ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.0.1", "172.32.0.1", "100.63.0.1"]
        {
            assert_eq!(bars(public), None, "{public}");
            assert_eq!(bars(&format!("::ffff:{public}")), None, "{public} mapped");
            assert_eq!(bars(&format!("64:ff9b::{public}")), None, "{public} translated");
        }
        for public in ["2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2002:808:808::1"] {
            assert_eq!(bars(public), None, "{public}");
        }
        for (barred, what) in [
            ("127.0.0.1", "loopback"),
            ("127.9.9.9", "loopback"),
            ("10.1.2.3", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.0.1", "private"),
            ("169.254.169.254", "metadata"),
            ("100.100.100.200", "shared"),
            ("0.0.0.0", "this network"),
            ("168.63.129.16", "cloud"),
            ("192.0.0.192", "reserved"),
            ("198.19.0.1", "reserved"),
            ("203.0.113.7", "reserved"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "reserved"),
        ] {
            for text in
                [barred.to_owned(), format!("::ffff:{barred}"), format!("64:ff9b::{barred}")]
            {
                let why = bars(&text).unwrap_or_else(|| panic!("{text}"));
                assert!(why.contains(what), "{text}: {why}");
                assert_eq!(Reach::Anywhere.bars(text.parse().unwrap()), None);
            }
        }
        for barred in [
            "::1",
            "::",
            "::7f00:1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
            "64:ff9b:1::1",
            "100::1",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(bars(barred).is_some(), "{barred}");
        }
    }
}
