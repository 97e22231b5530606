//! What is a server that takes part?

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::process::Server;

/// A running server, ready to be measured.
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) checks: Checks,
    /// Everything whose CPU time counts as this contestant's.
    pub(crate) servers: Vec<Server>,
    /// What it appends to on each request, if it keeps a log.
    pub(crate) log: Option<PathBuf>,
}

/// How much a contestant looks at before it lets a request through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Checks {
    /// Anything passes.
    Nothing,
    /// Whoever shows a valid token passes, to everything.
    Token,
    /// The token's user must hold a permission on the very object asked for.
    Permission,
}

/// Whether a rival could be started here.
pub(crate) enum Start {
    Ready(Contestant),
    /// It, or a part of it, is not installed.
    Missing(String),
}

impl Contestant {
    /// Empties the log, so that a long comparison does not fill the disk. The server goes on appending.
    pub(crate) fn empty_log(&self) -> anyhow::Result<()> {
        let Some(log) = &self.log else { return Ok(()) };
        File::options().write(true).open(log)?.set_len(0).with_context(|| format!("cannot empty {}", log.display()))
    }

    /// CPU time used so far, of all processes and threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.servers.iter().map(Server::cpu).sum()
    }
}
