//! How does a device without a browser come to its login (RFC 8628)?
//!
//! It asks for two codes, shows one of them, and polls with the other. Somebody types the first in a browser anywhere, sees
//! what asked, from where and when, and says yes or no. A guess of that code is one of 25 billion, and few are taken: of one
//! person and of one address so many in a minute, right ones included.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::sync::Cache;

use super::give::POLLED;
use super::user_code::UserCode;
use super::{OAuthFault, ask};
use crate::access::identity::Identity;
use crate::authenticate::Authenticator;
use crate::authenticate::credential::Secret;
use crate::authenticate::throttle::{Throttle, network, site};
use crate::authenticate::verdicts::Fingerprint;
use crate::mlflow::ids::UserName;
use crate::store::{Changed, NewDevice, StoreFault, TokenDigest, Waiting};

/// How long the codes of a device count, in seconds.
pub const EXPIRES_IN: u64 = 600;
/// How long a device waits before it asks again, in seconds.
pub const INTERVAL: u64 = 5;
/// A device that asks too soon waits so much longer (RFC 8628 section 3.5), in seconds.
const SLOWER: u64 = 5;
/// And at most so long.
const SLOWEST: u64 = 60;
/// What the network may add or take, in milliseconds.
const JITTER: u64 = 1000;
/// So often a code that is taken is drawn anew.
const DRAWS: usize = 4;
/// Codes for devices that one address may ask for in a minute.
const MOST_ASKED: u32 = 30;

/// And so many all networks of one site: they count for ten minutes, and 10,000 may wait at a time.
const MOST_ASKED_OF_SITE: u32 = 120;

/// What a device gets.
pub struct DeviceCodes {
    /// What it polls with.
    pub device_code: Secret,
    /// What it shows.
    pub user_code: UserCode,
}

/// When which device asked last.
pub(in crate::authenticate) struct Polls {
    asked: Cache<Fingerprint, Arc<Mutex<Poll>>>,
    /// Codes that were asked for.
    fresh: Throttle<IpAddr>,
    fresh_of_site: Throttle<IpAddr>,
}

#[derive(Clone, Copy)]
struct Poll {
    last: u64,
    interval: u64,
}

impl Polls {
    pub(in crate::authenticate) fn new() -> Self {
        let kept = Duration::from_secs(EXPIRES_IN);
        Self {
            asked: Cache::builder().max_capacity(20_000).time_to_idle(kept).build(),
            fresh: Throttle::new(MOST_ASKED),
            fresh_of_site: Throttle::new(MOST_ASKED_OF_SITE),
        }
    }

    /// Notes that a device asks for codes. Tells when to come back if it was one too many.
    fn asks(&self, address: IpAddr, now: u64) -> Option<Duration> {
        // What one network is refused does not count against its neighbours.
        self.fresh.wrong(network(address), now).or_else(|| self.fresh_of_site.wrong(site(address), now))
    }

    /// Whether the device asks too soon. Then it must wait longer than before.
    pub(super) fn too_soon(&self, code: &[u8], now: u64) -> bool {
        let mut first = false;
        let poll = self.asked.get_with(Fingerprint::of(code), || {
            first = true;
            Arc::new(Mutex::new(Poll { last: now, interval: INTERVAL }))
        });
        if first {
            return false;
        }
        let mut poll = poll.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = now.saturating_sub(poll.last) + JITTER < 1000 * poll.interval;
        poll.last = now;
        if soon {
            poll.interval = (poll.interval + SLOWER).min(SLOWEST);
        }
        soon
    }
}

/// Who typed how many wrong codes.
pub(in crate::authenticate) struct Typed {
    by: Throttle<UserName>,
    from: Throttle<IpAddr>,
}

impl Typed {
    pub(in crate::authenticate) fn new(most: u32) -> Self {
        Self { by: Throttle::new(most), from: Throttle::new(most) }
    }

    /// Whether whoever types has typed too many wrong ones: then even a right one does not count.
    fn check(&self, who: &UserName, from: IpAddr, now: u64) -> Result<(), OAuthFault> {
        match self.by.is_full(who, now).max(self.from.is_full(&network(from), now)) {
            Some(retry_after) => Err(OAuthFault::Throttled { retry_after }),
            None => Ok(()),
        }
    }

    fn wrong(&self, who: &UserName, from: IpAddr, now: u64) {
        let _ = (self.by.wrong(who.clone(), now), self.from.wrong(network(from), now));
    }
}

