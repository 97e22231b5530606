//! Was this trouble told already?
//!
//! An outage concerns everybody who is looked up, over and over. It is logged once for each kind of fault, and once when it
//! is over: when answers come and there was no fault for a while. One person whom Google never answers for keeps an
//! outage open, and says nothing more.

use std::sync::{Mutex, PoisonError};

use super::DirectoryFault;

/// So long without a fault, in milliseconds, ends an outage.
const CALM: u64 = 60_000;

#[derive(Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Default)]
struct State {
    /// The kinds of fault that were told; empty: all is well.
    told: Vec<&'static str>,
    failures: u64,
    last: u64,
}

impl Outage {
    /// Notes a fault; whether it is to be logged.
    pub(super) fn failed(&self, fault: &DirectoryFault, now: u64) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures += 1;
        state.last = state.last.max(now);
        let new = !state.told.contains(&fault.code());
        if new {
            state.told.push(fault.code());
        }
        new
    }

    /// Notes an answer; how many look-ups had failed, if an outage is over.
    pub(super) fn answered(&self, now: u64) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.is_empty() || now.saturating_sub(state.last) < CALM {
            return None;
        }
        Some(std::mem::take(&mut *state).failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_for_each_kind_of_fault_and_once_when_it_is_over() {
        let outage = Outage::default();
        assert_eq!(outage.answered(0), None, "there is none");
        assert!(outage.failed(&DirectoryFault::TimedOut, 1000));
        assert!(!outage.failed(&DirectoryFault::TimedOut, 2000));
        assert!(outage.failed(&DirectoryFault::Denied("no".to_owned()), 3000));
        assert!(!outage.failed(&DirectoryFault::Denied("still no".to_owned()), 4000));
        assert_eq!(outage.answered(5000), None, "somebody else still fails, perhaps");
        assert!(!outage.failed(&DirectoryFault::TimedOut, 6000));
        assert_eq!(outage.answered(6000 + CALM), Some(5));
        assert_eq!(outage.answered(7000 + CALM), None);
        assert!(outage.failed(&DirectoryFault::TimedOut, 8000 + CALM), "the next one is told anew");
    }
}
