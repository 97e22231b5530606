//! Which signals were sent to us?
//!
//! Heard from before anything is opened until the end: whoever rotates logs while the gate starts must not end it, and what is
//! the first process of a container hears no SIGTERM at all that it does not ask for (`signal(7)`, `pid_namespaces(7)`).

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP. What comes while nobody waits is kept, once of each kind.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for any of them.
    pub(super) async fn next(&mut self) -> Sent {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Sent::End,
            _ = self.interrupt.recv() => Sent::End,
            _ = self.hangup.recv() => Sent::Hangup,
        }
    }
}

/// What is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// SIGTERM or SIGINT: close.
    End,
    /// SIGHUP: read everything again.
    Hangup,
}
