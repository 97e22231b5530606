//! What is a server that takes part?

use std::time::Duration;

use crate::process::Server;

/// A running server, ready to be measured.
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) checks: Checks,
    /// Everything whose CPU time counts as this contestant's.
    pub(crate) servers: Vec<Server>,
}

/// How much a contestant looks at before it lets a request through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checks {
    /// Anything passes.
    Nothing,
    /// Whoever shows a valid token passes, to everything.
    Token,
}

/// Whether a rival could be started here.
pub(crate) enum Start {
    Ready(Contestant),
    /// It, or a part of it, is not installed.
    Missing(String),
}

impl Contestant {
    /// CPU time used so far, of all processes and threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.servers.iter().map(Server::cpu).sum()
    }
}
