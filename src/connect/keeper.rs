//! Who holds the credential, and has it renewed once for all who wait?

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Say;
use super::life::{Life, Next, Plan};
use super::source::{Credential, Source, SourceFault};
use crate::clock::Clock;

/// How long a source may take. Those that ask over the network have shorter limits of their own.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked whether a renewal is due. By the time of day, so that waking from sleep is noticed.
const TICK: Duration = Duration::from_secs(5);
/// A difference of clocks that is worth telling of.
const WORTH_TELLING: i64 = 60_000;
/// `Date` has whole seconds, and answers take a while.
const NOT_A_SKEW: i64 = 5_000;

/// Holds one credential. Shared by all connections.
pub(super) struct Keeper {
    source: Box<dyn Source>,
    clock: Clock,
    say: Say,
    patience: Duration,
    /// By how much the server's clock is ahead of ours, in milliseconds.
    skew: AtomicI64,
    // Held for some instructions, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    plan: Plan,
    held: Option<Arc<Credential>>,
    fault: Option<SourceFault>,
    /// Ends, as its sender goes, with the renewal that runs.
    flight: Option<watch::Receiver<()>>,
    /// Whether trouble was told of, so that its end is told too.
    told: bool,
}

impl Keeper {
    pub(super) fn new(source: Box<dyn Source>, clock: Clock, patience: Duration, say: Say) -> Arc<Self> {
        Arc::new(Self { source, clock, say, patience, skew: AtomicI64::new(0), state: Mutex::default() })
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        self.source.describe()
    }

    /// A credential that counts now. Never waits for a renewal while there is one that lives.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Arc<Credential>, SourceFault> {
        let changed = self.source.has_changed();
        let flight = {
            let (mut state, now, skew) = (self.state(), self.clock.millis(), self.skew());
            let next = if changed { Next::Renew } else { state.plan.next(now, skew) };
            match next {
                Next::Use => return state.used(),
                Next::UseAndRenew => {
                    self.begin(&mut state, None);
                    return state.used();
                }
                Next::Refuse => return Err(state.why_not()),
                Next::Renew => self.begin(&mut state, None),
            }
        };
        landed(flight).await;
        let state = self.state();
        if state.plan.is_alive(self.clock.millis(), self.skew()) { state.used() } else { Err(state.why_not()) }
    }

    /// The server did not take this one: another one, if there is another. Each no leads to one renewal at the most.
    pub(super) async fn instead_of(self: &Arc<Self>, refused: &Arc<Credential>) -> Option<Arc<Credential>> {
        let flight = {
            let mut state = self.state();
            if let Some(held) = state.held.as_ref().filter(|held| !held.is_same(refused)) {
                return Some(Arc::clone(held));
            }
            match state.flight.clone() {
                // Whoever is first asks; the others wait for the same.
                Some(flight) if flight.has_changed().is_ok() => flight,
                _ if state.plan.is_worth_renewing(self.clock.millis()) => {
                    self.begin(&mut state, Some(Arc::clone(refused)))
                }
                _ => return None,
            }
        };
        landed(flight).await;
        self.state().held.clone().filter(|held| !held.is_same(refused))
    }

    /// The server took it.
    pub(super) fn accepted(&self, credential: &Arc<Credential>) {
        let mut state = self.state();
        if state.held.as_ref().is_some_and(|held| Arc::ptr_eq(held, credential)) {
            state.plan.accepted();
        }
    }

    /// What time the server says that it is.
    pub(super) fn compare_clocks(&self, servers: u64) {
        let ours = i64::try_from(self.clock.millis()).unwrap_or(i64::MAX);
        let ahead = i64::try_from(servers).unwrap_or(i64::MAX).saturating_sub(ours);
        let ahead = if ahead.abs() <= NOT_A_SKEW { 0 } else { ahead };
        let before = self.skew.swap(ahead, Ordering::Relaxed);
        if ahead.abs() >= WORTH_TELLING && before.abs() < WORTH_TELLING {
            let (seconds, way) = (ahead.abs() / 1000, if ahead > 0 { "behind" } else { "ahead of" });
            (self.say)(&format!(
                "this machine's clock is {seconds} s {way} the server's; credentials are renewed by the server's time"
            ));
        }
    }

    /// Renews ahead of time, also while nobody asks. Ends only when it is dropped.
    pub(super) async fn keep_fresh(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.tick();
        }
    }

    /// Begins a renewal where it is time for one.
    pub(super) fn tick(self: &Arc<Self>) {
        let mut state = self.state();
        // One that is over while nobody asks is renewed too: the next request shall not wait.
        if matches!(state.plan.next(self.clock.millis(), self.skew()), Next::UseAndRenew | Next::Renew) {
            self.begin(&mut state, None);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }

    /// A task of its own: the program that caused it may hang up, and others wait for the same.
    fn begin(self: &Arc<Self>, state: &mut State, refused: Option<Arc<Credential>>) -> watch::Receiver<()> {
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.has_changed().is_ok()) {
            return flight.clone();
        }
        let (landing, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let keeper = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = match tokio::time::timeout(keeper.patience, keeper.source.fresh(refused.as_deref())).await {
                Ok(outcome) => outcome,
                Err(_) => Err(SourceFault::passing(format!("{} did not answer in time", keeper.source.describe()))),
            };
            keeper.note(outcome);
            drop(landing);
        });
        flight
    }

    fn note(&self, outcome: Result<Credential, SourceFault>) {
        let (mut state, now, skew) = (self.state(), self.clock.millis(), self.skew());
        state.flight = None;
        match outcome {
            Ok(credential) => {
                let life = if credential.by_our_clock {
                    Life::by_our_clock(now, credential.ends, credential.made_for)
                } else {
                    Life::taken(now, credential.ends, credential.made_for, skew)
                };
                let same = state.held.as_ref().is_some_and(|held| held.is_same(&credential));
                state.plan.renewed(life, same);
                if !same {
                    state.held = Some(Arc::new(credential));
                }
                state.fault = None;
                if std::mem::take(&mut state.told) {
                    (self.say)(&format!("{}: there is a credential again", self.source.describe()));
                }
            }
            Err(fault) => {
                state.plan.failed(now, skew);
                let alive = state.plan.is_alive(now, skew);
                // An outage is told once, and once more when it begins to hurt.
                if !state.told || state.fault.as_ref().is_none_or(|before| before.is_lasting() != fault.is_lasting()) {
                    state.told = true;
                    let so =
                        if alive { "; the credential from before still counts, and it is tried again" } else { "" };
                    (self.say)(&format!("{fault}{so}"));
                }
                state.fault = Some(fault);
            }
        }
    }
}

impl State {
    fn used(&self) -> Result<Arc<Credential>, SourceFault> {
        self.held.clone().ok_or_else(|| self.why_not())
    }

    fn why_not(&self) -> SourceFault {
        self.fault.clone().unwrap_or_else(|| SourceFault::passing("there is no credential yet".to_owned()))
    }
}

/// Waits for the end of a renewal, which has a limit of its own.
async fn landed(mut flight: watch::Receiver<()>) {
    while flight.changed().await.is_ok() {}
}
