//! What tests of the running gate are made with: a street with a handler, scripted servers behind it, clients before it.
//!
//! Nothing sleeps for a fixed time: conditions are awaited with a bound. Ports are 0, everything is on the loopback.

#![allow(dead_code, unreachable_pub, reason = "not every test binary uses every part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

pub mod certs;
pub mod client;
pub(crate) mod cluster;
pub mod collector;
pub(crate) mod forge;
pub mod gate;
pub(crate) mod google;
pub(crate) mod issuer;
pub mod ports;
pub mod raw;
pub mod server;
pub mod street;
pub mod tunnel;

use std::future::Future;
use std::time::Duration;

/// The longest that anything may take on a busy machine.
pub const BOUND: Duration = Duration::from_secs(30);

/// Awaits `future`, at most [`BOUND`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.unwrap_or_else(|_| panic!("{what}: nothing happened in {BOUND:?}"))
}

/// Waits until `condition` holds, at most [`BOUND`].
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
