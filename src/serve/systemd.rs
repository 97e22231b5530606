//! What is the service manager told?
//!
//! The protocol of `sd_notify(3)`: ready, reloading, stopping, a line of status, and that the gate is alive. Without a
//! manager (`NOTIFY_SOCKET` is not set) nothing is told; a manager that does not listen is no reason to stop working.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use super::settings::Limits;

/// What closing may take besides the drain: the last records, the database.
const CLOSING: Duration = Duration::from_secs(20);

/// The service manager, or nobody.
#[derive(Debug, Default)]
pub(super) struct Manager {
    /// A manager that is gone is told of once.
    lost: AtomicBool,
}

impl Manager {
    /// The doors are open.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// SIGHUP has come. `Type=notify-reload` wants to know when that was, to tell this reload from one before it.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
        }
    }

    /// SIGTERM has come; closing takes as long as the drain at most.
    pub(super) fn stopping(&self, limits: &Limits) {
        let micros = u32::try_from((limits.drain + CLOSING).as_micros()).unwrap_or(u32::MAX);
        self.tell(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(micros),
            NotifyState::Status("closing: running exchanges are finished"),
        ]);
    }

    /// The gate is alive.
    pub(super) fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        match sd_notify::notify(states) {
            Ok(()) => self.lost.store(false, Ordering::Relaxed),
            Err(error) if !self.lost.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "the service manager cannot be told anything; going on without it");
            }
            Err(_) => {}
        }
    }
}

/// Tells why the gate did not open: `systemctl status` shows it.
pub fn tell_failure(why: &str) {
    // Nobody is left to tell of a manager that does not listen.
    let _ = sd_notify::notify(&[NotifyState::Status(&one_line(why))]);
}

/// A line of status is one line: what follows a line's end would be another message.
fn one_line(status: &str) -> String {
    status.replace(|letter: char| letter.is_control(), " ")
}

/// How often the manager wants to hear that the gate is alive (`WatchdogSec=`).
#[derive(Debug)]
pub(super) struct Watchdog {
    every: tokio::time::Interval,
    /// How long a worker may be silent. Several beats, and less than what the manager bears.
    pub(super) silence: Duration,
}

/// A worker beats once a second.
const LEAST_SILENCE: Duration = Duration::from_secs(3);

impl Watchdog {
    /// The manager's wish, if it has one.
    pub(super) fn wished() -> Option<Self> {
        Self::every(sd_notify::watchdog_enabled()?)
    }

    fn every(limit: Duration) -> Option<Self> {
        if limit < Duration::from_millis(4) {
            return None;
        }
        let mut every = tokio::time::interval(limit / 4);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Some(Self { every, silence: (limit / 4).max(LEAST_SILENCE) })
    }
}

/// Waits until the manager is to be told again; for ever where it does not wish for that.
pub(super) async fn due(watchdog: &mut Option<Watchdog>) -> Duration {
    match watchdog {
        Some(watchdog) => {
            watchdog.every.tick().await;
            watchdog.silence
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_cannot_carry_another_message() {
        assert_eq!(one_line("bad\nREADY=1\r\u{0}"), "bad READY=1  ");
    }

    #[tokio::test]
    async fn the_manager_hears_four_times_as_often_as_it_must() {
        let watchdog = Watchdog::every(Duration::from_secs(40)).unwrap();
        assert_eq!((watchdog.every.period(), watchdog.silence), (Duration::from_secs(10), Duration::from_secs(10)));
        // However impatient the manager: a worker that beats each second is alive.
        assert_eq!(Watchdog::every(Duration::from_secs(2)).unwrap().silence, LEAST_SILENCE);
        assert!(Watchdog::every(Duration::ZERO).is_none());
    }
}