impl Authenticator {
    /// The codes for a device that asks from `address`.
    ///
    /// # Errors
    /// [`OAuthFault`]; then there are none.
    pub async fn ask_for_device(&self, named: &str, address: IpAddr) -> Result<DeviceCodes, OAuthFault> {
        if !self.logins.allow {
            return Err(OAuthFault::Off);
        }
        if let Some(retry_after) = self.polls.asks(address, self.clock.seconds()) {
            return Err(OAuthFault::Throttled { retry_after });
        }
        let mut draws = 0;
        loop {
            draws += 1;
            let (device_code, user_code) = (self.sealed_code(POLLED)?, UserCode::make()?);
            let new = NewDevice {
                digest: TokenDigest::of(device_code.as_bytes()),
                user_code: Arc::from(user_code.as_str()),
                device: Arc::from(ask::device(named)),
                // INVARIANT: the store counts by it; all addresses of an IPv6 network are one client's.
                address: network(address),
                expires: self.clock.millis() + 1000 * EXPIRES_IN,
            };
            match self.store.await_device(new).await {
                Ok(()) => return Ok(DeviceCodes { device_code, user_code }),
                Err(StoreFault::Exists { .. }) if draws < DRAWS => {}
                Err(StoreFault::TooManyOpen) => {
                    return Err(OAuthFault::Throttled { retry_after: Duration::from_mins(1) });
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// The device that waits for what somebody typed.
    ///
    /// # Errors
    /// [`OAuthFault::Unknown`] where none does, [`OAuthFault::Throttled`] where too many wrong ones were typed.
    pub async fn typed_code(
        &self,
        typed: &str,
        who: &Identity,
        from: IpAddr,
    ) -> Result<(UserCode, Waiting), OAuthFault> {
        if !self.logins.allow {
            return Err(OAuthFault::Off);
        }
        let now = self.clock.seconds();
        self.typed.check(&who.user, from, now)?;
        let found = match UserCode::read(typed) {
            Some(code) => self.store.waiting(code.as_str()).await?.map(|waiting| (code, waiting)),
            None => None,
        };
        found.ok_or_else(|| {
            self.typed.wrong(&who.user, from, now);
            OAuthFault::Unknown("code")
        })
    }

    /// Says yes or no to the device that waits for what somebody typed.
    ///
    /// # Errors
    /// As [`Authenticator::typed_code`].
    pub async fn decide_device(
        &self,
        typed: &str,
        who: &Identity,
        from: IpAddr,
        approve: bool,
    ) -> Result<Waiting, OAuthFault> {
        let (code, waiting) = self.typed_code(typed, who, from).await?;
        match self.store.decide_device(code.as_str(), &who.user, approve).await? {
            Changed::Rows(_) => Ok(waiting),
            Changed::Nothing => Err(OAuthFault::Unknown("code")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_asks_too_often_is_slowed_down_and_another_is_not() {
        let polls = Polls::new();
        assert!(!polls.too_soon(b"one", 0), "the first time of all");
        assert!(!polls.too_soon(b"one", 5000));
        assert!(!polls.too_soon(b"one", 9200), "the network takes and gives");
        assert!(polls.too_soon(b"one", 10_000));
        assert!(polls.too_soon(b"one", 16_000), "ten seconds by now");
        assert!(!polls.too_soon(b"two", 16_000));
        assert!(!polls.too_soon(b"one", 31_000));
        for n in 0..50 {
            polls.too_soon(b"one", 31_000 + n);
        }
        assert!(!polls.too_soon(b"one", 92_000), "never longer than a minute");
    }

    #[test]
    fn whoever_has_many_networks_fills_no_room_with_devices() {
        let polls = Polls::new();
        let host = |net: u32, host: u32| format!("2001:db8:7:{net:x}::{host:x}").parse().unwrap();
        for net in 0..4 {
            for n in 0..30 {
                assert_eq!(polls.asks(host(net, n), 1000), None, "{net} {n}");
            }
            assert!(polls.asks(host(net, 99), 1000).is_some(), "the addresses of one network are one");
        }
        assert!(polls.asks(host(4, 1), 1000).is_some(), "another network of the same site");
        assert_eq!(polls.asks("2001:db8:8::1".parse().unwrap(), 1000), None, "another site");
        assert_eq!(polls.asks(host(4, 1), 1060), None, "a new minute");
    }
}
