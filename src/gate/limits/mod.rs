//! May this caller have more, now?
//!
//! One runaway script must not starve the team. Three limits stand in a request's way: how many requests a second an
//! address may send (before anybody is recognised), how many a second somebody may send, and how many of theirs, and of
//! everybody's, MLflow answers at once. Whoever is known waits first, for `wait` at most, and in order: a stock client that
//! sends one request after the other only becomes slower. What waits holds no body. After that the answer is 429 for what one
//! caller does, 503 for what all do together, and `Retry-After` says when to come back: the stock client keeps to it, and
//! gives up after its seventh try (MLflow 3.17.2, `mlflow/utils/request_utils.py`), so it is never told to come back at once.
//!
//! Our own pages have places without limit and a rate of their own, so that whoever runs such a script can still end its
//! token. The limits are one gate's; several gates let through as many times as much.

mod places;
mod rate;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

pub use self::places::Place;
use self::places::Places;
pub use self::rate::Rate;
use self::rate::Rates;
use crate::mlflow::ids::UserName;

/// The least number of seconds after which somebody is told to come back, and how far such answers are spread, so that
/// those who were sent away together do not come back together.
const COME_BACK: u32 = 2;
const SPREAD: u32 = 4;

/// How much callers may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Requests of one address, whoever sends them; an IPv6 network of 64 bits is one address. `None`: any number.
    pub address: Option<Rate>,
    /// Requests of one person or service account. `None`: any number.
    pub person: Option<Rate>,
    /// How many requests of one person MLflow answers at once; 0: any number.
    pub person_at_once: usize,
    /// How many requests MLflow answers at once; 0: any number.
    pub at_once: usize,
    /// How long a request of somebody who is known may wait for its turn.
    pub wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: Rate::new(1000, 5000),
            person: Rate::new(200, 1000),
            person_at_once: 32,
            at_once: 512,
            wait: Duration::from_secs(10),
        }
    }
}

/// What was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    /// Requests of an address.
    #[error("the address sends more than {} requests a second", .most.per_second)]
    OfAddress {
        /// How many there may be.
        most: Rate,
        /// Seconds.
        come_back: u32,
    },
    /// Requests of somebody.
    #[error("the caller sends more than {} requests a second", .most.per_second)]
    OfPerson {
        /// How many there may be.
        most: Rate,
        /// Seconds.
        come_back: u32,
    },
    /// Requests of somebody at once.
    #[error("{most} requests of the caller are being answered, and none was done in time")]
    AtOnceOfPerson {
        /// How many there may be.
        most: usize,
        /// Seconds.
        come_back: u32,
    },
    /// Requests at once.
    #[error("{most} requests are being answered, and none was done in time")]
    AtOnce {
        /// How many there may be.
        most: usize,
        /// Seconds.
        come_back: u32,
    },
}

/// Counts requests. Shared by all workers.
pub struct Limits {
    settings: Settings,
    addresses: Option<Rates<IpAddr>>,
    /// By caller, and whether our own pages were asked for.
    people: Option<Rates<(UserName, bool)>>,
    places: Places,
    wait: Duration,
    told: AtomicU32,
}

