//! Where do Python, MLflow and its client come from?
//!
//! A virtual environment under `.trackgate/`, made once by `uv` where it is installed, else by `venv` and `pip`, from
//! a list of pinned versions. A stamp (the hash of that list) says that it is complete; with the stamp in place
//! a start costs nothing.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};

use super::{Fault, ignored_folder, last_words, output, run, step};

/// What the server and its client need: MLflow 3.17.2, scikit-learn, drivers for PostgreSQL and Cloud Storage.
const MLFLOW: &str = include_str!("requirements/mlflow.txt");
/// What MLflow's basic-auth needs besides.
const BASIC_AUTH: &str = include_str!("requirements/basic-auth.txt");
/// Other versions of MLflow, by themselves: what the matrix of versions runs.
const OTHERS: [(&str, &str, Asked); 4] = [
    ("2.22.5", include_str!("requirements/mlflow-2.22.5.txt"), Asked::Too),
    ("3.5.1", include_str!("requirements/mlflow-3.5.1.txt"), Asked::Too),
    ("3.11.1", include_str!("requirements/mlflow-3.11.1.txt"), Asked::Too),
    ("3.18.0", include_str!("requirements/mlflow-3.18.0.txt"), Asked::Not),
];
/// The Cloud Storage emulator, which wants other versions of some of the same packages.
const EMULATOR: &str = include_str!("requirements/gcs-emulator.txt");

/// Whether what the pinned packages ask for is looked at and installed as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Too,
    /// The list is whole, and some of it asks for what cannot be had.
    Not,
}

impl Asked {
    /// What pip and uv are told.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Too => &[],
            Self::Not => &["--no-deps"],
        }
    }
}

/// What `clients/python` is tested and packed with.
const PLUGIN: &str = include_str!("requirements/plugin.txt");

/// Interpreters by name, the one MLflow 3.17.2 was pinned on first.
const NAMES: [&str; 6] = ["python3.11", "python3.12", "python3.13", "python3.14", "python3", "python"];

/// A virtual environment that is complete.
#[derive(Debug, Clone)]
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment with MLflow, made where missing.
    ///
    /// # Errors
    /// No Python, no network, no space: each in one sentence.
    pub fn with_mlflow() -> Result<Self, Fault> {
        Self::made("python", MLFLOW, Asked::Too, "Python environment with MLflow 3.17.2")
    }

    /// The environment with MLflow and what its `--app-name basic-auth` needs, made where missing.
    ///
    /// # Errors
    /// As [`Environment::with_mlflow`].
    pub fn with_basic_auth() -> Result<Self, Fault> {
        let pins = format!("{MLFLOW}{BASIC_AUTH}");
        Self::made("basic-auth", &pins, Asked::Too, "Python environment with MLflow 3.17.2 and its basic-auth")
    }

    /// The environment with another MLflow, made where missing.
    ///
    /// # Errors
    /// As [`Environment::with_mlflow`]; [`Fault::Unexpected`] for a version that is not pinned.
    pub fn with_version(version: &str) -> Result<Self, Fault> {
        let (pins, asked) = pins_of(version)?;
        Self::made(&format!("python-{version}"), pins, asked, &format!("Python environment with MLflow {version}"))
    }

    /// The environment with another MLflow and what its basic-auth needs: its client of permissions imports that.
    ///
    /// # Errors
    /// As [`Environment::with_version`].
    pub fn with_version_and_basic_auth(version: &str) -> Result<Self, Fault> {
        let (pins, asked) = pins_of(version)?;
        let pins = format!("{pins}{BASIC_AUTH}");
        let what = format!("Python environment with MLflow {version} and its basic-auth");
        Self::made(&format!("basic-auth-{version}"), &pins, asked, &what)
    }

    /// The environment with the Cloud Storage emulator, made where missing.
    ///
    /// # Errors
    /// As [`Environment::with_mlflow`].
    pub fn with_emulator() -> Result<Self, Fault> {
        Self::made("gcs-emulator", EMULATOR, Asked::Too, "Python environment with the Cloud Storage emulator")
    }

    /// The environment with what `clients/python` is tested and packed with, without MLflow, made where missing.
    ///
    /// # Errors
    /// As [`Environment::with_mlflow`].
    pub fn with_plugin_tools() -> Result<Self, Fault> {
        Self::made("plugin", PLUGIN, Asked::Too, "Python environment for clients/python")
    }

    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.folder.join("bin/python")
    }

    /// A program that a package installed.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    fn made(name: &str, pins: &str, asked: Asked, what: &str) -> Result<Self, Fault> {
        let folder = ignored_folder().join(name);
        let environment = Self { folder };
        let stamp = environment.folder.join("trackgate-stamp");
        fs::create_dir_all(ignored_folder()).map_err(Fault::io("making .trackgate"))?;
        // The demo and the tests may start at the same time: the second waits for the first.
        let lock = ignored_folder().join(format!("{name}.lock"));
        let lock = File::create(&lock).map_err(Fault::io(format!("making {}", lock.display())))?;
        lock.lock().map_err(Fault::io("waiting for another start that makes the Python environment"))?;
        let wanted = stamp_of(pins);
        if environment.python().exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(environment);
        }
        let python = find()?;
        let tool = if has_uv() { "uv" } else { "pip" };
        step(
            format!("{what}, once, by {tool} ({})", if tool == "uv" { "some seconds" } else { "a minute or two" }),
            || {
                let requirements = environment.folder.with_extension("txt");
                super::write(&requirements, pins)?;
                if tool == "uv" {
                    match with_uv(&python, &environment, &requirements, asked) {
                        Ok(()) => return super::write(&stamp, &wanted),
                        // uv has settings of its own for indexes and certificates: where only pip is set up, pip it is.
                        Err(fault) => super::say(&format!("      {fault}; trying venv and pip")),
                    }
                }
                with_pip(&python, &environment, &requirements, asked)?;
                super::write(&stamp, &wanted)
            },
        )?;
        Ok(environment)
    }
}

