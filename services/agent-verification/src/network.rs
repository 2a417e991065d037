//! Which addresses may be reached: the public internet, and networks that somebody has opened. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network, as in `10.0.0.0/8` or `fd00::/8`; an address without a length is itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; write it as in 10.0.0.0/8")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let no = || NotANetwork(text.to_owned());
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| no())?;
        let all = width(address);
        let bits = bits.map_or(Ok(all), |bits| bits.parse().map_err(|_| no()))?;
        if bits > all {
            return Err(no());
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        if width(address) != width(self.address) {
            return false;
        }
        let rest = u32::from(width(address) - self.bits);
        let network = |address: IpAddr| number(address).checked_shr(rest).unwrap_or(0);
        network(address) == network(self.address)
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Who may be reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct Border {
    open: Vec<Network>,
}

impl Border {
    pub(crate) fn new(open: Vec<Network>) -> Self {
        Self { open }
    }

    /// Whether a connection may be made to that address.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.open.iter().any(|network| network.contains(address)) || is_public(address)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// What is reserved for something else than hosts on the internet (RFC 6890 and its registry).
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0 // this network, and the unspecified address
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || (a == 100 && b & 0xc0 == 64) // shared by carriers, and by some clouds' metadata
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99) // 6to4 relays
        || (a == 198 && b & 0xfe == 18) // benchmarks
        || a >= 240; // reserved, and the broadcast
    !special
}

/// Of IPv6 only what is handed out as global unicast; an IPv4 address inside counts as that address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let inside = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(inside(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => is_public_v4(inside(high, low)),
        // Teredo and the other special uses in 2001::/23, documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn border(networks: &[&str]) -> Border {
        Border::new(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn only_the_public_internet_is_open_by_itself() {
        let closed = border(&[]);
        for public in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::1.1.1.1"]
        {
            assert!(closed.admits(public.parse().unwrap()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.8.9.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "192.0.0.170",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "100::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(!closed.admits(special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn what_somebody_opened_is_open_and_nothing_beside_it() {
        let some = border(&["10.1.0.0/16", "127.0.0.1", "fd00::/8", "192.168.7.128/25"]);
        for open in ["10.1.2.3", "127.0.0.1", "::ffff:127.0.0.1", "fd12::1", "192.168.7.200", "8.8.8.8"] {
            assert!(some.admits(open.parse().unwrap()), "{open}");
        }
        for shut in ["10.2.0.1", "127.0.0.2", "fc00::1", "192.168.7.127", "::1", "169.254.169.254"] {
            assert!(!some.admits(shut.parse().unwrap()), "{shut}");
        }
        let all = border(&["0.0.0.0/0", "::/0"]);
        assert!(all.admits("127.0.0.1".parse().unwrap()) && all.admits("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "intranet", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "1.2.3.4/8/9"]
        {
            assert!(text.parse::<Network>().is_err(), "{text:?}");
        }
    }
}
