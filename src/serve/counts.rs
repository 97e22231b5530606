//! How many connections were there, and what became of them?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counted by all workers. A clone counts the same.
#[derive(Debug, Clone, Default)]
pub struct Counts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: AtomicU64,
    accepted: AtomicU64,
    crowded: AtomicU64,
    handshakes_failed: AtomicU64,
}

impl Counts {
    /// Open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.0.open.load(Ordering::Relaxed)
    }

    /// Accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// Turned away because there were too many, so far.
    #[must_use]
    pub fn crowded(&self) -> u64 {
        self.0.crowded.load(Ordering::Relaxed)
    }

    /// TLS handshakes that failed or took too long, so far.
    #[must_use]
    pub fn handshakes_failed(&self) -> u64 {
        self.0.handshakes_failed.load(Ordering::Relaxed)
    }

    pub(super) fn one_came(&self) {
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn one_left(&self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn one_is_too_many(&self) {
        self.0.crowded.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn no_handshake(&self) {
        self.0.handshakes_failed.fetch_add(1, Ordering::Relaxed);
    }
}
