//! How many requests a second?
//!
//! One bucket for each key, by the generic cell rate algorithm (ITU-T I.371, as in the crate `governor`). Memory is bounded: the
//! buckets of those who have not been seen for a while are forgotten, full as they are by then.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;

/// Buckets that are remembered at once.
const MOST: u64 = 100_000;
/// How long at least.
const KEPT: Duration = Duration::from_mins(1);

/// Requests a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// On average.
    pub per_second: NonZeroU32,
    /// How many may come at once after a rest.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate; `None` if a number is 0.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        Some(Self { per_second: NonZeroU32::new(per_second)?, burst: NonZeroU32::new(burst)? })
    }
}

// Not the time of day: a clock that is set must not lock anybody out.
type Bucket = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, NoOpMiddleware<std::time::Instant>>;

/// The buckets.
pub(super) struct Rates<K> {
    most: Rate,
    buckets: Cache<K, Arc<Bucket>>,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static> Rates<K> {
    pub(super) fn new(most: Rate) -> Self {
        // A bucket is full again after burst / rate seconds; it must not be forgotten, and be full, before.
        let refill = Duration::from_secs(u64::from(most.burst.get().div_ceil(most.per_second.get())));
        let buckets = Cache::builder().max_capacity(MOST).time_to_idle(refill.max(KEPT)).build();
        Self { most, buckets }
    }

    pub(super) fn most(&self) -> Rate {
        self.most
    }

    /// Takes one. Where there is none, tells after what time there will be.
    pub(super) fn take(&self, key: &K) -> Result<(), Duration> {
        let bucket = self.buckets.get(key).unwrap_or_else(|| {
            let quota = Quota::per_second(self.most.per_second).allow_burst(self.most.burst);
            self.buckets.get_with(key.clone(), || Arc::new(RateLimiter::direct_with_clock(quota, MonotonicClock)))
        });
        bucket.check().map_err(|not_until| not_until.wait_time_from(bucket.clock().now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_empty_says_when_it_will_not_be() {
        let rates = Rates::new(Rate::new(2, 4).unwrap());
        for _ in 0..4 {
            rates.take(&"ann").unwrap();
        }
        let wait = rates.take(&"ann").unwrap_err();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        rates.take(&"bob").unwrap();
    }

    #[test]
    fn nothing_a_second_is_no_rate() {
        assert_eq!(Rate::new(0, 5), None);
        assert_eq!(Rate::new(5, 0), None);
    }
}
