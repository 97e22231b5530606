//! Was this trouble told already?
//!
//! A collector that is away concerns every batch. It is logged when it begins and when it is over, with what was lost; spans are
//! no reason to fill a log.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::queue::Counts;
use super::sender::SendFault;

/// So long without a loss ends an outage.
const CALM: Duration = Duration::from_secs(30);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When something was lost last, and how much had been lost before the first of it, as long as there is an outage.
    open: Option<(Instant, u64)>,
    /// How many spans were lost so far.
    lost: u64,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Began,
    Over(u64),
}

impl Outage {
    /// Notes how a batch went: how many of it were rejected, or why none was taken.
    pub(super) fn tell(&self, sent: Result<&u64, &SendFault>, counts: &Counts) {
        match (self.note(sent.is_ok(), counts.failed() + counts.dropped(), Instant::now()), sent) {
            (Some(News::Began), Err(fault)) => {
                tracing::warn!(%fault, "traces cannot be sent: spans are lost until that is over");
            }
            (Some(News::Began), Ok(_)) => {
                tracing::warn!("the collector rejects spans, or takes them too slowly: some are lost");
            }
            (Some(News::Over(lost)), _) => tracing::info!(lost, "traces are sent again"),
            (None, _) => {}
        }
    }

    fn note(&self, sent: bool, lost: u64, now: Instant) -> Option<News> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut state.lost, lost);
        let bad = !sent || lost > before;
        match state.open {
            None if bad => {
                state.open = Some((now, before));
                Some(News::Began)
            }
            Some((_, began)) if bad => {
                state.open = Some((now, began));
                None
            }
            Some((last, began)) if now.duration_since(last) >= CALM => {
                state.open = None;
                Some(News::Over(lost - began))
            }
            None | Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_once_when_it_is_over() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.note(true, 0, at(0)), None);
        assert_eq!(outage.note(false, 5, at(2)), Some(News::Began));
        assert_eq!(outage.note(false, 9, at(4)), None);
        assert_eq!(outage.note(true, 9, at(6)), None, "not calm yet");
        assert_eq!(outage.note(true, 10, at(8)), None, "one was dropped");
        assert_eq!(outage.note(true, 10, at(37)), None);
        assert_eq!(outage.note(true, 10, at(38)), Some(News::Over(10)));
        assert_eq!(outage.note(true, 10, at(40)), None);
        assert_eq!(outage.note(true, 11, at(42)), Some(News::Began), "the next one is told anew");
        assert_eq!(outage.note(true, 11, at(72)), Some(News::Over(1)));
    }
}