impl Limits {
    /// Nobody has asked for anything yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            addresses: settings.address.map(Rates::new),
            people: settings.person.map(Rates::new),
            places: Places::new(settings.person_at_once, settings.at_once),
            wait: settings.wait,
            told: AtomicU32::new(0),
        }
    }

    /// What it was told to do.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One more request from an address. Strangers do not wait: what waits costs us something.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub fn admit(&self, address: IpAddr) -> Result<(), TooMuch> {
        let Some(addresses) = &self.addresses else { return Ok(()) };
        addresses
            .take(&network(address))
            .map_err(|wait| TooMuch::OfAddress { most: addresses.most(), come_back: self.come_back(wait) })
    }

    /// One more request for one of our own pages.
    pub(super) async fn pace(&self, user: &UserName) -> Result<(), TooMuch> {
        self.pace_until(user, true, Instant::now() + self.wait).await
    }

    /// One more request for MLflow: a place to answer it from, until the guard is dropped.
    ///
    /// # Errors
    /// [`TooMuch`].
    pub async fn place(&self, user: &UserName) -> Result<Place, TooMuch> {
        let end = Instant::now() + self.wait;
        // The caller's own place comes first: so not more of theirs wait for the others than can be answered at once.
        let place = self.places.of_person(user, end).await.map_err(|crowded| TooMuch::AtOnceOfPerson {
            most: crowded.most,
            come_back: self.come_back(Duration::ZERO),
        })?;
        self.pace_until(user, false, end).await?;
        self.places
            .of_all(place, end)
            .await
            .map_err(|crowded| TooMuch::AtOnce { most: crowded.most, come_back: self.come_back(Duration::ZERO) })
    }

    async fn pace_until(&self, user: &UserName, ours: bool, end: Instant) -> Result<(), TooMuch> {
        let Some(people) = &self.people else { return Ok(()) };
        let key = (user.clone(), ours);
        while let Err(wait) = people.take(&key) {
            if Instant::now() + wait > end {
                return Err(TooMuch::OfPerson { most: people.most(), come_back: self.come_back(wait) });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn come_back(&self, wait: Duration) -> u32 {
        let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(COME_BACK);
        seconds.saturating_add(self.told.fetch_add(1, Ordering::Relaxed) % SPREAD)
    }
}

/// What an address counts as.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserName {
        UserName::parse(name).unwrap()
    }

    fn none() -> Settings {
        Settings { address: None, person: None, person_at_once: 0, at_once: 0, wait: Duration::ZERO }
    }

    #[test]
    fn an_address_has_its_burst_and_takes_nothing_from_others() {
        let limits = Limits::new(&Settings { address: Rate::new(1, 3), ..none() });
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..3 {
            limits.admit(here).unwrap();
        }
        let fault = limits.admit(here).unwrap_err();
        assert!(matches!(fault, TooMuch::OfAddress { come_back: COME_BACK.., .. }), "{fault}");
        limits.admit(there).unwrap();
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let limits = Limits::new(&Settings { address: Rate::new(1, 1), ..none() });
        limits.admit("2001:db8::1".parse().unwrap()).unwrap();
        assert!(limits.admit("2001:db8::2".parse().unwrap()).is_err());
        limits.admit("2001:db8:0:1::1".parse().unwrap()).unwrap();
    }

    #[tokio::test]
    async fn whoever_may_wait_becomes_slower_and_is_not_sent_away() {
        let settings = Settings { person: Rate::new(100, 1), wait: Duration::from_mins(1), ..none() };
        let limits = Limits::new(&settings);
        let begun = std::time::Instant::now();
        for _ in 0..6 {
            limits.place(&user("ann")).await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_millis(45), "five of them waited for their turn");
    }

    #[tokio::test]
    async fn who_sends_too_much_can_still_open_our_pages_and_nobody_else_suffers() {
        let limits = Limits::new(&Settings { person: Rate::new(1, 1), ..none() });
        limits.place(&user("ann")).await.unwrap();
        assert!(matches!(limits.place(&user("ann")).await, Err(TooMuch::OfPerson { .. })));
        limits.pace(&user("ann")).await.unwrap();
        limits.place(&user("bob")).await.unwrap();
    }

    #[tokio::test]
    async fn those_who_are_sent_away_together_do_not_come_back_together() {
        let limits = Limits::new(&Settings { person_at_once: 1, ..none() });
        let _place = limits.place(&user("ann")).await.unwrap();
        let mut told = Vec::new();
        for _ in 0..8 {
            let Err(TooMuch::AtOnceOfPerson { come_back, most: 1 }) = limits.place(&user("ann")).await else {
                panic!("there is one place alone")
            };
            told.push(come_back);
        }
        assert!(told.iter().all(|seconds| *seconds >= COME_BACK), "{told:?}");
        told.sort_unstable();
        told.dedup();
        assert!(told.len() > 1, "{told:?}");
    }
}
