//! What time is it?
//!
//! Every room that needs the time is handed a [`Clock`]; tests hand in one that they can set.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day: the system's, or one that a test sets.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's.
    System,
    /// Milliseconds since the epoch, set by a test.
    Set(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands still at `now` until [`Clock::advance`].
    #[must_use]
    pub fn set_to(now: SystemTime) -> Self {
        Self::Set(Arc::new(AtomicU64::new(millis(now))))
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Set(millis) => UNIX_EPOCH + Duration::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Seconds since the epoch.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        millis(self.now()) / 1000
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn millis(&self) -> u64 {
        millis(self.now())
    }

    /// Moves a set clock forward; the system's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Self::Set(millis) = self {
            millis.fetch_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Moves a set clock back, as somebody does who sets it right.
    pub fn turn_back(&self, by: Duration) {
        if let Self::Set(millis) = self {
            let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            let _ = millis.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_sub(by)));
        }
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
