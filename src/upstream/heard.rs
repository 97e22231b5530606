//! When did MLflow last answer?

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by all workers; noting costs one store.
pub(super) struct Heard {
    begun: Instant,
    /// Milliseconds after `begun`, and one; 0: never.
    last: AtomicU64,
}

impl Default for Heard {
    fn default() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Heard {
    pub(super) fn note(&self) {
        self.last.store(self.now() + 1, Ordering::Relaxed);
    }

    pub(super) fn ago(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.now().saturating_sub(last)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_heard_of_is_not_recent() {
        let heard = Heard::default();
        assert_eq!(heard.ago(), None);
        heard.note();
        assert!(heard.ago().unwrap() < Duration::from_mins(1));
        while heard.ago().unwrap().is_zero() {
            std::thread::yield_now();
        }
        heard.note();
        assert!(heard.ago().is_some());
    }
}
