//! Which connections rest, and for how long?

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::link::Link;

/// The resting connections of one worker, last in first out: the fewest stay warm.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    most: usize,
    idle: Duration,
    // Never contended: one worker, one thread. Never held across an await.
    resting: Mutex<Resting>,
}

#[derive(Default)]
struct Resting {
    links: Vec<Link>,
    swept: bool,
}

impl Pool {
    pub(super) fn new(most: usize, idle: Duration) -> Self {
        Self(Arc::new(Inner { most, idle, resting: Mutex::default() }))
    }

    /// A connection that is alive and ready, if there is one.
    pub(super) fn take(&self) -> Option<Link> {
        loop {
            let mut link = lock(&self.0).links.pop()?;
            if link.resting.elapsed() < self.0.idle && link.is_ready() {
                link.seat.rest(false);
                return Some(link);
            }
        }
    }

    /// Takes a connection back, if its exchange has ended and it is alive.
    pub(super) fn give(&self, mut link: Link) {
        if self.0.most == 0 || !link.is_ready() {
            return;
        }
        link.resting = Instant::now();
        let sweep = {
            let mut resting = lock(&self.0);
            if resting.links.len() >= self.0.most {
                return;
            }
            link.seat.rest(true);
            resting.links.push(link);
            !std::mem::replace(&mut resting.swept, true)
        };
        if sweep {
            tokio::spawn(sweep_until_empty(Arc::downgrade(&self.0)));
        }
    }
}

/// Closes what rested too long; ends with the last one, and begins again with the next.
async fn sweep_until_empty(pool: Weak<Inner>) {
    loop {
        let Some(idle) = pool.upgrade().map(|inner| inner.idle) else { return };
        tokio::time::sleep((idle / 4).max(Duration::from_millis(50))).await;
        let Some(inner) = pool.upgrade() else { return };
        let mut resting = lock(&inner);
        resting.links.retain_mut(|link| link.resting.elapsed() < inner.idle && link.is_ready());
        if resting.links.is_empty() {
            resting.swept = false;
            return;
        }
    }
}

fn lock(inner: &Inner) -> std::sync::MutexGuard<'_, Resting> {
    inner.resting.lock().unwrap_or_else(PoisonError::into_inner)
}
