//! Do the workers answer, and are the doors open?
//!
//! Each worker beats once a second, from the very runtime that serves its connections: one that is stuck in a request, or
//! gone, is silent. `/livez` and the watchdog of the service manager ask the same.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often a worker beats.
const BEAT: Duration = Duration::from_secs(1);

/// Where a worker is in its life.
const AT_WORK: u8 = 0;
const LEFT: u8 = 1;
const DEAD: u8 = 2;

/// What the doors are.
const SHUT: u8 = 0;
const OPEN: u8 = 1;
const CLOSING: u8 = 2;

/// Who is alive. A clone tells of the same workers.
#[derive(Clone)]
pub struct Alive(Arc<Inner>);

struct Inner {
    begun: Instant,
    workers: Mutex<Vec<Arc<Worker>>>,
    doors: AtomicU8,
}

struct Worker {
    name: String,
    /// When it was last heard of, in milliseconds after `begun`.
    heard: AtomicU64,
    life: AtomicU8,
}

impl Default for Alive {
    fn default() -> Self {
        Self(Arc::new(Inner { begun: Instant::now(), workers: Mutex::default(), doors: AtomicU8::new(SHUT) }))
    }
}

impl fmt::Debug for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alive").finish_non_exhaustive()
    }
}

impl Alive {
    /// Expects a worker, which holds what comes back. From now on it is missed.
    #[must_use]
    pub fn expect(&self, name: &str) -> Pulse {
        let worker =
            Arc::new(Worker { name: name.to_owned(), heard: AtomicU64::new(self.now()), life: AtomicU8::new(AT_WORK) });
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&worker));
        Pulse { alive: self.clone(), worker }
    }

    /// Whether every worker was heard of within `limit`. Those that left in order are not missed.
    #[must_use]
    pub fn all_workers_answered_within(&self, limit: Duration) -> bool {
        self.silent_for(limit).is_empty()
    }

    /// The workers that were not heard of within `limit`, or died.
    #[must_use]
    pub fn silent_for(&self, limit: Duration) -> Vec<String> {
        let now = self.now();
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let workers = self.0.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers
            .iter()
            .filter(|worker| match worker.life.load(Ordering::Acquire) {
                AT_WORK => now.saturating_sub(worker.heard.load(Ordering::Acquire)) > limit,
                life => life == DEAD,
            })
            .map(|worker| worker.name.clone())
            .collect()
    }

    /// The doors are open.
    pub fn doors_opened(&self) {
        // Whoever began to close them in the meantime is right.
        let _ = self.0.doors.compare_exchange(SHUT, OPEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The doors are being closed: whoever sends requests should look for another gate.
    pub fn doors_closing(&self) {
        self.0.doors.store(CLOSING, Ordering::Release);
    }

    /// Whether they are open, as a fact for [`super::Readiness`].
    ///
    /// # Errors
    /// What they are instead.
    pub fn doors(&self) -> super::Fact {
        match self.0.doors.load(Ordering::Acquire) {
            OPEN => Ok(()),
            CLOSING => Err("closing: running exchanges are finished".to_owned()),
            _ => Err("not open yet".to_owned()),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// One worker's own. Dropped without [`Pulse::leave`], the worker is dead.
pub struct Pulse {
    alive: Alive,
    worker: Arc<Worker>,
}

impl Pulse {
    /// Beats for ever; to be polled by the runtime that is watched.
    pub async fn beat(&self) {
        loop {
            self.worker.heard.store(self.alive.now(), Ordering::Release);
            tokio::time::sleep(BEAT).await;
        }
    }

    /// The worker ends in order.
    pub fn leave(self) {
        self.worker.life.store(LEFT, Ordering::Release);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let _ = self.worker.life.compare_exchange(AT_WORK, DEAD, Ordering::AcqRel, Ordering::Acquire);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn a_worker_that_beats_is_alive_and_one_that_is_stuck_is_named() {
        let alive = Alive::default();
        let (one, _two) = (alive.expect("worker-0"), alive.expect("worker-1"));
        assert!(alive.all_workers_answered_within(LIMIT), "a worker has its time to begin");
        let short = Duration::from_millis(20);
        while alive.silent_for(short).len() < 2 {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        // The first beat is at once.
        assert!(one.beat().now_or_never().is_none());
        let silent = alive.silent_for(short);
        assert!(silent == ["worker-1"] || begun.elapsed() > short, "{silent:?}");
    }

    #[test]
    fn a_worker_that_left_is_not_missed_and_one_that_died_is() {
        let alive = Alive::default();
        alive.expect("worker-0").leave();
        assert!(alive.all_workers_answered_within(LIMIT));
        drop(alive.expect("worker-1"));
        assert_eq!(alive.silent_for(LIMIT), ["worker-1"]);
    }

    #[test]
    fn doors_that_are_closing_are_not_opened_again() {
        let alive = Alive::default();
        assert!(alive.doors().is_err());
        alive.doors_opened();
        assert!(alive.doors().is_ok());
        alive.doors_closing();
        alive.doors_opened();
        assert!(alive.doors().unwrap_err().starts_with("closing"));
    }
}
