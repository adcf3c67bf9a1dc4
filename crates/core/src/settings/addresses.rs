//! Ranges of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! Read from the config, asked by the gateway for each connection's other end. Always true: an address of IPv4 is the same whether it
//! is written as such or within IPv6.

use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    /// How many leading bits are the same.
    bits: u32,
}

impl AddressRange {
    /// Whether it has that address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let differs = u32::from(first) ^ u32::from(address);
                differs.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let differs = u128::from(first) ^ u128::from(address);
                differs.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for AddressRange {
    type Err = ();

    fn from_str(text: &str) -> Result<AddressRange, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let first: IpAddr = address.parse().map_err(drop)?;
        let most = if first.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most).ok_or(())?
            }
            Some(_) => return Err(()),
            None => most,
        };
        let range = AddressRange { first, bits };
        // An address that stands for another range than it reads like is a slip.
        let is_first = match first {
            IpAddr::V4(first) => u32::from(first).checked_shl(bits).unwrap_or(0) == 0,
            IpAddr::V6(first) => u128::from(first).checked_shl(bits).unwrap_or(0) == 0,
        };
        if is_first { Ok(range) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_addresses_that_begin_as_it_does() {
        for (range, address, has) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "fe80::1", true),
            ("::1", "::1", true),
        ] {
            let range: AddressRange = range.parse().unwrap();
            assert_eq!(range.has(address.parse().unwrap()), has, "{range:?} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for wrong in [
            "",
            "a",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0",
            "::1/64",
            "*",
        ] {
            assert_eq!(wrong.parse::<AddressRange>(), Err(()), "{wrong}");
        }
    }
}
