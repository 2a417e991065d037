//! Where a request comes from, as far as nobody can choose it.

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where proxies write whom they saw.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the connection, or what the outermost of so many proxies of ours saw.
pub fn address_of(headers: &HeaderMap, extensions: &Extensions, forwarded_hops: usize) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    match forwarded_hops {
        0 => peer,
        hops => forwarded(headers, hops).unwrap_or(peer),
    }
}

/// What is counted as one: who has one address of version 6 has all of its /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Each proxy adds whom it saw at the end: what stands before ours is anybody's word.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let all = headers.get_all(FORWARDED_FOR).into_iter().filter_map(|value| value.to_str().ok());
    let addresses: Vec<&str> = all.flat_map(|value| value.split(',')).map(str::trim).collect();
    let text = addresses.get(addresses.len().checked_sub(hops)?)?;
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_what_nobody_can_change_at_will() {
        for (address, counted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(address.parse().unwrap()), counted.parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn only_what_our_own_proxies_say_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, "10.9.9.9, 192.0.2.7, 10.0.0.1".parse().unwrap());
        assert_eq!(forwarded(&headers, 1), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(forwarded(&headers, 2), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(forwarded(&headers, 4), None);
        assert_eq!(forwarded(&HeaderMap::new(), 1), None);
    }
}