/// What another MLflow needs.
fn pins_of(version: &str) -> Result<(&'static str, Asked), Fault> {
    let found = OTHERS.iter().find(|(name, ..)| *name == version);
    let pinned = found.map(|(_, pins, asked)| (*pins, *asked));
    pinned.ok_or_else(|| Fault::Unexpected(format!("no requirements are pinned for MLflow {version}")))
}

fn stamp_of(pins: &str) -> String {
    digest(&SHA256, pins.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// An interpreter that is new enough.
fn find() -> Result<String, Fault> {
    match std::env::var("TRACKGATE_PYTHON") {
        Ok(chosen) => find_among(&[chosen]),
        Err(_) => find_among(&NAMES.map(str::to_owned)),
    }
}

fn find_among(names: &[String]) -> Result<String, Fault> {
    for name in names {
        let probe = Command::new(name).args(["-c", "import sys; print(int(sys.version_info >= (3, 11)))"]).output();
        if probe.is_ok_and(|output| output.stdout.starts_with(b"1")) {
            return Ok(name.clone());
        }
    }
    Err(Fault::NoPython { looked_for: names.join(", ") })
}

fn has_uv() -> bool {
    Command::new("uv").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn cleared(folder: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(folder) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::Io { doing: format!("clearing {}", folder.display()), source: fault })
        }
        _ => Ok(()),
    }
}

fn with_uv(python: &str, environment: &Environment, requirements: &Path, asked: Asked) -> Result<(), Fault> {
    cleared(&environment.folder)?;
    run(Command::new("uv").args(["venv", "--quiet", "--python", python]).arg(&environment.folder))?;
    let mut install = Command::new("uv");
    install.args(["pip", "install", "--quiet", "--python"]).arg(environment.python()).arg("-r").arg(requirements);
    install.args(asked.words());
    installed("uv", &mut install, environment)
}

fn with_pip(python: &str, environment: &Environment, requirements: &Path, asked: Asked) -> Result<(), Fault> {
    cleared(&environment.folder)?;
    run(Command::new(python).args(["-m", "venv"]).arg(&environment.folder)).map_err(|fault| match fault {
        Fault::Failed { said, .. } => Fault::NoVenv { python: python.to_owned(), said },
        other => other,
    })?;
    let mut install = Command::new(environment.python());
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(requirements);
    install.args(asked.words());
    installed("pip", &mut install, environment)
}

fn installed(tool: &'static str, install: &mut Command, environment: &Environment) -> Result<(), Fault> {
    let output = output(install)?;
    if output.status.success() {
        return Ok(());
    }
    let said = last_words(&output);
    let log = environment.folder.with_extension("log");
    super::write(&log, [output.stdout.as_slice(), output.stderr.as_slice()].concat())?;
    let all = String::from_utf8_lossy(&output.stderr).to_lowercase();
    let unreachable = ["connection", "resolve", "network", "timed out", "unreachable", "dns error", "certificate"];
    if unreachable.iter().any(|word| all.contains(word)) {
        Err(Fault::NoNetwork { tool, log })
    } else {
        Err(Fault::NotInstalled { tool, said, log })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_python_is_told_so_in_one_sentence() {
        let fault = find_among(&["no-such-python".to_owned(), "true".to_owned()]).unwrap_err().to_string();
        assert!(
            fault.starts_with("no Python 3.11 or newer was found (looked for no-such-python, true in PATH)"),
            "{fault}"
        );
        assert!(!fault.contains('\n'));
    }

    #[test]
    fn a_machine_without_network_is_told_so_in_one_sentence() {
        let folder = std::env::temp_dir().join(format!("trackgate-python-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let environment = Environment { folder: folder.join("python") };
        let said = |words: &str| {
            let mut tool = Command::new("sh");
            tool.args(["-c", &format!("echo '{words}' >&2; exit 1")]);
            installed("pip", &mut tool, &environment).unwrap_err()
        };
        let fault = said("Failed to establish a new connection: [Errno -3] Temporary failure in name resolution");
        assert!(matches!(fault, Fault::NoNetwork { .. }), "{fault}");
        let fault = fault.to_string();
        assert!(fault.contains("is this machine online?") && !fault.contains('\n'), "{fault}");
        assert!(matches!(said("no matching distribution"), Fault::NotInstalled { .. }));
        fs::remove_dir_all(&folder).unwrap();
    }
}
