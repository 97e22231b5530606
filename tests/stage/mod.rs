//! What has to stand before the play can begin?
//!
//! The demo and the tests against a real MLflow server put up the same stage: a Python environment, a stock
//! `mlflow server` (on SQLite, or on PostgreSQL and a Cloud Storage emulator), a certificate authority, an identity
//! provider and Trackgate itself. Everything listens on loopback and ends with the process that started it.

/// Throw-away certificates.
pub mod authority;
/// Trackgate, as a process of its own.
pub mod gate;
/// The Cloud Storage emulator.
pub mod gcs;
/// An identity provider with fixed accounts.
pub mod idp;
/// Processes that do not outlive us.
pub mod keep;
/// A stock MLflow server.
pub mod mlflow;
/// PostgreSQL that refuses plain text.
pub mod postgres;
/// The virtual environments.
pub mod python;
/// Requests of our own, with or without TLS.
pub mod web;

use std::fmt;
use std::io::{self, Read, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Why the stage does not stand, each in one sentence that a person can act upon.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No interpreter that is new enough.
    #[error(
        "no Python 3.11 or newer was found (looked for {looked_for} in PATH); install one, or name it in TRACKGATE_PYTHON"
    )]
    NoPython {
        /// The names that were tried.
        looked_for: String,
    },
    /// Debian's Python without `python3-venv`.
    #[error(
        "`{python}` cannot make a virtual environment; install `python3-venv` (Debian, Ubuntu) or `uv`; it said: {said}"
    )]
    NoVenv {
        /// The interpreter.
        python: String,
        /// The end of its output.
        said: String,
    },
    /// The package index cannot be reached.
    #[error(
        "the Python packages could not be fetched, as {tool} finds no way to the package index: is this machine online? \
         (what it said stands in {log})",
        log = log.display()
    )]
    NoNetwork {
        /// `pip` or `uv`.
        tool: &'static str,
        /// All of its output.
        log: PathBuf,
    },
    /// The packages were there, and yet.
    #[error("the Python packages could not be installed; {tool} said: {said} (all of it: {log})", log = log.display())]
    NotInstalled {
        /// `pip` or `uv`.
        tool: &'static str,
        /// The end of its output.
        said: String,
        /// All of it.
        log: PathBuf,
    },
    /// Somebody else listens there.
    #[error("port {port} is already taken on this machine; end what listens there, or choose another with `{option}`")]
    PortTaken {
        /// The port.
        port: u16,
        /// The option that changes it.
        option: &'static str,
    },
    /// A server that was needed is gone.
    #[error("{name} ended by itself; the end of {log}: {said}", log = log.display())]
    Ended {
        /// Which.
        name: String,
        /// Where it wrote.
        log: PathBuf,
        /// What it wrote last.
        said: String,
    },
    /// A server that was needed did not answer in time.
    #[error("{name} did not answer within {seconds} seconds; the end of {log}: {said}", log = log.display())]
    Late {
        /// Which.
        name: String,
        /// How long we waited.
        seconds: u64,
        /// Where it wrote.
        log: PathBuf,
        /// What it wrote last.
        said: String,
    },
    /// A part that is not everybody's is not here.
    #[error("{part} is not installed: {hint}")]
    Missing {
        /// Which part.
        part: &'static str,
        /// How to get it.
        hint: &'static str,
    },
    /// A command that had to succeed did not.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// The command.
        command: String,
        /// The end of its output.
        said: String,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// An answer that cannot be right.
    #[error("{0}")]
    Unexpected(String),
    /// A file or a socket.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl Fault {
    /// An [`io::Error`] with what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Says what is waited for, waits, and says how long it took.
///
/// # Errors
/// Those of the work.
pub fn step<T>(what: impl fmt::Display, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    say(&format!("  ... {what}"));
    let begun = Instant::now();
    let done = work()?;
    say(&format!("   ok {what}: {}", took(begun.elapsed())));
    Ok(done)
}

/// A line for the person who waits; not through `println!`, which tests keep to themselves until they fail.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// A duration as a person says it.
pub fn took(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if time < Duration::from_mins(1) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// The folder that git ignores and that everything of ours goes into.
pub fn ignored_folder() -> PathBuf {
    repository().join(".trackgate")
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A port on which nobody listens at the moment.
///
/// # Errors
/// When loopback has none.
pub fn free_port() -> Result<u16, Fault> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Fault::io("looking for a free port"))
}

/// Whether one may listen on a port: said before anything is started.
///
/// # Errors
/// [`Fault::PortTaken`], with the option that changes the port.
pub fn must_be_free(port: u16, option: &'static str) -> Result<(), Fault> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(fault) if fault.kind() == io::ErrorKind::AddrInUse => Err(Fault::PortTaken { port, option }),
        Err(fault) => Err(Fault::Io { doing: format!("trying port {port}"), source: fault }),
    }
}

/// Set when the person wants to leave: every wait of the stage ends with [`Fault::Interrupted`].
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether to go on.
///
/// # Errors
/// [`Fault::Interrupted`] once [`INTERRUPTED`] is set.
pub fn go_on() -> Result<(), Fault> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Fault::Interrupted) } else { Ok(()) }
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started, and when it does not exit with 0.
pub fn run(command: &mut Command) -> Result<String, Fault> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Fault::Failed { command: shown(command), said: last_words(&output) })
}

/// Runs a command to its end, whatever that is; ends it when the person wants to leave.
///
/// # Errors
/// When it cannot be started, and when we are interrupted.
pub fn output(command: &mut Command) -> Result<Output, Fault> {
    let shown = shown(command);
    let failed = || Fault::io(format!("running `{shown}`"));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed())?;
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = drain(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = drain(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed())? {
            break status;
        }
        if let Err(fault) = go_on() {
            child.kill().map_err(failed())?;
            child.wait().map_err(failed())?;
            return Err(fault);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    Ok(Output { status, stdout: text(stdout), stderr: text(stderr) })
}

/// A command's program and arguments, for messages.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|word| word.to_string_lossy()));
    words.join(" ")
}

/// The end of what a command wrote, on one line.
pub fn last_words(output: &Output) -> String {
    let text = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    tail(&text)
}

/// The last few lines of a text, on one line.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join(" / ")
}

/// Writes a file, with its folder.
///
/// # Errors
/// Those of the file system.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Fault> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Fault::io(format!("making {}", folder.display())))?;
    }
    std::fs::write(path, contents).map_err(Fault::io(format!("writing {}", path.display())))
}
