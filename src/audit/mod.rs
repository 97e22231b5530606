//! Who did what, when, and why was it allowed or refused?
//!
//! One record per request: opened at arrival, closed when the last byte is sent or the client is gone. A request that was
//! let in can always be written down: records that wait for the writer are counted, and beyond a bound no new request is
//! let in. Those under way are not counted: whoever reads an answer slowly must not keep others out.
//!
//! INVARIANT: nothing secret has a field here: no token, cookie, code, body or query.

mod beside;
mod id;
mod line;
pub mod record;
pub mod search;
mod sink;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
pub use record::{Outcome, Record};
use writer::State;

/// Where records go, and what happens when they cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The file, or standard output.
    pub to: Target,
    /// Besides a file, to standard output too. With [`OnFailure::Allow`] the file does not wait for it.
    pub stdout_too: bool,
    /// The Google Cloud project whose traces lines are linked to (`logging.googleapis.com/trace`).
    pub google_project: Option<String>,
    /// When the file is synchronised with the disk.
    pub fsync: Fsync,
    /// What happens to requests while nothing can be written.
    pub on_failure: OnFailure,
    /// How many records may wait for the writer until no new request is let in.
    pub queue: usize,
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Appended to this file, one JSON object a line.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

/// When the file is synchronised with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// After each batch of records.
    Always,
    /// When the operating system sees fit.
    Never,
}

/// What happens to requests while no record can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// They are refused with 503.
    Refuse,
    /// They go on, unrecorded and counted; a warning is logged.
    Allow,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            to: Target::File(PathBuf::from("/var/log/trackgate/audit.jsonl")),
            stdout_too: false,
            google_project: None,
            fsync: Fsync::Never,
            on_failure: OnFailure::Refuse,
            queue: 8192,
        }
    }
}

/// The audit log. Shared by all workers.
#[derive(Debug, Clone)]
pub struct Log {
    queue: record::Queue,
    health: Health,
    to: Target,
    clock: Clock,
}

/// How the log is. Unlike a [`Log`], it may outlive the writer.
#[derive(Debug, Clone)]
pub struct Health {
    most_waiting: usize,
    state: Arc<State>,
    on_failure: OnFailure,
}

impl Health {
    /// Whether a request that comes now is let in, as far as its record is concerned.
    ///
    /// # Errors
    /// [`Unwritable`], as in [`Log::begin`].
    pub fn takes_records(&self) -> Result<(), Unwritable> {
        match self.on_failure {
            OnFailure::Refuse => self.writable(),
            OnFailure::Allow => Ok(()),
        }
    }

    /// How many records wait for the writer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting()
    }

    /// Whether the last write failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.state.failing()
    }

    /// How many requests went on without a record ([`OnFailure::Allow`]).
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.state.unrecorded()
    }

    /// How many records standard output did not take, besides the file that did.
    #[must_use]
    pub fn untold(&self) -> usize {
        self.state.untold()
    }

    /// Whether the file that is written is the one that was asked for last.
    ///
    /// # Errors
    /// Why it could not be opened anew.
    pub fn is_reopened(&self) -> Result<(), String> {
        self.state.stale().map_or(Ok(()), Err)
    }

    fn writable(&self) -> Result<(), Unwritable> {
        if self.state.failing() {
            Err(Unwritable::Failing)
        } else if self.state.waiting() >= self.most_waiting {
            Err(Unwritable::Full)
        } else {
            Ok(())
        }
    }
}

/// No record can be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The last write failed.
    #[error("the audit log cannot be written")]
    Failing,
    /// The writer does not keep up.
    #[error("the audit queue is full")]
    Full,
}

/// The audit log could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the audit log `{path}`: {source}")]
pub struct OpenError {
    /// Which file.
    pub path: String,
    /// Why not.
    #[source]
    pub source: std::io::Error,
}

/// Waits for the writer to end. Held by whoever started the log.
#[derive(Debug)]
pub struct Writer {
    thread: Option<std::thread::JoinHandle<()>>,
    state: Arc<State>,
}

impl Log {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be opened for appending.
    pub fn open(settings: &Settings, clock: Clock) -> Result<(Self, Writer), OpenError> {
        let (queue, waiting) = mpsc::unbounded_channel();
        let state = Arc::new(State::default());
        let thread = writer::start(settings, waiting, Arc::clone(&state))?;
        let log = Self {
            queue: record::Queue { records: queue, state: Arc::clone(&state) },
            health: Health {
                most_waiting: settings.queue.max(1),
                state: Arc::clone(&state),
                on_failure: settings.on_failure,
            },
            to: settings.to.clone(),
            clock,
        };
        Ok((log, Writer { thread: Some(thread), state }))
    }

    /// Opens the record of a request that has just arrived.
    ///
    /// # Errors
    /// [`Unwritable`] when no record can be written and the settings say that requests are then refused.
    pub fn begin(&self) -> Result<Record, Unwritable> {
        let fault = match self.health.writable() {
            Ok(()) => return Ok(Record::new(Some(self.queue.clone()), &self.clock)),
            Err(fault) => fault,
        };
        match self.health.on_failure {
            OnFailure::Refuse => Err(fault),
            OnFailure::Allow => {
                if let Some(others) = self.health.state.one_goes_unrecorded() {
                    tracing::warn!(fault = %fault, others, "a request goes on without an audit record");
                }
                Ok(Record::new(None, &self.clock))
            }
        }
    }

    /// What may be asked about the log, for good: it does not keep the log open.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Where records go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.to
    }

    /// Closes and opens the file anew, after a log rotation; [`Health::is_reopened`] tells whether it could.
    pub fn reopen(&self) {
        self.health.state.ask_to_reopen();
        self.queue.wake();
    }
}

impl Writer {
    /// Waits until every record that was opened is written, at most `patience`. All [`Log`]s and open records must be
    /// gone, or the wait takes all of it.
    pub fn finish(mut self, patience: Duration) {
        let Some(thread) = self.thread.take() else { return };
        let (done, ended) = std::sync::mpsc::channel();
        let waiter = std::thread::Builder::new().name("audit-end".into()).spawn(move || {
            let _ = thread.join();
            let _ = done.send(());
        });
        self.state.hurry();
        if waiter.is_ok() && ended.recv_timeout(patience).is_err() {
            tracing::warn!("the audit log did not end in time");
        }
    }
}

#[cfg(test)]
mod tests;
