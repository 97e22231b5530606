//! Is the house closing?

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Open, or draining: known to all workers and connections.
#[derive(Default)]
pub(super) struct Phase {
    draining: AtomicBool,
    token: CancellationToken,
}

impl Phase {
    /// Begins the drain. Doing it again changes nothing.
    pub(super) fn drain(&self) {
        // The flag first: whoever is woken by the token sees it.
        self.draining.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    /// Whether the drain has begun. Cheap: asked at each poll of each connection.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Waits until the drain begins.
    pub(super) fn begun(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }
}
