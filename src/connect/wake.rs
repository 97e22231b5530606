//! Did this machine sleep?
//!
//! While it sleeps, the time of day goes on and the clock of timers does not (Linux, `CLOCK_MONOTONIC`). Connections that
//! rested meanwhile are dead, and nobody tells: a request on one would wait for minutes.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// So much more of one clock than of the other, in milliseconds, is a sleep. Clocks that are set by less do no harm.
const SLEEP: u64 = 3_000;

/// Remembers both clocks.
pub(super) struct Wake(Mutex<(u64, Instant)>);

impl Wake {
    pub(super) fn new(millis: u64) -> Self {
        Self(Mutex::new((millis, Instant::now())))
    }

    /// Whether it slept since it was asked last.
    pub(super) fn slept(&self, millis: u64) -> bool {
        self.slept_at(millis, Instant::now())
    }

    fn slept_at(&self, millis: u64, instant: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ran = u64::try_from(instant.saturating_duration_since(last.1).as_millis()).unwrap_or(u64::MAX);
        let slept = millis.saturating_sub(last.0) > ran.saturating_add(SLEEP);
        *last = (millis, instant);
        slept
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleep_is_time_that_only_one_clock_knows_of() {
        let begun = Instant::now();
        let wake = Wake(Mutex::new((1_000_000, begun)));
        let after = |seconds| begun + Duration::from_secs(seconds);
        assert!(!wake.slept_at(1_010_000, after(10)));
        assert!(wake.slept_at(1_010_000 + 8 * 3_600_000, after(11)), "a night");
        assert!(!wake.slept_at(1_011_000 + 8 * 3_600_000, after(12)));
        assert!(!wake.slept_at(5, after(13)), "set back");
        assert!(!wake.slept_at(1_005, after(14)));
    }
}
