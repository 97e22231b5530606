//! How does a server we started end with us, however we end?
//!
//! Each runs in a process group of its own under a few lines of shell that hold the other end of a pipe. When the
//! pipe closes, because [`Kept`] is dropped or because this process is gone (killed, crashed, panicked), the shell
//! ends the whole group: first with a signal, then by force.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Fault, go_on, tail};

/// Runs `"$@"`, and ends its process group with `$KEEP_SIGNAL` when standard input ends; by force `$KEEP_GRACE` tenths
/// of a second later.
const KEEPER: &str = r#"
exec 3<&0 </dev/null
trap : TERM INT HUP
"$@" 3<&- &
main=$!
(
  trap : TERM INT HUP
  read -r nothing <&3
  kill -s "$KEEP_SIGNAL" -- "-$$"
  left=$KEEP_GRACE
  while kill -0 "$main" 2>/dev/null && [ "$left" -gt 0 ]; do sleep 0.1; left=$((left - 1)); done
  kill -s KILL -- "-$$"
) &
exec 3<&-
while kill -0 "$main" 2>/dev/null; do wait "$main"; done
kill -s KILL -- "-$$"
"#;

/// How a server is asked to end.
#[derive(Debug, Clone, Copy)]
pub struct Farewell {
    /// The signal, by name.
    pub signal: &'static str,
    /// How long it may take before it is ended by force.
    pub grace: Duration,
}

impl Default for Farewell {
    fn default() -> Self {
        Self { signal: "TERM", grace: Duration::from_secs(10) }
    }
}

/// A server that ends when this value is dropped, or when this process ends.
#[derive(Debug)]
pub struct Kept {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Kept {
    /// Starts a command; what it prints goes to `log`.
    ///
    /// # Errors
    /// When the log cannot be written, or no shell can be started.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self, Fault> {
        Self::start_with(name, command, log, Farewell::default())
    }

    /// The same, for servers that want another farewell than TERM and ten seconds.
    ///
    /// # Errors
    /// As [`Kept::start`].
    pub fn start_with(name: &str, command: &Command, log: &Path, farewell: Farewell) -> Result<Self, Fault> {
        super::write(log, "")?;
        let out = File::options().append(true).open(log).map_err(Fault::io(format!("opening {}", log.display())))?;
        let err = out.try_clone().map_err(Fault::io(format!("opening {}", log.display())))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", KEEPER, "keeper"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            shell.current_dir(folder);
        }
        let grace = (farewell.grace.as_millis() / 100).to_string();
        shell
            .env("KEEP_SIGNAL", farewell.signal)
            .env("KEEP_GRACE", grace)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0);
        let child = shell.spawn().map_err(Fault::io(format!("starting {name}")))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Waits until `ready` says so.
    ///
    /// # Errors
    /// When the server ends first, and when the time is up.
    pub fn wait(&mut self, most: Duration, mut ready: impl FnMut() -> bool) -> Result<(), Fault> {
        let begun = Instant::now();
        while !ready() {
            go_on()?;
            self.must_stand()?;
            if begun.elapsed() > most {
                return Err(Fault::Late {
                    name: self.name.clone(),
                    seconds: most.as_secs(),
                    log: self.log.clone(),
                    said: self.said(),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// It must not have ended by itself.
    ///
    /// # Errors
    /// [`Fault::Ended`], with its last words.
    pub fn must_stand(&mut self) -> Result<(), Fault> {
        match self.child.try_wait().map_err(Fault::io(format!("asking for {}", self.name)))? {
            None => Ok(()),
            Some(_) => Err(Fault::Ended { name: self.name.clone(), log: self.log.clone(), said: self.said() }),
        }
    }

    /// Where it writes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it wrote last.
    pub fn said(&self) -> String {
        match std::fs::read(&self.log) {
            Ok(bytes) => tail(&String::from_utf8_lossy(&bytes)),
            Err(fault) if fault.kind() == ErrorKind::NotFound => String::new(),
            Err(fault) => fault.to_string(),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The end of the pipe is the order to end; the keeper sees to it, by force at last.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
