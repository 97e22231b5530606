//! How is something told that happens with every request, without a line for each?

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Tells the first time, and then once in a while for all the others.
#[derive(Debug)]
pub(crate) struct Seldom {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Seldom {
    /// Once in so long.
    pub(crate) const fn new(every: Duration) -> Self {
        Self { every, state: Mutex::new((None, 0)) }
    }

    /// It happened. `Some`: tell it now; so many others were not told since the last time.
    pub(crate) fn happened(&self) -> Option<u64> {
        self.happened_at(Instant::now())
    }

    fn happened_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, others) = &mut *state;
        if told.is_some_and(|told| now.saturating_duration_since(told) < self.every) {
            *others = others.saturating_add(1);
            return None;
        }
        *told = Some(now);
        Some(std::mem::take(others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let (seldom, begun) = (Seldom::new(Duration::from_secs(10)), Instant::now());
        let at = |seconds| seldom.happened_at(begun + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(9), at(10), at(11), at(30)], [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
