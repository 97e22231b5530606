//! How many connections to MLflow are there?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// At work.
    pub busy: u64,
    /// Resting in a pool.
    pub idle: u64,
    /// Opened so far.
    pub opened: u64,
    /// That could not be opened, so far.
    pub failed: u64,
}

/// Shared by all workers.
#[derive(Debug, Default)]
pub(super) struct Counts {
    busy: AtomicU64,
    idle: AtomicU64,
    opened: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn now(&self) -> Connections {
        Connections {
            busy: self.busy.load(Ordering::Relaxed),
            idle: self.idle.load(Ordering::Relaxed),
            opened: self.opened.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection's place among them, until it is dropped.
pub(super) struct Seat {
    counts: Arc<Counts>,
    idle: bool,
}

impl Seat {
    /// A connection was opened, and is at work.
    pub(super) fn new(counts: &Arc<Counts>) -> Self {
        counts.opened.fetch_add(1, Ordering::Relaxed);
        counts.busy.fetch_add(1, Ordering::Relaxed);
        Self { counts: Arc::clone(counts), idle: false }
    }

    /// It rests from now on, or is at work.
    pub(super) fn rest(&mut self, idle: bool) {
        if self.idle != idle {
            self.of(idle).fetch_add(1, Ordering::Relaxed);
            self.of(self.idle).fetch_sub(1, Ordering::Relaxed);
            self.idle = idle;
        }
    }

    fn of(&self, idle: bool) -> &AtomicU64 {
        if idle { &self.counts.idle } else { &self.counts.busy }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of(self.idle).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_at_work_or_rests_and_then_is_gone() {
        let counts = Arc::new(Counts::default());
        let numbers = || (counts.now().busy, counts.now().idle, counts.now().opened);
        let mut one = Seat::new(&counts);
        let two = Seat::new(&counts);
        one.rest(true);
        one.rest(true);
        assert_eq!(numbers(), (1, 1, 2));
        one.rest(false);
        assert_eq!(numbers(), (2, 0, 2));
        one.rest(true);
        drop((one, two));
        assert_eq!(numbers(), (0, 0, 2));
    }
}
