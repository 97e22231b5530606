//! What do we know of one person's groups, and is it time to ask?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::DirectoryFault;
use crate::mlflow::ids::GroupName;

/// The first pause after a failed look-up, in milliseconds; it doubles up to the longest.
const FIRST_PAUSE: u64 = 1000;
const LONGEST_PAUSE: u64 = 30_000;

/// How far a clock may go back without anything being older for it, in milliseconds.
const CLOCK_MOVES: u64 = 60_000;
/// As old as can be.
const NEVER: u64 = u64::MAX;

/// The times that count, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    fresh: u64,
    keep: u64,
}

impl Times {
    pub(super) fn new(fresh: Duration, keep: Duration) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self { fresh: millis(fresh), keep: millis(keep.max(fresh)) }
    }

    /// What was asked for then or before counts no longer.
    pub(super) fn oldest(self, now: u64) -> u64 {
        now.saturating_sub(self.keep)
    }
}

#[derive(Default)]
pub(super) struct Person(Mutex<State>);

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// The last look-up failed.
    failed: Option<Failure>,
    flight: Option<Flight>,
}

struct Known {
    groups: Arc<[GroupName]>,
    /// When they were asked for: what changed since may be missing.
    asked: u64,
}

struct Failure {
    fault: DirectoryFault,
    at: u64,
    pause: u64,
    retry: u64,
}

/// A look-up that runs, for those who wait.
#[derive(Clone)]
pub(super) struct Flight(watch::Receiver<()>);

/// A look-up that is to begin. Whoever waits is woken when this is dropped.
pub(super) struct Begun {
    _wakes: watch::Sender<()>,
}

impl Flight {
    /// Waits for its end.
    pub(super) async fn landed(mut self) {
        // Nothing is ever sent: the sender goes.
        while self.0.changed().await.is_ok() {}
    }
}

/// What to do for a request.
pub(super) enum Next {
    /// These groups count. Where there is one, a look-up begins in the background.
    Use { groups: Arc<[GroupName]>, begin: Option<Begun> },
    /// What is known is too old, or there is nothing.
    Wait { flight: Flight, begin: Option<Begun> },
    /// Nothing is known, and it is too early to ask again.
    Refuse(DirectoryFault),
}

impl Person {
    /// Somebody whose groups were asked for before we were started.
    pub(super) fn known(groups: Arc<[GroupName]>, asked: u64) -> Self {
        Self(Mutex::new(State { known: Some(Known { groups, asked }), ..State::default() }))
    }

    /// The last answer, and when it was asked for.
    pub(super) fn last(&self) -> Option<(Arc<[GroupName]>, u64)> {
        self.state().known.as_ref().map(|known| (Arc::clone(&known.groups), known.asked))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides, and takes the flight for whoever is told to begin one.
    pub(super) fn next(&self, now: u64, times: Times) -> Next {
        let mut state = self.state();
        let due = state.failed.as_ref().is_none_or(|failure| now >= failure.retry || age(now, failure.at) == NEVER);
        // While Google is away, what is known is used at once; nobody waits for what just failed.
        let lately = |failure: &Failure| !due || age(now, failure.at) < times.fresh;
        let away = state.failed.as_ref().is_some_and(lately);
        let known = state.known.as_ref().map(|known| (Arc::clone(&known.groups), age(now, known.asked)));
        match known {
            Some((groups, age)) if age < times.fresh || (age < times.keep && away) => {
                let begin = if due && age >= times.fresh / 5 * 4 { state.begin().1 } else { None };
                Next::Use { groups, begin }
            }
            Some(_) | None => match &state.failed {
                Some(failure) if !due => Next::Refuse(failure.fault.clone()),
                Some(_) | None => {
                    let (flight, begin) = state.begin();
                    Next::Wait { flight, begin }
                }
            },
        }
    }

    /// What counts after a look-up has ended: the new answer, or the one from before as long as it is kept.
    pub(super) fn after(&self, now: u64, times: Times) -> Result<Arc<[GroupName]>, DirectoryFault> {
        let state = self.state();
        if let Some(known) = &state.known {
            // Not `fresh`: a look-up may take longer than that, and its answer is still the newest there can be.
            if age(now, known.asked) < times.keep {
                return Ok(Arc::clone(&known.groups));
            }
        }
        Err(state.failed.as_ref().map_or(DirectoryFault::BrokenOff, |failure| failure.fault.clone()))
    }

    /// For the task that looks up.
    pub(super) fn landing(self: &Arc<Self>, flight: Begun) -> Landing {
        Landing { person: Arc::clone(self), flight: Some(flight) }
    }
}

/// How long ago something was, in milliseconds. By a clock that was ahead then and is right now it will be: what is known from
/// such a time is as old as can be, else nobody would ask again until that time comes.
fn age(now: u64, then: u64) -> u64 {
    if then > now + CLOCK_MOVES { NEVER } else { now.saturating_sub(then) }
}

impl State {
    /// The flight that runs, or a new one.
    fn begin(&mut self) -> (Flight, Option<Begun>) {
        if let Some(flight) = &self.flight {
            return (flight.clone(), None);
        }
        let (begun, flight) = watch::channel(());
        let flight = Flight(flight);
        self.flight = Some(flight.clone());
        (flight, Some(Begun { _wakes: begun }))
    }
}

/// Ends a flight, in whatever way its task ends.
pub(super) struct Landing {
    person: Arc<Person>,
    flight: Option<Begun>,
}

impl Landing {
    /// With an outcome.
    pub(super) fn done(mut self, outcome: Result<Arc<[GroupName]>, DirectoryFault>, asked: u64, now: u64) {
        let mut state = self.person.state();
        match outcome {
            Ok(groups) => {
                state.known = Some(Known { groups, asked });
                state.failed = None;
            }
            Err(fault) => {
                let before = state.failed.as_ref().map_or(0, |failure| failure.pause);
                let pause = (before * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                let asked_for = match &fault {
                    DirectoryFault::Throttled { retry_after } => {
                        u64::try_from(retry_after.as_millis()).unwrap_or(LONGEST_PAUSE)
                    }
                    _ => 0,
                };
                state.failed = Some(Failure { fault, at: now, pause, retry: now + pause.max(asked_for) });
            }
        }
        state.flight = None;
        drop(state);
        self.flight = None;
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.flight.is_some() {
            self.person.state().flight = None;
        }
    }
}
