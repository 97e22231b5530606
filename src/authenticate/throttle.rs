//! Has this address shown too many wrong credentials, or this token been shown wrong too often?
//!
//! Only wrong ones are counted and only wrong ones are answered with 429: a good credential from the same address (an
//! office behind one NAT) is never refused for what others do. Memory is bounded; an IPv6 network of 64 bits is one
//! address, since one client owns all of it.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::sync::Cache;

/// Addresses, or names of tokens, that are remembered at once.
const MOST: u64 = 50_000;
const WINDOW: u64 = 60;

/// Counts wrong credentials.
pub(super) struct Throttle<K> {
    most: u32,
    /// Begin of the window in seconds (upper half), wrong credentials in it (lower half).
    seen: Cache<K, Arc<AtomicU64>>,
}

impl<K: Hash + Eq + Send + Sync + 'static> Throttle<K> {
    /// `most` wrong credentials from one address, or under one name, in a minute.
    pub(super) fn new(most: u32) -> Self {
        // Twice the window: an entry must outlive the window that it counts.
        let seen = Cache::builder().max_capacity(MOST).time_to_idle(Duration::from_secs(2 * WINDOW)).build();
        Self { most, seen }
    }

    /// Whether there were as many wrong ones as there may be. For what is short enough to be guessed: then no further one is
    /// looked at, right or wrong. Tells when to come back.
    pub(super) fn is_full(&self, key: &K, now: u64) -> Option<Duration> {
        let seen = self.seen.get(key)?.load(Ordering::Relaxed);
        let (begin, count) = (seen >> 32, seen & 0xffff_ffff);
        let fresh = now < begin || now - begin >= WINDOW;
        (!fresh && count >= u64::from(self.most))
            .then(|| Duration::from_secs((begin + WINDOW).saturating_sub(now).max(1)))
    }

    /// Notes a wrong credential. Tells when to come back if it was one too many.
    pub(super) fn wrong(&self, key: K, now: u64) -> Option<Duration> {
        let entry = self.seen.get_with(key, || Arc::new(AtomicU64::new(now << 32)));
        let mut after = 0;
        let _ = entry.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
            let (begin, count) = (before >> 32, before & 0xffff_ffff);
            // A clock that went back begins a new window too.
            let fresh = now < begin || now - begin >= WINDOW;
            after = if fresh { now << 32 | 1 } else { begin << 32 | (count + 1).min(0xffff_ffff) };
            Some(after)
        });
        let (begin, count) = (after >> 32, after & 0xffff_ffff);
        (count > u64::from(self.most)).then(|| Duration::from_secs((begin + WINDOW).saturating_sub(now).max(1)))
    }
}

/// What an address counts as.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

/// What whoever has many networks counts as: 48 bits of an IPv6 address, which is what one customer is given (RFC 6177).
pub(super) fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_first_wrong_credential_of_a_minute_is_one_too_many() {
        let throttle = Throttle::new(20);
        let here = IpAddr::from([192, 0, 2, 1]);
        for n in 0..20 {
            assert_eq!(throttle.wrong(network(here), 1000 + n), None);
        }
        assert_eq!(throttle.wrong(network(here), 1020), Some(Duration::from_secs(40)));
        assert_eq!(throttle.wrong(network(here), 1059), Some(Duration::from_secs(1)));
        assert_eq!(throttle.wrong(network(IpAddr::from([192, 0, 2, 2])), 1059), None, "another address");
        assert_eq!(throttle.wrong(network(here), 1060), None, "a new minute");
    }

    #[test]
    fn what_can_be_guessed_is_not_looked_at_after_as_many_wrong_ones() {
        let throttle = Throttle::new(2);
        assert_eq!(throttle.is_full(&"alice", 1000), None);
        for (now, full) in [(1000, None), (1010, Some(Duration::from_secs(50)))] {
            let _ = throttle.wrong("alice", now);
            assert_eq!(throttle.is_full(&"alice", now), full);
        }
        assert_eq!(throttle.is_full(&"bob", 1010), None);
        assert_eq!(throttle.is_full(&"alice", 1060), None, "a new minute");
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_one_is_ipv4() {
        let throttle = Throttle::new(1);
        assert_eq!(throttle.wrong(network("2001:db8::1".parse().unwrap()), 0), None);
        assert!(throttle.wrong(network("2001:db8::ffff:2".parse().unwrap()), 0).is_some());
        assert_eq!(throttle.wrong(network("2001:db8:0:1::1".parse().unwrap()), 0), None);
        assert_eq!(throttle.wrong(network("192.0.2.9".parse().unwrap()), 0), None);
        assert!(throttle.wrong(network("::ffff:192.0.2.9".parse().unwrap()), 0).is_some());
    }
}
