//! How is a command run with the agent, and how did it end?
//!
//! It finds the agent in `MLFLOW_TRACKING_URI` and no credential anywhere. Signals reach it, its exit status is ours, and for
//! one that a signal ended it is 128 and the signal's number, as shells say (POSIX.1-2024, 2.8.2).

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use anyhow::Context as _;
use rustix::process::{Pid, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::connect::Say;

/// What a command needs no more, and should not have: it would be shown past the agent, or stolen.
const CREDENTIALS: [&str; 5] = [
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_AUTH",
    "TRACKGATE_TOKEN",
];
/// Where a program would look for a proxy before it finds the agent.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];
/// What shells say of a command that is not there, and of one that cannot be run.
const NOT_THERE: u8 = 127;
const NOT_RUN: u8 = 126;

/// The signals that a command is told of.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
    // Schedulers announce with these two that a job's time is nearly over (Slurm, `sbatch --signal`).
    first: Signal,
    second: Signal,
    go_on: Signal,
}

impl Signals {
    /// From now on they do not end this process.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            first: signal(SignalKind::user_defined1())?,
            second: signal(SignalKind::user_defined2())?,
            go_on: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    async fn next(&mut self) -> rustix::process::Signal {
        use rustix::process::Signal;
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.first.recv() => Signal::USR1,
            _ = self.second.recv() => Signal::USR2,
            _ = self.go_on.recv() => Signal::CONT,
        }
    }

    /// Waits for the first that ends an agent. The others mean something to commands alone.
    pub(super) async fn end(mut self) {
        use rustix::process::Signal;
        while matches!(self.next().await, Signal::USR1 | Signal::USR2 | Signal::CONT) {}
    }
}

/// Runs a command to its end.
pub(super) async fn run(
    words: &[OsString],
    uri: &str,
    server: &str,
    mut signals: Signals,
    say: &Say,
) -> anyhow::Result<u8> {
    let Some((program, arguments)) = words.split_first() else { anyhow::bail!("there is no command") };
    let mut command = Command::new(program);
    command.args(arguments);
    surround(&mut command, uri, server, say);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            say(&format!("{}: {error}", program.display()));
            return Ok(if error.kind() == ErrorKind::NotFound { NOT_THERE } else { NOT_RUN });
        }
    };
    loop {
        tokio::select! {
            status = child.wait() => return Ok(code(status.context("the command's end was not seen")?)),
            signal = signals.next() => {
                // `None` when it has ended: its number may be somebody else's by now.
                let child = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
                if let Some(child) = child.filter(|_| !has_it_already(signal)) {
                    let _ = kill_process(child, signal);
                }
            }
        }
    }
}

/// A terminal sends the signals of its keys to the whole foreground group, the command included. Twice would be too much:
/// Python takes the second Ctrl-C in the middle of clearing up after the first.
fn has_it_already(signal: rustix::process::Signal) -> bool {
    use rustix::process::Signal;
    if !matches!(signal, Signal::INT | Signal::QUIT) {
        return false;
    }
    let Ok(terminal) = std::fs::File::open("/dev/tty") else { return false };
    tcgetpgrp(&terminal).is_ok_and(|foreground| foreground == getpgrp())
}

fn surround(command: &mut Command, uri: &str, server: &str, say: &Say) {
    command.env("MLFLOW_TRACKING_URI", uri);
    let registry = std::env::var("MLFLOW_REGISTRY_URI").unwrap_or_default();
    if registry.trim_end_matches('/') == server {
        command.env("MLFLOW_REGISTRY_URI", uri);
    }
    let taken: Vec<&str> = CREDENTIALS.into_iter().filter(|name| std::env::var_os(name).is_some()).collect();
    for name in &taken {
        command.env_remove(name);
    }
    if !taken.is_empty() {
        say(&format!("the command does not see {}: it needs none", taken.join(", ")));
    }
    if PROXIES.iter().any(|name| std::env::var_os(name).is_some()) {
        for name in NO_PROXY {
            command.env(name, past_proxies(std::env::var_os(name).as_deref()));
        }
    }
}

fn past_proxies(listed: Option<&OsStr>) -> OsString {
    let mut list = listed.map(ToOwned::to_owned).unwrap_or_default();
    if !list.is_empty() {
        list.push(",");
    }
    list.push("127.0.0.1,localhost");
    list
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_is_the_commands() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(15)), 143);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn a_proxy_is_not_asked_for_the_agent() {
        assert_eq!(past_proxies(None), "127.0.0.1,localhost");
        assert_eq!(past_proxies(Some(OsStr::new(".internal"))), ".internal,127.0.0.1,localhost");
    }
}
