//! How is a deadline watched that moves with every request?
//!
//! A tokio timer that is made anew for each request costs a lock and two insertions in the timer wheel. A [`Timer`] is
//! made once for each connection: deadlines that move away cost nothing until the old one has passed.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A reusable alarm.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// Whether `deadline` has passed. If not, the task is woken when it does.
    pub(crate) fn passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let set = self.sleep.as_ref().map(|sleep| sleep.deadline());
        if set.is_none_or(|set| set > deadline) && Instant::now() >= deadline {
            return true;
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        // While the alarm has not gone off, its deadline has not passed, nor has any later one: the clock is not asked.
        // An alarm for an earlier deadline goes off once and is then set to the one that counts.
        while let Poll::Ready(()) = sleep.as_mut().poll(cx) {
            if Instant::now() >= deadline {
                return true;
            }
            sleep.as_mut().reset(deadline);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    async fn wait(timer: &mut Timer, deadline: Instant) {
        poll_fn(|cx| if timer.passed(deadline, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    #[tokio::test]
    async fn a_deadline_that_moved_away_is_kept() {
        let mut timer = Timer::default();
        let start = Instant::now();
        let (early, late) = (start + Duration::from_millis(10), start + Duration::from_millis(60));
        assert!(poll_fn(|cx| Poll::Ready(!timer.passed(early, cx))).await);
        wait(&mut timer, late).await;
        assert!(Instant::now() >= late);
    }

    #[tokio::test]
    async fn a_deadline_that_came_nearer_is_kept() {
        let mut timer = Timer::default();
        let start = Instant::now();
        assert!(poll_fn(|cx| Poll::Ready(!timer.passed(start + Duration::from_hours(1), cx))).await);
        wait(&mut timer, start + Duration::from_millis(10)).await;
        assert!(start.elapsed() < Duration::from_mins(1));
    }
}
