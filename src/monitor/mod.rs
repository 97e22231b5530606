//! What may be asked about the gate itself, from outside?
//!
//! One small listener of its own, in a thread of its own, so that it answers while the doors are crowded: `/livez`,
//! `/readyz`, `/metrics`. Plain HTTP/1.1, GET and HEAD, one request for each connection; no credential is looked at, and
//! nothing is told of people. What it tells of is given to it as facts ([`Readiness`], [`Alive`]); it knows no other room.

mod alive;
mod answer;
mod listener;
mod ready;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::alive::{Alive, Pulse};
pub use self::ready::{Fact, Readiness};
use crate::metrics::Metrics;

/// Where the monitor listens, and how old what it knows may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it listens; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// A worker that has not answered for so long is dead: `/livez` says so.
    pub dead_after: Duration,
    /// How often MLflow is asked whether it is there, when nothing else was heard of it.
    pub probe_every: Duration,
    /// MLflow counts as reachable for so long after it was heard of.
    pub reachable_for: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            address: None,
            dead_after: Duration::from_secs(15),
            probe_every: Duration::from_secs(5),
            reachable_for: Duration::from_secs(15),
        }
    }
}

/// What the monitor tells.
#[derive(Clone)]
pub struct Told {
    /// Whether the workers answer.
    pub alive: Alive,
    /// How long one may be silent.
    pub dead_after: Duration,
    /// Whether requests can be answered.
    pub ready: Readiness,
    /// The numbers.
    pub metrics: Metrics,
}

/// An open monitor. It closes when this is dropped.
#[derive(Debug)]
pub struct Monitor {
    address: SocketAddr,
    _closes: DropGuard,
}

/// Why there is no monitor.
#[derive(Debug, thiserror::Error)]
pub enum MonitorFault {
    /// The address is taken, or not ours.
    #[error("the monitor cannot listen on {address}: {why}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// No thread or no runtime.
    #[error("the monitor cannot start: {0}")]
    Start(#[source] io::Error),
}

impl Monitor {
    /// Listens at `address`.
    ///
    /// # Errors
    /// [`MonitorFault`].
    pub fn open(address: SocketAddr, told: Told) -> Result<Self, MonitorFault> {
        let bound = std::net::TcpListener::bind(address).map_err(|why| MonitorFault::Bind { address, why })?;
        Self::on(bound, told)
    }

    /// The same on a socket that somebody else has opened.
    ///
    /// # Errors
    /// [`MonitorFault`].
    pub fn on(bound: std::net::TcpListener, told: Told) -> Result<Self, MonitorFault> {
        let start = MonitorFault::Start;
        bound.set_nonblocking(true).map_err(start)?;
        let address = bound.local_addr().map_err(start)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(start)?;
        let closing = CancellationToken::new();
        let closes = closing.clone().drop_guard();
        let told = Arc::new(told);
        std::thread::Builder::new()
            .name("monitor".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = listener::listen(bound, told) => {}
                        () = closing.cancelled() => {}
                    }
                });
            })
            .map_err(start)?;
        Ok(Self { address, _closes: closes })
    }

    /// Where it listens: with port 0, the port that was found.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
