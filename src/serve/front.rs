//! Who is the client, when a front stands before us?
//!
//! Forwarding fields count only when the socket's other end is a listed front. The client is then the rightmost address
//! that is not a front: whatever stands left of it was written by the client itself.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::message::{Door, Peer};

/// The other end of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    address: IpAddr,
    trusted: bool,
    door: Door,
}

impl Caller {
    pub(super) fn new(address: SocketAddr, fronts: &[IpNet], door: Door) -> Self {
        let address = address.ip().to_canonical();
        Self { address, trusted: is_front(fronts, address), door }
    }

    pub(super) fn is_front(&self) -> bool {
        self.trusted
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// Who sends this request.
    pub(super) fn peer(&self, headers: &HeaderMap, fronts: &[IpNet]) -> Peer {
        let mut peer = Peer {
            address: self.address,
            trusted_front: self.trusted,
            secure: self.door == Door::Https,
            door: self.door,
        };
        if self.trusted {
            peer.address = client(headers, fronts).unwrap_or(self.address);
            if let Some(secure) = secure(headers) {
                peer.secure = secure;
            }
        }
        peer
    }
}

fn is_front(fronts: &[IpNet], address: IpAddr) -> bool {
    fronts.iter().any(|front| front.contains(&address))
}

/// The rightmost address that is no front; the leftmost one if all are. Unreadable entries end the search: what is left
/// of them is worth nothing.
fn client(headers: &HeaderMap, fronts: &[IpNet]) -> Option<IpAddr> {
    let mut found = None;
    for value in headers.get_all("x-forwarded-for").iter().rev() {
        for entry in value.to_str().ok()?.rsplit(',') {
            let Some(address) = address(entry.trim()) else { return found };
            found = Some(address);
            if !is_front(fronts, address) {
                return found;
            }
        }
    }
    found
}

/// `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]`, each with or without a port.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    bare.parse()
        .or_else(|_| entry.parse::<SocketAddr>().map(|address| address.ip()))
        .map(|address: IpAddr| address.to_canonical())
        .ok()
}

/// What the front nearest to us says of the client's connection.
fn secure(headers: &HeaderMap) -> Option<bool> {
    let last = headers.get_all("x-forwarded-proto").iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    if last.eq_ignore_ascii_case("https") {
        Some(true)
    } else if last.eq_ignore_ascii_case("http") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(from: &str, headers: &[(&'static str, &str)]) -> Peer {
        let fronts: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Caller::new(SocketAddr::new(from.parse().unwrap(), 1), &fronts, Door::Plain).peer(&map, &fronts)
    }

    #[test]
    fn forwarding_fields_from_anybody_else_do_not_count() {
        let peer = peer("192.0.2.1", &[("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "https")]);
        assert_eq!((peer.address.to_string().as_str(), peer.trusted_front, peer.secure), ("192.0.2.1", false, false));
    }

    #[test]
    fn the_client_is_the_rightmost_address_that_is_no_front() {
        let cases: &[(&[&str], &str)] = &[
            (&["198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["6.6.6.6", "198.51.100.1", "10.1.1.1"], "198.51.100.1"),
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&["198.51.100.1, nonsense"], "10.0.0.1"),
            (&["198.51.100.1, nonsense, 10.1.1.1"], "10.1.1.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["::ffff:10.1.1.1"], "10.1.1.1"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ];
        for (values, wanted) in cases {
            let headers: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
            assert_eq!(peer("10.0.0.1", &headers).address.to_string(), *wanted, "{values:?}");
        }
    }

    #[test]
    fn the_nearest_front_tells_whether_the_client_spoke_tls() {
        for (value, secure) in
            [("https", true), ("http", false), ("https, http", false), ("http,HTTPS", true), ("x", false)]
        {
            assert_eq!(peer("10.0.0.1", &[("x-forwarded-proto", value)]).secure, secure, "{value}");
        }
        assert!(peer("::1", &[("x-forwarded-proto", "https")]).trusted_front);
        assert!(peer("::ffff:10.3.3.3", &[]).trusted_front);
    }
}
